//! What runs around every `fork(2)` of the process, this crate's or a user's.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr::fn_addr_eq;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::gate::{self, ForkMutex};
use super::generation;

/// How many sets of hooks there can be. Each is a part of this crate that keeps state across forks: a handful.
const CAPACITY: usize = 16;

/// What a part of the crate does around a fork.
///
/// All three run with the gate shut, by the thread that forks, in which [`ForkMutex::lock`] goes through. They may not
/// panic, and those of `child` find a process with this one thread.
#[derive(Debug, Clone, Copy)]
pub struct Hooks {
    /// Before the fork.
    pub prepare: fn(),
    /// After it, or after its failure, in the process that forked.
    pub parent: fn(),
    /// After it, in the new process, whose [`generation`](super::generation) is already its own.
    pub child: fn(),
}

impl Hooks {
    fn are(&self, other: &Self) -> bool {
        fn_addr_eq(self.prepare, other.prepare)
            && fn_addr_eq(self.parent, other.parent)
            && fn_addr_eq(self.child, other.child)
    }
}

/// Filled from the front and never emptied, so that reading it takes no lock.
static TABLE: [OnceLock<Hooks>; CAPACITY] = [const { OnceLock::new() }; CAPACITY];

/// Serialises writers of the table; a fork never finds a slot half written, because it stands behind the gate.
static WRITING: ForkMutex<()> = ForkMutex::new(());

static INSTALLED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// How many `prepare`s of a fork by this thread have run and not been answered.
    static NESTED: Cell<u32> = const { Cell::new(0) };
}

/// Adds hooks for all forks to come. The same three functions are added once, however often they are given.
///
/// # Panics
/// When more than 16 different sets are added: a mistake in this crate, not in its use.
pub fn at_fork(hooks: Hooks) {
    let _writing = WRITING.lock();
    if known().any(|known| known.are(&hooks)) {
        return;
    }
    let free = TABLE.iter().find(|slot| slot.get().is_none()).expect("no more than 16 sets of fork hooks");
    // The slot was free and nobody else writes.
    let _ = free.set(hooks);
}

fn known() -> impl Iterator<Item = &'static Hooks> {
    TABLE.iter().map_while(OnceLock::get)
}

unsafe extern "C" {
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> libc::c_int;
}

/// Makes libc run the hooks: done before the first critical section of the process.
///
/// Threads that race here install them twice, which [`NESTED`] makes harmless. A `Once` would not be: a fork by another
/// thread meanwhile would leave the child to wait for a `Once` that nobody completes.
pub(super) fn ensure_installed() {
    if INSTALLED.load(Ordering::Acquire) {
        return;
    }
    // SAFETY: the three functions have the type that is asked for, live as long as the program, and do not unwind.
    let failed = unsafe { pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    assert_eq!(failed, 0, "out of memory for the fork hooks");
    INSTALLED.store(true, Ordering::Release);
}

extern "C" fn prepare() {
    let outer = NESTED.replace(NESTED.get() + 1);
    if outer == 0 {
        gate::shut();
        known().for_each(|hooks| (hooks.prepare)());
    }
}

extern "C" fn parent() {
    if is_last() {
        known().for_each(|hooks| (hooks.parent)());
        gate::open();
    }
}

extern "C" fn child() {
    if is_last() {
        generation::begin_in_child();
        known().for_each(|hooks| (hooks.child)());
        gate::open();
    }
}

/// Answers one `prepare`; true when all are answered.
fn is_last() -> bool {
    let left = NESTED.get().checked_sub(1);
    NESTED.set(left.unwrap_or(0));
    left == Some(0)
}
