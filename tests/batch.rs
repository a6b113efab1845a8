//! Batches and deferred calls: order, errors, full buffers, deaths, forks, timeouts, handles that are dropped, tasks.

#![allow(missing_docs)]

mod common;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use common::{Child, alone, descriptors, eventually, fork, threads, wait};
use multiproc::{BaseManager, BaseProxy, CallError, Deferred, Error, Proxy, Responder};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Clone)]
pub struct Counter {
    count: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TooMuch(u64);

#[multiproc::referent(typeid = "Counter")]
impl Counter {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(&mut self, n: u64) -> u64 {
        self.count += n;
        self.count
    }

    pub fn get(&self) -> u64 {
        self.count
    }

    pub fn add_at_most(&mut self, n: u64, most: u64) -> Result<u64, TooMuch> {
        if self.count + n > most { Err(TooMuch(self.count + n)) } else { Ok(self.add(n)) }
    }

    pub fn trip(&self) {
        panic!("tripped");
    }

    pub fn echo(&self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }

    pub fn nap(&self, millis: u64) {
        thread::sleep(Duration::from_millis(millis));
    }

    #[referent(proxy)]
    pub fn twin(&self) -> Counter {
        self.clone()
    }
}

/// Hands each item to the one who has waited longest; one that never arrives goes back to the front.
#[derive(Debug, Default)]
pub struct Mailbox {
    items: Arc<Mutex<VecDeque<u64>>>,
    waiting: VecDeque<Responder<u64>>,
}

#[multiproc::referent(typeid = "Mailbox")]
impl Mailbox {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn put(&mut self, item: u64) {
        self.items.lock().unwrap().push_back(item);
        self.serve();
    }

    pub fn get(&mut self, responder: Responder<u64>) {
        self.waiting.push_back(responder);
        self.serve();
    }

    /// Those who wait and have not given up.
    pub fn waiting(&mut self) -> usize {
        self.waiting.retain(|waiting| waiting.is_wanted());
        self.waiting.len()
    }

    pub fn items(&self) -> Vec<u64> {
        self.items.lock().unwrap().iter().copied().collect()
    }
}

impl Mailbox {
    fn serve(&mut self) {
        self.waiting.retain(|waiting| waiting.is_wanted());
        while !self.waiting.is_empty() {
            let Some(item) = self.items.lock().unwrap().pop_front() else { return };
            let (Some(waiting), items) = (self.waiting.pop_front(), Arc::clone(&self.items)) else { return };
            waiting.respond_or_put_back(&item, move || items.lock().unwrap().push_front(item));
        }
    }
}

/// Holds proxies inside the server.
#[derive(Debug, Default)]
pub struct Shelf {
    slots: BTreeMap<u32, BaseProxy>,
}

#[multiproc::referent(typeid = "Shelf")]
impl Shelf {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn put(&mut self, slot: u32, proxy: BaseProxy) -> Option<BaseProxy> {
        self.slots.insert(slot, proxy)
    }

    pub fn take(&mut self, slot: u32) -> Option<BaseProxy> {
        self.slots.remove(&slot)
    }

