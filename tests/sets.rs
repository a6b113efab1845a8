//! Sets and namespaces: what Python's documentation says of them, and what shared ones need beside it.

mod common;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use common::eventually;
use multiproc::types::{CounterProxy, NamespaceProxy, SetProxy};
use multiproc::{Error, Proxy, Result, SyncManager, Value};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

fn manager() -> SyncManager {
    SyncManager::start().expect("a manager")
}

#[test]
fn elements_are_there_once() -> Result<()> {
    let manager = manager();
    let set = SetProxy::<String>::from_iter(&manager, ["a", "b", "a"])?;
    assert_eq!(set.len()?, 2);
    assert!(set.insert("c")? && !set.insert("a")?);
    assert!(set.remove("b")? && !set.remove("b")?);
    assert!(set.contains("c")? && !set.contains("b")?);
    assert_eq!(set.to_string(), "{'a', 'c'}");
    set.extend(["d", "a"])?;
    assert_eq!(set.to_set::<HashSet<_>>()?, HashSet::from(["a", "c", "d"].map(String::from)));
    assert_eq!(set.pop()?.as_deref(), Some("d"));
    set.clear()?;
    assert!(set.is_empty()? && set.pop()?.is_none());
    assert_eq!(set.to_string(), "set()");
    let mixed = SetProxy::<Value>::from_iter(&manager, [Value::from(1), 1.0.into(), true.into(), "1".into()])?;
    assert_eq!(mixed.to_string(), "{1, '1'}");
    manager.shutdown()
}

#[test]
fn sets_of_one_server_are_combined_there() -> Result<()> {
    let manager = manager();
    let a = SetProxy::<u8>::from_iter(&manager, [1, 2, 3])?;
    let b = SetProxy::<u8>::from_iter(&manager, [3, 4])?;
    assert_eq!(a.union(&b)?, [1, 2, 3, 4]);
    assert_eq!(a.intersection(&b)?, [3]);
    assert_eq!(a.difference(&b)?, [1, 2]);
    assert_eq!(a.symmetric_difference(&[3, 3, 5])?, [1, 2, 5]);
    assert!(a.is_superset(&HashSet::from([1]))? && a.is_subset(&a)? && a.is_disjoint(&vec![7])? && !a.is_disjoint(&b)?);
    a.union_with(&b)?;
    a.intersect_with(&[2, 3, 4, 9])?;
    a.subtract(&BTreeSet::from([4]))?;
    a.symmetric_difference_with(&[3, 8, 8][..])?;
    assert!(a.equals(&[8, 2])? && !a.equals(&b)?);
    a.subtract(&a)?;
    assert!(a.is_empty()? && a.is_subset(&b)?);
    manager.shutdown()
}

#[test]
fn iteration_sees_what_stays_once_while_others_change_the_set() -> Result<()> {
    let manager = manager();
    let set = SetProxy::<u32>::from_iter(&manager, 0..1000)?;
    let mut seen = Vec::new();
    for (count, element) in set.iter().enumerate() {
        seen.push(element?);
        if count == 100 {
            set.remove(999)?;
            set.remove(3)?;
            set.insert(3)?;
        }
    }
    assert_eq!(seen, (0..999).chain([3]).collect::<Vec<_>>());
    manager.shutdown()
}

#[test]
fn what_a_set_holds_lives_as_long_as_it_is_held() -> Result<()> {
    let manager = manager();
    let set = SetProxy::from_iter(&manager, [CounterProxy::new(&manager, 1)?, CounterProxy::new(&manager, 2)?])?;
    assert_eq!(manager.number_of_objects()?, 3);
    let kept = set.to_vec()?.swap_remove(0);
    set.intersect_with(std::slice::from_ref(&kept))?;
    eventually("the other counter is gone", || manager.number_of_objects().expect("a number") == 2);
    assert!(set.contains(&kept)?);
    manager.shutdown()
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u8),
    Remove(u8),
    Pop,
    Combine(u8, BTreeSet<u8>, bool),
}

