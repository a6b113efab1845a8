//! What the integration tests share: forked children that never come back into the test harness, waiting for them and for conditions, and counting what a process holds.
//!
//! Every test binary compiles its own copy and uses a part of it.

#![allow(dead_code, unsafe_code)]

pub mod raw;

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

/// How long anything may take before a test gives up: long, as the machine may be busy.
pub const LIMIT: Duration = Duration::from_secs(120);

/// What a child ends with when its closure panicked.
pub const PANICKED: i32 = 101;

/// A process that a test has forked. Killed and collected when it is dropped before it was waited for.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    collected: bool,
}

/// Runs `f` in a forked child by `fork(2)` itself, which ends with the code that `f` returns ([`PANICKED`] when it panics) and without the parent's exit handlers.
///
/// The child's other threads are gone: `f` must not wait for a lock of the harness's, so it reports by its code, by pipes, by proxies or on stderr.
pub fn fork<F: FnOnce() -> i32>(f: F) -> Child {
    // SAFETY: the child runs `f` alone, which keeps to what the crate promises for forked children, and leaves by `_exit`.
    match unsafe { nix::unistd::fork() }.expect("fork") {
        ForkResult::Parent { child } => Child { pid: child, collected: false },
        ForkResult::Child => {
            // The harness would keep the message in memory that ends with this process, and its lock may be anybody's.
            panic::set_hook(Box::new(|info| {
                let _ = nix::unistd::write(std::io::stderr(), format!("in a forked child: {info}\n").as_bytes());
            }));
            let code = panic::catch_unwind(AssertUnwindSafe(f)).unwrap_or(PANICKED);
            exit(code)
        }
    }
}

/// The processes that this process's children leave behind become its own, so that [`Child::adopt`] can wait for them.
pub fn adopt_orphans() {
    nix::sys::prctl::set_child_subreaper(true).expect("become a subreaper");
}

