//! Semaphores: a number of permits, for as many at once.
//!
//! A permit that a guard holds belongs to the guard's process, and comes back with its end. One without a guard, because that was [forgotten](Permit::forget) or has never been, belongs to
//! nobody: whoever likes releases it. Permits of the server's own objects live as long as their guards.
//!
//! # Invariants
//! - The first in the line is served first, also where one behind him needs fewer permits.
//! - Free permits, those with a guard and those without add up to the bound of a [`BoundedSemaphore`].

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::waiters::Waiters;
use super::watched::Watched;
use crate::error::{CallError, Error, Result};
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Failure, Heir, Invocation, Outcome, Referent, Responder};
use crate::protocol::ClientId;
use crate::proxy::{BaseProxy, Maker, Proxy};
use crate::sys::fork::Stamp;
use crate::sys::sync::Mutex;

/// How long the drop of a permit waits for the server's word. What was said is done, also when its answer comes later.
const FAREWELL: Duration = Duration::from_secs(1);

/// More permits are released than there are to release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{released} permits can't be released: {outstanding} are out without a guard that gives them back")]
pub struct OverRelease {
    /// How many were to be released.
    pub released: u64,
    /// How many could be.
    pub outstanding: u64,
}

/// Whose permits they are: a client's, or (`None`) the server's own objects'.
type Holder = Option<ClientId>;

struct Waiting {
    count: u64,
    holder: Holder,
    responder: Responder<bool>,
}

#[derive(Default)]
struct State {
    free: u64,
    /// Permits that guards hold.
    held: FxHashMap<Holder, u64>,
    waiters: Waiters<Waiting>,
    /// Whether a thread hands permits out right now. It looks again when it has.
    delivering: bool,
}

impl State {
    fn take(&mut self, count: u64, holder: Holder) {
        if count > 0 {
            self.free -= count;
            *self.held.entry(holder).or_default() += count;
        }
    }

    /// Takes permits from their holder; false where it does not have as many.
    fn take_from(&mut self, count: u64, holder: Holder) -> bool {
        let Some(held) = self.held.get_mut(&holder).filter(|held| **held >= count) else { return false };
        *held -= count;
        if *held == 0 {
            self.held.remove(&holder);
        }
        true
    }

    fn add(&mut self, count: u64) {
        self.free = self.free.saturating_add(count);
    }
}

/// Permits, and the line before them.
struct Permits {
    typeid: &'static str,
    bound: Option<u64>,
    state: Mutex<State>,
    watched: Watched,
    me: Weak<Self>,
}

impl Permits {
    fn new(typeid: &'static str, free: u64, bound: Option<u64>) -> Arc<Self> {
        let state = Mutex::new(State { free, ..State::default() });
        Arc::new_cyclic(|me| Self { typeid, bound, state, watched: Watched::default(), me: me.clone() })
    }

    fn holder(call: &Invocation<'_>) -> Holder {
        if call.nested_in().is_some() { None } else { call.caller().client }
    }

    fn acquire(self: &Arc<Self>, call: &mut Invocation<'_>) -> Outcome {
        let (count, blocking) = call.arguments::<(u64, bool)>()?;
        if let Some(bound) = self.bound.filter(|&bound| bound < count) {
            let reason = format!("{count} permits at once, of {bound} that there are at all");
            let (typeid, method) = (self.typeid.to_owned(), "acquire".to_owned());
            return Err(Failure::System(Error::Arguments { typeid, method, reason }));
        }
        let holder = Self::holder(call);
        if holder.is_some() {
            self.watched.watch(call, self)?;
        }
        let place = {
            let mut state = self.state.lock();
            if state.waiters.is_empty() && state.free >= count {
                state.take(count, holder);
                drop(state);
                return call.answer_or_put_back(&true, self.put_back(count, holder));
            }
            state.waiters.place()
        };
        if !blocking {
            return call.answer(&false);
        }
        let responder = call.responder();
        let me = Arc::downgrade(self);
        responder.on_cancel(move || {
            let Some(permits) = me.upgrade() else { return };
            let waiting = permits.state.lock().waiters.leave(place);
            drop(waiting);
            // Who stands behind him may need less.
            permits.deliver();
        });
        let waiting = Waiting { count, holder, responder };
        let gone = {
            let mut state = self.state.lock();
            // One that is given up from here on is taken out by the hook, which waits for the lock on the state.
            if waiting.responder.is_wanted() {
                state.waiters.stand(place, waiting);
                None
            } else {
                Some(waiting)
            }
        };
        drop(gone);
        self.deliver();
        Ok(call.answered_later())
    }

