//! A server's pool: tasks by their names, from any process; and what becomes of all when a worker, a client or the server is killed.
//!
//! Plain `cargo test`: the harness's threads are served. Each test that kills names the mechanism that it holds.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{LIMIT, alone, children, eventually, fork, is_alive, wait, within};
use multiproc::types::{AsyncResultProxy, CounterProxy, DictProxy, EventProxy, ListProxy, PoolProxy, QueueProxy};
use multiproc::{BaseProxy, Builder, Error, PoolError, Proxy, SyncManager, Value};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

#[multiproc::task]
fn square(n: u64) -> u64 {
    n * n
}

#[multiproc::task]
fn power(base: u64, exponent: u32) -> u64 {
    base.pow(exponent)
}

#[multiproc::task]
fn nothing() {}

#[multiproc::task(name = "whoami")]
fn own_id() -> u32 {
    std::process::id()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    name: Option<String>,
}

#[multiproc::task]
fn mirrored(point: Point) -> Result<Point, String> {
    if point.x == 0 { Err("in the middle".to_owned()) } else { Ok(Point { x: -point.x, ..point }) }
}

#[multiproc::task]
fn sum(numbers: Vec<f64>) -> f64 {
    numbers.iter().sum()
}

#[multiproc::task]
fn panics(n: u64) -> u64 {
    assert!(n != 3, "not {n}");
    n
}

#[multiproc::task]
fn sleeps(milliseconds: u64) -> u64 {
    thread::sleep(Duration::from_millis(milliseconds));
    milliseconds
}

#[multiproc::task]
fn dies(signal: i32) {
    kill(Pid::this(), Signal::try_from(signal).unwrap()).unwrap();
    common::forever();
}

/// Dies at its first run.
#[multiproc::task]
fn dies_once(counter: CounterProxy) -> i64 {
    let runs = counter.add(1).unwrap();
    if runs == 1 {
        kill(Pid::this(), Signal::SIGKILL).unwrap();
        common::forever();
    }
    runs
}

#[multiproc::task]
fn counts(counter: CounterProxy, n: i64) -> i64 {
    counter.add(n).unwrap()
}

/// Says that it runs, and goes on when it is told to.
#[multiproc::task]
fn waits(begun: CounterProxy, leave: EventProxy) {
    begun.add(1).unwrap();
    leave.wait().unwrap();
}

/// Gives a list of its own making, which only the result holds then.
#[multiproc::task]
fn lists(into: ListProxy<u32>, holder: DictProxy<String, ListProxy<u32>>) -> ListProxy<u32> {
    let made = holder.remove("made").unwrap().unwrap();
    made.push(into.len().unwrap() as u32).unwrap();
    made
}

static BASE: AtomicU64 = AtomicU64::new(0);

#[multiproc::task]
fn begin_at(base: u64) {
    BASE.store(base, Ordering::Relaxed);
}

#[multiproc::task]
fn above(n: u64) -> u64 {
    BASE.load(Ordering::Relaxed) + n
}

#[multiproc::task]
fn refuses_to_begin(_base: u64) {
    panic!("not today");
}

/// Makes the pool that it runs in again.
#[multiproc::task]
fn bomb(depth: u32) -> Result<u32, String> {
    // Without a guard the test is to fail, not the machine.
    if depth > 3 {
        return Ok(depth);
    }
    let manager = manager();
    bomb_pool(&manager, depth)
}

fn bomb_pool(manager: &SyncManager, depth: u32) -> Result<u32, String> {
    let pool = PoolProxy::new(manager, 1).map_err(|error| error.to_string())?;
    pool.apply::<bomb>((depth + 1,)).map_err(|error| error.to_string())?
}

mod elsewhere {
    //! What another program thinks of this one's tasks.

    #[multiproc::task]
    pub fn power(base: u64, exponent: u32) -> u64;

    #[multiproc::task]
    pub fn square(n: String) -> u64;

    #[multiproc::task]
    pub fn cube(n: u64) -> u64;
}

fn manager() -> SyncManager {
    builder().start().unwrap()
}

fn builder() -> Builder<SyncManager> {
    SyncManager::builder()
        .task::<square>()
        .task::<power>()
        .task::<nothing>()
        .task::<own_id>()
        .task::<mirrored>()
        .task::<sum>()
        .task::<panics>()
        .task::<sleeps>()
        .task::<dies>()
        .task::<dies_once>()
        .task::<counts>()
        .task::<waits>()
        .task::<lists>()
        .task::<begin_at>()
        .task::<above>()
        .task::<refuses_to_begin>()
        .task::<bomb>()
}

