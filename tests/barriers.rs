//! Barriers: what Python's documentation says of them; and that nobody waits for the dead.

mod common;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use common::{Child, LIMIT, eventually, fork, wait};
use multiproc::types::{BarrierProxy, BrokenBarrierError, CounterProxy};
use multiproc::{CallError, Error, Proxy, Result, SyncManager};

fn manager() -> SyncManager {
    SyncManager::start().expect("a manager")
}

fn eventually_says(barrier: &BarrierProxy, text: &str) {
    eventually(text, || barrier.text().expect("a text") == text);
}

fn is_broken<T>(result: &Result<T, CallError<BrokenBarrierError>>) -> bool {
    matches!(result, Err(CallError::Method(BrokenBarrierError)))
}

/// A child that waits, and ends with 0 when the barrier broke.
fn party(barrier: &BarrierProxy) -> Child {
    fork(|| i32::from(!is_broken(&barrier.wait())))
}

#[test]
fn all_are_let_through_together_each_with_a_number_of_its_own() -> Result<()> {
    const PARTIES: usize = 5;
    let manager = manager();
    let barrier = BarrierProxy::new(&manager, PARTIES)?;
    assert_eq!((barrier.parties()?, barrier.n_waiting()?, barrier.is_broken()?), (PARTIES, 0, false));
    for _ in 0..3 {
        let numbers = Mutex::new(BTreeSet::new());
        thread::scope(|scope| -> Result<()> {
            for _ in 1..PARTIES {
                scope.spawn(|| {
                    let number = barrier.wait().expect("it is whole");
                    numbers.lock().expect("no poison").insert(number);
                });
            }
            eventually("the others wait", || barrier.n_waiting().expect("a number") == PARTIES - 1);
            assert_eq!(barrier.to_string(), "<Barrier: 4 of 5 waiting>");
            assert!(numbers.lock().expect("no poison").is_empty());
            let last = barrier.wait()?;
            assert_eq!(last, PARTIES - 1);
            numbers.lock().expect("no poison").insert(last);
            Ok(())
        })?;
        assert_eq!(numbers.into_inner().expect("no poison"), (0..PARTIES).collect());
    }
    assert!(matches!(BarrierProxy::new(&manager, 0), Err(Error::Arguments { .. })));
    manager.shutdown()
}

#[test]
fn eight_processes_keep_step() -> Result<()> {
    const ROUNDS: i64 = 30;
    let manager = manager();
    let (barrier, sum) = (BarrierProxy::new(&manager, 8)?, CounterProxy::new(&manager, 0)?);
    let worker = || {
        let member = barrier.join().expect("a member");
        for round in 1..=ROUNDS {
            sum.add(1).expect("a sum");
            member.wait().expect("whole");
            let all_of_this_round = sum.get().expect("a number");
            if all_of_this_round != 8 * round {
                return 1;
            }
            member.wait().expect("whole");
        }
        0
    };
    let workers: Vec<Child> = (0..8).map(|_| fork(worker)).collect();
    assert!(workers.into_iter().map(wait).all(|code| code == 0));
    assert!(!barrier.is_broken()?, "they left in good order");
    manager.shutdown()
}

#[test]
fn more_than_enough_wait_for_the_next_round() -> Result<()> {
    let manager = manager();
    let barrier = BarrierProxy::new(&manager, 3)?;
    let numbers = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| {
                let number = barrier.wait().expect("it is whole");
                numbers.lock().expect("no poison").push(number);
            });
        }
    });
    let mut numbers = numbers.into_inner().expect("no poison");
    numbers.sort_unstable();
    assert_eq!(numbers, [[0; 10], [1; 10], [2; 10]].concat());
    manager.shutdown()
}

