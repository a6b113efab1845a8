//! Items in and results out, on the caller's own thread: what `map` and `imap` do.
//!
//! Items are encoded while the workers work, and only so many are on their way at once as keep the workers busy. So an iterator
//! of any length takes little memory, and the caller's processor is used.

use std::collections::{BTreeMap, VecDeque};
use std::iter::Fuse;
use std::marker::PhantomData;
use std::sync::Arc;

use super::PoolError;
use super::chunk::Chunk;
use super::crew::Crew;
use super::job::{Arrival, Job, Outcome};
use super::task::Task;
use crate::datum::Datum;

/// How many chunks are on their way at once, for each worker: one that it runs, one behind it, and one in between.
const CHUNKS_PER_WORKER: usize = 3;

/// A job whose items come from an iterator.
pub struct Feed<A, I> {
    crew: Arc<Crew>,
    task: Task,
    job: Arc<Job>,
    items: Fuse<I>,
    exhausted: bool,
    /// The place of the next item.
    next: usize,
    takes: PhantomData<fn(A)>,
}

impl<A: Datum, I: Iterator<Item = A>> Feed<A, I> {
    pub fn new(
        crew: &Arc<Crew>,
        task: Task,
        items: impl IntoIterator<IntoIter = I>,
        chunk_size: Option<usize>,
    ) -> Result<Self, PoolError> {
        crew.check()?;
        let job = Arc::new(Job::new(chunk_size, crew.settings.max_tasks_per_child));
        let crew = Arc::clone(crew);
        let (items, takes) = (items.into_iter().fuse(), PhantomData);
        Ok(Self { crew, task, job, items, exhausted: false, next: 0, takes })
    }

    /// Sends as many items as should be on their way.
    fn feed(&mut self) -> Result<(), PoolError> {
        let workers = self.crew.settings.workers;
        while !self.exhausted && self.job.lock().open < workers * CHUNKS_PER_WORKER {
            let left = match self.items.size_hint() {
                (least, Some(most)) if least == most => Some(least),
                _ => None,
            };
            let size = self.job.chunk_size(left, workers);
            let mut chunk = Chunk::new(&self.job, self.task, self.next);
            let mut failed = None;
            while !chunk.is_full(size) {
                let Some(item) = self.items.next() else {
                    self.exhausted = true;
                    break;
                };
                if let Err(error) = chunk.push(&item) {
                    failed = Some(error);
                    break;
                }
            }
            self.next += chunk.len();
            if chunk.len() > 0 {
                self.crew.submit(chunk)?;
            }
            if let Some(error) = failed {
                self.job.arrive(Arrival { first: self.next, count: 1, outcome: Outcome::Failed(error) });
                self.next += 1;
            }
            if self.exhausted {
                // Nobody has asked to be called.
                let _ = self.job.end_feeding();
            }
        }
        Ok(())
    }

    /// What has come since; waits for something, and is empty when all has come.
    fn arrivals(&mut self) -> Result<VecDeque<Arrival>, PoolError> {
        loop {
            self.feed()?;
            let mut state = self.job.lock();
            while state.arrived.is_empty() && !state.is_done() && (self.exhausted || state.open > 0) {
                let open = state.open;
                state = self.job.wait(state, None).0;
                if state.open < open && !self.exhausted {
                    break;
                }
            }
            if !state.arrived.is_empty() || state.is_done() {
                return Ok(std::mem::take(&mut state.arrived));
            }
        }
    }

    /// All results, in order.
    pub fn collect<R: Datum>(mut self) -> Result<Vec<R>, PoolError> {
        let mut results = Vec::with_capacity(self.items.size_hint().0.min(1 << 20));
        let mut early = BTreeMap::new();
        loop {
            let arrivals = self.arrivals()?;
            if arrivals.is_empty() {
                return Ok(results);
            }
            for arrival in arrivals {
                if let Outcome::Failed(error) = arrival.outcome {
                    return Err(error);
                }
                early.insert(arrival.first, arrival);
                while let Some(arrival) = early.remove(&results.len()) {
                    arrival.decode(&mut results)?;
                }
            }
        }
    }
}

