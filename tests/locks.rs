//! Locks: one owner at a time, in the order of coming, whoever dies.

mod common;

use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use common::{Child, LIMIT, eventually, fork, threads, wait};
use multiproc::types::{CounterProxy, LockGuard, LockProxy, NotOwned, RLockProxy};
use multiproc::{CallError, Error, Proxy, Result, SyncManager};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proptest::prelude::*;

fn manager() -> SyncManager {
    SyncManager::start().expect("a manager")
}

fn eventually_says(lock: &impl Proxy, text: &str) {
    eventually(text, || lock.text().expect("a text").ends_with(&format!("{text}>")));
}

/// A child that takes the lock, says so by a counter, and sleeps.
fn holder(lock: &LockProxy, took: &CounterProxy) -> Child {
    fork(|| {
        let _guard = lock.lock().expect("the lock");
        took.add(1).expect("a sum");
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    })
}

fn is_not_owned<T: std::fmt::Debug>(result: &Result<T, CallError<NotOwned>>) -> bool {
    matches!(result, Err(CallError::Method(NotOwned)))
}

#[test]
fn one_thread_owns_a_lock_and_only_it_gives_it_up() -> Result<()> {
    let manager = manager();
    let lock = LockProxy::new(&manager)?;
    assert_eq!(lock.to_string(), "<Lock: unlocked>");
    assert!(is_not_owned(&lock.release()), "nobody owns it");
    let guard = lock.lock()?;
    assert!(!guard.was_abandoned() && lock.is_locked()?);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            assert!(is_not_owned(&lock.release()), "another thread owns it");
            assert!(lock.try_lock()?.is_none() && lock.try_lock_for(Duration::from_millis(5))?.is_none());
            Ok::<_, Error>(())
        });
        other.join().expect("no panic")
    })?;
    assert!(lock.try_lock()?.is_none(), "not even its owner takes a lock twice");
    assert!(matches!(lock.lock(), Err(Error::WouldDeadlock { .. })));
    guard.unlock()?;
    let guard = lock.try_lock()?.expect("free again");
    lock.release()?;
    let second = lock.lock()?;
    assert!(is_not_owned(&guard.unlock()), "a guard gives up its own holding and no other");
    assert!(lock.is_locked()?);
    drop(second);
    assert!(!lock.is_locked()?);
    manager.shutdown()
}

#[test]
fn a_reentrant_lock_is_given_up_as_often_as_it_was_taken() -> Result<()> {
    let manager = manager();
    let lock = RLockProxy::new(&manager)?;
    let outer = lock.lock()?;
    let inner = lock.try_lock()?.expect("its own");
    let innermost = lock.try_lock_for(LIMIT)?.expect("its own");
    assert_eq!(lock.to_string(), "<RLock: locked 3 times, 0 waiting>");
    let other = || thread::scope(|scope| scope.spawn(|| lock.try_lock().map(|it| it.is_some())).join());
    drop(outer);
    innermost.unlock()?;
    assert!(!other().expect("no panic")?);
    drop(inner);
    assert!(other().expect("no panic")?);
    assert!(is_not_owned(&lock.release()));
    manager.shutdown()
}

#[test]
fn a_guard_inherited_by_a_fork_does_nothing() -> Result<()> {
    let manager = manager();
    let lock = LockProxy::new(&manager)?;
    let guard = lock.lock()?;
    let (theirs, inherited) = (lock.clone(), std::mem::ManuallyDrop::new(guard));
    let child = fork(move || {
        let mine = inherited;
        let refused = theirs.release();
        drop(std::mem::ManuallyDrop::into_inner(mine));
        let held = theirs.is_locked().expect("an answer");
        // What its parent's thread holds is no lock of its own.
        let waits = matches!(theirs.try_lock_for(Duration::from_millis(5)), Ok(None));
        i32::from(!(is_not_owned(&refused) && held && waits))
    });
    assert_eq!(wait(child), 0);
    assert!(lock.is_locked()?);
    manager.shutdown()
}

