//! The answer to a call, as it travels back on the call's connection.

use super::token::WireTokens;
use super::wire::Cursor;
use super::{ProtocolError, RequestId};

/// The byte that a reply starts with.
pub const REPLY: u8 = 2;

/// What kind of answer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The method's result.
    Returned,
    /// The method's own `Err`.
    Failed,
    /// The system's error, always written by the same codec (bincode).
    Refused,
}

impl Status {
    fn from_byte(byte: u8) -> Result<Self, ProtocolError> {
        match byte {
            0 => Ok(Self::Returned),
            1 => Ok(Self::Failed),
            2 => Ok(Self::Refused),
            _ => Err(ProtocolError::BadField("status")),
        }
    }

    fn as_byte(self) -> u8 {
        match self {
            Self::Returned => 0,
            Self::Failed => 1,
            Self::Refused => 2,
        }
    }
}

/// The fixed part of a reply. Replies are numbered from 1 on each connection, in the order in which they are sent; the number is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyHead {
    /// The call that it answers.
    pub request: RequestId,
    /// The kind of answer.
    pub status: Status,
    /// Whether the reply moves something to the client (a queue item, a lock): the client's library says at once that it has it.
    pub moves: bool,
}

/// An answer, read from a frame.
#[derive(Clone)]
pub struct Reply<'a> {
    /// The fixed part.
    pub head: ReplyHead,
    /// The proxies in the payload, each a reference granted to the reader of this frame.
    pub tokens: WireTokens<'a>,
    /// The result, or the error.
    pub payload: &'a [u8],
}

impl ReplyHead {
    /// How many bytes stand before the tokens.
    pub const SIZE: usize = 1 + 1 + 2 + 8;

    /// All of the frame that stands before the tokens; tokens and payload follow.
    #[inline]
    pub fn bytes(&self, tokens: u16) -> [u8; Self::SIZE] {
        let flags = self.status.as_byte() | if self.moves { MOVES } else { 0 };
        let mut bytes = [REPLY, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[2..4].copy_from_slice(&tokens.to_le_bytes());
        bytes[4..].copy_from_slice(&self.request.0.to_le_bytes());
        bytes
    }
}

const MOVES: u8 = 0x80;

impl<'a> Reply<'a> {
    /// Reads a frame whose first byte is [`REPLY`].
    #[inline]
    pub fn read(frame: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new(frame);
        match cursor.u8()? {
            REPLY => {}
            other => return Err(ProtocolError::UnknownKind(other)),
        }
        let flags = cursor.u8()?;
        let count = cursor.u16()?;
        let head = ReplyHead {
            request: RequestId(cursor.u64()?),
            status: Status::from_byte(flags & !MOVES)?,
            moves: flags & MOVES != 0,
        };
        let (tokens, payload) = WireTokens::read(cursor, count)?;
        Ok(Self { head, tokens, payload })
    }
}
