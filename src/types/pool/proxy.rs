//! The pool as its users hold it.

use std::panic::Location;

use super::referent::SharedPool;
use super::result::{AsyncResultProxy, flat};
use super::results::PoolResultsProxy;
use super::task::{OneArgument, Task};
use super::tasks::Named;
use crate::error::Error;
use crate::pool::{PoolError, extend_lineage};
use crate::proxy::{Maker, Proxy};
use crate::types::bulk::Received;
use crate::types::element::Element;
use crate::types::encodes::sent_all;

proxy_type! {
    /// Worker processes of a manager's server, which run tasks for any process that has this proxy.
    ///
    /// What the tasks are is said before the server starts: functions with [`#[multiproc::task]`](macro@crate::task) on them, registered with
    /// [`Builder::task`](crate::Builder::task). A call names one as a type (the name of the function), so that arguments and result are checked by the compiler; the function stays a function.
    ///
    /// ```
    /// use multiproc::SyncManager;
    /// use multiproc::types::PoolProxy;
    ///
    /// #[multiproc::task]
    /// fn square(n: u64) -> u64 { n * n }
    ///
    /// #[multiproc::task]
    /// fn power(base: u64, exponent: u32) -> u64 { base.pow(exponent) }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let manager = SyncManager::builder().task::<square>().task::<power>().start()?;
    /// let pool = PoolProxy::new(&manager, 2)?;
    ///
    /// assert_eq!(pool.apply::<square>((3,))?, 9);
    /// assert_eq!(pool.map::<square>(0..5)?, [0, 1, 4, 9, 16]);
    /// assert_eq!(pool.starmap::<power>([(2, 10), (3, 3)])?, [1024, 27]);
    ///
    /// let later = pool.apply_async::<power>((2, 62))?; // any process may fetch it
    /// for result in pool.imap_unordered::<square>(1..=3)? {
    ///     assert!([1, 4, 9].contains(&result?));
    /// }
    /// assert_eq!(later.get()?, 1 << 62);
    /// assert_eq!(square(4), 16); // still a function
    /// # manager.shutdown()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Proxies
    /// Arguments and results may hold proxies; a worker is a client of the server as any process is.
    ///
    /// # Deaths
    /// A worker that is killed fails its task by [`PoolError::WorkerDied`], which names the signal, and is replaced. When a process is killed that waits for a result, what no worker has begun of its call is
    /// left undone. The pool ends with its last proxy, by [`terminate`](Self::terminate), and with the server, however that ends.
    ///
    /// # What workers find
    /// The program as it was when the server started (or where it became one), after its initializer: they are forked from a process that was set aside then, and has one thread.
    pub struct PoolProxy, PoolDeferred;
}

/// A pool of a server's, to be started: see [`PoolProxy::builder`].
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use multiproc::SyncManager;
/// use multiproc::types::PoolProxy;
///
/// static BASE: AtomicU64 = AtomicU64::new(0);
///
/// #[multiproc::task]
/// fn begin_at(base: u64) { BASE.store(base, Ordering::Relaxed) }
///
/// #[multiproc::task]
/// fn above(n: u64) -> u64 { BASE.load(Ordering::Relaxed) + n }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = SyncManager::builder().task::<begin_at>().task::<above>().start()?;
/// let pool = PoolProxy::builder().workers(2).initializer::<begin_at>((40,)).retries(1).start(&manager)?;
/// assert_eq!(pool.apply::<above>((2,))?, 42);
/// # manager.shutdown()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct PoolBuilder {
    name: Option<String>,
    workers: Option<usize>,
    initializer: Option<Named>,
    arguments: Option<Element>,
    max_tasks_per_child: Option<usize>,
    retries: Option<u32>,
    /// Why it can't be started.
    problem: Option<PoolError>,
}

impl PoolBuilder {
    /// How many processes; at least one. As many as there are processors that the server may use, if nothing is said.
    #[doc(alias = "processes")]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// What the workers are called: `PoolWorker-1` and so on, if nothing is said.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The task with which each worker begins; a panic in it is the end of the pool.
    #[doc(alias = "initargs")]
    pub fn initializer<T: Task>(mut self, arguments: T::Arguments) -> Self {
        self.initializer = Some(Named::of::<T>());
        match Element::of(&arguments) {
            Ok(arguments) => self.arguments = Some(arguments),
            Err(error) => self.problem = Some(Error::unserializable::<T::Arguments>(error).into()),
        }
        self
    }

