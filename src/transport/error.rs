//! What can go wrong between two sockets.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::address::{Address, AddressError};
use crate::error::{Cause, Error};

/// What a transport answers instead of a frame or a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The other side has closed the connection, between two frames.
    #[error("the other side closed the connection")]
    Closed,
    /// The other side has closed the connection, or died, inside a frame.
    #[error("the other side closed the connection in the middle of a message")]
    Truncated,
    /// The other side announces a frame that is over the limit. Nothing was allocated for it.
    #[error("a message of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// The announced size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// What the other side sends is no frame.
    #[error("the other side announced a message of {length} bytes: it speaks another protocol")]
    Garbage {
        /// The announced length.
        length: i32,
    },
    /// What stands in the memory shared with the other side can't have been written by this crate.
    #[error("the other side has scribbled over the shared memory: {what} is not possible")]
    Scribbled {
        /// What was read.
        what: &'static str,
    },
    /// What was to be sent was written twice, and came out differently.
    #[error("what was to be sent changed while it was written")]
    Changed,
    /// File descriptors go over unix sockets only.
    #[error("file descriptors can be sent over unix sockets only")]
    NoFds,
    /// The connection was made by the process that this one was forked from.
    #[error("this connection belongs to the process that forked this one; a child has to open its own")]
    Inherited,
    /// There is no such socket, or nobody behind it.
    #[error("nobody listens at {address}")]
    NobodyListens {
        /// Where.
        address: Address,
    },
    /// A living server listens there already.
    #[error("{address} is in use by another server; shut that one down, or choose another address")]
    InUse {
        /// Where.
        address: Address,
    },
    /// The path of a socket to be made names something that no server left behind.
    #[error("{path:?} exists and is no socket; it is left alone: remove it, or choose another path")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The other side did not take the connection in time.
    #[error("{address} did not take the connection within {after:?}")]
    TimedOut {
        /// Where.
        address: Address,
        /// The time given.
        after: Duration,
    },
    /// This process, or the machine, has no file descriptor or memory left for another connection. It may have later.
    #[error("no file descriptor left for another connection; raise the limit (ulimit -n) or close some")]
    OutOfFds(#[source] io::Error),
    /// The address can't be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The operating system refused.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
}

impl TransportError {
    /// An error of the operating system, with what was tried.
    pub(super) fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { what: what.into(), source: source.into() }
    }

    /// The same as the crate's error, with the place where it happened.
    pub fn at(self, place: impl fmt::Display) -> Error {
        let gone = |reason: &str| Error::ServerGone { address: place.to_string(), reason: reason.to_owned() };
        match self {
            Self::Closed | Self::Truncated | Self::NobodyListens { .. } => gone(&self.to_string()),
            Self::TooLarge { size, limit } => Error::FrameTooLarge { size, limit },
            Self::Garbage { .. } | Self::Scribbled { .. } => Error::protocol(format!("{place}: {self}")),
            Self::Inherited => Error::State { what: self.to_string() },
            Self::TimedOut { after, .. } => Error::Timeout { after },
            Self::Address(error) => error.into(),
            Self::Io { what, source } => Error::io(format!("{place}: {what}"), source),
            other => Error::Io { what: place.to_string(), cause: Cause::new(other) },
        }
    }
}