fn server(manager: &SyncManager) -> i32 {
    manager.pid().unwrap().cast_signed()
}

fn workers(pool: &PoolProxy) -> Vec<i32> {
    pool.worker_ids().unwrap().into_iter().map(u32::cast_signed).collect()
}

#[test]
fn tasks_are_found_by_their_names_and_keep_their_types() {
    let _alone = alone();
    let manager = manager();
    let pool = PoolProxy::new(&manager, 2).unwrap();
    assert_eq!(pool.workers().unwrap(), 2);
    assert_eq!(pool.apply::<square>((3,)).unwrap(), 9);
    assert_eq!(pool.apply::<power>((2, 10)).unwrap(), 1024);
    pool.apply::<nothing>(()).unwrap();
    let point = Point { x: 2, name: Some("p".into()) };
    assert_eq!(pool.apply::<mirrored>((point.clone(),)).unwrap().unwrap(), Point { x: -2, ..point.clone() });
    assert_eq!(pool.apply::<mirrored>((Point { x: 0, ..point },)).unwrap(), Err("in the middle".to_owned()));
    assert_eq!(pool.apply::<sum>((vec![0.5; 1 << 20],)).unwrap(), f64::from(1 << 19));
    // In another process than this one and the server.
    let id = pool.apply::<own_id>(()).unwrap().cast_signed();
    assert!(workers(&pool).contains(&id) && id != server(&manager));
    // The function stays one.
    assert_eq!([1, 2].map(square), [1, 4]);
    assert!(pool.text().unwrap().contains("2 workers"));
    manager.shutdown().unwrap();
}

#[test]
fn every_way_of_mapping_gives_the_same_results() {
    let _alone = alone();
    let manager = manager();
    let pool = PoolProxy::new(&manager, 3).unwrap();
    let expected: Vec<u64> = (0..1000).map(square).collect();
    assert_eq!(pool.map::<square>(0..1000).unwrap(), expected);
    assert_eq!(pool.map_chunked::<square>(0..1000, 7).unwrap(), expected);
    assert_eq!(pool.map_async::<square>(0..1000).unwrap().get().unwrap(), expected);
    assert_eq!(pool.starmap::<power>((0..1000).map(|n| (n, 2))).unwrap(), expected);
    assert_eq!(pool.starmap_async::<power>((0..1000).map(|n| (n, 2))).unwrap().get().unwrap(), expected);
    let collect = |results: Vec<Result<u64, PoolError>>| results.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(collect(pool.imap::<square>(0..1000).unwrap().iter().collect()), expected);
    assert_eq!(collect(pool.starimap::<power>((0..1000).map(|n| (n, 2))).unwrap().iter().collect()), expected);
    for unordered in [
        pool.imap_unordered::<square>(0..1000).unwrap(),
        pool.starimap_unordered::<power>((0..1000).map(|n| (n, 2))).unwrap(),
    ] {
        let mut results = collect(unordered.iter().collect());
        results.sort_unstable();
        assert_eq!(results, expected);
    }
    assert_eq!(pool.map::<square>([]).unwrap(), [0_u64; 0]);
    assert_eq!(pool.imap::<square>([]).unwrap().next_item().unwrap(), None);
    assert_eq!(pool.map_async::<square>([]).unwrap().get().unwrap(), [0_u64; 0]);
    // Slow items hold up nobody but those behind them, and those only where the order counts.
    let slow_first = pool.imap_unordered::<sleeps>([400, 0]).unwrap();
    assert_eq!(slow_first.next_item().unwrap(), Some(0));
    assert_eq!(slow_first.next_batch(10).unwrap().len(), 1);
    assert_eq!(slow_first.next_item().unwrap(), None);
    let ordered = pool.imap::<sleeps>([100, 0]).unwrap();
    assert_eq!(ordered.next_item().unwrap(), Some(100));
    manager.shutdown().unwrap();
}

