//! An iterator that stays in the server, and gives its items to whoever asks, batch by batch.
//!
//! Unlike the other types here it is made by methods of other objects only, and runs a user's code: the iterator's. So its calls run one at a time, behind the
//! object's gate, and its referent is typed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batches::{BATCH, BATCH_BYTES, Batches};
use super::bulk::{Received, received};
use super::element::Element;
use super::encodes::sent;
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::object::methods::Methods;
use crate::object::{Invocation, Outcome, Referent, panics, store};
use crate::sys::sync::Mutex;

/// How long items are gathered for one answer: who waits for the first of many slow ones should not wait for all.
const BATCH_TIME: Duration = Duration::from_millis(1);

/// The referent of an [`IteratorProxy`]: what a method returns that hands an iterator out.
///
/// ```
/// use multiproc::types::{Iter, IteratorProxy};
/// use multiproc::{BaseManager, Proxy};
///
/// pub struct Text { lines: Vec<String> }
///
/// #[multiproc::referent]
/// impl Text {
///     pub fn new(text: &str) -> Self { Self { lines: text.lines().map(str::to_owned).collect() } }
///     #[referent(proxy)]
///     pub fn long_lines(&self, length: usize) -> Iter<String> {
///         Iter::new(self.lines.clone().into_iter().filter(move |line| line.len() >= length))
///     }
/// }
///
/// # fn main() -> multiproc::Result<()> {
/// let manager = BaseManager::builder().register::<Text>().start()?;
/// let text = TextProxy::new(&manager, "one\nthree\nfive\nseven")?;
/// let lines: IteratorProxy<String> = text.long_lines(4)?;
/// assert_eq!(lines.iter().collect::<multiproc::Result<Vec<_>>>()?, ["three", "five", "seven"]);
/// # manager.shutdown()
/// # }
/// ```
pub struct Iter<T> {
    source: Option<Box<dyn Iterator<Item = T> + Send>>,
    /// The number of the next item.
    next: u64,
    /// Items that did not arrive, by their numbers.
    returned: Arc<Mutex<BTreeMap<u64, Element>>>,
    /// What came instead of an item, behind others of its batch.
    trouble: Option<Error>,
}

impl<T: Datum> Iter<T> {
    /// Hands out what `items` gives. It runs in the server, when its items are asked for: by one call at a time, in which it may take as long as any method may.
    pub fn new<I>(items: I) -> Self
    where
        I: IntoIterator<Item = T, IntoIter: Send + 'static>,
    {
        Self { source: Some(Box::new(items.into_iter())), next: 0, returned: Arc::default(), trouble: None }
    }

    /// The next items with their numbers: those that have returned, or the iterator's.
    fn batch(&mut self, max: usize) -> Result<Vec<(u64, Element)>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        {
            let mut returned = self.returned.lock();
            while batch.len() < max
                && bytes < BATCH_BYTES
                && let Some((number, element)) = returned.pop_first()
            {
                bytes += element.bytes().len();
                batch.push((number, element));
            }
        }
        if !batch.is_empty() {
            return Ok(batch);
        }
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        // Not there while it runs: one that has panicked is not asked again.
        let Some(mut source) = self.source.take() else { return Ok(batch) };
        let begin = Instant::now();
        let next = &mut self.next;
        let gathered = panics::caught(|| {
            while batch.len() < max && bytes < BATCH_BYTES && (batch.is_empty() || begin.elapsed() < BATCH_TIME) {
                // As `fuse`: an end is one for good.
                let Some(item) = source.next() else { return Ok(None) };
                let element = match Element::of(&sent::<T, T>(&item)) {
                    Ok(element) => element,
                    Err(error) => return Err((source, Error::unserializable::<T>(error))),
                };
                bytes += element.bytes().len();
                batch.push((*next, element));
                *next += 1;
            }
            Ok(Some(source))
        });
        let trouble = match gathered {
            Ok(Ok(source)) => {
                self.source = source;
                return Ok(batch);
            }
            Ok(Err((source, error))) => {
                self.source = Some(source);
                error
            }
            Err(panic) => Error::Panicked(panics::told(panic, Self::TYPEID, "next_batch")),
        };
        if batch.is_empty() {
            return Err(trouble);
        }
        self.trouble = Some(trouble);
        Ok(batch)
    }

    fn next_batch(&mut self, call: &mut Invocation<'_>) -> Outcome {
        let (max,) = call.arguments::<(usize,)>()?;
        let batch = self.batch(max)?;
        let elements: Vec<_> = batch.iter().map(|(_, element)| element).collect();
        let answered = call.answer(&elements)?;
        if !batch.is_empty() {
            let returned = Arc::clone(&self.returned);
            call.put_back_by(move || returned.lock().extend(batch));
        }
        Ok(answered)
    }

    fn close(&mut self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let dropped = (self.source.take(), std::mem::take(&mut *self.returned.lock()), self.trouble.take());
        drop(dropped);
        call.answer(&())
    }
}

