//! What forks, kills and deaths do to references: each test names the mechanism that it holds.
//!
//! Other tests of this binary start servers meanwhile, which are forked children with references of their own; so counts are waited for.

mod common;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{eventually, fork, wait};
use multiproc::{BaseManager, BaseProxy, Error, Registration, Responder, Shared};

/// Counts, and keeps other counters.
#[derive(Default)]
pub struct Counter {
    count: u64,
    kept: Vec<CounterProxy>,
}

#[multiproc::referent]
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

    pub fn keep(&mut self, other: CounterProxy) {
        self.kept.push(other);
    }

    pub fn kept(&self) -> Vec<CounterProxy> {
        self.kept.clone()
    }

    pub fn let_go(&mut self) {
        self.kept.clear();
    }

    pub fn sum_of_kept(&self) -> u64 {
        self.kept.iter().map(|kept| kept.get().unwrap()).sum()
    }
}

/// Hands out lines, and waits for them.
#[derive(Default)]
pub struct Mailbox {
    lines: VecDeque<u64>,
    waiting: VecDeque<Responder<u64>>,
    returned: Shared2,
}

type Shared2 = std::sync::Arc<std::sync::Mutex<Vec<u64>>>;

#[multiproc::referent]
impl Mailbox {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn put(&mut self, line: u64) {
        self.collect();
        self.lines.push_back(line);
        self.deliver();
    }

