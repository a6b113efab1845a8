//! The dict itself, in the server.

use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::DictProxy;
use crate::codec::Value;
use crate::error::{Error, Result};
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Failure, Invocation, Outcome, Referent};
use crate::sys::sync::Mutex;
use crate::types::element::{Canonical, Each, Element, elements};
use crate::types::encodes::Slot;
use crate::types::entries::{Entries, Entry, Key, canonical};
use crate::types::reservation::Cell;
use crate::types::update::{self, Cells, Change, Fetched, Turns, Updated};

/// The referent of a [`DictProxy`]: keys and values of any types.
pub struct Dict {
    inner: Arc<Inner>,
}

pub(in crate::types) struct Inner {
    state: Mutex<Entries<Held>>,
    turns: Turns<Self>,
}

struct Held {
    value: Element,
    /// Which write the value is of; no two writes of a dict have the same.
    version: u64,
}

impl Entries<Held> {
    /// Inserts or overwrites; what is not needed any more, to be dropped outside of the lock.
    fn set(&mut self, key: Key, value: Element) -> Option<Entry<Held>> {
        let version = self.number();
        self.insert(key, Held { value, version })
    }

    fn value(&self, key: &Canonical) -> Option<&Element> {
        Some(&self.get(key)?.value.value)
    }

    fn version(&self, key: &Canonical) -> Option<u64> {
        Some(self.get(key)?.value.version)
    }
}

impl Inner {
    /// An entry that was taken out has not arrived. It stays away where the key was set anew.
    fn put_back(&self, key: Element, value: Element) {
        // It had one when it was inserted.
        let Ok(key) = Key::new(key) else { return };
        let mut state = self.state.lock();
        if !state.contains(&key.canonical) {
            state.set(key, value);
        }
    }
}

impl Cell for Canonical {}

impl Cells for Inner {
    type Cell = Canonical;

    fn turns(&self) -> &Turns<Self> {
        &self.turns
    }

    fn cell(&self, name: &Element) -> Result<Canonical, Failure> {
        canonical(name)
    }

    fn fetch(&self, cell: &Canonical) -> Result<Fetched> {
        let state = self.state.lock();
        Ok(Slot(state.get(cell).map(|entry| (entry.value.version, entry.value.value.clone()))))
    }

    fn replace(&self, cell: &Canonical, change: Change, may: impl FnOnce() -> bool) -> Result<bool> {
        let Change { name: element, version, new } = change;
        let mut state = self.state.lock();
        let replaces = state.version(cell) == version && may();
        // What leaves the dict outlives the lock.
        let _former = match new {
            Some(new) if replaces => state.set(Key { element, canonical: cell.clone() }, new),
            None if replaces => state.remove(cell),
            _ => None,
        };
        drop(state);
        Ok(replaces)
    }
}

impl Dict {
    /// An empty dict.
    pub fn new() -> Self {
        Self { inner: Arc::new_cyclic(|me| Inner { state: Mutex::default(), turns: Turns::new(me.clone()) }) }
    }

    pub(in crate::types) fn insert_all(&self, entries: Vec<(Element, Element)>) -> Result<(), Failure> {
        // All keys are looked at before any is inserted: a bad one must not leave half of them behind.
        let keyed: Result<Vec<_>, Failure> =
            entries.into_iter().map(|(key, value)| Ok((Key::new(key)?, value))).collect();
        let keyed = keyed?;
        let mut former = Vec::new();
        let mut state = self.inner.state.lock();
        former.extend(keyed.into_iter().filter_map(|(key, value)| state.set(key, value)));
        drop(state);
        Ok(())
    }

