//! How a pool is to be.

use std::panic::Location;
use std::sync::Arc;
use std::thread::available_parallelism;

use super::bomb::{self, Lineage};
use super::crew::Crew;
use super::initializer::{Function, Initializer};
use super::{Pool, PoolError};
use crate::datum::Datum;
use crate::error::Error;
use crate::process::StartMethod;

/// What a pool's workers have in common.
pub struct Settings {
    pub name: String,
    pub workers: usize,
    pub initializer: Option<Initializer>,
    pub max_tasks_per_child: Option<usize>,
    pub retries: u32,
    pub lineage: Lineage,
    pub method: StartMethod,
}

/// A pool to be started.
///
/// ```
/// use multiproc::Pool;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::builder().workers(2).name("squares").max_tasks_per_child(1000).retries(1).start()?;
/// assert_eq!(pool.map(|n: u64| n * n, 0..4)?, [0, 1, 4, 9]);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Builder {
    name: String,
    workers: Option<usize>,
    initializer: Option<Initializer>,
    max_tasks_per_child: Option<usize>,
    retries: u32,
    nested: bool,
    /// For whom the workers work, where that is not this process.
    lineage: Option<Lineage>,
    method: StartMethod,
    /// Why it can't be started.
    problem: Option<PoolError>,
}

impl Default for Builder {
    fn default() -> Self {
        let (name, method) = ("PoolWorker".to_owned(), StartMethod::Fork);
        Self {
            name,
            workers: None,
            initializer: None,
            max_tasks_per_child: None,
            retries: 0,
            nested: false,
            lineage: None,
            method,
            problem: None,
        }
    }
}

impl Builder {
    /// A pool with Python's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many processes; at least one. As many as there are processors that this process may use, if nothing is said.
    #[doc(alias = "processes")]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers.max(1));
        self
    }

    /// What the workers are called: `PoolWorker-1` and so on, if nothing is said.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What each worker does before its first task. Also those that replace others, whenever that may be; a panic in it is the end of
    /// the pool.
    pub fn initializer(mut self, f: impl Fn() + Send + Sync + 'static) -> Self {
        self.initializer = Some(Initializer::Closure(Arc::new(f)));
        self
    }

    /// As [`initializer`](Self::initializer), of a plain function and its argument, which reach workers of the fork server too.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use multiproc::Pool;
    ///
    /// static BASE: AtomicU64 = AtomicU64::new(0);
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = Pool::builder().workers(2).initializer_fn(|base| BASE.store(base, Ordering::Relaxed), 40).start()?;
    /// assert_eq!(pool.apply(|n: u64| BASE.load(Ordering::Relaxed) + n, 2)?, 42);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "initargs")]
    pub fn initializer_fn<A: Datum>(mut self, f: fn(A), argument: A) -> Self {
        match Function::new(f, &argument) {
            Ok(function) => self.initializer = Some(Initializer::Function(function)),
            Err(error) => self.problem = Some(error),
        }
        self
    }

    /// After how many tasks a worker is replaced by a fresh one; never, if nothing is said. For tasks that leak.
    #[doc(alias = "maxtasksperchild")]
    pub fn max_tasks_per_child(mut self, tasks: usize) -> Self {
        self.max_tasks_per_child = Some(tasks.max(1));
        self
    }

    /// How often a task is tried again whose worker was killed, before it fails; never, if nothing is said. Only that task: what the
    /// worker had finished is kept, and what it had not begun has lost nothing. Panics are not tried again.
    pub fn retries(mut self, times: u32) -> Self {
        self.retries = times;
        self
    }

    /// Allows a worker of a pool to make that pool again: for functions that make pools at several levels, and know where to stop.
    pub fn nested(mut self, nested: bool) -> Self {
        self.nested = nested;
        self
    }

    /// The workers work for another process, which has checked that it may have them.
    pub(crate) fn lineage(mut self, lineage: Lineage) -> Self {
        self.lineage = Some(lineage);
        self
    }

    /// Where the workers are forked from: this process, if nothing is said. From the [fork server](crate::init) also those come that replace others while
    /// the program has threads; what they find is the program as it was at `init`, and an initializer must be a plain function
    /// ([`initializer_fn`](Self::initializer_fn)).
    pub fn start_method(mut self, method: StartMethod) -> Self {
        self.method = method;
        self
    }

    /// Forks the workers.
    ///
    /// # Errors
    /// When there are no processes, file descriptors or memory left; in a worker of the same pool, see [`nested`](Self::nested).
    #[track_caller]
    pub fn start(self) -> Result<Pool, PoolError> {
        let lineage = match self.lineage {
            Some(lineage) => lineage,
            None if self.nested => Lineage::new(),
            None => bomb::extend(Location::caller())?,
        };
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        if self.method == StartMethod::ForkServer && matches!(self.initializer, Some(Initializer::Closure(_))) {
            let what =
                "a closure can't be sent to the fork server as an initializer; use initializer_fn with a function \
                        and its argument, or let each worker make a state by Pool::with"
                    .to_owned();
            return Err(Error::State { what }.into());
        }
        let workers = self.workers.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
        let settings = Settings {
            name: self.name,
            workers,
            initializer: self.initializer,
            max_tasks_per_child: self.max_tasks_per_child,
            retries: self.retries,
            lineage,
            method: self.method,
        };
        Ok(Pool { crew: Crew::start(settings)?, waits: true })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("name", &self.name).field("workers", &self.workers).finish_non_exhaustive()
    }
}
