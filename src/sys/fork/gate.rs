//! The gate between critical sections and forks, and the lock that passes through it.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use super::hooks;
use crate::sys::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Held shared by critical sections, exclusively by a fork.
static GATE: RwLock<()> = RwLock::new(());

/// What one thread has to do with the gate.
///
/// The guards are kept `ManuallyDrop` so that this needs no destructor: proxies are dropped by destructors of other
/// thread-locals too, and must find it there.
struct Standing {
    /// How many [`Passage`]s the thread has.
    inside: Cell<u32>,
    /// The gate, held shared for all of them.
    shared: Cell<Option<ManuallyDrop<RwLockReadGuard<'static, ()>>>>,
    /// The gate, held exclusively: this thread forks.
    exclusive: Cell<Option<ManuallyDrop<RwLockWriteGuard<'static, ()>>>>,
    forking: Cell<bool>,
}

thread_local! {
    static HERE: Standing = const {
        Standing {
            inside: Cell::new(0),
            shared: Cell::new(None),
            exclusive: Cell::new(None),
            forking: Cell::new(false),
        }
    };
}

/// One critical section of this thread. Sections may overlap and end in any order: the gate is let go with the last.
struct Passage(PhantomData<*const ()>);

impl Passage {
    #[inline]
    fn enter() -> Self {
        HERE.with(|here| {
            if here.inside.get() == 0 && !here.forking.get() {
                hooks::ensure_installed();
                here.shared.set(Some(ManuallyDrop::new(GATE.read())));
            }
            here.inside.set(here.inside.get() + 1);
        });
        Self(PhantomData)
    }
}

impl Drop for Passage {
    #[inline]
    fn drop(&mut self) {
        HERE.with(|here| {
            here.inside.set(here.inside.get() - 1);
            if here.inside.get() == 0 {
                here.shared.take().map(ManuallyDrop::into_inner);
            }
        });
    }
}

/// Shuts the gate for a fork by this thread: waits until no other thread is in a critical section.
///
/// A thread that forks *inside* a critical section of its own (which the rules forbid) keeps its own locks over
/// the fork, and gives its share of the gate up meanwhile, rather than waiting for itself.
pub(super) fn shut() {
    HERE.with(|here| {
        here.shared.take().map(ManuallyDrop::into_inner);
        here.exclusive.set(Some(ManuallyDrop::new(GATE.write())));
        here.forking.set(true);
    });
}

/// Opens it again, in the parent or in the child.
pub(super) fn open() {
    HERE.with(|here| {
        here.forking.set(false);
        here.exclusive.take().map(ManuallyDrop::into_inner);
        if here.inside.get() > 0 {
            here.shared.set(Some(ManuallyDrop::new(GATE.read())));
        }
    });
}

/// A mutex that is never held at a fork: the child always finds it free and its value whole.
///
/// What the lock may be held across is in the [module's rules](super). Never poisoned.
#[derive(Default)]
pub struct ForkMutex<T: ?Sized>(Mutex<T>);

impl<T> ForkMutex<T> {
    /// An unlocked mutex around `value`.
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }
}

impl<T: ?Sized> ForkMutex<T> {
    /// Waits for the lock: as long as a fork or another critical section takes, which is microseconds.
    #[inline]
    pub fn lock(&self) -> ForkGuard<'_, T> {
        let passage = Passage::enter();
        ForkGuard { value: self.0.lock(), _passage: passage }
    }
}

impl<T: ?Sized> fmt::Debug for ForkMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value is not shown: logging must not take locks.
        f.debug_struct("ForkMutex").finish_non_exhaustive()
    }
}

/// A [`ForkMutex`], held.
#[must_use]
pub struct ForkGuard<'a, T: ?Sized> {
    // Declared, and so dropped, before the passage: at no moment is the mutex held with the gate open to forks.
    value: MutexGuard<'a, T>,
    _passage: Passage,
}

impl<T: ?Sized> Deref for ForkGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for ForkGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ForkGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside() -> u32 {
        HERE.with(|here| here.inside.get())
    }

    fn holds_the_gate() -> bool {
        HERE.with(|here| {
            let shared = here.shared.take();
            let held = shared.is_some();
            here.shared.set(shared);
            held
        })
    }

    #[test]
    fn the_gate_is_held_until_the_last_guard_in_whatever_order_they_end() {
        let (one, other) = (ForkMutex::new(1), ForkMutex::new(2));
        let first = one.lock();
        let second = other.lock();
        assert_eq!((inside(), *first + *second), (2, 3));
        drop(first);
        assert!(holds_the_gate());
        drop(second);
        assert!(!holds_the_gate());
        assert_eq!(inside(), 0);
    }

    #[test]
    fn the_forking_thread_passes_its_own_gate() {
        let mutex = ForkMutex::new(1);
        shut();
        *mutex.lock() += 1;
        assert!(!holds_the_gate());
        open();
        assert_eq!(*mutex.lock(), 2);
    }

    #[test]
    fn a_fork_inside_a_critical_section_does_not_wait_for_itself() {
        let mutex = ForkMutex::new(1);
        let guard = mutex.lock();
        shut();
        open();
        assert!(holds_the_gate());
        drop(guard);
        assert!(!holds_the_gate());
    }
}
