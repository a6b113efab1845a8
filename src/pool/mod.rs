//! Pools: worker processes that run functions over items, and outlive the death of any of them.
//!
//! Above `process`, whose children the workers are. A task is a plain function (or a closure that captures nothing): the workers are forked from
//! the program that sends it, so that a place in its image is name enough; build id and type are compared. Arguments and results are
//! encoded by bincode, many to a message.
//!
//! # The way of a task
//! A caller's iterator → `chunk` (encoded on the caller's thread, while the workers work) → `crew` (who gets it) → a
//! `hand`'s socket → `worker` in the other process → its journal → results, many to a message → the crew's one thread → the
//! `job` → decoded on the caller's thread.
//!
//! # Invariants
//! - A worker's death costs one item: the one that ran. What was finished is found in its journal, what was not begun is given to others.
//! - Nobody waits for a worker but who wants a result; arguments and results larger than any buffer lock nobody out.
//! - No worker outlives the process that made the pool: they are daemonic, and busy ones too are killed with it.
//! - In a forked child the pool is an error that explains; so is, in a worker, the same pool made again.

mod bomb;
mod builder;
mod chunk;
mod crew;
mod error;
mod feed;
mod hand;
mod initializer;
mod job;
mod result;
mod task;
mod worker;

use std::fmt;
use std::sync::Arc;

pub(crate) use bomb::{Lineage, extend as extend_lineage};
pub use builder::Builder;
pub use error::{PoolError, WorkerEnd};
pub use feed::{Imap, ImapUnordered};
pub use result::AsyncResult;
pub(crate) use result::Cancel;

use crew::Crew;
use feed::Feed;
use task::Task;

use crate::datum::Datum;

/// Worker processes that run functions.
///
/// ```
/// use multiproc::Pool;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// fn square(n: u64) -> u64 { n * n }
///
/// let pool = Pool::new(2)?;
/// assert_eq!(pool.map(square, 0..1000)?.iter().sum::<u64>(), 332_833_500);
/// assert_eq!(pool.apply(|text: String| text.len(), "four".to_owned())?, 4);
/// for result in pool.imap_unordered(square, 1..=3) {
///     assert!([1, 4, 9].contains(&result?));
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Tasks
/// are plain functions and closures that capture nothing: what they need comes with their arguments, or is a state that each
/// worker makes for itself ([`with`](Self::with)), or was there when the pool was made, since the workers are forks of that moment. Make a pool
/// early: a fork of a process with many threads is best avoided (see [`Process`](crate::Process)).
///
/// # Deaths
/// A worker that dies fails the task that it ran, with [`PoolError::WorkerDied`], which names the signal, and is replaced. Other tasks are not touched, even
/// if they had been sent together with that one: each runs once.
///
/// # Signals
/// Workers ignore SIGINT, so that what a ^C at the terminal ends is for the program to say. They end with the process that made the pool, however that ends.
///
/// # The end
/// Dropping the pool [terminates](Self::terminate) it. [`close`](Self::close) and [`join`](Self::join) let it finish; [`scope`](Self::scope) does that by itself.
pub struct Pool {
    crew: Arc<Crew>,
    /// Whether dropping it waits for the workers' end.
    waits: bool,
}

impl Pool {
    /// Forks so many workers.
    ///
    /// # Errors
    /// When there are no processes, file descriptors or memory left; in a worker of the same pool (see [`Builder::nested`]).
    #[track_caller]
    pub fn new(workers: usize) -> Result<Self, PoolError> {
        Builder::new().workers(workers).start()
    }

    /// A pool of as many workers as there are processors that this process may use, or otherwise than by default.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Makes a pool, and when `f` has returned waits for all that it has begun.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[track_caller]
    pub fn scope<R>(workers: usize, f: impl FnOnce(&Self) -> R) -> Result<R, PoolError> {
        let pool = Self::new(workers)?;
        let result = f(&pool);
        pool.close();
        pool.join()?;
        Ok(result)
    }

    /// Runs a function in a worker, and waits for its result.
    ///
    /// # Errors
    /// Why there is none.
    pub fn apply<A: Datum, R: Datum>(&self, f: fn(A) -> R, argument: A) -> Result<R, PoolError> {
        self.apply_async(f, argument)?.get()
    }