#[test]
fn results_can_be_fetched_later_by_anybody_and_more_than_once() {
    let _alone = alone();
    let manager = manager();
    let pool = PoolProxy::new(&manager, 2).unwrap();
    let (begun, leave) = (CounterProxy::new(&manager, 0).unwrap(), EventProxy::new(&manager).unwrap());
    let result: AsyncResultProxy<()> = pool.apply_async::<waits>((begun.clone(), leave.clone())).unwrap();
    eventually("the task has begun", || begun.get().unwrap() == 1);
    assert!(!result.is_ready().unwrap());
    assert_eq!(result.successful().unwrap(), None);
    assert!(!result.wait_timeout(Duration::from_millis(20)).unwrap());
    let after = Duration::from_millis(20);
    assert!(matches!(result.get_timeout(after), Err(PoolError::Timeout { after: told }) if told == after));
    // A child that waits, and threads that do.
    let child = fork(|| i32::from(result.get().is_err()));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let result = result.clone();
            thread::spawn(move || result.wait().and_then(|()| result.successful()))
        })
        .collect();
    leave.set().unwrap();
    assert_eq!(wait(child), 0);
    for thread in threads {
        assert_eq!(thread.join().unwrap().unwrap(), Some(true));
    }
    result.get().unwrap();
    result.get().unwrap();
    let failed = pool.apply_async::<panics>((3,)).unwrap();
    assert!(matches!(failed.get(), Err(PoolError::Panicked(panic)) if panic.message == "not 3"));
    assert_eq!(failed.successful().unwrap(), Some(false));
    manager.shutdown().unwrap();
}

#[test]
fn what_can_not_be_done_is_an_error_of_its_kind_and_costs_the_others_nothing() {
    let _alone = alone();
    let manager = manager();
    let pool = PoolProxy::new(&manager, 2).unwrap();
    let unknown = pool.apply::<elsewhere::cube>((2,)).unwrap_err();
    let PoolError::NoSuchTask { task, registered } = &unknown else { panic!("{unknown}") };
    assert!(task == "cube" && registered.contains(&"whoami".to_owned()) && !registered.contains(&"own_id".to_owned()));
    assert!(pool.map_async::<elsewhere::cube>(0..3).is_err());
    assert!(pool.imap::<elsewhere::cube>(0..3).is_err());
    // The same types in another program are the same task; others are none.
    assert_eq!(pool.apply::<elsewhere::power>((3, 2)).unwrap(), 9);
    let other = pool.apply::<elsewhere::square>(("3".into(),)).unwrap_err();
    assert!(matches!(&other, PoolError::TaskTypes { task } if task == "square"), "{other}");
    // Without types the values themselves are looked at, by the worker.
    let base: &BaseProxy = pool.base();
    assert_eq!(base.call_method::<u64>("apply", ("power", (2, 3))).unwrap(), 8);
    let wrong = base.call_method_fallible::<u64, PoolError>("apply", ("square", ("three",))).unwrap_err();
    assert!(wrong.to_string().contains("square: wrong arguments"), "{wrong}");
    assert!(base.call_method_fallible::<u64, PoolError>("apply", ("square", (1, 2))).is_err());
    let no_name = base.call_method::<u64>("apply", (7, (2,))).unwrap_err();
    assert!(no_name.to_string().contains("the name of a task"), "{no_name}");
    let squares: Vec<Value> = base.call_method("map", ("square", (1, 2, 3), ())).unwrap();
    assert_eq!(squares, [1.into(), 4.into(), 9.into()]);
    // A failure is its own item's.
    let results: Vec<_> = pool.imap::<panics>(0..6).unwrap().iter().collect();
    let failed: Vec<_> = results.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, false, false, true, false, false]);
    assert!(matches!(pool.map::<panics>(0..6), Err(PoolError::Panicked(_))));
    assert_eq!(pool.apply::<square>((9,)).unwrap(), 81);
    manager.shutdown().unwrap();
}

#[test]
fn a_server_without_tasks_makes_no_pool() {
    let _alone = alone();
    let manager = SyncManager::start().unwrap();
    assert!(children(server(&manager)).is_empty(), "no process is set aside for nothing");
    let refused = PoolProxy::new(&manager, 1).unwrap_err();
    assert!(refused.to_string().contains("Builder::task"), "{refused}");
    manager.shutdown().unwrap();
    let twice = SyncManager::builder().task::<square>().task::<square>().start().unwrap_err();
    assert!(matches!(twice, Error::Registration { .. }), "{twice}");
}

