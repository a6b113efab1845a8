//! The crate's own forks: a child that starts clean and leaves without a trace of its parent's.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid, pipe2, read, write};

use super::stdio::{Stdio, flush};
use super::{Child, thread_count};
use crate::sys::panic::{self, Panic};
use crate::sys::pidfd::PidFd;
use crate::sys::poll::{self, Interest};
use crate::sys::process::{self, SignalMask};
use crate::sys::thread;

/// A child's exit code after a panic; the one that std uses.
const PANICKED: i32 = 101;

/// How long a child that has other threads tries to flush its stdout before it leaves without: one of them
/// may hold stdout and never let go.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// How often a child that waits for its parent's leave looks whether the parent still lives.
const LEAVE_INTERVAL: Duration = Duration::from_millis(100);

/// Forks a child that runs `child` and ends with the code that it returns, or with 101 if it panics.
///
/// - stdout (Rust's and C's) is flushed before, and both standard streams are locked over the fork: what was printed
///   before appears once, and the child can print. Waits for whoever is printing, but not for a thread that only an ancestor had.
/// - In the child, signal handlers are reset to the default (ignored signals stay ignored), and the caller's signal
///   mask is in force (or, where a thread of this crate's forks, its maker's); no handler of the parent's runs in between.
/// - A panic's text goes to fd 2 itself, past whatever captures the output of the parent.
/// - The child leaves by `_exit`, with stdout flushed: no destructor but those in `child`, no `atexit` of the parent's.
/// - The child begins only when its parent holds its pidfd, so that nothing runs that cannot be waited for.
///
/// # Errors
/// When there are no processes, fds or memory left. Nothing of `child` has run then.
pub fn spawn(child: impl FnOnce() -> i32) -> io::Result<Child> {
    spawn_bound(|_| Ok(()), child)
}

/// As [`spawn`]; `bind` runs in this process, with the child's pid, before the child begins.
///
/// # Errors
/// As [`spawn`], and when `bind` fails; nothing of `child` has run then.
pub fn spawn_bound(bind: impl FnOnce(u32) -> io::Result<()>, child: impl FnOnce() -> i32) -> io::Result<Child> {
    panic::install_hook();
    let (leave, grant) = pipe2(OFlag::O_CLOEXEC)?;
    let parent = getpid();
    let stdio = Stdio::hold();
    let mask = process::block_all_signals()?;
    // SAFETY: no lock of this crate is held (the gate), std's stdio locks are held by this very thread, libc sees to
    // its own; the child runs what a forked child may run, and never returns from here.
    match unsafe { fork() }? {
        ForkResult::Child => {
            stdio.bequeath();
            drop(grant);
            begin(leave, parent, mask);
            leave_with(panic::contain(child))
        }
        ForkResult::Parent { child } => {
            drop(stdio);
            drop(leave);
            adopt(child, grant, bind)
        }
    }
}

/// The parent's side: takes the child by its pidfd and lets it begin.
fn adopt(pid: Pid, grant: OwnedFd, bind: impl FnOnce(u32) -> io::Result<()>) -> io::Result<Child> {
    let adopted = PidFd::open(pid.as_raw().cast_unsigned()).and_then(|pidfd| {
        bind(pidfd.pid())?;
        write(&grant, &[1])?;
        Ok(Child::new(pidfd))
    });
    // Without a grant the child sees the pipe's end and leaves.
    drop(grant);
    if adopted.is_err() {
        while waitpid(pid, None) == Err(nix::Error::EINTR) {}
    }
    adopted
}

/// The child's side: clean signals, and no step before the parent's leave.
fn begin(leave: OwnedFd, parent: Pid, mask: SignalMask) {
    process::reset_handlers();
    // Another thread's fork may hold a copy of the pipe, so that its end alone would not tell of the parent's death.
    while !poll::wait_one(&leave, Interest::Read, Some(LEAVE_INTERVAL)).is_ok_and(|ready| ready.any()) {
        if getppid() != parent {
            process::exit(0);
        }
    }
    if read(&leave, &mut [0]) != Ok(1) {
        process::exit(0);
    }
    drop(mask);
    if let Some(mask) = thread::open_mask() {
        let _ = mask.thread_set_mask();
    }
}

/// Ends the child.
fn leave_with(result: Result<i32, Panic>) -> ! {
    let code = result.unwrap_or_else(|panic| {
        panic.print();
        PANICKED
    });
    if thread_count() == 1 {
        flush();
    } else {
        let (done, flushed) = mpsc::channel();
        let flusher = thread::spawn("multiproc-flush", move || {
            let _ = done.send(());
            flush();
            let _ = done.send(());
        });
        // Its time begins when it runs.
        if flusher.is_ok() && flushed.recv().is_ok() {
            let _ = flushed.recv_timeout(FLUSH_LIMIT);
        }
    }
    process::exit(code)
}
