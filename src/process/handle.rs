//! A child, seen from its parent.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::children;
use super::error::ProcessError;
use super::report::{Message, Report};
use crate::connection::Waitable;
use crate::error::{Error, Result};
use crate::sys::fork::{Child, ExitStatus, PrivateFd, Stamp};
use crate::sys::pidfd::PidFd;
use crate::sys::poll::{self, Interest};
use crate::sys::sync::Mutex;

/// A child, as the parent keeps it: one for all handles.
#[derive(Debug)]
pub struct Offspring {
    name: String,
    daemon: bool,
    body: Body,
    /// What is said of it, and what it hangs by: closing this kills a daemonic child.
    socket: PrivateFd,
    heard: Mutex<Heard>,
    /// How many [`Handle`]s there are.
    handles: AtomicUsize,
    stamp: Stamp,
}

/// The process itself.
#[derive(Debug)]
pub enum Body {
    /// Forked by this process.
    Own(Child),
    /// Forked by the fork server, which tells of its end.
    Served(PidFd<PrivateFd>),
}

/// What was said of a child so far.
#[derive(Debug, Default)]
struct Heard {
    report: Option<Report>,
    ended: Option<ExitStatus>,
}

impl Offspring {
    pub(super) fn new(name: String, daemon: bool, body: Body, socket: PrivateFd) -> Self {
        let heard = Mutex::default();
        Self { name, daemon, body, socket, heard, handles: AtomicUsize::new(0), stamp: Stamp::now() }
    }

    pub(super) fn is_daemon(&self) -> bool {
        self.daemon
    }

    pub(super) fn is_own(&self) -> bool {
        self.stamp.is_current()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.pidfd().pid()
    }

    pub(crate) fn pidfd(&self) -> &PidFd<PrivateFd> {
        match &self.body {
            Body::Own(child) => child.pidfd(),
            Body::Served(pidfd) => pidfd,
        }
    }

    /// What is readable when there may be news of its end.
    pub(crate) fn watched(&self) -> BorrowedFd<'_> {
        match &self.body {
            Body::Own(child) => child.pidfd().as_fd(),
            // Its end is known when the fork server has told of it.
            Body::Served(_) => self.socket.as_fd(),
        }
    }

    /// Waits for its end and reaps it, for `timeout` at the most; `None` when the time ran out, and in another process.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<Option<ExitStatus>> {
        if !self.is_own() {
            return Ok(None);
        }
        match &self.body {
            Body::Own(child) => {
                let status = child.wait(timeout)?;
                if status.is_some() {
                    self.listen();
                }
                Ok(status)
            }
            Body::Served(_) => self.wait_for_word(timeout),
        }
    }

    /// As [`wait`](Self::wait), and takes it off this process's list when it has ended.
    pub(crate) fn end(self: &Arc<Self>, timeout: Option<Duration>) -> io::Result<Option<ExitStatus>> {
        let status = self.wait(timeout)?;
        if status.is_some() {
            children::forget(self);
        }
        Ok(status)
    }

    /// Waits for the fork server's word of its end, or for the fork server's own.
    fn wait_for_word(&self, timeout: Option<Duration>) -> io::Result<Option<ExitStatus>> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if let Some(ended) = self.listen() {
                return Ok(Some(ended));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if !poll::wait_one(&self.socket, Interest::Read, left)?.any() {
                return Ok(None);
            }
        }
    }

    /// Takes in what was said. Does not wait.
    fn listen(&self) -> Option<ExitStatus> {
        let mut heard = self.heard.lock();
        loop {
            match Message::receive(self.socket.as_fd()) {
                Ok((Message::Report(report), _)) => heard.report = Some(report),
                Ok((Message::Ended(ending), _)) => heard.ended = Some(ending.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    // Nobody is left to say how it ended.
                    heard.ended = heard.ended.or(Some(ExitStatus::Unknown));
                    break;
                }
            }
        }
        heard.ended
    }

    /// What it had to say for itself, once it has ended.
    pub(super) fn report(&self) -> Option<Report> {
        self.heard.lock().report.clone()
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        if !self.is_own() {
            return Ok(());
        }
        match &self.body {
            Body::Own(child) => child.signal(signal),
            Body::Served(pidfd) => match pidfd.send_signal(signal) {
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
                sent => sent,
            },
        }
    }
}