/// Holds what keeps an argument's object until its task is done: the ticket that goes to the worker with it lapses long before.
#[test]
fn proxies_go_to_the_workers_and_come_back() {
    let _alone = alone();
    let manager = builder().ticket_time(Duration::from_millis(50)).start().unwrap();
    let pool = PoolProxy::new(&manager, 2).unwrap();
    let counter = CounterProxy::new(&manager, 0).unwrap();
    pool.starmap::<counts>((0..100).map(|n| (counter.clone(), n))).unwrap();
    assert_eq!(counter.get().unwrap(), 4950);
    // The task's own reference is enough: the caller has dropped its by the time that the task begins.
    let (begun, leave) = (CounterProxy::new(&manager, 0).unwrap(), EventProxy::new(&manager).unwrap());
    let blockers: Vec<_> = (0..2).map(|_| pool.apply_async::<waits>((begun.clone(), leave.clone())).unwrap()).collect();
    let moved = CounterProxy::new(&manager, 7).unwrap();
    let result = pool.apply_async::<counts>((moved, 1)).unwrap();
    thread::sleep(Duration::from_millis(500));
    leave.set().unwrap();
    assert_eq!(result.get().unwrap(), 8);
    drop((blockers, result));
    // A result holds what it names.
    let holder = DictProxy::<String, ListProxy<u32>>::new(&manager).unwrap();
    holder.insert("made", ListProxy::<u32>::new(&manager).unwrap()).unwrap();
    let into = ListProxy::<u32>::from_iter(&manager, [1, 2, 3]).unwrap();
    let result = pool.apply_async::<lists>((into, holder)).unwrap();
    result.wait().unwrap();
    let made = result.get().unwrap();
    assert_eq!(made.to_vec().unwrap(), [3]);
    drop((result, made, counter, begun, leave));
    eventually("only the pool is left", || manager.number_of_objects().unwrap() == 1);
    manager.shutdown().unwrap();
}

#[test]
fn a_killed_worker_fails_its_task_by_name_and_is_replaced() {
    let _alone = alone();
    let manager = manager();
    let pool = PoolProxy::new(&manager, 2).unwrap();
    for signal in [Signal::SIGKILL, Signal::SIGABRT, Signal::SIGSEGV] {
        let error = pool.apply::<dies>((signal as i32,)).unwrap_err();
        assert_eq!(error.signal(), Some(signal as i32), "{error}");
        assert!(error.to_string().contains(signal.as_str()), "{error}");
    }
    assert_eq!(pool.map::<square>(0..100).unwrap().len(), 100);
    eventually("two workers again", || workers(&pool).len() == 2);
    // Killed from outside, while others wait for what they are given in one chunk.
    let (begun, leave) = (CounterProxy::new(&manager, 0).unwrap(), EventProxy::new(&manager).unwrap());
    let results: Vec<_> = (0..2).map(|_| pool.apply_async::<waits>((begun.clone(), leave.clone())).unwrap()).collect();
    eventually("both have begun", || begun.get().unwrap() == 2);
    let victim = workers(&pool)[0];
    kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    let dead = |result: &AsyncResultProxy<()>| result.is_ready().unwrap();
    eventually("its task has failed", || results.iter().any(dead));
    leave.set().unwrap();
    let ended: Vec<_> = results.iter().map(|result| result.get().map_err(|error| error.signal())).collect();
    assert_eq!(ended.iter().filter(|end| **end == Err(Some(9))).count(), 1, "{ended:?}");
    assert_eq!(ended.iter().filter(|end| end.is_ok()).count(), 1, "{ended:?}");
    assert!(!is_alive(victim));
    manager.shutdown().unwrap();
}

#[test]
fn pools_are_made_as_one_likes() {
    let _alone = alone();
    let manager = manager();
    let pool = PoolProxy::builder().workers(2).name("helper").initializer::<begin_at>((40,)).retries(2);
    let pool = pool.max_tasks_per_child(1).start(&manager).unwrap();
    assert_eq!(pool.map::<above>(0..5).unwrap(), [40, 41, 42, 43, 44], "those that replace others begin so too");
    let ids: Vec<_> = (0..4).map(|_| pool.apply::<own_id>(()).unwrap()).collect();
    assert!((1..4).all(|index| ids[index] != ids[index - 1]), "{ids:?}");
    let counter = CounterProxy::new(&manager, 0).unwrap();
    assert_eq!(pool.apply::<dies_once>((counter,)).unwrap(), 2);
    let error = pool.apply::<dies>((9,)).unwrap_err();
    assert!(error.to_string().contains("helper-"), "{error}");
    let unfit = PoolProxy::builder().workers(1).initializer::<refuses_to_begin>((1,)).start(&manager).unwrap();
    let error = unfit.apply::<square>((1,)).unwrap_err();
    assert!(matches!(&error, PoolError::Initializer { reason } if reason.contains("not today")), "{error}");
    let unknown = PoolProxy::builder().initializer::<elsewhere::cube>((1,)).start(&manager).unwrap_err();
    assert!(matches!(unknown, PoolError::NoSuchTask { .. }), "{unknown}");
    manager.shutdown().unwrap();
}

