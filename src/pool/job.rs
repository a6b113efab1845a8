//! One call of a pool: what has come back of it, and who waits for that.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::PoolError;
use super::chunk::{MAX_ITEMS, Word};
use crate::codec;
use crate::datum::Datum;
use crate::error::Error;
use crate::sys::fork::PrivateFd;
use crate::sys::sync::{Condvar, Mutex, MutexGuard};

/// How long a worker should have to do with one chunk: so long that what a chunk costs is nothing beside it, and so short that
/// nobody notices that results come in chunks.
const GOAL: Duration = Duration::from_millis(2);

/// A chunk that takes no longer than this may wait behind another at a worker, so that the worker need not wait for it.
const BRIEF: Duration = Duration::from_millis(8);

/// How long those who wait look again, and yield, before they sleep: to be woken costs as much on many machines.
pub const PATIENCE: Duration = Duration::from_micros(50);

/// By which factor the size of chunks may grow from one to the next.
const GROWTH: usize = 8;

/// One call.
pub struct Job {
    state: Mutex<State>,
    changed: Condvar,
    /// The size of chunks: fixed, or that of the next.
    size: AtomicUsize,
    adaptive: bool,
    /// The most items in a chunk.
    most: usize,
    /// How long a chunk of that size is likely to take, in nanoseconds; 0 while that is not known.
    likely: AtomicUsize,
    /// Called at the end of each chunk.
    watcher: Option<Watcher>,
    /// Readable once all is done; made when somebody wants to poll.
    done: OnceLock<Arc<PrivateFd>>,
}

/// What is to be called once, under no lock.
pub type Callback = Box<dyn FnOnce(&Job) + Send>;

/// What is to be called now and then, under no lock.
pub type Watcher = Arc<dyn Fn(&Job) + Send + Sync>;

#[derive(Default)]
pub struct State {
    /// What has come, in the order of its coming.
    pub arrived: VecDeque<Arrival>,
    /// How many chunks are on their way, or wait to be.
    pub open: usize,
    /// Whether no more will follow.
    pub fed: bool,
    /// How many items have no result.
    failed: usize,
    /// Nobody wants the rest.
    cancelled: bool,
    callbacks: Vec<Callback>,
}

/// Results of items that follow each other.
pub struct Arrival {
    /// The place of the first item in the job.
    pub first: usize,
    pub count: usize,
    pub outcome: Outcome,
}

/// What became of items.
pub enum Outcome {
    /// The bytes of all results, from this place on.
    Results(Vec<u8>, usize),
    /// Each of them failed by this.
    Failed(PoolError),
}

impl Job {
    /// One whose chunks have so many items, or as many as turn out to be good, and never more than `limit`.
    pub fn new(chunk_size: Option<usize>, limit: Option<usize>) -> Self {
        let most = limit.unwrap_or(MAX_ITEMS).clamp(1, MAX_ITEMS);
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            size: AtomicUsize::new(chunk_size.unwrap_or(1).clamp(1, most)),
            adaptive: chunk_size.is_none(),
            most,
            likely: AtomicUsize::new(0),
            watcher: None,
            done: OnceLock::new(),
        }
    }

    /// One of which `watcher` is told whenever a chunk is finished, on the pool's thread.
    pub fn watched(self, watcher: Watcher) -> Self {
        Self { watcher: Some(watcher), ..self }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Waits for a change until `deadline`; false when the time ran out.
    pub fn wait<'a>(&self, state: MutexGuard<'a, State>, deadline: Option<Instant>) -> (MutexGuard<'a, State>, bool) {
        match deadline {
            None => (self.changed.wait(state), true),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let (state, timed_out) = self.changed.wait_timeout(state, left);
                (state, !timed_out)
            }
        }
    }

    /// The size of the next chunk, if so many workers share what is left (where that is known).
    pub fn chunk_size(&self, left: Option<usize>, workers: usize) -> usize {
        let size = self.size.load(Ordering::Relaxed);
        // Towards the end smaller ones, so that all workers end at about the same time.
        let share = left.filter(|_| self.adaptive).map_or(usize::MAX, |left| left / (workers * 2));
        size.min(share).max(1)
    }

    /// Whether its chunks are brief enough for one to wait behind another.
    pub fn is_brief(&self) -> bool {
        let likely = self.likely.load(Ordering::Relaxed);
        likely > 0 && Duration::from_nanos(likely as u64) <= BRIEF
    }

    /// Learns how long a chunk took.
    pub fn learn(&self, count: usize, nanoseconds: u64) {
        // Relaxed throughout: a guess at a good size needs no order.
        let each = (nanoseconds / count.max(1) as u64).max(1);
        let mut size = self.size.load(Ordering::Relaxed);
        if self.adaptive {
            let good = usize::try_from(GOAL.as_nanos() as u64 / each).unwrap_or(MAX_ITEMS);
            size = good.min(count.saturating_mul(GROWTH).max(size)).clamp(1, self.most);
            self.size.store(size, Ordering::Relaxed);
        }
        let likely = usize::try_from(each.saturating_mul(size as u64)).unwrap_or(usize::MAX);
        self.likely.store(likely.max(1), Ordering::Relaxed);
    }

    /// Takes in what a worker said, or what became of it.
    pub fn arrive(&self, arrival: Arrival) {
        let mut state = self.state.lock();
        if matches!(arrival.outcome, Outcome::Failed(_)) {
            state.failed += arrival.count;
        }
        state.arrived.push_back(arrival);
        drop(state);
        self.changed.notify_all();
    }

    /// A chunk is finished. Returns what is to be called now that all are.
    #[must_use]
    pub fn close_chunk(&self) -> Vec<Callback> {
        let mut state = self.state.lock();
        state.open -= 1;
        let mut callbacks = state.due();
        drop(state);
        self.changed.notify_all();
        if let Some(watcher) = self.watcher.clone() {
            callbacks.insert(0, Box::new(move |job| watcher(job)));
        }
        callbacks
    }

    /// No more chunks will follow.
    #[must_use]
    pub fn end_feeding(&self) -> Vec<Callback> {
        let mut state = self.state.lock();
        state.fed = true;
        state.due()
    }

    pub fn cancel(&self) {
        self.state.lock().cancelled = true;
    }

    pub fn is_cancelled(&self) -> bool {
        self.state.lock().cancelled
    }

    /// What is readable once all is done; `None` where no descriptor is left.
    pub fn done(&self) -> Option<BorrowedFd<'_>> {
        if self.done.get().is_none() {
            let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).ok()?;
            let event = Arc::new(PrivateFd::new(event.into()));
            // Another thread's may have come first; then this one is nobody's.
            if self.done.set(Arc::clone(&event)).is_ok() {
                self.when_done(Box::new(move |_| {
                    let _ = nix::unistd::write(&*event, &1_u64.to_ne_bytes());
                }));
            }
        }
        self.done.get().map(|event| event.as_fd())
    }

    /// Has `callback` called when all is done: now, if it is. On this thread or on the pool's.
    pub fn when_done(&self, callback: Callback) {
        let mut state = self.state.lock();
        state.callbacks.push(callback);
        let due = state.due();
        drop(state);
        due.into_iter().for_each(|callback| callback(self));
    }
}

