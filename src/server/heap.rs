//! When the memory that large frames leave behind is given back: a while after the last of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::core::Core;
use super::timers::Due;
use crate::sys::heap;

/// What frames of this many bytes leave behind is worth being given back.
pub(super) const LARGE: usize = 64 << 10;

/// How long nothing large must have come or gone.
const SILENCE: Duration = Duration::from_secs(1);

/// What a server knows of its heap.
#[derive(Debug, Default)]
pub(super) struct Heap {
    /// Whether something large has passed since it was last looked at.
    used: AtomicBool,
    /// Whether it is going to be looked at.
    watched: AtomicBool,
    /// Whether anything large has ever passed.
    ever: AtomicBool,
}

impl Heap {
    /// A frame of so many bytes has passed.
    #[inline]
    pub(super) fn passed(core: &Arc<Core>, bytes: usize) {
        if bytes >= LARGE && heap::keeps() {
            Self::used(core);
        }
    }

    /// Objects were let go of, which may have been large.
    pub(super) fn let_go(core: &Arc<Core>) {
        // Pairs with the store in `used`: only the value counts.
        if core.heap.ever.load(Ordering::Relaxed) {
            Self::used(core);
        }
    }

    fn used(core: &Arc<Core>) {
        core.heap.ever.store(true, Ordering::Relaxed);
        // Pairs with the swaps in `look`. One that is missed there is seen here.
        core.heap.used.store(true, Ordering::SeqCst);
        if !core.heap.watched.swap(true, Ordering::SeqCst) {
            Self::look_later(core);
        }
    }

    fn look_later(core: &Arc<Core>) {
        let weak = Arc::downgrade(core);
        let look = move || {
            if let Some(core) = weak.upgrade() {
                Self::look(&core);
            }
        };
        core.at(Instant::now() + SILENCE, Due::Job(Box::new(look)));
    }

    fn look(core: &Arc<Core>) {
        // Pairs with the store in `used`.
        if core.heap.used.swap(false, Ordering::SeqCst) {
            return Self::look_later(core);
        }
        core.heap.watched.store(false, Ordering::SeqCst);
        heap::give_back();
        if core.heap.used.load(Ordering::SeqCst) && !core.heap.watched.swap(true, Ordering::SeqCst) {
            Self::look_later(core);
        }
    }
}
