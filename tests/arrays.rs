//! Arrays: what Python's documentation says of them, their lock, and arithmetic in the server.

mod common;
#[path = "common/lockable.rs"]
mod lockable;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Child, eventually, fork, wait};
use lockable::system;
use multiproc::types::{ArrayGuard, ArrayProxy, Number, SequenceError};
use multiproc::{CallError, Deferred, Error, Proxy, Result, SyncManager};
use proptest::prelude::*;

/// How often an update tries before it takes a turn.
const TRIES: u32 = 8;

/// What one who gets a turn is told: its name, whether the lock was abandoned, and what is there, with its version.
type Told<T> = (u64, bool, Option<((u64, T),)>);

fn manager() -> SyncManager {
    SyncManager::start().expect("a manager")
}

fn method<T: std::fmt::Debug, E>(result: Result<T, CallError<E>>) -> E {
    result.expect_err("an error").into_method().unwrap_or_else(|error| panic!("the system's error: {error}"))
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

/// What an object's own lock does, in `common/lockable.rs`.
macro_rules! lockable {
    ($($scenario:ident)*) => {
        $(
            #[test]
            fn $scenario() -> Result<()> {
                lockable::$scenario::<ArrayProxy<u32>>()
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

#[test]
fn who_writes_waits_for_the_lock() -> Result<()> {
    let manager = manager();
    let array = ArrayProxy::<i32>::from_iter(&manager, 0..4)?;
    let mut guard = array.lock()?;
    guard.reverse();
    let hasty = array.with_timeout(Duration::from_millis(20));
    let refused = [
        hasty.fill(9),
        hasty.set(0, 9).map(drop).map_err(system),
        hasty.set_slice(..1, &[9]).map_err(system),
        hasty.fetch_add(0, 9).map(drop).map_err(system),
        hasty.fetch_xor(0, 9).map(drop).map_err(system),
        hasty.compare_exchange(0, 0, 9).map(drop).map_err(system),
        hasty.update(0, |n| n + 9).map(drop).map_err(system),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(Error::Timeout { .. })), "{refused:?}");
    }
    assert!(array.try_lock_for(Duration::from_millis(20))?.is_none());
    assert_eq!((array.to_vec()?, array.get(0)?), (vec![0, 1, 2, 3], Some(0)), "readers see what was there before");
    // What is wrong is said at once.
    assert_eq!(method(hasty.set(4, 1)), SequenceError::OutOfRange { index: 4, length: 4 });
    assert_eq!(method(hasty.set_slice(.., &[1])), SequenceError::SliceLength { given: 1, places: 4 });
    let came = AtomicBool::new(false);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let former = array.fetch_add(0, 10);
            came.store(true, Ordering::Release);
            former
        });
        thread::sleep(Duration::from_millis(20));
        assert!(!came.load(Ordering::Acquire));
        guard.unlock()?;
        assert_eq!(waiting.join().expect("no panic").map_err(system)?, 3);
        Ok::<_, Error>(())
    })?;
    assert_eq!(array.to_vec()?, [13, 2, 1, 0]);
    let mut guard = array.try_lock_for(Duration::from_secs(10))?.expect("free");
    assert!(!guard.was_abandoned());
    guard.fill(99);
    guard.discard()?;
    assert_eq!(array.to_vec()?, [13, 2, 1, 0]);
    array.lock()?.sort_unstable();
    assert_eq!(array.to_vec()?, [0, 1, 2, 13], "dropping a guard commits");
    manager.shutdown()
}

