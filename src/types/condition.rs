//! A condition: where the owners of a lock wait, with the lock given up, until another owner says that something has changed.
//!
//! A wait is one call: it is answered when the waiter has been notified *and* owns the lock again. In between it stands in two lines, one after the other: the condition's, then
//! the lock's. One whose time is over is answered with that, and takes the lock again by a second call.
//!
//! # Invariants
//! - A waiter is in the line before the lock is given up for him: no notification passes him by.
//! - A notification that reaches a waiter who never hears of it goes to the next one who waited when it was given.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::exclusion::{Exclusion, Grant, Lost, NotOwned, Owner, Suspended};
use super::held::{self, LockGuard};
use super::lock::{LockProxy, Locks, RLockProxy, lock_methods};
use super::waiters::Waiters;
use crate::error::{CallError, Error, Result};
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Invocation, Outcome, Referent, Responder};
use crate::proxy::{BaseProxy, Maker, Proxy};
use crate::sys::sync::Mutex;

/// The referent of a [`ConditionProxy`].
pub struct Condition {
    inner: Arc<Inner>,
}

struct Waiting {
    holding: Suspended,
    responder: Responder<Grant>,
}

struct Inner {
    exclusion: Arc<Exclusion>,
    waiters: Mutex<Waiters<Waiting>>,
    me: Weak<Self>,
}

impl Inner {
    /// Stands in the line, and gives the lock up.
    fn wait(self: &Arc<Self>, holding: Suspended, responder: Responder<Grant>) {
        let place = self.waiters.lock().place();
        let me = Arc::downgrade(self);
        responder.on_cancel(move || {
            let Some(inner) = me.upgrade() else { return };
            let waiting = inner.waiters.lock().leave(place);
            drop(waiting);
        });
        let waiting = Waiting { holding, responder };
        let gone = {
            let mut waiters = self.waiters.lock();
            if waiting.responder.is_wanted() {
                waiters.stand(place, waiting);
                None
            } else {
                Some(waiting)
            }
        };
        drop(gone);
        self.exclusion.suspend(holding);
    }

    /// Sends up to `most` of those who came no later than at the place `latest` to wait for the lock; how many they are.
    fn notify(&self, most: usize, latest: u64) -> usize {
        let mut notified = 0;
        while notified < most {
            let waiting = {
                let mut waiters = self.waiters.lock();
                match waiters.first() {
                    Some((place, _)) if place <= latest => waiters.pop(),
                    _ => None,
                }
            };
            let Some(Waiting { holding, responder }) = waiting else { break };
            if responder.is_wanted() {
                notified += 1;
                self.exclusion.resume(holding, responder, self.pass_on(latest));
            }
        }
        notified
    }

    /// What passes a notification on.
    fn pass_on(&self, latest: u64) -> Lost {
        let me = self.me.clone();
        Box::new(move || {
            if let Some(inner) = me.upgrade() {
                inner.notify(1, latest);
            }
        })
    }
}

impl Condition {
    /// One on a lock of its own, which its owner may take again.
    pub fn new() -> Self {
        Self::on(Exclusion::new(Self::TYPEID, true))
    }

    pub(super) fn on(exclusion: Arc<Exclusion>) -> Self {
        let new = |me: &Weak<Inner>| Inner { exclusion, waiters: Mutex::default(), me: me.clone() };
        Self { inner: Arc::new_cyclic(new) }
    }

    fn wait(&self, call: &mut Invocation<'_>) -> Outcome {
        let (hold,) = call.arguments::<(Option<u64>,)>()?;
        let holding = self.inner.exclusion.holding(Owner::of(call));
        let Some(holding) = holding.filter(|holding| hold.is_none_or(|hold| hold == holding.number())) else {
            return call.answer_result(&Err::<Grant, _>(NotOwned));
        };
        let responder = call.responder();
        self.inner.wait(holding, responder);
        Ok(call.answered_later())
    }