#[test]
fn the_lock_of_a_killed_owner_goes_to_the_next_who_is_told_so() -> Result<()> {
    let manager = manager();
    let (lock, took) = (LockProxy::new(&manager)?, CounterProxy::new(&manager, 0)?);
    let owner = holder(&lock, &took);
    eventually("it has the lock", || took.get().expect("a number") == 1);
    let next = thread::spawn({
        let lock = lock.clone();
        move || lock.try_lock_for(LIMIT).map(|guard| guard.expect("the lock").was_abandoned())
    });
    eventually_says(&lock, "locked, 1 waiting");
    owner.kill();
    assert!(next.join().expect("no panic")?, "the next is told");
    assert!(!lock.lock()?.was_abandoned(), "and nobody after");

    let owner = holder(&lock, &took);
    eventually("it has the lock", || took.get().expect("a number") == 2);
    owner.kill();
    assert!(lock.lock()?.was_abandoned(), "also where nobody waited");
    manager.shutdown()
}

#[test]
fn a_killed_waiter_and_one_who_gives_up_leave_the_line() -> Result<()> {
    let manager = manager();
    let (lock, took) = (LockProxy::new(&manager)?, CounterProxy::new(&manager, 0)?);
    let guard = lock.lock()?;
    let waiter = holder(&lock, &took);
    eventually_says(&lock, "locked, 1 waiting");
    waiter.kill();
    eventually_says(&lock, "locked, 0 waiting");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert!(lock.try_lock_for(Duration::from_millis(1)).expect("an answer").is_none());
                }
            });
        }
    });
    assert_eq!(lock.text()?, "<Lock: locked, 0 waiting>");
    drop(guard);
    assert!(!lock.lock()?.was_abandoned());
    assert_eq!(took.get()?, 0);
    manager.shutdown()
}

/// The lock is on its way to a process that is stopped, and then killed: it has not arrived, and goes on, and nothing was left half done.
#[test]
fn a_lock_that_never_arrived_goes_on_and_was_not_abandoned() -> Result<()> {
    let manager = manager();
    let (lock, took) = (LockProxy::new(&manager)?, CounterProxy::new(&manager, 0)?);
    let guard = lock.lock()?;
    let waiter = holder(&lock, &took);
    eventually_says(&lock, "locked, 1 waiting");
    waiter.stop();
    let next = thread::spawn({
        let lock = lock.clone();
        move || lock.try_lock_for(LIMIT).map(|guard| guard.expect("the lock").was_abandoned())
    });
    eventually_says(&lock, "locked, 2 waiting");
    drop(guard);
    assert_eq!(lock.text()?, "<Lock: locked, 1 waiting>");
    waiter.kill();
    assert!(!next.join().expect("no panic")?);
    assert_eq!(took.get()?, 0);
    manager.shutdown()
}

#[test]
fn a_thread_that_ends_with_a_leaked_guard_abandons_its_locks() -> Result<()> {
    let manager = manager();
    let (lock, reentrant) = (LockProxy::new(&manager)?, RLockProxy::new(&manager)?);
    let (theirs, also) = (lock.clone(), reentrant.clone());
    let thread = thread::spawn(move || -> Result<()> {
        std::mem::forget(theirs.lock()?);
        std::mem::forget((also.lock()?, also.lock()?));
        // A guard that was not leaked is no part of this.
        drop(also.lock()?);
        Ok(())
    });
    thread.join().expect("no panic")?;
    assert!(lock.try_lock_for(LIMIT)?.expect("passed on").was_abandoned());
    assert!(reentrant.try_lock_for(LIMIT)?.expect("passed on").was_abandoned());
    manager.shutdown()
}