    /// Runs a function in a worker. Does not wait.
    ///
    /// # Errors
    /// When the argument can't be sent, or the pool takes no tasks.
    pub fn apply_async<A: Datum, R: Datum>(&self, f: fn(A) -> R, argument: A) -> Result<AsyncResult<R>, PoolError> {
        result::apply(&self.crew, Task::plain(f)?, &argument)
    }

    /// The function's results for all items, in their order. Waits for all.
    ///
    /// Items are taken from the iterator as the workers need them, and travel together, as many as take a worker about 2 ms.
    ///
    /// # Errors
    /// The first failure that is seen. Items that are not with a worker by then are not run.
    pub fn map<A: Datum, R: Datum>(
        &self,
        f: fn(A) -> R,
        items: impl IntoIterator<Item = A>,
    ) -> Result<Vec<R>, PoolError> {
        Feed::new(&self.crew, Task::plain(f)?, items, None)?.collect()
    }

    /// As [`map`](Self::map), with so many items in a chunk.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn map_chunked<A: Datum, R: Datum>(
        &self,
        f: fn(A) -> R,
        items: impl IntoIterator<Item = A>,
        chunk_size: usize,
    ) -> Result<Vec<R>, PoolError> {
        Feed::new(&self.crew, Task::plain(f)?, items, Some(chunk_size))?.collect()
    }

    /// As [`map`](Self::map), without waiting: all items are taken now.
    ///
    /// # Errors
    /// When an item can't be sent, or the pool takes no tasks.
    pub fn map_async<A: Datum, R: Datum>(
        &self,
        f: fn(A) -> R,
        items: impl IntoIterator<Item = A>,
    ) -> Result<AsyncResult<Vec<R>>, PoolError> {
        result::map(&self.crew, Task::plain(f)?, items, None)
    }

    /// As [`map_async`](Self::map_async), with so many items in a chunk.
    ///
    /// # Errors
    /// As [`map_async`](Self::map_async).
    pub fn map_async_chunked<A: Datum, R: Datum>(
        &self,
        f: fn(A) -> R,
        items: impl IntoIterator<Item = A>,
        chunk_size: usize,
    ) -> Result<AsyncResult<Vec<R>>, PoolError> {
        result::map(&self.crew, Task::plain(f)?, items, Some(chunk_size))
    }

    /// As [`map_async_chunked`](Self::map_async_chunked), with each result told as soon as its chunk is finished, on the pool's thread.
    pub(crate) fn each<A: Datum, R: Datum>(
        &self,
        f: fn(A) -> R,
        items: impl IntoIterator<Item = A>,
        chunk_size: usize,
        arrived: impl Fn(Vec<(usize, Result<R, PoolError>)>) + Send + Sync + 'static,
    ) -> Result<Cancel, PoolError> {
        result::each(&self.crew, Task::plain(f)?, items, chunk_size, arrived)
    }

    /// As [`map`](Self::map), of a function of two arguments over pairs. (Of more: `map(|(a, b, c)| f(a, b, c), items)`.)
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = multiproc::Pool::new(2)?;
    /// assert_eq!(pool.starmap(u64::pow, [(2, 10), (3, 3)])?, [1024, 27]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn starmap<A: Datum, B: Datum, R: Datum>(
        &self,
        f: fn(A, B) -> R,
        items: impl IntoIterator<Item = (A, B)>,
    ) -> Result<Vec<R>, PoolError> {
        Feed::new(&self.crew, Task::spread(f)?, items, None)?.collect()
    }

    /// The function's results, one after the other in the order of the items, as soon as they are there.
    ///
    /// Items are taken from the iterator while results are taken from this: neither need fit into memory.
    pub fn imap<A: Datum, R: Datum, I: IntoIterator<Item = A>>(
        &self,
        f: fn(A) -> R,
        items: I,
    ) -> Imap<A, R, I::IntoIter> {
        Imap::new(Task::plain(f).and_then(|task| Feed::new(&self.crew, task, items, None)))
    }

    /// As [`imap`](Self::imap), in whatever order they come.
    pub fn imap_unordered<A: Datum, R: Datum, I: IntoIterator<Item = A>>(
        &self,
        f: fn(A) -> R,
        items: I,
    ) -> ImapUnordered<A, R, I::IntoIter> {
        ImapUnordered::new(Task::plain(f).and_then(|task| Feed::new(&self.crew, task, items, None)))
    }

    /// The pool, for functions that work on a state which each worker makes when it first needs it, and keeps: a connection, a table, a
    /// generator of random numbers.
    ///
    /// A state belongs to what makes it: two tasks with the same `make` share it. After a panic it is made anew.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = multiproc::Pool::new(2)?;
    /// let counting = pool.with(|| 0_u64, |calls, word: String| { *calls += 1; (*calls, word.len()) });
    /// let results = counting.map(["one", "three"].map(String::from))?;
    /// assert_eq!(results.iter().map(|(_, length)| length).sum::<usize>(), 8);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with<S: 'static, A: Datum, R: Datum>(
        &self,
        make: fn() -> S,
        f: fn(&mut S, A) -> R,
    ) -> WithState<'_, S, A, R> {
        WithState { pool: self, make, f }
    }

    /// Takes no more tasks; those that it has are finished, and the workers end. Does not wait.
    pub fn close(&self) {
        if self.crew.is_own() {
            self.crew.close();
        }
    }

    /// Ends the workers, whatever they do: by SIGTERM, and after 0.5 s by SIGKILL. What is not done by then is
    /// [`PoolError::Terminated`]. Does not wait.
    pub fn terminate(&self) {
        if self.crew.is_own() {
            self.crew.terminate();
        }
    }

    /// Waits until all workers have ended.
    ///
    /// # Errors
    /// When the pool is neither closed nor terminated.
    pub fn join(&self) -> Result<(), PoolError> {
        self.crew.join()
    }

    /// Has `f` called, on the pool's thread, when all workers have ended: now, if they have.
    pub(crate) fn when_over(&self, f: impl FnOnce() + Send + 'static) -> Result<(), PoolError> {
        self.crew.when_over(Box::new(f))
    }

    /// The same pool, which does not wait for its workers' end when it is dropped.
    pub(crate) fn without_waiting(self) -> Self {
        let mut pool = self;
        pool.waits = false;
        pool
    }

    /// How many workers it has.
    pub fn workers(&self) -> usize {
        self.crew.settings.workers
    }

    /// The process ids of the workers that there are just now.
    pub fn worker_ids(&self) -> Vec<u32> {
        self.crew.pids()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.crew.is_own() {
            self.crew.terminate();
            if self.waits {
                let _ = self.crew.join();
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.crew.settings;
        f.debug_struct("Pool").field("name", &settings.name).field("workers", &settings.workers).finish_non_exhaustive()
    }
}

/// A pool and a function that works on a state of each worker's: see [`Pool::with`].
#[derive(Debug)]
pub struct WithState<'a, S, A, R> {
    pool: &'a Pool,
    make: fn() -> S,
    f: fn(&mut S, A) -> R,
}