    /// Hands permits to those who are first, as far as there are any.
    fn deliver(self: &Arc<Self>) {
        loop {
            let (Waiting { count, holder, responder }, wanted) = {
                let mut state = self.state.lock();
                let suffices = state.waiters.first().is_some_and(|(_, first)| first.count <= state.free);
                if state.delivering || !suffices {
                    return;
                }
                let Some(first) = state.waiters.pop() else { return };
                let wanted = first.responder.is_wanted();
                if wanted {
                    state.take(first.count, first.holder);
                    state.delivering = true;
                }
                (first, wanted)
            };
            if wanted {
                responder.respond_or_put_back(&true, self.put_back(count, holder));
                self.state.lock().delivering = false;
            }
        }
    }

    /// What takes back permits that have not arrived.
    fn put_back(self: &Arc<Self>, count: u64, holder: Holder) -> impl FnOnce() + Send + 'static {
        let me = Arc::downgrade(self);
        move || {
            if let Some(permits) = me.upgrade() {
                permits.give_back(count, holder);
            }
        }
    }

    fn give_back(self: &Arc<Self>, count: u64, holder: Holder) -> bool {
        let given = {
            let mut state = self.state.lock();
            let given = state.take_from(count, holder);
            if given {
                state.add(count);
            }
            given
        };
        self.deliver();
        given
    }

    /// Adds permits that no guard holds.
    fn release(self: &Arc<Self>, count: u64) -> Result<(), OverRelease> {
        {
            let mut state = self.state.lock();
            let guarded: u64 = state.held.values().sum();
            let outstanding = self.bound.map_or(u64::MAX, |bound| bound.saturating_sub(state.free + guarded));
            if count > outstanding {
                return Err(OverRelease { released: count, outstanding });
            }
            state.add(count);
        }
        self.deliver();
        Ok(())
    }

    /// Releases permits whoever has them, as anybody may in Python: the caller's own, then others', then those that nobody has.
    #[cfg(feature = "python")]
    fn release_any(self: &Arc<Self>, count: u64, holder: Holder) -> Result<(), OverRelease> {
        {
            let mut state = self.state.lock();
            let outstanding = self.bound.map_or(u64::MAX, |bound| bound.saturating_sub(state.free));
            if count > outstanding {
                return Err(OverRelease { released: count, outstanding });
            }
            let mut left = count;
            let holders: Vec<_> = std::iter::once(holder).chain(state.held.keys().copied()).collect();
            for holder in holders {
                let taken = state.held.get(&holder).copied().unwrap_or_default().min(left);
                if taken > 0 && state.take_from(taken, holder) {
                    left -= taken;
                }
            }
            state.add(count);
        }
        self.deliver();
        Ok(())
    }

    fn describe(&self) -> String {
        let state = self.state.lock();
        let of = self.bound.map_or_else(String::new, |bound| format!(" of {bound}"));
        format!("<{}: {}{of} free, {} waiting>", self.typeid, state.free, state.waiters.len())
    }
}

impl Heir for Permits {
    fn client_ended(&self, client: ClientId) {
        self.watched.forget(client);
        {
            let mut state = self.state.lock();
            let held = state.held.remove(&Some(client)).unwrap_or_default();
            state.add(held);
        }
        if let Some(me) = self.me.upgrade() {
            me.deliver();
        }
    }
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
        let forgotten = this.permits().state.lock().take_from(count, Permits::holder(call));
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
        let free = this.permits().state.lock().free;
        call.answer(&free)
    });
}

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
    fn acquire(semaphore: &BaseProxy, count: u64, blocking: bool) -> Result<Option<Self>> {
        let acquired: bool = semaphore.invoke_by_value("acquire", &(count, blocking))?;
        let semaphore = || semaphore.without_timeout();
        Ok(acquired.then(|| Self { semaphore: semaphore(), count, stamp: Stamp::now() }))
    }

    fn acquire_for(semaphore: &BaseProxy, count: u64, timeout: Duration) -> Result<Option<Self>> {
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

    /// Leaves the permits taken, and nobody's: they do not come back with this process's end, but when somebody [releases](SemaphoreProxy::release) them.
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
