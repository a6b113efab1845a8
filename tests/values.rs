//! Values and arrays: what Python's documentation says of them, the lock that a value has, and arithmetic in the server.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Child, eventually, fork, wait};
use multiproc::types::{ArrayProxy, CounterProxy, Number, SequenceError, ValueProxy};
use multiproc::{CallError, Error, Proxy, Result, SyncManager};
use proptest::prelude::*;

fn manager() -> SyncManager {
    SyncManager::start().expect("a manager")
}

fn method<T: std::fmt::Debug, E>(result: Result<T, CallError<E>>) -> E {
    result.expect_err("an error").into_method().unwrap_or_else(|error| panic!("the system's error: {error}"))
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
    assert!(!value.try_lock_for(Duration::from_secs(10))?.expect("free").was_abandoned());
    let mut guard = value.lock()?;
    *guard = 99;
    guard.discard()?;
    assert_eq!(value.get()?, 12);
    manager.shutdown()
}

#[test]
fn a_lock_whose_holder_panics_leaves_the_value() -> Result<()> {
    let manager = manager();
    let value = ValueProxy::<u32>::new(&manager, 1)?;
    let panicked = thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let mut guard = value.lock().expect("a lock");
            *guard = 7;
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        holder.join().is_err()
    });
    assert!(panicked);
    assert_eq!(*value.lock()?, 1);
    manager.shutdown()
}

#[test]
fn a_killed_holders_lock_goes_on_with_the_old_value() -> Result<()> {
    let manager = manager();
    let value = ValueProxy::<u32>::new(&manager, 1)?;
    let holds = CounterProxy::new(&manager, 0)?;
    let holder = {
        let (value, holds) = (value.clone(), holds.clone());
        fork(move || {
            let mut guard = value.lock().expect("a lock");
            *guard = 1000;
            holds.add(1).expect("a count");
            loop {
                thread::park();
            }
        })
    };
    eventually("the child has the lock", || holds.get().expect("a number") == 1);
    thread::scope(|scope| {
        // One that writes comes first; it does not take away what the next holder is told.
        let writes = scope.spawn(|| value.fetch_add(1));
        thread::sleep(Duration::from_millis(20));
        let next = scope.spawn(|| value.lock().map(|guard| (guard.was_abandoned(), *guard)));
        thread::sleep(Duration::from_millis(20));
        holder.kill();
        assert_eq!(writes.join().expect("no panic")?, 1);
        assert_eq!(next.join().expect("no panic")?, (true, 2));
        assert!(!value.lock()?.was_abandoned(), "told once");
        Ok::<_, Error>(())
    })?;
    manager.shutdown()
}

