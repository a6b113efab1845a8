//! This process itself: its signals and its end.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, sigaction};

/// Ends the process here and now: no destructor, no `atexit`, no flush.
pub fn exit(code: i32) -> ! {
    // SAFETY: the call never returns, so that nothing can be left half done in this process's memory.
    unsafe { libc::_exit(code) }
}

/// Whether the calling thread is the one that the program began with, or that a fork left.
pub fn is_main_thread() -> bool {
    nix::unistd::gettid() == nix::unistd::getpid()
}

/// What a terminal sends to every process of a program at once: `^C`, `^\\`, and its end.
pub const OF_TERMINALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP];

/// Ignores these signals from now on: for a process that is to outlive its parent's own handling of them. Returns those that were not ignored before.
pub fn ignore(signals: &[Signal]) -> Vec<Signal> {
    let now_ignored = |signal: &Signal| {
        // SAFETY: no handler is installed, so that no code can run at a wrong moment.
        let former = unsafe { sigaction(*signal, &disposition(SigHandler::SigIgn)) };
        former.is_ok_and(|former| !matches!(former.handler(), SigHandler::SigIgn))
    };
    signals.iter().copied().filter(now_ignored).collect()
}

/// Has these signals do what they do by default.
pub fn heed(signals: &[Signal]) {
    for signal in signals {
        // SAFETY: no handler is installed, so that no code can run at a wrong moment. What can be ignored can be heeded.
        let _ = unsafe { sigaction(*signal, &disposition(SigHandler::SigDfl)) };
    }
}

fn disposition(handler: SigHandler) -> SigAction {
    SigAction::new(handler, SaFlags::empty(), SigSet::empty())
}

/// Has libc run `f` when the program ends by `exit` or by returning from `main`; forked children that leave by `_exit` don't.
pub fn at_exit(f: extern "C" fn()) {
    // SAFETY: the function takes nothing, does not unwind, and is there for as long as the program.
    let failed = unsafe { libc::atexit(f) };
    assert_eq!(failed, 0, "out of memory for an exit handler");
}

/// Sets every signal that has a handler back to its default; ignored ones stay ignored. For a forked child.
pub(super) fn reset_handlers() {
    for signal in 1..=libc::SIGRTMAX() {
        let mut now = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: asks only, into memory that holds a sigaction.
        if unsafe { libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) } != 0 {
            // A number that libc keeps for itself.
            continue;
        }
        // SAFETY: all zeros is a sigaction, and the call above has filled it.
        let mut action = unsafe { now.assume_init() };
        if action.sa_sigaction == libc::SIG_DFL || action.sa_sigaction == libc::SIG_IGN {
            continue;
        }
        action.sa_sigaction = libc::SIG_DFL;
        action.sa_flags = 0;
        // SAFETY: installs no handler. It can only fail for signals that have none.
        unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    }
}

/// Blocks all signals in this thread until the guard is dropped.
///
/// # Errors
/// None in practice.
pub fn block_all_signals() -> io::Result<SignalMask> {
    let mut former = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut former))?;
    Ok(SignalMask { former, _of_this_thread: PhantomData })
}

/// This thread's former signal mask, put back in force by the drop.
#[must_use]
pub struct SignalMask {
    former: SigSet,
    _of_this_thread: PhantomData<*const ()>,
}

impl SignalMask {
    /// The mask that the drop puts back.
    pub fn former(&self) -> SigSet {
        self.former
    }
}

impl Drop for SignalMask {
    fn drop(&mut self) {
        let _ = self.former.thread_set_mask();
    }
}
