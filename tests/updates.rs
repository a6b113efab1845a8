//! Updates by a function of the client's: that they exclude each other, and that nobody waits for ever for one who is in the middle of one.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Child, eventually, fork, wait};
use multiproc::types::{CounterProxy, DictProxy};
use multiproc::{Result, SyncManager};

/// How often an update tries before it takes a turn.
const TRIES: u32 = 8;
/// How long a turn may take.
const LIMIT: Duration = Duration::from_secs(1);

/// Updates a key, runs `in_turn` in the first turn of its own, and adds 1. All tries before the turn are spoilt.
fn update_in_turn(dict: &DictProxy<String, u32>, key: &str, mut in_turn: impl FnMut()) -> Result<()> {
    let mut tries = 0;
    dict.update(key, |value| {
        tries += 1;
        if tries <= TRIES {
            // Writes what is there again: another version.
            let _ = dict.compare_exchange(key, value.as_ref(), Some(&value.unwrap_or(0))).expect("an exchange");
        } else if tries == TRIES + 1 {
            in_turn();
        }
        Some(value.unwrap_or(0) + 1)
    })?;
    Ok(())
}

/// By their limits alone, 40 turns would take 40 s.
#[test]
fn a_turn_ends_when_its_holder_is_killed() -> Result<()> {
    let manager = SyncManager::start()?;
    let dict = DictProxy::<String, u32>::new(&manager)?;
    let in_turn = CounterProxy::new(&manager, 0)?;
    // A busy machine holds up one round or the other, but not most.
    let mut quick = 0;
    for round in 1..=40 {
        let holder = {
            let (dict, in_turn) = (dict.clone(), in_turn.clone());
            fork(move || {
                let hold = || {
                    in_turn.add(1).expect("a count");
                    loop {
                        thread::park();
                    }
                };
                update_in_turn(&dict, "n", hold).expect("an update");
                0
            })
        };
        eventually("the child has the turn", || in_turn.get().expect("a number") == round);
        let next = {
            let dict = dict.clone();
            thread::spawn(move || update_in_turn(&dict, "n", || {}))
        };
        // In most rounds the other one waits for its turn by then; in others it comes when the turn has ended.
        thread::sleep(Duration::from_millis(10));
        holder.kill();
        let killed = Instant::now();
        next.join().expect("no panic")?;
        quick += u32::from(killed.elapsed() < LIMIT / 2);
        assert_eq!(dict.get("n")?, Some(u32::try_from(round).expect("few rounds")));
    }
    assert!(quick > 10, "turns of the dead have lapsed instead of ending: {quick} of 40 did not");
    manager.shutdown()
}

#[test]
fn a_turn_ends_when_it_takes_too_long() -> Result<()> {
    let manager = SyncManager::start()?;
    let dict = DictProxy::<String, u32>::new(&manager)?;
    let (holds, may_go) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let slow = scope.spawn(|| {
            update_in_turn(&dict, "n", || {
                holds.store(true, Ordering::Release);
                eventually("the other one has had its turn", || may_go.load(Ordering::Acquire));
            })
        });
        eventually("the slow one has the turn", || holds.load(Ordering::Acquire));
        // Waits behind it, and gets the turn though nobody lets go.
        update_in_turn(&dict, "n", || {})?;
        assert_eq!(dict.get("n")?, Some(1));
        may_go.store(true, Ordering::Release);
        slow.join().expect("no panic")
    })?;
    assert_eq!(dict.get("n")?, Some(2), "the late one has begun again");
    manager.shutdown()
}

/// By their limits alone, 60 turns would take 60 s.
#[test]
fn a_turn_ends_when_the_function_panics() -> Result<()> {
    let manager = SyncManager::start()?;
    let dict = DictProxy::<String, u32>::new(&manager)?;
    let mut quick = 0;
    for _ in 0..60 {
        let started = Instant::now();
        let panics = || update_in_turn(&dict, "n", || std::panic::resume_unwind(Box::new("on purpose")));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        quick += u32::from(started.elapsed() < LIMIT / 2);
    }
    update_in_turn(&dict, "n", || {})?;
    assert_eq!(dict.get("n")?, Some(1));
    assert!(quick > 15, "turns have lapsed instead of ending: {quick} of 60 did not");
    manager.shutdown()
}

#[test]
fn those_who_need_turns_have_them_in_order_and_lose_nothing() -> Result<()> {
    let manager = SyncManager::start()?;
    let dict = DictProxy::<String, u32>::new(&manager)?;
    let children: Vec<Child> = (0..8)
        .map(|_| {
            let dict = dict.clone();
            fork(move || {
                for _ in 0..20 {
                    update_in_turn(&dict, "n", || {}).expect("an update");
                }
                0
            })
        })
        .collect();
    assert!(children.into_iter().map(wait).all(|code| code == 0));
    assert_eq!(dict.get("n")?, Some(160));
    manager.shutdown()
}