#[test]
fn a_forked_child_does_not_unlock_its_parents_guard() -> Result<()> {
    let manager = manager();
    let value = ValueProxy::<u32>::new(&manager, 1)?;
    let mut guard = value.lock()?;
    *guard = 2;
    let mut guard = Some(guard);
    let hasty = value.with_timeout(Duration::from_millis(50));
    // The closure borrows it: the child's copy is dropped, and the parent's lives on.
    let child = fork(|| {
        drop(guard.take());
        i32::from(hasty.set(5).is_ok())
    });
    assert_eq!(wait(child), 0);
    drop(guard);
    assert_eq!(value.get()?, 2);
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

fn travels<T: Number + std::fmt::Debug + Default>(manager: &SyncManager, numbers: &[T], text: &str) -> Result<()> {
    let array = ArrayProxy::<T>::new(manager, numbers)?;
    assert_eq!(array.to_vec()?, numbers);
    assert_eq!(array.to_string(), text);
    assert_eq!(array.get(-1)?, numbers.last().copied());
    array.fill(T::default())?;
    assert_eq!(array.to_vec()?, vec![T::default(); numbers.len()]);
    array.set_slice(.., numbers)?;
    assert_eq!(array.to_value::<Vec<T>>()?, numbers);
    Ok(())
}

#[test]
fn arrays_are_of_every_kind_of_number() -> Result<()> {
    let manager = manager();
    travels::<u8>(&manager, &[0, 255], "array('B', [0, 255])")?;
    travels::<i8>(&manager, &[-128, 127], "array('b', [-128, 127])")?;
    travels::<u16>(&manager, &[65535], "array('H', [65535])")?;
    travels::<i16>(&manager, &[-1], "array('h', [-1])")?;
    travels::<u32>(&manager, &[1, 2], "array('I', [1, 2])")?;
    travels::<i32>(&manager, &[-1, 2], "array('i', [-1, 2])")?;
    travels::<u64>(&manager, &[u64::MAX], "array('Q', [18446744073709551615])")?;
    travels::<usize>(&manager, &[7], "array('Q', [7])")?;
    travels::<i64>(&manager, &[i64::MIN], "array('q', [-9223372036854775808])")?;
    travels::<isize>(&manager, &[-7], "array('q', [-7])")?;
    travels::<f32>(&manager, &[0.5, -1.0], "array('f', [0.5, -1.0])")?;
    travels::<f64>(&manager, &[], "array('d')")?;
    manager.shutdown()
}

#[test]
fn an_arrays_length_stays() -> Result<()> {
    let manager = manager();
    let array = ArrayProxy::<i32>::from_iter(&manager, 0..5)?;
    assert_eq!(method(array.set(5, 1)), SequenceError::OutOfRange { index: 5, length: 5 });
    assert_eq!(method(array.set_slice(1..3, &[1])), SequenceError::SliceLength { given: 1, places: 2 });
    assert_eq!(method(array.update(-6, |n| n)), SequenceError::OutOfRange { index: -6, length: 5 });
    assert_eq!(array.get(5)?, None);
    assert_eq!(array.slice((4, 0, -2))?, [4, 2]);
    array.set_slice((0, 5, 2), &[10, 20, 30])?;
    assert_eq!(array.to_vec()?, [10, 1, 20, 3, 30]);
    assert_eq!((array.fetch_add(0, -5)?, array.fetch_or(1, 6)?, array.get(1)?), (10, 1, Some(7)));
    assert_eq!(array.compare_exchange(0, 5, 6)?, Ok(5));
    assert_eq!(array.compare_exchange(0, 5, 6)?, Err(6));
    assert_eq!((array.len()?, array.is_empty()?), (5, false));
    // Another kind of numbers is read, where they fit.
    array.base().call_method::<()>("set_slice", ((None::<i64>, Some(2), None::<i64>), vec![1_u8, 2]))?;
    assert_eq!(array.slice(..2)?, [1, 2]);
    let misfit = array.base().call_method::<()>("set_slice", ((None::<i64>, Some(1), None::<i64>), vec![1.5]));
    assert!(matches!(misfit, Err(Error::Unserializable { .. })), "{misfit:?}");
    manager.shutdown()
}

#[test]
fn counts_of_many_processes_add_up() -> Result<()> {
    let manager = manager();
    let array = ArrayProxy::<u64>::zeroed(&manager, 3)?;
    let children: Vec<Child> = (0..8)
        .map(|_| {
            let array = array.clone();
            fork(move || {
                for _ in 0..50 {
                    array.fetch_add(0, 1).expect("a sum");
                    array.update(1, |n| n + 1).expect("an update");
                }
                0
            })
        })
        .collect();
    assert!(children.into_iter().map(wait).all(|code| code == 0));
    assert_eq!(array.to_vec()?, [400, 400, 0]);
    manager.shutdown()
}

#[derive(Debug, Clone)]
enum Step {
    Set(isize, i16),
    Slice(isize, isize, isize),
    SetSlice(isize, isize, Vec<i16>),
    Fill(i16),
    Add(isize, i16),
    Update(isize),
}

#[test]
fn an_array_is_a_vec_that_does_not_grow() {
    let manager = manager();
    let (index, number) = (-7..7_isize, any::<i16>());
    let step = prop_oneof![
        (index.clone(), number).prop_map(|(index, number)| Step::Set(index, number)),
        (index.clone(), index.clone(), prop_oneof![1..3_isize, -3..-1_isize])
            .prop_map(|(a, b, step)| Step::Slice(a, b, step)),
        (index.clone(), index.clone(), proptest::collection::vec(number, 0..4))
            .prop_map(|(a, b, all)| Step::SetSlice(a, b, all)),
        number.prop_map(Step::Fill),
        (index.clone(), number).prop_map(|(index, number)| Step::Add(index, number)),
        index.prop_map(Step::Update),
    ];
    let steps = (proptest::collection::vec(number, 0..6), proptest::collection::vec(step, 1..25));
    proptest!(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() }, |((start, steps) in steps)| {
        let array = ArrayProxy::<i16>::new(&manager, &start).expect("an array");
        let mut model = start;
        for step in steps {
            run(&array, &mut model, &step).expect("a step");
            prop_assert_eq!(&array.to_vec().expect("numbers"), &model, "after {:?}", step);
        }
    });
    manager.shutdown().expect("an end");
}

fn run(array: &ArrayProxy<i16>, model: &mut [i16], step: &Step) -> Result<()> {
    let length = model.len() as isize;
    let at = |index: isize| {
        let place = if index < 0 { index + length } else { index };
        (0..length).contains(&place).then_some(place as usize)
    };
    match step {
        Step::Set(index, number) => match at(*index) {
            Some(place) => assert_eq!(array.set(*index, *number)?, std::mem::replace(&mut model[place], *number)),
            None => assert!(array.set(*index, *number).is_err()),
        },
        Step::Slice(start, stop_given, step) => {
            let (low, high) = if *step > 0 { (0, length) } else { (-1, length - 1) };
            let bound = |index: isize| (if index < 0 { index + length } else { index }).clamp(low, high);
            let (mut place, stop) = (bound(*start), bound(*stop_given));
            let mut expected = Vec::new();
            while if *step > 0 { place < stop } else { place > stop } {
                expected.push(model[place as usize]);
                place += step;
            }
            let found = array.slice((*start, *stop_given, *step))?;
            assert_eq!(found, expected);
        }
        Step::SetSlice(start, stop, numbers) => {
            let bound = |index: isize| (if index < 0 { index + length } else { index }).clamp(0, length) as usize;
            let range = bound(*start)..bound(*stop).max(bound(*start));
            let done = array.set_slice((*start, *stop), numbers);
            if range.len() == numbers.len() {
                done?;
                model[range].copy_from_slice(numbers);
            } else {
                assert!(done.is_err());
            }
        }
        Step::Fill(number) => {
            array.fill(*number)?;
            model.fill(*number);
        }
        Step::Add(index, number) => match at(*index) {
            Some(place) => {
                assert_eq!(array.fetch_add(*index, *number)?, model[place]);
                model[place] = model[place].wrapping_add(*number);
            }
            None => assert!(array.fetch_add(*index, *number).is_err()),
        },
        Step::Update(index) => match at(*index) {
            Some(place) => {
                model[place] = model[place].wrapping_mul(3);
                assert_eq!(array.update(*index, |number| number.wrapping_mul(3))?, model[place]);
            }
            None => assert!(array.update(*index, |number| number).is_err()),
        },
    }
    Ok(())
}
