//! Those who wait for something of an object, in the order in which they came.
//!
//! A place in the line is named by a number, so that one that is given up is taken out at once, wherever it stands: a million timeouts leave nothing behind.

use std::collections::BTreeMap;

/// A line of waiting `W`s.
pub(super) struct Waiters<W> {
    waiting: BTreeMap<u64, W>,
    last: u64,
}

impl<W> Default for Waiters<W> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), last: 0 }
    }
}

impl<W> Waiters<W> {
    /// The next place in the line, to be taken by [`stand`](Self::stand) or left empty. Behind all that were given before it.
    pub(super) fn place(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The last place that was given.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Takes a place.
    pub(super) fn stand(&mut self, place: u64, waiter: W) {
        self.waiting.insert(place, waiter);
    }

    /// Leaves the line.
    pub(super) fn leave(&mut self, place: u64) -> Option<W> {
        self.waiting.remove(&place)
    }

    /// Who is first, with his place.
    pub(super) fn first(&self) -> Option<(u64, &W)> {
        self.waiting.first_key_value().map(|(&place, waiter)| (place, waiter))
    }

    /// Takes out who is first.
    pub(super) fn pop(&mut self) -> Option<W> {
        self.pop_placed().map(|(_, waiter)| waiter)
    }

    /// Takes out who is first, with his place.
    pub(super) fn pop_placed(&mut self) -> Option<(u64, W)> {
        self.waiting.pop_first()
    }

    /// Takes out all, in order.
    pub(super) fn take(&mut self) -> impl Iterator<Item = W> + use<W> {
        std::mem::take(&mut self.waiting).into_values()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
