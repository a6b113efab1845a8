//! A locked array, on this side.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::error::Result;
use crate::types::locked::Locked;
use crate::types::number::Number;

/// An array that nobody else writes while this lives; see [`ArrayProxy::lock`](super::ArrayProxy::lock). It is a slice of all the array's numbers.
///
/// Changes are made here, and are the server's, all at once, when the guard is dropped or [unlocked](Self::unlock). Where the holder is killed, or unwinds from a panic, the array
/// stays what it was. A guard that is leaked (`mem::forget`) keeps the lock until its thread ends; who gets it then is told that it was abandoned.
#[must_use = "an array is unlocked when its guard is dropped"]
pub struct ArrayGuard<T: Number>(pub(super) Locked<Vec<T>>);

impl<T: Number> ArrayGuard<T> {
    /// Whether the one who held the lock before was killed, or its thread ended, without unlocking. The array is what it was before that.
    pub fn was_abandoned(&self) -> bool {
        self.0.was_abandoned()
    }

    /// Sends the numbers, if they may have changed, and gives up the lock. Dropping does the same, but can't tell of an error.
    pub fn unlock(self) -> Result<()> {
        self.0.unlock()
    }

    /// Gives up the lock, and leaves the array what it was.
    pub fn discard(self) -> Result<()> {
        self.0.discard()
    }
}

impl<T: Number> Deref for ArrayGuard<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.contents()
    }
}

impl<T: Number> DerefMut for ArrayGuard<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.contents_mut()
    }
}

impl<T: Number + fmt::Debug> fmt::Debug for ArrayGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