    /// After how many tasks a worker is replaced by a fresh one; never, if nothing is said.
    #[doc(alias = "maxtasksperchild")]
    pub fn max_tasks_per_child(mut self, tasks: usize) -> Self {
        self.max_tasks_per_child = Some(tasks);
        self
    }

    /// How often a task is tried again whose worker was killed, before it fails; never, if nothing is said.
    pub fn retries(mut self, times: u32) -> Self {
        self.retries = Some(times);
        self
    }

    /// Has the server make it.
    ///
    /// # Errors
    /// [`PoolError::NoSuchTask`] for the initializer; [`Error::State`] where no task was registered, and in a worker of the same pool; when the server has no processes,
    /// descriptors or memory left.
    #[track_caller]
    pub fn start(self, manager: &impl AsRef<Maker>) -> Result<PoolProxy, PoolError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let lineage = extend_lineage(Location::caller())?;
        let arguments = (
            self.workers,
            self.initializer,
            self.arguments,
            self.max_tasks_per_child,
            self.retries,
            self.name,
            Some(lineage),
        );
        flat(manager.as_ref().construct_fallible_by_value::<SharedPool, PoolProxy, _, _>("new", &arguments))
    }
}

impl PoolProxy {
    /// Has the server make a pool of so many workers.
    ///
    /// # Errors
    /// As [`PoolBuilder::start`].
    #[track_caller]
    pub fn new(manager: &impl AsRef<Maker>, workers: usize) -> Result<Self, PoolError> {
        Self::builder().workers(workers).start(manager)
    }

    /// A pool of as many workers as there are processors, or otherwise than by default.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }

    /// Has the server make a pool, and when `f` has returned waits for all that it has begun.
    ///
    /// # Errors
    /// As [`new`](Self::new), and as every call.
    #[track_caller]
    pub fn scope<R>(manager: &impl AsRef<Maker>, workers: usize, f: impl FnOnce(&Self) -> R) -> Result<R, PoolError> {
        let pool = Self::new(manager, workers)?;
        let result = f(&pool);
        pool.close()?;
        pool.join()?;
        Ok(result)
    }

    /// Runs a task in a worker, and waits for its result.
    ///
    /// # Errors
    /// Why there is none: [`PoolError::NoSuchTask`] and [`PoolError::TaskTypes`] before anything has run.
    pub fn apply<T: Task>(&self, arguments: T::Arguments) -> Result<T::Output, PoolError> {
        self.call("apply", &(Named::of::<T>(), arguments)).map(Received::into_inner)
    }

    /// Runs a task in a worker. Does not wait for it.
    ///
    /// # Errors
    /// [`PoolError::NoSuchTask`], [`PoolError::TaskTypes`]; when the pool takes no tasks.
    pub fn apply_async<T: Task>(&self, arguments: T::Arguments) -> Result<AsyncResultProxy<T::Output>, PoolError> {
        self.call("apply_async", &(Named::of::<T>(), arguments))
    }

    /// The task's results for all items, in their order. Waits for all. The items are sent together, and are given to the workers in chunks such that each gets about four.
    ///
    /// # Errors
    /// As [`apply`](Self::apply); the first failure in the order of the items.
    pub fn map<T: Task>(&self, items: impl IntoIterator<Item = Argument<T>>) -> Result<Vec<T::Output>, PoolError>
    where
        T::Arguments: OneArgument,
    {
        self.map_chunked::<T>(items, None)
    }

    /// As [`map`](Self::map), with so many items in a chunk.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    #[doc(alias = "chunksize")]
    pub fn map_chunked<T: Task>(
        &self,
        items: impl IntoIterator<Item = Argument<T>>,
        chunk_size: impl Into<Option<usize>>,
    ) -> Result<Vec<T::Output>, PoolError>
    where
        T::Arguments: OneArgument,
    {
        self.call("map", &(Named::of::<T>(), sent_all::<Argument<T>, _>(items), chunk_size.into())).map(all)
    }

    /// As [`map`](Self::map), without waiting.
    ///
    /// # Errors
    /// As [`apply_async`](Self::apply_async).
    pub fn map_async<T: Task>(
        &self,
        items: impl IntoIterator<Item = Argument<T>>,
    ) -> Result<AsyncResultProxy<Vec<T::Output>>, PoolError>
    where
        T::Arguments: OneArgument,
    {
        self.call("map_async", &(Named::of::<T>(), sent_all::<Argument<T>, _>(items), WHATEVER))
    }