#[test]
fn closing_lets_it_finish_and_terminating_does_not() {
    let _alone = alone();
    let manager = manager();
    let pool = PoolProxy::new(&manager, 2).unwrap();
    assert!(matches!(pool.join(), Err(PoolError::System(Error::State { .. }))));
    let results = pool.map_async::<sleeps>([50; 8]).unwrap();
    pool.close().unwrap();
    assert!(matches!(pool.apply::<square>((1,)), Err(PoolError::Closed)));
    pool.join().unwrap();
    assert_eq!(results.successful().unwrap(), Some(true));
    assert!(workers(&pool).is_empty());

    let pool = PoolProxy::new(&manager, 2).unwrap();
    let results = pool.map_async::<sleeps>([100_000; 8]).unwrap();
    let joiner = {
        pool.terminate().unwrap();
        let pool = pool.clone();
        thread::spawn(move || pool.join())
    };
    assert!(matches!(results.get(), Err(PoolError::Terminated)));
    joiner.join().unwrap().unwrap();

    let squares = PoolProxy::scope(&manager, 2, |pool| pool.map_async::<square>(0..10).unwrap()).unwrap();
    assert!(squares.is_ready().unwrap(), "the scope has waited");
    assert_eq!(squares.get().unwrap()[9], 81);
    manager.shutdown().unwrap();
}

/// Holds the dropping of the pool with its last proxy, which does not wait for busy workers.
#[test]
fn a_pool_ends_with_its_last_proxy() {
    let _alone = alone();
    let manager = manager();
    let pool = PoolProxy::new(&manager, 2).unwrap();
    let ids = workers(&pool);
    let result = pool.apply_async::<sleeps>((100_000,)).unwrap();
    drop(pool);
    assert!(matches!(result.get(), Err(PoolError::Terminated)));
    eventually("the workers have ended", || ids.iter().all(|id| !is_alive(*id)));
    drop(result);
    eventually("nothing is left", || manager.number_of_objects().unwrap() == 0);
    manager.shutdown().unwrap();
}

/// Holds the end of a client's references, and the cancelling of a call whose caller has gone.
#[test]
fn a_killed_client_leaves_no_work_behind_and_takes_nothing_from_others() {
    let _alone = alone();
    let manager = manager();
    let pool = PoolProxy::new(&manager, 1).unwrap();
    let (begun, leave) = (CounterProxy::new(&manager, 0).unwrap(), EventProxy::new(&manager).unwrap());
    let counter = CounterProxy::new(&manager, 0).unwrap();
    let client = fork(|| {
        // The first holds the only worker; the others never begin.
        let _blocked = pool.apply_async::<waits>((begun.clone(), leave.clone())).unwrap();
        let items = (0..100).map(|_| (counter.clone(), 1));
        let _ = pool.starmap::<counts>(items);
        0
    });
    eventually("the first task has begun", || begun.get().unwrap() == 1);
    // The second call is in the server: it can't be seen from outside but by its time.
    thread::sleep(Duration::from_millis(200));
    client.kill();
    thread::sleep(Duration::from_millis(200));
    let own = pool.apply_async::<square>((5,)).unwrap();
    leave.set().unwrap();
    assert_eq!(own.get().unwrap(), 25);
    assert_eq!(counter.get().unwrap(), 0, "nobody waited for these any more");

    // One with a pool of its own.
    let (told, tell) = multiproc::pipe().unwrap();
    let client = fork(|| {
        let pool = PoolProxy::new(&manager, 2).unwrap();
        let _busy = pool.apply_async::<sleeps>((100_000,)).unwrap();
        tell.send(&pool.worker_ids().unwrap()).unwrap();
        common::forever();
        0
    });
    let ids: Vec<u32> = told.recv().unwrap();
    client.kill();
    eventually("its workers have ended", || ids.iter().all(|id| !is_alive(id.cast_signed())));
    manager.shutdown().unwrap();
}