    /// Deferred calls of what is held, without leaving the server.
    pub fn add_all(&self, n: u64) -> Result<Vec<u64>, Error> {
        let calls: Vec<_> = self.slots.values().map(|proxy| proxy.defer().call_method("add", (n,))).collect();
        calls.into_iter().map(Deferred::wait).collect()
    }
}

fn start() -> BaseManager {
    BaseManager::builder().register::<Counter>().register::<Mailbox>().register::<Shelf>().start().unwrap()
}

fn objects(manager: &BaseManager) -> u64 {
    manager.number_of_objects().unwrap()
}

#[test]
fn results_come_in_order_and_each_error_is_its_own_calls() {
    let _alone = alone();
    let manager = start();
    let (a, c) = (CounterProxy::new(&manager).unwrap(), CounterProxy::new(&manager).unwrap());
    let calls = manager.batch(|b| {
        let on = b.on(&a);
        (
            on.add(1),
            on.add_at_most(5, 3),
            on.trip(),
            b.on(&c).add(10),
            b.on(a.base()).call_method::<u64>("sing", ()),
            [on.add_at_most(2, 3), on.add_at_most(2, 3)],
            on.get(),
        )
    });
    let (one, refused, tripped, other, unknown, [fits, full], last) = calls.unwrap();
    assert_eq!(one.unwrap(), 1);
    assert!(matches!(refused, Err(CallError::Method(TooMuch(6)))), "{refused:?}");
    assert!(matches!(tripped, Err(Error::Panicked(_))), "{tripped:?}");
    assert_eq!(other.unwrap(), 10);
    assert!(matches!(unknown, Err(Error::NoSuchMethod { .. })), "{unknown:?}");
    assert_eq!(fits.unwrap(), 3);
    assert!(matches!(full, Err(CallError::Method(TooMuch(5)))), "{full:?}");
    assert_eq!(last.unwrap(), 3);
    drop((a, c));
    assert_eq!(objects(&manager), 0);
    manager.shutdown().unwrap();
}

#[test]
fn whatever_is_put_together_resolves_as_it_is_nested() {
    let _alone = alone();
    let manager = start();
    let counter = CounterProxy::new(&manager).unwrap();
    let nested = manager.batch(|b| {
        let add = |n| b.on(&counter).add(n);
        let pairs: Vec<_> = (1..=2).map(|n| (add(n), Some(add(n)))).collect();
        let none: Option<Deferred<u64>> = None;
        (pairs, none, Ok::<_, String>(add(1)), add(1).map(|sum| sum.to_string()))
    });
    let (pairs, none, fine, text) = nested.unwrap();
    let sums: Vec<_> = pairs.into_iter().map(|(one, other)| (one.unwrap(), other.unwrap().unwrap())).collect();
    assert_eq!(sums, [(1, 2), (4, 6)]);
    assert!(none.is_none());
    assert_eq!((fine.unwrap().unwrap(), text.unwrap()), (7, "8".to_owned()));
    assert_eq!(manager.batch(|_| ()).map(|()| 1).unwrap(), 1);
    // Waiting inside sends what there is.
    let last = manager.batch(|b| {
        let so_far = b.on(&counter).add(2).wait().unwrap();
        b.on(&counter).add(so_far)
    });
    assert_eq!(last.unwrap().unwrap(), 20);
    manager.shutdown().unwrap();
}

/// Mechanism: the end of a batch waits for every call of it, fetched or not.
#[test]
fn calls_of_a_batch_are_made_though_their_handles_are_dropped() {
    let _alone = alone();
    let manager = start();
    let counter = CounterProxy::new(&manager).unwrap();
    let mailbox = MailboxProxy::new(&manager).unwrap();
    manager
        .batch(|b| {
            for n in 0..100 {
                drop(b.on(&counter).add(1));
                drop(b.on(&counter).twin());
                drop(b.on(&mailbox).put(n));
                drop(b.on(&mailbox).get());
            }
        })
        .unwrap();
    assert_eq!(counter.get().unwrap(), 100);
    // Items that nobody wanted stay.
    eventually("all items are back", || mailbox.items().unwrap().len() == 100);
    assert_eq!(objects(&manager), 2);
    manager.shutdown().unwrap();
}

#[test]
fn a_batch_goes_to_one_server() {
    let _alone = alone();
    let (manager, stranger) = (start(), start());
    let (ours, theirs) = (CounterProxy::new(&manager).unwrap(), CounterProxy::new(&stranger).unwrap());
    let (one, other, last) = manager.batch(|b| (b.on(&ours).add(1), b.on(&theirs).add(1), b.on(&ours).add(1))).unwrap();
    assert_eq!((one.unwrap(), last.unwrap()), (1, 2));
    let text = other.unwrap_err().to_string();
    assert!(text.contains("a batch goes to one server") && text.contains(stranger.address()), "{text}");
    assert_eq!(theirs.get().unwrap(), 0);
    manager.shutdown().unwrap();
    stranger.shutdown().unwrap();
}

/// Mechanism: replies are read while requests are sent; without that both sides wait for each other with full buffers.
#[test]
fn large_batches_pass_though_both_buffers_are_full() {
    let _alone = alone();
    let manager = start();
    let counter = CounterProxy::new(&manager).unwrap();
    let bytes = |n: usize| vec![n as u8; 10_000 + (n * 7919) % 120_000];
    let echoes = manager.batch(|b| (0..2000).map(|n| b.on(&counter).echo(&bytes(n))).collect::<Vec<_>>()).unwrap();
    assert!(echoes.into_iter().enumerate().all(|(n, echo)| echo.unwrap() == bytes(n)));
    let later: Vec<_> = (0..1000).map(|n| counter.defer().echo(&bytes(n))).collect();
    assert!(later.into_iter().enumerate().all(|(n, echo)| echo.wait().unwrap() == bytes(n)));
    // Small ones by the thousand.
    let sums = manager.batch(|b| (0..20_000).map(|_| b.on(&counter).add(1)).collect::<Vec<_>>()).unwrap();
    assert!(sums.into_iter().zip(1..).all(|(sum, expected)| sum.unwrap() == expected));
    manager.shutdown().unwrap();
}

/// Mechanism: a batch takes its connection out of the pool and puts it back; deferred calls share one.
#[test]
fn connections_do_not_grow_with_calls() {
    let _alone = alone();
    let manager = start();
    let counter = CounterProxy::new(&manager).unwrap();
    let round = || {
        let sums = manager.batch(|b| [b.on(&counter).add(1), b.on(&counter).add(1)]).unwrap();
        assert!(sums.iter().all(Result::is_ok));
        let handles: Vec<_> = (0..100).map(|_| counter.defer().add(1)).collect();
        assert!(handles.into_iter().all(|handle| handle.wait().is_ok()));
    };
    // The first deferred call takes a connection for all, and the next batch needs another.
    (0..2).for_each(|_| round());
    let before = descriptors(manager.pid().unwrap() as i32);
    (0..20).for_each(|_| round());
    assert_eq!(descriptors(manager.pid().unwrap() as i32), before);
    manager.shutdown().unwrap();
}

#[test]
fn answers_come_in_any_order() {
    let _alone = alone();
    let manager = start();
    let (counter, mailbox) = (CounterProxy::new(&manager).unwrap(), MailboxProxy::new(&manager).unwrap());
    let waits = mailbox.defer().get();
    let adds = [counter.defer().add(1), counter.defer().add(1)];
    let [one, other] = adds;
    assert_eq!((other.wait().unwrap(), one.wait().unwrap()), (2, 1));
    assert!(!waits.is_answered());
    let put = mailbox.defer().put(7);
    assert_eq!(waits.wait().unwrap(), 7);
    put.wait().unwrap();
    manager.shutdown().unwrap();
}

/// Mechanism: what a call names is kept until it is answered; else the target's release overtakes the call on another connection.
#[test]
fn a_call_keeps_its_target_and_its_arguments() {
    let _alone = alone();
    let manager = start();
    let shelf = ShelfProxy::new(&manager).unwrap();
    for round in 0..200 {
        let counter = CounterProxy::new(&manager).unwrap();
        let add = counter.defer().add(round);
        let put = shelf.defer().put(1, counter.base().clone());
        let (twin, stored) = (counter.defer().twin(), CounterProxy::new(&manager).unwrap());
        let also = shelf.defer().put(2, stored.base().clone());
        drop((counter, stored));
        assert_eq!(add.wait().unwrap(), round);
        put.wait().unwrap();
        also.wait().unwrap();
        assert_eq!(twin.wait().unwrap().get().unwrap(), round);
        let taken: CounterProxy = Proxy::from_base(shelf.defer().take(1).wait().unwrap().unwrap());
        assert_eq!(taken.get().unwrap(), round);
    }
    drop(shelf);
    eventually("no objects", || objects(&manager) == 0);
    manager.shutdown().unwrap();
}

#[test]
fn deferred_calls_inside_the_server_are_made_at_once() {
    let _alone = alone();
    let manager = start();
    let (shelf, counter) = (ShelfProxy::new(&manager).unwrap(), CounterProxy::new(&manager).unwrap());
    for slot in 0..3 {
        shelf.put(slot, counter.base().clone()).unwrap();
    }
    assert_eq!(shelf.add_all(2).unwrap(), [2, 4, 6]);
    manager.shutdown().unwrap();
}

#[test]
fn many_threads_share_one_connection() {
    let _alone = alone();
    let manager = start();
    let (counter, mailbox) = (CounterProxy::new(&manager).unwrap(), MailboxProxy::new(&manager).unwrap());
    thread::scope(|scope| {
        for thread in 0..8 {
            let (counter, mailbox) = (&counter, &mailbox);
            scope.spawn(move || {
                for round in 0..20 {
                    let mut calls: Vec<_> = (0..20).map(|_| counter.defer().add(1)).collect();
                    // Handed to each other, so that threads wait for what others bring about.
                    let item = mailbox.defer().get();
                    let put = mailbox.defer().put(thread * 100 + round);
                    if round % 2 == 0 {
                        calls.reverse();
                    }
                    calls.into_iter().for_each(|call| assert!(call.wait().unwrap() <= 3200));
                    item.wait().unwrap();
                    put.wait().unwrap();
                }
            });
        }
    });
    assert_eq!(counter.get().unwrap(), 8 * 20 * 20);
    assert!(mailbox.items().unwrap().is_empty());
    manager.shutdown().unwrap();
}

/// Mechanism: a reader that leaves wakes the next thread that waits; without that it sleeps for ever.
#[test]
fn who_waits_longer_takes_over_the_reading() {
    let _alone = alone();
    let manager = start();
    let (counter, mailbox) = (CounterProxy::new(&manager).unwrap(), MailboxProxy::new(&manager).unwrap());
    for item in 0..30 {
        let nap = counter.defer().nap(10);
        let got = thread::scope(|scope| {
            let reads = scope.spawn(|| nap.wait().unwrap());
            let follows = scope.spawn(|| mailbox.defer().get().wait().unwrap());
            reads.join().unwrap();
            eventually("the other one waits", || mailbox.waiting().unwrap() == 1);
            mailbox.put(item).unwrap();
            follows.join().unwrap()
        });
        assert_eq!(got, item);
    }
    manager.shutdown().unwrap();
}

#[test]
fn a_timeout_ends_its_own_call_only() {
    let _alone = alone();
    let manager = start();
    let (counter, mailbox) = (CounterProxy::new(&manager).unwrap(), MailboxProxy::new(&manager).unwrap());
    let brief = Duration::from_millis(50);
    let begin = Instant::now();
    let (hasty, patient) = (mailbox.with_timeout(brief).defer().get(), mailbox.defer().get());
    let late = hasty.wait();
    assert!(matches!(late, Err(Error::Timeout { after }) if after == brief), "{late:?}");
    assert!(begin.elapsed() >= brief);
    mailbox.put(1).unwrap();
    assert_eq!(patient.wait().unwrap(), 1);
    // A method that runs is not interrupted, but not waited for either; and the connection goes on.
    let nap = counter.with_timeout(brief).defer().nap(2000);
    assert!(matches!(nap.wait(), Err(Error::Timeout { .. })));
    // An answer that came in time is there however late it is fetched.
    let add = counter.with_timeout(common::LIMIT).defer().get();
    common::patiently("an answer in time", |time| {
        let quick = mailbox.with_timeout(time).defer().items();
        thread::sleep(time + brief);
        quick.wait().is_ok_and(|items| items.is_empty())
    });
    assert_eq!(add.wait().unwrap(), 0);
    let results = manager.batch(|b| {
        let hasty = mailbox.with_timeout(brief);
        (b.on(&hasty).get(), b.on(&counter).add(3))
    });
    let (late, sum) = results.unwrap();
    assert!(matches!(late, Err(Error::Timeout { after }) if after == brief), "{late:?}");
    assert_eq!(sum.unwrap(), 3);
    manager.shutdown().unwrap();
}

/// Mechanism: a dropped handle cancels its call, and declines what its answer moved; the item went to nobody before.
#[test]
fn a_dropped_handle_loses_no_item() {
    let _alone = alone();
    let manager = start();
    let (counter, mailbox) = (CounterProxy::new(&manager).unwrap(), MailboxProxy::new(&manager).unwrap());
    drop(mailbox.defer().get());
    eventually("nobody waits", || mailbox.waiting().unwrap() == 0);
    mailbox.put(1).unwrap();
    assert_eq!(mailbox.items().unwrap(), [1]);
    // Answered already, read already, and not fetched.
    let unfetched = mailbox.defer().get();
    let fetched = counter.defer().add(1);
    fetched.wait().unwrap();
    assert!(unfetched.is_answered());
    assert!(mailbox.items().unwrap().is_empty());
    drop(unfetched);
    eventually("the item is back", || mailbox.items().unwrap() == [1]);
    // At any moment in between.
    for item in 2..300 {
        let get = mailbox.defer().get();
        if item % 3 == 0 {
            thread::yield_now();
        }
        drop(get);
        mailbox.defer().put(item).wait().unwrap();
    }
    eventually("all are back", || mailbox.items().unwrap().len() == 299);
    // What lies behind an item that nobody has taken is acknowledged all the same, once it is.
    let (one, other) = (mailbox.defer().get(), mailbox.defer().get());
    let second = other.wait().unwrap();
    drop(one);
    eventually("one is back", || mailbox.items().unwrap().len() == 298);
    assert!(!mailbox.items().unwrap().contains(&second));
    manager.shutdown().unwrap();
}

/// Mechanism: an item counts as arrived when its handle was waited for, not when somebody read it.
#[test]
fn an_item_that_a_killed_client_had_read_but_not_taken_goes_back() {
    let _alone = alone();
    let manager = start();
    let (counter, mailbox) = (CounterProxy::new(&manager).unwrap(), MailboxProxy::new(&manager).unwrap());
    for item in 0..5 {
        mailbox.put(item).unwrap();
    }
    let child = fork(|| {
        let (first, second) = (mailbox.defer().get(), mailbox.defer().get());
        // Reads all three.
        counter.defer().add(1).wait().unwrap();
        assert!(first.is_answered() && second.is_answered());
        assert_eq!(first.wait().unwrap(), 0);
        // What comes next acknowledges what was taken.
        counter.defer().add(1).wait().unwrap();
        common::exit(7)
    });
    assert_eq!(wait(child), 7);
    eventually("one is back, one is taken", || mailbox.items().unwrap() == [1, 2, 3, 4]);
    manager.shutdown().unwrap();
}

/// Mechanism: a helper thread reads the answers that nobody waits for, and ends when it is not needed.
#[test]
fn references_balance_whatever_becomes_of_handles() {
    let _alone = alone();
    let manager = start();
    let counter = CounterProxy::new(&manager).unwrap();
    let twins = manager.batch(|b| (0..100).map(|_| b.on(&counter).twin()).collect::<Vec<_>>()).unwrap();
    assert_eq!(objects(&manager), 101);
    drop(twins);
    eventually("the results are gone", || objects(&manager) == 1);
    let handles: Vec<_> = (0..100).map(|_| counter.defer().twin()).collect();
    drop(handles);
    eventually("the unfetched are gone", || objects(&manager) == 1);
    for _ in 0..50 {
        counter.defer().twin().detach();
        counter.defer().add(1).detach();
    }
    eventually("the detached are made", || counter.get().unwrap() == 50);
    eventually("the detached are gone", || objects(&manager) == 1);
    drop(counter);
    eventually("nothing is left", || objects(&manager) == 0);
    let pumps = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.starts_with("multiproc-pump")).count()
    };
    eventually("the helper has ended", || pumps() == 0);
    assert!(threads(std::process::id() as i32) > 0);
    manager.shutdown().unwrap();
}

