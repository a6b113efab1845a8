//! Results to be fetched later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::PoolError;
use super::chunk::Chunk;
use super::crew::Crew;
use super::job::{Job, PATIENCE, State};
use super::task::Task;
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

/// Gives all items, in chunks such that each worker gets about four, as Python does.
pub fn map<A: Datum, R: Datum>(
    crew: &Crew,
    task: Task,
    items: impl IntoIterator<Item = A>,
) -> Result<AsyncResult<Vec<R>>, PoolError> {
    crew.check()?;
    let items = items.into_iter();
    let size = items.size_hint().0.div_ceil(crew.settings.workers * 4);
    let size = size.max(1).min(crew.settings.max_tasks_per_child.unwrap_or(usize::MAX));
    let job = Arc::new(Job::new(Some(size), None));
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
