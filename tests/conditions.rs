//! Conditions: what Python's documentation says of them, and that no notification is lost.

mod common;

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use common::{Child, eventually, fork, wait};
use multiproc::types::{ConditionProxy, CounterProxy, LockProxy, NotOwned, RLockProxy};
use multiproc::{CallError, Error, Proxy, Result, SyncManager};

fn manager() -> SyncManager {
    SyncManager::start().expect("a manager")
}

fn eventually_says(proxy: &impl Proxy, text: &str) {
    eventually(text, || proxy.text().expect("a text") == text);
}

fn is_not_owned<T>(result: &Result<T, CallError<NotOwned>>) -> bool {
    matches!(result, Err(CallError::Method(NotOwned)))
}

/// A child that waits for a notification, counts it, and ends.
fn waiter(condition: &ConditionProxy, woken: &CounterProxy) -> Child {
    fork(|| {
        let mut guard = condition.lock().expect("the lock");
        condition.wait(&mut guard).expect("a notification");
        woken.add(1).expect("a sum");
        i32::from(guard.was_abandoned())
    })
}

#[test]
fn only_owners_wait_and_notify() -> Result<()> {
    let manager = manager();
    let (lock, other) = (LockProxy::new(&manager)?, LockProxy::new(&manager)?);
    let condition = ConditionProxy::on(&lock)?;
    assert!(is_not_owned(&condition.notify(1)) && is_not_owned(&condition.notify_all()));
    let mut guard = other.lock()?;
    assert!(is_not_owned(&condition.wait(&mut guard)));
    let own = condition.lock()?;
    assert!(lock.try_lock()?.is_none(), "it is the same lock");
    assert!(is_not_owned(&condition.wait(&mut guard)), "another lock's guard does not do");
    assert_eq!(condition.notify(3)?, 0);
    assert!(other.is_locked()?, "a wait that was refused gives nothing up");
    own.unlock()?;
    assert!(is_not_owned(&condition.release()));
    manager.shutdown()
}

#[test]
fn waiters_are_notified_in_the_order_of_coming() -> Result<()> {
    let manager = manager();
    let condition = ConditionProxy::new(&manager)?;
    let order = Mutex::new(Vec::new());
    thread::scope(|scope| -> Result<()> {
        for number in 0..6 {
            let (condition, order) = (&condition, &order);
            scope.spawn(move || {
                let mut guard = condition.lock().expect("the lock");
                condition.wait(&mut guard).expect("a notification");
                order.lock().expect("no poison").push(number);
            });
            eventually_says(condition, &format!("<Condition: {} waiting; its lock: unlocked>", number + 1));
        }
        let guard = condition.lock()?;
        assert_eq!(condition.notify(2)?, 2);
        assert_eq!(condition.to_string(), "<Condition: 4 waiting; its lock: locked, 2 waiting>");
        drop(guard);
        eventually_says(&condition, "<Condition: 4 waiting; its lock: unlocked>");
        assert_eq!(*order.lock().expect("no poison"), [0, 1]);
        let _guard = condition.lock()?;
        assert_eq!(condition.notify_all()?, 4);
        assert_eq!(condition.notify_all()?, 0);
        Ok(())
    })?;
    assert_eq!(order.into_inner().expect("no poison"), [0, 1, 2, 3, 4, 5]);
    manager.shutdown()
}

#[test]
fn after_a_timeout_the_lock_is_held_again() -> Result<()> {
    let manager = manager();
    let lock = LockProxy::new(&manager)?;
    let condition = ConditionProxy::on(&lock)?;
    thread::scope(|scope| -> Result<()> {
        let mut guard = condition.lock()?;
        let holder = scope.spawn(|| -> Result<Instant> {
            let guard = lock.lock()?;
            thread::sleep(Duration::from_millis(100));
            let until = Instant::now();
            drop(guard);
            Ok(until)
        });
        eventually_says(&lock, "<Lock: locked, 1 waiting>");
        assert!(!condition.wait_timeout(&mut guard, Duration::from_millis(10))?);
        let back = Instant::now();
        assert!(back >= holder.join().expect("no panic")?, "somebody else had the lock");
        assert_eq!(condition.to_string(), "<Condition: 0 waiting; its lock: locked, 0 waiting>");
        assert!(lock.is_locked()?);
        let impatient = condition.with_timeout(Duration::from_millis(10));
        let timed_out = impatient.wait(&mut guard);
        assert!(matches!(timed_out, Err(CallError::System(Error::Timeout { .. }))), "{timed_out:?}");
        guard.unlock().map_err(Error::from)
    })?;
    manager.shutdown()
}