#[test]
fn one_party_runs_the_action_before_any_goes_on() -> Result<()> {
    let manager = manager();
    let barrier = BarrierProxy::new(&manager, 4)?;
    let (ran, went_on) = (CounterProxy::new(&manager, 0)?, CounterProxy::new(&manager, 0)?);
    let action = || {
        assert_eq!((ran.add(1).expect("a sum") - 1) * 4, went_on.get().expect("a number"));
        thread::sleep(Duration::from_millis(5));
        assert_eq!((ran.get().expect("a number") - 1) * 4, went_on.get().expect("a number"));
    };
    let both = BarrierProxy::new(&manager, 4)?;
    let worker = || {
        for _ in 0..5 {
            barrier.wait_with(action).expect("whole");
            went_on.add(1).expect("a sum");
            both.wait().expect("whole");
        }
        0
    };
    let workers: Vec<Child> = (0..4).map(|_| fork(worker)).collect();
    assert!(workers.into_iter().map(wait).all(|code| code == 0));
    assert_eq!((ran.get()?, went_on.get()?), (5, 20));
    manager.shutdown()
}

#[test]
fn an_action_that_panics_breaks_the_barrier() -> Result<()> {
    let manager = manager();
    let barrier = BarrierProxy::new(&manager, 2)?;
    let waiting = party(&barrier);
    eventually_says(&barrier, "<Barrier: 1 of 2 waiting>");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        barrier.wait_with(|| std::panic::resume_unwind(Box::new("the action"))).map(drop)
    }));
    assert!(panicked.is_err());
    assert_eq!(wait(waiting), 0);
    assert!(barrier.is_broken()?);
    manager.shutdown()
}

#[test]
fn a_party_that_is_killed_while_it_waits_or_acts_breaks_the_barrier() -> Result<()> {
    let manager = manager();
    let barrier = BarrierProxy::new(&manager, 3)?;
    let (first, second) = (party(&barrier), party(&barrier));
    eventually_says(&barrier, "<Barrier: 2 of 3 waiting>");
    first.kill();
    assert_eq!(wait(second), 0, "it need not wait for the dead");
    assert!(barrier.is_broken()? && is_broken(&barrier.wait()));
    assert_eq!(barrier.to_string(), "<Barrier: broken>");

    barrier.reset()?;
    assert!(!barrier.is_broken()?);
    let waiting = [party(&barrier), party(&barrier)];
    eventually_says(&barrier, "<Barrier: 2 of 3 waiting>");
    let acts = CounterProxy::new(&manager, 0)?;
    let actor = fork(|| {
        let _ = barrier.wait_with(|| {
            acts.add(1).expect("a sum");
            thread::sleep(LIMIT);
        });
        1
    });
    eventually("the action runs", || acts.get().expect("a number") == 1);
    assert_eq!(barrier.n_waiting()?, 3);
    actor.kill();
    assert_eq!(waiting.map(wait), [0, 0]);
    manager.shutdown()
}

#[test]
fn a_member_that_is_killed_between_waits_breaks_the_barrier() -> Result<()> {
    let manager = manager();
    let (barrier, joined) = (BarrierProxy::new(&manager, 2)?, CounterProxy::new(&manager, 0)?);
    let sleeper = |leaves: bool| {
        fork(|| {
            let member = barrier.join().expect("a member");
            let member = (!leaves).then_some(member);
            joined.add(1).expect("a sum");
            thread::sleep(LIMIT);
            drop(member);
            1
        })
    };
    let member = sleeper(false);
    eventually("it has joined", || joined.get().expect("a number") == 1);
    let waiting = party(&barrier);
    eventually_says(&barrier, "<Barrier: 1 of 2 waiting>");
    member.kill();
    assert_eq!(wait(waiting), 0);

    barrier.reset()?;
    let left = sleeper(true);
    eventually("it has joined, and left", || joined.get().expect("a number") == 2);
    left.kill();
    let waiting = fork(|| i32::from(barrier.wait().is_err()));
    barrier.wait()?;
    assert_eq!(wait(waiting), 0, "nobody counted on it");
    manager.shutdown()
}

