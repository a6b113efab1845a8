//! What this thread holds of its locks: the client's side of [`exclusion`](super::exclusion), and of a value's or an array's.
//!
//! A guard gives its lock up when it is dropped. One that was leaked does not, and nobody else may: when its thread ends, a destructor of the thread's own says so to the
//! server, which passes the lock on as abandoned. It also shows which lock would be waited for by the thread that holds it.
//!
//! # Invariants
//! - What a forked child inherits of this is its parent's, and is only let go.
//! - The destructor never panics, and waits for at most [`FAREWELL`] per lock.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::exclusion::{Grant, NotOwned};
use crate::error::{CallError, Error, Result};
use crate::proxy::{BaseProxy, Proxy};
use crate::sys::fork::Stamp;

/// How long the drop of a guard, and the end of a thread, wait for the server's word. What was said is done, also when its answer comes later.
const FAREWELL: Duration = Duration::from_secs(1);

struct Held {
    proxy: BaseProxy,
    hold: u64,
    /// 0 for a value's or an array's lock, which can't be taken again by who has it.
    guards: u64,
}

/// All that a thread holds: rarely more than a few.
#[derive(Default)]
struct HeldByThread {
    /// The process's; `None` where nothing was held yet.
    stamp: Option<Stamp>,
    held: Vec<Held>,
}

impl HeldByThread {
    fn current(&mut self) -> &mut Vec<Held> {
        let now = Stamp::now();
        if self.stamp.replace(now) != Some(now) {
            self.held.clear();
        }
        &mut self.held
    }

    fn place(&mut self, proxy: &BaseProxy, hold: u64) -> Option<usize> {
        self.current().iter().position(|held| held.hold == hold && held.proxy == *proxy)
    }
}

impl Drop for HeldByThread {
    fn drop(&mut self) {
        for Held { proxy, hold, .. } in self.current().drain(..) {
            // A panic here would end the process, and there is nobody left to tell.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let proxy = proxy.with_timeout(FAREWELL);
                proxy.invoke_by_value::<_, ()>("abandon", &(hold,))
            }));
        }
    }
}

thread_local! {
    static HELD: RefCell<HeldByThread> = RefCell::default();
}

/// Runs `job` with what this thread holds; nothing where the thread is ending.
fn with_held<R: Default>(job: impl FnOnce(&mut HeldByThread) -> R) -> R {
    HELD.try_with(|held| held.try_borrow_mut().map(|mut held| job(&mut held)).unwrap_or_default()).unwrap_or_default()
}

/// Whether this thread holds a lock that it took by a proxy of the same object.
fn holds(proxy: &BaseProxy) -> bool {
    with_held(|held| held.current().iter().any(|held| held.proxy == *proxy))
}

/// How many guards this thread has of a holding.
fn guards(proxy: &BaseProxy, hold: u64) -> u64 {
    let server = proxy.token().server();
    with_held(|held| {
        let same = |held: &&Held| held.hold == hold && held.proxy.token().server() == server;
        held.current().iter().filter(same).map(|held| held.guards).sum()
    })
}

fn note(proxy: &BaseProxy, hold: u64) {
    with_held(|held| match held.place(proxy, hold) {
        Some(place) => held.held[place].guards += 1,
        None => held.current().push(Held { proxy: proxy.without_timeout(), hold, guards: 1 }),
    });
}

/// Notes a value's or an array's lock.
pub(super) fn note_turn(proxy: &BaseProxy, reservation: u64) {
    with_held(|held| held.current().push(Held { proxy: proxy.without_timeout(), hold: reservation, guards: 0 }));
}

/// Forgets one guard of a holding; of the latest holding where it does not say which.
pub(super) fn forget(proxy: &BaseProxy, hold: Option<u64>) {
    // Dropped outside: a proxy's drop is none of this module's business.
    let _last = with_held(|held| {
        let is_it = |held: &Held| held.proxy == *proxy && hold.is_none_or(|hold| hold == held.hold);
        let place = held.current().iter().rposition(is_it)?;
        held.held[place].guards = held.held[place].guards.saturating_sub(1);
        (held.held[place].guards == 0).then(|| held.held.swap_remove(place))
    });
}

