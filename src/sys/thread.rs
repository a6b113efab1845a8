//! Threads of this crate, and numbers for everybody's threads.
//!
//! They are made by the system's own call, not by std's: std's threads take a lock of std's at their begin and end (where it notes their stacks, for its message
//! about an overflow), and a process that was forked in such a moment inherits it locked. In there every thread of std's waits for ever before it has begun.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{CString, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::sys::signal::SigSet;

use super::fork::{ForkMutex, Stamp, generation};
use super::process;

/// The stack of a thread in bytes: what std gives.
const STACK: usize = 2 << 20;

/// The longest name that the system keeps, in bytes.
const LONGEST_NAME: usize = 15;

type Main = Box<dyn FnOnce() + Send>;

/// Starts a thread in which all signals are blocked: a user's handlers run on the user's threads.
///
/// # Errors
/// When the system has no thread left.
pub fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle> {
    // A thread inherits its maker's mask: blocked before, there is no moment at which it is open.
    let mask = process::block_all_signals()?;
    let open = open_mask().unwrap_or_else(|| mask.former());
    let counted = Counted::new();
    let finished = Arc::new(AtomicBool::new(false));
    let name = CString::new(&name[..name.len().min(LONGEST_NAME)]).unwrap_or_default();
    let main: Main = {
        let finished = Arc::clone(&finished);
        Box::new(move || {
            let _counted = counted;
            OPEN_MASK.set(Some(open));
            // SAFETY: the name ends with a zero, and is copied. (A name that is too long is refused.)
            unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
            // A panic must not unwind into C; it has been reported by the hook.
            let _ = catch_unwind(AssertUnwindSafe(run));
            // Pairs with the load in `is_finished`.
            finished.store(true, Ordering::Release);
        })
    };
    let native = create(main)?;
    Ok(JoinHandle { native, finished, stamp: Stamp::now(), joined: false })
}

/// Has the system run `main` in a thread.
fn create(main: Main) -> io::Result<libc::pthread_t> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: room for the attributes, which the call fills in.
    check(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) })?;
    // SAFETY: filled in above. A size that is refused leaves the system's own.
    unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK) };
    let argument = Box::into_raw(Box::new(main));
    let mut native = MaybeUninit::uninit();
    // SAFETY: `begin` takes what `argument` is, once; the attributes are filled in.
    let created = check(unsafe {
        libc::pthread_create(native.as_mut_ptr(), attributes.as_ptr(), begin, argument.cast::<c_void>())
    });
    // SAFETY: filled in above, and not used again.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    if let Err(error) = created {
        // SAFETY: no thread has taken it.
        drop(unsafe { Box::from_raw(argument) });
        return Err(error);
    }
    // SAFETY: set by the call that has succeeded.
    Ok(unsafe { native.assume_init() })
}

extern "C" fn begin(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `create` made it of a box, for this thread alone.
    let main = unsafe { Box::from_raw(argument.cast::<Main>()) };
    main();
    ptr::null_mut()
}

fn check(code: i32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

/// A thread of this crate's. Dropping it lets the thread go on alone.
#[derive(Debug)]
pub struct JoinHandle {
    native: libc::pthread_t,
    finished: Arc<AtomicBool>,
    stamp: Stamp,
    joined: bool,
}

impl JoinHandle {
    /// Whether there is nothing left for it to do but end.
    pub fn is_finished(&self) -> bool {
        // Pairs with the store in `spawn`.
        self.finished.load(Ordering::Acquire)
    }

    /// Waits for its end. In a forked child, where it does not exist, there is nothing to wait for.
    pub fn join(mut self) {
        self.joined = true;
        if self.stamp.is_current() {
            // SAFETY: a thread of this process that was neither joined nor detached.
            unsafe { libc::pthread_join(self.native, ptr::null_mut()) };
        }
    }
}

impl Drop for JoinHandle {
    fn drop(&mut self) {
        if !self.joined && self.stamp.is_current() {
            // SAFETY: a thread of this process that was neither joined nor detached.
            unsafe { libc::pthread_detach(self.native) };
        }
    }
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

thread_local! {
    /// In a thread of this crate's: the signal mask that was in force where its line of makers began.
    static OPEN_MASK: Cell<Option<SigSet>> = const { Cell::new(None) };
}

/// In a thread of this crate's, which takes no signals: the mask that a process forked by it is to have, whose signals are nobody else's.
pub fn open_mask() -> Option<SigSet> {
    OPEN_MASK.get()
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
    use nix::sys::signal::Signal;

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
            let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
            assert_eq!(name.trim(), "masked");
        });
        thread.unwrap().join();
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }
}
