//! CPython's own clients on a server of this crate, in every version that is found.

mod common;
#[path = "common/pythons.rs"]
mod pythons;

use std::collections::HashSet;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use multiproc::types::{self, CounterProxy, DictProxy, LockProxy, QueueProxy, SemaphoreProxy};
use multiproc::{Address, Proxy, Registration, Shared, SyncManager};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pythons::{Python, pythons};

const KEY: &str = "a key for tests";

fn start() -> SyncManager {
    SyncManager::builder().authkey(KEY).python(true).python_grace(Duration::from_millis(500)).start().unwrap()
}

/// The server's address as Python has it.
fn path(manager: &SyncManager) -> String {
    match manager.address().parse().unwrap() {
        Address::Unix(path) => path.to_str().unwrap().to_owned(),
        other => panic!("{other}"),
    }
}

fn script(python: &Python, manager: &SyncManager, name: &str) -> Command {
    let mut command = python.script(name);
    command.args([&path(manager), KEY, &python.minor.to_string()]);
    command
}

fn run(mut command: Command) {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
}

#[test]
fn every_type_does_what_it_does_in_python() {
    for python in pythons() {
        let manager = start();
        run(script(python, &manager, "each_type.py"));
        manager.shutdown().unwrap();
    }
}

/// Exceptions, results and contents of random operations, side by side.
#[test]
fn random_operations_end_as_they_do_on_pythons_own_server() {
    for python in pythons() {
        let manager = start();
        let mut command = script(python, &manager, "differential.py");
        let (seed, operations) =
            (std::env::var("SEED").unwrap_or("1".into()), std::env::var("OPERATIONS").unwrap_or("250".into()));
        run({
            command.args([seed, operations]);
            command
        });
        manager.shutdown().unwrap();
    }
}

/// Clients of another machine: processes can't be told apart, and locks go back with their connections.
#[test]
fn python_clients_come_over_tcp_as_well() {
    for python in pythons().iter().filter(|python| [11, 13].contains(&python.minor)) {
        let manager = SyncManager::builder()
            .address("tcp:127.0.0.1:0")
            .authkey(KEY)
            .python(true)
            .python_grace(Duration::from_millis(500))
            .start()
            .unwrap();
        let Address::Tcp { host, port } = manager.address().parse().unwrap() else { panic!() };
        let mut command = python.script("each_type.py");
        command.args([&format!("{host}:{port}"), KEY, &python.minor.to_string()]);
        run(command);
        manager.shutdown().unwrap();
    }
}

/// What a server of one's own registers for others to ask for.
struct Shop {
    manager: SyncManager,
}

impl Shop {
    fn open() -> Self {
        let counter = Shared::new(types::Counter::new(0));
        let (queue, results) = (Shared::new(types::Queue::new(0)), Shared::new(types::Queue::new(0)));
        let (lock, dict) = (Shared::new(types::Lock::new()), Shared::new(types::Dict::new()));
        let semaphore = Shared::new(types::Semaphore::new(1));
        let manager = SyncManager::builder()
            .authkey(KEY)
            .python(true)
            .python_grace(Duration::from_millis(300))
            .register_with(Registration::<types::Counter>::new("get_counter").callable(move || counter.clone()))
            .register_with(Registration::<types::Queue>::new("get_queue").callable(move || queue.clone()))
            .register_with(Registration::<types::Queue>::new("get_results").callable(move || results.clone()))
            .register_with(Registration::<types::Lock>::new("get_lock").callable(move || lock.clone()))
            .register_with(Registration::<types::Dict>::new("get_dict").callable(move || dict.clone()))
            .register_with(Registration::<types::Semaphore>::new("get_semaphore").callable(move || semaphore.clone()))
            .register::<Ledger>()
            .start()
            .unwrap();
        Self { manager }
    }

    fn get<P: Proxy>(&self, name: &str) -> P {
        self.manager.create_as(name, ()).unwrap()
    }