/// Takes the lock of `proxy`'s object: waits for it, or, where it is not `blocking`, only looks.
pub(super) fn acquire(proxy: &BaseProxy, blocking: bool, reentrant: bool) -> Result<Option<LockGuard>> {
    if blocking && !reentrant && holds(proxy) {
        return Err(Error::WouldDeadlock {
            typeid: proxy.typeid().to_owned(),
            reason: "this thread holds the lock already".to_owned(),
        });
    }
    let granted: Grant = proxy.invoke_by_value("acquire", &(blocking,))?;
    Ok(granted.map(|(hold, abandoned)| LockGuard::new(proxy, hold, abandoned)))
}

/// As [`acquire`], for at most `timeout`.
pub(super) fn acquire_for(proxy: &BaseProxy, timeout: Duration, reentrant: bool) -> Result<Option<LockGuard>> {
    match acquire(&proxy.with_timeout(timeout), true, reentrant) {
        Err(Error::Timeout { .. }) => Ok(None),
        other => other,
    }
}

/// Gives up one level of the lock of `proxy`'s object, without its guard.
pub(super) fn release(proxy: &BaseProxy) -> Result<(), CallError<NotOwned>> {
    proxy.invoke_fallible_by_value::<_, (), _>("release", &(None::<u64>,))?;
    forget(proxy, None);
    Ok(())
}

/// A lock that is held: by this thread, until the guard is dropped.
///
/// It owns a proxy of what it locks, and so needs no other to live. It can't go to another thread, since the lock belongs to this one. Dropping it gives
/// the lock up, and waits for the server's word on that for at most 1 s; in a forked child, which does not own its parent's locks, dropping it does nothing. A guard that
/// is leaked (`mem::forget`) keeps the lock until its thread ends; whoever gets it then is told that it was abandoned.
#[must_use = "the lock is given up when its guard is dropped"]
pub struct LockGuard {
    proxy: BaseProxy,
    hold: u64,
    abandoned: bool,
    stamp: Stamp,
    /// Whether the lock was given up already.
    spent: bool,
    of_this_thread: PhantomData<*const ()>,
}

impl LockGuard {
    fn new(proxy: &BaseProxy, hold: u64, abandoned: bool) -> Self {
        note(proxy, hold);
        Self {
            proxy: proxy.without_timeout(),
            hold,
            abandoned,
            stamp: Stamp::now(),
            spent: false,
            of_this_thread: PhantomData,
        }
    }

    /// Whether the lock's former owner was killed, or its thread ended, before it had given the lock up: what the lock guards may be half changed.
    ///
    /// Told to one owner: the next. After a wait on a condition it says so of the time since the wait began, too.
    #[doc(alias = "abandoned")]
    pub fn was_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Gives the lock up, and says whether that worked. (Dropping the guard can't.)
    ///
    /// # Errors
    /// [`NotOwned`] where the lock is not this thread's any more, because it was [released](super::LockProxy::release) without this guard, or because the guard was inherited by a fork.
    pub fn unlock(mut self) -> Result<(), CallError<NotOwned>> {
        if !self.stamp.is_current() {
            return Err(CallError::Method(NotOwned));
        }
        self.spent = true;
        forget(&self.proxy, Some(self.hold));
        self.proxy.invoke_fallible_by_value("release", &(self.hold,))
    }

    /// Waits, by a condition's method `wait`, with the lock given up meanwhile; false where `timeout` ran out. The lock is held again in both cases.
    pub(super) fn wait(
        &mut self,
        condition: &BaseProxy,
        timeout: Option<Duration>,
    ) -> Result<bool, CallError<NotOwned>> {
        let timed = timeout.map(|timeout| condition.with_timeout(timeout));
        let called = timed.as_ref().unwrap_or(condition).invoke_fallible_by_value("wait", &(self.hold,));
        let (granted, notified): (Grant, _) = match called {
            Err(CallError::System(Error::Timeout { .. })) => {
                let arguments = (self.hold, guards(&self.proxy, self.hold));
                (condition.without_timeout().invoke_by_value("reacquire", &arguments)?, false)
            }
            called => (called?, true),
        };
        self.abandoned |= granted.is_some_and(|(_, abandoned)| abandoned);
        Ok(notified)
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if self.spent || !self.stamp.is_current() {
            return;
        }
        forget(&self.proxy, Some(self.hold));
        // Where that fails the server is gone, and the lock with it.
        let _: Result<(), CallError<NotOwned>> =
            self.proxy.with_timeout(FAREWELL).invoke_fallible_by_value("release", &(self.hold,));
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").field("of", &self.proxy).field("was_abandoned", &self.abandoned).finish()
    }
}