#[test]
fn a_killed_server_fails_what_was_not_answered_and_only_that() {
    let _alone = alone();
    let manager = start();
    let (counter, mailbox) = (CounterProxy::new(&manager).unwrap(), MailboxProxy::new(&manager).unwrap());
    let server = manager.pid().unwrap() as i32;
    let answered = counter.defer().add(1);
    let unanswered: Vec<_> = (0..20).map(|_| mailbox.defer().get()).collect();
    let witness = mailbox.clone();
    let killer = thread::spawn(move || {
        eventually("the batch is with the server", || witness.waiting().unwrap() == 21);
        // Long enough for what it has answered to have left.
        thread::sleep(Duration::from_millis(300));
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(server), Signal::SIGKILL).unwrap();
    });
    let (sum, item, rest) = manager
        .batch(|b| {
            let all = (b.on(&counter).add(1), b.on(&mailbox).get(), b.on(&mailbox).items());
            (all.0, all.1, vec![all.2])
        })
        .unwrap();
    assert_eq!(sum.unwrap(), 2);
    assert!(matches!(item, Err(Error::ServerGone { .. })), "{item:?}");
    assert!(rest[0].as_ref().is_ok_and(Vec::is_empty), "{rest:?}");
    let first = unanswered.into_iter().map(|call| call.wait()).collect::<Vec<_>>();
    killer.join().unwrap();
    assert!(first.iter().all(|call| matches!(call, Err(Error::ServerGone { .. }))), "{first:?}");
    assert_eq!(answered.wait().unwrap(), 1);
    assert!(matches!(counter.defer().get().wait(), Err(Error::ServerGone { .. })));
    assert!(matches!(manager.batch(|b| b.on(&counter).get()), Err(Error::ServerGone { .. })));
}