/// A child of this process, without the type of what it returns: its name, its end, its signals.
///
/// Any number of them may be of one child. Dropping them does nothing to it: it goes on, is reaped when it has ended, and unless it
/// is daemonic this process waits for it at its own end. In a forked child of this process a handle is inert.
pub struct Handle(Arc<Offspring>);

impl Handle {
    pub(super) fn new(child: Arc<Offspring>) -> Self {
        // Pairs with the decrement in `drop`, which only asks whether it was the last.
        child.handles.fetch_add(1, Ordering::Relaxed);
        Self(child)
    }

    pub(super) fn child(&self) -> &Arc<Offspring> {
        &self.0
    }

    /// Its process id. Once it has been waited for, the number may be another's.
    #[doc(alias = "pid")]
    pub fn id(&self) -> u32 {
        self.0.pidfd().pid()
    }

    /// Its name: the one it was given, or `Process-1` for the first child of the main process.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether it ends with this process.
    pub fn is_daemon(&self) -> bool {
        self.0.daemon
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        self.0.is_own() && matches!(self.try_wait(), Ok(None))
    }

    /// How it ended, if it has; does not wait.
    ///
    /// # Errors
    /// [`ProcessError::Lost`] when it has ended and somebody else in this program has been told how; when the system refuses.
    pub fn try_wait(&self) -> Result<Option<std::process::ExitStatus>, ProcessError> {
        self.wait_timeout(Duration::ZERO)
    }

    /// Waits for its end without limit, and reaps it.
    ///
    /// # Errors
    /// As [`try_wait`](Self::try_wait); [`Error::State`] in a forked child of the process that started it.
    pub fn wait(&self) -> Result<std::process::ExitStatus, ProcessError> {
        let status = self.ended(None)?;
        status.ok_or_else(|| self.inherited()).and_then(|status| self.told(status))
    }

    /// As [`wait`](Self::wait), for `timeout` at the most; `None` when the time ran out.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<std::process::ExitStatus>, ProcessError> {
        self.ended(Some(timeout))?.map(|status| self.told(status)).transpose()
    }

    /// How it ended, if it has and that is known; does not wait.
    #[doc(alias = "exitcode")]
    pub fn exit_status(&self) -> Option<std::process::ExitStatus> {
        self.try_wait().ok().flatten()
    }

    /// Sends SIGTERM, which ends it unless it has a handler. Does not wait. One that has ended is no error.
    ///
    /// # Errors
    /// When the system refuses: it has changed its user.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// Sends SIGKILL, which ends it whatever it does. Does not wait. One that has ended is no error.
    ///
    /// # Errors
    /// When the system refuses: it has changed its user.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)
    }

    /// What to poll: readable once it has ended. A pidfd.
    pub fn sentinel(&self) -> BorrowedFd<'_> {
        self.0.pidfd().as_fd()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        self.0.signal(signal).map_err(|error| Error::io(format!("sending {signal} to {self}"), error))
    }

    /// Waits for its end.
    pub(super) fn ended(&self, timeout: Option<Duration>) -> Result<Option<ExitStatus>, ProcessError> {
        if !self.0.is_own() {
            return Err(self.inherited());
        }
        let status = self.0.wait(timeout).map_err(|error| Error::io(format!("waiting for {self}"), error))?;
        if status.is_some() {
            children::forget(&self.0);
        }
        Ok(status)
    }

    fn told(&self, status: ExitStatus) -> Result<std::process::ExitStatus, ProcessError> {
        match status {
            ExitStatus::Exited(code) => Ok(std::process::ExitStatus::from_raw(code << 8)),
            ExitStatus::Killed(signal) => Ok(std::process::ExitStatus::from_raw(signal)),
            ExitStatus::Unknown => Err(ProcessError::Lost { process: self.to_string() }),
        }
    }

    fn inherited(&self) -> ProcessError {
        let what =
            format!("{self} is a child of the process that this one was forked from, and only that can wait for it");
        Error::State { what }.into()
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.0))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.0.handles.fetch_sub(1, Ordering::Relaxed) == 1 && self.0.is_own() {
            children::abandon(&self.0);
        }
    }
}

impl Waitable for Handle {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.sentinel())
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.name(), self.id())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("name", &self.name()).field("id", &self.id()).finish_non_exhaustive()
    }
}
