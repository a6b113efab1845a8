//! Eight processes on each container, some of which are killed in the middle of it: what was acknowledged is there, what was not is there or not, and nobody else is held up.

mod common;

use common::{Child, fork, wait};
use multiproc::types::{
    ArrayProxy, DictProxy, ListProxy, NamespaceProxy, PriorityQueueProxy, QueueProxy, SetProxy, ValueProxy,
};
use multiproc::{Proxy, Result, SyncManager};

/// What the processes work on.
#[derive(Clone)]
struct Shared {
    dict: DictProxy<String, u32>,
    list: ListProxy<(u32, u32)>,
    set: SetProxy<(u32, u32)>,
    value: ValueProxy<(u32, u32)>,
    array: ArrayProxy<u32>,
    /// By process: how many turns it has finished.
    done: ArrayProxy<u32>,
}

const PROCESSES: u32 = 8;
/// How many turns one makes that is not killed.
const TURNS: u32 = 60;

fn work(shared: &Shared, number: u32, turns: u32) -> Result<()> {
    for turn in 0..turns {
        shared.dict.update("n", |n| n.map(|n| n + 1))?;
        shared.list.push((number, turn))?;
        shared.set.insert((number, turn))?;
        if turn.is_multiple_of(2) {
            let mut guard = shared.value.lock()?;
            assert_eq!(guard.0, guard.1, "half a change is seen");
            guard.0 += 1;
            guard.1 += 1;
            guard.unlock()?;
        } else {
            shared.value.update(|(a, b)| (a + 1, b + 1))?;
        }
        shared.array.update(0, |n| n + 1)?;
        shared.array.fetch_add(1, 1)?;
        shared.done.fetch_add(number, 1)?;
    }
    Ok(())
}

#[test]
fn containers_keep_what_the_killed_had_done_and_let_the_others_go_on() -> Result<()> {
    let manager = SyncManager::start()?;
    let shared = Shared {
        dict: DictProxy::from_iter(&manager, [("n", 0)])?,
        list: ListProxy::new(&manager)?,
        set: SetProxy::new(&manager)?,
        value: ValueProxy::new(&manager, (0, 0))?,
        array: ArrayProxy::zeroed(&manager, 2)?,
        done: ArrayProxy::zeroed(&manager, PROCESSES as usize)?,
    };
    let start = |number: u32| -> Child {
        let shared = shared.clone();
        // Those of odd numbers never end by themselves.
        fork(move || i32::from(work(&shared, number, if number.is_multiple_of(2) { TURNS } else { u32::MAX }).is_err()))
    };
    let mut children: Vec<Option<Child>> = (0..PROCESSES).map(|number| Some(start(number))).collect();
    // Killed one after the other, each when it is in the middle of it: after some more turns than the one before.
    for number in (1..PROCESSES).step_by(2) {
        common::eventually("some turns are done", || {
            shared.done.get(number).expect("a number").expect("there") >= 3 + number
        });
        children[number as usize].take().expect("runs").kill();
    }
    for child in children.into_iter().flatten() {
        assert_eq!(wait(child), 0);
    }
    let done = shared.done.to_vec()?;
    let (finished, killed) = (done.iter().sum::<u32>(), PROCESSES / 2);
    assert!((0..PROCESSES).step_by(2).all(|number| done[number as usize] == TURNS));
    // A killed one may have got anywhere in its last turn.
    let counts = |n: u32| (finished..=finished + killed).contains(&n);
    let n = shared.dict.get("n")?.expect("there");
    assert!(counts(n), "{n} updates of a dict, {finished} finished");
    let (a, b) = shared.value.get()?;
    assert!(a == b && counts(a), "({a}, {b}) changes of a value, {finished} finished");
    let sums = shared.array.to_vec()?;
    assert!(sums.iter().all(|&sum| counts(sum)), "{sums:?} changes of an array, {finished} finished");
    let pushed = shared.list.to_vec()?;
    assert!(counts(u32::try_from(pushed.len()).expect("few")));
    for number in 0..PROCESSES {
        let turns: Vec<u32> = pushed.iter().filter(|(by, _)| *by == number).map(|(_, turn)| *turn).collect();
        assert_eq!(turns, (0..u32::try_from(turns.len()).expect("few")).collect::<Vec<_>>(), "each once, and in order");
        assert!(turns.len() >= done[number as usize] as usize);
    }
    let inserted = shared.set.to_set::<std::collections::BTreeSet<_>>()?;
    assert!(counts(u32::try_from(inserted.len()).expect("few")));
    // Nothing is held by the dead.
    work(&shared, 0, 1)?;
    manager.shutdown()
}

