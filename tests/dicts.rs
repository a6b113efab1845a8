//! Dicts: what Python's documentation says of a dict, and what shared ones need beside it.

mod common;

use std::collections::{BTreeMap, HashMap};

use common::{Child, eventually, fork, wait};
use multiproc::types::{CounterProxy, DictProxy};
use multiproc::{BaseProxy, Error, Proxy, Result, SyncManager, Value};
use proptest::prelude::*;

fn manager() -> SyncManager {
    SyncManager::start().expect("a manager")
}

#[test]
fn entries_come_and_go_and_keep_their_order() -> Result<()> {
    let manager = manager();
    let dict = DictProxy::<String, u32>::from_iter(&manager, [("a", 1), ("b", 2), ("a", 3)])?;
    assert_eq!(dict.len()?, 2);
    assert_eq!(dict.insert("c", 4)?, None);
    assert_eq!(dict.insert("b", 5)?, Some(2));
    assert_eq!(dict.to_string(), "{'a': 3, 'b': 5, 'c': 4}");
    assert_eq!(dict.remove("a")?, Some(3));
    assert_eq!(dict.remove("a")?, None);
    dict.insert("a", 6)?;
    assert_eq!(dict.keys()?, ["b", "c", "a"], "a key that comes again comes last");
    assert_eq!(dict.values()?, [5, 4, 6]);
    assert_eq!(dict.pop_item()?, Some(("a".to_owned(), 6)));
    assert!(dict.contains_key("b")? && !dict.contains_key("a")?);
    assert_eq!(dict.insert_if_absent("b", 9)?, Some(5));
    assert_eq!(dict.get_or_insert("d", 9)?, 9);
    assert_eq!(dict.pop("x", 7)?, 7);
    dict.extend(HashMap::from([("e", 1)]))?;
    assert_eq!(dict.to_map::<BTreeMap<_, _>>()?.len(), 4);
    dict.clear()?;
    assert!(dict.is_empty()? && dict.pop_item()?.is_none());
    manager.shutdown()
}

#[test]
fn a_value_of_none_is_told_from_no_value() -> Result<()> {
    let manager = manager();
    let dict = DictProxy::<u8, Option<u8>>::from_iter(&manager, [(1, None)])?;
    assert_eq!(dict.get(1)?, Some(None));
    assert_eq!(dict.get(2)?, None);
    assert_eq!(dict.update(2, |value| Some(value.flatten()))?, Some(None));
    assert_eq!(dict.compare_exchange(1, Some(&None), Some(&Some(3)))?, Ok(Some(None)));
    assert_eq!(dict.compare_exchange(1, Some(&None), None)?, Err(Some(Some(3))));
    assert_eq!(dict.compare_exchange(1, Some(&Some(3)), None)?, Ok(Some(Some(3))));
    assert!(!dict.contains_key(1)?);
    manager.shutdown()
}

#[test]
fn keys_are_equal_by_pythons_rules_and_proxies_by_identity() -> Result<()> {
    let manager = manager();
    let dict =
        DictProxy::<Value, u8>::from_iter(&manager, [(Value::from(1), 1), (Value::from(1.0), 2), (true.into(), 3)])?;
    assert_eq!(dict.to_string(), "{1: 3}");
    let counter = CounterProxy::new(&manager, 0)?;
    let named = DictProxy::<CounterProxy, u8>::from_iter(&manager, [(&counter, 1)])?;
    assert_eq!(named.get(&counter)?, Some(1));
    assert_eq!(named.get(CounterProxy::new(&manager, 0)?)?, None);
    manager.shutdown()
}

#[test]
fn iteration_sees_what_stays_once_while_others_change_the_dict() -> Result<()> {
    let manager = manager();
    let dict = DictProxy::<u32, u32>::from_iter(&manager, (0..1000).map(|n| (n, n)))?;
    let mut seen = Vec::new();
    for (count, entry) in dict.iter().enumerate() {
        seen.push(entry?.0);
        if count == 100 {
            dict.remove(999)?;
            dict.remove(3)?;
            dict.insert(3, 0)?;
            dict.insert(7, 0)?;
        }
    }
    let expected: Vec<_> = (0..999).chain([3]).collect();
    assert_eq!(seen, expected);
    // Large values come in replies of few.
    dict.clear()?;
    let large = DictProxy::<u32, String>::from_iter(&manager, (0..10).map(|n| (n, "x".repeat(200_000))))?;
    assert_eq!(large.iter().collect::<Result<Vec<_>>>()?.len(), 10);
    manager.shutdown()
}

