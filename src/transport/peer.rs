//! Who is at the other end of a connection.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Weak;

use super::socket::Socket;
use crate::sys::pidfd::PidFd;

/// Where the other side is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// On this machine; pid 0 stands for a process of another pid namespace.
    Process { pid: u32, uid: u32 },
    /// At the end of a network. Boxed for the others' sake, of whom there are thousands.
    Host(Box<SocketAddr>),
}

/// The other side of a connection. Holding it does not hold the connection open.
#[derive(Debug, Clone)]
pub struct Peer {
    pub(super) place: Place,
    pub(super) socket: Weak<Socket>,
}

impl Peer {
    /// The process, to be told of its end; `None` over a network, in another pid namespace, when it has ended, and when
    /// the connection is closed here.
    ///
    /// Of a socket *pair* it is the process that made the pair, at both ends.
    pub fn pidfd(&self) -> Option<PidFd> {
        match self.place {
            Place::Process { .. } => PidFd::of_peer(self.socket.upgrade()?.as_fd()),
            Place::Host(_) => None,
        }
    }

    /// Whether it is on this machine, behind a unix socket.
    pub fn is_local(&self) -> bool {
        matches!(self.place, Place::Process { .. })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Process { pid: 0, uid } => write!(f, "a process of user {uid} in another pid namespace"),
            Place::Process { pid, uid } => write!(f, "process {pid} of user {uid}"),
            Place::Host(address) => write!(f, "{address}"),
        }
    }
}
