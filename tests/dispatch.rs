//! How calls run: side by side, in turn, on workers, without threads; and never in a circle.

#![allow(missing_docs)]

mod common;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{LIMIT, eventually};
use multiproc::{BaseManager, CallError, Error, Proxy, Responder};

/// A door that a test opens by making a file: methods in the server wait at it for as long as the test wants.
struct Door {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Door {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { path: directory.path().join("open"), _directory: directory }
    }

    fn path(&self) -> String {
        self.path.to_str().unwrap().to_owned()
    }

    fn open(&self) {
        std::fs::write(&self.path, b"").unwrap();
    }
}

/// So that a failing test leaves no method waiting in the server.
impl Drop for Door {
    fn drop(&mut self) {
        self.open();
    }
}

fn wait_at(door: &str) -> bool {
    let limit = Instant::now() + LIMIT;
    // The door's directory is gone when its test has ended.
    while !Path::new(door).exists() && Path::new(door).parent().is_some_and(Path::exists) {
        if Instant::now() > limit {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
    true
}

/// All methods take `&self`: stored bare.
#[derive(Default)]
pub struct Hall {
    present: Mutex<usize>,
    came: Condvar,
    blocked: AtomicUsize,
}

#[multiproc::referent]
impl Hall {
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until so many are here at the same time.
    pub fn meet(&self, guests: usize) -> bool {
        let mut present = self.present.lock().unwrap();
        *present += 1;
        self.came.notify_all();
        !self.came.wait_timeout_while(present, LIMIT, |present| *present < guests).unwrap().1.timed_out()
    }

    #[referent(blocking)]
    pub fn block(&self, door: String) -> bool {
        self.blocked.fetch_add(1, Ordering::SeqCst);
        let opened = wait_at(&door);
        self.blocked.fetch_sub(1, Ordering::SeqCst);
        opened
    }

    pub fn blocked(&self) -> usize {
        self.blocked.load(Ordering::SeqCst)
    }
}

/// Has `&mut self` methods: one at a time, in turn.
#[derive(Default)]
pub struct Log {
    lines: Vec<u64>,
}

#[multiproc::referent]
impl Log {
    pub fn new() -> Self {
        Self::default()
    }

    /// An undeclared long call.
    pub fn hold(&mut self, entered: String, door: String) -> bool {
        std::fs::write(entered, b"").unwrap();
        wait_at(&door)
    }

    pub fn append(&mut self, line: u64) {
        self.lines.push(line);
    }

    pub fn lines(&self) -> Vec<u64> {
        self.lines.clone()
    }
}

/// Answers later.
#[derive(Default)]
pub struct Mailbox {
    letters: VecDeque<u64>,
    waiting: VecDeque<Responder<u64>>,
}

#[multiproc::referent]
impl Mailbox {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn put(&mut self, letter: u64) {
        while let Some(waiting) = self.waiting.pop_front() {
            if waiting.is_wanted() {
                return waiting.respond(&letter);
            }
        }
        self.letters.push_back(letter);
    }

    pub fn get(&mut self, responder: Responder<u64>) {
        match self.letters.pop_front() {
            Some(letter) => responder.respond(&letter),
            None => self.waiting.push_back(responder),
        }
    }

    pub fn waiting(&self) -> usize {
        self.waiting.iter().filter(|waiting| waiting.is_wanted()).count()
    }
}

/// Where two chains wait for each other before they go on.
static CROSSING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// Calls another of its kind.
#[derive(Default)]
pub struct Node {
    next: Option<NodeProxy>,
    visits: u64,
}

#[multiproc::referent]
impl Node {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn set_next(&mut self, next: Option<NodeProxy>) {
        self.next = next;
    }

    pub fn visits(&self) -> u64 {
        self.visits
    }

    /// Down the line; how many were met.
    pub fn walk(&mut self) -> Result<u64, Error> {
        self.visits += 1;
        match &self.next {
            None => Ok(1),
            Some(next) => next.walk().map(|met| met + 1).map_err(|error| match error {
                CallError::Method(error) | CallError::System(error) => error,
            }),
        }
    }

    /// As `walk`, once two of these are under way.
    pub fn cross(&mut self) -> Result<u64, Error> {
        let (present, came) = &CROSSING;
        let mut guests = present.lock().unwrap();
        *guests += 1;
        came.notify_all();
        let (guests, waited) = came.wait_timeout_while(guests, LIMIT, |guests| *guests < 2).unwrap();
        drop(guests);
        assert!(!waited.timed_out(), "the other never came");
        self.walk()
    }
}

fn started() -> BaseManager {
    let builder = BaseManager::builder().register::<Hall>().register::<Log>().register::<Mailbox>();
    builder.register::<Node>().start().expect("started")
}

fn server_threads(manager: &BaseManager) -> usize {
    common::threads(i32::try_from(manager.pid().unwrap()).unwrap())
}

/// Holds: a type whose methods all take `&self` is stored bare. With a lock around it the calls would wait for each other for ever.
#[test]
fn calls_of_shared_methods_run_side_by_side() {
    let manager = started();
    let hall = HallProxy::new(&manager).unwrap();
    let guests = 6;
    thread::scope(|scope| {
        let all: Vec<_> = (0..guests).map(|_| scope.spawn(|| hall.meet(guests).unwrap())).collect();
        assert!(all.into_iter().all(|one| one.join().unwrap()), "all were inside at the same time");
    });
    manager.shutdown().unwrap();
}

/// Holds `log` until `door` opens, and returns once it is held.
fn hold<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    log: &LogProxy,
    door: &Door,
) -> thread::ScopedJoinHandle<'scope, bool> {
    let entered = door.path.with_file_name("entered");
    let (log, path) = (log.clone(), door.path());
    let name = entered.to_str().unwrap().to_owned();
    let holder = scope.spawn(move || log.hold(name, path).unwrap());
    eventually("the object is held", || entered.exists());
    holder
}