    fn spawn(&self, python: &Python, mode: &str, rounds: usize) -> Running {
        let mut command = script(python, &self.manager, "worker.py");
        let child = command.args([mode, &rounds.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
        Running(child)
    }
}

/// A script that runs; killed when it is dropped.
struct Running(std::process::Child);

impl Running {
    /// Its next line.
    fn line(&mut self) -> String {
        let out = self.0.stdout.as_mut().unwrap();
        let mut line = Vec::new();
        let mut byte = [0];
        while out.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).unwrap();
    }

    fn end(mut self) {
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The newest Python that there is.
fn newest() -> Option<&'static Python> {
    pythons().last()
}

#[test]
fn eight_python_and_four_rust_workers_share_a_counter_and_a_queue() {
    const ROUNDS: usize = 60;
    for python in pythons().iter().filter(|python| [11, 13].contains(&python.minor)) {
        let shop = Shop::open();
        let (counter, queue) = (shop.get::<CounterProxy>("get_counter"), shop.get::<QueueProxy<u64>>("get_queue"));
        let results = shop.get::<QueueProxy<(u64, u32)>>("get_results");
        let lock = shop.get::<LockProxy>("get_lock");
        let sums = shop.get::<DictProxy<String, u64>>("get_dict");
        sums.insert("sum", 0).unwrap();
        let pythons: Vec<_> = (0..8).map(|_| shop.spawn(python, "count", ROUNDS)).collect();
        let rusts: Vec<_> = (0..4)
            .map(|_| {
                let (counter, queue, results) = (counter.clone(), queue.clone(), results.clone());
                let (lock, sums) = (lock.clone(), sums.clone());
                common::fork(move || {
                    for _ in 0..ROUNDS {
                        counter.add(1).unwrap();
                        let item = queue.get().unwrap();
                        results.put((item, std::process::id())).unwrap();
                    }
                    for _ in 0..ROUNDS / 4 {
                        let _guard = lock.lock().unwrap();
                        sums.insert("sum", sums.get("sum").unwrap().unwrap() + 1).unwrap();
                    }
                    0
                })
            })
            .collect();
        let all = 12 * ROUNDS as u64;
        for item in 0..all {
            queue.put(item).unwrap();
        }
        rusts.into_iter().for_each(|child| assert_eq!(common::wait(child), 0));
        pythons.into_iter().for_each(Running::end);
        assert_eq!(counter.get().unwrap(), all as i64);
        assert_eq!(sums.get("sum").unwrap(), Some(all / 4));
        let got: Vec<(u64, u32)> = (0..all).map(|_| results.get().unwrap()).collect();
        let items: HashSet<u64> = got.iter().map(|(item, _)| *item).collect();
        let workers: HashSet<u32> = got.iter().map(|(_, worker)| *worker).collect();
        assert_eq!((items.len() as u64, workers.len()), (all, 12));
        assert!(results.is_empty().unwrap() && queue.is_empty().unwrap());
        shop.manager.shutdown().unwrap();
    }
}

#[test]
fn a_killed_python_process_gives_back_what_it_held() {
    let Some(python) = newest() else { return };
    let shop = Shop::open();
    let lock = shop.get::<LockProxy>("get_lock");
    let semaphore = shop.get::<SemaphoreProxy>("get_semaphore");
    let before = shop.manager.number_of_objects().unwrap();
    let mut holder = shop.spawn(python, "hold", 0);
    assert_eq!(holder.line(), "holds");
    assert!(lock.try_lock().unwrap().is_none());
    assert!(semaphore.try_acquire().unwrap().is_none());
    assert_eq!(shop.manager.number_of_objects().unwrap(), before + 5);
    holder.signal(Signal::SIGKILL);
    let guard = lock.try_lock_for(common::LIMIT).unwrap().expect("the lock of a killed process");
    assert!(guard.was_abandoned());
    common::eventually("its permit is free", || semaphore.try_acquire().unwrap().is_some());
    common::eventually("its objects are gone", || shop.manager.number_of_objects().unwrap() == before);
    shop.manager.shutdown().unwrap();
}

#[test]
fn an_item_that_a_killed_python_process_never_read_is_not_lost() {
    let Some(python) = newest() else { return };
    let shop = Shop::open();
    let queue = shop.get::<QueueProxy<String>>("get_queue");
    // One that waits, and one whose answer lies unread in its socket.
    for stopped in [false, true] {
        let mut waiter = shop.spawn(python, "wait", 0);
        assert_eq!(waiter.line(), "waits");
        common::eventually("it waits", || queue.waiting().unwrap().0 == 1);
        if stopped {
            waiter.signal(Signal::SIGSTOP);
            queue.put("precious").unwrap();
            common::eventually("the item has left", || queue.is_empty().unwrap());
        }
        waiter.signal(Signal::SIGKILL);
        drop(waiter);
        if !stopped {
            common::eventually("it no longer waits", || queue.waiting().unwrap().0 == 0);
            queue.put("precious").unwrap();
        }
        assert_eq!(queue.get_timeout(common::LIMIT).unwrap(), "precious");
    }
    // One that lives gets what it waits for, and what it got is not put back when it ends.
    let mut waiter = shop.spawn(python, "wait", 0);
    assert_eq!(waiter.line(), "waits");
    queue.put("for the living").unwrap();
    assert_eq!(waiter.line(), "got for the living");
    waiter.end();
    assert!(queue.get_timeout(Duration::from_millis(300)).is_err());
    shop.manager.shutdown().unwrap();
}

/// A type of a user's own.
pub struct Ledger {
    name: String,
    entries: Vec<(String, i64)>,
}

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Posting {
    what: String,
    amount: i64,
}

#[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("a negative amount")]
pub struct Negative;

impl std::fmt::Display for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger of {}", self.name)
    }
}