#[test]
fn a_wait_gives_up_all_levels_of_a_reentrant_lock_and_takes_all_again() -> Result<()> {
    let manager = manager();
    let lock = RLockProxy::new(&manager)?;
    let condition = ConditionProxy::on(&lock)?;
    thread::scope(|scope| -> Result<()> {
        let outer = lock.lock()?;
        let middle = condition.lock()?;
        let mut inner = lock.lock()?;
        assert!(!condition.wait_timeout(&mut inner, Duration::from_millis(5))?);
        assert_eq!(lock.to_string(), "<RLock: locked 3 times, 0 waiting>", "after a timeout");
        let other = scope.spawn(|| -> Result<usize> {
            let _guard = lock.lock()?;
            Ok(condition.notify(1)?)
        });
        eventually_says(&lock, "<RLock: locked 3 times, 1 waiting>");
        condition.wait(&mut inner)?;
        assert_eq!(other.join().expect("no panic")?, 1);
        assert_eq!(lock.to_string(), "<RLock: locked 3 times, 0 waiting>", "after a notification");
        outer.unlock()?;
        middle.unlock()?;
        inner.unlock()?;
        assert!(!lock.is_locked()?);
        Ok(())
    })?;
    manager.shutdown()
}

#[test]
fn waiting_for_a_predicate() -> Result<()> {
    let manager = manager();
    let (condition, number) = (ConditionProxy::new(&manager)?, CounterProxy::new(&manager, 0)?);
    let child = fork(|| {
        for _ in 0..3 {
            let _guard = condition.lock().expect("the lock");
            number.add(1).expect("a sum");
            condition.notify_all().expect("it is ours");
        }
        0
    });
    let mut guard = condition.lock()?;
    condition.wait_while(&mut guard, || Ok(number.get()? < 3))?;
    assert!(condition.wait_timeout_while(&mut guard, Duration::ZERO, || Ok(number.get()? < 3))?);
    assert!(!condition.wait_timeout_while(&mut guard, Duration::from_millis(10), || Ok(number.get()? < 4))?);
    drop(guard);
    assert_eq!(wait(child), 0);
    manager.shutdown()
}

/// The first waiter is stopped when it is notified, and killed: neither its notification nor the lock ever arrived.
#[test]
fn a_notification_that_reaches_a_killed_waiter_goes_to_the_next() -> Result<()> {
    let manager = manager();
    let (condition, woken) = (ConditionProxy::new(&manager)?, CounterProxy::new(&manager, 0)?);
    let first = waiter(&condition, &woken);
    eventually_says(&condition, "<Condition: 1 waiting; its lock: unlocked>");
    let second = waiter(&condition, &woken);
    eventually_says(&condition, "<Condition: 2 waiting; its lock: unlocked>");
    first.stop();
    let guard = condition.lock()?;
    assert_eq!(condition.notify(1)?, 1);
    drop(guard);
    eventually_says(&condition, "<Condition: 1 waiting; its lock: locked, 0 waiting>");
    first.kill();
    assert_eq!(wait(second), 0, "the lock was not abandoned");
    assert_eq!(woken.get()?, 1);
    manager.shutdown()
}

#[test]
fn a_killed_waiter_leaves_both_lines() -> Result<()> {
    let manager = manager();
    let (condition, woken) = (ConditionProxy::new(&manager)?, CounterProxy::new(&manager, 0)?);
    let (first, second) = (waiter(&condition, &woken), waiter(&condition, &woken));
    eventually_says(&condition, "<Condition: 2 waiting; its lock: unlocked>");
    first.kill();
    eventually_says(&condition, "<Condition: 1 waiting; its lock: unlocked>");
    let guard = condition.lock()?;
    condition.notify(1)?;
    assert_eq!(condition.to_string(), "<Condition: 0 waiting; its lock: locked, 1 waiting>");
    second.kill();
    eventually_says(&condition, "<Condition: 0 waiting; its lock: locked, 0 waiting>");
    drop(guard);
    assert!(!condition.lock()?.was_abandoned());
    manager.shutdown()
}

/// The one who was notified gives up while he still waits for the lock.
#[test]
fn a_notification_that_reaches_one_whose_time_is_over_goes_to_the_next() -> Result<()> {
    let manager = manager();
    common::patiently("the first waits when he is notified", |time| {
        is_passed_on(&manager, time).expect("the server is there")
    });
    manager.shutdown()
}