#[test]
fn waiters_are_served_in_the_order_of_coming() -> Result<()> {
    const WAITERS: usize = 30;
    let manager = manager();
    let lock = LockProxy::new(&manager)?;
    let order = Mutex::new(Vec::new());
    let guard = lock.lock()?;
    thread::scope(|scope| {
        for number in 0..WAITERS {
            let (lock, order) = (&lock, &order);
            scope.spawn(move || {
                let _guard = lock.lock().expect("the lock");
                order.lock().expect("no poison").push(number);
            });
            eventually_says(lock, &format!("locked, {} waiting", number + 1));
        }
        drop(guard);
    });
    assert_eq!(order.into_inner().expect("no poison"), (0..WAITERS).collect::<Vec<_>>());
    manager.shutdown()
}

#[test]
fn a_thousand_waiters_cost_the_server_no_thread() -> Result<()> {
    // Each has a connection of its own; where so many can't be had, fewer must do.
    let waiters = usize::try_from(common::want_descriptors(3000) - 300).expect("a number").min(1000);
    let manager = manager();
    let (lock, sum) = (LockProxy::new(&manager)?, CounterProxy::new(&manager, 0)?);
    let pid = i32::try_from(manager.pid().expect("started")).expect("a pid");
    let guard = lock.lock()?;
    let before = threads(pid);
    thread::scope(|scope| {
        for _ in 0..waiters {
            let (lock, sum) = (&lock, &sum);
            let waiter = move || {
                let _guard = lock.lock().expect("the lock");
                let seen = sum.get().expect("a number");
                sum.swap(seen + 1).expect("a number");
            };
            thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, waiter).expect("a thread");
        }
        let text = format!("<Lock: locked, {waiters} waiting>");
        eventually("all wait", || lock.text().expect("a text") == text);
        // A busy machine may have made the lead pass on; those threads go home again.
        let few = common::within(common::LIMIT, || threads(pid) <= before + 2);
        let while_waiting = threads(pid);
        drop(guard);
        assert!(few, "{before} threads before, {while_waiting} with {waiters} waiters");
    });
    assert_eq!(sum.get()?, waiters as i64);
    manager.shutdown()
}

/// A call whose time ended while its connection was still being made failed with `Authentication`: the handshake was cut short by the call's deadline, and said so as its own.
#[test]
fn time_that_ends_while_a_connection_is_made_is_a_timeout() -> Result<()> {
    let manager = manager();
    let lock = LockProxy::new(&manager)?;
    let server = Pid::from_raw(i32::try_from(manager.pid().expect("started")).expect("a pid"));
    common::stop(server.as_raw());
    let child = fork(|| match lock.try_lock_for(Duration::from_millis(20)) {
        Ok(None) => 0,
        other => panic!("{other:?}"),
    });
    let code = wait(child);
    kill(server, Signal::SIGCONT).expect("the server is there");
    assert_eq!(code, 0);
    manager.shutdown()
}

/// The answer comes when its caller has given up, and nobody takes the lock that it brings.
#[test]
fn a_lock_that_comes_too_late_goes_back() -> Result<()> {
    let manager = manager();
    let lock = LockProxy::new(&manager)?;
    let server = Pid::from_raw(i32::try_from(manager.pid().expect("started")).expect("a pid"));
    common::stop(server.as_raw());
    let late = lock.try_lock_for(Duration::from_millis(10)).map(|guard| guard.is_some());
    kill(server, Signal::SIGCONT).expect("the server is there");
    assert!(!late?);
    assert!(!lock.lock()?.was_abandoned());
    manager.shutdown()
}

/// What a worker does under the lock: not atomic by itself, and checked for company.
fn work(inside: &CounterProxy, sum: &CounterProxy, guard: &LockGuard) -> Result<bool> {
    if guard.was_abandoned() {
        inside.swap(0)?;
    }
    let alone = inside.add(1)? == 1;
    let seen = sum.get()?;
    sum.swap(seen + 1)?;
    Ok(inside.add(-1)? == 0 && alone)
}