    fn notify(&self, call: &mut Invocation<'_>) -> Outcome {
        let (most,) = call.arguments::<(usize,)>()?;
        if self.inner.exclusion.holding(Owner::of(call)).is_none() {
            return call.answer_result(&Err::<usize, _>(NotOwned));
        }
        let latest = self.inner.waiters.lock().last();
        call.answer(&self.inner.notify(most, latest))
    }
}

impl Default for Condition {
    fn default() -> Self {
        Self::new()
    }
}

impl Locks for Condition {
    fn exclusion(&self) -> &Arc<Exclusion> {
        &self.inner.exclusion
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.inner.waiters.lock().len();
        write!(f, "<Condition: {waiting} waiting; its lock: {}>", self.inner.exclusion.describe())
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Referent for Condition {
    type Proxy = ConditionProxy;
    type Store = Bare<Self>;
    const TYPEID: &'static str = "Condition";

    fn methods(table: &mut Methods<Self>) {
        table.dynamic_constructor("new", &[], |call| {
            let () = call.arguments()?;
            Ok(Self::new())
        });
        lock_methods(table);
        table.dynamic("wait", &["hold"], Self::wait);
        table.dynamic("reacquire", &["hold", "levels"], |this, call| {
            let (hold, levels) = call.arguments()?;
            this.inner.exclusion.reacquire(call, hold, levels)
        });
        table.dynamic("notify", &["n"], Self::notify);
        table.display();
    }
}

proxy_type! {
    /// Where owners of a lock wait until another owner of it says that something has changed.
    ///
    /// The lock is the condition's own ([`new`](Self::new)), or one that is there already ([`on`](Self::on)), of which several conditions can be made. To wait and to notify one must own it; a
    /// wait gives it up, however often it was taken, and has it again when it returns, whether by a notification or at the end of its time.
    ///
    /// Waiters are notified in the order of coming. A notification that reaches one who has just died, or whose time has just ended, goes to the next. What a waiter waits
    /// for may be gone again when he has the lock: use [`wait_while`](Self::wait_while), which looks again.
    ///
    /// ```
    /// use multiproc::{SyncManager, types::{ConditionProxy, CounterProxy}};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let condition = ConditionProxy::new(&manager)?;
    /// let items = CounterProxy::new(&manager, 0)?;
    ///
    /// let (theirs, put) = (condition.clone(), items.clone());
    /// let producer = std::thread::spawn(move || -> multiproc::Result<()> { // usually another process
    ///     let _guard = theirs.lock()?;
    ///     put.add(1)?;
    ///     theirs.notify(1)?;
    ///     Ok(())
    /// });
    /// let mut guard = condition.lock()?;
    /// condition.wait_while(&mut guard, || Ok(items.get()? == 0))?;
    /// items.add(-1)?;
    /// drop(guard);
    /// producer.join().unwrap()?;
    /// # manager.shutdown()
    /// # }
    /// ```
    pub struct ConditionProxy, ConditionDeferred;
}

/// A lock that conditions can be made on.
pub trait ConditionLock: Proxy + sealed::Sealed {}

impl ConditionLock for LockProxy {}
impl ConditionLock for RLockProxy {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::LockProxy {}
    impl Sealed for super::RLockProxy {}
}

impl ConditionProxy {
    /// Makes a condition in the server, with a lock of its own, which its owner may take again.
    pub fn new(manager: &impl AsRef<Maker>) -> Result<Self> {
        manager.as_ref().construct_by_value::<Condition, Self, _>("new", &())
    }

    /// Makes a condition on that lock, in the lock's server.
    ///
    /// ```
    /// use multiproc::{SyncManager, types::{ConditionProxy, LockProxy}};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let lock = LockProxy::new(&manager)?;
    /// let (not_empty, not_full) = (ConditionProxy::on(&lock)?, ConditionProxy::on(&lock)?);
    /// let mut guard = lock.lock()?;
    /// assert!(!not_empty.wait_timeout(&mut guard, std::time::Duration::from_millis(10))?);
    /// not_full.notify(1)?;
    /// # drop(guard);
    /// # manager.shutdown()
    /// # }
    /// ```
    pub fn on(lock: &impl ConditionLock) -> Result<Self> {
        lock.base().invoke_by_value::<_, BaseProxy>("condition", &()).map(Self::from_base)
    }

    /// Takes the condition's lock, and waits until it can; see [`RLockProxy::lock`], [`LockProxy::lock`].
    #[doc(alias("acquire", "__enter__"))]
    pub fn lock(&self) -> Result<LockGuard> {
        held::acquire(&self.base, true, true)?.ok_or(Error::Cancelled)
    }

    /// Takes the condition's lock if it is free now.
    #[doc(alias = "acquire")]
    pub fn try_lock(&self) -> Result<Option<LockGuard>> {
        held::acquire(&self.base, false, true)
    }

    /// Takes the condition's lock; `None` where it can't be had within `timeout`.
    #[doc(alias = "acquire")]
    pub fn try_lock_for(&self, timeout: Duration) -> Result<Option<LockGuard>> {
        held::acquire_for(&self.base, timeout, true)
    }

    /// Waits for a notification: as long as it takes, with the lock given up meanwhile.
    ///
    /// # Errors
    /// [`NotOwned`] where this is not a guard of the condition's lock. Where the server is gone, so is the lock. Where the proxy has a [timeout](Proxy::with_timeout) of its
    /// own and it ends, [`Error::Timeout`], with the lock held again.
    pub fn wait(&self, guard: &mut LockGuard) -> Result<(), CallError<NotOwned>> {
        match guard.wait(&self.base, None)? {
            true => Ok(()),
            false => Err(CallError::System(Error::Timeout { after: self.base.timeout().unwrap_or_default() })),
        }
    }

    /// Waits for a notification, for at most `timeout`: whether there was one. The lock is held again in both cases; waiting for that is not counted.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    #[doc(alias = "wait")]
    pub fn wait_timeout(&self, guard: &mut LockGuard, timeout: Duration) -> Result<bool, CallError<NotOwned>> {
        guard.wait(&self.base, Some(timeout))
    }

    /// Waits until `condition`, which is called with the lock held, is no longer true.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and those of `condition`.
    #[doc(alias = "wait_for")]
    pub fn wait_while(
        &self,
        guard: &mut LockGuard,
        mut condition: impl FnMut() -> Result<bool>,
    ) -> Result<(), CallError<NotOwned>> {
        while condition()? {
            self.wait(guard)?;
        }
        Ok(())
    }

    /// Waits until `condition`, which is called with the lock held, is no longer true, for at most `timeout`: whether it came to that.
    ///
    /// # Errors
    /// As [`wait_while`](Self::wait_while).
    #[doc(alias = "wait_for")]
    pub fn wait_timeout_while(
        &self,
        guard: &mut LockGuard,
        timeout: Duration,
        mut condition: impl FnMut() -> Result<bool>,
    ) -> Result<bool, CallError<NotOwned>> {
        let begin = Instant::now();
        while condition()? {
            let left = timeout.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            self.wait_timeout(guard, left)?;
        }
        Ok(true)
    }

    /// Wakes up to `n` waiters, those who have waited longest; how many those were. They go on when they get the lock, which this thread still owns.
    ///
    /// # Errors
    /// [`NotOwned`] where this thread does not own the lock.
    pub fn notify(&self, n: usize) -> Result<usize, CallError<NotOwned>> {
        self.base.invoke_fallible_by_value("notify", &(n,))
    }

    /// Wakes all waiters; as [`notify`](Self::notify).
    ///
    /// # Errors
    /// [`NotOwned`] where this thread does not own the lock.
    #[doc(alias = "notifyAll")]
    pub fn notify_all(&self) -> Result<usize, CallError<NotOwned>> {
        self.notify(usize::MAX)
    }

    /// Gives up, once, what this thread holds of the condition's lock; as [`LockProxy::release`].
    ///
    /// # Errors
    /// [`NotOwned`] where this thread does not own the lock.
    pub fn release(&self) -> Result<(), CallError<NotOwned>> {
        held::release(&self.base)
    }
}
