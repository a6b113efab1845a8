//! Semaphores: as many at once as there are permits, in the order of coming, whoever dies.

mod common;

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use common::{Child, LIMIT, eventually, fork, wait};
use multiproc::types::{BoundedSemaphoreProxy, CounterProxy, OverRelease, Permit, SemaphoreProxy};
use multiproc::{CallError, Error, Proxy, Result, SyncManager};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proptest::prelude::*;

fn manager() -> SyncManager {
    SyncManager::start().expect("a manager")
}

fn eventually_says(proxy: &impl Proxy, text: &str) {
    eventually(text, || proxy.text().expect("a text") == text);
}

/// A child that takes permits, counts them, and sleeps.
fn holder(semaphore: &SemaphoreProxy, permits: u64, took: &CounterProxy) -> Child {
    fork(|| {
        let _permit = semaphore.acquire_many(permits).expect("permits");
        took.add(1).expect("a sum");
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    })
}

#[test]
fn permits_are_taken_and_come_back() -> Result<()> {
    let manager = manager();
    let semaphore = SemaphoreProxy::new(&manager, 3)?;
    assert_eq!(semaphore.to_string(), "<Semaphore: 3 free, 0 waiting>");
    let two = semaphore.acquire_many(2)?;
    assert_eq!((two.count(), semaphore.available()?), (2, 1));
    assert!(semaphore.try_acquire_many(2)?.is_none());
    assert!(semaphore.try_acquire_many_for(2, Duration::from_millis(5))?.is_none());
    let one = semaphore.try_acquire()?.expect("a free one");
    assert!(semaphore.try_acquire()?.is_none() && semaphore.try_acquire_for(Duration::from_millis(5))?.is_none());
    // A permit belongs to the process, not to a thread.
    thread::spawn(move || drop(two)).join().expect("no panic");
    one.release()?;
    assert_eq!(semaphore.available()?, 3);
    // As Python allows it.
    semaphore.release(2)?;
    assert_eq!(semaphore.available()?, 5);
    drop(semaphore.acquire_many(5)?);
    assert_eq!(semaphore.acquire_many(0)?.count(), 0);
    assert_eq!(semaphore.available()?, 5);
    assert!(SemaphoreProxy::new(&manager, 0)?.try_acquire()?.is_none());
    manager.shutdown()
}

#[test]
fn a_bounded_semaphore_is_never_released_beyond_its_bound() -> Result<()> {
    let manager = manager();
    let semaphore = BoundedSemaphoreProxy::new(&manager, 3)?;
    let over = |result: Result<(), CallError<OverRelease>>, released, outstanding| match result {
        Err(CallError::Method(error)) => assert_eq!(error, OverRelease { released, outstanding }),
        other => panic!("{other:?}"),
    };
    over(semaphore.release(1), 1, 0);
    let guarded = semaphore.acquire()?;
    over(semaphore.release(1), 1, 0);
    semaphore.acquire_many(2)?.forget()?;
    assert_eq!(semaphore.to_string(), "<BoundedSemaphore: 0 of 3 free, 0 waiting>");
    over(semaphore.release(3), 3, 2);
    semaphore.release(2)?;
    over(semaphore.release(1), 1, 0);
    drop(guarded);
    assert_eq!(semaphore.available()?, 3);
    assert!(matches!(semaphore.acquire_many(4), Err(Error::Arguments { .. })), "it would wait for ever");
    manager.shutdown()
}

#[test]
fn the_permits_of_a_killed_process_come_back() -> Result<()> {
    let manager = manager();
    let (semaphore, took) = (SemaphoreProxy::new(&manager, 3)?, CounterProxy::new(&manager, 0)?);
    let owner = holder(&semaphore, 2, &took);
    eventually("it has them", || took.get().expect("a number") == 1);
    let waiting = holder(&semaphore, 2, &took);
    eventually_says(&semaphore, "<Semaphore: 1 free, 1 waiting>");
    owner.kill();
    eventually("the next has them", || took.get().expect("a number") == 2);
    let another = holder(&semaphore, 3, &took);
    eventually_says(&semaphore, "<Semaphore: 1 free, 1 waiting>");
    another.kill();
    eventually_says(&semaphore, "<Semaphore: 1 free, 0 waiting>");
    waiting.kill();
    eventually_says(&semaphore, "<Semaphore: 3 free, 0 waiting>");
    // One that was forgotten is nobody's.
    assert_eq!(wait(fork(|| i32::from(semaphore.acquire().and_then(Permit::forget).is_err()))), 0);
    assert_eq!(semaphore.available()?, 2);
    manager.shutdown()
}

