//! What holds of every object that has a lock of its own, a `Value` and an `Array`: the same scenarios for each.
//!
//! They look at one number of it, which is 1 at first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use multiproc::types::{ArrayGuard, ArrayProxy, CounterProxy, ValueGuard, ValueProxy};
use multiproc::{CallError, Error, Proxy, Result, SyncManager};

use crate::common::{Child, LIMIT, eventually, forever, fork, wait};

/// A proxy of an object with a lock.
pub trait Lockable: Proxy + Clone + Send + Sync {
    type Guard;

    fn make(manager: &SyncManager) -> Result<Self>;
    fn lock(&self) -> Result<Self::Guard>;
    fn number(guard: &mut Self::Guard) -> &mut u32;
    fn was_abandoned(guard: &Self::Guard) -> bool;
    fn get(&self) -> Result<u32>;
    fn fetch_add(&self, n: u32) -> Result<u32>;
}

impl Lockable for ValueProxy<u32> {
    type Guard = ValueGuard<u32>;

    fn make(manager: &SyncManager) -> Result<Self> {
        Self::new(manager, 1)
    }

    fn lock(&self) -> Result<Self::Guard> {
        self.lock()
    }

    fn number(guard: &mut Self::Guard) -> &mut u32 {
        guard
    }

    fn was_abandoned(guard: &Self::Guard) -> bool {
        guard.was_abandoned()
    }

    fn get(&self) -> Result<u32> {
        self.get()
    }

    fn fetch_add(&self, n: u32) -> Result<u32> {
        self.fetch_add(n)
    }
}

impl Lockable for ArrayProxy<u32> {
    type Guard = ArrayGuard<u32>;

    fn make(manager: &SyncManager) -> Result<Self> {
        Self::new(manager, &[0, 1])
    }

    fn lock(&self) -> Result<Self::Guard> {
        self.lock()
    }

    fn number(guard: &mut Self::Guard) -> &mut u32 {
        &mut guard[1]
    }

    fn was_abandoned(guard: &Self::Guard) -> bool {
        guard.was_abandoned()
    }

    fn get(&self) -> Result<u32> {
        Ok(self.get(1)?.expect("a place"))
    }

    fn fetch_add(&self, n: u32) -> Result<u32> {
        self.fetch_add(1, n).map_err(system)
    }
}

/// The error, which must be the system's.
pub fn system<E: std::fmt::Debug>(error: CallError<E>) -> Error {
    match error {
        CallError::System(error) => error,
        CallError::Method(error) => panic!("the method's error: {error:?}"),
    }
}

/// What the next holder is told and sees.
fn next<L: Lockable>(object: &L) -> Result<(bool, u32)> {
    object.lock().map(|mut guard| (L::was_abandoned(&guard), *L::number(&mut guard)))
}

/// A child that changes the number, under a lock that it keeps until it is killed.
fn holder<L: Lockable>(manager: &SyncManager, object: &L) -> Result<Child> {
    let holds = CounterProxy::new(manager, 0)?;
    let child = {
        let (object, holds) = (object.clone(), holds.clone());
        fork(move || {
            let mut guard = object.lock().expect("a lock");
            *L::number(&mut guard) = 1000;
            holds.add(1).expect("a count");
            forever();
            0
        })
    };
    eventually("the child has the lock", || holds.get().expect("a number") == 1);
    Ok(child)
}

pub fn a_lock_whose_holder_panics_leaves_it<L: Lockable>() -> Result<()> {
    let manager = SyncManager::start()?;
    let object = L::make(&manager)?;
    let panicked = thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let mut guard = object.lock().expect("a lock");
            *L::number(&mut guard) = 7;
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        holder.join().is_err()
    });
    assert!(panicked);
    assert_eq!(next(&object)?, (false, 1));
    manager.shutdown()
}

pub fn a_killed_holders_lock_goes_on<L: Lockable>() -> Result<()> {
    let manager = SyncManager::start()?;
    let object = L::make(&manager)?;
    let holder = holder(&manager, &object)?;
    thread::scope(|scope| {
        // One that writes comes first; it does not take away what the next holder is told.
        let writes = scope.spawn(|| object.fetch_add(1));
        thread::sleep(Duration::from_millis(20));
        let waits = scope.spawn(|| next(&object));
        thread::sleep(Duration::from_millis(20));
        holder.kill();
        assert_eq!(writes.join().expect("no panic")?, 1);
        let (abandoned, seen) = waits.join().expect("no panic")?;
        // On a busy machine the one that writes may come second.
        assert!(abandoned && (1..=2).contains(&seen), "{seen}");
        assert_eq!(next(&object)?, (false, 2), "told once");
        Ok::<_, Error>(())
    })?;
    manager.shutdown()
}

/// Symptom: who locked a value whose last holder had been killed was not told so. Cause: it was only told to those who waited at that moment.
pub fn who_comes_late_is_told_that_the_lock_was_abandoned<L: Lockable>() -> Result<()> {
    let manager = SyncManager::start()?;
    let object = L::make(&manager)?;
    holder(&manager, &object)?.kill();
    // Waits until the server has noticed. Writes do not take away what the next holder is told.
    assert_eq!(object.fetch_add(1)?, 1);
    assert_eq!((next(&object)?, next(&object)?), ((true, 2), (false, 2)), "told once");
    manager.shutdown()
}

pub fn a_forked_child_does_not_unlock_its_parents_guard<L: Lockable>() -> Result<()> {
    let manager = SyncManager::start()?;
    let object = L::make(&manager)?;
    let mut guard = object.lock()?;
    *L::number(&mut guard) = 2;
    let mut guard = Some(guard);
    let hasty = object.with_timeout(Duration::from_millis(50));
    // The closure borrows it: the child's copy is dropped, and the parent's lives on.
    let child = fork(|| {
        drop(guard.take());
        i32::from(hasty.fetch_add(5).is_ok())
    });
    assert_eq!(wait(child), 0);
    drop(guard);
    assert_eq!(object.get()?, 2);
    manager.shutdown()
}

/// Symptom: a guard that was leaked kept its value locked until its process ended. Cause: nobody told the server of its thread's end.
pub fn a_leaked_guards_lock_goes_on_when_its_thread_ends<L: Lockable>() -> Result<()> {
    let manager = SyncManager::start()?;
    let object = L::make(&manager)?;
    let patient = object.with_timeout(LIMIT);
    for waits in [false, true] {
        let held = AtomicBool::new(false);
        let told = thread::scope(|scope| {
            let leaks = scope.spawn(|| {
                let mut guard = object.lock().expect("a lock");
                *L::number(&mut guard) = 7;
                held.store(true, Ordering::Release);
                if waits {
                    thread::sleep(Duration::from_millis(50));
                }
                std::mem::forget(guard);
            });
            eventually("it is locked", || held.load(Ordering::Acquire));
            if !waits {
                leaks.join().expect("no panic");
            }
            next(&patient)
        })?;
        assert_eq!(told, (true, 1), "it is what it was");
        assert_eq!(next(&patient)?, (false, 1), "told once");
    }
    manager.shutdown()
}