impl State {
    pub fn is_done(&self) -> bool {
        self.fed && self.open == 0
    }

    pub fn has_failed(&self) -> bool {
        self.failed > 0
    }

    fn due(&mut self) -> Vec<Callback> {
        if self.is_done() { std::mem::take(&mut self.callbacks) } else { Vec::new() }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

impl Arrival {
    /// Decodes the results into `to`.
    ///
    /// # Errors
    /// The failure, or what can't be decoded.
    pub fn decode<R: Datum>(&self, to: &mut impl Extend<R>) -> Result<(), PoolError> {
        match &self.outcome {
            Outcome::Failed(error) => Err(error.clone()),
            Outcome::Results(frame, begin) => {
                let mut rest = &frame[*begin..];
                let mut failed = None;
                to.extend((0..self.count).map_while(|_| match codec::decode_next::<R>(rest) {
                    Ok((result, used)) => {
                        rest = &rest[used..];
                        Some(result)
                    }
                    Err(error) => {
                        failed = Some(Error::unserializable::<R>(error));
                        None
                    }
                }));
                match failed {
                    Some(error) => Err(error.into()),
                    None if rest.is_empty() => Ok(()),
                    None => Err(Error::unserializable::<R>("bytes are left over").into()),
                }
            }
        }
    }

    /// What a word says of a chunk whose first item has the place `base` in its job.
    pub fn of(word: Word, base: usize, frame: Vec<u8>, begin: usize) -> Option<Self> {
        match word {
            Word::Results { first, count, .. } => {
                Some(Self { first: base + first, count, outcome: Outcome::Results(frame, begin) })
            }
            Word::Failed { index, failure, .. } => {
                Some(Self { first: base + index, count: 1, outcome: Outcome::Failed(failure.into()) })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How large the chunks become of tasks that take so long each, and how many it took to find out.
    fn settled(job: &Job, each: u64) -> (usize, usize) {
        let mut sizes = vec![job.chunk_size(None, 4)];
        loop {
            let size = sizes[sizes.len() - 1];
            job.learn(size, each * size as u64);
            let next = job.chunk_size(None, 4);
            if next == size {
                return (size, sizes.len());
            }
            sizes.push(next);
        }
    }

    #[test]
    fn chunks_become_as_large_as_takes_a_worker_about_two_milliseconds() {
        let goal = GOAL.as_nanos() as u64;
        for (each, size) in [(1, MAX_ITEMS), (1_000, 2_000), (100_000, 20), (goal, 1), (50 * goal, 1)] {
            let (settled, chunks) = settled(&Job::new(None, None), each);
            assert_eq!(settled, size, "{each} ns");
            assert!(chunks <= 7, "{chunks} chunks until {size} were in one");
        }
        // Tasks that become slow are given singly again, at once.
        let job = Job::new(None, None);
        settled(&job, 1_000);
        assert!(job.is_brief());
        job.learn(2_000, 2_000 * 10 * goal);
        assert_eq!(job.chunk_size(None, 4), 1);
        assert!(!job.is_brief());
    }

    #[test]
    fn towards_the_end_all_workers_get_a_share() {
        let job = Job::new(None, None);
        settled(&job, 1_000);
        assert_eq!(job.chunk_size(Some(100_000), 4), 2_000);
        assert_eq!(job.chunk_size(Some(800), 4), 100);
        assert_eq!(job.chunk_size(Some(3), 4), 1);
        // What a caller says, and what a worker may run at the most, is kept to.
        let fixed = Job::new(Some(7), None);
        assert_eq!(settled(&fixed, 1), (7, 1));
        assert_eq!(settled(&Job::new(None, Some(10)), 1).0, 10);
    }
}