/// Cause, once: what was popped was forgotten at the moment of the answer.
#[test]
fn what_is_popped_and_never_arrives_is_put_back() -> Result<()> {
    let manager = SyncManager::start()?;
    let list = ListProxy::<u32>::from_iter(&manager, 0..5_u32)?;
    let set = SetProxy::<u32>::from_iter(&manager, 0..5_u32)?;
    let dict = DictProxy::<u32, u32>::from_iter(&manager, (0..5_u32).map(|n| (n, n * n)))?;
    // The takers never look at what they have asked for.
    let taker = {
        let (list, set, dict) = (list.clone(), set.clone(), dict.clone());
        fork(move || {
            let _popped = (list.defer().pop_at(1), set.defer().pop(), dict.defer().pop_item());
            loop {
                std::thread::park();
            }
        })
    };
    common::eventually("all are taken", || {
        let lengths = (list.len(), set.len(), dict.len());
        matches!(lengths, (Ok(4), Ok(4), Ok(4)))
    });
    list.pop()?;
    taker.kill();
    common::eventually("all are back", || matches!((list.len(), set.len(), dict.len()), (Ok(4), Ok(5), Ok(5))));
    assert_eq!(list.to_vec()?, [0, 1, 2, 3], "at its index");
    assert_eq!((set.pop()?, dict.pop_item()?), (Some(4), Some((4, 16))));
    // What was set anew meanwhile stays.
    let (gone, taken) = (dict.defer().pop_item(), list.defer().pop());
    common::eventually("both are taken", || matches!((dict.len(), list.len()), (Ok(3), Ok(3))));
    dict.insert(3, 1)?;
    drop((gone, taken));
    common::eventually("the element is back", || matches!(list.len(), Ok(4)));
    assert_eq!(dict.get(3)?, Some(1));
    manager.shutdown()
}

#[test]
fn arrays_and_namespaces_are_equal_by_value() -> Result<()> {
    let manager = SyncManager::start()?;
    let array = ArrayProxy::<i32>::from_iter(&manager, 0..100)?;
    assert!(array.equals(&array)? && array.equals(&ArrayProxy::<f64>::from_iter(&manager, (0..100).map(f64::from))?)?);
    assert!(
        array.equals(&(0..100).collect::<Vec<u8>>())?
            && array.equals(&ListProxy::<u8>::from_iter(&manager, 0..100)?)?
    );
    assert!(!array.equals(&(0..99).collect::<Vec<u8>>())? && !array.equals(&"no list")?);
    array.set(50, -1)?;
    assert!(!array.equals(&(0..100).collect::<Vec<u8>>())?);
    let namespace = NamespaceProxy::of(&manager, &std::collections::HashMap::from([("x", 1), ("y", 2)]))?;
    let other = NamespaceProxy::new(&manager)?;
    other.set("y", 2.0)?;
    assert!(!namespace.equals(&other)?);
    other.set("x", 1)?;
    assert!(namespace.equals(&other)? && namespace.equals(&std::collections::BTreeMap::from([("x", 1), ("y", 2)]))?);
    manager.shutdown()
}

#[test]
fn large_vectors_of_numbers_come_out_of_every_container_as_they_went_in() -> Result<()> {
    let manager = SyncManager::start()?;
    let large: Vec<f64> = (0..200_000).map(f64::from).collect();
    let one = std::slice::from_ref(&large);
    let queue = QueueProxy::<Vec<f64>>::new(&manager, 0)?;
    queue.put(&large)?;
    queue.put_many([&large, &large])?;
    assert_eq!(queue.get()?, large);
    assert_eq!(queue.get_many(1)?, one);
    assert_eq!(queue.try_get()?, large);
    let ranked = PriorityQueueProxy::<Vec<f64>>::new(&manager, 0)?;
    ranked.put(7, &large)?;
    assert_eq!(ranked.get()?, (7, large.clone()));
    let set = SetProxy::<Vec<f64>>::from_iter(&manager, [&large])?;
    assert_eq!(set.intersection(one)?, one);
    assert_eq!(set.iter().collect::<Result<Vec<_>>>()?, one);
    assert_eq!(set.pop()?.as_ref(), Some(&large));
    let list = ListProxy::<Vec<f64>>::from_iter(&manager, [&large])?;
    assert_eq!(list.concatenate(&list)?, [large.clone(), large.clone()]);
    assert_eq!(list.set(0, vec![])?, large);
    let namespace = NamespaceProxy::new(&manager)?;
    namespace.set_as::<Vec<f64>>("weights", &large)?;
    assert_eq!(namespace.get("weights")?.as_ref(), Some(&large));
    // Other numbers than were put are still read one by one, where they fit.
    namespace.set("weights", [1_u8, 2])?;
    assert_eq!(namespace.get::<Vec<f64>>("weights")?, Some(vec![1.0, 2.0]));
    manager.shutdown()
}