/// The places of one array, and its whole, have one line: a lock gets its turn though updates go on.
#[test]
fn a_lock_waits_for_the_turns_before_it_and_those_behind_wait_for_it() -> Result<()> {
    let manager = manager();
    let array = ArrayProxy::<u32>::zeroed(&manager, 3)?;
    // Has a turn of its own at a place, as all tries before it are spoilt, and runs `in_turn` in it.
    let update_in_turn = |place: usize, in_turn: &dyn Fn()| {
        let mut tries = 0;
        array.update(place, |number| {
            tries += 1;
            if tries <= TRIES {
                array.fetch_add(place, 1).expect("another number");
            } else if tries == TRIES + 1 {
                in_turn();
            }
            number + 1
        })
    };
    let (holds, may_go) = (AtomicBool::new(false), AtomicBool::new(false));
    let order = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            update_in_turn(0, &|| {
                holds.store(true, Ordering::Release);
                let released = || may_go.load(Ordering::Acquire);
                // Less than a turn may take.
                common::within(Duration::from_millis(800), released);
                order.lock().unwrap().push("turn at 0");
            })
        });
        eventually("it has the turn", || holds.load(Ordering::Acquire));
        // Neither a write, nor an update elsewhere that needs no turn, waits for somebody's turn.
        assert_eq!(array.set(1, 5).map_err(system)?, 0);
        assert_eq!(array.update(1, |n| n + 1).map_err(system)?, 6);
        let locks = scope.spawn(|| {
            let mut guard = array.lock()?;
            order.lock().unwrap().push("lock");
            guard[2] = 7;
            guard.unlock()
        });
        thread::sleep(Duration::from_millis(50));
        let behind = scope.spawn(|| update_in_turn(2, &|| order.lock().unwrap().push("turn at 2")));
        thread::sleep(Duration::from_millis(50));
        may_go.store(true, Ordering::Release);
        first.join().expect("no panic").map_err(system)?;
        locks.join().expect("no panic")?;
        behind.join().expect("no panic").map_err(system)?;
        Ok::<_, Error>(())
    })?;
    assert_eq!(*order.lock().unwrap(), ["turn at 0", "lock", "turn at 2"]);
    assert_eq!(array.to_vec()?, [TRIES + 1, 6, 7 + 1]);
    manager.shutdown()
}

/// Symptom: somebody had a turn at the last number, and others changed it meanwhile. Cause: `-1` and its index from the start were two cells.
#[test]
fn a_turn_is_at_a_place_however_it_was_named() -> Result<()> {
    let manager = manager();
    let array = ArrayProxy::<u32>::zeroed(&manager, 3)?;
    let call = |method: &str, arguments| array.base().call_method::<bool>(method, arguments);
    let (turn, _, _): Told<u32> = array.base().call_method("reserve", (-1,))?;
    assert!(!call("replace", (2, Some(0_u64), Some((5,))))?, "it is somebody's turn");
    array.base().call_method::<()>("release", (2, turn))?;
    assert!(call("replace", (2, Some(0_u64), Some((5,))))?);
    manager.shutdown()
}

/// What another program may commit.
#[test]
fn a_commit_of_another_length_is_refused_and_leaves_the_lock() -> Result<()> {
    let manager = manager();
    let array = ArrayProxy::<u32>::zeroed(&manager, 2)?;
    let (turn, _, fetched): Told<Vec<u32>> = array.base().call_method("lock", ())?;
    let ((version, numbers),) = fetched.expect("numbers");
    assert_eq!(numbers, [0, 0]);
    let commit = |numbers: &[u32]| {
        array.base().call_method::<bool>("commit", (None::<i64>, turn, Some(version), Some((numbers.to_vec(),))))
    };
    assert!(matches!(commit(&[1, 2, 3]), Err(Error::Arguments { .. })));
    assert!(array.try_lock_for(Duration::from_millis(20))?.is_none());
    assert!(commit(&[1, 2])?);
    assert!(!commit(&[3, 4])?, "the lock is another's");
    assert_eq!(array.to_vec()?, [1, 2]);
    manager.shutdown()
}

