//! A locked value, on this side.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::ValueProxy;
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::proxy::Proxy;
use crate::sys::fork::Stamp;
use crate::types::encodes::{Slot, sent};
use crate::types::held;

/// How long the drop of a guard waits for the server's word. What was said is done, also when its answer comes later.
const FAREWELL: Duration = Duration::from_secs(1);

/// A value that nobody else writes while this lives; see [`ValueProxy::lock`].
///
/// Changes are made here, and are the server's when the guard is dropped or [unlocked](Self::unlock). Where the holder is killed, or unwinds from a panic, the value stays
/// what it was. A guard that is leaked (`mem::forget`) keeps the lock until its thread ends; who gets it then is told that it was abandoned.
#[must_use = "a value is unlocked when its guard is dropped"]
pub struct ValueGuard<T: Datum> {
    proxy: ValueProxy<T>,
    value: T,
    version: u64,
    reservation: u64,
    abandoned: bool,
    changed: bool,
    /// The process that has the lock; `None` once it was given up.
    stamp: Option<Stamp>,
    /// Of the thread that has locked.
    not_send: PhantomData<*const ()>,
}

impl<T: Datum> ValueGuard<T> {
    pub(super) fn new(proxy: ValueProxy<T>, reservation: u64, abandoned: bool, (version, value): (u64, T)) -> Self {
        held::note_turn(proxy.base(), reservation);
        let stamp = Some(Stamp::now());
        Self { proxy, value, version, reservation, abandoned, changed: false, stamp, not_send: PhantomData }
    }

    /// The same guard, which is given up by another proxy of the value.
    pub(super) fn by(mut self, proxy: ValueProxy<T>) -> Self {
        self.proxy = proxy;
        self
    }

    /// Whether the one who held the lock before was killed, or its thread ended, without unlocking. The value is what it was before that.
    pub fn was_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Sends the value, if it may have changed, and gives up the lock. Dropping does the same, but can't tell of an error.
    pub fn unlock(mut self) -> Result<()> {
        let proxy = self.proxy.clone();
        self.give_up(&proxy, true)
    }

    /// Gives up the lock, and leaves the value what it was.
    pub fn discard(mut self) -> Result<()> {
        let proxy = self.proxy.clone();
        self.give_up(&proxy, false)
    }

    fn give_up(&mut self, proxy: &ValueProxy<T>, commits: bool) -> Result<()> {
        // A child that was forked meanwhile does not have the lock.
        if !self.stamp.take().is_some_and(Stamp::is_current) {
            return Ok(());
        }
        let base = proxy.base();
        held::forget(base, Some(self.reservation));
        if !(commits && self.changed) {
            return base.invoke_by_value("release", &((), self.reservation));
        }
        let new = Slot(Some(sent::<T, T>(&self.value)));
        match base.invoke_by_value("commit", &((), self.reservation, self.version, new)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Protocol {
                reason: "the value was written, or unlocked, by somebody without the lock".into(),
            }),
            // The server takes back what it can't read or keep; the lock must not stay behind.
            Err(error) => {
                let _: Result<()> = base.invoke_by_value("release", &((), self.reservation));
                Err(error)
            }
        }
    }
}

impl<T: Datum> Deref for ValueGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Datum> DerefMut for ValueGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}

impl<T: Datum> Drop for ValueGuard<T> {
    fn drop(&mut self) {
        if self.stamp.is_some() {
            let proxy = self.proxy.with_timeout(FAREWELL);
            let _ = self.give_up(&proxy, !std::thread::panicking());
        }
    }
}

impl<T: Datum + fmt::Debug> fmt::Debug for ValueGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Datum + fmt::Display> fmt::Display for ValueGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