#[test]
fn what_a_dict_holds_lives_as_long_as_it_is_held() -> Result<()> {
    let manager = manager();
    let outer = DictProxy::<String, DictProxy<String, CounterProxy>>::new(&manager)?;
    {
        let inner = DictProxy::<String, CounterProxy>::from_iter(&manager, [("n", CounterProxy::new(&manager, 5)?)])?;
        outer.insert("inner", &inner)?;
    }
    assert_eq!(manager.number_of_objects()?, 3);
    let counter = outer.get("inner")?.expect("there").get("n")?.expect("there");
    outer.remove("inner")?;
    eventually("the inner dict is gone", || manager.number_of_objects().expect("a number") == 2);
    assert_eq!(counter.add(1)?, 6, "the counter is held by its proxy now");
    drop(counter);
    eventually("the counter is gone", || manager.number_of_objects().expect("a number") == 1);
    manager.shutdown()
}

#[test]
fn a_proxy_of_another_server_is_refused() -> Result<()> {
    let (manager, other) = (manager(), manager());
    let foreign = CounterProxy::new(&other, 0)?;
    let dict = DictProxy::<u8, CounterProxy>::new(&manager)?;
    let refused = dict.insert(1, &foreign);
    assert!(matches!(&refused, Err(Error::ForeignProxy { address, .. }) if *address == other.address()), "{refused:?}");
    assert!(dict.is_empty()?);
    other.shutdown()?;
    manager.shutdown()
}

#[test]
fn dicts_are_compared_by_value_without_order() -> Result<()> {
    let manager = manager();
    let a = DictProxy::<String, f64>::from_iter(&manager, [("x", 1.0), ("y", 2.0)])?;
    let b = DictProxy::<String, u8>::from_iter(&manager, [("y", 2), ("x", 1)])?;
    assert!(a.equals(&b)? && b.equals(&a)? && a.equals(&a)?);
    assert!(a.equals(&BTreeMap::from([("x", 1), ("y", 2)]))?);
    b.insert("z", 3)?;
    assert!(!a.equals(&b)?);
    manager.shutdown()
}

/// 1,050 of 2,000 in Python, where two processes write `d[k] += 1`.
#[test]
fn updates_of_many_processes_lose_nothing() -> Result<()> {
    let manager = manager();
    let dict = DictProxy::<String, u32>::from_iter(&manager, [("n", 0)])?;
    let children: Vec<Child> = (0..8)
        .map(|_| {
            let dict = dict.clone();
            fork(move || {
                for _ in 0..250 {
                    dict.update("n", |n| n.map(|n| n + 1)).expect("an update");
                }
                0
            })
        })
        .collect();
    assert!(children.into_iter().map(wait).all(|code| code == 0));
    assert_eq!(dict.get("n")?, Some(2000));
    manager.shutdown()
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u8, i8),
    InsertIfAbsent(u8, i8),
    Remove(u8),
    PopItem,
    Extend(Vec<(u8, i8)>),
    Update(u8, Option<i8>),
    CompareExchange(u8, Option<i8>, Option<i8>),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (key, value) = (0..6_u8, -2..2_i8);
    let step = prop_oneof![
        4 => (key.clone(), value.clone()).prop_map(|(key, value)| Step::Insert(key, value)),
        2 => (key.clone(), value.clone()).prop_map(|(key, value)| Step::InsertIfAbsent(key, value)),
        3 => key.clone().prop_map(Step::Remove),
        1 => Just(Step::PopItem),
        1 => proptest::collection::vec((key.clone(), value.clone()), 0..4).prop_map(Step::Extend),
        2 => (key.clone(), proptest::option::of(value.clone())).prop_map(|(key, value)| Step::Update(key, value)),
        2 => (key, proptest::option::of(value.clone()), proptest::option::of(value))
            .prop_map(|(key, expected, new)| Step::CompareExchange(key, expected, new)),
        1 => Just(Step::Clear),
    ];
    proptest::collection::vec(step, 1..40)
}

/// A map that knows the order of insertion: the keys in order, and their values.
type Model = (Vec<u8>, HashMap<u8, i8>);

fn set((order, map): &mut Model, key: u8, value: Option<i8>) -> Option<i8> {
    let former = match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
    match (former, value) {
        (None, Some(_)) => order.push(key),
        (Some(_), None) => order.retain(|there| *there != key),
        _ => {}
    }
    former
}