/// Waits until a thread of this process sleeps, as it does after it has sent a request.
fn eventually_sleeps(thread: i32) {
    let mut seen = 0;
    eventually("the caller has sent its call and sleeps", || {
        // One that has given up meanwhile has slept.
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
        let sleeps = stat.map_or(true, |stat| stat[stat.rfind(')').unwrap()..].starts_with(") S"));
        seen = if sleeps { seen + 1 } else { 0 };
        seen >= 3
    });
}

/// Holds: the gate's queue is first in, first out, and the end of one call starts the next.
#[test]
fn exclusive_calls_are_served_in_the_order_in_which_they_came() {
    let manager = started();
    let log = LogProxy::new(&manager).unwrap();
    let door = Door::new();
    let calls = 12;
    thread::scope(|scope| {
        let holder = hold(scope, &log, &door);
        for line in 0..calls {
            let (tell, thread) = std::sync::mpsc::channel();
            let log = log.clone();
            scope.spawn(move || {
                tell.send(nix::unistd::gettid().as_raw()).unwrap();
                log.append(line).unwrap();
            });
            eventually_sleeps(thread.recv().unwrap());
            // Read after the call was: the server reads connections in the order in which they became readable.
            manager.ping().unwrap();
        }
        door.open();
        assert!(holder.join().unwrap());
    });
    assert_eq!(log.lines().unwrap(), (0..calls).collect::<Vec<_>>());
    manager.shutdown().unwrap();
}

/// Holds: the watchdog that hands the lead on. Without it nobody would be answered before the door opens.
#[test]
fn a_long_call_holds_up_nobody_else() {
    let manager = started();
    let (log, other) = (LogProxy::new(&manager).unwrap(), LogProxy::new(&manager).unwrap());
    let door = Door::new();
    thread::scope(|scope| {
        let holder = hold(scope, &log, &door);
        let patient = other.with_timeout(LIMIT);
        for line in 0..50 {
            patient.append(line).expect("served while another call runs");
        }
        // Several at once take the lead one after the other.
        let (third, second_door) = (LogProxy::new(&manager).unwrap(), Door::new());
        let second = hold(scope, &third, &second_door);
        assert_eq!(patient.lines().expect("served while two other calls run").len(), 50);
        assert!(!holder.is_finished() && !second.is_finished(), "they still run");
        second_door.open();
        assert!(second.join().unwrap());
        door.open();
        assert!(holder.join().unwrap());
    });
    manager.shutdown().unwrap();
}

