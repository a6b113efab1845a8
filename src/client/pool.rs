//! The data connections of one client: a call takes one out, and puts it back when its reply has been read.
//!
//! There are as many as calls were under way at once; the one used last is used next, since its memory is warm.

use crate::protocol::{ConnectionId, RequestId};
use crate::transport::Connection;

/// One data connection.
pub(super) struct Link {
    pub(super) connection: ConnectionId,
    pub(super) stream: Connection,
    /// How many requests were sent.
    requests: u64,
    /// How many replies were read.
    pub(super) replies: u64,
    /// How many of those the server was told of.
    pub(super) acknowledged: u64,
    /// Whether a reply was read that the server keeps in mind until it is told.
    pub(super) owes: bool,
    /// The head of the frame that is being written; kept for its memory.
    pub(super) head: Vec<u8>,
}

impl Link {
    pub(super) fn new(connection: ConnectionId, stream: Connection) -> Self {
        Self { connection, stream, requests: 0, replies: 0, acknowledged: 0, owes: false, head: Vec::new() }
    }

    pub(super) fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }
}

/// The idle connections.
#[derive(Default)]
pub(super) struct Pool {
    idle: Vec<Link>,
}

impl Pool {
    /// The most connections that are kept idle: 64. More would only be needed by as many threads that call at once, and cost the server a descriptor each.
    const MAX_IDLE: usize = 64;

    pub(super) fn take(&mut self) -> Option<Link> {
        self.idle.pop()
    }

    /// Keeps a connection for the next call; gives it back to be dropped where there are enough.
    pub(super) fn put(&mut self, link: Link) -> Option<Link> {
        if self.idle.len() >= Self::MAX_IDLE {
            return Some(link);
        }
        self.idle.push(link);
        None
    }
}
