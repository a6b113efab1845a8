//! Results to be fetched later.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::PoolError;
use super::chunk::Chunk;
use super::crew::Crew;
use super::job::{Job, PATIENCE, State};
use super::task::Task;
use crate::connection::Waitable;
use crate::datum::Datum;
use crate::error::Error;

/// A result that is on its way. Dropping it leaves the task to be done all the same.
///
/// ```
/// use std::time::Duration;
/// use multiproc::Pool;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::new(1)?;
/// let result = pool.apply_async(|n: u64| n + 1, 41)?;
/// assert!(result.wait(Some(Duration::from_secs(10))));
/// assert_eq!(result.successful(), Some(true));
/// assert_eq!(result.get()?, 42);
/// # Ok(())
/// # }
/// ```
///
/// [`process::wait`](crate::process::wait) waits for the first of several, and of processes and connections beside them.
pub struct AsyncResult<T> {
    job: Arc<Job>,
    decode: fn(&State) -> Result<T, PoolError>,
}

/// Gives one item.
pub fn apply<A: Datum, R: Datum>(crew: &Crew, task: Task, argument: &A) -> Result<AsyncResult<R>, PoolError> {
    let job = Arc::new(Job::new(Some(1), None));
    let mut chunk = Chunk::new(&job, task, 0);
    chunk.push(argument)?;
    crew.submit(chunk)?;
    let _ = job.end_feeding();
    let decode = |state: &State| {
        let mut results = Vec::with_capacity(1);
        for arrival in &state.arrived {
            arrival.decode(&mut results)?;
        }
        results.pop().ok_or_else(|| Error::protocol("a worker has told of no result").into())
    };
    Ok(AsyncResult { job, decode })
}

/// Gives all items, in chunks of that size, or such that each worker gets about four, as Python does.
pub fn map<A: Datum, R: Datum>(
    crew: &Crew,
    task: Task,
    items: impl IntoIterator<Item = A>,
    chunk_size: Option<usize>,
) -> Result<AsyncResult<Vec<R>>, PoolError> {
    let items = items.into_iter();
    let size = chunk_size.unwrap_or_else(|| items.size_hint().0.div_ceil(crew.settings.workers * 4));
    let job = give(crew, task, items, size, Job::new(Some(size), None))?;
    let decode = |state: &State| {
        let mut arrived: Vec<_> = state.arrived.iter().collect();
        arrived.sort_by_key(|arrival| arrival.first);
        let mut results = Vec::new();
        for arrival in arrived {
            arrival.decode(&mut results)?;
        }
        Ok(results)
    };
    Ok(AsyncResult { job, decode })
}

/// Gives all items, and has `arrived` called with each result and its item's place, on the pool's thread, as soon as their chunk is finished.
pub fn each<A: Datum, R: Datum>(
    crew: &Crew,
    task: Task,
    items: impl IntoIterator<Item = A>,
    chunk_size: usize,
    arrived: impl Fn(Vec<(usize, Result<R, PoolError>)>) + Send + Sync + 'static,
) -> Result<Cancel, PoolError> {
    let watcher = Arc::new(move |job: &Job| {
        let arrivals = std::mem::take(&mut job.lock().arrived);
        let mut all = Vec::new();
        for arrival in arrivals {
            let mut results = Vec::with_capacity(arrival.count);
            let failed = arrival.decode::<R>(&mut results).err();
            let missing = arrival.count - results.len();
            let missing = failed.into_iter().cycle().take(missing).map(Err);
            all.extend((arrival.first..).zip(results.into_iter().map(Ok).chain(missing)));
        }
        arrived(all);
    });
    let job = give(crew, task, items.into_iter(), chunk_size, Job::new(Some(chunk_size), None).watched(watcher))?;
    Ok(Cancel(job))
}

/// Gives all items of a job.
fn give<A: Datum>(
    crew: &Crew,
    task: Task,
    items: impl Iterator<Item = A>,
    size: usize,
    job: Job,
) -> Result<Arc<Job>, PoolError> {
    crew.check()?;
    let size = size.max(1).min(crew.settings.max_tasks_per_child.unwrap_or(usize::MAX));
    let job = Arc::new(job);
    let mut chunk = Chunk::new(&job, task, 0);
    for item in items {
        if chunk.is_full(size) {
            let base = chunk.base + chunk.len();
            crew.submit(std::mem::replace(&mut chunk, Chunk::new(&job, task, base)))?;
        }
        if let Err(error) = chunk.push(&item) {
            job.cancel();
            return Err(error);
        }
    }
    if chunk.len() > 0 {
        crew.submit(chunk)?;
    }
    let _ = job.end_feeding();
    Ok(job)
}

/// Says of a call that nobody wants the rest of it.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<Job>);

impl Cancel {
    /// What no worker has begun is left undone.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

impl<T> AsyncResult<T> {
    /// The result. Waits for it without limit.
    ///
    /// # Errors
    /// Why there is none.
    pub fn get(self) -> Result<T, PoolError> {
        self.wait(None);
        (self.decode)(&self.job.lock())
    }

    /// As [`get`](Self::get), for `timeout` at the most.
    ///
    /// # Errors
    /// [`PoolError::Timeout`], after which it can be asked again; or why there is no result.
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, PoolError> {
        if self.wait(Some(timeout)) {
            (self.decode)(&self.job.lock())
        } else {
            Err(PoolError::Timeout { after: timeout })
        }
    }

    /// Waits until it is there, for `timeout` at the most (`None`: without limit); whether it is.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let begun = Instant::now();
        let mut state = self.job.lock();
        while !state.is_done() && begun.elapsed() < PATIENCE && deadline.is_none_or(|deadline| begun < deadline) {
            drop(state);
            std::thread::yield_now();
            state = self.job.lock();
        }
        loop {
            if state.is_done() {
                return true;
            }
            let (next, in_time) = self.job.wait(state, deadline);
            state = next;
            if !in_time {
                return state.is_done();
            }
        }
    }

    /// Whether it is there.
    #[doc(alias = "ready")]
    pub fn is_ready(&self) -> bool {
        self.job.lock().is_done()
    }

    /// Whether it is there and no failure; `None` while it is not there.
    pub fn successful(&self) -> Option<bool> {
        let state = self.job.lock();
        state.is_done().then(|| !state.has_failed())
    }
}

impl<T> AsyncResult<T> {
    /// What says that nobody wants it any more.
    pub(crate) fn canceller(&self) -> Cancel {
        Cancel(Arc::clone(&self.job))
    }
}

impl<T> Waitable for AsyncResult<T> {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.job.done()
    }

    fn is_ready(&self) -> bool {
        self.job.lock().is_done()
    }
}

impl<T: 'static> AsyncResult<T> {
    /// Has `f` called with the result when it is there: on the pool's thread, which does nothing else meanwhile, or now, if it is
    /// there already. Any number of times, in order.
    #[doc(alias = "callback")]
    #[doc(alias = "error_callback")]
    pub fn on_ready(self, f: impl FnOnce(Result<T, PoolError>) + Send + 'static) -> Self {
        let decode = self.decode;
        self.job.when_done(Box::new(move |job| {
            let result = decode(&job.lock());
            f(result);
        }));
        self
    }
}

impl<T> std::fmt::Debug for AsyncResult<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsyncResult").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}
