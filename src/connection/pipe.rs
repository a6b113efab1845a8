//! Two joined ends, for a process and the child that it is about to fork.
//!
//! A fork copies both ends into both processes. The parent's copy of the child's end goes away by being moved into the child's
//! closure; the child's copy of the *parent's* end lies on a stack that nobody unwinds, and by holding it the child would
//! never see its parent's end. So the first use of one end in a forked child buries the other one there.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::Connection;
use crate::error::{Error, Result};
use crate::sys::fork::generation;
use crate::sys::socket::{bury, stream_pair};
use crate::transport;

/// Two joined connections: what one sends, the other receives. There is no limit to the length of a message.
///
/// ```
/// use multiproc::Process;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (near, far) = multiproc::pipe()?;
/// let child = Process::spawn(move || {
///     // `far` was moved here, so the parent's copy of it is closed.
///     while let Ok(number) = far.recv::<u64>() {
///         far.send(&(number * number)).unwrap();
///     }
/// })?;
/// near.send(&12)?;
/// assert_eq!(near.recv::<u64>()?, 144);
/// near.close();
/// child.join()?;
/// # Ok(())
/// # }
/// ```
///
/// # Forks
/// A child should use one of the ends only: with its first use, its copy of the other one is gone.
///
/// # Errors
/// When there is no file descriptor left.
#[doc(alias = "Pipe")]
pub fn pipe() -> Result<(Connection, Connection)> {
    let failed = |error| Error::io("making a pipe", error);
    let (near, far) = stream_pair().map_err(failed)?;
    let (near, far) = (Arc::new(near), Arc::new(far));
    let ends = Arc::new([End::new(&near), End::new(&far)]);
    let connection = |socket, index| -> Result<Connection> {
        let connection = transport::Connection::sharing(socket).map_err(|error| error.at("a pipe"))?;
        Ok(Connection::new(connection, u64::MAX, Some(Twin { ends: Arc::clone(&ends), index })))
    };
    Ok((connection(near, 0)?, connection(far, 1)?))
}

/// What became of an end in this process. A copy in a forked child says what was so at the fork.
struct End {
    /// Closed where it can't be upgraded.
    socket: Weak<OwnedFd>,
    /// The generation that used it last, or [`BURIED`].
    used_in: AtomicU64,
}

const BURIED: u64 = u64::MAX;

impl End {
    fn new(socket: &Arc<OwnedFd>) -> Self {
        Self { socket: Arc::downgrade(socket), used_in: AtomicU64::new(generation()) }
    }
}

/// One end's knowledge of both.
pub(super) struct Twin {
    ends: Arc<[End; 2]>,
    index: usize,
}

impl Twin {
    /// Makes this end the one that this process uses, and buries the other, unless that is used here too or closed.
    pub(super) fn use_here(&self) -> Result<()> {
        self.check()?;
        let (this, other) = (&self.ends[self.index], &self.ends[1 - self.index]);
        // Pairs with nothing: the connection's lock, and the forked child's one thread, keep the order.
        this.used_in.store(generation(), Ordering::Relaxed);
        let used = other.used_in.load(Ordering::Relaxed);
        let Some(socket) = other.socket.upgrade().filter(|_| used != BURIED && used != generation()) else {
            return Ok(());
        };
        other.used_in.store(BURIED, Ordering::Relaxed);
        bury(socket.as_fd()).map_err(|error| Error::io("closing the pipe's other end in this process", error))
    }

    /// Whether this end may be used here.
    pub(super) fn check(&self) -> Result<()> {
        if self.ends[self.index].used_in.load(Ordering::Relaxed) != BURIED {
            return Ok(());
        }
        let what = "this end of the pipe was given up in this process when its other end was used; a forked child uses one of them";
        Err(Error::State { what: what.to_owned() })
    }
}
