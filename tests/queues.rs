//! Queues: what Python's documentation says of them, and what shared ones need beside it.

#![allow(missing_docs)]

mod common;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{eventually, fork, wait};
use multiproc::types::{
    CounterProxy, JoinableQueueProxy, LifoQueueProxy, PriorityQueueProxy, Queue, QueueError, QueueProxy,
};
use multiproc::{
    Authkey, BaseManager, CallError, Deferred, Error, Proxy, Registration, Result, Shared, SyncManager, Value,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proptest::prelude::*;

const SHORT: Duration = Duration::from_millis(20);

fn manager() -> SyncManager {
    SyncManager::start().expect("a manager")
}

#[track_caller]
fn assert_says<R: Debug>(result: std::result::Result<R, CallError<QueueError>>, expected: QueueError) {
    match result {
        Err(CallError::Method(error)) => assert_eq!(error, expected),
        other => panic!("{expected:?} was expected, not {other:?}"),
    }
}

#[test]
fn items_leave_in_the_order_of_their_kind() -> Result<()> {
    let manager = manager();
    let fifo = QueueProxy::<u32>::from_iter(&manager, [1, 2, 3])?;
    assert_eq!(fifo.to_string(), "Queue([1, 2, 3])");
    assert_eq!([fifo.get()?, fifo.get()?, fifo.get()?], [1, 2, 3]);
    let lifo = LifoQueueProxy::<u32>::from_iter(&manager, [1, 2, 3])?;
    assert_eq!(lifo.to_value::<Vec<u32>>()?, [3, 2, 1]);
    assert_eq!([lifo.get()?, lifo.get()?, lifo.get()?], [3, 2, 1]);
    let priority = PriorityQueueProxy::<String>::new(&manager, 0)?;
    priority.put_many([(2, "b"), (1, "a"), (2, "c"), (-1, "first")])?;
    priority.put(1, "later a")?;
    assert_eq!(priority.to_string(), "PriorityQueue([(-1, 'first'), (1, 'a'), (1, 'later a'), (2, 'b'), (2, 'c')])");
    let order: Vec<_> = priority.get_many(10)?.into_iter().map(|(_, item)| item).collect();
    assert_eq!(order, ["first", "a", "later a", "b", "c"]);
    manager.shutdown()
}

/// Symptom: on a busy machine `get_timeout` failed with the system's `Timeout` instead of `Empty`. Cause: whether the server had said that the call was over was guessed from
/// how late its word was read.
#[test]
fn a_queue_is_empty_however_late_that_is_heard() -> Result<()> {
    let manager = manager();
    let queue = QueueProxy::<u32>::new(&manager, 2)?;
    common::patiently("it is stopped while it waits", |time| {
        let late = fork(|| i32::from(!matches!(queue.get_timeout(time), Err(CallError::Method(QueueError::Empty)))));
        eventually("it waits, or did", || {
            queue.waiting().expect("numbers").0 == 1 || common::state(late.pid()) == Some('Z')
        });
        let waits = late.stops() && queue.waiting().expect("numbers").0 == 1;
        eventually("its time is over", || queue.waiting().expect("numbers").0 == 0);
        thread::sleep(Duration::from_millis(1500));
        late.signal(Signal::SIGCONT);
        assert_eq!(wait(late), 0);
        waits
    });
    // Where the server says nothing, the item may have been on its way.
    let server = i32::try_from(manager.pid().expect("started")).expect("a pid");
    common::stop(server);
    let told = queue.get_timeout(SHORT);
    kill(Pid::from_raw(server), Signal::SIGCONT).expect("the server is there");
    assert!(matches!(told, Err(CallError::System(Error::Timeout { after })) if after > SHORT), "{told:?}");
    manager.shutdown()
}

#[test]
fn a_queue_is_full_or_empty_and_says_so() -> Result<()> {
    let manager = manager();
    let queue = QueueProxy::<u32>::new(&manager, 2)?;
    assert!(queue.is_empty()? && !queue.is_full()? && queue.maxsize()? == 2);
    assert_says(queue.try_get(), QueueError::Empty);
    let begin = Instant::now();
    assert_is_empty(queue.get_timeout(SHORT));
    assert!(begin.elapsed() >= SHORT);
    queue.put(1)?;
    queue.try_put(2)?;
    assert!(queue.is_full()? && queue.len()? == 2);
    assert_says(queue.try_put(3), QueueError::Full);
    assert_is_full(queue.put_timeout(3, SHORT));
    assert_eq!(queue.put_many_timeout([3, 4], SHORT).map_or(0, |put| put), 0);
    assert_eq!(queue.get_many(5)?, [1, 2]);
    assert_is_empty(queue.get_many_timeout(5, SHORT));
    assert_eq!(queue.get_many(0)?, [0; 0]);
    assert_eq!(queue.put_many([0; 0])?, 0);
    // A queue without a size is never full.
    let endless = QueueProxy::<u32>::new(&manager, 0)?;
    assert_eq!(endless.put_many(0..2000)?, 2000);
    assert!(!endless.is_full()?);
    manager.shutdown()
}

/// Where this process did not come to run for long, it can't know how its put ended, and is told that.
#[track_caller]
fn assert_is_full(result: std::result::Result<(), CallError<QueueError>>) {
    assert!(
        matches!(result, Err(CallError::Method(QueueError::Full) | CallError::System(Error::Timeout { .. }))),
        "{result:?}"
    );
}

#[track_caller]
fn assert_is_empty<R: Debug>(result: std::result::Result<R, CallError<QueueError>>) {
    assert!(
        matches!(result, Err(CallError::Method(QueueError::Empty) | CallError::System(Error::Timeout { .. }))),
        "{result:?}"
    );
}

#[test]
fn many_items_go_through_a_small_queue_in_order() -> Result<()> {
    let manager = manager();
    let queue = QueueProxy::<u32>::new(&manager, 7)?;
    let producer = fork({
        let queue = queue.clone();
        move || i32::from(queue.put_many(0..500).expect("all are put") != 500)
    });
    let mut got = Vec::new();
    while got.len() < 500 {
        let batch = queue.get_many(100)?;
        assert!((1..=7).contains(&batch.len()), "{batch:?}");
        got.extend(batch);
    }
    assert_eq!(got, (0..500).collect::<Vec<_>>());
    assert_eq!(wait(producer), 0);
    // Large items leave in answers of few.
    let large = QueueProxy::<String>::from_iter(&manager, (0..5).map(|_| "x".repeat(200_000)))?;
    assert_eq!([large.get_many(9)?.len(), large.get_many(9)?.len(), large.get_many(9)?.len()], [2, 2, 1]);
    manager.shutdown()
}

#[test]
fn who_waits_is_served_in_order() -> Result<()> {
    let manager = manager();
    let (queue, served) = (QueueProxy::<u32>::new(&manager, 1)?, QueueProxy::<(usize, u32)>::new(&manager, 0)?);
    thread::scope(|scope| {
        for number in 0..6 {
            let (queue, served) = (&queue, &served);
            scope.spawn(move || served.put((number, queue.get().expect("an item"))).expect("a result"));
            eventually("it waits", || queue.waiting().expect("numbers").0 == number + 1);
        }
        for item in 0..6 {
            queue.put(item).expect("room, as somebody waits");
            // One after the other, so that `served` tells the order.
            eventually("one was served", || served.len().expect("a number") > item as usize);
        }
    });
    assert_eq!(served.get_many(10)?, [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
    // Those who wait to put, too; and one who gives up does not hold up the others.
    queue.put(100)?;
    let gave_up = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..6 {
            let (queue, gave_up) = (&queue, &gave_up);
            scope.spawn(move || match number {
                2 => {
                    assert_is_full(queue.put_timeout(number, Duration::from_millis(300)));
                    gave_up.store(1, Ordering::Relaxed);
                }
                number => queue.put(number).expect("room"),
            });
            // The third may have given up before the fourth has come, on a busy machine.
            eventually("it waits", || {
                queue.waiting().expect("numbers").1 + gave_up.load(Ordering::Relaxed) == number as usize + 1
            });
        }
        eventually("the third has given up", || queue.waiting().expect("numbers").1 == 5);
        let got: Vec<_> = (0..6).map(|_| queue.get().expect("an item")).collect();
        assert_eq!(got, [100, 0, 1, 3, 4, 5]);
    });
    manager.shutdown()
}

#[test]
fn join_waits_until_all_is_done() -> Result<()> {
    let manager = manager();
    let queue = JoinableQueueProxy::<u32>::from_iter(&manager, [1, 2, 3])?;
    assert_says(queue.task_done(), QueueError::NotTaken);
    queue.get()?;
    assert!(matches!(queue.join_timeout(SHORT), Err(CallError::System(Error::Timeout { .. }))));
    let worker = fork({
        let queue = queue.clone();
        move || {
            for _ in 0..2 {
                thread::sleep(SHORT);
                queue.get().expect("an item");
                queue.task_done().expect("it was taken");
            }
            // The parent's: done by another process.
            queue.task_done().expect("it was taken");
            0
        }
    });
    queue.join()?;
    assert_says(queue.task_done(), QueueError::NotTaken);
    queue.put(4)?;
    queue.get()?;
    assert_says(queue.tasks_done(2), QueueError::NotTaken);
    queue.tasks_done(1)?;
    queue.join()?;
    assert_eq!(wait(worker), 0);
    manager.shutdown()
}

#[test]
fn a_queue_that_is_shut_down_is_emptied_first() -> Result<()> {
    let manager = manager();
    let queue = QueueProxy::<u32>::from_iter(&manager, [1, 2])?;
    assert!(!queue.is_shut_down()?);
    queue.shutdown(false)?;
    assert!(queue.is_shut_down()?);
    assert_says(queue.put(3), QueueError::ShutDown);
    assert_says(queue.try_put(3), QueueError::ShutDown);
    assert_says(queue.put_many([3]), QueueError::ShutDown);
    let rest: Vec<_> = queue.iter().collect::<Result<_>>()?;
    assert_eq!(rest, [1, 2]);
    assert_says(queue.get(), QueueError::ShutDown);
    assert_says(queue.try_get(), QueueError::ShutDown);
    assert_says(queue.get_timeout(SHORT), QueueError::ShutDown);
    manager.shutdown()
}

#[test]
fn a_queue_that_is_shut_down_at_once_drops_what_it_holds() -> Result<()> {
    let manager = manager();
    let queue = QueueProxy::<CounterProxy>::new(&manager, 0)?;
    for _ in 0..3 {
        queue.put(CounterProxy::new(&manager, 0)?)?;
    }
    let taken = queue.get()?;
    queue.shutdown(true)?;
    assert_says(queue.get(), QueueError::ShutDown);
    // Only what was taken is still to be done.
    assert!(queue.join_timeout(SHORT).is_err());
    queue.task_done()?;
    queue.join()?;
    drop(taken);
    eventually("the items are gone", || manager.number_of_objects().expect("a number") == 1);
    manager.shutdown()
}

#[test]
fn a_shutdown_tells_everybody_who_waits() -> Result<()> {
    let manager = manager();
    for immediate in [false, true] {
        let (empty, full) =
            (QueueProxy::<u32>::new(&manager, 1)?, PriorityQueueProxy::<u32>::from_iter(&manager, [(0, 1)])?);
        let bounded = LifoQueueProxy::<u32>::new(&manager, 1)?;
        bounded.put(1)?;
        thread::scope(|scope| {
            let getters: Vec<_> = (0..3).map(|_| scope.spawn(|| empty.get())).collect();
            let putters: Vec<_> = (0..3)
                .map(|number| {
                    scope.spawn({
                        let bounded = &bounded;
                        move || bounded.put(number)
                    })
                })
                .collect();
            let joiner = scope.spawn(|| full.join());
            eventually("all wait", || {
                (empty.waiting().expect("numbers"), bounded.waiting().expect("numbers")) == ((3, 0), (0, 3))
            });
            empty.shutdown(immediate).expect("a shutdown");
            bounded.shutdown(immediate).expect("a shutdown");
            full.shutdown(immediate).expect("a shutdown");
            for getter in getters {
                assert_says(getter.join().expect("no panic"), QueueError::ShutDown);
            }
            for putter in putters {
                assert_says(putter.join().expect("no panic"), QueueError::ShutDown);
            }
            if !immediate {
                assert_eq!(full.get().expect("an item"), (0, 1));
                full.task_done().expect("it was taken");
                assert_eq!(bounded.get().expect("an item"), 1);
            }
            joiner.join().expect("no panic").expect("nothing is left to be done");
            assert_says(bounded.get(), QueueError::ShutDown);
        });
    }
    manager.shutdown()
}

#[test]
fn what_a_queue_holds_lives_as_long_as_it_is_held() -> Result<()> {
    let _alone = common::alone();
    let manager = manager();
    let queue = QueueProxy::<CounterProxy>::new(&manager, 1)?;
    queue.put(CounterProxy::new(&manager, 5)?)?;
    assert_eq!(manager.number_of_objects()?, 2);
    // One that had no room leaves nothing behind.
    assert_is_full(queue.put_timeout(CounterProxy::new(&manager, 6)?, SHORT));
    eventually("the second counter is gone", || manager.number_of_objects().expect("a number") == 2);
    let counter = queue.get()?;
    assert_eq!(counter.add(1)?, 6);
    drop(counter);
    eventually("the counter is gone", || manager.number_of_objects().expect("a number") == 1);
    let other = SyncManager::start()?;
    let refused = queue.put(CounterProxy::new(&other, 0)?);
    assert!(matches!(refused, Err(CallError::System(Error::ForeignProxy { .. }))), "{refused:?}");
    assert!(queue.is_empty()?);
    other.shutdown()?;
    manager.shutdown()
}

/// Python's `get_queue`: a server with one queue, which programs ask for by name.
#[test]
fn a_server_program_shares_its_queue_by_name() -> Result<()> {
    let key = Authkey::new(b"queues").expect("a key");
    let queue = Shared::new(Queue::new(0));
    let registration = Registration::<Queue>::new("get_queue").callable(move || queue.clone());
    let server = BaseManager::builder().authkey(key.clone()).register_with(registration).start()?;
    let address = server.address();
    let connect = || BaseManager::builder().address(address).authkey(key.clone()).connect();
    let producer = fork(|| {
        let manager = connect().expect("a server");
        let queue: QueueProxy<String> = manager.create_as("get_queue", ()).expect("the queue");
        queue.put("hello").expect("room");
        0
    });
    let manager = connect()?;
    let queue: QueueProxy<String> = manager.create_as("get_queue", ())?;
    assert_eq!(queue.get()?, "hello");
    assert_eq!(wait(producer), 0);
    drop((queue, manager));
    server.shutdown()
}

#[test]
fn calls_by_name_and_deferred_ones_work_as_well() -> Result<()> {
    let manager = manager();
    let queue = QueueProxy::<Value>::new(&manager, 0)?;
    queue.base().call_method::<()>("put", (1,))?;
    let twin = queue.defer();
    let (put, got): (Deferred<(), CallError<QueueError>>, _) = (twin.put(Value::from("two")), twin.get());
    put.wait()?;
    assert_eq!((got.wait()?, twin.get().wait()?), (Value::from(1), Value::from("two")));
    assert_says(twin.try_get().wait(), QueueError::Empty);
    manager.shutdown()
}

#[derive(Debug, Clone)]
enum Step {
    TryPut(i64),
    TryGet,
    PutMany(Vec<i64>),
    GetMany(usize),
    TaskDone,
    Shutdown(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (-2..3_i64).prop_map(Step::TryPut),
        4 => Just(Step::TryGet),
        2 => prop::collection::vec(-2..3_i64, 0..6).prop_map(Step::PutMany),
        2 => (1..5_usize).prop_map(Step::GetMany),
        2 => Just(Step::TaskDone),
        1 => any::<bool>().prop_map(Step::Shutdown),
    ]
}

/// Which of the items that a model holds is next; items are numbered in the order in which they came, and carry a priority.
type Next = fn(&VecDeque<(i64, u32)>) -> usize;

struct Model {
    items: VecDeque<(i64, u32)>,
    next: Next,
    maxsize: usize,
    shut: bool,
    out: u64,
}

impl Model {
    fn put(&mut self, item: (i64, u32)) -> std::result::Result<(), QueueError> {
        if self.shut {
            return Err(QueueError::ShutDown);
        }
        if self.maxsize > 0 && self.items.len() >= self.maxsize {
            return Err(QueueError::Full);
        }
        self.items.push_back(item);
        Ok(())
    }

    fn get(&mut self) -> std::result::Result<(i64, u32), QueueError> {
        if self.items.is_empty() {
            return Err(if self.shut { QueueError::ShutDown } else { QueueError::Empty });
        }
        self.out += 1;
        Ok(self.items.remove((self.next)(&self.items)).expect("an item"))
    }
}

/// A queue of any kind, as the model sees it.
trait Modelled {
    fn try_put(&self, item: (i64, u32)) -> std::result::Result<(), CallError<QueueError>>;
    fn put_many(&self, items: Vec<(i64, u32)>, waits: bool) -> std::result::Result<usize, CallError<QueueError>>;
    fn try_get(&self) -> std::result::Result<(i64, u32), CallError<QueueError>>;
    fn get_many(&self, max: usize, waits: bool) -> std::result::Result<Vec<(i64, u32)>, CallError<QueueError>>;
    fn task_done(&self) -> std::result::Result<(), CallError<QueueError>>;
    fn shutdown(&self, immediate: bool) -> Result<()>;
    fn len(&self) -> Result<usize>;
}

macro_rules! modelled {
    ($queue:ty, $put:expr, $many:expr) => {
        impl Modelled for $queue {
            fn try_put(&self, item: (i64, u32)) -> std::result::Result<(), CallError<QueueError>> {
                $put(self, item)
            }
            fn put_many(
                &self,
                items: Vec<(i64, u32)>,
                waits: bool,
            ) -> std::result::Result<usize, CallError<QueueError>> {
                $many(self, items, waits)
            }
            fn try_get(&self) -> std::result::Result<(i64, u32), CallError<QueueError>> {
                Self::try_get(self)
            }
            fn get_many(&self, max: usize, waits: bool) -> std::result::Result<Vec<(i64, u32)>, CallError<QueueError>> {
                if waits { self.get_many_timeout(max, SHORT) } else { Self::get_many(self, max) }
            }
            fn task_done(&self) -> std::result::Result<(), CallError<QueueError>> {
                Self::task_done(self)
            }
            fn shutdown(&self, immediate: bool) -> Result<()> {
                Self::shutdown(self, immediate)
            }
            fn len(&self) -> Result<usize> {
                Self::len(self)
            }
        }
    };
}

modelled!(
    QueueProxy<(i64, u32)>,
    |queue: &Self, item: (i64, u32)| queue.try_put(item),
    |queue: &Self, items, waits| if waits { queue.put_many_timeout(items, SHORT) } else { queue.put_many(items) }
);
modelled!(
    LifoQueueProxy<(i64, u32)>,
    |queue: &Self, item: (i64, u32)| queue.try_put(item),
    |queue: &Self, items, waits| if waits { queue.put_many_timeout(items, SHORT) } else { queue.put_many(items) }
);
modelled!(
    PriorityQueueProxy<u32>,
    |queue: &Self, (priority, item): (i64, u32)| queue.try_put(priority, item),
    |queue: &Self, items, waits| if waits { queue.put_many_timeout(items, SHORT) } else { queue.put_many(items) }
);

fn run(queue: &dyn Modelled, mut model: Model, steps: &[Step]) {
    fn plain<R>(result: std::result::Result<R, CallError<QueueError>>) -> std::result::Result<R, QueueError> {
        result.map_err(|error| error.into_method().expect("an error of the queue's own"))
    }
    let mut count = 0;
    let mut number = || {
        count += 1;
        count
    };
    for step in steps {
        match step {
            Step::TryPut(priority) => {
                let item = (*priority, number());
                assert_eq!(plain(queue.try_put(item)), model.put(item));
            }
            Step::TryGet => assert_eq!(plain(queue.try_get()), model.get()),
            Step::PutMany(priorities) => {
                let items: Vec<_> = priorities.iter().map(|&priority| (priority, number())).collect();
                let room = if model.maxsize == 0 { items.len() } else { model.maxsize - model.items.len() };
                let expected = match (items.len(), model.shut, room) {
                    (0, ..) => Ok(0),
                    (_, true, _) => Err(QueueError::ShutDown),
                    (_, _, 0) => Err(QueueError::Full),
                    (length, _, room) => Ok(length.min(room)),
                };
                let waits = !model.shut && room < items.len();
                let put = match queue.put_many(items.clone(), waits) {
                    // Where this process did not come to run for long it can't say; but it was full for good.
                    Err(CallError::System(Error::Timeout { .. })) if waits => expected,
                    other => plain(other),
                };
                assert_eq!(put, expected);
                items.iter().take(put.unwrap_or(0)).for_each(|&item| model.put(item).expect("room"));
            }
            Step::GetMany(max) => {
                let first = model.get();
                let expected = first.map(|first| {
                    let mut items = vec![first];
                    while items.len() < *max
                        && let Ok(item) = model.get()
                    {
                        items.push(item);
                    }
                    items
                });
                let waits = expected == Err(QueueError::Empty);
                let got = match queue.get_many(*max, waits) {
                    Err(CallError::System(Error::Timeout { .. })) if waits => expected.clone(),
                    other => plain(other),
                };
                assert_eq!(got, expected);
            }
            Step::TaskDone => {
                let expected = if model.out > 0 { Ok(()) } else { Err(QueueError::NotTaken) };
                model.out = model.out.saturating_sub(1);
                assert_eq!(plain(queue.task_done()), expected);
            }
            Step::Shutdown(immediate) => {
                queue.shutdown(*immediate).expect("a shutdown");
                model.shut = true;
                if *immediate {
                    model.items.clear();
                }
            }
        }
        assert_eq!(queue.len().expect("a number"), model.items.len());
    }
}

/// Random steps do to each kind of queue what they do to a model of std's.
#[test]
fn queues_are_as_their_models() {
    let manager = manager();
    let kinds: BTreeMap<&str, Next> = BTreeMap::from([
        ("fifo", (|_| 0) as Next),
        ("lifo", |items| items.len() - 1),
        ("priority", |items| {
            let lowest = items.iter().map(|&(priority, _)| priority).min();
            items.iter().position(|&(priority, _)| Some(priority) == lowest).expect("not empty")
        }),
    ]);
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(maxsize in 0..5_usize, steps in prop::collection::vec(step(), 1..40))| {
        for (kind, &next) in &kinds {
            let queue: Box<dyn Modelled> = match *kind {
                "fifo" => Box::new(QueueProxy::<(i64, u32)>::new(&manager, maxsize).expect("a queue")),
                "lifo" => Box::new(LifoQueueProxy::<(i64, u32)>::new(&manager, maxsize).expect("a queue")),
                _ => Box::new(PriorityQueueProxy::<u32>::new(&manager, maxsize).expect("a queue")),
            };
            run(&*queue, Model { items: VecDeque::new(), next, maxsize, shut: false, out: 0 }, &steps);
        }
    });
    manager.shutdown().expect("a shutdown");
}
