//! The parent's handle to a child that it forked.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::generation::Stamp;
use super::private::PrivateFd;
use crate::sys::pidfd::PidFd;
use crate::sys::poll::{self, Interest};
use crate::sys::sync::Mutex;

/// A child process, named by its pidfd: no signal can reach another process that got its pid later.
///
/// Dropping it does nothing to the child. In a forked child of the process that made it, it is inert: nothing
/// is waited for, nothing is signalled.
#[derive(Debug)]
pub struct Child {
    pidfd: PidFd<PrivateFd>,
    status: Mutex<Option<ExitStatus>>,
    stamp: Stamp,
}

impl Child {
    pub(super) fn new(pidfd: PidFd) -> Self {
        Self { pidfd: pidfd.into_private(), status: Mutex::new(None), stamp: Stamp::now() }
    }

    /// Its process id. Once it was reaped the number may name somebody else.
    pub fn pid(&self) -> u32 {
        self.pidfd.pid()
    }

    /// Its pidfd, to poll: readable when the child has ended.
    pub fn pidfd(&self) -> &PidFd<PrivateFd> {
        &self.pidfd
    }

    /// Waits for the child's end, for `timeout` at the most (`None`: without limit), and reaps it.
    ///
    /// `None` when the time ran out, and at once in a process that only inherited this handle. The status is
    /// remembered: any number of calls, from any threads, get it.
    ///
    /// # Errors
    /// When the system refuses to wait. That somebody else (a `waitpid(-1)`, an ignored `SIGCHLD`) has taken the
    /// status is no error: it is [`ExitStatus::Unknown`].
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Option<ExitStatus>> {
        if !self.stamp.is_current() {
            return Ok(None);
        }
        if let Some(known) = *self.status.lock() {
            return Ok(Some(known));
        }
        // The lock is not held while sleeping: a second waiter with a shorter time must not wait for the first.
        if !poll::wait_one(self.pidfd.as_fd(), Interest::Read, timeout)?.readable {
            return Ok(None);
        }
        let mut status = self.status.lock();
        if status.is_none() {
            *status = self.reap()?;
        }
        Ok(*status)
    }

    /// Sends a signal. A child that has ended is no error, nor is one that this process only inherited the handle of.
    ///
    /// # Errors
    /// When the system refuses (the child has changed its user).
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        if !self.stamp.is_current() {
            return Ok(());
        }
        match self.pidfd.send_signal(signal) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            sent => sent,
        }
    }

    /// Takes the status of a child that has ended. libc's `waitid`, since nix's refuses a real-time signal as the
    /// cause.
    fn reap(&self) -> io::Result<Option<ExitStatus>> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let id = self.pidfd.as_fd().as_raw_fd().cast_unsigned();
        loop {
            // SAFETY: the pidfd is open, and `info` is a siginfo_t that the kernel may write.
            let failed = unsafe { libc::waitid(libc::P_PIDFD, id, info.as_mut_ptr(), libc::WEXITED | libc::WNOHANG) };
            match failed {
                0 => break,
                _ => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error if error.raw_os_error() == Some(libc::ECHILD) => return Ok(Some(ExitStatus::Unknown)),
                    error => return Err(error),
                },
            }
        }
        // SAFETY: all zeros is a siginfo_t, and the kernel has filled it or left it so.
        let info = unsafe { info.assume_init() };
        // SAFETY: waitid fills this field; left at zero it says that no child was ready.
        if unsafe { info.si_pid() } == 0 {
            return Ok(None);
        }
        // SAFETY: waitid fills this field together with si_code.
        let status = unsafe { info.si_status() };
        Ok(Some(if info.si_code == libc::CLD_EXITED { ExitStatus::Exited(status) } else { ExitStatus::Killed(status) }))
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitStatus {
    /// By itself, with this code (0 to 255).
    Exited(i32),
    /// By the signal of this number.
    Killed(i32),
    /// It ended, but somebody else in this process took the status.
    Unknown,
}

impl ExitStatus {
    #[cfg(test)]
    /// The signal's number, if one ended it.
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Killed(signal) => Some(signal),
            _ => None,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Killed(signal) => match Signal::try_from(signal) {
                Ok(known) => write!(f, "was killed by {known}"),
                Err(_) => write!(f, "was killed by signal {signal}"),
            },
            Self::Unknown => f.write_str("ended; how, another waiter of this process knows"),
        }
    }
}
