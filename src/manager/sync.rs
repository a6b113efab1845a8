//! The manager that has every shared type registered.

use std::ops::Deref;

use super::base::BaseManager;
use super::builder::Builder;
use crate::error::Result;
use crate::proxy::Maker;
use crate::types;

/// A manager of a server with all the shared types of [`types`](crate::types): what `multiprocessing.Manager()` is in Python.
///
/// Everything that a [`BaseManager`] can, it can too. The proxies' constructors take it: `DictProxy::new(&manager, …)`.
///
/// ```
/// use multiproc::{SyncManager, types::CounterProxy};
///
/// # fn main() -> multiproc::Result<()> {
/// let manager = SyncManager::start()?; // forks
/// let counter = CounterProxy::new(&manager, 40)?;
/// assert_eq!(counter.add(2)?, 42);
/// manager.shutdown()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a manager shuts its server down"]
#[derive(Debug)]
pub struct SyncManager {
    base: BaseManager,
}

impl SyncManager {
    /// A manager to be described: other addresses and keys, types of your own beside the shared ones.
    pub fn builder() -> Builder<Self> {
        Builder::new()
            .register::<types::Array>()
            .register::<types::Barrier>()
            .register::<types::BoundedSemaphore>()
            .register::<types::Condition>()
            .register::<types::Counter>()
            .register::<types::Dict>()
            .register::<types::Event>()
            .register::<types::JoinableQueue>()
            .register::<types::LifoQueue>()
            .register::<types::List>()
            .register::<types::Lock>()
            .register::<types::Namespace>()
            .register::<types::PriorityQueue>()
            .register::<types::Queue>()
            .register::<types::RLock>()
            .register::<types::Semaphore>()
            .register::<types::Set>()
            .register::<types::SharedPool>()
            .register::<types::SharedValue>()
    }

    /// Forks a server of the shared types, with all defaults; as `multiprocessing.Manager()` does.
    ///
    /// # Errors
    /// As [`Builder::start`].
    #[doc(alias = "Manager")]
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }
}

impl From<BaseManager> for SyncManager {
    fn from(base: BaseManager) -> Self {
        Self { base }
    }
}

impl Deref for SyncManager {
    type Target = BaseManager;

    fn deref(&self) -> &BaseManager {
        &self.base
    }
}

impl AsRef<Maker> for SyncManager {
    fn as_ref(&self) -> &Maker {
        self.base.as_ref()
    }
}