#[test]
fn a_set_is_a_btree_set() {
    let manager = manager();
    let other = || proptest::collection::btree_set(0..8_u8, 0..6);
    let step = prop_oneof![
        (0..8_u8).prop_map(Step::Insert),
        (0..8_u8).prop_map(Step::Remove),
        Just(Step::Pop),
        (0..4_u8, other(), any::<bool>()).prop_map(|(how, other, there)| Step::Combine(how, other, there)),
    ];
    let steps = proptest::collection::vec(step, 1..30);
    proptest!(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() }, |(steps in steps)| {
        let set = SetProxy::<u8>::new(&manager).expect("a set");
        let mut model = BTreeSet::new();
        for step in steps {
            run(&manager, &set, &mut model, step).expect("a step");
            prop_assert_eq!(&set.to_set::<BTreeSet<u8>>().expect("a copy"), &model);
            prop_assert_eq!(set.iter().count(), model.len());
        }
    });
    manager.shutdown().expect("an end");
}

fn run(manager: &SyncManager, set: &SetProxy<u8>, model: &mut BTreeSet<u8>, step: Step) -> Result<()> {
    let sorted = |mut elements: Vec<u8>| {
        elements.sort_unstable();
        elements
    };
    match step {
        Step::Insert(value) => assert_eq!(set.insert(value)?, model.insert(value)),
        Step::Remove(value) => assert_eq!(set.remove(value)?, model.remove(&value)),
        Step::Pop => match set.pop()? {
            Some(value) => assert!(model.remove(&value)),
            None => assert!(model.is_empty()),
        },
        Step::Combine(how, other, there) => {
            let expected: Vec<u8> = match how {
                0 => model.union(&other).copied().collect(),
                1 => model.intersection(&other).copied().collect(),
                2 => model.difference(&other).copied().collect(),
                _ => model.symmetric_difference(&other).copied().collect(),
            };
            assert_eq!(set.is_subset(&other)?, model.is_subset(&other));
            assert_eq!(set.is_superset(&other)?, model.is_superset(&other));
            assert_eq!(set.is_disjoint(&other)?, model.is_disjoint(&other));
            assert_eq!(set.equals(&other)?, *model == other);
            if there {
                let other = SetProxy::from_iter(manager, &other)?;
                let found = match how {
                    0 => set.union(&other),
                    1 => set.intersection(&other),
                    2 => set.difference(&other),
                    _ => set.symmetric_difference(&other),
                };
                assert_eq!(sorted(found?), expected);
                match how {
                    0 => set.union_with(&other),
                    1 => set.intersect_with(&other),
                    2 => set.subtract(&other),
                    _ => set.symmetric_difference_with(&other),
                }?;
            } else {
                match how {
                    0 => set.union_with(&other),
                    1 => set.intersect_with(&other),
                    2 => set.subtract(&other),
                    _ => set.symmetric_difference_with(&other),
                }?;
            }
            *model = expected.into_iter().collect();
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Settings {
    depth: u32,
    name: String,
}

#[test]
fn attributes_are_of_types_of_their_own() -> Result<()> {
    let manager = manager();
    let space = NamespaceProxy::of(&manager, &Settings { depth: 1, name: "x".into() })?;
    space.set("where", (1.5, None::<u8>))?;
    let counter = CounterProxy::new(&manager, 3)?;
    space.set("counter", &counter)?;
    assert_eq!(space.names()?, ["depth", "name", "where", "counter"]);
    assert_eq!(space.get::<(f64, Option<u8>)>("where")?, Some((1.5, None)));
    assert_eq!(space.get::<CounterProxy>("counter")?, Some(counter));
    assert_eq!(space.get::<u8>("nothing")?, None);
    assert!(matches!(space.get::<Vec<u8>>("name"), Err(Error::Unserializable { .. })));
    assert!(space.remove("counter")? && !space.remove("counter")? && !space.contains("counter")?);
    assert_eq!(space.update("depth", |depth: Option<u32>| depth.map(|depth| depth + 1))?, Some(2));
    assert_eq!(space.to_string(), "Namespace(depth=2, name='x', where=(1.5, None))");
    space.remove("where")?;
    assert_eq!(space.to_value::<Settings>()?, Settings { depth: 2, name: "x".into() });
    let empty = NamespaceProxy::new(&manager)?;
    assert_eq!(empty.to_string(), "Namespace()");
    assert_eq!(empty.to_value::<BTreeMap<String, Value>>()?.len(), 0);
    assert!(NamespaceProxy::of(&manager, &5).is_err());
    manager.shutdown()
}
