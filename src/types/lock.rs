//! Locks: one owner at a time, who may ([`RLock`]) or may not ([`Lock`]) take it again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::condition::Condition;
use super::exclusion::{Exclusion, NotOwned, Owner};
use super::held::{self, LockGuard};
use crate::error::{CallError, Error, Result};
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Invocation, Outcome, Referent};
use crate::proxy::Maker;

/// What has an [`Exclusion`]: locks, and conditions.
pub(super) trait Locks: Referent {
    fn exclusion(&self) -> &Arc<Exclusion>;
}

/// Lists the methods of a lock, by which [`held`] calls it.
pub(super) fn lock_methods<T: Locks>(table: &mut Methods<T>) {
    table.dynamic("acquire", &["blocking"], |this, call| {
        let (blocking,) = call.arguments()?;
        this.exclusion().acquire(call, blocking)
    });
    table.dynamic("release", &["hold"], |this, call| {
        let (hold,) = call.arguments()?;
        let released = this.exclusion().release(Owner::of(call), hold);
        call.answer_result(&released)
    });
    #[cfg(feature = "python")]
    table.dynamic("release_any", &[], |this, call| {
        let () = call.arguments()?;
        let released = this.exclusion().release_any();
        call.answer_result(&released)
    });
    #[cfg(feature = "python")]
    table.dynamic("holding", &[], |this, call| {
        let () = call.arguments()?;
        let holding = this.exclusion().holding(Owner::of(call));
        call.answer(&holding.map(|holding| (holding.number(), holding.levels())))
    });
    table.dynamic("abandon", &["hold"], |this, call| {
        let (hold,) = call.arguments()?;
        this.exclusion().abandon(Owner::of(call), hold);
        call.answer(&())
    });
    table.dynamic("is_locked", &[], |this, call| {
        let () = call.arguments()?;
        call.answer(&this.exclusion().is_locked())
    });
}

/// Answers with a new condition on the lock.
fn condition<T: Locks>(this: &T, call: &mut Invocation<'_>) -> Outcome {
    let () = call.arguments()?;
    call.answer_referent(Condition::on(Arc::clone(this.exclusion())))
}

