//! What names a referent between processes.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::wire::{Cursor, Put};
use super::{ClientId, ObjectId, ProtocolError, ServerId};

/// The name of a referent: which server's, which object, of which type, and where the server is reached.
///
/// A token keeps nothing alive; a proxy does. The server id is random and the object id is never used again, so that a token of
/// a dead or restarted server can only miss. Two tokens are equal when they name the same object, by whatever address it is reached.
///
/// ```
/// # use multiproc::{BaseManager, Proxy, Result};
/// # #[multiproc::referent]
/// # impl Counter { pub fn new() -> Self { Counter } }
/// # struct Counter;
/// # fn main() -> Result<()> {
/// # let manager = BaseManager::builder().register::<Counter>().start()?;
/// let a = CounterProxy::new(&manager)?;
/// assert_eq!(a.token().typeid(), "Counter");
/// assert_eq!(a.token(), a.clone().token());
/// # manager.shutdown()
/// # }
/// ```
#[derive(Clone, Serialize, Deserialize)]
pub struct Token {
    pub(crate) server: ServerId,
    pub(crate) object: ObjectId,
    pub(crate) typeid: Arc<str>,
    pub(crate) address: Arc<str>,
}

impl Token {
    /// The server that owns the referent.
    pub fn server(&self) -> ServerId {
        self.server
    }

    /// The referent's number in that server.
    pub fn object(&self) -> ObjectId {
        self.object
    }

    /// The registered name of the referent's type.
    pub fn typeid(&self) -> &str {
        &self.typeid
    }

    /// Where the server is reached, in the form that `Address` reads.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.object == other.object && self.server == other.server
    }
}

impl Eq for Token {}

impl Hash for Token {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.server.hash(state);
        self.object.hash(state);
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} object {} at {}", self.typeid, self.object, self.address)
    }
}

/// The name of a reference in transit: who sent it, and his how-manieth it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TicketId {
    /// The client that serialized the proxy.
    pub client: ClientId,
    /// A number of that client's, never used again.
    pub number: u64,
}

/// A token as it stands beside a payload, between a client and *its* server.
#[derive(Debug, Clone)]
pub enum WireToken<'a> {
    /// An object of this very server.
    Own {
        /// Which.
        object: ObjectId,
        /// The name of its type.
        typeid: &'a str,
    },
    /// An object of another server, with a ticket there.
    Foreign {
        /// The other server.
        server: ServerId,
        /// The object there.
        object: ObjectId,
        /// The name of its type.
        typeid: &'a str,
        /// Where the other server is reached.
        address: &'a str,
        /// What keeps the object alive until the receiver has taken its own reference.
        ticket: Option<TicketId>,
    },
}

const OWN: u8 = 0;
const FOREIGN: u8 = 1;
const FOREIGN_WITH_TICKET: u8 = 2;

impl WireToken<'_> {
    /// Writes `token` as it goes between a client and the server `server`.
    pub fn write(token: &Token, ticket: Option<TicketId>, server: ServerId, out: &mut Vec<u8>) {
        if token.server == server {
            out.put_u8(OWN);
            out.put_u64(token.object.0);
            out.put_short(token.typeid.as_bytes());
            return;
        }
        out.put_u8(if ticket.is_some() { FOREIGN_WITH_TICKET } else { FOREIGN });
        out.extend_from_slice(&token.server.0);
        out.put_u64(token.object.0);
        out.put_short(token.typeid.as_bytes());
        out.put_short(token.address.as_bytes());
        if let Some(ticket) = ticket {
            out.extend_from_slice(&ticket.client.0);
            out.put_u64(ticket.number);
        }
    }
}

impl<'a> WireToken<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, ProtocolError> {
        let kind = cursor.u8()?;
        if kind == OWN {
            return Ok(Self::Own { object: ObjectId(cursor.u64()?), typeid: cursor.short_str("typeid")? });
        }
        if kind != FOREIGN && kind != FOREIGN_WITH_TICKET {
            return Err(ProtocolError::BadField("token"));
        }
        Ok(Self::Foreign {
            server: ServerId(cursor.id()?),
            object: ObjectId(cursor.u64()?),
            typeid: cursor.short_str("typeid")?,
            address: cursor.short_str("address")?,
            ticket: if kind == FOREIGN_WITH_TICKET {
                Some(TicketId { client: ClientId(cursor.id()?), number: cursor.u64()? })
            } else {
                None
            },
        })
    }
}

/// The tokens beside a payload, read one after the other.
#[derive(Clone)]
pub struct WireTokens<'a> {
    cursor: Cursor<'a>,
    left: u16,
}

impl<'a> WireTokens<'a> {
    /// Reads over `count` tokens; what stands behind them is the payload.
    #[inline(always)]
    pub(super) fn read(mut cursor: Cursor<'a>, count: u16) -> Result<(Self, &'a [u8]), ProtocolError> {
        let tokens = Self { cursor, left: count };
        if count > 0 {
            Self::pass(&mut cursor, count)?;
        }
        Ok((tokens, cursor.rest()))
    }

    fn pass(cursor: &mut Cursor<'a>, count: u16) -> Result<(), ProtocolError> {
        (0..count).try_for_each(|_| WireToken::read(cursor).map(drop))
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.left)
    }
}

impl<'a> Iterator for WireTokens<'a> {
    type Item = WireToken<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // Checked by `read`: a second pass over the same bytes can't fail.
        WireToken::read(&mut self.cursor).ok()
    }
}
