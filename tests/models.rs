//! Objects that keep callers waiting, and the small ones, against models: random operations, of which one thread has many under way, since a deferred call waits in the server alone.
//!
//! After each step the model says who has been let through, and with which answer; the others must still be waiting. The other types' models stand in their own files.

#![allow(missing_docs)]

mod common;

use std::collections::{BTreeMap, VecDeque};

use common::eventually;
use multiproc::types::{
    BarrierProxy, BoundedSemaphoreProxy, BrokenBarrierError, ConditionProxy, CounterProxy, Iter, IteratorProxy,
    LockProxy, NamespaceProxy, NotOwned, OverRelease, SemaphoreProxy,
};
use multiproc::{BaseProxy, CallError, Deferred, Error, Proxy, Result, SyncManager};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A call that may wait, of a method with errors of its own.
type Pending<R, E> = Deferred<R, CallError<E>>;

fn begin<R: DeserializeOwned + 'static, E: DeserializeOwned + 'static>(
    base: &BaseProxy,
    method: &str,
    arguments: impl Serialize,
) -> Pending<R, E> {
    base.with_timeout(common::LIMIT).defer().call_method_fallible(method, arguments)
}

/// Waits until the object says so of itself: what was given up is not over at once.
fn says(base: &BaseProxy, text: &str) {
    eventually(text, || base.text().expect("a text") == text);
}

