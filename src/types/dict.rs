//! A dict: keys and values of any types, in the order of their first insertion.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::element::{Canonical, Each, Element, elements};
use super::encodes::{Encodes, Sent, Slot, sent, sent_all};
use super::reservation::{LIMIT, Reservations, TRIES, Turn};
use super::watched::Watched;
use crate::codec::Value;
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Failure, Heir, Invocation, Outcome, Referent};
use crate::protocol::ClientId;
use crate::proxy::{Maker, Proxy};
use crate::sys::sync::Mutex;

/// How many entries an iterator asks for at once.
const BATCH: usize = 256;
/// How many bytes of them a reply holds at most, but for the last one.
const BATCH_BYTES: usize = 256 << 10;

/// What the holder of a reservation is told: its name, and the value with its version.
type Reserved = (u64, Slot<(u64, Element)>);

/// The referent of a [`DictProxy`]: keys and values of any types.
pub struct Dict {
    inner: Arc<Inner>,
}

struct Inner {
    me: Weak<Self>,
    state: Mutex<State>,
    watched: Watched,
}

#[derive(Default)]
struct State {
    places: HashMap<Canonical, u64>,
    /// By place: the how-manieth insertion it was.
    entries: BTreeMap<u64, Entry>,
    /// The last place or version given out.
    last: u64,
    reservations: Reservations<Canonical, Reserved>,
}

struct Entry {
    key: Element,
    value: Element,
    /// Which write the value is of; no two writes of a dict have the same.
    version: u64,
}

/// A key with what it is found by.
struct Key {
    element: Element,
    canonical: Canonical,
}

impl Key {
    fn new(element: Element) -> Result<Self, Failure> {
        let canonical = element.canonical().map_err(Error::unserializable::<Element>)?;
        Ok(Self { element, canonical })
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn get(&self, key: &Canonical) -> Option<&Entry> {
        self.entries.get(self.places.get(key)?)
    }

    /// Inserts or overwrites; the former value, to be dropped outside of the lock.
    fn insert(&mut self, key: Key, value: Element) -> Option<Element> {
        let version = self.number();
        if let Some(entry) = self.places.get(&key.canonical).and_then(|place| self.entries.get_mut(place)) {
            entry.version = version;
            return Some(std::mem::replace(&mut entry.value, value));
        }
        self.places.insert(key.canonical, version);
        self.entries.insert(version, Entry { key: key.element, value, version });
        None
    }

    fn remove(&mut self, key: &Canonical) -> Option<Entry> {
        let place = self.places.remove(key)?;
        self.entries.remove(&place)
    }

    fn set(&mut self, key: Key, value: Option<Element>) -> Option<Element> {
        match value {
            Some(value) => self.insert(key, value),
            None => self.remove(&key.canonical).map(|entry| entry.value),
        }
    }

    /// The value with its version.
    fn fetch(&self, key: &Canonical) -> Slot<(u64, Element)> {
        Slot(self.get(key).map(|entry| (entry.version, entry.value.clone())))
    }

    fn version(&self, key: &Canonical) -> Option<u64> {
        self.get(key).map(|entry| entry.version)
    }
}

impl Inner {
    /// Tells the next holder of a reservation that it is its turn.
    fn give_turn(self: &Arc<Self>, turn: Option<Turn<Canonical, Reserved>>) {
        let Some(Turn { cell, reservation, responder }) = turn else { return };
        let fetched = self.state.lock().fetch(&cell);
        let release = || {
            let (inner, cell) = (Arc::downgrade(self), cell.clone());
            move || {
                if let Some(inner) = inner.upgrade() {
                    inner.end_turn(&cell, reservation);
                }
            }
        };
        self.watched.after(LIMIT, release());
        responder.respond_or_put_back(&(reservation, fetched), release());
    }