/// Holds: declared methods run on workers up to the limit; the next is refused, and those that end make room.
#[test]
fn blocking_methods_run_on_workers_up_to_the_limit() {
    const WORKERS: usize = 4;
    let manager = BaseManager::builder().register::<Hall>().max_workers(WORKERS).start().unwrap();
    let hall = HallProxy::new(&manager).unwrap();
    for _ in 0..2 {
        let door = Door::new();
        thread::scope(|scope| {
            let blocked: Vec<_> = (0..WORKERS).map(|_| scope.spawn(|| hall.block(door.path()))).collect();
            let patient = hall.with_timeout(LIMIT);
            eventually("all workers block", || patient.blocked().expect("served while others block") == WORKERS);
            match patient.block(door.path()) {
                Err(error @ Error::Overloaded { .. }) => {
                    assert!(error.to_string().contains("max_workers"), "{error}");
                    assert!(matches!(error, Error::Overloaded { limit, .. } if limit == WORKERS as u64), "{error:?}");
                }
                other => panic!("{other:?}"),
            }
            door.open();
            assert!(blocked.into_iter().all(|one| one.join().unwrap().unwrap()));
        });
        eventually("the workers are free again", || hall.blocked().unwrap() == 0);
    }
    manager.shutdown().unwrap();
}

/// Holds: a call that waits by its responder keeps no thread in the server.
#[test]
fn hundreds_of_waiting_calls_cost_the_server_no_thread() {
    const WAITING: usize = 300;
    let manager = started();
    let mailbox = MailboxProxy::new(&manager).unwrap();
    mailbox.waiting().unwrap();
    thread::scope(|scope| {
        let get =
            |_| thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, || mailbox.get().unwrap()).unwrap();
        let all: Vec<_> = (0..WAITING).map(get).collect();
        eventually("all wait", || mailbox.waiting().unwrap() == WAITING);
        // Threads that took the lead over while connections came in have a second to go.
        eventually("no more threads than control, leader and a spare", || server_threads(&manager) <= 4);
        for letter in 0..WAITING as u64 {
            mailbox.put(letter).unwrap();
        }
        let mut got: Vec<u64> = all.into_iter().map(|one| one.join().unwrap()).collect();
        got.sort_unstable();
        assert_eq!(got, (0..WAITING as u64).collect::<Vec<_>>(), "each letter arrived once");
    });
    assert_eq!(mailbox.waiting().unwrap(), 0);
    manager.shutdown().unwrap();
}

/// Holds: calls between referents go through the table, and the record of waits finds circles, also a circle of one.
#[test]
fn referents_call_each_other_and_a_circle_is_refused() {
    let manager = started();
    let nodes: Vec<_> = (0..5).map(|_| NodeProxy::new(&manager).unwrap().with_timeout(LIMIT)).collect();
    for pair in nodes.windows(2) {
        pair[0].set_next(Some(pair[1].clone())).unwrap();
    }
    assert_eq!(nodes[0].walk().unwrap(), 5);
    let deadlock = |walked: Result<u64, CallError<Error>>| match walked {
        Err(CallError::Method(Error::WouldDeadlock { typeid, .. })) => assert_eq!(typeid, "Node"),
        other => panic!("{other:?}"),
    };
    nodes[4].set_next(Some(nodes[0].clone())).unwrap();
    deadlock(nodes[0].walk());
    deadlock(nodes[2].walk());
    assert_eq!(nodes[3].visits().unwrap(), 3, "each round has run once down the line");
    let alone = NodeProxy::new(&manager).unwrap().with_timeout(LIMIT);
    alone.set_next(Some(alone.clone())).unwrap();
    deadlock(alone.walk());
    // Nothing stays occupied.
    nodes[4].set_next(None).unwrap();
    assert_eq!(nodes[0].walk().unwrap(), 5);
    alone.set_next(None).unwrap();
    assert_eq!(alone.walk().unwrap(), 1);
    manager.shutdown().unwrap();
}

