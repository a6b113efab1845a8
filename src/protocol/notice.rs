//! One-way messages: nobody waits for an answer to them.

use super::wire::{Cursor, Put};
use super::{ClientId, ConnectionId, ObjectId, ProtocolError, RequestId, TicketId};

/// What a client says beside its calls on a data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataNotice {
    /// So many replies were read on this connection.
    Acknowledge {
        /// The number of the last one.
        replies: u64,
    },
    /// A reply moved something to a caller who had given up: it is to be put back. Said before any acknowledgement of that reply or a later one.
    Decline {
        /// The reply's number.
        reply: u64,
    },
    /// The caller gave up; the request's one final answer is still sent.
    Cancel {
        /// Which request.
        request: RequestId,
    },
    /// Calls come fast: the client would like to have shared memory. The server offers some, or lets it be.
    Wish,
    /// The client has mapped what was offered, and sends by it from now on: its last frame on the socket.
    Leaves,
    /// The client can't map what was offered.
    Declines,
}

/// What a server says beside its replies on a data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkNotice {
    /// Shared memory, whose descriptor travels with the frame.
    Offer,
    /// The server sends by it from now on: its last frame on the socket.
    Leaves,
}

/// So many references to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The object.
    pub object: ObjectId,
    /// How many: one for each time that its token stood in a frame.
    pub references: u64,
}

/// What a client says on its control stream. The order of these is the order in which the server sees a client's references change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlNotice {
    /// The client has let go of so many references to each object.
    Release(Vec<Count>),
    /// The client forks: `child` starts with the same references. A lifeline, whose end is the child's end, travels with it where the transport can.
    Fork {
        /// The id that the child will use.
        child: ClientId,
    },
    /// A forked child has ended. Said by its parent where the transport can't carry lifelines; of no consequence if the child has a control stream of its own.
    Ended {
        /// The child.
        child: ClientId,
    },
    /// A forked child's first word: what it holds of that which it was given at the fork; the rest is let go.
    Holds(Vec<Count>),
    /// A proxy was serialized for a way other than a call: keep its object until the ticket is redeemed or lapses.
    Issue {
        /// The object.
        object: ObjectId,
        /// The ticket's number, of this client's.
        ticket: u64,
    },
    /// A token came in by a way other than a call: one grant more for this client, and the ticket is used up.
    Redeem {
        /// The object.
        object: ObjectId,
        /// What kept it alive meanwhile.
        ticket: Option<TicketId>,
    },
    /// A data connection broke after so many replies had been read: the grants and deliveries in later ones never arrived.
    Lost {
        /// Which connection.
        connection: ConnectionId,
        /// The number of the last reply that was read.
        replies: u64,
    },
}

/// What a server says unasked, on a control stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerNotice {
    /// The server ends, for this reason.
    Ending {
        /// In a few words.
        reason: String,
    },
}

const ACKNOWLEDGE: u8 = 3;
const CANCEL: u8 = 4;
const DECLINE: u8 = 5;
const WISH: u8 = 6;
const LEAVES: u8 = 7;
const DECLINES: u8 = 8;
const OFFER: u8 = 9;
const RELEASE: u8 = 16;
const FORK: u8 = 17;
const HOLDS: u8 = 18;
const ISSUE: u8 = 19;
const REDEEM: u8 = 20;
const REDEEM_WITHOUT_TICKET: u8 = 21;
const LOST: u8 = 22;
const ENDING: u8 = 23;
const ENDED: u8 = 24;

impl DataNotice {
    /// Writes the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Acknowledge { replies } => {
                out.put_u8(ACKNOWLEDGE);
                out.put_u64(replies);
            }
            Self::Decline { reply } => {
                out.put_u8(DECLINE);
                out.put_u64(reply);
            }
            Self::Cancel { request } => {
                out.put_u8(CANCEL);
                out.put_u64(request.0);
            }
            Self::Wish => out.put_u8(WISH),
            Self::Leaves => out.put_u8(LEAVES),
            Self::Declines => out.put_u8(DECLINES),
        }
    }

    /// Reads a frame.
    pub fn read(frame: &[u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new(frame);
        let notice = match cursor.u8()? {
            ACKNOWLEDGE => Self::Acknowledge { replies: cursor.u64()? },
            DECLINE => Self::Decline { reply: cursor.u64()? },
            CANCEL => Self::Cancel { request: RequestId(cursor.u64()?) },
            WISH => Self::Wish,
            LEAVES => Self::Leaves,
            DECLINES => Self::Declines,
            other => return Err(ProtocolError::UnknownKind(other)),
        };
        cursor.end()?;
        Ok(notice)
    }
}

