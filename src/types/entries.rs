//! Keys in the order of their first insertion, each with something: what dicts, sets and namespaces consist of.
//!
//! Invariants: `places` and `entries` name each other; a place is never used again, so that one who walks along them by batches misses nothing that stays. Whatever
//! leaves is returned, since its end may be another object's, which must not come under the lock around all this.

use std::collections::{BTreeMap, HashMap};

use super::batches::{BATCH, BATCH_BYTES};
use super::element::{Canonical, Element};
use crate::error::Error;
use crate::object::Failure;

/// A key with what it is found by.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) element: Element,
    pub(super) canonical: Canonical,
}

impl Key {
    pub(super) fn new(element: Element) -> Result<Self, Failure> {
        let canonical = canonical(&element)?;
        Ok(Self { element, canonical })
    }
}

/// What an element is found by, and equal by.
pub(super) fn canonical(element: &Element) -> Result<Canonical, Failure> {
    element.canonical().map_err(|error| Error::unserializable::<Element>(error).into())
}

/// A key and what stands with it.
pub(super) struct Entry<V> {
    pub(super) key: Element,
    pub(super) value: V,
}

/// The entries.
pub(super) struct Entries<V> {
    places: HashMap<Canonical, u64>,
    /// By place: the how-manieth insertion it was.
    entries: BTreeMap<u64, Entry<V>>,
    /// The last number given out.
    last: u64,
}

impl<V> Default for Entries<V> {
    fn default() -> Self {
        Self { places: HashMap::new(), entries: BTreeMap::new(), last: 0 }
    }
}

impl<V> Entries<V> {
    /// A number that comes but once: a place, or a version.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn contains(&self, key: &Canonical) -> bool {
        self.places.contains_key(key)
    }

    pub(super) fn get(&self, key: &Canonical) -> Option<&Entry<V>> {
        self.entries.get(self.places.get(key)?)
    }

    /// Inserts, or overwrites what stands with the key; what is not needed then.
    pub(super) fn insert(&mut self, key: Key, value: V) -> Option<Entry<V>> {
        if let Some(entry) = self.places.get(&key.canonical).and_then(|place| self.entries.get_mut(place)) {
            return Some(Entry { key: key.element, value: std::mem::replace(&mut entry.value, value) });
        }
        let place = self.number();
        self.places.insert(key.canonical, place);
        self.entries.insert(place, Entry { key: key.element, value });
        None
    }

    pub(super) fn remove(&mut self, key: &Canonical) -> Option<Entry<V>> {
        let place = self.places.remove(key)?;
        self.entries.remove(&place)
    }

    /// The entry that was inserted last.
    pub(super) fn pop_last(&mut self) -> Option<Entry<V>> {
        let (_, entry) = self.entries.pop_last()?;
        // It had one when it was inserted.
        if let Ok(canonical) = entry.key.canonical() {
            self.places.remove(&canonical);
        }
        Some(entry)
    }

    /// Takes all of them out.
    pub(super) fn clear(&mut self) -> BTreeMap<u64, Entry<V>> {
        self.places.clear();
        std::mem::take(&mut self.entries)
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry<V>> + Clone {
        self.entries.values()
    }

    /// What each is found by, in no order.
    pub(super) fn canonicals(&self) -> impl Iterator<Item = &Canonical> {
        self.places.keys()
    }

    /// Those behind a place, as many as fit into one reply well, and the place of the last of them.
    pub(super) fn batch(&self, after: u64, bytes: impl Fn(&V) -> usize) -> (u64, Vec<&Entry<V>>) {
        let (mut last, mut size) = (after, 0);
        let mut batch = Vec::new();
        for (&place, entry) in self.entries.range(after.saturating_add(1)..).take(BATCH) {
            if size > BATCH_BYTES {
                break;
            }
            size += entry.key.bytes().len() + bytes(&entry.value);
            last = place;
            batch.push(entry);
        }
        (last, batch)
    }
}
