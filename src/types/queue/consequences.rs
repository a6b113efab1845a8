//! Those who wait at a queue, and what they are to be told: gathered under the queue's lock, carried out when it is open again.

use super::QueueError;
use super::order::Order;
use super::parcel::{Load, Parcel};
use crate::object::Responder;
use crate::protocol::ClientId;

/// Somebody who waits for items.
pub(super) struct Getter<E> {
    pub(super) client: Option<ClientId>,
    /// How many at most; `None` for one alone.
    pub(super) max: Option<usize>,
    pub(super) responder: Responder<Load<E>, QueueError>,
}

/// Somebody who waits for room.
pub(super) struct Putter<E> {
    pub(super) entries: Vec<E>,
    pub(super) many: bool,
    pub(super) responder: Responder<Put, QueueError>,
}

/// The answer to a putter: to one of many, how many were put.
type Put = Option<usize>;

/// An answer that brings items.
pub(super) struct Delivery<O: Order> {
    pub(super) responder: Responder<Load<O::Entry>, QueueError>,
    pub(super) load: Load<O::Entry>,
    pub(super) parcel: Parcel<O>,
}

/// What a change has called for, to be done when the lock is open again.
pub(super) struct Consequences<O: Order> {
    pub(super) deliveries: Vec<Delivery<O>>,
    pub(super) puts: Vec<(Responder<Put, QueueError>, Put)>,
    pub(super) ended: Vec<Responder<Load<O::Entry>, QueueError>>,
    pub(super) refused: Vec<Putter<O::Entry>>,
    pub(super) joined: Vec<Responder<(), QueueError>>,
    pub(super) lost: u64,
    /// Entries to be dropped.
    pub(super) rest: Vec<O::Entry>,
    pub(super) gone: Gone<O>,
}

/// Waiters who gave up while they were about to be served.
pub(super) struct Gone<O: Order> {
    pub(super) getters: Vec<Getter<O::Entry>>,
    pub(super) putters: Vec<Putter<O::Entry>>,
}

impl<O: Order> Gone<O> {
    fn is_empty(&self) -> bool {
        self.getters.is_empty() && self.putters.is_empty()
    }
}

impl<O: Order> Default for Consequences<O> {
    fn default() -> Self {
        let (deliveries, puts, ended, refused, joined, rest) = Default::default();
        let gone = Gone { getters: Vec::new(), putters: Vec::new() };
        Self { deliveries, puts, ended, refused, joined, lost: 0, rest, gone }
    }
}

impl<O: Order> Consequences<O> {
    pub(super) fn are_none(&self) -> bool {
        self.deliveries.is_empty()
            && self.puts.is_empty()
            && self.ended.is_empty()
            && self.refused.is_empty()
            && self.joined.is_empty()
            && self.gone.is_empty()
    }

    /// Answers; what is left is to be dropped, if anything is.
    pub(super) fn carry_out(self) -> Option<(Gone<O>, Vec<O::Entry>)> {
        for Delivery { responder, load, parcel } in self.deliveries {
            responder.respond_or_put_back(&load, move || parcel.put_back());
        }
        for (responder, put) in self.puts {
            responder.respond(&put);
        }
        for responder in self.ended {
            responder.fail(&QueueError::ShutDown);
        }
        let mut entries = self.rest;
        for mut putter in self.refused {
            entries.append(&mut putter.entries);
            putter.responder.fail(&QueueError::ShutDown);
        }
        for joiner in self.joined {
            match self.lost {
                0 => joiner.respond(&()),
                items => joiner.fail(&QueueError::Lost { items }),
            }
        }
        let none = entries.is_empty() && self.gone.is_empty();
        (!none).then_some((self.gone, entries))
    }
}
