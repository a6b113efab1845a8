//! Lists: what Python's documentation says of a list, and what shared ones need beside it.

mod common;

use common::{Child, eventually, fork, wait};
use multiproc::types::{CounterProxy, Index, ListProxy, SequenceError, Slice};
use multiproc::{CallError, Result, SyncManager, Value};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

fn manager() -> SyncManager {
    SyncManager::start().expect("a manager")
}

fn method<T: std::fmt::Debug, E>(result: Result<T, CallError<E>>) -> E {
    result.expect_err("an error").into_method().unwrap_or_else(|error| panic!("the system's error: {error}"))
}

#[test]
fn elements_come_and_go() -> Result<()> {
    let manager = manager();
    let list = ListProxy::<String>::from_iter(&manager, ["a", "b"])?;
    list.push("d")?;
    list.insert(-1, "c")?;
    list.insert(-100, "first")?;
    list.insert(100, "last")?;
    assert_eq!(list.to_string(), "['first', 'a', 'b', 'c', 'd', 'last']");
    assert_eq!(list.pop()?.as_deref(), Some("last"));
    assert_eq!(list.pop_at(0)?.as_deref(), Some("first"));
    assert_eq!(list.pop_at(9)?, None);
    assert_eq!(list.set(-1, "D")?, "d");
    assert_eq!(method(list.set(4, "x")), SequenceError::OutOfRange { index: 4, length: 4 });
    list.extend(["b", "e"])?;
    assert!(list.remove_value("b")? && !list.remove_value("z")?);
    assert_eq!(list.to_vec()?, ["a", "c", "D", "b", "e"]);
    assert_eq!((list.index_of("b")?, list.index_of("z")?), (Some(3), None));
    assert_eq!(list.index_of_within("b", ..3)?, None);
    assert_eq!((list.len()?, list.count("a")?, list.contains("e")?), (5, 1, true));
    list.reverse()?;
    assert_eq!(list.slice((1, -1))?, ["b", "D", "c"]);
    list.clear()?;
    assert!(list.is_empty()? && list.pop()?.is_none());
    manager.shutdown()
}

#[test]
fn slices_are_assigned_and_deleted_as_in_python() -> Result<()> {
    let manager = manager();
    let list = ListProxy::<i32>::from_iter(&manager, 0..6)?;
    list.set_slice(1..3, [10, 20, 30])?; // l[1:3] = [10, 20, 30]
    assert_eq!(list.to_vec()?, [0, 10, 20, 30, 3, 4, 5]);
    list.set_slice((3, 1), [7])?; // inserts
    assert_eq!(list.to_vec()?, [0, 10, 20, 7, 30, 3, 4, 5]);
    list.set_slice(Slice::from(..).step(-4), [1, 2])?;
    assert_eq!(list.to_vec()?, [0, 10, 20, 2, 30, 3, 4, 1]);
    let refused = method(list.set_slice(Slice::from(..).step(2), [1]));
    assert_eq!(refused, SequenceError::SliceLength { given: 1, places: 4 });
    assert_eq!(method(list.slice(Slice::from(..).step(0))), SequenceError::StepZero);
    list.delete_slice(Slice::from(..).step(2))?;
    assert_eq!(list.to_vec()?, [10, 2, 3, 1]);
    list.delete_slice(-2..)?;
    list.repeat(3)?;
    assert_eq!(list.to_vec()?, [10, 2, 10, 2, 10, 2]);
    assert!(matches!(method(list.repeat(usize::MAX / 2)), SequenceError::TooLong { .. }));
    assert_eq!(list.concatenate(&[1])?, [10, 2, 10, 2, 10, 2, 1]);
    let other = ListProxy::<i32>::from_iter(&manager, [5])?;
    assert_eq!(other.concatenate(&list)?, [5, 10, 2, 10, 2, 10, 2]);
    other.extend_from(&other)?;
    other.extend_from(&other)?;
    assert_eq!(other.to_vec()?, [5; 4]);
    list.repeat(0)?;
    assert!(list.equals(&[0; 0])? && !list.equals(&other)? && other.equals(&[5.0; 4])?);
    manager.shutdown()
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Level {
    Low,
    High(u8),
}

#[test]
fn sorting_is_by_the_elements_own_order() -> Result<()> {
    let manager = manager();
    let numbers = ListProxy::<i64>::from_iter(&manager, [3, -1, 2])?;
    numbers.sort()?;
    assert_eq!(numbers.to_vec()?, [-1, 2, 3]);
    numbers.sort_by_value(true)?;
    assert_eq!(numbers.to_vec()?, [3, 2, -1]);
    // In the server an enum is its variant's name.
    let levels = ListProxy::<Level>::from_iter(&manager, [Level::High(2), Level::Low, Level::High(1)])?;
    assert_eq!(method(levels.sort_by_value(false)), SequenceError::NoOrder);
    assert_eq!(levels.get(0)?, Some(Level::High(2)), "and all is as it was");
    levels.sort()?;
    assert_eq!(levels.to_vec()?, [Level::Low, Level::High(1), Level::High(2)]);
    let pairs =
        ListProxy::<(u8, String)>::from_iter(&manager, [(2, "a"), (1, "b"), (2, "c")].map(|(n, s)| (n, s.to_owned())))?;
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.0))?;
    assert_eq!(pairs.to_string(), "[(2, 'a'), (2, 'c'), (1, 'b')]");
    let mixed = ListProxy::<Value>::from_iter(&manager, [Value::from(2.5), 2.into(), true.into()])?;
    mixed.sort_by_value(false)?;
    assert_eq!(mixed.to_string(), "[True, 2, 2.5]");
    mixed.push(Value::from("x"))?;
    assert_eq!(method(mixed.sort_by_value(true)), SequenceError::NoOrder);
    assert_eq!(mixed.to_string(), "[True, 2, 2.5, 'x']");
    manager.shutdown()
}