impl<S: 'static, A: Datum, R: Datum> WithState<'_, S, A, R> {
    fn task(&self) -> Result<Task, PoolError> {
        Task::stateful(self.make, self.f)
    }

    /// As [`Pool::apply`].
    ///
    /// # Errors
    /// As [`Pool::apply`].
    pub fn apply(&self, argument: A) -> Result<R, PoolError> {
        self.apply_async(argument)?.get()
    }

    /// As [`Pool::apply_async`].
    ///
    /// # Errors
    /// As [`Pool::apply_async`].
    pub fn apply_async(&self, argument: A) -> Result<AsyncResult<R>, PoolError> {
        result::apply(&self.pool.crew, self.task()?, &argument)
    }

    /// As [`Pool::map`].
    ///
    /// # Errors
    /// As [`Pool::map`].
    pub fn map(&self, items: impl IntoIterator<Item = A>) -> Result<Vec<R>, PoolError> {
        Feed::new(&self.pool.crew, self.task()?, items, None)?.collect()
    }

    /// As [`Pool::map_async`].
    ///
    /// # Errors
    /// As [`Pool::map_async`].
    pub fn map_async(&self, items: impl IntoIterator<Item = A>) -> Result<AsyncResult<Vec<R>>, PoolError> {
        result::map(&self.pool.crew, self.task()?, items, None)
    }

    /// As [`Pool::imap`].
    pub fn imap<I: IntoIterator<Item = A>>(&self, items: I) -> Imap<A, R, I::IntoIter> {
        Imap::new(self.task().and_then(|task| Feed::new(&self.pool.crew, task, items, None)))
    }

    /// As [`Pool::imap_unordered`].
    pub fn imap_unordered<I: IntoIterator<Item = A>>(&self, items: I) -> ImapUnordered<A, R, I::IntoIter> {
        ImapUnordered::new(self.task().and_then(|task| Feed::new(&self.pool.crew, task, items, None)))
    }
}
