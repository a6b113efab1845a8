//! What both ends of a data connection count: requests, replies, and how far the client has taken replies in.
//!
//! Replies are numbered in the order in which they are sent. The server keeps in mind what each granted and moved until it is told that the client has it: all
//! up to a number at once, so that number stays below a reply whose item nobody has taken yet.

use std::collections::BTreeSet;

use crate::protocol::{ConnectionId, RequestId};

/// The counts of one data connection.
pub(super) struct Tally {
    pub(super) connection: ConnectionId,
    /// How many requests were sent.
    requests: u64,
    /// How many replies were read.
    pub(super) replies: u64,
    /// Whether the server keeps something in mind until it is told.
    owes: bool,
    /// Replies that moved something which nobody has taken or declined yet.
    untaken: BTreeSet<u64>,
}

impl Tally {
    pub(super) fn new(connection: ConnectionId) -> Self {
        Self { connection, requests: 0, replies: 0, owes: false, untaken: BTreeSet::new() }
    }

    /// Names the next request.
    pub(super) fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    /// Counts a reply that was read, and gives its number. What it moves is to be [taken](Self::take) or declined.
    pub(super) fn read(&mut self, grants: bool, moves: bool) -> u64 {
        self.replies += 1;
        self.owes |= grants || moves;
        if moves {
            self.untaken.insert(self.replies);
        }
        self.replies
    }

    /// What a reply moved has found its owner, or was declined.
    pub(super) fn take(&mut self, reply: u64) {
        self.untaken.remove(&reply);
    }

    /// Whether each item has found its owner.
    pub(super) fn is_settled(&self) -> bool {
        self.untaken.is_empty()
    }

    /// The number up to which replies have been taken in, for a frame that is sent now; 0 where the server need not be told.
    pub(super) fn acknowledge(&mut self) -> u64 {
        if !self.owes {
            return 0;
        }
        self.owes = !self.untaken.is_empty();
        self.untaken.first().map_or(self.replies, |first| first - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_taken_is_not_acknowledged_nor_what_lies_behind_it() {
        let mut tally = Tally::new(ConnectionId(1));
        assert_eq!((tally.read(false, false), tally.acknowledge()), (1, 0));
        assert_eq!((tally.read(true, false), tally.acknowledge(), tally.acknowledge()), (2, 2, 0));
        let (first, second) = (tally.read(false, true), tally.read(false, true));
        tally.read(true, false);
        assert_eq!(tally.acknowledge(), 2);
        tally.take(second);
        assert_eq!((tally.acknowledge(), tally.is_settled()), (2, false));
        tally.take(first);
        assert_eq!((tally.acknowledge(), tally.acknowledge(), tally.is_settled()), (5, 0, true));
    }
}