#[test]
fn eight_processes_exclude_each_other() -> Result<()> {
    const ROUNDS: i64 = 40;
    let manager = manager();
    let lock = LockProxy::new(&manager)?;
    let (inside, sum) = (CounterProxy::new(&manager, 0)?, CounterProxy::new(&manager, 0)?);
    let worker = || {
        for _ in 0..ROUNDS {
            let guard = lock.lock().expect("the lock");
            if guard.was_abandoned() || !work(&inside, &sum, &guard).expect("the server") {
                return 1;
            }
        }
        0
    };
    let workers: Vec<Child> = (0..8).map(|_| fork(worker)).collect();
    assert!(workers.into_iter().map(wait).all(|code| code == 0));
    assert_eq!(sum.get()?, 8 * ROUNDS);
    manager.shutdown()
}

#[test]
fn processes_exclude_each_other_while_they_are_killed() -> Result<()> {
    const KILLS: u32 = 60;
    let manager = manager();
    let lock = LockProxy::new(&manager)?;
    let (inside, sum, broken) =
        (CounterProxy::new(&manager, 0)?, CounterProxy::new(&manager, 0)?, CounterProxy::new(&manager, 0)?);
    let worker = || {
        fork(|| {
            loop {
                let guard = lock.lock().expect("the lock");
                if !work(&inside, &sum, &guard).expect("the server") {
                    broken.add(1).expect("the server");
                }
            }
        })
    };
    let mut workers: Vec<Child> = (0..8).map(|_| worker()).collect();
    for kill in 0..KILLS {
        // An odd rhythm, so that they die at all points of their round.
        thread::sleep(Duration::from_micros(u64::from(kill * 7919 % 9000)));
        workers.remove((kill * 31 % 8) as usize).kill();
        workers.push(worker());
    }
    let before = sum.get()?;
    eventually("the others still work", || sum.get().expect("a number") > before);
    drop(workers);
    let guard = lock.try_lock_for(LIMIT)?.expect("nobody is left to hold it");
    assert_eq!(broken.get()?, 0, "somebody had company");
    drop(guard);
    eventually_says(&lock, "unlocked");
    manager.shutdown()
}

/// Works on a counter under a lock, in the server.
pub struct Account {
    lock: LockProxy,
    reentrant: RLockProxy,
    balance: CounterProxy,
}

#[multiproc::referent]
impl Account {
    pub fn new(lock: LockProxy, reentrant: RLockProxy, balance: CounterProxy) -> Self {
        Self { lock, reentrant, balance }
    }

    pub fn deposit(&self, amount: i64) -> Result<i64, Error> {
        let _guard = self.lock.lock()?;
        let balance = self.balance.get()?;
        self.balance.swap(balance + amount)?;
        Ok(balance + amount)
    }

    pub fn nested(&self) -> Result<i64, Error> {
        let _outer = self.reentrant.lock()?;
        let inner = self.reentrant.lock()?;
        let balance = self.balance.get();
        drop(inner);
        balance
    }

    pub fn impatient(&self) -> Result<bool, Error> {
        Ok(self.lock.try_lock_for(Duration::from_millis(5))?.is_some())
    }