/// Moves between numbers, whose sum stays, under the lock; and counts in another array by all other ways, some of which wait for somebody's lock.
fn bank(array: &ArrayProxy<i64>, counts: &ArrayProxy<u32>, me: usize, turns: usize) {
    for turn in 0..turns {
        let mut guard = array.lock().expect("a lock");
        assert_eq!(guard.iter().sum::<i64>(), 1000);
        let (from, to) = ((me + turn) % guard.len(), (me * 3 + turn * 5 + 1) % guard.len());
        guard[from] -= 7;
        guard[to] += 7;
        guard.unlock().expect("a commit");
        match turn % 3 {
            0 => drop(counts.fetch_add(me, 1).expect("a sum")),
            1 => drop(counts.update(me, |n| n + 1).expect("an update")),
            _ => counts.lock().expect("a lock")[me] += 1,
        }
    }
}

#[test]
fn locks_of_eight_processes_exclude_each_other_and_lose_nothing() -> Result<()> {
    let manager = manager();
    let (array, counts) = (ArrayProxy::<i64>::new(&manager, vec![200; 5])?, ArrayProxy::<u32>::zeroed(&manager, 8)?);
    let children: Vec<Child> = (0..8)
        .map(|me| {
            let (array, counts) = (array.clone(), counts.clone());
            fork(move || {
                bank(&array, &counts, me, 30);
                0
            })
        })
        .collect();
    assert!(children.into_iter().map(wait).all(|code| code == 0));
    assert_eq!(array.to_vec()?.iter().sum::<i64>(), 1000);
    assert_eq!(counts.to_vec()?, [30; 8]);
    manager.shutdown()
}

#[test]
fn the_sum_stays_while_holders_are_killed() -> Result<()> {
    let manager = manager();
    let (array, counts) = (ArrayProxy::<i64>::new(&manager, vec![200; 5])?, ArrayProxy::<u32>::zeroed(&manager, 8)?);
    let crew = |me: usize| {
        let (array, counts) = (array.clone(), counts.clone());
        fork(move || {
            bank(&array, &counts, me, usize::MAX);
            0
        })
    };
    let mut children: VecDeque<Child> = (0..8).map(crew).collect();
    for me in 0..24 {
        let before = counts.to_vec()?;
        eventually("the others go on", || counts.to_vec().expect("numbers") != before);
        children.pop_front().expect("a child").kill();
        children.push_back(crew(me % 8));
    }
    children.into_iter().for_each(Child::kill);
    let guard = array.with_timeout(common::LIMIT).lock()?;
    assert_eq!(guard.iter().sum::<i64>(), 1000);
    manager.shutdown()
}

#[derive(Debug, Clone)]
enum Move {
    Lock,
    /// Commits, or not.
    Unlock(i16, bool),
    Set(usize, i16),
    SetSlice(usize, Vec<i16>),
    Fill(i16),
    Add(usize, i16),
    Exchange(usize, i16, i16),
}

/// A call that is under way, and what it will have answered.
enum Pending {
    Number(Deferred<i16, CallError<SequenceError>>),
    Exchange(Deferred<std::result::Result<i16, i16>, CallError<SequenceError>>),
    Nothing(Deferred<()>),
    Slice(Deferred<(), CallError<SequenceError>>),
}

/// An array that is locked now and then, and the writes that wait for that.
#[derive(Default)]
struct Model {
    numbers: Vec<i16>,
    guard: Option<ArrayGuard<i16>>,
    waiting: Vec<(Move, Pending)>,
}

impl Model {
    fn run(&mut self, array: &ArrayProxy<i16>, step: Move) -> Result<()> {
        let twin = array.defer();
        let pending = match &step {
            Move::Lock => {
                if self.guard.is_none() {
                    let guard = array.lock()?;
                    assert_eq!(*guard, *self.numbers);
                    self.guard = Some(guard);
                }
                return Ok(());
            }
            Move::Unlock(fill, commits) => {
                if let Some(mut guard) = self.guard.take() {
                    guard.fill(*fill);
                    if *commits {
                        self.numbers.fill(*fill);
                        guard.unlock()?;
                    } else {
                        guard.discard()?;
                    }
                }
                return self.settle();
            }
            Move::Set(place, number) => Pending::Number(twin.set(*place, *number)),
            Move::SetSlice(start, numbers) => Pending::Slice(twin.set_slice(*start.., numbers)),
            Move::Fill(number) => Pending::Nothing(twin.fill(*number)),
            Move::Add(place, number) => Pending::Number(twin.fetch_add(*place, *number)),
            Move::Exchange(place, expected, new) => Pending::Exchange(twin.compare_exchange(*place, *expected, *new)),
        };
        self.waiting.push((step, pending));
        if self.guard.is_none() { self.settle() } else { Ok(()) }
    }

