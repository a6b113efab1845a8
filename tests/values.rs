//! Values: what Python's documentation says of them, the lock that a value has, and arithmetic in the server.

mod common;
#[path = "common/lockable.rs"]
mod lockable;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Child, fork, wait};
use multiproc::types::ValueProxy;
use multiproc::{Error, Proxy, Result, SyncManager};
use proptest::prelude::*;

fn manager() -> SyncManager {
    SyncManager::start().expect("a manager")
}

/// What an object's own lock does, in `common/lockable.rs`.
macro_rules! lockable {
    ($($scenario:ident)*) => {
        $(
            #[test]
            fn $scenario() -> Result<()> {
                lockable::$scenario::<ValueProxy<u32>>()
            }
        )*
    };
}

lockable! {
    a_lock_whose_holder_panics_leaves_it
    a_killed_holders_lock_goes_on
    who_comes_late_is_told_that_the_lock_was_abandoned
    a_forked_child_does_not_unlock_its_parents_guard
    a_leaked_guards_lock_goes_on_when_its_thread_ends
}

#[test]
fn a_value_is_set_and_read() -> Result<()> {
    let manager = manager();
    let value = ValueProxy::<Vec<String>>::new(&manager, vec!["a".to_owned()])?;
    value.set(vec!["b".to_owned()])?;
    assert_eq!(value.swap(vec![])?, ["b"]);
    assert_eq!(value.get()?, Vec::<String>::new());
    assert_eq!(
        value.update(|mut all| {
            all.push("c".into());
            all
        })?,
        ["c"]
    );
    assert_eq!(value.to_string(), "['c']");
    let option = ValueProxy::<Option<u8>>::new(&manager, None)?;
    assert_eq!(option.compare_exchange(Some(1), Some(2))?, Err(None));
    assert_eq!(option.compare_exchange(None, Some(2))?, Ok(None));
    assert_eq!(option.get()?, Some(2));
    manager.shutdown()
}

#[test]
fn numbers_are_computed_with_in_the_server() -> Result<()> {
    let manager = manager();
    let byte = ValueProxy::<u8>::new(&manager, 250)?;
    assert_eq!((byte.fetch_add(10)?, byte.get()?), (250, 4), "wraps around");
    assert_eq!((byte.fetch_sub(5)?, byte.fetch_max(9)?, byte.fetch_min(7)?, byte.get()?), (4, 255, 255, 7));
    assert_eq!((byte.fetch_or(8)?, byte.fetch_and(12)?, byte.fetch_xor(1)?, byte.get()?), (7, 15, 12, 13));
    let float = ValueProxy::<f64>::new(&manager, 1.5)?;
    assert_eq!((float.fetch_add(-2.0)?, float.fetch_max(f64::NAN)?, float.get()?), (1.5, -0.5, -0.5));
    let wrong = ValueProxy::<u8>::from_base(float.base().clone());
    assert!(matches!(wrong.fetch_add(1), Err(Error::Unserializable { .. })));
    assert_eq!(float.get()?, -0.5);
    manager.shutdown()
}

#[test]
fn who_writes_waits_for_the_lock() -> Result<()> {
    let manager = manager();
    let value = ValueProxy::<u32>::new(&manager, 1)?;
    let mut guard = value.lock()?;
    *guard += 1;
    let hasty = value.with_timeout(Duration::from_millis(20));
    for refused in
        [hasty.set(9), hasty.fetch_add(9).map(drop), hasty.swap(9).map(drop), hasty.update(|n| n + 9).map(drop)]
    {
        assert!(matches!(refused, Err(Error::Timeout { .. })), "{refused:?}");
    }
    assert!(value.try_lock_for(Duration::from_millis(20))?.is_none());
    assert_eq!(value.get()?, 1, "readers see what was there before");
    let came = AtomicBool::new(false);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let former = value.fetch_add(10);
            came.store(true, Ordering::Release);
            former
        });
        thread::sleep(Duration::from_millis(20));
        assert!(!came.load(Ordering::Acquire));
        guard.unlock()?;
        assert_eq!(waiting.join().expect("no panic")?, 2);
        Ok::<_, Error>(())
    })?;
    assert_eq!(value.get()?, 12);
    assert!(!value.try_lock_for(common::LIMIT)?.expect("free").was_abandoned());
    let mut guard = value.lock()?;
    *guard = 99;
    guard.discard()?;
    assert_eq!(value.get()?, 12);
    manager.shutdown()
}

#[test]
fn locks_of_many_processes_exclude_each_other() -> Result<()> {
    let manager = manager();
    let value = ValueProxy::<(u32, u32)>::new(&manager, (0, 0))?;
    let children: Vec<Child> = (0..8)
        .map(|_| {
            let value = value.clone();
            fork(move || {
                for turn in 0..40 {
                    if turn % 4 == 0 {
                        value.update(|(a, b)| (a + 1, b + 1)).expect("an update");
                        continue;
                    }
                    let mut guard = value.lock().expect("a lock");
                    assert_eq!(guard.0, guard.1);
                    guard.0 += 1;
                    guard.1 += 1;
                }
                0
            })
        })
        .collect();
    assert!(children.into_iter().map(wait).all(|code| code == 0));
    assert_eq!(value.get()?, (320, 320));
    manager.shutdown()
}

