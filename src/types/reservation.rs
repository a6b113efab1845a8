//! Whose turn it is to change a cell, when many read, compute and replace it at the same time.
//!
//! An update of a client's own making reads a cell with its version, computes, and replaces it if the version is still the same. That needs no turns and starves nobody
//! for long while few compete; who has failed too often takes a reservation, and those without one must wait. A reservation ends when its holder commits,
//! lets go, dies, or takes longer than [`LIMIT`].

use std::collections::VecDeque;
use std::hash::Hash;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::object::Responder;
use crate::protocol::ClientId;

/// How long a holder may compute: a turn is for pure functions, and must not stop the others for long where one never comes back from them.
pub(super) const LIMIT: Duration = Duration::from_secs(1);

/// How often an update tries without a reservation.
pub(super) const TRIES: u32 = 8;

/// Somebody's turn, to be answered outside of locks.
pub(super) struct Turn<K, R> {
    pub(super) cell: K,
    /// Names the reservation; never used again.
    pub(super) reservation: u64,
    pub(super) responder: Responder<R>,
}

struct Waiting<R> {
    client: Option<ClientId>,
    responder: Responder<R>,
}

struct Held<R> {
    reservation: u64,
    client: Option<ClientId>,
    waiting: VecDeque<Waiting<R>>,
}

/// The reservations of one object's cells, which are named by `K`; its holder is answered an `R`.
pub(super) struct Reservations<K, R> {
    held: FxHashMap<K, Held<R>>,
    last: u64,
}

impl<K, R> Default for Reservations<K, R> {
    fn default() -> Self {
        Self { held: FxHashMap::default(), last: 0 }
    }
}

impl<K: Clone + Eq + Hash, R> Reservations<K, R> {
    /// Whether somebody has the turn.
    pub(super) fn is_held(&self, cell: &K) -> bool {
        !self.held.is_empty() && self.held.contains_key(cell)
    }

    /// Whether this reservation has the turn.
    pub(super) fn is_holder(&self, cell: &K, reservation: u64) -> bool {
        self.held.get(cell).is_some_and(|held| held.reservation == reservation)
    }

    /// Asks for the turn: at once, or when those before have had theirs.
    pub(super) fn reserve(&mut self, cell: K, responder: Responder<R>) -> Option<Turn<K, R>> {
        let client = responder.caller().and_then(|caller| caller.client);
        if let Some(held) = self.held.get_mut(&cell) {
            held.waiting.push_back(Waiting { client, responder });
            return None;
        }
        self.last += 1;
        let reservation = self.last;
        self.held.insert(cell.clone(), Held { reservation, client, waiting: VecDeque::new() });
        Some(Turn { cell, reservation, responder })
    }

    /// Ends a turn, if it is still that one's; the next one's.
    pub(super) fn release(&mut self, cell: &K, reservation: u64) -> Option<Turn<K, R>> {
        let held = self.held.get_mut(cell).filter(|held| held.reservation == reservation)?;
        let next = loop {
            match held.waiting.pop_front() {
                Some(next) if !next.responder.is_wanted() => {}
                other => break other,
            }
        };
        let Some(Waiting { client, responder }) = next else {
            self.held.remove(cell);
            return None;
        };
        self.last += 1;
        (held.reservation, held.client) = (self.last, client);
        Some(Turn { cell: cell.clone(), reservation: self.last, responder })
    }

    /// Ends all turns of a client that is gone; those who are next.
    pub(super) fn end(&mut self, client: ClientId) -> Vec<Turn<K, R>> {
        let of_client = |held: &Held<R>| held.client == Some(client);
        let ended: Vec<_> =
            self.held.iter().filter(|(_, held)| of_client(held)).map(|(cell, _)| cell.clone()).collect();
        let turn = |cell: &K| {
            let reservation = self.held.get(cell)?.reservation;
            self.release(cell, reservation)
        };
        ended.iter().filter_map(turn).collect()
    }
}
