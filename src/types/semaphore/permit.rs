//! A permit, on the side of who has it.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::proxy::{BaseProxy, Proxy};
use crate::sys::fork::Stamp;

/// How long the drop of a permit waits for the server's word. What was said is done, also when its answer comes later.
const FAREWELL: Duration = Duration::from_secs(1);

/// Permits of a semaphore: given back when the guard is dropped.
///
/// It owns a proxy of its semaphore, and belongs to this process: any of its threads may drop it, and its end gives the permits back. Dropping it waits for the server's word on that for at
/// most 1 s; in a forked child, which does not own its parent's permits, dropping it does nothing.
#[must_use = "the permits are given back when their guard is dropped"]
pub struct Permit {
    semaphore: BaseProxy,
    count: u64,
    stamp: Stamp,
}

impl Permit {
    pub(super) fn acquire(semaphore: &BaseProxy, count: u64, blocking: bool) -> Result<Option<Self>> {
        let acquired: bool = semaphore.invoke_by_value("acquire", &(count, blocking))?;
        let semaphore = || semaphore.without_timeout();
        Ok(acquired.then(|| Self { semaphore: semaphore(), count, stamp: Stamp::now() }))
    }

    pub(super) fn acquire_for(semaphore: &BaseProxy, count: u64, timeout: Duration) -> Result<Option<Self>> {
        match Self::acquire(&semaphore.with_timeout(timeout), count, true) {
            Err(Error::Timeout { .. }) => Ok(None),
            other => other,
        }
    }

    /// How many permits it is.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Gives the permits back, and says whether that worked. (Dropping the guard can't.)
    pub fn release(mut self) -> Result<()> {
        let count = self.spend();
        self.semaphore.invoke_by_value("give_back", &(count,)).map(|_: bool| ())
    }

    /// Leaves the permits taken, and nobody's: they do not come back with this process's end, but when somebody [releases](super::SemaphoreProxy::release) them.
    pub fn forget(mut self) -> Result<()> {
        let count = self.spend();
        self.semaphore.invoke_by_value("forget", &(count,)).map(|_: bool| ())
    }

    /// What is left to be given back: all of it, once, and by the process that has it.
    fn spend(&mut self) -> u64 {
        let count = std::mem::take(&mut self.count);
        if self.stamp.is_current() { count } else { 0 }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let count = self.spend();
        if count > 0 {
            // Where that fails the server is gone, and the semaphore with it.
            let _: Result<bool> = self.semaphore.with_timeout(FAREWELL).invoke_by_value("give_back", &(count,));
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("of", &self.semaphore).field("count", &self.count).finish()
    }
}