/// Holds: waits of different chains are recorded in one place: of two calls that wait for each other one is refused, and the other goes on.
#[test]
fn two_calls_that_wait_for_each_other_do_not_hang() {
    let manager = started();
    let [one, other] = [(); 2].map(|()| NodeProxy::new(&manager).unwrap().with_timeout(LIMIT));
    one.set_next(Some(other.clone())).unwrap();
    other.set_next(Some(one.clone())).unwrap();
    let results = thread::scope(|scope| {
        let both = [&one, &other].map(|node| scope.spawn(|| node.cross()));
        both.map(|crossing| crossing.join().unwrap())
    });
    // One is refused at once; the other, let in by that, goes round the circle to itself.
    for result in results {
        let refused = matches!(result, Err(CallError::Method(Error::WouldDeadlock { .. })));
        assert!(refused, "{result:?}");
    }
    for node in [&one, &other] {
        node.set_next(None).unwrap();
        assert_eq!(node.walk().unwrap(), 1);
    }
    manager.shutdown().unwrap();
}

/// Holds: a call that was given up leaves the queue, and those behind it keep their places.
#[test]
fn a_call_that_times_out_in_the_queue_does_not_disturb_it() {
    let manager = started();
    let log = LogProxy::new(&manager).unwrap();
    let door = Door::new();
    let timeout = Duration::from_millis(150);
    thread::scope(|scope| {
        let holder = hold(scope, &log, &door);
        let (tell, thread) = std::sync::mpsc::channel();
        let impatient = log.with_timeout(timeout);
        let first = scope.spawn(move || {
            tell.send(nix::unistd::gettid().as_raw()).unwrap();
            impatient.append(1)
        });
        eventually_sleeps(thread.recv().unwrap());
        let behind = log.clone();
        let second = scope.spawn(move || behind.append(2));
        match first.join().unwrap() {
            Err(Error::Timeout { after }) => assert_eq!(after, timeout),
            other => panic!("{other:?}"),
        }
        assert!(!holder.is_finished(), "it did not wait for the door");
        door.open();
        assert!(holder.join().unwrap());
        second.join().unwrap().unwrap();
    });
    assert_eq!(log.lines().unwrap(), [2], "what was given up has not run");
    log.append(3).unwrap();
    assert_eq!(log.lines().unwrap(), [2, 3]);
    manager.shutdown().unwrap();
}

/// Holds: the server takes a timed-out call's responder back, and a late answer does not end up in the next call.
#[test]
fn a_waiting_call_that_times_out_takes_nothing() {
    let manager = started();
    let mailbox = MailboxProxy::new(&manager).unwrap();
    let timeout = Duration::from_millis(50);
    for round in 0..5 {
        match mailbox.with_timeout(timeout).get() {
            Err(Error::Timeout { after }) => assert_eq!(after, timeout),
            other => panic!("{other:?}"),
        }
        eventually("nobody is waited for", || mailbox.waiting().unwrap() == 0);
        mailbox.put(round).unwrap();
        assert_eq!(mailbox.with_timeout(LIMIT).get().unwrap(), round);
    }
    manager.shutdown().unwrap();
}

/// Holds: calls nest only so deep inside the server, well before a thread's stack ends.
#[test]
fn calls_nest_only_so_deep() {
    const DEEPEST: u64 = 64;
    let manager = started();
    for (length, fits) in [(DEEPEST, true), (DEEPEST + 1, false)] {
        let mut first = NodeProxy::new(&manager).unwrap();
        for _ in 1..length {
            let before = NodeProxy::new(&manager).unwrap();
            before.set_next(Some(first)).unwrap();
            first = before;
        }
        match first.walk() {
            Ok(met) if fits => assert_eq!(met, length),
            Err(CallError::Method(error @ Error::WouldDeadlock { .. })) if !fits => {
                assert!(error.to_string().contains("64"), "{error}");
            }
            other => panic!("{length} calls: {other:?}"),
        }
    }
    manager.shutdown().unwrap();
}
