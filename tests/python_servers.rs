//! Managers that Python programs started, in every version that is found, used from Rust: by name, by traits, and by the proxies of the shared types.

mod common;
#[path = "common/pythons.rs"]
mod pythons;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use multiproc::CallError::Method;
use multiproc::python::Exception;
use multiproc::types::{
    ArrayProxy, BarrierProxy, BoundedSemaphoreProxy, BrokenBarrierError, ConditionProxy, CounterProxy, DictProxy,
    EventProxy, IteratorProxy, JoinableQueueProxy, LifoQueueProxy, ListProxy, LockProxy, NamespaceProxy, NotOwned,
    OverRelease, PoolProxy, PriorityQueueProxy, QueueError, QueueProxy, RLockProxy, SemaphoreProxy, SequenceError,
    SetProxy, Slice, ValueProxy,
};
use multiproc::{Address, BaseManager, BaseProxy, CallError, Error, PoolError, Proxy, RemoteError, SyncManager, Value};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use pythons::{Python, pythons};

const KEY: &str = "a key for tests";
const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(20);

struct Server {
    child: Child,
    directory: tempfile::TempDir,
}

impl Server {
    fn start(python: &Python) -> Self {
        let directory = tempfile::Builder::new().prefix("multiproc-").tempdir().unwrap();
        let path = directory.path().join("socket");
        let mut command = python.script("server.py");
        // A pool's workers outlive a server that is killed; so they are killed with it.
        let mut child = command.arg(&path).arg(KEY).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "serves");
        Self { child, directory }
    }

    fn address(&self) -> Address {
        Address::Unix(self.directory.path().join("socket"))
    }

    fn connect(&self) -> SyncManager {
        SyncManager::builder().python(true).address(self.address()).authkey(KEY).connect().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Runs `test` with a server of each Python.
fn with_each(test: impl Fn(&Server, &SyncManager, &Python)) {
    for python in pythons() {
        let server = Server::start(python);
        let manager = server.connect();
        test(&server, &manager, python);
    }
}

fn remote<T: std::fmt::Debug>(result: multiproc::Result<T>) -> RemoteError {
    match result.unwrap_err() {
        Error::Remote(error) => error,
        other => panic!("{other:?}"),
    }
}

/// The method that a type of Python's is said not to have.
fn lacks<T: std::fmt::Debug>(result: multiproc::Result<T>) -> String {
    match result.unwrap_err() {
        Error::NoSuchMethod { typeid, method, available } => {
            assert!(typeid.starts_with("Python's ") && !available.is_empty(), "{typeid} {available:?}");
            method
        }
        other => panic!("{other:?}"),
    }
}

fn system<T, E>(result: Result<T, CallError<E>>) -> multiproc::Result<T> {
    match result {
        Ok(value) => Ok(value),
        Err(CallError::System(error)) => Err(error),
        Err(Method(_)) => panic!("an error of the method's own"),
    }
}

#[derive(serde::Serialize)]
struct Keywords {
    note: &'static str,
}

#[test]
fn anything_is_called_by_pythons_own_names() {
    for python in pythons() {
        let mut server = Server::start(python);
        let manager = server.connect();
        let dict = manager.create("dict", ()).unwrap();
        dict.call_method::<()>("__setitem__", ("a", vec![1.5, 2.0])).unwrap();
        dict.call_method::<()>("update", (BTreeMap::from([("n", i128::MAX)]),)).unwrap();
        assert_eq!(dict.call_method::<Vec<f64>>("get", ("a",)).unwrap(), [1.5, 2.0]);
        assert_eq!(dict.call_method::<i128>("__getitem__", ("n",)).unwrap(), i128::MAX);
        assert!(dict.text().unwrap().starts_with("{'a': [1.5, 2.0], 'n': "), "{dict}");
        let copy: BTreeMap<String, Value> = dict.to_value().unwrap();
        assert_eq!(copy.len(), 2);
        assert!(dict.methods().unwrap().contains(&"setdefault".to_owned()));

        // Exceptions: their class, their arguments; and what the server itself says, with its traceback.
        let error = remote(dict.call_method::<Value>("__getitem__", ("missing",)));
        assert_eq!((&*error.kind, &*error.message), ("builtins.KeyError", "'missing'"));
        let error = remote(dict.call_method::<Value>("no_such_method", ()));
        assert_eq!(error.kind, "multiprocessing.managers.RemoteError");
        assert!(error.causes[0].contains("Traceback (most recent call last)"), "{error:?}");
        let queue = manager.create("Queue", (1,)).unwrap();
        let error = remote(queue.call_method::<Value>("get_nowait", ()));
        assert_eq!(error.kind, "_queue.Empty");
        // A name that somebody wrote is Python's, by whichever proxy.
        let typed: QueueProxy<u8> = QueueProxy::from_base(queue.clone());
        assert_eq!(typed.base().call_method::<usize>("qsize", ()).unwrap(), 0);
        assert!(matches!(queue.to_value::<Value>(), Err(Error::Unserializable { .. })));

        // A class of the program's own, with keyword arguments and an exception of two arguments.
        let account: BaseProxy = manager.create_with("Account", ("ada",), BTreeMap::from([("balance", 5)])).unwrap();
        assert_eq!(account.to_string(), "Account of ada");
        let told: BTreeMap<String, Value> =
            account.call_method_with("deposit", (10,), Keywords { note: "rent" }).unwrap();
        assert_eq!((&told["balance"], &told["note"]), (&15.into(), &"rent".into()));
        let error = remote(account.call_method::<Value>("deposit", (-1,)));
        assert_eq!((&*error.kind, &*error.message), ("__main__.Refusal", "('negative', -1)"));
        assert!(matches!(manager.create("Nothing", ()), Err(Error::NoSuchType { .. })));

        // Proxies in values, as results, and of iterators.
        let list = manager.create("list", ((1, 2),)).unwrap();
        dict.call_method::<()>("__setitem__", ("list", &list)).unwrap();
        assert_eq!(dict.call_method::<BaseProxy>("__getitem__", ("list",)).unwrap(), list);
        let iterator: BaseProxy = dict.call_method("__iter__", ()).unwrap();
        assert_eq!(iterator.typeid(), "Iterator");
        assert_eq!(iterator.call_method::<String>("__next__", ()).unwrap(), "a");
        let again: BaseProxy = manager.python_object("list", &format!("{:x}", list.token().object().0)).unwrap();
        assert_eq!(again, list);
        assert!(matches!(manager.python_object::<BaseProxy>("list", "abc"), Err(Error::NoSuchObject { .. })));
        assert!(serde_json::to_string(&list).unwrap_err().to_string().contains("only be sent to that server"));

        // References come and go as in Python.
        let objects = manager.number_of_objects().unwrap();
        drop((list.clone(), again));
        drop((iterator, queue, typed));
        common::eventually("what was dropped is gone", || manager.number_of_objects().unwrap() == objects - 2);
        let infos = manager.debug_info().unwrap();
        assert!(infos.iter().any(|info| info.text.contains("Account of ada")), "{infos:?}");
        assert!(infos.iter().any(|info| info.object == list.token().object()), "{infos:?}");

        assert!(lacks_of_manager(&manager));
        let wrong = SyncManager::builder().python(true).address(server.address()).authkey("wrong").connect();
        assert!(matches!(wrong, Err(Error::Authentication { .. })), "{wrong:?}");
        drop((dict, list, account));
        manager.ping().unwrap();
        manager.shutdown().unwrap();
        server.child.wait().unwrap();
        assert!(matches!(manager.ping(), Err(Error::ServerGone { .. })));
        let nobody = SyncManager::builder().python(true).address(server.address()).authkey(KEY).connect();
        assert!(nobody.is_err());
    }
}

fn lacks_of_manager(manager: &SyncManager) -> bool {
    matches!(manager.stats(), Err(Error::NoSuchMethod { .. }))
}

/// What `Account` raises, by the names of the classes.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
enum Refusal {
    Refusal(String, i64),
}

/// The account of `server.py`.
#[multiproc::proxy(typeid = "Account")]
trait Account {
    fn new(owner: &str, balance: i64) -> Self;
    fn deposit(&self, amount: i64) -> Result<HashMap<String, Value>, Refusal>;
    fn names(&self, one: &str, other: String) -> Vec<String>;
    fn fail(&self, how: &str) -> Result<(), Exception>;
    #[proxy(error = text)]
    fn fail_in_words(&self, how: &str) -> Result<(), String>;
    fn sleep(&self, seconds: f64) -> f64;
    #[proxy(name = "open")]
    fn open_for(&self, owner: &str) -> AccountProxy;
    fn counting(&self, end: u32) -> IteratorProxy<u32>;
    fn missing(&self);
}

#[test]
fn a_trait_describes_a_class_of_the_programs_own() {
    with_each(|_, manager, _| {
        let account = AccountProxy::new(manager, "ada", 5).unwrap();
        assert_eq!(account.deposit(3).unwrap()["balance"], 8.into());
        let refused = account.deposit(-7).unwrap_err();
        assert_eq!(refused.into_method().unwrap(), Refusal::Refusal("negative".into(), -7));
        assert_eq!(account.names("a", "b".into()).unwrap(), ["A", "B"]);

        let exception = account.fail("key").unwrap_err().into_method().unwrap();
        assert_eq!((&*exception.class, exception.name()), ("builtins.KeyError", "KeyError"));
        assert_eq!((exception.args.as_slice(), &exception.traceback), (&["x".into()][..], &None));
        let exception = account.fail("other").unwrap_err().into_method().unwrap();
        assert_eq!(exception.args, ["unknown".into(), "other".into()]);
        assert_eq!(remote(account.fail_in_words("empty")).kind, "_queue.Empty");
        let error: QueueError = account
            .base()
            .call_method_fallible::<Value, QueueError>("fail", ("empty",))
            .unwrap_err()
            .into_method()
            .unwrap();
        assert_eq!(error, QueueError::Empty);

        // What the server itself complains of comes with its traceback.
        let told = remote(account.missing());
        assert!(told.causes[0].contains("Traceback") && told.message.contains("missing"), "{told:?}");

        let other = account.open_for("grace").unwrap();
        assert_eq!(other.to_string(), "Account of grace");
        assert_eq!(other.deposit(1).unwrap()["owner"], "grace".into());
        let counting = account.counting(3).unwrap();
        let counted: Vec<_> = counting.iter().collect();
        assert_eq!(counted.iter().take(3).map(|one| *one.as_ref().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(counted[3].as_ref().unwrap_err().to_string().contains("counted out"));
        counting.close().unwrap();

        // A call that takes too long is given up, and takes nothing with it.
        let begin = Instant::now();
        assert!(matches!(account.with_timeout(SHORT).sleep(3.0), Err(Error::Timeout { after: SHORT })));
        assert!(begin.elapsed() < Duration::from_secs(2));
        assert_eq!(account.names("c", "d".into()).unwrap(), ["C", "D"]);

        let results = manager.batch(|b| (b.on(&account).names("x", "y".into()), b.on(&other).deposit(-1))).unwrap();
        assert_eq!(results.0.unwrap(), ["X", "Y"]);
        assert!(matches!(results.1, Err(Method(Refusal::Refusal(..)))));
        assert_eq!(account.defer().names("x", "y".into()).wait().unwrap(), ["X", "Y"]);
    });
}

#[test]
fn dicts() {
    with_each(|_, manager, _| {
        let dict = DictProxy::<String, Option<u32>>::from_iter(manager, [("a", Some(1))]).unwrap();
        assert_eq!(dict.get("a").unwrap(), Some(Some(1)));
        assert_eq!(dict.get("b").unwrap(), None);
        assert_eq!(dict.insert("a", Some(2)).unwrap(), Some(Some(1)));
        assert_eq!(dict.insert("b", None).unwrap(), None);
        // A value that is None is none that is missing.
        assert_eq!(dict.get("b").unwrap(), Some(None));
        assert_eq!(dict.get_or_insert("a", Some(9)).unwrap(), Some(2));
        assert_eq!(dict.get_or_insert("c", Some(9)).unwrap(), Some(9));
        assert_eq!((dict.len().unwrap(), dict.contains_key("c").unwrap()), (3, true));
        assert_eq!(dict.to_string(), "{'a': 2, 'b': None, 'c': 9}");
        assert_eq!(dict.keys().unwrap(), ["a", "b", "c"]);
        assert_eq!(dict.values().unwrap(), [Some(2), None, Some(9)]);
        let entries: Vec<_> = dict.iter().collect::<multiproc::Result<_>>().unwrap();
        assert_eq!(entries[1], ("b".to_owned(), None));
        assert_eq!(entries, dict.items().unwrap());
        assert!(dict.equals(&dict.to_map::<BTreeMap<_, _>>().unwrap()).unwrap());
        assert!(!dict.equals(&BTreeMap::from([("a", 1)])).unwrap());
        let copy: BTreeMap<String, Option<u32>> = dict.to_value().unwrap();
        assert_eq!(copy["c"], Some(9));
        assert_eq!(dict.remove("c").unwrap(), Some(Some(9)));
        assert_eq!(dict.remove("c").unwrap(), None);
        assert_eq!(dict.pop_item().unwrap(), Some(("b".to_owned(), None)));
        dict.extend([("x", Some(1)), ("y", Some(2))]).unwrap();
        assert_eq!(dict.len().unwrap(), 3);
        dict.clear().unwrap();
        assert!(dict.is_empty().unwrap());
        assert_eq!(dict.pop_item().unwrap(), None);

        assert_eq!(lacks(dict.update("a", |old| old)), "update");
        assert_eq!(lacks(dict.compare_exchange("a", None, None)), "compare_exchange");
        assert_eq!(lacks(dict.insert_if_absent("a", None)), "insert_if_absent");

        // Nested, typed, and kept alive by the container alone.
        let nested = DictProxy::<u32, ListProxy<String>>::new(manager).unwrap();
        let list = ListProxy::<String>::from_iter(manager, ["deep"]).unwrap();
        nested.insert(7, &list).unwrap();
        drop(list);
        assert_eq!(nested.get(7).unwrap().unwrap().get(0).unwrap().as_deref(), Some("deep"));
        let listed = nested.values().unwrap();
        listed[0].push("er").unwrap();
        assert_eq!(listed[0].to_vec().unwrap(), ["deep", "er"]);
    });
}

#[test]
fn lists() {
    with_each(|_, manager, _| {
        let list = ListProxy::<i64>::from_iter(manager, [3, 1, 2]).unwrap();
        assert_eq!((list.get(-1).unwrap(), list.get(3).unwrap()), (Some(2), None));
        assert_eq!(list.slice(1..).unwrap(), [1, 2]);
        assert_eq!(list.slice(Slice::from(..).step(-1)).unwrap(), [2, 1, 3]);
        assert!(matches!(list.slice(Slice::from(..).step(0)), Err(Method(SequenceError::StepZero))));
        assert_eq!(list.set(0, 4).unwrap(), 3);
        let missing = list.set(9, 4).unwrap_err().into_method().unwrap();
        assert_eq!(missing, SequenceError::OutOfRange { index: 9, length: 3 });
        list.push(5).unwrap();
        list.insert(0, 0).unwrap();
        list.extend([6, 7]).unwrap();
        assert_eq!(list.to_vec().unwrap(), [0, 4, 1, 2, 5, 6, 7]);
        list.sort().unwrap();
        list.sort_by_value(true).unwrap();
        list.reverse().unwrap();
        assert_eq!(list.to_vec().unwrap(), [0, 1, 2, 4, 5, 6, 7]);
        assert_eq!((list.pop().unwrap(), list.pop_at(0).unwrap(), list.pop_at(99).unwrap()), (Some(7), Some(0), None));
        assert_eq!((list.index_of(4).unwrap(), list.index_of(44).unwrap()), (Some(2), None));
        assert_eq!(list.index_of_within(4, 3..).unwrap(), None);
        assert_eq!(list.index_of_within(4, ..3).unwrap(), Some(2));
        assert_eq!((list.count(5).unwrap(), list.contains(6).unwrap()), (1, true));
        assert!(list.remove_value(6).unwrap() && !list.remove_value(6).unwrap());
        assert_eq!(list.concatenate(&[8, 9]).unwrap(), [1, 2, 4, 5, 8, 9]);
        list.set_slice(1..3, [7, 7, 7]).unwrap();
        assert_eq!(list.to_vec().unwrap(), [1, 7, 7, 7, 5]);
        let error = list.set_slice(Slice::from(..).step(2), [1]).unwrap_err().into_method().unwrap();
        assert_eq!(error, SequenceError::SliceLength { given: 1, places: 3 });
        list.delete_slice(1..4).unwrap();
        list.repeat(2).unwrap();
        assert_eq!(list.iter().collect::<multiproc::Result<Vec<_>>>().unwrap(), [1, 5, 1, 5]);
        assert!(list.equals(&[1, 5, 1, 5]).unwrap() && !list.equals(&[1]).unwrap());
        assert_eq!(list.to_value::<Vec<i64>>().unwrap(), [1, 5, 1, 5]);
        assert_eq!((list.len().unwrap(), list.to_string()), (4, "[1, 5, 1, 5]".to_owned()));
        list.clear().unwrap();
        assert!(list.is_empty().unwrap() && list.pop().unwrap().is_none());
        assert_eq!(lacks(list.update_all(|_| ())), "update");

        let mixed = ListProxy::<Value>::from_iter(manager, [Value::from(1), "x".into()]).unwrap();
        assert!(matches!(mixed.sort_by_value(false), Err(Method(SequenceError::NoOrder))));
        let numbers = ListProxy::<Vec<f64>>::from_iter(manager, [vec![0.5; 1000]]).unwrap();
        assert_eq!(numbers.get(0).unwrap().unwrap().len(), 1000);
        let many = ListProxy::<u32>::from_iter(manager, 0..1000).unwrap();
        assert_eq!(many.iter().map(Result::unwrap).collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
    });
}

#[test]
fn queues() {
    with_each(|_, manager, python| {
        let queue = QueueProxy::<String>::new(manager, 2).unwrap();
        queue.put("a").unwrap();
        queue.try_put("b").unwrap();
        assert!(matches!(queue.try_put("c"), Err(Method(QueueError::Full))));
        assert!(matches!(queue.put_timeout("c", SHORT), Err(Method(QueueError::Full))));
        assert_eq!((queue.len().unwrap(), queue.is_full().unwrap()), (2, true));
        assert_eq!(queue.get_many(5).unwrap(), ["a", "b"]);
        assert!(matches!(queue.try_get(), Err(Method(QueueError::Empty))));
        let begin = Instant::now();
        assert!(matches!(queue.get_timeout(SHORT), Err(Method(QueueError::Empty))));
        assert!(begin.elapsed() >= SHORT);
        queue.task_done().unwrap();
        assert!(matches!(queue.join_timeout(SHORT), Err(CallError::System(Error::Timeout { .. }))));
        queue.task_done().unwrap();
        queue.join().unwrap();
        assert!(matches!(queue.task_done(), Err(Method(QueueError::NotTaken))));
        assert_eq!(lacks(queue.maxsize()), "maxsize");

        // Waits, from both sides; and what came in time is there whole.
        let theirs = queue.clone();
        let putter = std::thread::spawn(move || theirs.put_many((0..50).map(|n| n.to_string())).unwrap());
        let got: Vec<_> = (0..50).map(|_| queue.get_timeout(LONG).unwrap()).collect();
        assert_eq!((putter.join().unwrap(), &*got[49]), (50, "49"));

        let shared: JoinableQueueProxy<u32> = manager.create_as("get_jobs", ()).unwrap();
        let same: JoinableQueueProxy<u32> = manager.create_as("get_jobs", ()).unwrap();
        assert_eq!(shared, same);
        shared.put(7).unwrap();
        assert_eq!(same.get().unwrap(), 7);
        let lifo = LifoQueueProxy::<u32>::from_iter(manager, [1, 2, 3]).unwrap();
        assert_eq!((lifo.get().unwrap(), lifo.get().unwrap()), (3, 2));
        let ranked = PriorityQueueProxy::<String>::from_iter(manager, [(5, "sweep"), (1, "extinguish")]).unwrap();
        assert_eq!(ranked.get().unwrap(), (1, "extinguish".to_owned()));

        let (waiter, begun) = (queue.clone(), Instant::now());
        let waiting = std::thread::spawn(move || waiter.get());
        std::thread::sleep(SHORT);
        if python.minor >= 13 {
            queue.shutdown(false).unwrap();
            assert!(matches!(waiting.join().unwrap(), Err(Method(QueueError::ShutDown))));
            assert!(matches!(queue.put("late"), Err(Method(QueueError::ShutDown))));
            assert_eq!(queue.iter().count(), 0);
        } else {
            assert_eq!(lacks(queue.shutdown(false)), "shutdown");
            queue.put("last").unwrap();
            assert_eq!(waiting.join().unwrap().unwrap(), "last");
        }
        assert!(begun.elapsed() < LONG);
    });
}

#[test]
fn locks_and_what_is_made_of_them() {
    with_each(|_, manager, _| {
        let lock = LockProxy::new(manager).unwrap();
        let guard = lock.lock().unwrap();
        assert!(matches!(lock.lock(), Err(Error::WouldDeadlock { .. })));
        let theirs = lock.clone();
        std::thread::spawn(move || {
            assert!(theirs.try_lock().unwrap().is_none());
            assert!(theirs.try_lock_for(SHORT).unwrap().is_none());
        })
        .join()
        .unwrap();
        guard.unlock().unwrap();
        assert!(!lock.try_lock_for(LONG).unwrap().unwrap().was_abandoned());
        assert!(matches!(lock.release(), Err(Method(NotOwned))));

        let rlock = RLockProxy::new(manager).unwrap();
        let (outer, inner) = (rlock.lock().unwrap(), rlock.lock().unwrap());
        let theirs = rlock.clone();
        let tries = move || std::thread::spawn(move || theirs.try_lock().unwrap().is_some()).join().unwrap();
        drop(outer);
        assert!(!tries());
        drop(inner);
        let theirs = rlock.clone();
        assert!(std::thread::spawn(move || theirs.try_lock().unwrap().is_some()).join().unwrap());

        // 4 threads, and no step lost.
        let value = ValueProxy::<u32>::new(manager, 0_u32).unwrap();
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let (lock, value) = (lock.clone(), value.clone());
                std::thread::spawn(move || {
                    for _ in 0..20 {
                        let _guard = lock.lock().unwrap();
                        value.set(value.get().unwrap() + 1).unwrap();
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(value.get().unwrap(), 80);

        let condition = ConditionProxy::new(manager).unwrap();
        let mut guard = condition.lock().unwrap();
        assert!(!condition.wait_timeout(&mut guard, SHORT).unwrap());
        let (theirs, items) = (condition.clone(), value.clone());
        let producer = std::thread::spawn(move || {
            let _guard = theirs.lock().unwrap();
            items.set(81_u32).unwrap();
            theirs.notify_all().unwrap();
            theirs.notify(1).unwrap();
        });
        condition.wait_while(&mut guard, || Ok(value.get()? == 80)).unwrap();
        drop(guard);
        producer.join().unwrap();
        assert!(matches!(condition.notify(1), Err(Method(NotOwned))));
        assert_eq!(lacks(ConditionProxy::on(&lock)), "condition (a condition on a lock that is there already)");

        let slots = SemaphoreProxy::new(manager, 1).unwrap();
        let permit = slots.acquire().unwrap();
        assert!(slots.try_acquire().unwrap().is_none() && slots.try_acquire_for(SHORT).unwrap().is_none());
        drop(permit);
        slots.acquire().unwrap().forget().unwrap();
        slots.release(1).unwrap();
        assert!(slots.try_acquire().unwrap().is_some());
        assert_eq!(lacks(slots.acquire_many(2)), "acquire_many (several permits at once)");
        let bounded = BoundedSemaphoreProxy::new(manager, 1).unwrap();
        let over = bounded.release(1).unwrap_err().into_method().unwrap();
        assert_eq!(over, OverRelease { released: 1, outstanding: 0 });
    });
}

#[test]
fn events_and_barriers() {
    with_each(|_, manager, _| {
        let event = EventProxy::new(manager).unwrap();
        assert!(!event.is_set().unwrap() && !event.wait_timeout(SHORT).unwrap());
        let theirs = event.clone();
        let waiter = std::thread::spawn(move || theirs.wait());
        event.set().unwrap();
        waiter.join().unwrap().unwrap();
        assert!(event.is_set().unwrap() && event.wait_timeout(SHORT).unwrap());
        event.clear().unwrap();
        assert!(!event.is_set().unwrap());

        let barrier = BarrierProxy::new(manager, 2).unwrap();
        assert_eq!((barrier.parties().unwrap(), barrier.n_waiting().unwrap()), (2, 0));
        let theirs = barrier.clone();
        let other = std::thread::spawn(move || theirs.wait().unwrap());
        assert_eq!(barrier.wait().unwrap() + other.join().unwrap(), 1);
        assert!(matches!(barrier.wait_timeout(SHORT), Err(Method(BrokenBarrierError))));
        assert!(barrier.is_broken().unwrap());
        barrier.reset().unwrap();
        assert!(!barrier.is_broken().unwrap());
        barrier.abort().unwrap();
        assert!(matches!(barrier.wait(), Err(Method(BrokenBarrierError))));
        barrier.reset().unwrap();
        assert_eq!(lacks(system(barrier.wait_with(|| ()))), "wait_with (an action of one party's)");
        assert_eq!(lacks(barrier.join()), "join");
    });
}

#[test]
fn values_arrays_and_namespaces() {
    with_each(|_, manager, _| {
        let value = ValueProxy::<(String, f64)>::new(manager, ("a".to_owned(), 0.5)).unwrap();
        value.set(("b".to_owned(), 1.5)).unwrap();
        assert_eq!(value.get().unwrap(), ("b".to_owned(), 1.5));
        let number = ValueProxy::<i32>::new(manager, 3).unwrap();
        assert!(number.to_string().contains('3'), "{number}");
        assert_eq!(lacks(number.fetch_add(1)), "fetch_add and the like");
        assert_eq!(lacks(number.compare_exchange(1, 2)), "compare_exchange");
        assert_eq!(lacks(number.update(|n| n)), "update");
        assert_eq!(lacks(number.lock()), "lock");

        let array = ArrayProxy::<f64>::new(manager, [1.0, 2.0, 3.0, 4.0].as_slice()).unwrap();
        assert_eq!((array.get(-1).unwrap(), array.get(4).unwrap()), (Some(4.0), None));
        assert_eq!(array.set(0, 9.0).unwrap(), 1.0);
        assert!(matches!(array.set(7, 0.0), Err(Method(SequenceError::OutOfRange { index: 7, length: 4 }))));
        array.set_slice(1..3, &[7.0, 8.0]).unwrap();
        assert_eq!(array.to_vec().unwrap(), [9.0, 7.0, 8.0, 4.0]);
        assert_eq!(array.slice(Slice::from(..).step(-2)).unwrap(), [4.0, 7.0]);
        let uneven = array.set_slice(.., &[1.0]).unwrap_err().into_method().unwrap();
        assert_eq!(uneven, SequenceError::SliceLength { given: 1, places: 4 });
        assert!(array.equals(&[9, 7, 8, 4]).unwrap());
        assert_eq!(array.to_value::<Vec<f64>>().unwrap().len(), 4);
        array.fill(0.5).unwrap();
        assert_eq!((array.to_vec().unwrap(), array.len().unwrap()), (vec![0.5; 4], 4));
        assert_eq!(lacks(system(array.fetch_add(0, 1.0))), "fetch_add and the like");
        for kind in [1_u8, 255] {
            let bytes = ArrayProxy::<u8>::new(manager, vec![kind; 3]).unwrap();
            assert_eq!(bytes.to_vec().unwrap(), [kind; 3]);
        }
        let longs = ArrayProxy::<i64>::from_iter(manager, [i64::MIN, i64::MAX]).unwrap();
        assert_eq!(longs.to_vec().unwrap(), [i64::MIN, i64::MAX]);
        assert!(ArrayProxy::<i32>::zeroed(manager, 0).unwrap().to_vec().unwrap().is_empty());

        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        struct Settings {
            depth: u32,
            name: String,
        }
        let settings = Settings { depth: 3, name: "x".into() };
        let namespace = NamespaceProxy::of(manager, &settings).unwrap();
        assert_eq!(namespace.to_value::<Settings>().unwrap(), settings);
        namespace.set("ratio", 0.5).unwrap();
        assert_eq!(namespace.get::<f64>("ratio").unwrap(), Some(0.5));
        assert_eq!(namespace.names().unwrap(), ["depth", "name", "ratio"]);
        assert!(namespace.contains("name").unwrap() && !namespace.contains("nothing").unwrap());
        assert!(namespace.remove("ratio").unwrap() && !namespace.remove("ratio").unwrap());
        assert_eq!(namespace.get::<u32>("ratio").unwrap(), None);
        assert!(namespace.equals(&settings).unwrap());
        assert_eq!(lacks(namespace.update("depth", |depth: Option<u32>| depth)), "update");
        assert!(matches!(CounterProxy::new(manager, 0), Err(Error::NoSuchType { .. })));
    });
}

/// As managers of Python's have them from 3.14 on; on older ones the program of this test registers them.
#[test]
fn sets() {
    with_each(|_, manager, _| {
        let set = SetProxy::from_iter(manager, [1_u64, 2]).unwrap();
        assert!(set.insert(3).unwrap() && !set.insert(3).unwrap());
        assert!(set.contains(1).unwrap() && set.remove(1).unwrap() && !set.remove(1).unwrap());
        let sorted = |elements: multiproc::Result<Vec<u64>>| {
            let mut elements = elements.unwrap();
            elements.sort_unstable();
            elements
        };
        assert_eq!((set.len().unwrap(), sorted(set.to_vec())), (2, vec![2, 3]));
        assert_eq!(set.iter().map(Result::unwrap).collect::<BTreeSet<_>>(), BTreeSet::from([2, 3]));
        let other = [3_u64, 4];
        assert_eq!(sorted(set.union(&other)), [2, 3, 4]);
        assert_eq!(sorted(set.intersection(&[3_u64, 5])), [3]);
        assert_eq!(sorted(set.difference(&other)), [2]);
        assert_eq!(sorted(set.symmetric_difference(&other)), [2, 4]);
        assert!(set.is_subset(&[1_u64, 2, 3]).unwrap() && !set.is_subset(&other).unwrap());
        assert!(set.is_superset(&[2_u64]).unwrap() && set.is_disjoint(&[7_u64]).unwrap());
        assert!(set.equals(&[3_u64, 2]).unwrap() && !set.equals(&other).unwrap());
        set.union_with(&other).unwrap();
        set.subtract(&[2_u64]).unwrap();
        assert_eq!(sorted(set.to_vec()), [3, 4]);
        set.symmetric_difference_with(&[4_u64, 9]).unwrap();
        set.intersect_with(&[9_u64]).unwrap();
        assert_eq!((set.pop().unwrap(), set.pop().unwrap()), (Some(9), None));
        set.extend([1, 1]).unwrap();
        let shared = SetProxy::from_iter(manager, [3_u64, 4]).unwrap();
        assert!(set.union(&shared).unwrap_err().to_string().contains("`to_vec`"));
        set.clear().unwrap();
        assert!(set.is_empty().unwrap());
    });
}

/// Functions of Python's, as a pool of Python's runs them.
mod functions {
    use super::*;

    #[multiproc::task(name = "math.factorial")]
    pub fn factorial(n: u64) -> u64;

    #[multiproc::task(name = "math.sqrt")]
    pub fn root(x: f64) -> f64;

    #[multiproc::task(name = "operator.truediv")]
    pub fn divided(a: f64, b: f64) -> f64;

    #[multiproc::task(name = "os.getpid")]
    pub fn own_id() -> u32;

    #[multiproc::task(name = "time.sleep")]
    pub fn sleeps(seconds: f64);

    /// Of the program's that started the manager.
    #[multiproc::task]
    pub fn doubled(list: ListProxy<u64>) -> Vec<u64>;

    #[multiproc::task]
    pub fn begin_at(base: u64);

    #[multiproc::task]
    pub fn above(n: u64) -> u64;

    #[multiproc::task(name = "no_such_module.function")]
    pub fn missing();
}

fn kind<T: std::fmt::Debug>(result: Result<T, PoolError>) -> String {
    match result.unwrap_err() {
        PoolError::System(Error::Remote(error)) => error.kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pools_of_pythons_run_functions_of_pythons() {
    use functions::*;
    with_each(|_, manager, _| {
        let pool = PoolProxy::new(manager, 2).unwrap();
        assert_eq!(pool.apply::<factorial>((10,)).unwrap(), 3_628_800);
        assert_ne!(pool.apply::<own_id>(()).unwrap(), std::process::id());
        assert_eq!(pool.map::<factorial>(0..5).unwrap(), [1, 1, 2, 6, 24]);
        assert_eq!(pool.map_chunked::<factorial>([3, 4], 1).unwrap(), [6, 24]);
        assert_eq!(pool.map::<factorial>([]).unwrap(), [0; 0]);
        assert_eq!(pool.starmap::<divided>([(1.0, 2.0), (3.0, 4.0)]).unwrap(), [0.5, 0.75]);
        assert_eq!(pool.map_async::<factorial>([5]).unwrap().get().unwrap(), [120]);
        assert_eq!(pool.starmap_async::<divided>([(1.0, 4.0)]).unwrap().get().unwrap(), [0.25]);
        let all: Result<Vec<u64>, _> = pool.imap::<factorial>(0..20).unwrap().iter().collect();
        assert_eq!(all.unwrap()[19], 121_645_100_408_832_000);
        assert_eq!(pool.imap_unordered::<factorial>([6]).unwrap().next_item().unwrap(), Some(720));

        // Proxies among the arguments, and what is a worker's own.
        let list = ListProxy::from_iter(manager, [1_u64, 2]).unwrap();
        assert_eq!(pool.apply::<doubled>((list.clone(),)).unwrap(), [2, 4]);
        let begun = PoolProxy::builder().workers(1).initializer::<begin_at>((40,)).max_tasks_per_child(1);
        let begun = begun.start(manager).unwrap();
        assert_eq!(begun.map_chunked::<above>([1, 2, 3], 1).unwrap(), [41, 42, 43]);
        begun.terminate().unwrap();
        begun.join().unwrap();

        // What is raised.
        assert_eq!(kind(pool.apply::<divided>((1.0, 0.0))), "builtins.ZeroDivisionError");
        assert!(matches!(pool.apply::<missing>(()), Err(PoolError::System(Error::Remote(_)))));
        let failed = pool.starmap_async::<divided>([(1.0, 0.0)]).unwrap();
        assert_eq!(kind(failed.get()), "builtins.ZeroDivisionError");
        assert_eq!((failed.is_ready().unwrap(), failed.successful().unwrap()), (true, Some(false)));
        // One item's failure is its own.
        let each = pool.imap::<root>([4.0, -1.0, 9.0]).unwrap();
        assert_eq!(each.next_item().unwrap(), Some(2.0));
        assert_eq!(kind(each.next_item()), "builtins.ValueError");
        assert_eq!((each.next_item().unwrap(), each.next_item().unwrap()), (Some(3.0), None));
        let each: Vec<_> = pool.imap::<root>([4.0, -1.0, 9.0]).unwrap().iter().map(|item| item.ok()).collect();
        assert_eq!(each, [Some(2.0), None, Some(3.0)]);

        // Waits.
        let late = pool.apply_async::<sleeps>((0.5,)).unwrap();
        assert_eq!((late.is_ready().unwrap(), late.successful().unwrap()), (false, None));
        assert!(
            matches!(late.get_timeout(SHORT), Err(PoolError::Timeout { .. })) && !late.wait_timeout(SHORT).unwrap()
        );
        late.get_timeout(LONG).unwrap();
        assert!(late.wait_timeout(SHORT).unwrap());

        // What it has not, and its end.
        assert_eq!(lacks(pool.workers()), "workers");
        assert!(pool.starimap::<divided>([]).is_err());
        assert!(PoolProxy::builder().retries(1).start(manager).unwrap_err().to_string().contains("`retries`"));
        assert!(PoolProxy::builder().name("x").start(manager).unwrap_err().to_string().contains("`name`"));
        assert!(matches!(pool.join(), Err(PoolError::System(Error::State { .. }))));
        pool.close().unwrap();
        assert!(matches!(pool.apply::<own_id>(()), Err(PoolError::Closed)));
        pool.join().unwrap();
    });
}

#[test]
fn threads_and_forked_children_have_connections_of_their_own() {
    let Some(python) = pythons().last() else { return };
    let server = Server::start(python);
    let manager = server.connect();
    let (lock, list) = (RLockProxy::new(&manager).unwrap(), ListProxy::<u8>::new(&manager).unwrap());
    let guard = lock.lock().unwrap();
    let other = lock.clone();
    // To Python's server each thread is another owner.
    assert!(std::thread::spawn(move || other.try_lock().unwrap().is_none()).join().unwrap());
    let children: Vec<_> = (0..4)
        .map(|number| {
            let list = list.clone();
            common::fork(move || {
                (0..20).for_each(|_| list.push(number).unwrap());
                0
            })
        })
        .collect();
    (0..20).for_each(|_| list.push(9).unwrap());
    children.into_iter().for_each(|child| assert_eq!(common::wait(child), 0));
    let all = list.to_vec().unwrap();
    assert_eq!(all.len(), 100);
    assert!([0, 1, 2, 3, 9].iter().all(|number| all.iter().filter(|one| *one == number).count() == 20));
    drop(guard);
}

/// A child used its parent's reference, which the server had counted once: when the parent dropped its proxy the child's calls failed.
#[test]
fn a_forked_child_that_has_used_a_proxy_outlives_its_parents() {
    let Some(python) = pythons().last() else { return };
    let server = Server::start(python);
    let manager = server.connect();
    let list = ListProxy::<u8>::new(&manager).unwrap();
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let child = common::fork({
        let list = list.clone();
        move || {
            use std::io::{Read, Write};
            list.push(1).unwrap();
            (&far).write_all(b"x").unwrap();
            (&far).read_exact(&mut [0]).unwrap();
            let all = list.to_vec().unwrap();
            drop(list);
            i32::from(all != [1])
        }
    });
    use std::io::{Read, Write};
    (&near).read_exact(&mut [0]).unwrap();
    let objects = manager.number_of_objects().unwrap();
    drop(list);
    std::thread::sleep(SHORT);
    (&near).write_all(b"x").unwrap();
    assert_eq!(common::wait(child), 0);
    assert_eq!(objects, 1);
}

/// A thread's connection, and with it a thread of the server's, stayed for ever behind each thread that had called.
#[test]
fn the_connection_of_a_thread_ends_with_the_thread() {
    let Some(python) = pythons().last() else { return };
    let server = Server::start(python);
    let manager = server.connect();
    let event = EventProxy::new(&manager).unwrap();
    event.set().unwrap();
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap().count();
    let before = descriptors();
    for _ in 0..20 {
        let event = event.clone();
        std::thread::spawn(move || event.wait().unwrap()).join().unwrap();
    }
    common::eventually("the server has closed them", || descriptors() <= before + 1);
}

/// A worker's main returned, and what it had dropped last was never given back.
#[test]
fn what_was_dropped_is_given_back_before_the_manager_is() {
    let Some(python) = pythons().last() else { return };
    let server = Server::start(python);
    let manager = server.connect();
    let child = common::fork({
        let address = server.address();
        move || {
            let manager = BaseManager::builder().python(true).address(address).authkey(KEY).connect().unwrap();
            let objects: Vec<_> = (0..20).map(|_| manager.create("list", ()).unwrap()).collect();
            drop(objects);
            drop(manager);
            0
        }
    });
    assert_eq!(common::wait(child), 0);
    assert_eq!(manager.number_of_objects().unwrap(), 0);
}

/// `python(true)` takes either kind of server.
#[test]
fn a_server_of_this_crates_is_known_too() {
    let own = SyncManager::builder().python(true).authkey(KEY).start().unwrap();
    let connected = SyncManager::builder().python(true).address(own.address()).authkey(KEY).connect().unwrap();
    let dict = DictProxy::<u8, u8>::new(&connected).unwrap();
    assert_eq!(dict.insert_if_absent(1, 2).unwrap(), None);
    let wrong = SyncManager::builder().python(true).address(own.address()).authkey("wrong").connect();
    assert!(matches!(wrong, Err(Error::Authentication { .. })));
    assert!(matches!(connected.python_object::<BaseProxy>("dict", "1"), Err(Error::State { .. })));
    own.shutdown().unwrap();
}

/// Killed while calls wait on it, as every server may be.
#[test]
fn a_killed_server_is_told_at_once() {
    let Some(python) = pythons().last() else { return };
    let mut server = Server::start(python);
    let manager = server.connect();
    let queue = QueueProxy::<u8>::new(&manager, 0).unwrap();
    let waiter = std::thread::spawn(move || queue.get());
    std::thread::sleep(SHORT);
    server.child.kill().unwrap();
    let begin = Instant::now();
    let told = system(waiter.join().unwrap());
    assert!(matches!(told, Err(Error::ServerGone { .. })), "{told:?}");
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert!(manager.join(Some(LONG)).unwrap());
    assert!(matches!(manager.create("list", ()), Err(Error::ServerGone { .. })));
}

#[test]
fn a_server_is_reached_over_tcp_as_well() {
    for python in pythons() {
        let mut child = python.script("server.py").args(["tcp", KEY]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        let builder = SyncManager::builder().python(true).address(("127.0.0.1", port)).authkey(KEY);
        let manager = builder.connect().unwrap();
        let dict = DictProxy::<String, ListProxy<u8>>::new(&manager).unwrap();
        dict.insert("list", ListProxy::from_iter(&manager, [1_u8, 2]).unwrap()).unwrap();
        let list = dict.get("list").unwrap().unwrap();
        list.push(3).unwrap();
        assert_eq!(list.to_vec().unwrap(), [1, 2, 3]);
        manager.shutdown().unwrap();
        assert!(child.wait().unwrap().success());
    }
}