impl<T> fmt::Debug for Iter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("given", &self.next).field("open", &self.source.is_some()).finish()
    }
}

impl<T: Datum> Referent for Iter<T> {
    type Proxy = IteratorProxy<T>;
    type Store = store::Mutex<Self>;
    const TYPEID: &'static str = "Iterator";

    fn methods(table: &mut Methods<Self>) {
        table.dynamic_exclusive("next_batch", &["max"], Self::next_batch);
        table.dynamic_exclusive("close", &[], Self::close);
    }
}

proxy_type! {
    /// An iterator that stays in the server: the handle to an [`Iter`] that a method has returned.
    ///
    /// Its holders share it: each item goes to one of them. Items that were on their way to a process that was killed go to the next one that asks. It ends with its
    /// last proxy, or by [`close`](Self::close).
    ///
    /// ```
    /// use multiproc::types::Iter;
    /// use multiproc::{BaseManager, Proxy};
    ///
    /// pub struct Primes;
    ///
    /// #[multiproc::referent]
    /// impl Primes {
    ///     pub fn new() -> Self { Self }
    ///     #[referent(proxy)]
    ///     pub fn all(&self) -> Iter<u64> { Iter::new((2..).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0))) }
    /// }
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = BaseManager::builder().register::<Primes>().start()?;
    /// let primes = PrimesProxy::new(&manager)?.all()?;
    /// assert_eq!(primes.next_item()?, Some(2));
    /// assert_eq!(primes.next_batch(3)?, [3, 5, 7]);
    /// for prime in primes.iter().take(2) {
    ///     println!("{}", prime?);
    /// }
    /// primes.close()?;
    /// assert_eq!(primes.next_item()?, None);
    /// # manager.shutdown()
    /// # }
    /// ```
    pub struct IteratorProxy<T>, IteratorDeferred;
}

calls! {
    [T: Datum] IteratorProxy[T], IteratorDeferred;

    /// The next items, up to `max` and 256 KiB and one; fewer where they take the iterator longer than 1 ms. None at its end (or where none were asked for).
    ///
    /// Waits for the first of them. A panic of the iterator is [`Error::Panicked`], once, and its end; an item that can't be sent is an error, and passed over.
    fn next_batch(&self, max: usize) -> Vec<T> { "next_batch"(max) => received }

    /// The next item; `None` at the end. As [`next_batch`](Self::next_batch) of one.
    #[doc(alias = "__next__")]
    fn next_item(&self) -> Option<T> { "next_batch"(1) => first }

    /// Ends it: the iterator is dropped in the server.
    fn close(&self) -> () { "close"() }
}

fn first<T>(batch: Vec<Received<T>>) -> Option<T> {
    batch.into_iter().next().map(Received::into_inner)
}

impl<T: Datum> IteratorProxy<T> {
    /// The items, fetched in batches of up to 256. What was fetched and not looked at is lost with the iteration. After an error it ends.
    #[doc(alias = "__iter__")]
    pub fn iter(&self) -> IteratorItems<T> {
        IteratorItems { proxy: self.clone(), batches: Batches::new() }
    }
}

/// The items of an [`IteratorProxy`], as [`iter`](IteratorProxy::iter) gives them.
#[derive(Debug)]
pub struct IteratorItems<T> {
    proxy: IteratorProxy<T>,
    batches: Batches<T>,
}

impl<T: Datum> Iterator for IteratorItems<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { proxy, batches } = self;
        batches.next(|| proxy.next_batch(BATCH))
    }
}

impl<T: Datum> IntoIterator for &IteratorProxy<T> {
    type Item = Result<T>;
    type IntoIter = IteratorItems<T>;

    fn into_iter(self) -> IteratorItems<T> {
        self.iter()
    }
}