    fn end_turn(self: &Arc<Self>, cell: &Canonical, reservation: u64) {
        let next = self.state.lock().reservations.release(cell, reservation);
        self.give_turn(next);
    }
}

impl Heir for Inner {
    fn client_ended(&self, client: ClientId) {
        self.watched.forget(client);
        let turns = self.state.lock().reservations.end(client);
        // Whoever is told needs the object by its own handle, which every caller that waits keeps alive.
        for turn in turns {
            if let Some(inner) = self.me.upgrade() {
                inner.give_turn(Some(turn));
            }
        }
    }
}

impl Dict {
    /// An empty dict.
    pub fn new() -> Self {
        Self {
            inner: Arc::new_cyclic(|me| Inner { me: me.clone(), state: Mutex::default(), watched: Watched::default() }),
        }
    }

    fn insert_all(&self, entries: Vec<(Element, Element)>) -> Result<(), Failure> {
        // All keys are looked at before any is inserted: a bad one must not leave half of them behind.
        let keyed: Result<Vec<_>, Failure> =
            entries.into_iter().map(|(key, value)| Ok((Key::new(key)?, value))).collect();
        let keyed = keyed?;
        let mut former = Vec::new();
        let mut state = self.inner.state.lock();
        former.extend(keyed.into_iter().filter_map(|(key, value)| state.insert(key, value)));
        drop(state);
        Ok(())
    }

    fn get(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key,) = call.arguments::<(Element,)>()?;
        let key = Key::new(key)?;
        let state = self.inner.state.lock();
        call.answer(&Slot(state.get(&key.canonical).map(|entry| &entry.value)))
    }

