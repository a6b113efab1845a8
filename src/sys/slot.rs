//! A place for one thing, from which many threads take it and into which they put it back, without a lock.
//!
//! Whoever has taken it has it alone. A forked child finds in it what lay there at the fork, never half of it.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A place for one thing.
pub struct Slot<T> {
    /// Null, or what `Box::into_raw` gave.
    thing: AtomicPtr<T>,
    owns: PhantomData<Box<T>>,
}

// SAFETY: nobody reaches the thing without having taken it, which only one thread does: it moves between threads, and is never shared.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { thing: AtomicPtr::new(ptr::null_mut()), owns: PhantomData }
    }
}

impl<T> Slot<T> {
    /// Takes the thing out, if it is there.
    pub fn take(&self) -> Option<Box<T>> {
        // Pairs with the store in `put`.
        let thing = self.thing.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: it came out of a box, and the swap has left it to this thread alone.
        (!thing.is_null()).then(|| unsafe { Box::from_raw(thing) })
    }

    /// Puts a thing in; gives it back where one is already.
    pub fn put(&self, thing: Box<T>) -> Option<Box<T>> {
        let thing = Box::into_raw(thing);
        // Pairs with the swap in `take`: who takes it sees what its last owner did.
        match self.thing.compare_exchange(ptr::null_mut(), thing, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => None,
            // SAFETY: it is the box of above, which nobody else has seen.
            Err(_) => Some(unsafe { Box::from_raw(thing) }),
        }
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn it_holds_one_and_drops_it() {
        let thing = Arc::new(());
        let slot = Slot::default();
        assert!(slot.take().is_none());
        assert!(slot.put(Box::new(Arc::clone(&thing))).is_none());
        assert!(slot.put(Box::new(Arc::clone(&thing))).is_some());
        assert_eq!(Arc::strong_count(&thing), 2);
        drop(slot);
        assert_eq!(Arc::strong_count(&thing), 1);
    }

    #[test]
    fn nobody_has_it_beside_another() {
        let slot = Slot::default();
        slot.put(Box::new(0_u64));
        let in_vain = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        loop {
                            let Some(mut count) = slot.take() else {
                                in_vain.fetch_add(1, Ordering::Relaxed);
                                std::thread::yield_now();
                                continue;
                            };
                            *count += 1;
                            assert!(slot.put(count).is_none());
                            break;
                        }
                    }
                });
            }
        });
        assert_eq!(slot.take().as_deref(), Some(&40_000));
    }
}