    pub(in crate::types) fn get(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key,) = call.arguments::<(Element,)>()?;
        let key = canonical(&key)?;
        let state = self.inner.state.lock();
        call.answer(&Slot(state.value(&key)))
    }

    pub(in crate::types) fn insert(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key, value) = elements::<(Element, Element)>(call)?;
        let key = Key::new(key)?;
        let former = self.inner.state.lock().set(key, value);
        call.answer(&Slot(former.map(|entry| entry.value.value)))
    }

    /// As [`insert`](Self::insert), for who does not ask what was there.
    pub(in crate::types) fn assign(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key, value) = elements::<(Element, Element)>(call)?;
        let key = Key::new(key)?;
        let former = self.inner.state.lock().set(key, value);
        drop(former);
        call.answer(&())
    }

    /// Answers the value that was there, if one was.
    fn insert_if_absent(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key, value) = elements::<(Element, Element)>(call)?;
        let key = Key::new(key)?;
        let mut state = self.inner.state.lock();
        let there = state.value(&key.canonical).cloned();
        if there.is_some() {
            drop(state);
            return call.answer(&Slot(there));
        }
        state.set(key, value);
        drop(state);
        call.answer(&Slot(there))
    }

    pub(in crate::types) fn remove(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key,) = call.arguments::<(Element,)>()?;
        let key = canonical(&key)?;
        let removed = self.inner.state.lock().remove(&key);
        call.answer(&Slot(removed.as_ref().map(|entry| &entry.value.value)))
    }

    pub(in crate::types) fn contains_key(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key,) = call.arguments::<(Element,)>()?;
        let key = canonical(&key)?;
        let contains = self.inner.state.lock().contains(&key);
        call.answer(&contains)
    }

    fn len(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let length = self.inner.state.lock().len();
        call.answer(&length)
    }

    fn clear(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let former = self.inner.state.lock().clear();
        drop(former);
        call.answer(&())
    }

    fn pop_item(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let popped = self.inner.state.lock().pop_last();
        let Some(Entry { key, value }) = popped else { return call.answer(&Slot(None::<()>)) };
        let answered = call.answer(&Slot(Some((&key, &value.value))))?;
        let inner = Arc::downgrade(&self.inner);
        call.put_back_by(move || {
            if let Some(inner) = inner.upgrade() {
                inner.put_back(key, value.value);
            }
        });
        Ok(answered)
    }

    fn extend(&self, call: &mut Invocation<'_>) -> Outcome {
        let (entries,) = elements::<(Vec<(Element, Element)>,)>(call)?;
        self.insert_all(entries)?;
        call.answer(&())
    }

    pub(in crate::types) fn keys(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let state = self.inner.state.lock();
        call.answer(&Each(state.iter().map(|entry| &entry.key)))
    }

    fn values(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let state = self.inner.state.lock();
        call.answer(&Each(state.iter().map(|entry| &entry.value.value)))
    }

    fn items(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let state = self.inner.state.lock();
        call.answer(&Each(state.iter().map(|entry| (&entry.key, &entry.value.value))))
    }

    /// Entries behind a place, and the place of the last of them; no more than fit into one reply well.
    fn batch(&self, call: &mut Invocation<'_>) -> Outcome {
        let (after,) = call.arguments::<(u64,)>()?;
        let state = self.inner.state.lock();
        let (last, entries) = state.batch(after, |held| held.value.bytes().len());
        let entries: Vec<_> = entries.into_iter().map(|entry| (&entry.key, &entry.value.value)).collect();
        call.answer(&(last, entries))
    }

    /// Replaces a value that equals the expected one; answers whether it did, and what is there now.
    fn compare_exchange(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key, expected, new) = elements::<(Element, Slot<Element>, Slot<Element>)>(call)?;
        let key = Key::new(key)?;
        let expected = expected.into_inner().as_ref().map(canonical).transpose()?;
        let mut state = self.inner.state.lock();
        let there = state.value(&key.canonical).cloned();
        let equal = there.as_ref().map(canonical).transpose()? == expected;
        let former = match new.into_inner() {
            Some(new) if equal => state.set(key, new),
            None if equal => state.remove(&key.canonical),
            _ => None,
        };
        drop(state);
        drop(former);
        call.answer(&(equal, Slot(there)))
    }

    /// Shows all entries to `show`, in order.
    pub(in crate::types) fn for_each(&self, mut show: impl FnMut(&Element, &Element) -> fmt::Result) -> fmt::Result {
        self.inner.state.lock().iter().try_for_each(|entry| show(&entry.key, &entry.value.value))
    }

    pub(in crate::types) fn equals(&self, call: &mut Invocation<'_>) -> Outcome {
        let (other,) = call.arguments::<(Element,)>()?;
        let own = Element::of(self).map_err(Error::unserializable::<Self>)?;
        call.answer(&own.equals(other)?)
    }
}

impl Default for Dict {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dict({self})")
    }
}

/// As Python prints a dict: `{'a': 1}`.
impl fmt::Display for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.state.lock();
        f.write_str("{")?;
        for (place, entry) in state.iter().enumerate() {
            let separator = if place > 0 { ", " } else { "" };
            write!(f, "{separator}{}: {}", entry.key, entry.value.value)?;
        }
        f.write_str("}")
    }
}

/// As a map, in the order of insertion.
impl Serialize for Dict {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let state = self.inner.state.lock();
        let mut map = serializer.serialize_map(Some(state.len()))?;
        for entry in state.iter() {
            map.serialize_entry(&entry.key, &entry.value.value)?;
        }
        map.end()
    }
}

impl Referent for Dict {
    type Proxy = DictProxy<Value, Value>;
    type Store = Bare<Self>;
    const TYPEID: &'static str = "dict";

    fn methods(table: &mut Methods<Self>) {
        table.dynamic_constructor("new", &["items"], |call| {
            let (items,) = elements::<(Vec<(Element, Element)>,)>(call)?;
            let dict = Self::new();
            dict.insert_all(items)?;
            Ok(dict)
        });
        table.dynamic("get", &["key"], Self::get);
        table.dynamic("insert", &["key", "value"], Self::insert);
        table.dynamic("assign", &["key", "value"], Self::assign);
        table.dynamic("insert_if_absent", &["key", "value"], Self::insert_if_absent);
        // The same here; of a dict of Python's nobody learns whether the key had that very value before.
        table.dynamic("get_or_insert", &["key", "value"], Self::insert_if_absent);
        table.dynamic("remove", &["key"], Self::remove);
        table.dynamic("contains_key", &["key"], Self::contains_key);
        table.dynamic("len", &[], Self::len);
        table.dynamic("clear", &[], Self::clear);
        table.dynamic("pop_item", &[], Self::pop_item);
        table.dynamic("extend", &["items"], Self::extend);
        table.dynamic("keys", &[], Self::keys);
        table.dynamic("values", &[], Self::values);
        table.dynamic("items", &[], Self::items);
        table.dynamic("batch", &["after"], Self::batch);
        table.dynamic("compare_exchange", &["key", "expected", "new"], Self::compare_exchange);
        table.dynamic("equals", &["other"], Self::equals);
        update::list(table);
        table.display();
        table.value();
    }
}

impl Updated for Dict {
    type Cells = Inner;

    fn cells(&self) -> &Arc<Inner> {
        &self.inner
    }
}
