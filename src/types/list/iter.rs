//! A list's elements, batch by batch.

use super::ListProxy;
use crate::datum::Datum;
use crate::error::Result;
use crate::proxy::Proxy;
use crate::types::batches::Batches;
use crate::types::bulk::received;

/// The elements of a [`ListProxy`], as [`iter`](ListProxy::iter) gives them.
#[derive(Debug)]
pub struct ListIter<T> {
    list: ListProxy<T>,
    /// The index behind the last element that was fetched.
    next: usize,
    batches: Batches<T>,
}

impl<T> ListIter<T> {
    pub(super) fn new(list: ListProxy<T>) -> Self {
        Self { list, next: 0, batches: Batches::new() }
    }
}

impl<T: Datum> Iterator for ListIter<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { list, next, batches } = self;
        batches.next(|| {
            let batch = received(list.base().invoke_by_value("batch", &(*next,))?);
            *next += batch.len();
            Ok(batch)
        })
    }
}

impl<T: Datum> IntoIterator for &ListProxy<T> {
    type Item = Result<T>;
    type IntoIter = ListIter<T>;

    fn into_iter(self) -> ListIter<T> {
        self.iter()
    }
}