impl LinkNotice {
    /// The frame.
    pub fn frame(self) -> &'static [u8] {
        match self {
            Self::Offer => &[OFFER],
            Self::Leaves => &[LEAVES],
        }
    }

    /// Reads a frame; `None` for a reply.
    #[inline]
    pub fn read(frame: &[u8]) -> Option<Self> {
        match frame {
            [OFFER] => Some(Self::Offer),
            [LEAVES] => Some(Self::Leaves),
            _ => None,
        }
    }
}

fn write_counts(kind: u8, counts: &[Count], out: &mut Vec<u8>) {
    out.put_u8(kind);
    for count in counts {
        out.put_u64(count.object.0);
        out.put_u64(count.references);
    }
}

fn read_counts(cursor: Cursor<'_>) -> Result<Vec<Count>, ProtocolError> {
    let (chunks, rest) = cursor.rest().as_chunks::<16>();
    if !rest.is_empty() {
        return Err(ProtocolError::Truncated);
    }
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
    Ok(chunks
        .iter()
        .map(|chunk| Count { object: ObjectId(number(&chunk[..8])), references: number(&chunk[8..]) })
        .collect())
}

impl ControlNotice {
    /// Writes the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Release(counts) => write_counts(RELEASE, counts, out),
            Self::Holds(counts) => write_counts(HOLDS, counts, out),
            Self::Fork { child } => {
                out.put_u8(FORK);
                out.extend_from_slice(&child.0);
            }
            Self::Ended { child } => {
                out.put_u8(ENDED);
                out.extend_from_slice(&child.0);
            }
            Self::Issue { object, ticket } => {
                out.put_u8(ISSUE);
                out.put_u64(object.0);
                out.put_u64(*ticket);
            }
            Self::Redeem { object, ticket: Some(ticket) } => {
                out.put_u8(REDEEM);
                out.put_u64(object.0);
                out.extend_from_slice(&ticket.client.0);
                out.put_u64(ticket.number);
            }
            Self::Redeem { object, ticket: None } => {
                out.put_u8(REDEEM_WITHOUT_TICKET);
                out.put_u64(object.0);
            }
            Self::Lost { connection, replies } => {
                out.put_u8(LOST);
                out.put_u64(connection.0);
                out.put_u64(*replies);
            }
        }
    }

    /// Reads a frame.
    pub fn read(frame: &[u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new(frame);
        let notice = match cursor.u8()? {
            RELEASE => return read_counts(cursor).map(Self::Release),
            HOLDS => return read_counts(cursor).map(Self::Holds),
            FORK => Self::Fork { child: ClientId(cursor.id()?) },
            ENDED => Self::Ended { child: ClientId(cursor.id()?) },
            ISSUE => Self::Issue { object: ObjectId(cursor.u64()?), ticket: cursor.u64()? },
            REDEEM => Self::Redeem {
                object: ObjectId(cursor.u64()?),
                ticket: Some(TicketId { client: ClientId(cursor.id()?), number: cursor.u64()? }),
            },
            REDEEM_WITHOUT_TICKET => Self::Redeem { object: ObjectId(cursor.u64()?), ticket: None },
            LOST => Self::Lost { connection: ConnectionId(cursor.u64()?), replies: cursor.u64()? },
            other => return Err(ProtocolError::UnknownKind(other)),
        };
        cursor.end()?;
        Ok(notice)
    }
}

impl ServerNotice {
    /// Writes the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Self::Ending { reason } = self;
        out.put_u8(ENDING);
        out.put_short(reason.as_bytes());
    }

    /// Reads a frame.
    pub fn read(frame: &[u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new(frame);
        let notice = match cursor.u8()? {
            ENDING => Self::Ending { reason: cursor.short_str("reason")?.to_owned() },
            other => return Err(ProtocolError::UnknownKind(other)),
        };
        cursor.end()?;
        Ok(notice)
    }
}