fn manager() -> SyncManager {
    SyncManager::start().expect("a manager")
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Takes one out of those who wait, if there are any.
fn pick<T>(all: &mut Vec<T>, number: usize) -> Option<T> {
    if all.is_empty() { None } else { Some(all.remove(number % all.len())) }
}

#[derive(Debug, Clone)]
enum Arrival {
    Arrive(bool),
    Complete,
    GiveUp(usize),
    Abort,
    Reset,
}

/// What a party is told: its number in the round, and the round's where it is to run the action.
type Passage = Pending<(usize, Option<u64>), BrokenBarrierError>;

#[derive(Default)]
struct Barrier {
    parties: usize,
    broken: bool,
    line: Vec<(bool, Passage)>,
    /// The others of a round whose action runs, with their numbers.
    acting: Option<Vec<(usize, Passage)>>,
    rounds: u64,
}

impl Barrier {
    fn run(&mut self, base: &BaseProxy, step: &Arrival) {
        match *step {
            Arrival::Arrive(acts) => {
                let call: Passage = begin(base, "wait", (acts,));
                if self.broken {
                    return broken(call);
                }
                self.line.push((acts, call));
                self.advance();
            }
            Arrival::Complete => {
                let completed = begin::<(), BrokenBarrierError>(base, "complete", (self.rounds,)).wait();
                let Some(others) = self.acting.take() else {
                    return assert!(matches!(completed, Err(CallError::Method(BrokenBarrierError))));
                };
                completed.expect("the round goes on");
                others.into_iter().for_each(|(number, call)| assert_eq!(call.wait().expect("passed"), (number, None)));
                self.advance();
            }
            Arrival::GiveUp(one) => {
                let others = self.acting.as_mut().and_then(|others| pick(others, one));
                if others.map(|(_, call)| call).or_else(|| pick(&mut self.line, one).map(|(_, call)| call)).is_some() {
                    self.fail();
                }
            }
            Arrival::Abort => {
                begin::<(), BrokenBarrierError>(base, "abort", ()).wait().expect("an answer");
                self.fail();
            }
            Arrival::Reset => {
                begin::<(), BrokenBarrierError>(base, "reset", ()).wait().expect("an answer");
                self.fail();
                self.broken = false;
            }
        }
    }

    fn advance(&mut self) {
        while self.acting.is_none() && self.line.len() >= self.parties {
            let mut round: Vec<_> = self.line.drain(..self.parties).enumerate().collect();
            self.rounds += 1;
            if let Some(last) = round.iter().rposition(|(_, (acts, _))| *acts) {
                let (number, (_, call)) = round.remove(last);
                assert_eq!(call.wait().expect("passed"), (number, Some(self.rounds)));
                self.acting = Some(round.into_iter().map(|(number, (_, call))| (number, call)).collect());
            } else {
                let passed = |(number, (_, call)): (usize, (bool, Passage))| {
                    assert_eq!(call.wait().expect("passed"), (number, None));
                };
                round.into_iter().for_each(passed);
            }
        }
    }

    fn fail(&mut self) {
        self.broken = true;
        self.line.drain(..).for_each(|(_, call)| broken(call));
        self.acting.take().into_iter().flatten().for_each(|(_, call)| broken(call));
    }

    fn waiting(&self) -> usize {
        self.line.len() + self.acting.as_ref().map_or(0, |others| others.len() + 1)
    }

    fn waits(&self) -> bool {
        let acting = self.acting.iter().flatten().map(|(_, call)| call);
        !self.line.iter().map(|(_, call)| call).chain(acting).any(|call| call.is_answered())
    }
}

fn broken(call: Passage) {
    let told = call.wait();
    assert!(matches!(told, Err(CallError::Method(BrokenBarrierError))), "{told:?}");
}

#[test]
fn a_barrier_lets_through_who_its_model_does() {
    let manager = manager();
    let step = prop_oneof![
        8 => prop_oneof![3 => Just(false), 1 => Just(true)].prop_map(Arrival::Arrive),
        2 => Just(Arrival::Complete),
        1 => any::<usize>().prop_map(Arrival::GiveUp),
        1 => Just(Arrival::Abort),
        2 => Just(Arrival::Reset),
    ];
    let steps = (1..5_usize, proptest::collection::vec(step, 1..30));
    proptest!(config(50), |((parties, steps) in steps)| {
        let barrier = BarrierProxy::new(&manager, parties).expect("a barrier");
        let mut model = Barrier { parties, ..Barrier::default() };
        for step in steps {
            model.run(barrier.base(), &step);
            let state = || (barrier.is_broken().expect("an answer"), barrier.n_waiting().expect("a number"));
            eventually("the model's state", || state() == (model.broken, model.waiting()));
            prop_assert!(model.waits(), "after {:?}", step);
        }
        // Who is dropped while he waits has given up.
        barrier.reset().expect("an answer");
        model.fail();
    });
    manager.shutdown().expect("an end");
}

#[derive(Debug, Clone)]
enum Turn {
    Acquire,
    Wait,
    Notify(usize),
    Release,
    /// One who waits for a notification.
    GiveUpWait(usize),
    /// One who waits for the lock.
    GiveUpLock(usize),
}

/// The holding's number, and whether the lock was abandoned.
type Grant = Pending<Option<(u64, bool)>, NotOwned>;

#[derive(Default)]
struct Condition {
    hold: Option<u64>,
    /// Who waits for the lock; those who were notified, with the last place that the notification was for.
    line: Vec<(Option<u64>, Grant)>,
    waiters: VecDeque<(u64, Grant)>,
    places: u64,
}

impl Condition {
    fn run(&mut self, base: &BaseProxy, step: &Turn) {
        match *step {
            Turn::Acquire => {
                self.line.push((None, begin(base, "acquire", (true,))));
            }
            Turn::Wait => {
                let call: Grant = begin(base, "wait", (self.hold,));
                if self.hold.take().is_none() {
                    return assert!(matches!(call.wait(), Err(CallError::Method(NotOwned))));
                }
                self.places += 1;
                self.waiters.push_back((self.places, call));
            }
            Turn::Notify(most) => {
                let told = begin::<usize, NotOwned>(base, "notify", (most,)).wait();
                if self.hold.is_none() {
                    return assert!(matches!(told, Err(CallError::Method(NotOwned))));
                }
                assert_eq!(told.expect("how many"), most.min(self.waiters.len()));
                self.notify(most, self.places);
            }
            Turn::Release => {
                let released = begin::<(), NotOwned>(base, "release", (self.hold,)).wait();
                if self.hold.take().is_none() {
                    return assert!(matches!(released, Err(CallError::Method(NotOwned))));
                }
                released.expect("it was held");
            }
            Turn::GiveUpWait(one) => {
                let mut waiters: Vec<_> = self.waiters.drain(..).collect();
                drop(pick(&mut waiters, one));
                self.waiters = waiters.into();
            }
            Turn::GiveUpLock(one) => {
                // A notification that was in vain goes to the next whom it was for.
                if let Some((Some(latest), _)) = pick(&mut self.line, one) {
                    self.notify(1, latest);
                }
            }
        }
        if self.hold.is_none() && !self.line.is_empty() {
            let (_, call) = self.line.remove(0);
            let (hold, abandoned) = call.wait().expect("its turn").expect("it waits");
            assert!(!abandoned);
            self.hold = Some(hold);
        }
    }

    fn notify(&mut self, most: usize, latest: u64) {
        for _ in 0..most {
            let Some((_, call)) = self.waiters.pop_front_if(|(place, _)| *place <= latest) else { break };
            self.line.push((Some(latest), call));
        }
    }

    fn text(&self) -> String {
        let lock = match self.hold {
            Some(_) => format!("locked, {} waiting", self.line.len()),
            None => "unlocked".to_owned(),
        };
        format!("<Condition: {} waiting; its lock: {lock}>", self.waiters.len())
    }

    fn waits(&self) -> bool {
        let waiters = self.waiters.iter().map(|(_, call)| call);
        !self.line.iter().map(|(_, call)| call).chain(waiters).any(|call| call.is_answered())
    }
}

#[test]
fn a_condition_wakes_whom_its_model_does() {
    let manager = manager();
    let step = prop_oneof![
        6 => Just(Turn::Acquire),
        6 => Just(Turn::Wait),
        3 => (0..3_usize).prop_map(Turn::Notify),
        1 => Just(Turn::Notify(usize::MAX >> 1)),
        4 => Just(Turn::Release),
        1 => any::<usize>().prop_map(Turn::GiveUpWait),
        2 => any::<usize>().prop_map(Turn::GiveUpLock),
    ];
    let steps = proptest::collection::vec(step, 1..40);
    proptest!(config(50), |(steps in steps)| {
        // On a lock that its owner can't take twice, so that this thread can be many who want it.
        let lock = LockProxy::new(&manager).expect("a lock");
        let condition = ConditionProxy::on(&lock).expect("a condition");
        let mut model = Condition::default();
        for step in steps {
            model.run(condition.base(), &step);
            says(condition.base(), &model.text());
            prop_assert!(model.waits(), "after {:?}", step);
        }
    });
    manager.shutdown().expect("an end");
}

#[derive(Debug, Clone)]
enum Claim {
    Acquire(u64),
    Try(u64),
    GiveBack(u64),
    Release(u64),
    GiveUp(usize),
}

#[derive(Default)]
struct Semaphore {
    bound: Option<u64>,
    free: u64,
    held: u64,
    line: Vec<(u64, Pending<bool, OverRelease>)>,
}

impl Semaphore {
    fn run(&mut self, base: &BaseProxy, step: &Claim) {
        match *step {
            Claim::Acquire(count) => {
                let call = begin(base, "acquire", (count, true));
                if self.bound.is_some_and(|bound| bound < count) {
                    return assert!(matches!(call.wait(), Err(CallError::System(Error::Arguments { .. }))));
                }
                self.line.push((count, call));
            }
            Claim::Try(count) => {
                let taken = begin::<bool, OverRelease>(base, "acquire", (count, false)).wait();
                if self.bound.is_some_and(|bound| bound < count) {
                    return assert!(matches!(taken, Err(CallError::System(Error::Arguments { .. }))));
                }
                let takes = self.line.is_empty() && self.free >= count;
                assert_eq!(taken.expect("an answer"), takes);
                if takes {
                    (self.free, self.held) = (self.free - count, self.held + count);
                }
            }
            Claim::GiveBack(count) => {
                let given = begin::<bool, OverRelease>(base, "give_back", (count,)).wait().expect("an answer");
                assert_eq!(given, self.held >= count);
                if given {
                    (self.free, self.held) = (self.free + count, self.held - count);
                }
            }
            Claim::Release(count) => {
                let released = begin::<(), OverRelease>(base, "release", (count,)).wait();
                let outstanding = self.bound.map_or(u64::MAX, |bound| bound - self.free - self.held);
                if count > outstanding {
                    let over = OverRelease { released: count, outstanding };
                    return assert_eq!(released.expect_err("too many").into_method().ok(), Some(over));
                }
                released.expect("there are as many");
                self.free += count;
            }
            Claim::GiveUp(one) => drop(pick(&mut self.line, one)),
        }
        while self.line.first().is_some_and(|(count, _)| *count <= self.free) {
            let (count, call) = self.line.remove(0);
            assert!(call.wait().expect("its turn"));
            (self.free, self.held) = (self.free - count, self.held + count);
        }
    }

    fn text(&self) -> String {
        let (free, waiting) = (self.free, self.line.len());
        match self.bound {
            None => format!("<Semaphore: {free} free, {waiting} waiting>"),
            Some(bound) => format!("<BoundedSemaphore: {free} of {bound} free, {waiting} waiting>"),
        }
    }
}

#[test]
fn a_semaphore_lets_through_who_its_model_does() {
    let manager = manager();
    let step = prop_oneof![
        5 => (1..4_u64).prop_map(Claim::Acquire),
        2 => (1..4_u64).prop_map(Claim::Try),
        5 => (1..3_u64).prop_map(Claim::GiveBack),
        1 => (1..3_u64).prop_map(Claim::Release),
        2 => any::<usize>().prop_map(Claim::GiveUp),
    ];
    let steps = (any::<bool>(), 0..5_u64, proptest::collection::vec(step, 1..40));
    proptest!(config(60), |((bounded, permits, steps) in steps)| {
        let base = if bounded {
            BoundedSemaphoreProxy::new(&manager, permits).expect("a semaphore").base().clone()
        } else {
            SemaphoreProxy::new(&manager, permits).expect("a semaphore").base().clone()
        };
        let mut model = Semaphore { bound: bounded.then_some(permits), free: permits, ..Semaphore::default() };
        for step in steps {
            model.run(&base, &step);
            says(&base, &model.text());
            prop_assert!(!model.line.iter().any(|(_, call)| call.is_answered()), "after {:?}", step);
        }
    });
    manager.shutdown().expect("an end");
}

#[derive(Debug, Clone)]
enum Attribute {
    Set(i16),
    Remove,
    Update(i16),
    Clear,
}

#[test]
fn a_namespace_is_a_map_of_names() {
    let manager = manager();
    let step = prop_oneof![
        any::<i16>().prop_map(Attribute::Set),
        Just(Attribute::Remove),
        any::<i16>().prop_map(Attribute::Update),
        Just(Attribute::Clear),
    ];
    let steps = proptest::collection::vec(("[a-c]", step), 1..30);
    proptest!(config(40), |(steps in steps)| {
        let namespace = NamespaceProxy::new(&manager).expect("a namespace");
        let mut model = BTreeMap::<String, i16>::new();
        for (name, step) in steps {
            let former = model.get(&name).copied();
            prop_assert_eq!(namespace.get::<i16>(&name).expect("an answer"), former);
            match step {
                Attribute::Set(n) => {
                    namespace.set(&name, n).expect("an answer");
                    model.insert(name, n);
                }
                Attribute::Remove => {
                    prop_assert_eq!(namespace.remove(&name).expect("an answer"), model.remove(&name).is_some());
                }
                Attribute::Update(n) => {
                    let change = |value: Option<i16>| Some(value.map_or(n, |value| value.wrapping_mul(3)));
                    prop_assert_eq!(namespace.update(&name, change).expect("an answer"), change(former));
                    model.extend(change(former).map(|new| (name, new)));
                }
                Attribute::Clear => {
                    prop_assert_eq!(namespace.update(&name, |_: Option<i16>| None).expect("an answer"), None);
                    model.remove(&name);
                }
            }
            let mut names = namespace.names().expect("names");
            names.sort_unstable();
            prop_assert_eq!(names, model.keys().cloned().collect::<Vec<_>>());
            prop_assert!(namespace.equals(&model).expect("an answer"));
        }
    });
    manager.shutdown().expect("an end");
}

#[derive(Default)]
pub struct Range;

#[multiproc::referent]
impl Range {
    pub fn new() -> Self {
        Self
    }

    #[referent(proxy)]
    pub fn up_to(&self, end: u32) -> Iter<u32> {
        Iter::new(0..end)
    }
}

#[test]
fn an_iterator_is_what_it_was_made_of() {
    let manager = SyncManager::builder().register::<Range>().start().expect("a manager");
    let range = RangeProxy::new(&manager).expect("a range");
    // A batch of that many, or one alone, or the end of it all.
    let step = prop_oneof![6 => (0..5_usize).prop_map(Some), 1 => Just(None)];
    let steps = (0..20_u32, proptest::collection::vec(step, 1..12));
    proptest!(config(40), |((end, steps) in steps)| {
        let iterator: IteratorProxy<u32> = range.up_to(end).expect("an iterator");
        let mut model = 0..end;
        for step in steps {
            match step {
                Some(1) => prop_assert_eq!(iterator.next_item().expect("an answer"), model.next()),
                // Fewer where the machine is busy, but some.
                Some(max) => {
                    let batch = iterator.next_batch(max).expect("an answer");
                    prop_assert!(batch.len() <= max && (batch.is_empty() == (model.is_empty() || max == 0)));
                    prop_assert_eq!(&batch, &model.by_ref().take(batch.len()).collect::<Vec<_>>());
                }
                None => {
                    iterator.close().expect("an answer");
                    model = 0..0;
                }
            }
        }
        prop_assert_eq!(iterator.iter().collect::<Result<Vec<_>>>().expect("the rest"), model.collect::<Vec<_>>());
    });
    drop(range);
    manager.shutdown().expect("an end");
}

#[test]
fn a_counter_is_a_number() {
    let manager = manager();
    let steps = proptest::collection::vec((any::<bool>(), -1000..1000_i64), 1..30);
    proptest!(config(30), |((start, steps) in (any::<i32>(), steps))| {
        let counter = CounterProxy::new(&manager, start.into()).expect("a counter");
        let mut model = i64::from(start);
        for (adds, n) in steps {
            if adds {
                model += n;
                prop_assert_eq!(counter.add(n).expect("the sum"), model);
            } else {
                prop_assert_eq!(counter.swap(n).expect("the former"), std::mem::replace(&mut model, n));
            }
            prop_assert_eq!(counter.get().expect("a number"), model);
        }
    });
    manager.shutdown().expect("an end");
}