/// The permit is on its way to a process that is stopped, and then killed.
#[test]
fn a_permit_that_never_arrived_goes_to_the_next() -> Result<()> {
    let manager = manager();
    let (semaphore, took) = (SemaphoreProxy::new(&manager, 1)?, CounterProxy::new(&manager, 0)?);
    let permit = semaphore.acquire()?;
    let waiter = holder(&semaphore, 1, &took);
    eventually_says(&semaphore, "<Semaphore: 0 free, 1 waiting>");
    waiter.stop();
    let next = {
        let semaphore = semaphore.clone();
        thread::spawn(move || semaphore.acquire().map(drop))
    };
    eventually_says(&semaphore, "<Semaphore: 0 free, 2 waiting>");
    drop(permit);
    assert_eq!(semaphore.to_string(), "<Semaphore: 0 free, 1 waiting>");
    waiter.kill();
    next.join().expect("no panic")?;
    assert_eq!((took.get()?, semaphore.available()?), (0, 1));
    manager.shutdown()
}

#[test]
fn a_permit_inherited_by_a_fork_is_not_the_childs() -> Result<()> {
    let manager = manager();
    let semaphore = SemaphoreProxy::new(&manager, 2)?;
    let inherited = std::mem::ManuallyDrop::new(semaphore.acquire()?);
    let child = fork(|| {
        let own = semaphore.acquire().expect("a permit");
        // Would give the child's own permit back, if anything.
        drop(std::mem::ManuallyDrop::into_inner(inherited));
        let free = semaphore.available().expect("a number");
        drop(own);
        i32::from(free != 0)
    });
    assert_eq!(wait(child), 0);
    assert_eq!(semaphore.available()?, 1);
    manager.shutdown()
}

#[test]
fn who_waits_for_many_is_not_overtaken_and_lets_others_by_when_he_gives_up() -> Result<()> {
    let manager = manager();
    let semaphore = SemaphoreProxy::new(&manager, 2)?;
    let order = Mutex::new(Vec::new());
    let permit = semaphore.acquire()?;
    thread::scope(|scope| -> Result<()> {
        for (number, count) in [2, 1, 1].into_iter().enumerate() {
            let (semaphore, order) = (&semaphore, &order);
            scope.spawn(move || {
                let _permit = semaphore.acquire_many(count).expect("permits");
                order.lock().expect("no poison").push(number);
            });
            eventually_says(semaphore, &format!("<Semaphore: 1 free, {} waiting>", number + 1));
        }
        assert!(semaphore.try_acquire()?.is_none(), "one is free, but others wait");
        drop(permit);
        Ok(())
    })?;
    assert_eq!(order.lock().expect("no poison")[0], 0);

    let permit = semaphore.acquire()?;
    thread::scope(|scope| -> Result<()> {
        let impatient = scope.spawn(|| semaphore.try_acquire_many_for(2, Duration::from_millis(300)));
        // On a busy machine it may have given up before it was seen.
        eventually("it waits", || semaphore.to_string() == "<Semaphore: 1 free, 1 waiting>" || impatient.is_finished());
        let behind = scope.spawn(|| semaphore.acquire().map(drop));
        assert!(impatient.join().expect("no panic")?.is_none());
        behind.join().expect("no panic")
    })?;
    drop(permit);
    assert_eq!(semaphore.available()?, 2);
    manager.shutdown()
}