#[test]
fn a_wait_that_takes_too_long_breaks_the_barrier_for_all() -> Result<()> {
    let manager = manager();
    let barrier = BarrierProxy::new(&manager, 3)?;
    let waiting = party(&barrier);
    eventually_says(&barrier, "<Barrier: 1 of 3 waiting>");
    assert!(is_broken(&barrier.wait_timeout(Duration::from_millis(10))));
    assert_eq!(wait(waiting), 0);
    assert!(is_broken(&barrier.wait()), "until it is reset");
    barrier.reset()?;
    assert!(is_broken(&barrier.with_timeout(Duration::from_millis(10)).wait()));

    // Also while the action runs: it comes too late.
    barrier.reset()?;
    let pair = BarrierProxy::new(&manager, 2)?;
    common::patiently("the action runs in time", |time| {
        pair.reset().expect("an answer");
        let impatient = fork(|| i32::from(!is_broken(&pair.wait_timeout(time))));
        eventually("it waits, or did", || {
            pair.n_waiting().expect("a number") == 1 || pair.is_broken().expect("an answer")
        });
        let mut ran = false;
        let broken = is_broken(&pair.wait_with(|| {
            ran = true;
            eventually("it is broken", || pair.is_broken().expect("an answer"));
        }));
        assert!(broken);
        assert_eq!(wait(impatient), 0);
        ran
    });
    manager.shutdown()
}

#[test]
fn abort_and_reset_send_those_who_wait_away() -> Result<()> {
    let manager = manager();
    let barrier = BarrierProxy::new(&manager, 3)?;
    let waiting = [party(&barrier), party(&barrier)];
    eventually_says(&barrier, "<Barrier: 2 of 3 waiting>");
    barrier.abort()?;
    assert_eq!(waiting.map(wait), [0, 0]);
    assert!(barrier.is_broken()?);
    barrier.reset()?;
    let waiting = [party(&barrier), party(&barrier)];
    eventually_says(&barrier, "<Barrier: 2 of 3 waiting>");
    barrier.reset()?;
    assert_eq!(waiting.map(wait), [0, 0]);
    assert!(!barrier.is_broken()?);
    assert_eq!(barrier.n_waiting()?, 0);
    manager.shutdown()
}

/// The release is on its way to a party that is stopped, and then killed: the next round must not wait for it.
#[test]
fn a_party_that_never_hears_of_its_release_breaks_the_barrier() -> Result<()> {
    let manager = manager();
    let barrier = BarrierProxy::new(&manager, 2)?;
    let stopped = party(&barrier);
    eventually_says(&barrier, "<Barrier: 1 of 2 waiting>");
    stopped.stop();
    barrier.wait()?;
    let waiting = party(&barrier);
    eventually_says(&barrier, "<Barrier: 1 of 2 waiting>");
    stopped.kill();
    assert_eq!(wait(waiting), 0);
    manager.shutdown()
}

#[test]
fn whoever_is_left_is_never_stuck_while_members_are_killed() -> Result<()> {
    const KILLS: u32 = 25;
    let manager = manager();
    let (barrier, rounds) = (BarrierProxy::new(&manager, 6)?, CounterProxy::new(&manager, 0)?);
    let worker = || {
        fork(|| {
            let member = barrier.join().expect("a member");
            loop {
                match member.wait_with(|| drop(rounds.add(1))) {
                    Ok(_) | Err(CallError::Method(BrokenBarrierError)) => {}
                    Err(CallError::System(error)) => panic!("{error}"),
                }
            }
        })
    };
    let mut workers: Vec<Child> = (0..6).map(|_| worker()).collect();
    // One that is killed before it has joined is missed by nobody.
    eventually("they keep step", || rounds.get().expect("a number") > 0);
    for kill in 0..KILLS {
        thread::sleep(Duration::from_micros(u64::from(kill * 7919 % 9000)));
        workers.remove((kill * 31 % 6) as usize).kill();
        eventually("it is broken", || barrier.is_broken().expect("an answer"));
        workers.push(worker());
        let before = rounds.get()?;
        barrier.reset()?;
        // One action may have been under way when the barrier broke, and counts late: only the second needs all six, the newcomer among them.
        eventually("they keep step again", || rounds.get().expect("a number") > before + 1);
    }
    drop(workers);
    manager.shutdown()
}
