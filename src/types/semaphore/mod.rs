//! Semaphores: a number of permits, for as many at once.
//!
//! A permit that a guard holds belongs to the guard's process, and comes back with its end. One without a guard, because that was [forgotten](Permit::forget) or has never been, belongs to
//! nobody: whoever likes releases it. Permits of the server's own objects live as long as their guards.

mod permit;
mod permits;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::permit::Permit;
use self::permits::Permits;
use crate::error::{CallError, Error, Result};
use crate::object::Referent;
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::proxy::Maker;

/// More permits are released than there are to release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{released} permits can't be released: {outstanding} are out without a guard that gives them back")]
pub struct OverRelease {
    /// How many were to be released.
    pub released: u64,
    /// How many could be.
    pub outstanding: u64,
}

trait HasPermits: Referent {
    fn permits(&self) -> &Arc<Permits>;
}

fn methods<T: HasPermits>(table: &mut Methods<T>) {
    table.dynamic("acquire", &["n", "blocking"], |this, call| this.permits().acquire(call));
    table.dynamic("give_back", &["n"], |this, call| {
        let (count,) = call.arguments()?;
        let given = this.permits().give_back(count, Permits::holder(call));
        call.answer(&given)
    });
    table.dynamic("forget", &["n"], |this, call| {
        let (count,) = call.arguments()?;
        let forgotten = this.permits().forget(count, Permits::holder(call));
        call.answer(&forgotten)
    });
    table.dynamic("release", &["n"], |this, call| {
        let (count,) = call.arguments()?;
        let released = this.permits().release(count);
        call.answer_result(&released)
    });
    #[cfg(feature = "python")]
    table.dynamic("release_any", &["n"], |this, call| {
        let (count,) = call.arguments()?;
        let released = this.permits().release_any(count, Permits::holder(call));
        call.answer_result(&released)
    });
    table.dynamic("available", &[], |this, call| {
        let () = call.arguments()?;
        let free = this.permits().free();
        call.answer(&free)
    });
}

/// Writes a semaphore's referent and proxy.
macro_rules! semaphore_type {
    ($(#[$attribute:meta])* $referent:ident, $typeid:literal, $proxy:ident, $deferred:ident, bound: $bound:expr) => {
        #[doc = concat!("The referent of a [`", stringify!($proxy), "`].")]
        pub struct $referent {
            permits: Arc<Permits>,
        }

        impl $referent {
            /// One with that many free permits.
            pub fn new(permits: u64) -> Self {
                let bound: fn(u64) -> Option<u64> = $bound;
                Self { permits: Permits::new($typeid, permits, bound(permits)) }
            }
        }

        impl HasPermits for $referent {
            fn permits(&self) -> &Arc<Permits> {
                &self.permits
            }
        }

        impl fmt::Display for $referent {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.permits.describe())
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
                table.dynamic_constructor("new", &["permits"], |call| Ok(Self::new(call.arguments::<(u64,)>()?.0)));
                methods(table);
                table.display();
            }
        }

        proxy_type! {
            $(#[$attribute])*
            pub struct $proxy, $deferred;
        }

        impl $proxy {
            /// Makes a semaphore in the server, with that many free permits.
            pub fn new(manager: &impl AsRef<Maker>, permits: u64) -> Result<Self> {
                manager.as_ref().construct_by_value::<$referent, Self, _>("new", &(permits,))
            }

            /// Takes a permit, and waits until it can: as long as that takes, in the order of coming.
            #[doc(alias = "__enter__")]
            pub fn acquire(&self) -> Result<Permit> {
                self.acquire_many(1)
            }

            /// Takes a permit if one is free now, and nobody waits; else `None`. Waits only for the server.
            #[doc(alias = "acquire")]
            pub fn try_acquire(&self) -> Result<Option<Permit>> {
                self.try_acquire_many(1)
            }

            /// Takes a permit; `None` where none is to be had within `timeout`. Who gives up leaves the line, and costs nobody anything.
            #[doc(alias = "acquire")]
            pub fn try_acquire_for(&self, timeout: Duration) -> Result<Option<Permit>> {
                self.try_acquire_many_for(1, timeout)
            }

            /// Takes `n` permits together, and waits until it can. Nobody who comes later is served before.
            ///
            /// # Errors
            /// [`Error::Arguments`] where there can't be as many. And as every call may fail, such as with [`Error::Timeout`] where the proxy has a timeout of its own.
            pub fn acquire_many(&self, n: u64) -> Result<Permit> {
                // A call that waits is never answered by nothing.
                Permit::acquire(&self.base, n, true)?.ok_or(Error::Cancelled)
            }

            /// Takes `n` permits together if as many are free now, and nobody waits; else `None`.
            pub fn try_acquire_many(&self, n: u64) -> Result<Option<Permit>> {
                Permit::acquire(&self.base, n, false)
            }

            /// Takes `n` permits together; `None` where they are not to be had within `timeout`.
            pub fn try_acquire_many_for(&self, n: u64, timeout: Duration) -> Result<Option<Permit>> {
                Permit::acquire_for(&self.base, n, timeout)
            }

            /// How many permits are free.
            #[doc(alias = "get_value")]
            pub fn available(&self) -> Result<u64> {
                self.base.invoke_by_value("available", &())
            }
        }
    };
}

semaphore_type! {
    /// A number of permits that many processes share: as many may go on at once.
    ///
    /// Who waits is served in the order of coming. Permits come back when their guard is dropped, and when the process that has it ends, in whatever way. Permits can also be
    /// [released](Self::release) without having been acquired, as in Python, which makes them more.
    ///
    /// ```
    /// use multiproc::{SyncManager, types::SemaphoreProxy};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let slots = SemaphoreProxy::new(&manager, 2)?;
    /// let (_one, other) = (slots.acquire()?, slots.acquire()?);
    /// assert!(slots.try_acquire()?.is_none());
    /// drop(other);
    /// assert!(slots.try_acquire()?.is_some());
    /// # manager.shutdown()
    /// # }
    /// ```
    Semaphore, "Semaphore", SemaphoreProxy, SemaphoreDeferred, bound: |_| None
}

impl SemaphoreProxy {
    /// Adds `n` free permits. (Those that a guard holds are given back by the guard.)
    pub fn release(&self, n: u64) -> Result<()> {
        self.base.invoke_by_value("release", &(n,))
    }
}

semaphore_type! {
    /// As [`SemaphoreProxy`], but never with more permits than at its beginning.
    ///
    /// ```
    /// use multiproc::{CallError, SyncManager, types::{BoundedSemaphoreProxy, OverRelease}};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let slots = BoundedSemaphoreProxy::new(&manager, 1)?;
    /// slots.acquire()?.forget()?;
    /// slots.release(1)?;
    /// assert!(matches!(slots.release(1), Err(CallError::Method(OverRelease { outstanding: 0, .. }))));
    /// # manager.shutdown()
    /// # }
    /// ```
    BoundedSemaphore, "BoundedSemaphore", BoundedSemaphoreProxy, BoundedSemaphoreDeferred, bound: Some
}

impl BoundedSemaphoreProxy {
    /// Gives back `n` permits that no guard holds, because it was [forgotten](Permit::forget).
    ///
    /// # Errors
    /// [`OverRelease`] where there are not as many; none is given back then.
    pub fn release(&self, n: u64) -> Result<(), CallError<OverRelease>> {
        self.base.invoke_fallible_by_value("release", &(n,))
    }
}
