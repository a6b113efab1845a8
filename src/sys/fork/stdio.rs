//! The standard streams over a fork.
//!
//! The thread that forks holds both, and they are empty: what was printed before appears once, and the child can print.
//!
//! A process that came by somebody else's fork may have inherited a stream that was locked by a thread which it does not have. Nobody will
//! unlock it, here or in any process that descends from here, and who waits for it waits for ever. So a process that was not forked by
//! this module asks first, by a thread that may be left waiting; lost streams are neither held nor flushed.
#![allow(unsafe_code)]

use std::fs;
use std::io::{self, StderrLock, StdoutLock, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::generation;
use crate::sys::thread;

/// How long a thread of this process may keep a stream before the stream counts as lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// The kernel's flag of a process that was forked and has become no other program since.
const FORKED: u64 = 0x40;

/// The generation whose streams only its own threads can hold.
static SOUND: AtomicU64 = AtomicU64::new(0);

/// A thread of an ancestor holds a stream for good. Forked children find it so, as they find the lock.
static LOST: AtomicBool = AtomicBool::new(false);

/// stdout and stderr, locked by this thread and empty; nothing where they are lost.
pub(super) struct Stdio(Option<(StdoutLock<'static>, StderrLock<'static>)>);

impl Stdio {
    /// Waits for whoever is printing.
    pub(super) fn hold() -> Self {
        if is_lost() {
            return Self(None);
        }
        let held = (io::stdout().lock(), io::stderr().lock());
        flush();
        Self(Some(held))
    }

    /// Lets go in the child, which has them free.
    pub(super) fn bequeath(self) {
        if self.0.is_some() {
            SOUND.store(generation(), Ordering::Relaxed);
        }
    }
}

/// Empties Rust's and C's stdout. Failures are dropped: a closed stdout must not keep a process from forking or ending.
pub(super) fn flush() {
    if !LOST.load(Ordering::Relaxed) {
        let _ = io::stdout().flush();
    }
    // SAFETY: C's stdout is set before main and is never null; reading the pointer is all that is done with it.
    let c_stdout = unsafe { stdout };
    // Only stdout, not all streams: that would wait for a thread that sits in a read of C's stdin.
    // SAFETY: the stream locks itself, and libc has its lock free in a forked child.
    unsafe { libc::fflush(c_stdout) };
}

unsafe extern "C" {
    static stdout: *mut libc::FILE;
}

/// Whether a stream is locked for ever. Asks once in each process that somebody else has forked.
fn is_lost() -> bool {
    if LOST.load(Ordering::Relaxed) || SOUND.load(Ordering::Relaxed) == generation() {
        return LOST.load(Ordering::Relaxed);
    }
    if was_forked() && !answer() {
        LOST.store(true, Ordering::Relaxed);
        return true;
    }
    SOUND.store(generation(), Ordering::Relaxed);
    false
}

/// Whether this process has the memory of another. Where the kernel does not tell, it may have.
fn was_forked() -> bool {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold anything: state, parent, group, session, terminal, its group, flags.
    let flags = stat.rsplit(')').next().and_then(|fields| fields.split_ascii_whitespace().nth(6)?.parse::<u64>().ok());
    flags.is_none_or(|flags| flags & FORKED != 0)
}

/// Whether both streams can be had.
fn answer() -> bool {
    let (tell, told) = mpsc::channel();
    let asks = thread::spawn("multiproc-stdio", move || {
        let _ = tell.send(());
        drop((io::stdout().lock(), io::stderr().lock()));
        let _ = tell.send(());
    });
    // Without a thread there is nothing but to wait for them.
    let Ok(asks) = asks else { return true };
    // Its time begins when it runs.
    let answers = told.recv().is_ok() && told.recv_timeout(PATIENCE).is_ok();
    if answers {
        asks.join();
    }
    answers
}