#[test]
fn an_iterator_goes_by_index() -> Result<()> {
    let manager = manager();
    let list = ListProxy::<u32>::from_iter(&manager, 0..1000)?;
    let mut seen = Vec::new();
    for (count, element) in list.iter().enumerate() {
        seen.push(element?);
        if count == 10 {
            list.set(999, 7)?;
            list.push(8)?;
        }
    }
    assert_eq!(seen, (0..999).chain([7, 8]).collect::<Vec<_>>());
    let large = ListProxy::<String>::from_iter(&manager, (0..10).map(|_| "x".repeat(200_000)))?;
    assert_eq!(large.iter().collect::<Result<Vec<_>>>()?.len(), 10);
    manager.shutdown()
}

#[test]
fn what_a_list_holds_lives_as_long_as_it_is_held() -> Result<()> {
    let manager = manager();
    let outer = ListProxy::<ListProxy<CounterProxy>>::new(&manager)?;
    {
        let inner = ListProxy::from_iter(&manager, [CounterProxy::new(&manager, 5)?])?;
        outer.push(&inner)?;
        outer.repeat(2)?;
        assert_eq!(outer.index_of(&inner)?, Some(0));
        outer.update_all(|lists| lists.reverse())?;
    }
    assert_eq!(manager.number_of_objects()?, 3);
    let counter = outer.get(1)?.expect("there").get(0)?.expect("there");
    outer.delete_slice(..1)?;
    outer.set_slice(.., &[] as &[ListProxy<CounterProxy>])?;
    eventually("the inner list is gone", || manager.number_of_objects().expect("a number") == 2);
    assert_eq!(counter.add(1)?, 6);
    manager.shutdown()
}

#[test]
fn updates_of_many_processes_lose_nothing() -> Result<()> {
    let manager = manager();
    let list = ListProxy::<u32>::from_iter(&manager, [0, 0])?;
    let children: Vec<Child> = (0..8)
        .map(|_| {
            let list = list.clone();
            fork(move || {
                for turn in 0..50 {
                    list.update(-1, |n| n + 1).expect("an update");
                    if turn % 10 == 0 {
                        list.update_all(|all| all[0] += 1).expect("an update");
                    }
                }
                0
            })
        })
        .collect();
    assert!(children.into_iter().map(wait).all(|code| code == 0));
    assert_eq!(list.to_vec()?, [40, 400]);
    assert_eq!(method(list.update(2, |n| n)), SequenceError::OutOfRange { index: 2, length: 2 });
    manager.shutdown()
}

/// One call, and what it does to the model.
#[derive(Debug, Clone)]
enum Step {
    Push(i8),
    Pop(isize),
    Insert(isize, i8),
    Set(isize, i8),
    SetSlice(Range, Vec<i8>),
    DeleteSlice(Range),
    Slice(Range),
    Remove(i8),
    Sort(bool),
    SortHere,
    Reverse,
    Repeat(usize),
    Update(isize),
    IndexOf(i8),
}

type Range = (Option<isize>, Option<isize>, isize);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = -8..8_isize;
    let range =
        || (proptest::option::of(-8..8_isize), proptest::option::of(-8..8_isize), prop_oneof![Just(1), -3..3_isize]);
    let value = -4..4_i8;
    let step = prop_oneof![
        3 => value.clone().prop_map(Step::Push),
        1 => index.clone().prop_map(Step::Pop),
        1 => (index.clone(), value.clone()).prop_map(|(index, value)| Step::Insert(index, value)),
        1 => (index.clone(), value.clone()).prop_map(|(index, value)| Step::Set(index, value)),
        2 => (range(), proptest::collection::vec(value.clone(), 0..4)).prop_map(|(range, values)| Step::SetSlice(range, values)),
        1 => range().prop_map(Step::DeleteSlice),
        2 => range().prop_map(Step::Slice),
        1 => value.clone().prop_map(Step::Remove),
        1 => any::<bool>().prop_map(Step::Sort),
        1 => Just(Step::SortHere),
        1 => Just(Step::Reverse),
        1 => (0..3_usize).prop_map(Step::Repeat),
        1 => index.prop_map(Step::Update),
        1 => value.prop_map(Step::IndexOf),
    ];
    proptest::collection::vec(step, 1..40)
}

fn slice((start, stop, step): Range) -> Slice {
    Slice::new(start.map(Index::from), stop.map(Index::from)).step(step)
}

