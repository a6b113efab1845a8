//! A dict's entries on their way to and from a client.

use std::marker::PhantomData;

use serde::ser::{Serialize, Serializer};

use super::DictProxy;
use crate::datum::Datum;
use crate::error::Result;
use crate::proxy::Proxy;
use crate::types::batches::Batches;
use crate::types::bulk::Received;
use crate::types::encodes::{Encodes, sent};

/// The entries of a [`DictProxy`], as [`iter`](DictProxy::iter) gives them.
#[derive(Debug)]
pub struct DictIter<K, V> {
    dict: DictProxy<K, V>,
    /// The place of the last entry that was fetched.
    after: u64,
    batches: Batches<(K, V)>,
}

impl<K, V> DictIter<K, V> {
    pub(super) fn new(dict: DictProxy<K, V>) -> Self {
        Self { dict, after: 0, batches: Batches::new() }
    }
}

impl<K: Datum, V: Datum> Iterator for DictIter<K, V> {
    type Item = Result<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { dict, after, batches } = self;
        batches.next(|| {
            let (last, entries) = dict.base().invoke_by_value("batch", &(*after,))?;
            *after = last;
            Ok(received_pairs(entries))
        })
    }
}

impl<K: Datum, V: Datum> IntoIterator for &DictProxy<K, V> {
    type Item = Result<(K, V)>;
    type IntoIter = DictIter<K, V>;

    fn into_iter(self) -> DictIter<K, V> {
        self.iter()
    }
}

/// Entries on their way in, as what they are.
pub(super) fn received_pairs<K, V>(entries: Vec<(K, Received<V>)>) -> Vec<(K, V)> {
    entries.into_iter().map(|(key, value)| (key, value.into_inner())).collect()
}

/// An entry on its way out.
pub(super) struct Pair<K, V, Q, W> {
    key: Q,
    value: W,
    as_types: PhantomData<fn() -> (K, V)>,
}

impl<K, V, Q, W> Pair<K, V, Q, W> {
    pub(super) fn of((key, value): (Q, W)) -> Self {
        Self { key, value, as_types: PhantomData }
    }
}

impl<K, V, Q: Encodes<K>, W: Encodes<V>> Encodes<(K, V)> for Pair<K, V, Q, W> {
    fn encode<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        (sent::<K, _>(&self.key), sent::<V, _>(&self.value)).serialize(serializer)
    }
}