/// Holds the returning of what did not arrive.
#[test]
fn results_on_their_way_to_a_killed_process_go_to_the_next() {
    let _alone = alone();
    let manager = manager();
    let pool = PoolProxy::new(&manager, 2).unwrap();
    for ordered in [true, false] {
        let results = match ordered {
            true => pool.imap::<square>(0..400).unwrap(),
            false => pool.imap_unordered::<square>(0..400).unwrap(),
        };
        let seen = QueueProxy::<u64>::new(&manager, 0).unwrap();
        // Each fetches one at a time, and is killed at some point; what it has fetched it has told, but for the last.
        for round in 0..3 {
            let reader = fork(|| {
                while let Ok(Some(result)) = results.next_item() {
                    seen.put(result).unwrap();
                }
                0
            });
            thread::sleep(Duration::from_millis(3 + 4 * round));
            reader.kill();
        }
        let mut all: Vec<u64> = results.iter().map(Result::unwrap).collect();
        while let Ok(one) = seen.try_get() {
            all.push(one);
        }
        all.sort_unstable();
        all.dedup();
        // Of each killed reader at most one that it had received, and not told yet.
        assert!(all.len() >= 397, "{} of 400", all.len());
    }
    manager.shutdown().unwrap();
}

/// Holds the lifelines: the workers hang by the server, and so does the process that they are forked from.
#[test]
fn a_killed_server_leaves_no_worker() {
    let _alone = alone();
    for how in [Signal::SIGKILL, Signal::SIGTERM] {
        let manager = manager();
        let pool = PoolProxy::new(&manager, 3).unwrap();
        let busy = pool.map_async::<sleeps>([100_000; 6]).unwrap();
        let mut family = workers(&pool);
        let set_aside = children(server(&manager));
        assert_eq!(set_aside.len(), 1, "one process, from which the workers come");
        assert!(family.iter().all(|worker| children(set_aside[0]).contains(worker)));
        family.extend(set_aside);
        let waiting = thread::spawn(move || (busy.get(), Instant::now()));
        thread::sleep(Duration::from_millis(50));
        let killed = Instant::now();
        kill(Pid::from_raw(server(&manager)), how).unwrap();
        let (result, ended) = waiting.join().unwrap();
        assert!(result.is_err());
        println!("the caller was told after {:?}", ended.saturating_duration_since(killed));
        assert!(within(LIMIT, || family.iter().all(|id| !is_alive(*id))), "workers outlived their server");
        drop(pool);
        let _ = manager.shutdown();
    }
    // In good order.
    let manager = manager();
    let pool = PoolProxy::new(&manager, 2).unwrap();
    let _busy = pool.map_async::<sleeps>([100_000; 6]).unwrap();
    let ids = workers(&pool);
    manager.shutdown().unwrap();
    assert!(within(LIMIT, || ids.iter().all(|id| !is_alive(*id))));
}

/// Holds the handing on of a pool's lineage.
#[test]
fn a_task_that_makes_its_own_pool_again_is_told_so() {
    let _alone = alone();
    let manager = manager();
    let refused = bomb_pool(&manager, 0).unwrap_err();
    assert!(refused.contains("makes that pool again"), "{refused}");
    manager.shutdown().unwrap();
}

/// Holds the waiting by completion: as many callers wait as there may be threads that block, and one more does not.
#[test]
fn a_thousand_waiting_callers_hold_no_thread_of_the_servers() {
    let _alone = alone();
    let manager = manager();
    let pool = PoolProxy::new(&manager, 1).unwrap();
    let (begun, leave) = (CounterProxy::new(&manager, 0).unwrap(), EventProxy::new(&manager).unwrap());
    let result = pool.apply_async::<waits>((begun.clone(), leave.clone())).unwrap();
    eventually("it has begun", || begun.get().unwrap() == 1);
    let before = common::threads(server(&manager));
    let waiting: Vec<_> = (0..1000).map(|_| result.defer().wait()).collect();
    assert!(waiting.iter().all(|one| !one.is_answered()));
    let more = common::threads(server(&manager)).saturating_sub(before);
    assert!(more < 20, "{more} more threads");
    leave.set().unwrap();
    for one in waiting {
        one.wait().unwrap();
    }
    manager.shutdown().unwrap();
}
