//! The data connections of one client: a call takes one out, and puts it back when its reply has been read.
//!
//! There are as many as calls were under way at once; the one used last is used next, since its memory is warm. It lies in a [slot](crate::sys::slot) beside this pool, where
//! it is had without a lock.

use super::pipeline::Spare;
use super::tally::Tally;
use super::upgrade::Upgrade;
use crate::transport::{Connection, Wait};

/// One data connection.
pub(super) struct Link {
    pub(super) stream: Connection,
    pub(super) tally: Tally,
    pub(super) upgrade: Upgrade,
    /// How its callers wait.
    pub(super) wait: Wait,
    /// The head of the frame that is being written; kept for its memory.
    pub(super) head: Vec<u8>,
    /// The frame that is being read, and what batches need, for the same reason.
    pub(super) spare: Box<Spare>,
}

impl Link {
    pub(super) fn new(tally: Tally, stream: Connection, upgrade: Upgrade, wait: Wait) -> Self {
        Self { stream, tally, upgrade, wait, head: Vec::new(), spare: Box::default() }
    }
}

/// The idle connections.
#[derive(Default)]
pub(super) struct Pool {
    #[allow(clippy::vec_box)] // They come out of the slot, and go back into it, as they are.
    idle: Vec<Box<Link>>,
}

impl Pool {
    /// The most connections that are kept idle: 64. More would only be needed by as many threads that call at once, and cost the server a descriptor each.
    const MAX_IDLE: usize = 64;

    pub(super) fn take(&mut self) -> Option<Box<Link>> {
        self.idle.pop()
    }

    /// Keeps a connection for the next call; gives it back to be dropped where there are enough.
    pub(super) fn put(&mut self, link: Box<Link>) -> Option<Box<Link>> {
        if self.idle.len() >= Self::MAX_IDLE {
            return Some(link);
        }
        self.idle.push(link);
        None
    }
}