/// What a process has in memory, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Those who wait for the lock, and writes that do.
#[test]
fn forty_thousand_timeouts_leave_nothing_behind() -> Result<()> {
    const AT_ONCE: usize = 1000;
    let manager = manager();
    let value = ValueProxy::<u32>::new(&manager, 1)?;
    let guard = value.lock()?;
    let time_out = |times: usize| {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..times / 80 {
                        assert!(value.try_lock_for(Duration::from_millis(1)).expect("an answer").is_none());
                    }
                });
            }
            let twin = value.with_timeout(Duration::from_millis(1)).defer();
            for _ in 0..times / AT_ONCE {
                let waiting: Vec<_> = (0..AT_ONCE).map(|_| twin.set(9)).collect();
                for set in waiting {
                    assert!(matches!(set.wait(), Err(Error::Timeout { .. })));
                }
            }
        });
    };
    let server = manager.pid().expect("a server of ours");
    time_out(5 * AT_ONCE);
    let before = resident(server);
    time_out(40 * AT_ONCE);
    let after = resident(server);
    // A third of what the writes alone would take, had they stayed.
    assert!(after < before + 2048, "{before} KiB before, {after} KiB after");
    guard.unlock()?;
    assert_eq!(value.swap(3)?, 1, "none of the writes was done");
    assert_eq!(*value.lock()?, 3);
    manager.shutdown()
}

#[derive(Debug, Clone)]
enum Use {
    Set(i16),
    Swap(i16),
    Exchange(i16, i16),
    Add(i16),
    Sub(i16),
    Max(i16),
    Min(i16),
    And(i16),
    Or(i16),
    Xor(i16),
    Update(i16),
    Lock(i16, bool),
}

fn use_value(value: &ValueProxy<i16>, model: &mut i16, step: &Use) -> Result<()> {
    let former = *model;
    let answered = match *step {
        Use::Set(n) => {
            *model = n;
            value.set(n)?;
            former
        }
        Use::Swap(n) => {
            *model = n;
            value.swap(n)?
        }
        Use::Exchange(expected, new) => {
            let exchanged = value.compare_exchange(expected, new)?;
            assert_eq!(exchanged.is_ok(), former == expected);
            if former == expected {
                *model = new;
            }
            exchanged.unwrap_or_else(|there| there)
        }
        Use::Add(n) => {
            *model = former.wrapping_add(n);
            value.fetch_add(n)?
        }
        Use::Sub(n) => {
            *model = former.wrapping_sub(n);
            value.fetch_sub(n)?
        }
        Use::Max(n) => {
            *model = former.max(n);
            value.fetch_max(n)?
        }
        Use::Min(n) => {
            *model = former.min(n);
            value.fetch_min(n)?
        }
        Use::And(n) => {
            *model = former & n;
            value.fetch_and(n)?
        }
        Use::Or(n) => {
            *model = former | n;
            value.fetch_or(n)?
        }
        Use::Xor(n) => {
            *model = former ^ n;
            value.fetch_xor(n)?
        }
        Use::Update(n) => {
            *model = former.wrapping_mul(3) ^ n;
            assert_eq!(value.update(|number| number.wrapping_mul(3) ^ n)?, *model);
            former
        }
        Use::Lock(n, commits) => {
            let mut guard = value.lock()?;
            assert!(!guard.was_abandoned());
            let found = std::mem::replace(&mut *guard, n);
            if commits {
                *model = n;
                guard.unlock()?;
            } else {
                guard.discard()?;
            }
            found
        }
    };
    assert_eq!(answered, former);
    Ok(())
}

#[test]
fn a_value_is_what_a_variable_is() {
    let manager = manager();
    // Few enough for exchanges to succeed, and the ends of the range.
    let number = || prop_oneof![-2..3_i16, any::<i16>()];
    let step = prop_oneof![
        number().prop_map(Use::Set),
        number().prop_map(Use::Swap),
        (-2..3_i16, number()).prop_map(|(expected, new)| Use::Exchange(expected, new)),
        number().prop_map(Use::Add),
        number().prop_map(Use::Sub),
        number().prop_map(Use::Max),
        number().prop_map(Use::Min),
        number().prop_map(Use::And),
        number().prop_map(Use::Or),
        number().prop_map(Use::Xor),
        number().prop_map(Use::Update),
        (number(), any::<bool>()).prop_map(|(n, commits)| Use::Lock(n, commits)),
    ];
    let steps = (number(), proptest::collection::vec(step, 1..40));
    proptest!(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() }, |((start, steps) in steps)| {
        let value = ValueProxy::<i16>::new(&manager, start).expect("a value");
        let mut model = start;
        for step in steps {
            use_value(&value, &mut model, &step).expect("a step");
            prop_assert_eq!(value.get().expect("a number"), model, "after {:?}", step);
        }
    });
    manager.shutdown().expect("an end");
}