#[test]
fn a_server_killed_under_full_buffers_hangs_nobody() {
    let _alone = alone();
    let manager = start();
    let counter = CounterProxy::new(&manager).unwrap();
    let server = manager.pid().unwrap() as i32;
    let killer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(server), Signal::SIGKILL).unwrap();
    });
    let bytes = vec![1; 100_000];
    let mut made = 0;
    loop {
        let echoes = manager.batch(|b| (0..500).map(|_| b.on(&counter).echo(&bytes)).collect::<Vec<_>>());
        match echoes {
            Ok(echoes) if echoes.iter().all(Result::is_ok) => made += 1,
            Ok(echoes) => {
                let failed = echoes.iter().filter_map(|echo| echo.as_ref().err());
                assert!(failed.into_iter().all(|error| matches!(error, Error::ServerGone { .. })), "after {made}");
                break;
            }
            Err(error) => {
                assert!(matches!(error, Error::ServerGone { .. }), "{error}");
                break;
            }
        }
    }
    killer.join().unwrap();
}

/// Mechanism: handles know the process that made them, and a fork empties the child's pipeline; with a shared connection both would read each other's answers.
#[test]
fn a_forked_child_has_its_own_calls_and_not_its_parents() {
    let _alone = alone();
    let manager = start();
    let (counter, mailbox) = (CounterProxy::new(&manager).unwrap(), MailboxProxy::new(&manager).unwrap());
    for round in 0..10 {
        let twin = counter.defer().twin();
        let kept = RefCell::new(Some((mailbox.defer().get(), counter.defer().add(1))));
        // Somebody reads at the moment of the fork.
        let reads = thread::spawn({
            let get = mailbox.defer().get();
            move || get.wait().unwrap()
        });
        eventually("both wait", || mailbox.waiting().unwrap() == 2);
        let child = fork(|| {
            let (get, add) = kept.borrow_mut().take().unwrap();
            let told = get.wait().unwrap_err();
            assert!(matches!(told, Error::State { .. }) && told.to_string().contains("before the fork"), "{told}");
            drop(add);
            let calls: Vec<_> = (0..50).map(|_| counter.defer().add(0)).collect();
            assert!(calls.into_iter().all(|call| call.wait().is_ok()));
            let sums = manager.batch(|b| [b.on(&counter).add(0), b.on(&counter).add(0)]).unwrap();
            assert!(sums.iter().all(Result::is_ok));
            counter.defer().add(0).detach();
            0
        });
        assert_eq!(wait(child), 0);
        mailbox.put(round).unwrap();
        mailbox.put(round).unwrap();
        let (get, add) = kept.into_inner().unwrap();
        assert_eq!(get.wait().unwrap(), round);
        assert_eq!(add.wait().unwrap(), round + 1);
        assert_eq!(reads.join().unwrap(), round);
        drop(twin);
        eventually("the child has let go", || objects(&manager) == 2);
    }
    manager.shutdown().unwrap();
}

