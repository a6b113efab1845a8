//! The native wire: what the frames between a client and a server hold.
//!
//! Pure data, in one place. A frame's body (the transport adds the length) starts with a byte that says what it is:
//!
//! | stream | from the client | from the server |
//! | --- | --- | --- |
//! | data | [`request::Request`], acknowledgements and cancellations ([`notice::DataNotice`]) | [`reply::Reply`], and the way to shared memory ([`notice::LinkNotice`]) |
//! | control | [`notice::ControlNotice`]: references, forks, tickets | [`notice::ServerNotice`] |
//!
//! Everything is little endian. The payloads (arguments and results) are `codec`'s; beside each stand the tokens of the proxies in it
//! ([`token`]), so that the reader of a frame can count references without decoding the payload, and also for
//! replies that nobody waits for any more.
//!
//! Invariant: reading never panics and never allocates more than the frame's own size.

pub mod carriage;
pub mod command;
pub mod ids;
pub mod limits;
pub mod notice;
pub mod reply;
pub mod request;
pub mod token;
mod wire;

pub use ids::{ClientId, ConnectionId, ObjectId, RequestId, ServerId, ThreadNumber};
pub use token::{TicketId, Token};

/// Why a frame can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The frame ends too early.
    #[error("a message is cut short")]
    Truncated,
    /// The frame's kind is none that may stand here.
    #[error("a message of unknown kind {0}")]
    UnknownKind(u8),
    /// A field has a value that it can't have.
    #[error("a message with a bad {0}")]
    BadField(&'static str),
    /// Something stands behind the frame's end.
    #[error("a message with bytes left over")]
    TrailingBytes,
}

impl From<ProtocolError> for crate::error::Error {
    fn from(error: ProtocolError) -> Self {
        Self::protocol(error.to_string())
    }
}