    pub fn get(&mut self, responder: Responder<u64>) {
        self.collect();
        self.waiting.push_back(responder);
        self.deliver();
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub fn size(&mut self) -> usize {
        self.collect();
        self.lines.len()
    }

    #[referent(skip)]
    pub fn collect(&mut self) {
        self.lines.extend(self.returned.lock().unwrap().drain(..));
    }

    #[referent(skip)]
    pub fn deliver(&mut self) {
        self.waiting.retain(Responder::is_wanted);
        while !self.waiting.is_empty() && !self.lines.is_empty() {
            let (waiting, line) = (self.waiting.pop_front().unwrap(), self.lines.pop_front().unwrap());
            let returned = self.returned.clone();
            waiting.respond_or_put_back(&line, move || returned.lock().unwrap().push(line));
        }
    }
}

fn manager() -> BaseManager {
    BaseManager::builder().register::<Counter>().register::<Mailbox>().start().unwrap()
}

fn objects(manager: &BaseManager, number: u64) {
    eventually(&format!("{number} objects are left"), || manager.number_of_objects().unwrap() == number);
}

/// Holds the fork hooks: without the child's own connections both processes would read each other's answers.
#[test]
fn a_raw_forks_child_uses_inherited_proxies() {
    let manager = manager();
    let counter = CounterProxy::new(&manager).unwrap();
    let children: Vec<_> = (0..4)
        .map(|_| {
            let counter = counter.clone();
            fork(move || (0..250).try_for_each(|_| counter.add(1).map(drop)).is_err().into())
        })
        .collect();
    (0..250).for_each(|_| assert!(counter.add(1).is_ok()));
    children.into_iter().for_each(|child| assert_eq!(wait(child), 0));
    assert_eq!(counter.get().unwrap(), 1250);
    drop(counter);
    objects(&manager, 0);
    manager.shutdown().unwrap();
}

/// Holds the copy of the leases at the fork: the parent's drop takes nothing from the child, which has not said a word yet.
#[test]
fn a_child_holds_references_of_its_own_from_the_moment_of_the_fork() {
    let manager = manager();
    let counter = CounterProxy::new(&manager).unwrap();
    counter.add(7).unwrap();
    let (mut near, mut far) = UnixStream::pair().unwrap();
    let inherited = counter.clone();
    let child = fork(move || {
        let mut word = [0];
        far.read_exact(&mut word).unwrap();
        // A grandchild, while its parent has not said a word either.
        let grandchild = fork(move || i32::try_from(inherited.get().unwrap()).unwrap());
        wait(grandchild)
    });
    drop(counter);
    std::thread::sleep(Duration::from_millis(300));
    near.write_all(b"x").unwrap();
    assert_eq!(wait(child), 7);
    objects(&manager, 0);
    manager.shutdown().unwrap();
}

/// Holds the lifeline: a child that never says a word gives back what it has when it ends, or becomes another program.
#[test]
fn a_silent_child_gives_back_at_its_end() {
    let manager = manager();
    let counter = CounterProxy::new(&manager).unwrap();
    let (mut near, mut far) = UnixStream::pair().unwrap();
    let inherited = counter.clone();
    let child = fork(move || {
        let _inherited = inherited;
        i32::from(far.read_exact(&mut [0]).is_err())
    });
    drop(counter);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(manager.number_of_objects().unwrap(), 1);
    near.write_all(b"x").unwrap();
    assert_eq!(wait(child), 0);
    objects(&manager, 0);
    manager.shutdown().unwrap();
}

/// Holds the watch on client processes: a killed client's references, and its place in a queue of waiters, are given back.
#[test]
fn a_killed_client_gives_back_everything_and_loses_no_item() {
    let manager = manager();
    let mailbox = MailboxProxy::new(&manager).unwrap();
    let inherited = mailbox.clone();
    let address = manager.address().to_owned();
    let (mut near, mut far) = UnixStream::pair().unwrap();
    let child = fork(move || {
        let own = BaseManager::builder().address(&*address).connect().unwrap();
        let held: Vec<_> = (0..5).map(|_| CounterProxy::new(&own).unwrap()).collect();
        far.write_all(b"x").unwrap();
        drop(inherited.get());
        drop(held);
        1
    });
    near.read_exact(&mut [0]).unwrap();
    eventually("the child waits", || manager.number_of_objects().unwrap() == 6);
    std::thread::sleep(Duration::from_millis(100));
    child.kill();
    objects(&manager, 1);
    mailbox.put(1).unwrap();
    assert_eq!(mailbox.get().unwrap(), 1);
    drop(mailbox);
    objects(&manager, 0);
    manager.shutdown().unwrap();
}

/// Holds the acknowledgement of deliveries: an item that was sent to a client which is killed before it has read it returns to its place.
#[test]
fn an_item_sent_to_a_stopped_client_that_is_killed_returns() {
    let manager = manager();
    let mailbox = MailboxProxy::new(&manager).unwrap();
    let inherited = mailbox.clone();
    let (mut near, mut far) = UnixStream::pair().unwrap();
    let child = fork(move || {
        assert_eq!(inherited.get().unwrap(), 1);
        far.write_all(b"x").unwrap();
        drop(inherited.get());
        1
    });
    mailbox.put(1).unwrap();
    near.read_exact(&mut [0]).unwrap();
    eventually("it waits for its second item", || mailbox.waiting().unwrap() == 1);
    // Stopped, it can't read the reply.
    child.stop();
    mailbox.put(2).unwrap();
    assert_eq!(mailbox.size().unwrap(), 0, "the item is on its way");
    child.kill();
    eventually("the item has returned", || mailbox.size().unwrap() == 1);
    assert_eq!(mailbox.get().unwrap(), 2);
    manager.shutdown().unwrap();
}

/// Holds references inside the server: an object that only another one names lives, and is let go with it.
#[test]
fn a_referent_keeps_what_it_was_given() {
    let manager = manager();
    let outer = CounterProxy::new(&manager).unwrap();
    for n in 1..=3 {
        let inner = CounterProxy::new(&manager).unwrap();
        inner.add(n).unwrap();
        outer.keep(inner).unwrap();
    }
    objects(&manager, 4);
    assert_eq!(outer.sum_of_kept().unwrap(), 6);
    let kept = outer.kept().unwrap();
    outer.let_go().unwrap();
    assert_eq!(kept.iter().map(|kept| kept.get().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    drop(kept);
    objects(&manager, 1);
    // A call that would wait for itself is refused.
    outer.keep(outer.clone()).unwrap();
    let panicked = outer.keep(outer.clone()).and_then(|()| outer.sum_of_kept().map(drop));
    drop(panicked);
    outer.let_go().unwrap();
    manager.shutdown().unwrap();
}

/// Holds tickets: a proxy's bytes keep its object alive after the sender's last proxy, until they are read; and only so long as a ticket lives.
#[test]
fn a_proxy_travels_through_a_pipe() {
    let manager = manager();
    let counter = CounterProxy::new(&manager).unwrap();
    counter.add(5).unwrap();
    let (first, second) = (to_json(&counter), to_json(&counter));
    drop(counter);
    assert_eq!(manager.number_of_objects().unwrap(), 1);
    let again: CounterProxy = serde_json::from_str(&first).unwrap();
    assert_eq!(again.get().unwrap(), 5);
    let child =
        fork(move || i32::try_from(serde_json::from_str::<CounterProxy>(&second).unwrap().get().unwrap()).unwrap());
    assert_eq!(wait(child), 5);
    drop(again);
    objects(&manager, 0);
    manager.shutdown().unwrap();
    // One that is never redeemed lapses.
    let manager = BaseManager::builder().register::<Counter>().ticket_time(Duration::from_millis(200)).start().unwrap();
    let lost = to_json(&CounterProxy::new(&manager).unwrap());
    objects(&manager, 0);
    let gone = serde_json::from_str::<BaseProxy>(&lost)
        .and_then(|proxy| proxy.call_method::<u64>("get", ()).map_err(serde::de::Error::custom));
    assert!(gone.unwrap_err().to_string().contains("no object"));
    manager.shutdown().unwrap();
}

fn to_json(proxy: &CounterProxy) -> String {
    serde_json::to_string(proxy).unwrap()
}

/// Holds the stamp on the server's process.
#[test]
fn a_forked_copy_of_a_manager_shuts_nothing_down() {
    let manager = manager();
    let counter = CounterProxy::new(&manager).unwrap();
    let copy = &manager;
    let child = fork(|| {
        let refused = matches!(copy.shutdown(), Err(Error::State { .. }));
        i32::from(!refused)
    });
    assert_eq!(wait(child), 0);
    assert_eq!(counter.add(1).unwrap(), 1);
    manager.shutdown().unwrap();
}

/// Holds the gate of forks: no lock of the crate is held in a child, whatever the parent's threads were doing.
#[test]
fn children_of_a_busy_process_do_not_hang() {
    let manager = manager();
    let counter = CounterProxy::new(&manager).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let other = counter.clone();
                    other.add(1).unwrap();
                    let fresh = CounterProxy::new(&manager).unwrap();
                    fresh.keep(other).unwrap();
                }
            });
        }
        for _ in 0..60 {
            let inherited = counter.clone();
            let child = fork(move || i32::from(inherited.add(1).is_err()));
            assert_eq!(wait(child), 0);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    objects(&manager, 1);
    manager.shutdown().unwrap();
}