#[multiproc::referent(display, error = text)]
impl Ledger {
    pub fn new(name: String) -> Self {
        Self { name, entries: Vec::new() }
    }

    pub fn enter(&mut self, what: String, amount: i64) -> Result<i64, Negative> {
        if amount < 0 {
            return Err(Negative);
        }
        self.entries.push((what, amount));
        Ok(self.entries.iter().map(|(_, amount)| amount).sum())
    }

    pub fn entries(&self) -> Vec<(String, i64)> {
        self.entries.clone()
    }

    pub fn largest(&self) -> Option<Posting> {
        let largest = self.entries.iter().max_by_key(|(_, amount)| *amount)?;
        Some(Posting { what: largest.0.clone(), amount: largest.1 })
    }

    pub fn crash(&self) {
        panic!("told to");
    }
}

#[test]
fn a_type_written_in_rust_is_called_from_python_by_its_own_names() {
    for python in pythons() {
        let shop = Shop::open();
        let mut caller = shop.spawn(python, "ledger", 0);
        assert_eq!(caller.line(), "done", "{python:?}");
        caller.end();
        shop.manager.shutdown().unwrap();
    }
}

/// How a bank refuses, in Rust and in Python.
#[derive(Debug, PartialEq, thiserror::Error, serde::Serialize, serde::Deserialize, multiproc::Raises)]
#[raises("ValueError", text)]
pub enum Refusal {
    #[error("{0} has no account")]
    #[raises("KeyError")]
    Missing(String),
    #[error("overdrawn by {by}")]
    #[raises("__main__.Overdrawn")]
    Overdrawn { by: i64, owners: Vec<String> },
    #[error("less than nothing")]
    Negative,
}

#[derive(Default)]
pub struct Bank;

#[multiproc::referent(raises)]
impl Bank {
    pub fn new() -> Self {
        Self
    }

    pub fn withdraw(&self, owner: String, amount: i64) -> Result<i64, Refusal> {
        match amount {
            _ if owner != "ada" => Err(Refusal::Missing(owner)),
            i64::MIN..0 => Err(Refusal::Negative),
            0..=10 => Ok(amount),
            _ => Err(Refusal::Overdrawn { by: amount - 10, owners: vec![owner] }),
        }
    }

    #[referent(raises = "PermissionError")]
    pub fn enter(&self) -> Result<(), String> {
        Err("closed on sundays".into())
    }

    #[referent(error = text, raises = "queue.Full")]
    pub fn parse(&self, number: &str) -> Result<u8, std::num::ParseIntError> {
        number.parse()
    }

    pub fn wait(&self, responder: multiproc::Responder<(), Refusal>) {
        std::thread::spawn(move || responder.fail(&Refusal::Missing("later".into())));
    }

    #[referent(raises = "no_such_module.Error")]
    pub fn elsewhere(&self) -> Result<(), String> {
        Err("x".into())
    }
}

/// The same errors of a type whose author has said nothing.
#[derive(Default)]
pub struct Mute;

#[multiproc::referent]
impl Mute {
    pub fn new() -> Self {
        Self
    }

    pub fn unnamed(&self) -> Result<(), Refusal> {
        Err(Refusal::Missing("x".into()))
    }
}

#[test]
fn errors_are_the_exceptions_that_their_author_named() {
    let manager =
        SyncManager::builder().authkey(KEY).python(true).register::<Bank>().register::<Mute>().start().unwrap();
    for python in pythons() {
        run(script(python, &manager, "raises.py"));
    }
    // To Rust they are what they are.
    let bank = BankProxy::new(&manager).unwrap();
    let refused = bank.withdraw("ada".into(), -1).unwrap_err().into_method().unwrap();
    assert_eq!(refused, Refusal::Negative);
    manager.shutdown().unwrap();
}

/// A client of 3.12 was taken for one of 3.13, and got `queue.ShutDown`, which its Python does not have: an `AttributeError` out of the middle of its unpickler.
#[test]
fn a_queue_that_is_shut_down_says_so_in_every_version() {
    for python in pythons() {
        let shop = Shop::open();
        let queue: QueueProxy<u8> = shop.get("get_queue");
        let mut command = script(python, &shop.manager, "shut_down.py");
        let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());
        assert_eq!(running.line(), "waits");
        common::eventually("it waits", || queue.waiting().unwrap().0 == 1);
        queue.shutdown(false).unwrap();
        running.end();
        shop.manager.shutdown().unwrap();
    }
}

