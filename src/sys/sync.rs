//! std's locks without poison: the only locks that code in a forked child may touch.
//!
//! parking_lot's locks keep their sleepers in one table for the whole process. A forked child inherits that table in
//! whatever state the parent's other threads had it, a bucket locked by a thread that does not exist here included, and
//! then waits for ever. std's locks are a word each, and a word nobody holds works in the child as well. (One that
//! another thread *does* hold at the fork stays locked: [`ForkMutex`](super::fork::ForkMutex) sees to that.)
//!
//! Poison is left out because a panic in a method is an ordinary event here: what the locks guard is kept whole by its
//! own code, and a second panic far from the first helps nobody.

#[cfg(test)]
use std::sync::TryLockError;
use std::sync::{self, PoisonError};
use std::time::Duration;

pub use std::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

/// A mutual exclusion lock: one word, never poisoned.
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(sync::Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked mutex around `value`.
    pub const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    #[cfg(test)]
    /// The value itself.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock, without limit.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    /// Takes the lock if it is free now.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// A condition variable for [`Mutex`].
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// A condition nobody waits for.
    pub const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    /// Lets go of the lock, sleeps until notified (or for no reason at all), and takes the lock again.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`wait`](Self::wait), for `limit` at the most; the second value says whether the time ran out.
    pub fn wait_timeout<'a, T>(&self, guard: MutexGuard<'a, T>, limit: Duration) -> (MutexGuard<'a, T>, bool) {
        let (guard, waited) = self.0.wait_timeout(guard, limit).unwrap_or_else(PoisonError::into_inner);
        (guard, waited.timed_out())
    }

    /// Wakes one waiter, if there is one.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all waiters.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A lock for many readers or one writer: never poisoned. A waiting writer keeps new readers out.
#[derive(Debug, Default)]
pub struct RwLock<T: ?Sized>(sync::RwLock<T>);

impl<T> RwLock<T> {
    /// An unlocked lock around `value`.
    pub const fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    #[cfg(test)]
    /// The value itself.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until no writer has the lock or waits for it.
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody has the lock.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_panic_under_a_lock_does_not_poison_it() {
        let (mutex, lock) = (Mutex::new(1), RwLock::new(1));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let (mut one, mut other) = (mutex.lock(), lock.write());
            (*one, *other) = (2, 2);
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
        assert_eq!((*mutex.lock(), *lock.read()), (2, 2));
        *lock.write() = 2;
        assert_eq!(mutex.try_lock().as_deref(), Some(&2));
        assert_eq!((mutex.into_inner(), lock.into_inner()), (2, 2));
    }

    #[test]
    fn a_held_mutex_is_not_taken_twice() {
        let mutex = Mutex::new(());
        let held = mutex.lock();
        assert!(mutex.try_lock().is_none());
        drop(held);
        assert!(mutex.try_lock().is_some());
    }

    #[test]
    fn a_condition_tells_a_timeout_from_a_notice() {
        let (mutex, condition) = (Mutex::new(false), Condvar::new());
        let (guard, timed_out) = condition.wait_timeout(mutex.lock(), Duration::from_millis(1));
        assert!(timed_out && !*guard);
        drop(guard);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                *mutex.lock() = true;
                condition.notify_all();
            });
            let mut told = mutex.lock();
            while !*told {
                told = condition.wait(told);
            }
        });
    }
}