impl<A, I> Drop for Feed<A, I> {
    fn drop(&mut self) {
        // What is not with a worker yet nobody wants any more.
        self.job.cancel();
    }
}

/// What both iterators have.
struct Results<A, R, I> {
    feed: Option<Feed<A, I>>,
    decoded: VecDeque<Result<R, PoolError>>,
}

impl<A: Datum, R: Datum, I: Iterator<Item = A>> Results<A, R, I> {
    fn new(feed: Result<Feed<A, I>, PoolError>) -> Self {
        match feed {
            Ok(feed) => Self { feed: Some(feed), decoded: VecDeque::new() },
            Err(error) => Self { feed: None, decoded: [Err(error)].into() },
        }
    }

    fn arrivals(&mut self) -> Option<VecDeque<Arrival>> {
        match self.feed.as_mut()?.arrivals() {
            Ok(arrivals) if arrivals.is_empty() => {
                self.feed = None;
                None
            }
            Ok(arrivals) => Some(arrivals),
            Err(error) => {
                self.feed = None;
                self.decoded.push_back(Err(error));
                Some(VecDeque::new())
            }
        }
    }

    fn decode(&mut self, arrival: &Arrival) {
        let mut results = Vec::with_capacity(arrival.count);
        let outcome = arrival.decode(&mut results);
        let missing = arrival.count - results.len();
        self.decoded.extend(results.into_iter().map(Ok));
        if let Err(error) = outcome {
            self.decoded.extend((0..missing).map(|_| Err(error.clone())));
        }
    }
}

/// Results in the order of their items: see [`Pool::imap`](super::Pool::imap).
///
/// A failure is told in its item's place, and the others go on. Dropped before its end, it leaves undone what no worker has
/// begun.
#[must_use = "an iterator does nothing unless it is asked"]
pub struct Imap<A, R, I> {
    results: Results<A, R, I>,
    /// The place of the next item that is not decoded.
    next: usize,
    early: BTreeMap<usize, Arrival>,
}

impl<A: Datum, R: Datum, I: Iterator<Item = A>> Imap<A, R, I> {
    pub(super) fn new(feed: Result<Feed<A, I>, PoolError>) -> Self {
        Self { results: Results::new(feed), next: 0, early: BTreeMap::new() }
    }
}

impl<A: Datum, R: Datum, I: Iterator<Item = A>> Iterator for Imap<A, R, I> {
    type Item = Result<R, PoolError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(result) = self.results.decoded.pop_front() {
                return Some(result);
            }
            for arrival in self.results.arrivals()? {
                self.early.insert(arrival.first, arrival);
            }
            while let Some(arrival) = self.early.remove(&self.next) {
                self.results.decode(&arrival);
                self.next += arrival.count;
            }
        }
    }
}

/// Results as they come: see [`Pool::imap_unordered`](super::Pool::imap_unordered). As [`Imap`] otherwise.
#[must_use = "an iterator does nothing unless it is asked"]
pub struct ImapUnordered<A, R, I>(Results<A, R, I>);

impl<A: Datum, R: Datum, I: Iterator<Item = A>> ImapUnordered<A, R, I> {
    pub(super) fn new(feed: Result<Feed<A, I>, PoolError>) -> Self {
        Self(Results::new(feed))
    }
}

impl<A: Datum, R: Datum, I: Iterator<Item = A>> Iterator for ImapUnordered<A, R, I> {
    type Item = Result<R, PoolError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(result) = self.0.decoded.pop_front() {
                return Some(result);
            }
            for arrival in self.0.arrivals()? {
                self.0.decode(&arrival);
            }
        }
    }
}

impl<A, R, I> std::fmt::Debug for Imap<A, R, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imap").finish_non_exhaustive()
    }
}

impl<A, R, I> std::fmt::Debug for ImapUnordered<A, R, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImapUnordered").finish_non_exhaustive()
    }
}