/// False where the first one's time was over before he could be notified.
fn is_passed_on(manager: &SyncManager, time: Duration) -> Result<bool> {
    let condition = ConditionProxy::new(manager)?;
    thread::scope(|scope| -> Result<bool> {
        let first = scope.spawn(|| -> Result<bool> {
            let mut guard = condition.lock()?;
            Ok(condition.wait_timeout(&mut guard, time)?)
        });
        eventually("the first waits, or did", || {
            condition.to_string() == "<Condition: 1 waiting; its lock: unlocked>" || first.is_finished()
        });
        let second = scope.spawn(|| -> Result<()> {
            let mut guard = condition.lock()?;
            assert!(condition.wait_timeout(&mut guard, common::LIMIT)?, "the notification was lost");
            Ok(())
        });
        eventually("both wait, or the first is gone", || {
            let text = condition.to_string();
            text.starts_with("<Condition: 2") || (text.starts_with("<Condition: 1") && first.is_finished())
        });
        let guard = condition.lock()?;
        let in_time = !first.is_finished();
        condition.notify(1)?;
        if !in_time {
            drop(guard);
            second.join().expect("no panic")?;
            return Ok(false);
        }
        // The first one's time ends, and he takes the lock as everybody does; the second one has his notification.
        eventually_says(&condition, "<Condition: 0 waiting; its lock: locked, 2 waiting>");
        drop(guard);
        assert!(!first.join().expect("no panic")?);
        second.join().expect("no panic").map(|()| true)
    })
}

#[test]
fn tokens_are_handed_out_while_consumers_are_killed() -> Result<()> {
    const TOKENS: i64 = 150;
    let manager = manager();
    let (condition, tokens, taken) =
        (ConditionProxy::new(&manager)?, CounterProxy::new(&manager, 0)?, CounterProxy::new(&manager, 0)?);
    let consumer = || {
        fork(|| {
            loop {
                let mut guard = condition.lock().expect("the lock");
                condition.wait_while(&mut guard, || Ok(tokens.get()? == 0)).expect("a notification");
                if tokens.add(-1).expect("a sum") < 0 {
                    return 1;
                }
                taken.add(1).expect("a sum");
            }
        })
    };
    let mut consumers: Vec<Child> = (0..8).map(|_| consumer()).collect();
    for token in 0..TOKENS {
        let guard = condition.lock()?;
        tokens.add(1)?;
        // One who was killed with the lock and a token in view has had his notification.
        if guard.was_abandoned() {
            condition.notify_all()?
        } else {
            condition.notify(1)?
        };
        drop(guard);
        if token % 5 == 0 {
            consumers.remove((token * 31 % 8) as usize).kill();
            consumers.push(consumer());
        }
    }
    // From here on nobody is killed; a last one may have been, with its lock.
    {
        let _guard = condition.lock()?;
        condition.notify_all()?;
    }
    eventually("all tokens are taken", || tokens.get().expect("a number") == 0);
    let missing = TOKENS - taken.get()?;
    assert!((0..=TOKENS / 5).contains(&missing), "{missing} were taken by nobody");
    assert!(consumers.iter_mut().all(Child::is_running));
    drop(consumers);
    manager.shutdown()
}

/// Waits in the server.
pub struct Bell {
    condition: ConditionProxy,
}

#[multiproc::referent]
impl Bell {
    pub fn new(condition: ConditionProxy) -> Self {
        Self { condition }
    }

    pub fn listen(&self) -> Result<(), Error> {
        let mut guard = self.condition.lock()?;
        Ok(self.condition.wait(&mut guard)?)
    }
}

#[test]
fn a_method_in_the_server_waits_for_a_notification() -> Result<()> {
    let manager = SyncManager::builder().register::<Bell>().start()?;
    let condition = ConditionProxy::new(&manager)?;
    let bell = BellProxy::new(&manager, condition.clone())?;
    thread::scope(|scope| -> Result<()> {
        let listeners: Vec<_> = (0..3).map(|_| scope.spawn(|| bell.listen())).collect();
        eventually_says(&condition, "<Condition: 3 waiting; its lock: unlocked>");
        let guard = condition.lock()?;
        assert_eq!(condition.notify_all()?, 3);
        drop(guard);
        listeners.into_iter().for_each(|listener| listener.join().expect("no panic").expect("a notification"));
        Ok(())
    })?;
    manager.shutdown()
}
