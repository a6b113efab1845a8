//! The socket that both halves of a connection share.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::sys::socket::{
    AddressFamily, Shutdown, SockaddrLike, SockaddrStorage, getpeername, getsockopt, setsockopt, shutdown, sockopt,
};

use super::TransportError;
use super::peer::Place;
use crate::sys::fork::{PrivateFd, Stamp};

/// A connection's descriptor: closed when the last of those who keep it is gone.
#[derive(Debug, Clone)]
pub enum Descriptor {
    /// Forked children inherit it.
    Shared(Arc<OwnedFd>),
    /// Forked children find it closed.
    Private(Arc<PrivateFd>),
}

impl From<Arc<OwnedFd>> for Descriptor {
    fn from(fd: Arc<OwnedFd>) -> Self {
        Self::Shared(fd)
    }
}

impl From<PrivateFd> for Descriptor {
    fn from(fd: PrivateFd) -> Self {
        Self::Private(Arc::new(fd))
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Shared(fd) => fd.as_fd(),
            Self::Private(fd) => (**fd).as_fd(),
        }
    }
}

/// A connected stream socket of this process.
#[derive(Debug)]
pub(super) struct Socket {
    fd: Descriptor,
    place: Place,
    stamp: Stamp,
}

impl Socket {
    pub(super) fn new(fd: Descriptor) -> Result<Self, TransportError> {
        let place = place(fd.as_fd()).map_err(|error| TransportError::io("looking at a connection", error))?;
        Ok(Self { fd, place, stamp: Stamp::now() })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn share(&self) -> Descriptor {
        self.fd.clone()
    }

    pub(super) fn carries_fds(&self) -> bool {
        matches!(self.place, Place::Process { .. })
    }

    /// Whether this process may use it.
    #[inline]
    pub(super) fn check(&self) -> Result<(), TransportError> {
        if self.stamp.is_current() { Ok(()) } else { Err(TransportError::Inherited) }
    }

    /// Ends both directions, for both processes.
    pub(super) fn shutdown(&self) {
        if self.stamp.is_current() {
            // It may have ended already.
            let _ = shutdown(self.fd.as_fd().as_raw_fd(), Shutdown::Both);
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Tells where the other side is, and sets what a socket of that kind needs.
fn place(fd: BorrowedFd<'_>) -> io::Result<Place> {
    let peer: SockaddrStorage = getpeername(fd.as_raw_fd())?;
    match peer.family() {
        Some(AddressFamily::Unix) => {
            let credentials = getsockopt(&fd, sockopt::PeerCredentials)?;
            Ok(Place::Process { pid: credentials.pid().cast_unsigned(), uid: credentials.uid() })
        }
        Some(AddressFamily::Inet | AddressFamily::Inet6) => {
            // Calls are small and wait for their answers: held back until the last was acknowledged, each would take 40
            // ms.
            setsockopt(&fd, sockopt::TcpNoDelay, &true)?;
            watch_host(fd)?;
            let host = match (peer.as_sockaddr_in(), peer.as_sockaddr_in6()) {
                (Some(v4), _) => SocketAddr::V4((*v4).into()),
                (_, Some(v6)) => SocketAddr::V6((*v6).into()),
                _ => return Err(io::ErrorKind::InvalidInput.into()),
            };
            Ok(Place::Host(Box::new(host)))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a unix nor a tcp socket")),
    }
}

/// Whether the error says that the other side is gone.
pub(super) fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
}

/// How long the other host may be silent before the kernel asks whether it is there, and between its questions: 5 s.
const ASK_SECONDS: u32 = 5;
/// After how much silence, questions or data unanswered, the other host counts as dead: 15 s.
const SILENCE_SECONDS: u32 = 15;

/// Has the kernel find out that the other host is gone, where it can't say so itself: the heartbeats of a tcp connection.
fn watch_host(stream: BorrowedFd<'_>) -> io::Result<()> {
    setsockopt(&stream, sockopt::KeepAlive, &true)?;
    setsockopt(&stream, sockopt::TcpKeepIdle, &ASK_SECONDS)?;
    setsockopt(&stream, sockopt::TcpKeepInterval, &ASK_SECONDS)?;
    setsockopt(&stream, sockopt::TcpKeepCount, &(SILENCE_SECONDS / ASK_SECONDS - 1))?;
    setsockopt(&stream, sockopt::TcpUserTimeout, &(SILENCE_SECONDS * 1000))?;
    Ok(())
}