    fn insert(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key, value) = elements::<(Element, Element)>(call)?;
        let key = Key::new(key)?;
        let former = self.inner.state.lock().insert(key, value);
        call.answer(&Slot(former))
    }

    /// Answers the value that was there, if one was.
    fn insert_if_absent(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key, value) = elements::<(Element, Element)>(call)?;
        let key = Key::new(key)?;
        let mut state = self.inner.state.lock();
        let there = state.get(&key.canonical).map(|entry| entry.value.clone());
        if there.is_none() {
            state.insert(key, value);
        }
        drop(state);
        call.answer(&Slot(there))
    }

    fn remove(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key,) = call.arguments::<(Element,)>()?;
        let key = Key::new(key)?;
        let removed = self.inner.state.lock().remove(&key.canonical);
        call.answer(&Slot(removed.map(|entry| entry.value)))
    }

    fn contains_key(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key,) = call.arguments::<(Element,)>()?;
        let key = Key::new(key)?;
        let contains = self.inner.state.lock().places.contains_key(&key.canonical);
        call.answer(&contains)
    }

    fn len(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let length = self.inner.state.lock().places.len();
        call.answer(&length)
    }

    fn clear(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let former = {
            let mut state = self.inner.state.lock();
            (std::mem::take(&mut state.places), std::mem::take(&mut state.entries))
        };
        drop(former);
        call.answer(&())
    }

    fn pop_item(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let popped = {
            let mut state = self.inner.state.lock();
            let last = state.entries.pop_last().map(|(_, entry)| entry);
            if let Some(entry) = &last {
                let canonical = entry.key.canonical().map_err(Error::unserializable::<Element>)?;
                state.places.remove(&canonical);
            }
            last
        };
        call.answer(&Slot(popped.map(|entry| (entry.key, entry.value))))
    }

    fn extend(&self, call: &mut Invocation<'_>) -> Outcome {
        let (entries,) = elements::<(Vec<(Element, Element)>,)>(call)?;
        self.insert_all(entries)?;
        call.answer(&())
    }

    fn keys(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let state = self.inner.state.lock();
        call.answer(&Each(state.entries.values().map(|entry| &entry.key)))
    }

    fn values(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let state = self.inner.state.lock();
        call.answer(&Each(state.entries.values().map(|entry| &entry.value)))
    }

    fn items(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let state = self.inner.state.lock();
        call.answer(&Each(state.entries.values().map(|entry| (&entry.key, &entry.value))))
    }

    /// Entries behind a place, and the place of the last of them; no more than fit into one reply well.
    fn batch(&self, call: &mut Invocation<'_>) -> Outcome {
        let (after,) = call.arguments::<(u64,)>()?;
        let state = self.inner.state.lock();
        let mut bytes = 0;
        let mut last = after;
        let mut entries = Vec::new();
        for (&place, entry) in state.entries.range(after.saturating_add(1)..).take(BATCH) {
            if bytes > BATCH_BYTES {
                break;
            }
            bytes += entry.key.bytes().len() + entry.value.bytes().len();
            last = place;
            entries.push((&entry.key, &entry.value));
        }
        call.answer(&(last, entries))
    }

    /// Replaces a value that equals the expected one; answers whether it did, and what is there now.
    fn compare_exchange(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key, expected, new) = elements::<(Element, Slot<Element>, Slot<Element>)>(call)?;
        let key = Key::new(key)?;
        let canonical = |element: &Element| element.canonical().map_err(Error::unserializable::<Element>);
        let expected = expected.into_inner().as_ref().map(canonical).transpose()?;
        let mut state = self.inner.state.lock();
        let there = state.get(&key.canonical).map(|entry| entry.value.clone());
        let equal = there.as_ref().map(canonical).transpose()? == expected;
        let former = if equal { state.set(key, new.into_inner()) } else { None };
        drop(state);
        drop(former);
        call.answer(&(equal, Slot(there)))
    }

    fn fetch(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key,) = call.arguments::<(Element,)>()?;
        let key = Key::new(key)?;
        let fetched = self.inner.state.lock().fetch(&key.canonical);
        call.answer(&fetched)
    }

    /// Replaces a value that is still of that version; not while somebody has a reservation.
    fn replace(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key, version, new) = elements::<(Element, Option<u64>, Slot<Element>)>(call)?;
        let key = Key::new(key)?;
        let mut state = self.inner.state.lock();
        let replaces = !state.reservations.is_held(&key.canonical) && state.version(&key.canonical) == version;
        let former = if replaces { state.set(key, new.into_inner()) } else { None };
        drop(state);
        drop(former);
        call.answer(&replaces)
    }

    /// Waits for the turn to change a value.
    fn reserve(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key,) = call.arguments::<(Element,)>()?;
        let key = Key::new(key)?;
        self.inner.watched.watch(call, &self.inner)?;
        let responder = call.responder();
        let turn = self.inner.state.lock().reservations.reserve(key.canonical, responder);
        self.inner.give_turn(turn);
        Ok(call.answered_later())
    }

    /// Ends a turn by its change: answers true. Where the value is another meanwhile, the turn goes on; where it has lapsed, not. False in both cases.
    fn commit(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key, reservation, version, new) = elements::<(Element, u64, Option<u64>, Slot<Element>)>(call)?;
        let key = Key::new(key)?;
        let canonical = key.canonical.clone();
        let mut state = self.inner.state.lock();
        let commits = state.reservations.is_holder(&canonical, reservation) && state.version(&canonical) == version;
        let former = if commits { state.set(key, new.into_inner()) } else { None };
        drop(state);
        drop(former);
        if commits {
            self.inner.end_turn(&canonical, reservation);
        }
        call.answer(&commits)
    }

    /// Ends a turn without a change.
    fn release(&self, call: &mut Invocation<'_>) -> Outcome {
        let (key, reservation) = call.arguments::<(Element, u64)>()?;
        self.inner.end_turn(&Key::new(key)?.canonical, reservation);
        call.answer(&())
    }

    fn equals(&self, call: &mut Invocation<'_>) -> Outcome {
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
        for (place, entry) in state.entries.values().enumerate() {
            let separator = if place > 0 { ", " } else { "" };
            write!(f, "{separator}{}: {}", entry.key, entry.value)?;
        }
        f.write_str("}")
    }
}

/// As a map, in the order of insertion.
impl Serialize for Dict {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let state = self.inner.state.lock();
        let mut map = serializer.serialize_map(Some(state.entries.len()))?;
        for entry in state.entries.values() {
            map.serialize_entry(&entry.key, &entry.value)?;
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
        table.dynamic("insert_if_absent", &["key", "value"], Self::insert_if_absent);
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
        table.dynamic("fetch", &["key"], Self::fetch);
        table.dynamic("replace", &["key", "version", "new"], Self::replace);
        table.dynamic("reserve", &["key"], Self::reserve);
        table.dynamic("commit", &["key", "reservation", "version", "new"], Self::commit);
        table.dynamic("release", &["key", "reservation"], Self::release);
        table.dynamic("equals", &["other"], Self::equals);
        table.display();
        table.value();
    }
}

