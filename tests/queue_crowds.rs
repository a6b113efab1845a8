//! Queues under many processes: each item to one of them, whoever is killed, gives up, or runs out of time.

#![allow(missing_docs)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Child, LIMIT, eventually, fork, wait};
use multiproc::types::{CounterProxy, DictProxy, LifoQueueProxy, PriorityQueueProxy, QueueError, QueueProxy};
use multiproc::{CallError, Error, Proxy, Result, SyncManager};
use nix::sys::signal::Signal;

fn manager() -> SyncManager {
    SyncManager::start().expect("a manager")
}

fn server(manager: &SyncManager) -> i32 {
    i32::try_from(manager.pid().expect("a server of this process's")).expect("a pid")
}

/// Which producer's item, and its how-manieth.
type Job = (u32, u32);

/// A child that waits in `get`, and adds what it got to a counter.
fn waits(queue: &QueueProxy<u32>, waiting: usize, got: &CounterProxy) -> Child {
    let child = fork({
        let (queue, got) = (queue.clone(), got.clone());
        move || {
            got.add(queue.get().expect("an item").into()).expect("a sum");
            0
        }
    });
    eventually("it waits", || queue.waiting().expect("numbers").0 == waiting);
    child
}

#[test]
fn each_item_is_delivered_once_in_its_producers_order() -> Result<()> {
    const ITEMS: u32 = 250;
    let manager = manager();
    let (jobs, results) = (QueueProxy::<Job>::new(&manager, 10)?, QueueProxy::<Vec<Job>>::new(&manager, 0)?);
    let producers: Vec<_> = (0..4)
        .map(|producer| {
            let jobs = jobs.clone();
            fork(move || {
                for n in (0..ITEMS).step_by(5) {
                    if producer % 2 == 0 {
                        assert_eq!(jobs.put_many((n..n + 5).map(|n| (producer, n))).expect("room"), 5);
                    } else {
                        (n..n + 5).for_each(|n| jobs.put((producer, n)).expect("room"));
                    }
                }
                0
            })
        })
        .collect();
    let consumers: Vec<_> = (0..4)
        .map(|consumer| {
            let (jobs, results) = (jobs.clone(), results.clone());
            fork(move || {
                let mut got = Vec::new();
                match consumer % 2 {
                    0 => got.extend(jobs.iter().map(|job| job.expect("a job"))),
                    _ => {
                        while let Ok(batch) = jobs.get_many(3) {
                            got.extend(batch);
                        }
                    }
                }
                results.put(got).expect("room");
                0
            })
        })
        .collect();
    assert!(producers.into_iter().map(wait).all(|code| code == 0));
    jobs.shutdown(false)?;
    assert!(consumers.into_iter().map(wait).all(|code| code == 0));
    let mut all = Vec::new();
    for got in results.get_many(4)? {
        for producer in 0..4 {
            let of_producer: Vec<_> = got.iter().filter(|job| job.0 == producer).collect();
            assert!(of_producer.is_sorted_by(|a, b| a < b), "out of order: {of_producer:?}");
        }
        all.extend(got);
    }
    all.sort_unstable();
    let expected: Vec<_> = (0..4).flat_map(|producer| (0..ITEMS).map(move |n| (producer, n))).collect();
    assert!(all == expected, "{} items instead of {}", all.len(), expected.len());
    manager.shutdown()
}

/// In Python, the next item is lost when a process is killed in `get`.
#[test]
fn what_was_on_its_way_to_the_killed_returns_to_its_place() -> Result<()> {
    let manager = manager();
    let got = CounterProxy::new(&manager, 0)?;
    for _ in 0..8 {
        let queue = QueueProxy::<u32>::new(&manager, 5)?;
        let children: Vec<_> = (1..=3).map(|number| waits(&queue, number, &got)).collect();
        children.iter().for_each(Child::stop);
        queue.put_many(0..5)?;
        assert_eq!(queue.len()?, 2, "three are on their way to processes that do not run");
        // In whatever order.
        children.into_iter().rev().for_each(Child::kill);
        eventually("all are back", || queue.len().expect("a number") == 5);
        assert_eq!(queue.get_many(5)?, [0, 1, 2, 3, 4]);
    }
    assert_eq!(got.get()?, 0);
    manager.shutdown()
}

#[test]
fn what_returns_is_given_to_whoever_waits() -> Result<()> {
    let manager = manager();
    let (queue, got) = (QueueProxy::<u32>::new(&manager, 0)?, CounterProxy::new(&manager, 0)?);
    let first = waits(&queue, 1, &got);
    let second = waits(&queue, 2, &got);
    first.stop();
    queue.put(7)?;
    assert_eq!(queue.waiting()?, (1, 0));
    first.kill();
    assert_eq!(wait(second), 0);
    assert_eq!(got.get()?, 7);
    manager.shutdown()
}

