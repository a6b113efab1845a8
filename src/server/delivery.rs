//! Replies that granted or moved something, and whose arrival is not certain yet.
//!
//! Replies of a connection are numbered in the order in which they are sent. The client says how many it has read, with its next request or at once; what lies
//! behind a broken connection is uncertain until the client has said so on its control stream, or has ended.

use std::collections::VecDeque;

use crate::object::answer::PutBack;
use crate::protocol::ObjectId;

struct Delivery {
    reply: u64,
    grants: Vec<ObjectId>,
    put_back: Option<PutBack>,
}

/// What did not arrive: to be undone.
#[derive(Default)]
#[must_use]
pub(super) struct Undone {
    /// References that were granted.
    pub(super) grants: Vec<ObjectId>,
    /// Things that were moved.
    pub(super) put_backs: Vec<PutBack>,
}

/// The uncertain replies of one connection.
#[derive(Default)]
pub(super) struct Deliveries {
    sent: u64,
    /// Boxed, since most connections never have any, and thousands of them are silent.
    #[allow(clippy::box_collection)]
    uncertain: Option<Box<VecDeque<Delivery>>>,
}

impl Deliveries {
    /// Counts a reply that is being sent.
    pub(super) fn send(&mut self, grants: Vec<ObjectId>, put_back: Option<PutBack>) {
        self.sent += 1;
        if !grants.is_empty() || put_back.is_some() {
            self.uncertain.get_or_insert_default().push_back(Delivery { reply: self.sent, grants, put_back });
        }
    }

    /// The client has read so many replies. What would have put back what they moved: to be dropped outside of locks, since it may hold the last reference to an
    /// object, and tells its object by that.
    #[must_use = "drop it outside of locks"]
    pub(super) fn acknowledge(&mut self, replies: u64) -> Vec<PutBack> {
        let Some(uncertain) = &mut self.uncertain else { return Vec::new() };
        let arrived = std::iter::from_fn(|| uncertain.pop_front_if(|delivery| delivery.reply <= replies));
        arrived.filter_map(|delivery| delivery.put_back).collect()
    }

    /// The client has no use for what a reply moved; what puts it back, if it moved anything.
    pub(super) fn decline(&mut self, reply: u64) -> Option<PutBack> {
        let uncertain = self.uncertain.as_mut()?;
        let place = uncertain.binary_search_by_key(&reply, |delivery| delivery.reply).ok()?;
        uncertain[place].put_back.take()
    }

    /// Gives up memory that holds nothing: for a connection that has fallen silent.
    pub(super) fn park(&mut self) {
        self.uncertain.take_if(|uncertain| uncertain.is_empty());
    }

    /// Nothing more will be read.
    pub(super) fn undo(self) -> Undone {
        let mut undone = Undone::default();
        for delivery in self.uncertain.into_iter().flat_map(|uncertain| *uncertain) {
            undone.grants.extend(delivery.grants);
            undone.put_backs.extend(delivery.put_back);
        }
        undone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_read_is_undone() {
        let mut deliveries = Deliveries::default();
        deliveries.send(vec![ObjectId(1)], None);
        deliveries.send(vec![], None);
        deliveries.send(vec![ObjectId(2), ObjectId(3)], Some(Box::new(|| {})));
        assert!(deliveries.acknowledge(2).is_empty());
        assert!(deliveries.acknowledge(1).is_empty());
        let undone = deliveries.undo();
        assert_eq!(undone.grants, [ObjectId(2), ObjectId(3)]);
        assert_eq!(undone.put_backs.len(), 1);
    }

    #[test]
    fn what_is_declined_is_put_back_once_and_its_grants_stay() {
        let mut deliveries = Deliveries::default();
        deliveries.send(vec![ObjectId(1)], Some(Box::new(|| {})));
        deliveries.send(vec![], None);
        assert!(deliveries.decline(2).is_none());
        assert!(deliveries.decline(3).is_none());
        assert!(deliveries.decline(1).is_some());
        assert!(deliveries.decline(1).is_none());
        let undone = deliveries.undo();
        assert_eq!((undone.grants.len(), undone.put_backs.len()), (1, 0));
    }
}