/// Writes a lock's referent and proxy.
macro_rules! lock_type {
    ($(#[$attribute:meta])* $referent:ident, $typeid:literal, $proxy:ident, $deferred:ident, reentrant: $reentrant:literal) => {
        #[doc = concat!("The referent of a [`", stringify!($proxy), "`].")]
        pub struct $referent {
            exclusion: Arc<Exclusion>,
        }

        impl $referent {
            /// One that nobody holds.
            pub fn new() -> Self {
                Self { exclusion: Exclusion::new($typeid, $reentrant) }
            }
        }

        impl Default for $referent {
            fn default() -> Self {
                Self::new()
            }
        }

        impl Locks for $referent {
            fn exclusion(&self) -> &Arc<Exclusion> {
                &self.exclusion
            }
        }

        impl fmt::Display for $referent {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("<", $typeid, ": {}>"), self.exclusion.describe())
            }
        }

        impl fmt::Debug for $referent {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Referent for $referent {
            type Proxy = $proxy;
            type Store = Bare<Self>;
            const TYPEID: &'static str = $typeid;

            fn methods(table: &mut Methods<Self>) {
                table.dynamic_constructor("new", &[], |call| {
                    let () = call.arguments()?;
                    Ok(Self::new())
                });
                lock_methods(table);
                table.dynamic("condition", &[], condition);
                table.display();
            }
        }

        proxy_type! {
            $(#[$attribute])*
            pub struct $proxy, $deferred;
        }

        impl $proxy {
            /// Makes a lock in the server, which nobody holds.
            pub fn new(manager: &impl AsRef<Maker>) -> Result<Self> {
                manager.as_ref().construct_by_value::<$referent, Self, _>("new", &())
            }

            /// Takes the lock, and waits until it can: as long as that takes, in the order of coming.
            ///
            /// # Errors
            /// [`Error::WouldDeadlock`] where the wait could never end: in a method of an object in the server, the lock is held by the thread whose call it serves; or, for a lock that
            /// is not reentrant, by this thread. And as every call may fail, such as with [`Error::Timeout`] where the proxy has a timeout of its own.
            #[doc(alias("acquire", "__enter__"))]
            pub fn lock(&self) -> Result<LockGuard> {
                // A call that waits is never answered by nothing.
                held::acquire(&self.base, true, $reentrant)?.ok_or(Error::Cancelled)
            }

            /// Takes the lock if it is free now; else `None`. Does not wait for its owner, only for the server.
            #[doc(alias = "acquire")]
            pub fn try_lock(&self) -> Result<Option<LockGuard>> {
                held::acquire(&self.base, false, $reentrant)
            }

            /// Takes the lock; `None` where it can't be had within `timeout`. Who gives up leaves the line, and costs nobody anything.
            ///
            /// # Errors
            /// As [`lock`](Self::lock).
            #[doc(alias = "acquire")]
            pub fn try_lock_for(&self, timeout: Duration) -> Result<Option<LockGuard>> {
                held::acquire_for(&self.base, timeout, $reentrant)
            }

            /// Gives up, once, what this thread holds without needing the guard for it: for a guard that was leaked.
            ///
            /// # Errors
            /// [`NotOwned`] where this thread does not own the lock.
            pub fn release(&self) -> Result<(), CallError<NotOwned>> {
                held::release(&self.base)
            }

            /// Whether anybody holds it; true and false may both be outdated when they arrive.
            #[doc(alias = "locked")]
            pub fn is_locked(&self) -> Result<bool> {
                self.base.invoke_by_value("is_locked", &())
            }
        }
    };
}

lock_type! {
    /// A lock that many processes share: one thread at a time owns it.
    ///
    /// Who waits is served in the order of coming, and costs the server no thread. The owner is a thread: only it can give the lock up. When its process is killed, or the
    /// thread ends without having done so, the lock goes to the next in the line, who is told by [`was_abandoned`](LockGuard::was_abandoned) that what the lock guards may be half changed.
    ///
    /// A lock that this thread owns already is not taken again: that is [`Error::WouldDeadlock`]; see [`RLockProxy`].
    ///
    /// ```
    /// use multiproc::{SyncManager, types::{CounterProxy, LockProxy}};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let lock = LockProxy::new(&manager)?;
    /// let total = CounterProxy::new(&manager, 0)?;
    /// {
    ///     let guard = lock.lock()?;                  // others wait from here …
    ///     if guard.was_abandoned() {
    ///         // its last owner died: see whether what it guards is whole
    ///     }
    ///     let seen = total.get()?;
    ///     total.swap(2 * seen + 1)?;
    /// }                                              // … to here
    /// assert!(lock.try_lock()?.is_some());
    /// # manager.shutdown()
    /// # }
    /// ```
    Lock, "Lock", LockProxy, LockDeferred, reentrant: false
}

lock_type! {
    /// A lock that its owner may take again, as often as he gives it up again: one guard for each.
    ///
    /// Else as [`LockProxy`]: first come, first served; owned by a thread; passed on as abandoned when that dies.
    ///
    /// In a method of an object in the server, the lock may be taken again by the methods that it calls, but not where the thread that called it owns it: it would wait for
    /// itself, and is told so.
    ///
    /// ```
    /// use multiproc::{SyncManager, types::RLockProxy};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let lock = RLockProxy::new(&manager)?;
    /// let outer = lock.lock()?;
    /// let inner = lock.lock()?;
    /// drop(outer);
    /// assert!(lock.is_locked()?);
    /// drop(inner);
    /// assert!(!lock.is_locked()?);
    /// # manager.shutdown()
    /// # }
    /// ```
    RLock, "RLock", RLockProxy, RLockDeferred, reentrant: true
}