    /// Holds the lock until the balance is negative.
    pub fn hold(&self) -> Result<(), Error> {
        let _guard = self.lock.lock()?;
        while self.balance.get()? >= 0 {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

struct Bank {
    manager: SyncManager,
    lock: LockProxy,
    reentrant: RLockProxy,
    balance: CounterProxy,
    account: AccountProxy,
}

fn bank() -> Result<Bank> {
    let manager = SyncManager::builder().register::<Account>().start()?;
    let (lock, reentrant) = (LockProxy::new(&manager)?, RLockProxy::new(&manager)?);
    let balance = CounterProxy::new(&manager, 0)?;
    let account = AccountProxy::new(&manager, lock.clone(), reentrant.clone(), balance.clone())?;
    Ok(Bank { manager, lock, reentrant, balance, account })
}

fn plain<T>(result: Result<T, CallError<Error>>) -> Result<T> {
    result.map_err(|error| match error {
        CallError::Method(error) | CallError::System(error) => error,
    })
}

#[test]
fn a_method_in_the_server_waits_for_a_lock_and_the_server_goes_on() -> Result<()> {
    let Bank { manager, lock, reentrant, balance, account } = bank()?;
    assert_eq!(plain(account.deposit(1))?, 1);
    assert_eq!(plain(account.nested())?, 1);
    let guard = lock.lock()?;
    thread::scope(|scope| -> Result<()> {
        let waiting: Vec<_> = (0..5).map(|_| scope.spawn(|| plain(account.deposit(1)))).collect();
        eventually_says(&lock, "locked, 5 waiting");
        assert_eq!(balance.get()?, 1, "the server answers");
        assert!(!plain(thread::scope(|inner| inner.spawn(|| account.impatient()).join().expect("no panic")))?);
        drop(guard);
        waiting.into_iter().try_for_each(|waiting| waiting.join().expect("no panic").map(drop))
    })?;
    assert_eq!(balance.get()?, 6);
    // The thread that owns a lock waits for the method, which would wait for the lock.
    let guard = lock.lock()?;
    assert!(matches!(plain(account.deposit(1)), Err(Error::WouldDeadlock { .. })));
    drop(guard);
    let guard = reentrant.lock()?;
    assert!(matches!(plain(account.nested()), Err(Error::WouldDeadlock { .. })));
    drop(guard);
    assert_eq!(plain(account.deposit(1))?, 7);
    manager.shutdown()
}

/// Calls that one at a time may use.
pub struct Desk {
    lock: RLockProxy,
    began: CounterProxy,
}

#[multiproc::referent]
impl Desk {
    pub fn new(lock: RLockProxy, began: CounterProxy) -> Self {
        Self { lock, began }
    }

    pub fn think(&mut self) -> Result<(), Error> {
        self.began.add(1)?;
        while self.began.get()? < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    pub fn sign(&mut self) -> Result<(), Error> {
        self.lock.lock().map(drop)
    }
}

/// Uses a desk under a lock.
pub struct Clerk {
    lock: RLockProxy,
    desk: DeskProxy,
}

#[multiproc::referent]
impl Clerk {
    pub fn new(lock: RLockProxy, desk: DeskProxy) -> Self {
        Self { lock, desk }
    }

    pub fn work(&self) -> Result<(), Error> {
        let _guard = self.lock.lock()?;
        Ok(self.desk.think()?)
    }
}

/// The clerk's method had the lock and waited for the desk; at its end the desk's next call, which needs the lock, was run on the clerk's own thread, and the clerk's
/// method could not go on: both hung for ever.
#[test]
fn a_method_that_holds_a_lock_is_not_made_to_wait_for_who_needs_it() -> Result<()> {
    let manager = SyncManager::builder().register::<Desk>().register::<Clerk>().start()?;
    let (lock, began) = (RLockProxy::new(&manager)?, CounterProxy::new(&manager, 0)?);
    let desk = DeskProxy::new(&manager, lock.clone(), began.clone())?;
    let clerk = ClerkProxy::new(&manager, lock, desk.clone())?.with_timeout(LIMIT);
    thread::scope(|scope| -> Result<()> {
        let working = scope.spawn(|| plain(clerk.work()));
        eventually("the clerk thinks", || began.get().expect("a number") == 1);
        let signing = scope.spawn(|| plain(desk.with_timeout(LIMIT).sign()));
        // Queued before the desk is free: nothing tells of it from outside.
        thread::sleep(Duration::from_millis(50));
        began.add(1)?;
        working.join().expect("no panic")?;
        signing.join().expect("no panic")
    })?;
    manager.shutdown()
}

/// A method runs to its end, whatever becomes of who called it: so long it keeps its lock, and has not abandoned it then.
#[test]
fn a_method_keeps_its_lock_when_its_caller_is_killed() -> Result<()> {
    let Bank { manager, lock, balance, account, .. } = bank()?;
    let caller = fork(|| i32::from(account.hold().is_err()));
    eventually_says(&lock, "locked, 0 waiting");
    caller.kill();
    let objects = manager.number_of_objects()?;
    assert!(lock.try_lock_for(Duration::from_millis(300))?.is_none(), "the method has not ended");
    balance.swap(-1)?;
    assert!(!lock.try_lock_for(LIMIT)?.expect("the method has ended").was_abandoned());
    assert_eq!(manager.number_of_objects()?, objects);
    manager.shutdown()
}

#[derive(Debug, Clone, Copy)]
enum Step {
    TryLock,
    Unlock,
    Release,
}

/// A thread that does what it is told, and says what came of it.
fn player(lock: RLockProxy, steps: &Receiver<Step>, results: &Sender<bool>) {
    let mut guards = Vec::new();
    for step in steps {
        let result = match step {
            Step::TryLock => match lock.try_lock().expect("an answer") {
                Some(guard) => {
                    guards.push(guard);
                    true
                }
                None => false,
            },
            Step::Unlock => guards.pop().is_some_and(|guard| guard.unlock().is_ok()),
            Step::Release => match lock.release() {
                Ok(()) => {
                    std::mem::forget(guards.pop());
                    true
                }
                Err(error) => {
                    assert!(matches!(error, CallError::Method(NotOwned)));
                    false
                }
            },
        };
        results.send(result).expect("the test listens");
    }
}

#[test]
fn a_reentrant_lock_does_as_its_model() -> Result<()> {
    let manager = manager();
    let step = prop_oneof![3 => Just(Step::TryLock), 2 => Just(Step::Unlock), 1 => Just(Step::Release)];
    let steps = proptest::collection::vec((0..3_usize, step), 1..40);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(24));
    let outcome = runner.run(&steps, |steps| {
        let lock = RLockProxy::new(&manager).expect("a lock");
        thread::scope(|scope| {
            let players: Vec<_> = (0..3)
                .map(|_| {
                    let (step, steps) = mpsc::channel();
                    let (result, results) = mpsc::channel();
                    let lock = lock.clone();
                    scope.spawn(move || player(lock, &steps, &result));
                    (step, results)
                })
                .collect();
            let mut model: Option<(usize, u32)> = None;
            for (who, step) in steps {
                players[who].0.send(step).expect("it listens");
                let result = players[who].1.recv().expect("it answers");
                let owns = model.is_some_and(|(owner, _)| owner == who);
                let expected = match step {
                    Step::TryLock => owns || model.is_none(),
                    Step::Unlock | Step::Release => owns,
                };
                prop_assert_eq!(result, expected, "{:?} by {} in {:?}", step, who, model);
                model = match (step, model) {
                    (Step::TryLock, None) => Some((who, 1)),
                    (Step::TryLock, Some((owner, levels))) if owns => Some((owner, levels + 1)),
                    (Step::Unlock | Step::Release, Some((owner, levels))) if owns => {
                        (levels > 1).then(|| (owner, levels - 1))
                    }
                    (_, model) => model,
                };
                prop_assert_eq!(lock.is_locked().expect("an answer"), model.is_some());
            }
            Ok(())
        })
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    manager.shutdown()
}

#[test]
fn stopping_the_owner_stops_the_others_and_continuing_it_goes_on() -> Result<()> {
    let manager = manager();
    let (lock, took) = (LockProxy::new(&manager)?, CounterProxy::new(&manager, 0)?);
    let mut owner = {
        let (lock, took) = (lock.clone(), took.clone());
        fork(move || {
            let guard = lock.lock().expect("the lock");
            took.add(1).expect("a sum");
            while took.get().expect("a number") < 2 {}
            i32::from(guard.unlock().is_err())
        })
    };
    eventually("it has the lock", || took.get().expect("a number") == 1);
    owner.stop();
    assert!(lock.try_lock_for(Duration::from_millis(50))?.is_none(), "a stopped owner is no dead one");
    took.add(1)?;
    owner.signal(Signal::SIGCONT);
    assert!(!lock.lock()?.was_abandoned());
    eventually("it has ended", || !owner.is_running());
    manager.shutdown()
}
