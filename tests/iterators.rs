//! Iterators that stay in the server: handed out by a method, shared by whoever has a proxy.

#![allow(missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::{eventually, fork, wait};
use multiproc::types::{CounterProxy, DictProxy, Iter, IteratorProxy, QueueProxy};
use multiproc::{BaseManager, Error, Proxy, Result, SyncManager};

/// Hands out iterators, and knows how many of them live.
#[derive(Default)]
pub struct Source {
    living: Arc<AtomicUsize>,
}

struct Living(Arc<AtomicUsize>);

impl Drop for Living {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[multiproc::referent(typeid = "Source")]
impl Source {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn living(&self) -> usize {
        self.living.load(Ordering::Relaxed)
    }

    #[referent(proxy)]
    pub fn numbers(&self, count: u64) -> Iter<u64> {
        self.living.fetch_add(1, Ordering::Relaxed);
        let living = Living(Arc::clone(&self.living));
        Iter::new((0..count).inspect(move |_| {
            let _ = &living;
        }))
    }

    #[referent(proxy)]
    pub fn slow(&self) -> Iter<u64> {
        Iter::new((0..3).inspect(|_| thread::sleep(Duration::from_millis(5))))
    }

    #[referent(proxy)]
    pub fn breaks(&self) -> Iter<u64> {
        Iter::new((0..5).inspect(|&n| assert!(n != 3, "three is too many")))
    }

    #[referent(proxy)]
    pub fn texts(&self, count: usize, length: usize) -> Iter<String> {
        Iter::new((0..count).map(move |_| "x".repeat(length)))
    }
}

fn start() -> Result<(BaseManager, SourceProxy)> {
    let manager = BaseManager::builder().register::<Source>().start()?;
    let source = SourceProxy::new(&manager)?;
    Ok((manager, source))
}

#[test]
fn items_come_one_by_one_or_in_batches_until_the_end() -> Result<()> {
    let (manager, source) = start()?;
    let numbers: IteratorProxy<u64> = source.numbers(1000)?;
    assert_eq!(numbers.next_item()?, Some(0));
    assert_eq!(numbers.next_batch(0)?, [0; 0]);
    assert_eq!(numbers.next_batch(3)?, [1, 2, 3]);
    assert_eq!(numbers.iter().collect::<Result<Vec<_>>>()?, (4..1000).collect::<Vec<_>>());
    assert_eq!(numbers.next_item()?, None);
    assert_eq!((&numbers).into_iter().count(), 0);
    // What is large comes in answers of few.
    let texts = source.texts(5, 200_000)?;
    let mut counts = Vec::new();
    while let count @ 1.. = texts.next_batch(9)?.len() {
        counts.push(count);
    }
    // Of fewer, where the server was kept from its work.
    assert!(counts.iter().sum::<usize>() == 5 && counts.iter().all(|&count| count <= 2), "{counts:?}");
    // What is slow comes as it comes.
    let slow = source.slow()?;
    assert_eq!([slow.next_batch(9)?, slow.next_batch(9)?, slow.next_batch(9)?], [[0], [1], [2]]);
    manager.shutdown()
}

#[test]
fn it_lives_until_it_is_closed_ends_or_is_let_go() -> Result<()> {
    let (manager, source) = start()?;
    let numbers = source.numbers(u64::MAX)?;
    assert_eq!((numbers.next_item()?, source.living()?), (Some(0), 1));
    numbers.close()?;
    assert_eq!((numbers.next_item()?, source.living()?), (None, 0));
    numbers.close()?;
    let let_go = source.numbers(10)?;
    let_go.next_item()?;
    drop(let_go);
    eventually("it is dropped", || source.living().expect("a number") == 0);
    let short = source.numbers(2)?;
    assert_eq!((short.iter().count(), source.living()?), (2, 0));
    manager.shutdown()
}

#[test]
fn a_panic_ends_it_behind_what_came_before() -> Result<()> {
    let (manager, source) = start()?;
    let breaks = source.breaks()?;
    let mut items = breaks.iter();
    let before: Vec<_> = items.by_ref().take(3).collect::<Result<_>>()?;
    assert_eq!(before, [0, 1, 2]);
    match items.next() {
        Some(Err(Error::Panicked(panic))) => assert!(panic.message.contains("three is too many"), "{panic}"),
        other => panic!("{other:?}"),
    }
    assert!(items.next().is_none());
    assert_eq!(breaks.next_item()?, None);
    manager.shutdown()
}

#[test]
fn each_item_goes_to_one_of_its_holders_and_none_is_lost_with_the_killed() -> Result<()> {
    const COUNT: u64 = 400;
    let manager = SyncManager::builder().register::<Source>().start()?;
    let source = SourceProxy::new(&manager)?;
    let numbers = source.numbers(COUNT)?;
    let (got, took) = (DictProxy::<u64, u32>::new(&manager)?, CounterProxy::new(&manager, 0)?);
    let take = |holder: u32| {
        let (numbers, got, took) = (numbers.clone(), got.clone(), took.clone());
        fork(move || {
            while let Some(number) = numbers.next_item().expect("an item") {
                took.add(1).expect("a sum");
                assert_eq!(got.insert(number, holder).expect("a note"), None, "{number} was given twice");
            }
            0
        })
    };
    let mut holders: Vec<_> = (0..3).map(take).collect();
    for round in 0..12_u32 {
        thread::sleep(Duration::from_millis(3));
        let index = round as usize % 3;
        std::mem::replace(&mut holders[index], take(10 + round)).kill();
    }
    assert!(holders.into_iter().map(wait).all(|code| code == 0));
    // The rest, which may have returned after the others had seen the end.
    let rest = numbers.iter().collect::<Result<Vec<_>>>()?;
    let mut all: BTreeSet<u64> = got.keys()?.into_iter().collect();
    for number in rest {
        assert!(all.insert(number), "{number} was given twice");
    }
    // Each that was killed may have taken one with it that it had received.
    assert!(all.len() as u64 + 12 >= COUNT, "{} of {COUNT}", all.len());
    manager.shutdown()
}

/// One that is on its way to a process that does not run comes back when that is killed, ahead of the others.
#[test]
fn what_was_on_its_way_returns() -> Result<()> {
    let manager = SyncManager::builder().register::<Source>().start()?;
    let numbers = SourceProxy::new(&manager)?.numbers(10)?;
    let (go, got) = (QueueProxy::<u8>::new(&manager, 0)?, CounterProxy::new(&manager, 0)?);
    for round in 1..=5 {
        let child = fork({
            let (numbers, go, got) = (numbers.clone(), go.clone(), got.clone());
            move || {
                // Sent ahead, answered, and never looked at.
                let batch = numbers.defer().next_batch(4);
                got.add(1).expect("a sum");
                let _ = go.get();
                drop(batch);
                0
            }
        });
        eventually("its batch is on its way", || got.get().expect("a number") == round);
        child.kill();
    }
    let mut all = Vec::new();
    eventually("all are there", || {
        all.extend(numbers.iter().map(|number| number.expect("a number")));
        all.len() == 10
    });
    all.sort_unstable();
    assert_eq!(all, (0..10).collect::<Vec<_>>());
    manager.shutdown()
}
