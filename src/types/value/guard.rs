//! A locked value, on this side.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::datum::Datum;
use crate::error::Result;
use crate::types::locked::Locked;

/// A value that nobody else writes while this lives; see [`ValueProxy::lock`](super::ValueProxy::lock).
///
/// Changes are made here, and are the server's when the guard is dropped or [unlocked](Self::unlock). Where the holder is killed, or unwinds from a panic, the value stays
/// what it was. A guard that is leaked (`mem::forget`) keeps the lock until its thread ends; who gets it then is told that it was abandoned.
#[must_use = "a value is unlocked when its guard is dropped"]
pub struct ValueGuard<T: Datum>(pub(super) Locked<T>);

impl<T: Datum> ValueGuard<T> {
    /// Whether the one who held the lock before was killed, or its thread ended, without unlocking. The value is what it was before that.
    pub fn was_abandoned(&self) -> bool {
        self.0.was_abandoned()
    }

    /// Sends the value, if it may have changed, and gives up the lock. Dropping does the same, but can't tell of an error.
    pub fn unlock(self) -> Result<()> {
        self.0.unlock()
    }

    /// Gives up the lock, and leaves the value what it was.
    pub fn discard(self) -> Result<()> {
        self.0.discard()
    }
}

impl<T: Datum> Deref for ValueGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.contents()
    }
}

impl<T: Datum> DerefMut for ValueGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.contents_mut()
    }
}

impl<T: Datum + fmt::Debug> fmt::Debug for ValueGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Datum + fmt::Display> fmt::Display for ValueGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
