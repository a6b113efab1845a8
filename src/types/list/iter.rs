//! A list's elements, batch by batch.

use super::ListProxy;
use crate::datum::Datum;
use crate::error::Result;
use crate::proxy::Proxy;
use crate::types::bulk::received;

/// The elements of a [`ListProxy`], as [`iter`](ListProxy::iter) gives them.
#[derive(Debug)]
pub struct ListIter<T> {
    list: ListProxy<T>,
    /// The index behind the last element that was fetched.
    next: usize,
    fetched: std::vec::IntoIter<T>,
    ends: bool,
}

impl<T> ListIter<T> {
    pub(super) fn new(list: ListProxy<T>) -> Self {
        Self { list, next: 0, fetched: Vec::new().into_iter(), ends: false }
    }
}

impl<T: Datum> Iterator for ListIter<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.fetched.len() == 0 && !self.ends {
            match self.list.base().invoke_by_value("batch", &(self.next,)).map(received::<T>) {
                Ok(batch) => {
                    self.ends = batch.is_empty();
                    self.next += batch.len();
                    self.fetched = batch.into_iter();
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

impl<T: Datum> IntoIterator for &ListProxy<T> {
    type Item = Result<T>;
    type IntoIter = ListIter<T>;

    fn into_iter(self) -> ListIter<T> {
        self.iter()
    }
}