/// Python's definition, word for word: "the slice of s from i to j with step k is the sequence of items with index x = i + n*k such that 0 <= n < (j-i)/k".
fn places((start, stop, step): Range, length: usize) -> Option<Vec<usize>> {
    let length = length as isize;
    if step == 0 {
        return None;
    }
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let bound = |index: isize| (if index < 0 { index + length } else { index }).clamp(low, high);
    let start = start.map_or(if step > 0 { low } else { high }, bound);
    let stop = stop.map_or(if step > 0 { high } else { low }, bound);
    let mut places = Vec::new();
    let mut place = start;
    while if step > 0 { place < stop } else { place > stop } {
        places.push(place as usize);
        place += step;
    }
    Some(places)
}

fn at(index: isize, length: usize) -> Option<usize> {
    let index = if index < 0 { index + length as isize } else { index };
    (0..length as isize).contains(&index).then_some(index as usize)
}

fn run(list: &ListProxy<i8>, model: &mut Vec<i8>, step: &Step) -> Result<()> {
    match step.clone() {
        Step::Push(value) => {
            list.push(value)?;
            model.push(value);
        }
        Step::Pop(index) => {
            let expected = at(index, model.len()).map(|place| model.remove(place));
            assert_eq!(list.pop_at(index)?, expected);
        }
        Step::Insert(index, value) => {
            list.insert(index, value)?;
            let place = if index < 0 { index + model.len() as isize } else { index };
            model.insert(place.clamp(0, model.len() as isize) as usize, value);
        }
        Step::Set(index, value) => match at(index, model.len()) {
            Some(place) => assert_eq!(list.set(index, value)?, std::mem::replace(&mut model[place], value)),
            None => assert!(list.set(index, value).is_err()),
        },
        Step::SetSlice(range, values) => {
            let done = list.set_slice(slice(range), &values);
            match places(range, model.len()) {
                None => assert_eq!(method(done), SequenceError::StepZero),
                Some(places) if range.2 == 1 => {
                    done?;
                    let length = model.len() as isize;
                    let start =
                        range.0.map_or(0, |index| (if index < 0 { index + length } else { index }).clamp(0, length));
                    model.splice(start as usize..start as usize + places.len(), values);
                }
                Some(places) if places.len() == values.len() => {
                    done?;
                    places.into_iter().zip(values).for_each(|(place, value)| model[place] = value);
                }
                Some(places) => {
                    assert_eq!(method(done), SequenceError::SliceLength { given: values.len(), places: places.len() });
                }
            }
        }
        Step::DeleteSlice(range) => match places(range, model.len()) {
            None => assert_eq!(method(list.delete_slice(slice(range))), SequenceError::StepZero),
            Some(places) => {
                list.delete_slice(slice(range))?;
                let mut place = 0;
                model.retain(|_| {
                    place += 1;
                    !places.contains(&(place - 1))
                });
            }
        },
        Step::Slice(range) => match places(range, model.len()) {
            None => assert_eq!(method(list.slice(slice(range))), SequenceError::StepZero),
            Some(places) => {
                assert_eq!(list.slice(slice(range))?, places.iter().map(|&place| model[place]).collect::<Vec<_>>());
            }
        },
        Step::Remove(value) => {
            let place = model.iter().position(|&there| there == value);
            assert_eq!(list.remove_value(value)?, place.map(|place| model.remove(place)).is_some());
        }
        Step::Sort(descending) => {
            list.sort_by_value(descending)?;
            model.sort();
            if descending {
                model.reverse();
            }
        }
        Step::SortHere => {
            list.sort_by(|a, b| b.abs().cmp(&a.abs()))?;
            model.sort_by_key(|value| std::cmp::Reverse(value.abs()));
        }
        Step::Reverse => {
            list.reverse()?;
            model.reverse();
        }
        Step::Repeat(times) if model.len() * times < 200 => {
            list.repeat(times)?;
            *model = model.repeat(times);
        }
        Step::Repeat(_) => {}
        Step::Update(index) => match at(index, model.len()) {
            Some(place) => {
                model[place] = model[place].wrapping_mul(3);
                assert_eq!(list.update(index, |value| value.wrapping_mul(3))?, model[place]);
            }
            None => assert!(list.update(index, |value| value).is_err()),
        },
        Step::IndexOf(value) => {
            assert_eq!(list.index_of(value)?, model.iter().position(|&there| there == value));
            assert_eq!(list.count(value)?, model.iter().filter(|&&there| there == value).count());
        }
    }
    assert_eq!(&list.to_vec()?, model, "after {step:?}");
    Ok(())
}

#[test]
fn a_list_is_a_vec() {
    let manager = manager();
    proptest!(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() }, |(steps in steps())| {
        let list = ListProxy::<i8>::new(&manager).expect("a list");
        let mut model = Vec::new();
        for step in &steps {
            run(&list, &mut model, step).expect("a step");
        }
        prop_assert_eq!(list.iter().collect::<Result<Vec<_>>>().expect("elements"), model);
    });
    manager.shutdown().expect("an end");
}