proxy_type! {
    /// A dict that many processes share: keys of type `K`, values of type `V`, in the order of their first insertion.
    ///
    /// Keys are equal by Python's rules (`1`, `1.0` and `true` are one key). Calls block until the server has answered, and fail only as every call may
    /// ([`Error`](crate::Error)), or where what comes back is no `K` or `V`.
    ///
    /// Values may be proxies, of this server's objects: those live as long as the dict holds them, or anybody else does. A circle of containers that hold each
    /// other is never freed before the server ends.
    ///
    /// ```
    /// use multiproc::{SyncManager, types::DictProxy};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let stock = DictProxy::<String, u32>::from_iter(&manager, [("apple", 3), ("pear", 1)])?;
    /// assert_eq!(stock.insert("pear", 2)?, Some(1));
    /// assert_eq!(stock.get("plum")?, None);
    /// assert_eq!(stock.to_string(), "{'apple': 3, 'pear': 2}");
    ///
    /// // Read, compute, write, and nobody in between:
    /// stock.update("apple", |count| Some(count.unwrap_or(0) + 10))?;
    /// assert_eq!(stock.get("apple")?, Some(13));
    ///
    /// for entry in stock.iter() {
    ///     let (fruit, count) = entry?;
    ///     println!("{fruit}: {count}");
    /// }
    /// # manager.shutdown()
    /// # }
    /// ```
    pub struct DictProxy<K, V>, DictDeferred;
}

calls! {
    [K: Datum, V: Datum] DictProxy[K, V], DictDeferred;

    /// The value of a key.
    fn get(&self, key: impl Encodes<K>) -> Option<V> { "get"(sent::<K, _>(&key)) => Slot::into_inner }

    /// Sets the value of a key; the former one back.
    #[doc(alias = "__setitem__")]
    fn insert(&self, key: impl Encodes<K>, value: impl Encodes<V>) -> Option<V> { "insert"(sent::<K, _>(&key), sent::<V, _>(&value)) => Slot::into_inner }

    /// Sets the value of a key that has none, and returns `None`; else returns the value there is.
    fn insert_if_absent(&self, key: impl Encodes<K>, value: impl Encodes<V>) -> Option<V> { "insert_if_absent"(sent::<K, _>(&key), sent::<V, _>(&value)) => Slot::into_inner }

    /// Removes a key; its value back, if it had one.
    #[doc(alias = "__delitem__")]
    fn remove(&self, key: impl Encodes<K>) -> Option<V> { "remove"(sent::<K, _>(&key)) => Slot::into_inner }

    /// Removes the entry that was inserted last.
    #[doc(alias = "popitem")]
    fn pop_item(&self) -> Option<(K, V)> { "pop_item"() => Slot::into_inner }

    /// Whether the key has a value.
    #[doc(alias = "__contains__")]
    fn contains_key(&self, key: impl Encodes<K>) -> bool { "contains_key"(sent::<K, _>(&key)) }

    /// How many entries there are.
    #[doc(alias = "__len__")]
    fn len(&self) -> usize { "len"() }

    /// Removes all entries.
    fn clear(&self) -> () { "clear"() }

    /// All keys, in order.
    fn keys(&self) -> Vec<K> { "keys"() }

    /// All values, in the order of their keys.
    fn values(&self) -> Vec<V> { "values"() }

    /// All entries, in order, in one message. [`iter`](Self::iter) takes them bit by bit.
    fn items(&self) -> Vec<(K, V)> { "items"() }
}

impl<K: Datum, V: Datum> DictProxy<K, V> {
    /// Makes an empty dict in the server.
    pub fn new(manager: &impl AsRef<Maker>) -> Result<Self> {
        Self::from_iter(manager, [] as [(&K, &V); 0])
    }