fn run(dict: &DictProxy<u8, i8>, model: &mut Model, step: Step) -> Result<()> {
    match step {
        Step::Insert(key, value) => assert_eq!(dict.insert(key, value)?, set(model, key, Some(value))),
        Step::InsertIfAbsent(key, value) => {
            let there = model.1.get(&key).copied();
            assert_eq!(dict.insert_if_absent(key, value)?, there);
            set(model, key, Some(there.unwrap_or(value)));
        }
        Step::Remove(key) => assert_eq!(dict.remove(key)?, set(model, key, None)),
        Step::PopItem => {
            let last = model.0.last().copied();
            assert_eq!(dict.pop_item()?, last.map(|key| (key, set(model, key, None).expect("in both"))));
        }
        Step::Extend(entries) => {
            dict.extend(entries.iter().copied())?;
            for (key, value) in entries {
                set(model, key, Some(value));
            }
        }
        Step::Update(key, value) => {
            let there = model.1.get(&key).copied();
            let seen = dict.update(key, |found| {
                assert_eq!(found, there);
                value
            })?;
            assert_eq!(seen, value);
            set(model, key, value);
        }
        Step::CompareExchange(key, expected, new) => {
            let there = model.1.get(&key).copied();
            let exchanged = dict.compare_exchange(key, expected.as_ref(), new.as_ref())?;
            if there == expected {
                assert_eq!(exchanged, Ok(there));
                set(model, key, new);
            } else {
                assert_eq!(exchanged, Err(there));
            }
        }
        Step::Clear => {
            dict.clear()?;
            *model = Model::default();
        }
    }
    Ok(())
}

#[test]
fn a_dict_is_a_map_in_order_of_insertion() {
    let manager = manager();
    proptest!(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() }, |(steps in steps())| {
        let dict = DictProxy::<u8, i8>::new(&manager).expect("a dict");
        let mut model = Model::default();
        for step in steps {
            run(&dict, &mut model, step).expect("a step");
            let expected: Vec<(u8, i8)> = model.0.iter().map(|key| (*key, model.1[key])).collect();
            prop_assert_eq!(&dict.items().expect("entries"), &expected);
            prop_assert_eq!(dict.iter().collect::<Result<Vec<_>>>().expect("entries"), expected);
            prop_assert_eq!(dict.len().expect("a length"), model.1.len());
        }
    });
    manager.shutdown().expect("an end");
}

/// An object that looks into a dict when it ends.
pub struct Curious {
    dict: DictProxy<u32, u32>,
    looked: CounterProxy,
}

#[multiproc::referent]
impl Curious {
    /// With its proxy in the dict, it looks at that.
    pub fn new(dict: BaseProxy, looked: CounterProxy) -> Self {
        Self { dict: DictProxy::from_base(dict), looked }
    }
}

impl Drop for Curious {
    fn drop(&mut self) {
        if self.dict.len().is_ok() {
            let _ = self.looked.add(1);
        }
    }
}

/// Symptom: a client that removed a value by `update` hung, and everybody who used the dict after it. Cause: what the dict had held was dropped under its lock, and the
/// destructor of an object that thereby ended used the dict.
#[test]
fn what_leaves_a_dict_is_dropped_outside_of_its_lock() -> Result<()> {
    let manager = SyncManager::builder().register::<Curious>().start()?;
    let dict = DictProxy::<u32, CuriousProxy>::new(&manager)?;
    let looked = CounterProxy::new(&manager, 0)?;
    let hasty = dict.with_timeout(common::LIMIT);
    type Removal = fn(&DictProxy<u32, CuriousProxy>) -> Result<()>;
    let removals: [Removal; 5] = [
        |dict| dict.update(1, |_| None).map(drop),
        |dict| dict.remove(1).map(drop),
        |dict| dict.pop_item().map(drop),
        DictProxy::clear,
        |dict| {
            let there = dict.get(1)?;
            dict.compare_exchange(1, there.as_ref(), None).map(drop)
        },
    ];
    for (number, removal) in (1..).zip(removals) {
        hasty.insert(1, CuriousProxy::new(&manager, dict.base().clone(), looked.clone())?)?;
        removal(&hasty)?;
        eventually("its end has looked", || looked.with_timeout(common::LIMIT).get().expect("a number") == number);
        assert_eq!(hasty.len()?, 0);
    }
    manager.shutdown()
}