/// An executor for one future.
struct Unpark(Thread, AtomicU64);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unpark();
    }
}

/// Runs a future to its end; and how often its task was woken.
fn block_on<F: Future>(future: F) -> (F::Output, u64) {
    let unpark = Arc::new(Unpark(thread::current(), AtomicU64::new(0)));
    let waker = Waker::from(Arc::clone(&unpark));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        // Counted before the poll: a task may be woken before `poll` has returned.
        let woken = unpark.1.load(Ordering::SeqCst);
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return (output, unpark.1.load(Ordering::SeqCst));
        }
        while unpark.1.load(Ordering::SeqCst) == woken {
            thread::park();
        }
    }
}

/// All of several futures, polled whenever any of them has something to say.
struct All<F: Future>(Vec<Pin<Box<F>>>, Vec<F::Output>);

impl<F: Future> Future for All<F>
where
    F::Output: Unpin,
{
    type Output = Vec<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        while !self.0.is_empty() {
            match self.0[0].as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(output) => self.1.push(output),
            }
            self.0.remove(0);
        }
        Poll::Ready(std::mem::take(&mut self.1))
    }
}

/// Mechanism: the helper thread reads for tasks; and a task is woken by whoever reads.
#[test]
fn tasks_are_woken_by_answers_timeouts_and_death() {
    let _alone = alone();
    let manager = start();
    let (counter, mailbox) = (CounterProxy::new(&manager).unwrap(), MailboxProxy::new(&manager).unwrap());
    let sums = All((0..100).map(|_| Box::pin(counter.defer().add(1))).collect(), Vec::new());
    let sums: Vec<_> = block_on(sums).0.into_iter().map(Result::unwrap).collect();
    assert!(sums.into_iter().eq(1..=100));
    // By the helper, which has nothing else to do; once, not over and over.
    let sequence = async {
        let put = mailbox.defer().get().await.unwrap();
        counter.defer().add(put).await.unwrap()
    };
    let putter = thread::spawn({
        let mailbox = mailbox.clone();
        move || {
            eventually("the task waits", || mailbox.waiting().unwrap() == 1);
            mailbox.put(11).unwrap();
        }
    });
    let (sum, woken) = block_on(sequence);
    assert_eq!(sum, 111);
    assert!(woken <= 4, "woken {woken} times");
    putter.join().unwrap();
    // By a thread that waits for something else.
    let task = thread::spawn({
        let get = mailbox.defer().get();
        move || block_on(get).0.unwrap()
    });
    let other = thread::spawn({
        let get = mailbox.defer().get();
        move || get.wait().unwrap()
    });
    eventually("both wait", || mailbox.waiting().unwrap() == 2);
    let puts = manager.batch(|b| [b.on(&mailbox).put(1), b.on(&mailbox).put(2)]).unwrap();
    assert!(puts.iter().all(Result::is_ok));
    assert_eq!(task.join().unwrap() + other.join().unwrap(), 3);
    let brief = Duration::from_millis(50);
    let (late, _) = block_on(mailbox.with_timeout(brief).defer().get());
    assert!(matches!(late, Err(Error::Timeout { after }) if after == brief), "{late:?}");
    let (late, _) = block_on(counter.with_timeout(brief).defer().nap(1500));
    assert!(matches!(late, Err(Error::Timeout { .. })), "{late:?}");
    let server = manager.pid().unwrap() as i32;
    let killer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(server), Signal::SIGKILL).unwrap();
    });
    let (gone, _) = block_on(mailbox.defer().get());
    assert!(matches!(gone, Err(Error::ServerGone { .. })), "{gone:?}");
    killer.join().unwrap();
}

