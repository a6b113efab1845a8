//! Threads of this crate, and numbers for everybody's threads.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use super::fork::{ForkMutex, generation};
use super::process;

/// Starts a thread in which all signals are blocked: a user's handlers run on the user's threads.
///
/// # Errors
/// When the system has no thread left.
pub fn spawn(name: impl Into<String>, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    // A thread inherits its maker's mask: blocked before, there is no moment at which it is open.
    let _mask = process::block_all_signals()?;
    let counted = Counted::new();
    Builder::new().name(name.into()).spawn(move || {
        let _counted = counted;
        run();
    })
}

/// The threads of this crate's that live, and in which process.
static OWN: ForkMutex<(u64, usize)> = ForkMutex::new((0, 0));

/// How many of this process's threads are this crate's: they hold nothing that a fork could break.
pub fn own_count() -> usize {
    let (counted_in, count) = *OWN.lock();
    if counted_in == generation() { count } else { 0 }
}

/// One thread of this crate's.
struct Counted;

impl Counted {
    fn new() -> Self {
        let mut own = OWN.lock();
        if own.0 != generation() {
            *own = (generation(), 0);
        }
        own.1 += 1;
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut own = OWN.lock();
        own.1 = own.1.saturating_sub(1);
    }
}

/// The highest number given out. A forked child counts on from its parent's.
static LAST: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The process's generation and the thread's number in it.
    static NUMBER: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// A number that no thread has or will have, for what stands for one.
#[cfg(feature = "python")]
pub fn unique() -> u64 {
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// The number of this thread: at least 1, never used again in this process, and a new one in a forked child.
pub fn number() -> u64 {
    let generation = generation();
    let (known_in, number) = NUMBER.get();
    if known_in == generation {
        return number;
    }
    let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    NUMBER.set((generation, number));
    number
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{SigSet, Signal};

    use super::*;

    #[test]
    fn each_thread_keeps_a_number_of_its_own() {
        let mine = number();
        assert_eq!(mine, number());
        let other = std::thread::spawn(number).join().unwrap();
        assert_ne!(mine, other);
        assert_ne!(std::thread::spawn(number).join().unwrap(), other);
    }

    #[test]
    fn a_thread_of_the_crate_takes_no_signals_and_its_maker_still_does() {
        let before = SigSet::thread_get_mask().unwrap();
        let thread = spawn("masked", || {
            assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGUSR1));
            assert_eq!(std::thread::current().name(), Some("masked"));
        });
        thread.unwrap().join().unwrap();
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }
}