    /// Makes a dict of these entries in the server; of several for one key the last one counts.
    pub fn from_iter<I, Q, W>(manager: &impl AsRef<Maker>, entries: I) -> Result<Self>
    where
        I: IntoIterator<Item = (Q, W)>,
        Q: Encodes<K>,
        W: Encodes<V>,
    {
        let entries = entries.into_iter().map(Pair::<K, V, Q, W>::of);
        manager.as_ref().construct_by_value::<Dict, Self, _>("new", &(sent_all::<(K, V), _>(entries),))
    }

    /// The value of a key, which is set to `value` if it has none.
    #[doc(alias = "setdefault")]
    pub fn get_or_insert(&self, key: impl Encodes<K>, value: V) -> Result<V> {
        Ok(self.insert_if_absent(key, &value)?.unwrap_or(value))
    }

    /// Removes a key; its value back, or `default` where it had none.
    pub fn pop(&self, key: impl Encodes<K>, default: V) -> Result<V> {
        Ok(self.remove(key)?.unwrap_or(default))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Inserts many entries in one call: all or, where one can't be sent, none.
    #[doc(alias = "update")]
    pub fn extend<I, Q, W>(&self, entries: I) -> Result<()>
    where
        I: IntoIterator<Item = (Q, W)>,
        Q: Encodes<K>,
        W: Encodes<V>,
    {
        let entries = entries.into_iter().map(Pair::<K, V, Q, W>::of);
        self.base().invoke_by_value("extend", &(sent_all::<(K, V), _>(entries),))
    }

    /// A copy, as whatever map can be made of its entries.
    ///
    /// ```
    /// # use multiproc::{SyncManager, types::DictProxy};
    /// # fn main() -> multiproc::Result<()> {
    /// # let manager = SyncManager::start()?;
    /// let squares = DictProxy::<u32, u32>::from_iter(&manager, (1..4).map(|n| (n, n * n)))?;
    /// let copy: std::collections::BTreeMap<_, _> = squares.to_map()?;
    /// assert_eq!(copy[&3], 9);
    /// # manager.shutdown()
    /// # }
    /// ```
    #[doc(alias = "copy")]
    pub fn to_map<M: FromIterator<(K, V)>>(&self) -> Result<M> {
        Ok(self.items()?.into_iter().collect())
    }

    /// The entries, in order, fetched in batches of up to 256 entries or 256 KiB. What others insert or remove meanwhile is seen as far as the iterator has not
    /// come by; no entry that stays is missed or seen twice. After an error it ends.
    #[doc(alias = "__iter__")]
    pub fn iter(&self) -> DictIter<K, V> {
        DictIter { dict: self.clone(), after: 0, fetched: Vec::new().into_iter(), ends: false }
    }

    /// Whether the dict's contents equal another's, or those of a map, by value and without regard to order. Values that are proxies are equal if they are of
    /// the same object.
    pub fn equals(&self, other: &impl Serialize) -> Result<bool> {
        self.base().invoke_by_value("equals", &(other,))
    }

    /// Replaces the value of a key by `new` if it is `expected` (`None`: the key has none, or is removed). `Ok` with the former value where it was, `Err` with the value there is where it was not.
    pub fn compare_exchange(
        &self,
        key: impl Encodes<K>,
        expected: Option<&V>,
        new: Option<&V>,
    ) -> Result<std::result::Result<Option<V>, Option<V>>> {
        let arguments = (sent::<K, _>(&key), Slot(expected), Slot(new));
        let (equal, there): (bool, Slot<V>) = self.base().invoke_by_value("compare_exchange", &arguments)?;
        Ok(if equal { Ok(there.into_inner()) } else { Err(there.into_inner()) })
    }

    /// Changes the value of a key by a function of it, with nobody's change in between; returns the new value. `None` stands for a key without a value,
    /// and removes it.
    ///
    /// `change` runs in this process, and runs again where somebody else was faster: it must depend on nothing but what it is given. After 8 times it
    /// gets a turn of its own, in the order in which callers came to that, of at most 1 s; whoever then uses `update` or
    /// [`compare_exchange`](Self::compare_exchange) on the key waits or is told to try again.
    pub fn update(&self, key: impl Encodes<K>, mut change: impl FnMut(Option<V>) -> Option<V>) -> Result<Option<V>> {
        let key = sent::<K, _>(&key);
        for _ in 0..TRIES {
            let (version, value) = split(self.base().invoke_by_value("fetch", &(&key,))?);
            let new = change(value);
            if self.base().invoke_by_value("replace", &(&key, version, Slot(new.as_ref())))? {
                return Ok(new);
            }
        }
        loop {
            let (reservation, fetched): (u64, Slot<(u64, V)>) = self.base().invoke_by_value("reserve", &(&key,))?;
            let turn = DictTurn { dict: self, key: &key, reservation };
            if let Some(new) = turn.take(fetched, &mut change)? {
                return Ok(new);
            }
        }
    }
}

/// A turn to change one value, given back at its end.
struct DictTurn<'a, K: Datum, V: Datum, Q: Encodes<K>> {
    dict: &'a DictProxy<K, V>,
    key: &'a Sent<'a, K, Q>,
    reservation: u64,
}