/// Mechanism: what the socket did not take is sent by the helper thread, though nobody waits.
#[test]
fn large_calls_are_under_way_though_nobody_waits() {
    let _alone = alone();
    let manager = start();
    let counter = CounterProxy::new(&manager).unwrap();
    let bytes = vec![3; 20 << 20];
    let echo = counter.defer().echo(&bytes);
    let after = counter.defer().add(5);
    eventually("the call behind it is made", || counter.get().unwrap() == 5);
    assert_eq!(echo.wait().unwrap().len(), bytes.len());
    assert_eq!(after.wait().unwrap(), 5);
    manager.shutdown().unwrap();
}

/// Mechanism: who sends waits where the server takes nothing in, so memory is bounded; and goes on when it does.
#[test]
fn a_stopped_server_holds_up_who_sends_and_nothing_is_lost() {
    let _alone = alone();
    let manager = start();
    let counter = CounterProxy::new(&manager).unwrap();
    counter.defer().get().wait().unwrap();
    let server = manager.pid().unwrap() as i32;
    let signal = |signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(server), signal).unwrap();
    signal(Signal::SIGSTOP);
    let sent = AtomicU64::new(0);
    thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let calls: Vec<_> = (0..100)
                        .map(|n| {
                            let call = counter.defer().echo(&[n as u8; 50_000]);
                            sent.fetch_add(1, Ordering::SeqCst);
                            call
                        })
                        .collect();
                    calls.into_iter().enumerate().all(|(n, call)| call.wait().unwrap() == [n as u8; 50_000])
                })
            })
            .collect();
        let mut before = u64::MAX;
        eventually("they are held up", || {
            let now = sent.load(Ordering::SeqCst);
            thread::sleep(Duration::from_millis(100));
            std::mem::replace(&mut before, now) == now
        });
        let held = sent.load(Ordering::SeqCst);
        signal(Signal::SIGCONT);
        assert!(held < 100, "{held} of 300 calls, each of 50 kB, were sent to a server that does not run");
        assert!(senders.into_iter().all(|sender| sender.join().unwrap()));
    });
    manager.shutdown().unwrap();
}

#[test]
fn children_that_end_with_handles_leave_the_parents_calls_alone() {
    let _alone = alone();
    let manager = start();
    let (counter, mailbox) = (CounterProxy::new(&manager).unwrap(), MailboxProxy::new(&manager).unwrap());
    let get = mailbox.defer().get();
    let children: Vec<Child> = (0..4)
        .map(|_| {
            fork(|| {
                let _lost = (counter.defer().nap(100), mailbox.defer().get());
                common::exit(0)
            })
        })
        .collect();
    children.into_iter().for_each(|child| assert_eq!(wait(child), 0));
    // Symptom: a child's call waited on though the child had ended. Cause: it was taken in while the server closed its connection, and nobody gave it up.
    let mut waiting = 0;
    let only = common::within(common::LIMIT, || {
        waiting = mailbox.waiting().unwrap();
        waiting == 1
    });
    assert!(only, "only the parent waits, but there are {waiting}");
    mailbox.put(4).unwrap();
    assert_eq!(get.wait().unwrap(), 4);
    manager.shutdown().unwrap();
}