/// Holds shared singletons: two creates give proxies of one referent, which counts once.
#[test]
fn a_singleton_is_one_object() {
    let shared = Shared::new(Counter::default());
    let registration = Registration::<Counter>::new("get_counter").callable(move || shared.clone());
    let manager = BaseManager::builder().register_with(registration).start().unwrap();
    let a: CounterProxy = manager.create_as("get_counter", ()).unwrap();
    let b: CounterProxy = manager.create_as("get_counter", ()).unwrap();
    a.add(3).unwrap();
    assert_eq!((b.get().unwrap(), a == b), (3, true));
    objects(&manager, 1);
    drop((a, b));
    objects(&manager, 0);
    let c: CounterProxy = manager.create_as("get_counter", ()).unwrap();
    assert_eq!(c.get().unwrap(), 3);
    manager.shutdown().unwrap();
}

/// Holds the watch on the server's process: a call in flight ends when the server is killed.
#[test]
fn a_killed_server_ends_every_call() {
    let manager = manager();
    let mailbox = MailboxProxy::new(&manager).unwrap();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let mailbox = mailbox.clone();
            std::thread::spawn(move || mailbox.get())
        })
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    let server = nix::unistd::Pid::from_raw(manager.pid().unwrap().cast_signed());
    nix::sys::signal::kill(server, nix::sys::signal::Signal::SIGKILL).unwrap();
    for waiting in waiting {
        assert!(matches!(waiting.join().unwrap(), Err(Error::ServerGone { .. })));
    }
    assert!(matches!(mailbox.size(), Err(Error::ServerGone { .. })));
    assert_eq!(mailbox.to_string().split(';').next(), Some("<Mailbox proxy"));
    manager.shutdown().unwrap();
}