/// Has every further fork of this process fail, for good. False where that is not to be had.
pub fn forbid_forks() -> bool {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` is a whole `rlimit`, and is only read.
    let limited = unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &none) } == 0;
    // The superuser is above the limit.
    let nobody = nix::unistd::Uid::from_raw(65534);
    limited && (!nix::unistd::geteuid().is_root() || nix::unistd::setuid(nobody).is_ok())
}

/// Lets this process have so many file descriptors, and no more.
pub fn limit_descriptors(most: u64) -> bool {
    let most = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: `most` is a whole `rlimit`, and is only read.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &most) == 0 }
}

/// Lets this process have as many file descriptors as it wants, if it may; how many it may have.
pub fn want_descriptors(wanted: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a whole `rlimit` to be filled in.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur = limit.rlim_cur.max(wanted.min(limit.rlim_max));
    // SAFETY: as above, and it is only read. What is refused stays as it was.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    limit.rlim_cur
}

/// Forks without a closure: whether it worked. A child that does come to be ends at once.
pub fn try_fork() -> nix::Result<()> {
    // SAFETY: the child leaves by `_exit` at once.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => waitpid(child, None).map(drop),
        ForkResult::Child => exit(0),
    }
}

/// Sets a signal to what it does by default, whatever this process has inherited.
pub fn heed(signal: Signal) {
    // SAFETY: no handler is set, and none was.
    unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl) }
        .expect("set a signal's disposition");
}

/// Makes a copy of this process by a bare `clone`, of which no library hears; in the copy, which must leave by [`exit`], it is 0.
pub fn bare_clone() -> i32 {
    // SAFETY: without flags and a stack `clone` copies the whole process, as `fork` does; the copy keeps to what is safe there.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    i32::try_from(pid).ok().filter(|&pid| pid >= 0).expect("clone")
}

/// Does not return. A single `park` may, and does where its token was left by something before the fork.
pub fn forever() {
    loop {
        thread::park();
    }
}

/// Has SIGINT end this process, as at a terminal.
pub fn heed_sigint() {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, sigaction};
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: installs no handler.
    unsafe { sigaction(Signal::SIGINT, &default) }.expect("heed SIGINT");
}

/// A terminal: the side of the person before it, and that of programs.
pub fn terminal() -> std::io::Result<(fs::File, fs::File)> {
    use std::os::fd::FromRawFd;
    // SAFETY: opens a descriptor and nothing else.
    let person = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) };
    if person < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: opened above, and nobody else's.
    let side = unsafe { fs::File::from_raw_fd(person) };
    let mut name = [0; 64];
    // SAFETY: looks at the descriptor only.
    let granted = unsafe { libc::grantpt(person) };
    // SAFETY: looks at the descriptor only.
    let unlocked = unsafe { libc::unlockpt(person) };
    // SAFETY: writes at most so much as there is room for.
    let named = unsafe { libc::ptsname_r(person, name.as_mut_ptr(), name.len()) };
    if (granted, unlocked, named) != (0, 0, 0) {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: written by the call, with a zero at its end.
    let name = unsafe { std::ffi::CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
    let mut open = fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::custom_flags(open.read(true).write(true), libc::O_NOCTTY);
    Ok((side, open.open(name)?))
}

/// Has a command's program be the one in the foreground of the terminal that its stdin is.
pub fn take_terminal(command: &mut std::process::Command) {
    let take = || {
        nix::unistd::setsid()?;
        // SAFETY: makes the terminal on stdin that of the new session.
        nix::errno::Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })?;
        heed_sigint();
        Ok(())
    };
    // SAFETY: between fork and exec: system calls only.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, take) };
}

/// Keeps tests of one binary apart that count all of a server's objects: a fork by one copies the references of all.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends this process at once, without exit handlers and destructors.
pub fn exit(code: i32) -> ! {
    // SAFETY: `_exit` takes any code and does not return.
    unsafe { libc::_exit(code) }
}

/// Waits until a child has ended, at most [`LIMIT`], and returns its code; minus the signal's number when a signal killed it.
pub fn wait(child: Child) -> i32 {
    wait_for(LIMIT, child)
}

/// As [`wait`], for a child that has more to do.
pub fn wait_for(limit: Duration, mut child: Child) -> i32 {
    child.collect(limit).unwrap_or_else(|| panic!("the child {} did not end within {limit:?}", child.pid))
}

/// Waits until something holds, at most [`LIMIT`].
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    if !within(LIMIT, &mut holds) {
        panic!("not within {LIMIT:?}: {what}");
    }
}

/// Tries something that depends on a short time, which a busy machine may overrun: again and again, each time with a longer one.
#[track_caller]
pub fn patiently(what: &str, attempt: impl FnMut(Duration) -> bool) {
    let times = [300, 1_000, 4_000, 16_000, 60_000].map(Duration::from_millis);
    assert!(times.into_iter().any(attempt), "not even with {:?}: {what}", times[4]);
}

/// Whether something comes to hold within a time.
pub fn within(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

impl Child {
    /// A grandchild that was left to this process, see [`adopt_orphans`].
    pub fn adopt(pid: i32) -> Self {
        Self { pid: Pid::from_raw(pid), collected: false }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal).expect("signal a child that was not collected");
    }

    /// Kills it by SIGKILL and collects it.
    pub fn kill(mut self) {
        self.end();
    }

    /// Stops it by SIGSTOP, and returns once it has stopped.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        loop {
            match waitpid(self.pid, Some(WaitPidFlag::WUNTRACED)) {
                Ok(WaitStatus::Stopped(..)) => return,
                Ok(other) => panic!("the child was to stop, but: {other:?}"),
                Err(Errno::EINTR) => {}
                Err(error) => panic!("waiting for a stop: {error}"),
            }
        }
    }

    /// As [`stop`](Self::stop), of one that may have ended: whether it has stopped.
    pub fn stops(&self) -> bool {
        self.signal(Signal::SIGSTOP);
        eventually("it has stopped or ended", || matches!(state(self.pid()), Some('T' | 'Z')));
        state(self.pid()) == Some('T')
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.collect(Duration::ZERO).is_none()
    }

    fn collect(&mut self, limit: Duration) -> Option<i32> {
        let mut code = None;
        within(limit, || {
            code = match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Some(code),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(-(signal as i32)),
                Ok(_) | Err(Errno::EINTR) => None,
                Err(error) => panic!("waiting for the child {}: {error}", self.pid),
            };
            code.is_some()
        });
        self.collected |= code.is_some();
        code
    }

    fn end(&mut self) {
        if !self.collected {
            let _ = kill(self.pid, Signal::SIGKILL);
            while waitpid(self.pid, None) == Err(Errno::EINTR) {}
            self.collected = true;
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// How many threads a process has; 0 when there is no such process.
pub fn threads(pid: i32) -> usize {
    entries(&format!("/proc/{pid}/task"))
}

/// How many file descriptors a process has open; 0 when there is no such process.
pub fn descriptors(pid: i32) -> usize {
    entries(&format!("/proc/{pid}/fd"))
}

/// Where a process's file descriptors lead, as the kernel writes it.
pub fn descriptor_targets(pid: i32) -> Vec<String> {
    let Ok(found) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    found.flatten().filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned())).collect()
}

/// Whether a process exists and is no zombie.
pub fn is_alive(pid: i32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

/// The letter of a process's state, as in `ps`.
pub fn state(pid: i32) -> Option<char> {
    status(pid).map(|(state, _)| state)
}

/// Stops a process that is not this one's child, and returns once all its threads have stopped: the signal alone only asks for it.
pub fn stop(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("stop a process that is there");
    let stopped = |stat: &str| stat.rfind(')').is_some_and(|end| stat[end + 1..].trim_start().starts_with('T'));
    eventually("all threads have stopped", || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
        // One that has ended meanwhile runs no more either.
        tasks.into_iter().all(|task| fs::read_to_string(task.path().join("stat")).map_or(true, |stat| stopped(&stat)))
    });
}

/// The children of a process, zombies too.
pub fn children(pid: i32) -> Vec<i32> {
    let Ok(found) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = found.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&child| status(child).is_some_and(|(_, parent)| parent == pid)).collect()
}

/// How much processor time a process has used, in steps of 10 ms.
pub fn processor_time(pid: i32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rfind(')').map(|end| stat[end + 1..].split_ascii_whitespace()).into_iter().flatten();
    // User and system time, in the kernel's hundredths of a second.
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

/// The state and the parent, from `/proc/PID/stat`: what follows the command's name, which may itself hold brackets.
fn status(pid: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn entries(directory: &str) -> usize {
    fs::read_dir(directory).map_or(0, |found| found.count())
}
