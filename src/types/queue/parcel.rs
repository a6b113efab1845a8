//! Items on their way from a queue to a process.

use std::sync::Weak;

use serde::ser::{Serialize, Serializer};

use super::core::Core;
use super::order::{Entry, Item, Order};
use crate::protocol::ClientId;

/// The items of one answer.
#[derive(Clone)]
pub(super) enum Load<E> {
    /// What `get` gives.
    One(Item<E>),
    /// What `get_many` gives.
    Many(Vec<Item<E>>),
}

impl<E> Load<E> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(items) => items.len(),
        }
    }

    pub(super) fn into_items(self) -> Vec<Item<E>> {
        match self {
            Self::One(item) => vec![item],
            Self::Many(items) => items,
        }
    }
}

/// As the receiver reads it: an entry, or a list of them.
impl<E: Entry> Serialize for Load<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(item) => item.entry.serialize(serializer),
            Self::Many(items) => serializer.collect_seq(items.iter().map(|item| &item.entry)),
        }
    }
}

/// Items that have left the queue, until it is certain where they are. It is [returned](Self::put_back) if they do not arrive; dropping it says that they have.
pub(super) struct Parcel<O: Order> {
    queue: Weak<Core<O>>,
    receiver: Option<ClientId>,
    load: Option<Load<O::Entry>>,
}

impl<O: Order> Parcel<O> {
    /// The queue has counted it as being on its way.
    pub(super) fn new(queue: Weak<Core<O>>, receiver: Option<ClientId>, load: Load<O::Entry>) -> Self {
        Self { queue, receiver, load: Some(load) }
    }

    /// It never arrived: the items return to their places.
    pub(super) fn put_back(mut self) {
        let load = self.load.take();
        if let (Some(queue), Some(load)) = (self.queue.upgrade(), load) {
            queue.take_back(self.receiver, load);
        }
    }
}

impl<O: Order> Drop for Parcel<O> {
    fn drop(&mut self) {
        if self.load.is_some()
            && let Some(queue) = self.queue.upgrade()
        {
            queue.arrived();
        }
    }
}