    /// As [`map`](Self::map), of a task of any number of arguments over tuples of them.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn starmap<T: Task>(&self, items: impl IntoIterator<Item = T::Arguments>) -> Result<Vec<T::Output>, PoolError> {
        self.call("starmap", &(Named::of::<T>(), sent_all::<T::Arguments, _>(items), WHATEVER)).map(all)
    }

    /// As [`starmap`](Self::starmap), without waiting.
    ///
    /// # Errors
    /// As [`apply_async`](Self::apply_async).
    pub fn starmap_async<T: Task>(
        &self,
        items: impl IntoIterator<Item = T::Arguments>,
    ) -> Result<AsyncResultProxy<Vec<T::Output>>, PoolError> {
        self.call("starmap_async", &(Named::of::<T>(), sent_all::<T::Arguments, _>(items), WHATEVER))
    }

    /// The task's results, one after the other in the order of the items, as soon as they are there. The items are sent together, now.
    ///
    /// # Errors
    /// As [`apply_async`](Self::apply_async).
    pub fn imap<T: Task>(
        &self,
        items: impl IntoIterator<Item = Argument<T>>,
    ) -> Result<PoolResultsProxy<T::Output>, PoolError>
    where
        T::Arguments: OneArgument,
    {
        self.call("imap", &(Named::of::<T>(), sent_all::<Argument<T>, _>(items), WHATEVER))
    }

    /// As [`imap`](Self::imap), in whatever order they come.
    ///
    /// # Errors
    /// As [`apply_async`](Self::apply_async).
    pub fn imap_unordered<T: Task>(
        &self,
        items: impl IntoIterator<Item = Argument<T>>,
    ) -> Result<PoolResultsProxy<T::Output>, PoolError>
    where
        T::Arguments: OneArgument,
    {
        self.call("imap_unordered", &(Named::of::<T>(), sent_all::<Argument<T>, _>(items), WHATEVER))
    }

    /// As [`imap`](Self::imap), over tuples of arguments.
    ///
    /// # Errors
    /// As [`apply_async`](Self::apply_async).
    pub fn starimap<T: Task>(
        &self,
        items: impl IntoIterator<Item = T::Arguments>,
    ) -> Result<PoolResultsProxy<T::Output>, PoolError> {
        self.call("starimap", &(Named::of::<T>(), sent_all::<T::Arguments, _>(items), WHATEVER))
    }

    /// As [`imap_unordered`](Self::imap_unordered), over tuples of arguments.
    ///
    /// # Errors
    /// As [`apply_async`](Self::apply_async).
    pub fn starimap_unordered<T: Task>(
        &self,
        items: impl IntoIterator<Item = T::Arguments>,
    ) -> Result<PoolResultsProxy<T::Output>, PoolError> {
        self.call("starimap_unordered", &(Named::of::<T>(), sent_all::<T::Arguments, _>(items), WHATEVER))
    }

    /// Waits until all workers have ended.
    ///
    /// # Errors
    /// When the pool is neither closed nor terminated.
    pub fn join(&self) -> Result<(), PoolError> {
        self.call("join", &())
    }

    fn call<A: serde::Serialize, R: serde::de::DeserializeOwned>(
        &self,
        method: &str,
        arguments: &A,
    ) -> Result<R, PoolError> {
        flat(self.base().invoke_fallible_by_value(method, arguments))
    }
}

calls! {
    [] PoolProxy[], PoolDeferred;

    /// Takes no more tasks; those that it has are finished, and the workers end. Does not wait for that.
    fn close(&self) -> () { "close"() }

    /// Ends the workers, whatever they do. What is not done by then is [`PoolError::Terminated`]. Does not wait for that.
    fn terminate(&self) -> () { "terminate"() }

    /// How many workers it has.
    fn workers(&self) -> usize { "workers"() }

    /// The process ids of the workers that there are just now.
    fn worker_ids(&self) -> Vec<u32> { "worker_ids"() }
}

/// The only argument of a task.
type Argument<T> = <<T as Task>::Arguments as OneArgument>::Argument;

/// As large chunks as the server thinks good.
const WHATEVER: Option<usize> = None;

fn all<T>(results: Vec<Received<T>>) -> Vec<T> {
    crate::types::bulk::received(results)
}
