//! Why two processes did not come together.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::error::{Cause, Error};
use crate::transport::TransportError;

/// Why a handshake failed. What both sides learn has one message for both.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The client's proof did not fit the server's key.
    #[error("the two sides have different authkeys; give both the same one")]
    WrongKey,
    /// The server's proof did not fit the client's key: it only plays the server.
    #[error("whoever listens there could not prove that it knows the authkey")]
    ServerUnproven,
    /// The two sides speak different versions of the protocol.
    #[error("this side speaks version {ours} of the protocol and the other {theirs}; build both with the same release")]
    Version {
        /// This side's.
        ours: u16,
        /// The other's.
        theirs: u16,
    },
    /// What came in does not speak as a client does.
    #[error("whoever connected is no multiproc client")]
    NotAClient,
    /// What listens does not speak as a server does.
    #[error("whoever listens there is no multiproc server")]
    NotAServer,
    /// A Python client came in.
    #[error("whoever connected is a Python client, and Python peers are not allowed here")]
    PythonPeer,
    /// The other side said more than it may before it is known.
    #[error("the other side began with a message of {size} bytes, where {limit} are allowed: it is no multiproc peer")]
    TooLarge {
        /// The announced size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The other side said nothing for too long.
    #[error("the other side was silent for {after:?}")]
    TimedOut {
        /// The time given.
        after: Duration,
    },
    /// The server found that the client said nothing for too long.
    #[error("the server gave this connection up: it had waited too long for an answer")]
    TooLate,
    /// The server has as many connections as it may have.
    #[error("the server takes no more connections: {reason}")]
    Busy {
        /// The server's words.
        reason: String,
    },
    /// The server took something this side said for no hello.
    #[error("the server refused the connection: {reason}")]
    Refused {
        /// The server's words.
        reason: String,
    },
    /// The connection ended before the handshake did.
    #[error("the other side closed the connection in the middle of the handshake")]
    Closed,
    /// This side gave up.
    #[error("the handshake was cancelled")]
    Cancelled,
    /// The connection failed.
    #[error("the connection failed in the middle of the handshake")]
    Transport(#[source] TransportError),
}

impl HandshakeError {
    /// The same as the crate's error, with the other side named.
    pub fn with(self, peer: impl fmt::Display) -> Error {
        Error::Authentication { peer: peer.to_string(), cause: Cause::new(self) }
    }

    /// The error of the system's polling.
    pub(super) fn polling(source: io::Error) -> Self {
        Self::Transport(TransportError::Io { what: "waiting for the other side".to_owned(), source })
    }
}

/// But for lengths that are none, which each side takes for another kind of stranger.
impl From<TransportError> for HandshakeError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Closed | TransportError::Truncated => Self::Closed,
            TransportError::TooLarge { size, limit } => Self::TooLarge { size, limit },
            error => Self::Transport(error),
        }
    }
}

impl From<HandshakeError> for Error {
    fn from(error: HandshakeError) -> Self {
        error.with("the other side")
    }
}