#[test]
fn never_more_at_once_than_permits_while_processes_are_killed() -> Result<()> {
    const PERMITS: u64 = 3;
    const KILLS: u32 = 50;
    let manager = manager();
    let semaphore = BoundedSemaphoreProxy::new(&manager, PERMITS)?;
    let (rounds, broken) = (CounterProxy::new(&manager, 0)?, CounterProxy::new(&manager, 0)?);
    // Whoever is inside holds a lock of a file, which the kernel takes back where the server takes the permit back.
    let places: Vec<_> = (0..PERMITS).map(|_| tempfile::NamedTempFile::new().expect("a file")).collect();
    let worker = || {
        fork(|| {
            loop {
                let _permit = semaphore.acquire().expect("a permit");
                let files = places.iter().map(|place| std::fs::File::open(place.path()).expect("the file"));
                let files: Vec<_> = files.collect();
                // Others come and go while one looks; more often than not is no chance.
                if !(0..50).any(|_| files.iter().any(|file| file.try_lock().is_ok())) {
                    broken.add(1).expect("a sum");
                }
                rounds.add(1).expect("a sum");
            }
        })
    };
    let mut workers: Vec<Child> = (0..8).map(|_| worker()).collect();
    for kill in 0..KILLS {
        thread::sleep(Duration::from_micros(u64::from(kill * 7919 % 9000)));
        workers.remove((kill * 31 % 8) as usize).kill();
        workers.push(worker());
    }
    let before = rounds.get()?;
    eventually("the others still work", || rounds.get().expect("a number") > before);
    drop(workers);
    eventually_says(&semaphore, "<BoundedSemaphore: 3 of 3 free, 0 waiting>");
    assert_eq!(broken.get()?, 0);
    manager.shutdown()
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Take(u64),
    Drop,
    Forget,
    Release(u64),
}

#[test]
fn a_bounded_semaphore_does_as_its_model() -> Result<()> {
    let manager = manager();
    let step = prop_oneof![
        3 => (0..4_u64).prop_map(Step::Take),
        2 => Just(Step::Drop),
        1 => Just(Step::Forget),
        1 => (0..3_u64).prop_map(Step::Release),
    ];
    let case = (1..6_u64, proptest::collection::vec(step, 1..40));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(32));
    let outcome = runner.run(&case, |(bound, steps)| {
        let semaphore = BoundedSemaphoreProxy::new(&manager, bound).expect("a semaphore");
        let (mut free, mut loose, mut guards) = (bound, 0, Vec::<Permit>::new());
        for step in steps {
            match step {
                Step::Take(count) if count > bound => {
                    let refused = matches!(semaphore.try_acquire_many(count), Err(Error::Arguments { .. }));
                    prop_assert!(refused);
                }
                Step::Take(count) => {
                    let taken = semaphore.try_acquire_many(count).expect("an answer");
                    prop_assert_eq!(taken.is_some(), count <= free);
                    free -= taken.as_ref().map_or(0, Permit::count);
                    guards.extend(taken);
                }
                Step::Drop => free += guards.pop().map_or(0, |permit| permit.count()),
                Step::Forget => {
                    if let Some(permit) = guards.pop() {
                        loose += permit.count();
                        permit.forget().expect("an answer");
                    }
                }
                Step::Release(count) => {
                    let released = semaphore.release(count);
                    prop_assert_eq!(released.is_ok(), count <= loose);
                    if count <= loose {
                        (free, loose) = (free + count, loose - count);
                    }
                }
            }
            prop_assert_eq!(semaphore.available().expect("a number"), free);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    manager.shutdown()
}

/// The answer comes when its caller has given up, and nobody takes what it brings.
#[test]
fn a_permit_that_comes_too_late_goes_back() -> Result<()> {
    let manager = manager();
    let semaphore = SemaphoreProxy::new(&manager, 1)?;
    let server = Pid::from_raw(i32::try_from(manager.pid().expect("started")).expect("a pid"));
    common::stop(server.as_raw());
    let late = semaphore.try_acquire_for(Duration::from_millis(10)).map(|permit| permit.is_some());
    kill(server, Signal::SIGCONT).expect("the server is there");
    assert!(!late?);
    drop(semaphore.try_acquire_for(LIMIT)?.expect("it was declined"));
    assert_eq!(semaphore.available()?, 1);
    manager.shutdown()
}
