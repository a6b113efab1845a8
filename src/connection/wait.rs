//! Waiting for the first of many.

use std::fs::File;
use std::io::{self, PipeReader};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{ChildStderr, ChildStdout};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::sys::poll::{self, Interest};

/// What can be waited for, by [`wait`]: connections with a message or at their end, listeners with a caller, processes that have
/// ended, and the standard library's streams.
pub trait Waitable {
    /// What is readable once it is ready; `None` when it is ready for good.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Whether it is ready though nothing is to be read: it has read ahead.
    fn is_ready(&self) -> bool {
        false
    }
}

macro_rules! standard_streams {
    ($($kind:ty),*) => {$(
        impl Waitable for $kind {
            fn fd(&self) -> Option<BorrowedFd<'_>> {
                Some(self.as_fd())
            }
        }
    )*};
}

standard_streams! {
    File, PipeReader, TcpListener, TcpStream, OwnedFd, BorrowedFd<'_>, UnixListener, UnixStream, ChildStderr, ChildStdout,
    io::Stdin
}

/// Waits until one of `objects` is ready, for `timeout` at the most (`None`: without limit), and returns the indices of all that
/// are: none, if the time ran out.
///
/// ```
/// use std::time::Duration;
/// use multiproc::{Process, process};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (near, far) = multiproc::pipe()?;
/// let child = Process::spawn(move || far.send("done").is_ok())?;
/// let ready = process::wait(&[&child, &near], Some(Duration::from_secs(10)))?;
/// assert!(!ready.is_empty());
/// assert_eq!(near.recv::<String>()?, "done");
/// assert!(child.join()?);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the system refuses to wait.
pub fn wait(objects: &[&dyn Waitable], timeout: Option<Duration>) -> Result<Vec<usize>> {
    let fds: Vec<_> = objects.iter().map(|object| if object.is_ready() { None } else { object.fd() }).collect();
    let polled: Vec<_> = fds.iter().flatten().map(|fd| (*fd, Interest::Read)).collect();
    let timeout = if polled.len() < objects.len() { Some(Duration::ZERO) } else { timeout };
    let ready = poll::wait(&polled, timeout).map_err(|error| Error::io("waiting", error))?;
    let mut ready = ready.into_iter();
    let is_ready = |fd: &Option<BorrowedFd<'_>>| fd.is_none() || ready.next().is_some_and(poll::Ready::any);
    let told: Vec<_> = fds.iter().map(is_ready).collect();
    Ok(told.into_iter().enumerate().filter_map(|(index, ready)| ready.then_some(index)).collect())
}
