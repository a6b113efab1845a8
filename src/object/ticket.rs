//! References in transit: tokens that left a process by another way than a call, and that nobody has decoded yet.
//!
//! A ticket keeps its object alive until it is redeemed, or until its lapse, which begins when its sender has let go of the object or has ended.
//! What the server's own code sends lapses from the start. Time comes in from outside, so that all of this is tested without waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::entry::Entry;
use crate::protocol::limits::TICKET_TIME;
use crate::protocol::{ClientId, ObjectId, TicketId};

struct Ticket {
    entry: Arc<Entry>,
    lapses: Option<Instant>,
}

/// The outstanding tickets of one server.
pub struct Tickets {
    tickets: FxHashMap<TicketId, Ticket>,
    /// Those whose end is known, soonest first.
    lapsing: BTreeMap<(Instant, u64, ClientId), ()>,
    time: Duration,
}

impl Default for Tickets {
    fn default() -> Self {
        Self { tickets: FxHashMap::default(), lapsing: BTreeMap::new(), time: TICKET_TIME }
    }
}

impl Tickets {
    /// How long a ticket outlives its sender's last reference.
    pub fn set_time(&mut self, time: Duration) {
        self.time = time;
    }

    /// Keeps the object until the ticket is redeemed; with `now`, only so long from then.
    pub fn issue(&mut self, id: TicketId, entry: Arc<Entry>, now: Option<Instant>) {
        self.tickets.insert(id, Ticket { entry, lapses: None });
        if let Some(now) = now {
            self.lapse(now, |ticket, _| ticket == id);
        }
    }

    /// The ticket is used: its object, to be held by another reference.
    pub fn redeem(&mut self, id: TicketId) -> Option<Arc<Entry>> {
        let ticket = self.tickets.remove(&id)?;
        if let Some(lapses) = ticket.lapses {
            self.lapsing.remove(&(lapses, id.number, id.client));
        }
        Some(ticket.entry)
    }

    /// A client has let go of its last reference to an object: its tickets for it lapse from now on.
    pub fn sender_released(&mut self, client: ClientId, object: ObjectId, now: Instant) {
        self.lapse(now, |ticket, entry| ticket.client == client && entry.id() == object);
    }

    /// A client has ended: its tickets lapse from now on.
    pub fn sender_ended(&mut self, client: ClientId, now: Instant) {
        self.lapse(now, |ticket, _| ticket.client == client);
    }

    fn lapse(&mut self, now: Instant, which: impl Fn(TicketId, &Entry) -> bool) {
        for (&id, ticket) in &mut self.tickets {
            if ticket.lapses.is_none() && which(id, &ticket.entry) {
                let lapses = now + self.time;
                ticket.lapses = Some(lapses);
                self.lapsing.insert((lapses, id.number, id.client), ());
            }
        }
    }

    /// When the next one lapses.
    pub fn next_lapse(&self) -> Option<Instant> {
        self.lapsing.first_key_value().map(|(&(lapses, ..), ())| lapses)
    }

    /// The objects of tickets that have lapsed, to be dropped outside of locks.
    pub fn take_lapsed(&mut self, now: Instant) -> Vec<Arc<Entry>> {
        let mut lapsed = Vec::new();
        while let Some((&(lapses, number, client), ())) = self.lapsing.first_key_value() {
            if lapses > now {
                break;
            }
            self.lapsing.pop_first();
            lapsed.extend(self.tickets.remove(&TicketId { client, number }).map(|ticket| ticket.entry));
        }
        lapsed
    }

    /// Whether any is outstanding.
    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// Ends all.
    pub fn end(&mut self) -> Vec<Arc<Entry>> {
        self.lapsing.clear();
        self.tickets.drain().map(|(_, ticket)| ticket.entry).collect()
    }
}