#[test]
fn a_queue_ends_only_when_nothing_is_on_its_way_any_more() -> Result<()> {
    let manager = manager();
    for killed in [true, false] {
        let (queue, got) = (QueueProxy::<u32>::new(&manager, 0)?, CounterProxy::new(&manager, 0)?);
        let child = waits(&queue, 1, &got);
        child.stop();
        queue.put(7)?;
        queue.shutdown(false)?;
        assert!(matches!(queue.try_get(), Err(CallError::Method(QueueError::Empty))));
        thread::scope(|scope| {
            let rest = scope.spawn(|| queue.iter().collect::<Result<Vec<_>>>());
            eventually("it waits", || queue.waiting().expect("numbers").0 == 1);
            let expected = if killed {
                child.kill();
                vec![7]
            } else {
                child.signal(Signal::SIGCONT);
                assert_eq!(wait(child), 0);
                vec![]
            };
            assert_eq!(rest.join().expect("no panic").expect("items"), expected);
        });
        assert_eq!(got.get()?, if killed { 0 } else { 7 });
    }
    manager.shutdown()
}

#[test]
fn the_item_of_a_putter_that_is_killed_while_it_waits_is_never_put() -> Result<()> {
    let manager = manager();
    let queue = LifoQueueProxy::<u32>::new(&manager, 1)?;
    queue.put(0)?;
    let mut children: Vec<_> = (1..=4)
        .map(|number| {
            let child = fork({
                let queue = queue.clone();
                move || i32::from(queue.put(number).is_err())
            });
            eventually("it waits", || queue.waiting().expect("numbers").1 == number as usize);
            child
        })
        .collect();
    children.remove(1).kill();
    eventually("it has left the line", || queue.waiting().expect("numbers").1 == 3);
    let got: Vec<_> = (0..4).map(|_| queue.get().expect("an item")).collect();
    assert_eq!(got, [0, 1, 3, 4]);
    assert!(children.into_iter().map(wait).all(|code| code == 0));
    assert!(queue.is_empty()?);
    manager.shutdown()
}

#[test]
fn join_tells_of_items_that_died_with_their_consumers() -> Result<()> {
    let manager = manager();
    let jobs = PriorityQueueProxy::<u32>::from_iter(&manager, (0..4).map(|n| (0, n)))?;
    let took = CounterProxy::new(&manager, 0)?;
    let dies = fork({
        let (jobs, took) = (jobs.clone(), took.clone());
        move || {
            jobs.get_many(3).expect("jobs");
            jobs.task_done().expect("it was taken");
            took.add(1).expect("a sum");
            thread::sleep(LIMIT);
            0
        }
    });
    eventually("it has taken its jobs", || took.get().expect("a number") == 1);
    thread::scope(|scope| {
        let joiner = scope.spawn(|| jobs.join());
        dies.kill();
        // What can still be done is waited for.
        jobs.get().expect("the fourth");
        thread::sleep(Duration::from_millis(20));
        assert!(!joiner.is_finished());
        jobs.task_done().expect("it was taken");
        let told = joiner.join().expect("no panic");
        assert!(matches!(told, Err(CallError::Method(QueueError::Lost { items: 2 }))), "{told:?}");
    });
    // Every join says so, until somebody has seen to them.
    assert!(matches!(jobs.join(), Err(CallError::Method(QueueError::Lost { items: 2 }))));
    jobs.task_done()?;
    assert!(matches!(jobs.join(), Err(CallError::Method(QueueError::Lost { items: 1 }))));
    jobs.task_done()?;
    jobs.join()?;
    manager.shutdown()
}

/// A number from a row that looks random, and is another for each seed.
fn random(seed: &mut u32) -> u32 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    *seed
}

