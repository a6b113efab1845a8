//! How a pool is to be.

use std::panic::Location;
use std::sync::Arc;
use std::thread::available_parallelism;

use super::bomb::{self, Lineage};
use super::crew::Crew;
use super::{Pool, PoolError};
use crate::error::Error;
use crate::process::StartMethod;

/// What a pool's workers have in common.
pub struct Settings {
    pub name: String,
    pub workers: usize,
    pub initializer: Option<Arc<dyn Fn() + Send + Sync>>,
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
    initializer: Option<Arc<dyn Fn() + Send + Sync>>,
    max_tasks_per_child: Option<usize>,
    retries: u32,
    nested: bool,
    method: StartMethod,
}

impl Default for Builder {
    fn default() -> Self {
        let (name, method) = ("PoolWorker".to_owned(), StartMethod::Fork);
        Self { name, workers: None, initializer: None, max_tasks_per_child: None, retries: 0, nested: false, method }
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
        self.initializer = Some(Arc::new(f));
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

    /// Where the workers are forked from: this process, if nothing is said. From the [fork server](crate::init) also those come that replace others while
    /// the program has threads; what they find is the program as it was at `init`, and an initializer can't be sent there.
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
        let lineage = if self.nested { Vec::new() } else { bomb::extend(Location::caller())? };
        if self.method == StartMethod::ForkServer && self.initializer.is_some() {
            let what = "an initializer can't be sent to the fork server; let each worker make a state by Pool::with"
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
        Ok(Pool { crew: Crew::start(settings)? })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("name", &self.name).field("workers", &self.workers).finish_non_exhaustive()
    }
}
