//! The handle to a dict.

use serde::Serialize;

use super::iter::{DictIter, Pair, received_pairs};
use super::referent::Dict;
use crate::datum::Datum;
use crate::error::Result;
use crate::proxy::{Maker, Proxy};
use crate::types::bulk::{Received, received};
use crate::types::encodes::{Encodes, Slot, sent, sent_all};
use crate::types::update;

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

    /// Removes the entry that was inserted last; one whose taker dies before it has arrived is put back.
    #[doc(alias = "popitem")]
    fn pop_item(&self) -> Option<(K, V)> { "pop_item"() => |entry: Slot<(K, Received<V>)>| entry.into_inner().map(|(key, value)| (key, value.into_inner())) }

    /// Whether the key has a value.
    #[doc(alias = "__contains__")]
    fn contains_key(&self, key: impl Encodes<K>) -> bool { "contains_key"(sent::<K, _>(&key)) }

    /// How many entries there are.
    #[doc(alias = "__len__")]
    fn len(&self) -> usize { "len"() }

    /// Removes all entries.
    fn clear(&self) -> () { "clear"() }

    /// All keys, in order.
    fn keys(&self) -> Vec<K> { "keys"() => received }

    /// All values, in the order of their keys.
    fn values(&self) -> Vec<V> { "values"() => received }

    /// All entries, in order, in one message. [`iter`](Self::iter) takes them bit by bit.
    fn items(&self) -> Vec<(K, V)> { "items"() => received_pairs }
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
        let arguments = (sent::<K, _>(&key), sent::<V, _>(&value));
        let there: Slot<V> = self.base().invoke_by_value("get_or_insert", &arguments)?;
        Ok(there.into_inner().unwrap_or(value))
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
        DictIter::new(self.clone())
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
        let arguments = (sent::<K, _>(&key), Slot(expected.map(sent::<V, V>)), Slot(new.map(sent::<V, V>)));
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
        let new = update::update(self.base(), &key, |value| Some(change(value)))?;
        Ok(new.flatten())
    }
}