/// What is new in 3.14, by the proxy type that it has there.
#[test]
fn sets_do_what_they_do_in_python() {
    for python in pythons() {
        let manager = start();
        run(script(python, &manager, "sets.py"));
        manager.shutdown().unwrap();
    }
}

/// Functions that a server's pool runs, also for those who have no functions of Rust's.
mod tasks {
    use super::*;
    use multiproc::types::{EventProxy, ListProxy};

    #[multiproc::task]
    pub fn square(n: u64) -> u64 {
        n * n
    }

    #[multiproc::task]
    pub fn power(base: u64, exponent: u32) -> u64 {
        base.pow(exponent)
    }

    #[multiproc::task]
    pub fn nothing() {}

    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Point {
        x: i32,
        name: Option<String>,
    }

    #[multiproc::task]
    pub fn mirrored(point: Point) -> Point {
        Point { x: -point.x, ..point }
    }

    #[multiproc::task]
    pub fn waits(begun: ListProxy<u64>, leave: EventProxy) -> usize {
        begun.push(7).unwrap();
        leave.wait().unwrap();
        begun.len().unwrap()
    }

    #[multiproc::task]
    pub fn listed(list: ListProxy<u64>) -> ListProxy<u64> {
        list
    }

    #[multiproc::task]
    pub fn sleeps(milliseconds: u64) -> u64 {
        std::thread::sleep(Duration::from_millis(milliseconds));
        milliseconds
    }

    #[multiproc::task]
    pub fn panics(n: u64) -> u64 {
        assert!(n != 3, "not {n}");
        n
    }

    #[multiproc::task]
    pub fn dies() {
        kill(Pid::this(), Signal::SIGKILL).unwrap();
        common::forever();
    }

    #[multiproc::task(raises)]
    pub fn withdraw(owner: String, amount: i64) -> Result<i64, Refusal> {
        Bank.withdraw(owner, amount)
    }

    #[multiproc::task(raises)]
    pub fn one_of(owner: String) -> Result<i64, Refusal> {
        Bank.withdraw(owner, 1)
    }

    #[multiproc::task(raises = "PermissionError")]
    pub fn closed(when: String) -> Result<String, String> {
        if when.is_empty() { Ok("open".to_owned()) } else { Err(when) }
    }

    #[multiproc::task]
    pub fn unnamed() -> Result<(), String> {
        Err("no exception is named for this".to_owned())
    }

    static BASE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

    #[multiproc::task]
    pub fn begin_at(base: u64) {
        BASE.store(base, std::sync::atomic::Ordering::Relaxed);
    }

    #[multiproc::task]
    pub fn above(n: u64) -> u64 {
        BASE.load(std::sync::atomic::Ordering::Relaxed) + n
    }
}

#[test]
fn python_clients_have_the_servers_pools_run_its_tasks() {
    let manager = SyncManager::builder()
        .authkey(KEY)
        .python(true)
        .python_grace(Duration::from_millis(300))
        .task::<tasks::square>()
        .task::<tasks::power>()
        .task::<tasks::nothing>()
        .task::<tasks::mirrored>()
        .task::<tasks::waits>()
        .task::<tasks::listed>()
        .task::<tasks::sleeps>()
        .task::<tasks::panics>()
        .task::<tasks::dies>()
        .task::<tasks::withdraw>()
        .task::<tasks::one_of>()
        .task::<tasks::closed>()
        .task::<tasks::unnamed>()
        .task::<tasks::begin_at>()
        .task::<tasks::above>()
        .start()
        .unwrap();
    let before = manager.number_of_objects().unwrap();
    for python in pythons() {
        run(script(python, &manager, "pools.py"));
    }
    common::eventually("pools and results are gone", || manager.number_of_objects().unwrap() == before);
    // To Rust a result stays what it is.
    let pool = types::PoolProxy::new(&manager, 1).unwrap();
    assert_eq!(
        pool.apply::<tasks::withdraw>(("ada".into(), 50)).unwrap().unwrap_err(),
        Refusal::Overdrawn { by: 40, owners: vec!["ada".into()] }
    );
    assert_eq!(pool.map::<tasks::one_of>(["eve".to_owned()]).unwrap(), [Err(Refusal::Missing("eve".into()))]);
    manager.shutdown().unwrap();
}
