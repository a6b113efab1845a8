//! In which order items leave a queue: the only thing in which the kinds of queues differ.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::types::element::Element;

/// What is put and got: an element, with its priority where the order asks for one.
pub(super) trait Entry: Clone + Send + Serialize + DeserializeOwned + 'static {
    fn element(&self) -> &Element;

    /// As Python shows it.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl Entry for Element {
    fn element(&self) -> &Element {
        self
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Entry for (i64, Element) {
    fn element(&self) -> &Element {
        &self.1
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.0, self.1)
    }
}

/// An entry with its place: the how-manieth that entered the queue. It keeps that for good, so that it can return to it.
#[derive(Clone)]
pub(super) struct Item<E> {
    pub(super) place: u64,
    pub(super) entry: E,
}

/// The items in a queue.
pub(super) trait Order: Default + Send + 'static {
    type Entry: Entry;

    /// Adds an item, be it the latest or one that returns.
    fn insert(&mut self, item: Item<Self::Entry>);

    /// Takes the next item.
    fn take(&mut self) -> Option<Item<Self::Entry>>;

    fn len(&self) -> usize;

    /// The entries in the order in which they would leave.
    fn entries(&self) -> Vec<Self::Entry>;
}

/// First in, first out. Sorted by place; what returns belongs near the front.
#[derive(Default)]
pub(super) struct Fifo(VecDeque<Item<Element>>);

impl Order for Fifo {
    type Entry = Element;

    fn insert(&mut self, item: Item<Element>) {
        match self.0.back() {
            Some(last) if last.place > item.place => {
                let index = self.0.partition_point(|other| other.place < item.place);
                self.0.insert(index, item);
            }
            _ => self.0.push_back(item),
        }
    }

    fn take(&mut self) -> Option<Item<Element>> {
        self.0.pop_front()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn entries(&self) -> Vec<Element> {
        self.0.iter().map(|item| item.entry.clone()).collect()
    }
}

/// Last in, first out. Sorted by place.
#[derive(Default)]
pub(super) struct Lifo(Vec<Item<Element>>);

impl Order for Lifo {
    type Entry = Element;

    fn insert(&mut self, item: Item<Element>) {
        let index = self.0.iter().rposition(|other| other.place < item.place).map_or(0, |before| before + 1);
        self.0.insert(index, item);
    }

    fn take(&mut self) -> Option<Item<Element>> {
        self.0.pop()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn entries(&self) -> Vec<Element> {
        self.0.iter().rev().map(|item| item.entry.clone()).collect()
    }
}

/// The lowest priority number first; of equal ones, the first in.
#[derive(Default)]
pub(super) struct Ranked(BTreeMap<(i64, u64), Element>);

impl Order for Ranked {
    type Entry = (i64, Element);

    fn insert(&mut self, item: Item<(i64, Element)>) {
        let (priority, element) = item.entry;
        self.0.insert((priority, item.place), element);
    }

    fn take(&mut self) -> Option<Item<(i64, Element)>> {
        let ((priority, place), element) = self.0.pop_first()?;
        Some(Item { place, entry: (priority, element) })
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn entries(&self) -> Vec<(i64, Element)> {
        self.0.iter().map(|(&(priority, _), element)| (priority, element.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(number: u64) -> Element {
        Element::of(&number).unwrap()
    }

    /// Puts 0 to 5 in, takes three out, returns them in another order, and reads what leaves.
    fn after_a_return<O: Order>(entry: impl Fn(u64) -> O::Entry) -> Vec<u64> {
        let mut order = O::default();
        (0..6).for_each(|place| order.insert(Item { place, entry: entry(place) }));
        let taken: Vec<_> = (0..3).map(|_| order.take().unwrap()).collect();
        let [a, b, c] = <[_; 3]>::try_from(taken).ok().unwrap();
        [b, c, a].into_iter().for_each(|item| order.insert(item));
        assert_eq!((order.len(), order.entries().len()), (6, 6));
        std::iter::from_fn(|| order.take()).map(|item| item.entry.element().read().unwrap()).collect()
    }

    #[test]
    fn what_returns_takes_its_own_place() {
        assert_eq!(after_a_return::<Fifo>(element), [0, 1, 2, 3, 4, 5]);
        assert_eq!(after_a_return::<Lifo>(element), [5, 4, 3, 2, 1, 0]);
        let by_parity = |number| (i64::from(number % 2 == 0), element(number));
        assert_eq!(after_a_return::<Ranked>(by_parity), [1, 3, 5, 0, 2, 4]);
    }
}