/// Consumers write into a dict what they got before they get the next: so each that is killed may take one item with it that it had received. Nothing else is lost, and
/// nothing is got twice.
#[test]
fn nothing_else_is_lost_when_producers_and_consumers_are_killed_at_random() -> Result<()> {
    let manager = manager();
    let jobs = QueueProxy::<Job>::new(&manager, 4)?;
    // What is known to have been put: how many of each producer's.
    let put = DictProxy::<u32, u32>::new(&manager)?;
    let got = DictProxy::<Job, u32>::new(&manager)?;
    let doubles = CounterProxy::new(&manager, 0)?;
    let produce = |producer: u32| {
        let (jobs, put) = (jobs.clone(), put.clone());
        fork(move || {
            for n in 0.. {
                jobs.put((producer, n)).expect("room");
                put.insert(producer, n + 1).expect("a note");
            }
            0
        })
    };
    let consume = |consumer: u32| {
        let (jobs, got, doubles) = (jobs.clone(), got.clone(), doubles.clone());
        fork(move || {
            loop {
                let job = jobs.get().expect("a job");
                if got.insert(job, consumer).expect("a note").is_some() {
                    doubles.add(1).expect("a sum");
                }
            }
        })
    };
    let mut number = 0;
    let mut next = || {
        number += 1;
        number
    };
    let mut producers: Vec<_> = (0..4).map(|_| produce(next())).collect();
    let mut consumers: Vec<_> = (0..4).map(|_| consume(next())).collect();
    let (mut seed, mut killed) = (std::process::id() | 1, 0);
    for round in 0..60 {
        thread::sleep(Duration::from_millis(u64::from(random(&mut seed) % 20)));
        let index = random(&mut seed) as usize % 4;
        if round % 3 == 0 {
            std::mem::replace(&mut producers[index], produce(next())).kill();
        } else {
            std::mem::replace(&mut consumers[index], consume(next())).kill();
            killed += 1;
        }
    }
    eventually("enough is got", || got.len().expect("a number") > 100);
    producers.into_iter().for_each(Child::kill);
    // What is left is got, noted by the consumers that live: nobody dies with it.
    eventually("all is got", || jobs.is_empty().expect("a number") && jobs.waiting().expect("numbers") == (4, 0));
    consumers.into_iter().for_each(Child::kill);
    eventually("nothing waits", || jobs.waiting().expect("numbers") == (0, 0));
    let got: BTreeMap<Job, u32> = got.to_map()?;
    let put: BTreeMap<u32, u32> = put.to_map()?;
    assert_eq!((doubles.get()?, jobs.len()?), (0, 0));
    for &(producer, n) in got.keys() {
        // One more than was noted may have been put.
        assert!(n <= put.get(&producer).copied().unwrap_or(0), "{n} of {producer} was never put");
    }
    let lost: Vec<_> = put
        .iter()
        .flat_map(|(&producer, &count)| (0..count).map(move |n| (producer, n)))
        .filter(|job| !got.contains_key(job))
        .collect();
    assert!(lost.len() <= killed, "{} items lost, {killed} consumers killed: {lost:?}", lost.len());
    manager.shutdown()
}