impl<K: Datum, V: Datum, Q: Encodes<K>> DictTurn<'_, K, V, Q> {
    /// The new value; `None` where the turn lapsed.
    fn take(
        self,
        mut fetched: Slot<(u64, V)>,
        change: &mut impl FnMut(Option<V>) -> Option<V>,
    ) -> Result<Option<Option<V>>> {
        // Others may still set the value outright, which they rarely will as often as this.
        for _ in 0..TRIES {
            let (version, value) = split(fetched);
            let new = change(value);
            let arguments = (self.key, self.reservation, version, Slot(new.as_ref()));
            if self.dict.base().invoke_by_value("commit", &arguments)? {
                return Ok(Some(new));
            }
            fetched = self.dict.base().invoke_by_value("fetch", &(self.key,))?;
        }
        Ok(None)
    }
}

impl<K: Datum, V: Datum, Q: Encodes<K>> Drop for DictTurn<'_, K, V, Q> {
    fn drop(&mut self) {
        // A turn that was used up is not there any more; one that can't be given back lapses.
        let _: Result<()> = self.dict.base().invoke_by_value("release", &(self.key, self.reservation));
    }
}

fn split<V>(fetched: Slot<(u64, V)>) -> (Option<u64>, Option<V>) {
    fetched.into_inner().unzip()
}

/// The entries of a [`DictProxy`], as [`iter`](DictProxy::iter) gives them.
#[derive(Debug)]
pub struct DictIter<K, V> {
    dict: DictProxy<K, V>,
    /// The place of the last entry that was fetched.
    after: u64,
    fetched: std::vec::IntoIter<(K, V)>,
    ends: bool,
}

impl<K: Datum, V: Datum> Iterator for DictIter<K, V> {
    type Item = Result<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.fetched.len() == 0 && !self.ends {
            match self.dict.base().invoke_by_value::<_, (u64, Vec<(K, V)>)>("batch", &(self.after,)) {
                Ok((last, entries)) => {
                    self.ends = entries.is_empty();
                    self.after = last;
                    self.fetched = entries.into_iter();
                }
                Err(error) => {
                    self.ends = true;
                    return Some(Err(error));
                }
            }
        }
        self.fetched.next().map(Ok)
    }
}

impl<K: Datum, V: Datum> IntoIterator for &DictProxy<K, V> {
    type Item = Result<(K, V)>;
    type IntoIter = DictIter<K, V>;

    fn into_iter(self) -> DictIter<K, V> {
        self.iter()
    }
}

/// An entry on its way out.
struct Pair<K, V, Q, W> {
    key: Q,
    value: W,
    as_types: PhantomData<fn() -> (K, V)>,
}

impl<K, V, Q, W> Pair<K, V, Q, W> {
    fn of((key, value): (Q, W)) -> Self {
        Self { key, value, as_types: PhantomData }
    }
}

impl<K, V, Q: Encodes<K>, W: Encodes<V>> Encodes<(K, V)> for Pair<K, V, Q, W> {
    fn encode<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        (sent::<K, _>(&self.key), sent::<V, _>(&self.value)).serialize(serializer)
    }
}
