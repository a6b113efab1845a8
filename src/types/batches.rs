//! Items that stay in the server and are fetched batch by batch: what all iterators over proxies share, and how large a batch is.

use std::vec;

/// How many items are fetched at once.
pub(super) const BATCH: usize = 256;
/// How many bytes of items an answer holds at most, but for the last one.
pub(super) const BATCH_BYTES: usize = 256 << 10;

/// The items of the last batch that nobody has looked at yet.
#[derive(Debug)]
pub(super) struct Batches<T> {
    fetched: vec::IntoIter<T>,
    ends: bool,
}

impl<T> Batches<T> {
    pub(super) fn new() -> Self {
        Self { fetched: Vec::new().into_iter(), ends: false }
    }

    /// The next item, out of the batch that is here or the one that `fetch` gives. An empty batch is the end, and so is an error.
    pub(super) fn next<E>(&mut self, fetch: impl FnOnce() -> Result<Vec<T>, E>) -> Option<Result<T, E>> {
        if self.fetched.len() == 0 && !self.ends {
            match fetch() {
                Ok(batch) => {
                    self.ends = batch.is_empty();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_follow_each_other_until_one_is_empty_or_fails() {
        let mut batches = Batches::new();
        let mut source = vec![Ok(vec![1, 2]), Ok(vec![3]), Ok(vec![]), Ok(vec![4])].into_iter();
        let mut next = || batches.next::<()>(|| source.next().expect("another batch"));
        assert_eq!([next(), next(), next(), next(), next()], [Some(Ok(1)), Some(Ok(2)), Some(Ok(3)), None, None]);

        let mut batches = Batches::new();
        assert_eq!(batches.next(|| Ok::<_, &str>(vec![1])), Some(Ok(1)));
        assert_eq!(batches.next(|| Err("gone")), Some(Err("gone")));
        assert_eq!(batches.next(|| Ok::<_, &str>(vec![2])), None);
    }
}