#[test]
fn a_storm_of_timeouts_loses_and_doubles_nothing() -> Result<()> {
    let manager = manager();
    let queue = QueueProxy::<Job>::new(&manager, 1)?;
    // What each producer was told, and what each consumer got.
    let reports = QueueProxy::<(Vec<Job>, Vec<Job>)>::new(&manager, 0)?;
    let producers = (0..3).map(|producer| {
        let (queue, reports) = (queue.clone(), reports.clone());
        fork(move || {
            let (mut put, mut unknown) = (Vec::new(), Vec::new());
            for n in 0..150 {
                match queue.put_timeout((producer, n), Duration::from_millis(1)) {
                    Ok(()) => put.push((producer, n)),
                    Err(CallError::Method(QueueError::Full)) => {}
                    Err(CallError::System(Error::Timeout { .. })) => unknown.push((producer, n)),
                    Err(error) => panic!("{error}"),
                }
            }
            reports.put((put, unknown)).expect("room");
            0
        })
    });
    let producers: Vec<_> = producers.collect();
    let got = QueueProxy::<Vec<Job>>::new(&manager, 0)?;
    let consumers = (0..3).map(|_| {
        let (queue, results) = (queue.clone(), got.clone());
        fork(move || {
            let mut got = Vec::new();
            loop {
                match queue.get_timeout(Duration::from_millis(1)) {
                    Ok(job) => got.push(job),
                    Err(CallError::Method(QueueError::ShutDown)) => break,
                    Err(CallError::Method(QueueError::Empty) | CallError::System(Error::Timeout { .. })) => {}
                    Err(error) => panic!("{error}"),
                }
                // So that those who put run out of time, too.
                thread::sleep(Duration::from_micros(1500));
            }
            results.put(got).expect("room");
            0
        })
    });
    let consumers: Vec<_> = consumers.collect();
    assert!(producers.into_iter().map(wait).all(|code| code == 0));
    queue.shutdown(false)?;
    assert!(consumers.into_iter().map(wait).all(|code| code == 0));
    let all: Vec<Job> = got.get_many(3)?.into_iter().flatten().collect();
    let got: BTreeSet<Job> = all.iter().copied().collect();
    assert_eq!(got.len(), all.len(), "something was got twice");
    let (mut put, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for (of_one, not_known) in reports.get_many(3)? {
        put.extend(of_one);
        unknown.extend(not_known);
    }
    assert!(put.is_subset(&got), "lost: {:?}", put.difference(&got));
    let more: BTreeSet<Job> = got.difference(&put).copied().collect();
    assert!(more.is_subset(&unknown), "put in spite of `Full`: {more:?}");
    assert!(!put.is_empty() && put.len() < 450, "{} of 450 were put: no storm", put.len());
    manager.shutdown()
}

#[test]
fn gets_that_are_given_up_lose_nothing() -> Result<()> {
    let manager = manager();
    let queue = QueueProxy::<u32>::new(&manager, 0)?;
    let mut seed = std::process::id() | 1;
    for n in 0..300 {
        let pending: Vec<_> = (0..random(&mut seed) % 3).map(|_| queue.defer().get()).collect();
        queue.put(n)?;
        // Some are answered by now, and some answers have been read; nobody looks at any.
        drop(pending);
    }
    eventually("all are back", || queue.len().expect("a number") == 300);
    assert_eq!(queue.get_many(300)?, (0..300).collect::<Vec<_>>());
    manager.shutdown()
}

#[test]
fn a_thousand_who_wait_cost_no_thread() -> Result<()> {
    let manager = manager();
    let queue = QueueProxy::<u32>::new(&manager, 0)?;
    let (sum, before) = (CounterProxy::new(&manager, 0)?, common::threads(server(&manager)));
    let children: Vec<_> = (0..4)
        .map(|_| {
            let (queue, sum) = (queue.clone(), sum.clone());
            fork(move || {
                let twin = queue.defer();
                let waiting: Vec<_> = (0..250).map(|_| twin.get()).collect();
                for item in waiting {
                    sum.add(item.wait().expect("an item").into()).expect("a sum");
                }
                0
            })
        })
        .collect();
    eventually("all wait", || queue.waiting().expect("numbers").0 == 1000);
    // A busy machine may have made the lead pass on; those threads go home again.
    eventually("hardly more threads than before", || common::threads(server(&manager)) <= before + 2);
    queue.put_many(0..1000)?;
    assert!(children.into_iter().map(wait).all(|code| code == 0));
    assert_eq!(sum.get()?, (0..1000).sum::<i64>());
    manager.shutdown()
}

/// What a process has in memory, in KiB.
fn resident(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_hundred_thousand_gets_that_timed_out_leave_nothing_behind() -> Result<()> {
    const AT_ONCE: u32 = 1000;
    let manager = manager();
    let queue = QueueProxy::<u32>::new(&manager, 0)?;
    let time_out = |times: u32| {
        for _ in 0..times / AT_ONCE {
            let twin = queue.with_timeout(Duration::from_millis(1)).defer();
            let waiting: Vec<_> = (0..AT_ONCE).map(|_| twin.get()).collect();
            for item in waiting {
                let item = item.wait();
                assert!(matches!(item, Err(CallError::System(Error::Timeout { .. }))), "{item:?}");
            }
        }
        eventually("nobody waits", || queue.waiting().expect("numbers") == (0, 0));
    };
    time_out(5 * AT_ONCE);
    let (before, begin) = (resident(server(&manager)), Instant::now());
    time_out(100_000);
    let after = resident(server(&manager));
    // A tenth of what the waiters alone would take, had they stayed.
    assert!(after < before + 2048, "{before} KiB before, {after} KiB after, in {:?}", begin.elapsed());
    queue.put(1)?;
    assert_eq!(queue.get()?, 1);
    manager.shutdown()
}

/// Many waiters of one process: where it is killed, an answer that can't be sent leads to the next one.
#[test]
fn a_crowd_that_is_killed_while_it_is_served_costs_no_item() -> Result<()> {
    const CROWD: u32 = 300;
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let manager = manager();
    for _ in 0..3 {
        let queue = QueueProxy::<u32>::new(&manager, 0)?;
        let child = fork({
            let queue = queue.clone();
            move || {
                thread::scope(|scope| {
                    for _ in 0..CROWD {
                        scope.spawn(|| queue.get().expect("an item"));
                    }
                });
                0
            }
        });
        eventually("all wait", || queue.waiting().expect("numbers").0 == CROWD as usize);
        child.stop();
        let first = NUMBER.fetch_add(100, Ordering::Relaxed);
        thread::scope(|scope| {
            scope.spawn(|| child.kill());
            (first..first + 100).for_each(|n| queue.put(n).expect("room"));
        });
        eventually("all are back", || queue.len().expect("a number") == 100);
        assert_eq!(queue.get_many(100)?, (first..first + 100).collect::<Vec<_>>());
    }
    manager.shutdown()
}