    /// All writes that waited have been done by now, in their order.
    fn settle(&mut self) -> Result<()> {
        for (step, pending) in std::mem::take(&mut self.waiting) {
            let numbers = &mut self.numbers;
            match (step, pending) {
                (Move::Set(place, number), Pending::Number(former)) => match numbers.get_mut(place) {
                    Some(there) => assert_eq!(former.wait()?, std::mem::replace(there, number)),
                    None => assert!(former.wait().is_err()),
                },
                (Move::Add(place, number), Pending::Number(former)) => match numbers.get_mut(place) {
                    Some(there) => {
                        assert_eq!(former.wait()?, *there);
                        *there = there.wrapping_add(number);
                    }
                    None => assert!(former.wait().is_err()),
                },
                (Move::Exchange(place, expected, new), Pending::Exchange(exchanged)) => match numbers.get_mut(place) {
                    Some(there) if *there == expected => {
                        assert_eq!(exchanged.wait()?, Ok(*there));
                        *there = new;
                    }
                    Some(there) => assert_eq!(exchanged.wait()?, Err(*there)),
                    None => assert!(exchanged.wait().is_err()),
                },
                (Move::SetSlice(start, new), Pending::Slice(done)) => {
                    let length = numbers.len();
                    let places = &mut numbers[start.min(length)..];
                    assert_eq!(done.wait().is_ok(), places.len() == new.len());
                    if places.len() == new.len() {
                        places.copy_from_slice(&new);
                    }
                }
                (Move::Fill(number), Pending::Nothing(done)) => {
                    done.wait()?;
                    numbers.fill(number);
                }
                _ => unreachable!("each step has its pending call"),
            }
        }
        Ok(())
    }
}

#[test]
fn writes_that_wait_for_a_lock_are_done_in_their_order() {
    let manager = manager();
    // Few enough for exchanges to succeed.
    let (place, number) = (0..4_usize, 0..3_i16);
    let step = prop_oneof![
        2 => Just(Move::Lock),
        2 => (number.clone(), any::<bool>()).prop_map(|(fill, commits)| Move::Unlock(fill, commits)),
        1 => (place.clone(), number.clone()).prop_map(|(place, number)| Move::Set(place, number)),
        1 => (place.clone(), proptest::collection::vec(number.clone(), 0..3)).prop_map(|(start, all)| Move::SetSlice(start, all)),
        1 => number.clone().prop_map(Move::Fill),
        1 => (place.clone(), number.clone()).prop_map(|(place, number)| Move::Add(place, number)),
        2 => (place, number.clone(), number.clone()).prop_map(|(place, old, new)| Move::Exchange(place, old, new)),
    ];
    let steps = (proptest::collection::vec(number, 0..4), proptest::collection::vec(step, 1..30));
    proptest!(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() }, |((start, steps) in steps)| {
        let array = ArrayProxy::<i16>::new(&manager, &start).expect("an array");
        let mut model = Model { numbers: start, ..Model::default() };
        for step in steps {
            model.run(&array, step).expect("a step");
            prop_assert_eq!(&array.to_vec().expect("numbers"), &model.numbers, "readers see what was committed");
        }
        model.run(&array, Move::Unlock(0, false)).expect("an end");
        prop_assert_eq!(&array.to_vec().expect("numbers"), &model.numbers);
    });
    manager.shutdown().expect("an end");
}
