//! The fork server, from a program that calls `init` first thing in `main`: a test binary of its own, without the harness, whose threads would be there before.
//!
//! Each check names the mechanism that it holds.

mod common;
#[path = "common/counter.rs"]
mod counter;
#[path = "common/told.rs"]
mod told;

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use common::{LIMIT, children, descriptors, eventually, fork, is_alive, state, threads, wait, within};
use counter::{Counter, CounterProxy};
use multiproc::process::StartMethod;
use multiproc::{
    Authkey, BaseManager, Error, Pool, Process, ProcessError, active_children, current_process, parent_process,
};
use told::Told;

static STOP: AtomicBool = AtomicBool::new(false);
static CHANGED: AtomicU32 = AtomicU32::new(1);

fn me() -> i32 {
    std::process::id().cast_signed()
}

fn about_me(_: ()) -> (String, String, u32, usize, u32, Vec<u8>) {
    let parent = parent_process().unwrap().unwrap();
    assert!(parent.is_alive());
    let key = multiproc::authkey().as_bytes().to_vec();
    let changed = CHANGED.load(Ordering::Relaxed);
    (current_process().name().to_owned(), parent.name().to_owned(), parent.id(), threads(me()), changed, key)
}

/// Holds the whole way there and back.
fn children_begin_as_the_program_was_at_init() {
    let key = Authkey::random();
    multiproc::set_authkey(key.clone());
    CHANGED.store(2, Ordering::Relaxed);
    let child = Process::spawn_fn(about_me, ()).unwrap();
    let name = child.name().to_owned();
    let (its_name, parent, parent_id, its_threads, changed, its_key) = child.join().unwrap();
    assert_eq!((its_name, parent.as_str(), parent_id), (name, "MainProcess", std::process::id()));
    assert_eq!((its_threads, changed), (1, 1), "one thread, and the memory of then");
    assert!(threads(me()) > 10);
    assert_eq!(its_key, key.as_bytes());
    // A fork of this process knows better.
    let here = Process::builder().start_method(StartMethod::Fork).spawn_fn(about_me, ()).unwrap();
    assert_eq!(here.join().unwrap().4, 2);
    let refused = Process::builder().start_method(StartMethod::ForkServer).spawn(|| ());
    assert!(matches!(refused, Err(Error::State { .. })));
}

fn everything_comes_back_as_from_a_fork() {
    let large = Process::spawn_fn(|text: String| text.repeat(2), "x".repeat(4 << 20)).unwrap();
    assert_eq!(large.join().unwrap().len(), 8 << 20);
    let panics = Process::spawn_fn(|n: u32| -> u32 { panic!("lost {n}") }, 7).unwrap();
    let Err(ProcessError::Panicked { panic, .. }) = panics.join() else { panic!() };
    assert_eq!(panic.message, "lost 7");
    let parked = Process::<()>::spawn_fn(|()| common::forever(), ()).unwrap();
    assert!(parked.is_alive());
    assert!(active_children().iter().any(|active| active.id() == parked.id()));
    parked.terminate().unwrap();
    assert_eq!(parked.wait().unwrap().signal(), Some(15));
    assert!(parked.join().unwrap_err().to_string().contains("SIGTERM"));
    // Holds the heeding of SIGINT, which the server itself ignores.
    let directory = tempfile::tempdir().unwrap();
    let begun = directory.path().join("begun");
    let park = |begun| {
        std::fs::write(begun, "").unwrap();
        common::forever()
    };
    let parked = Process::<()>::spawn_fn(park, begun.clone()).unwrap();
    eventually("it has begun", || begun.exists());
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(parked.id().cast_signed()), nix::sys::signal::SIGINT).unwrap();
    assert_eq!(parked.wait().unwrap().signal(), Some(2));
    let left = Process::<()>::spawn_fn(|code| std::process::exit(code), 5).unwrap();
    assert!(matches!(left.join(), Err(ProcessError::Exited { code: 5, .. })));
}

fn proxies_go_along() {
    let manager = BaseManager::builder().register::<Counter>().start().unwrap();
    let counter = CounterProxy::new(&manager).unwrap();
    let child =
        Process::spawn_fn(|counter: CounterProxy| counter.add(5).map_err(|error| error.to_string()), counter.clone());
    assert_eq!(child.unwrap().join().unwrap(), Ok(5));
    assert_eq!(counter.add(1).unwrap(), 6);
    manager.shutdown().unwrap();
}

/// Holds the sharing of the server by all who descend from its starter.
fn children_use_it_too() {
    let child = Process::spawn_fn(|()| Process::spawn_fn(about_me, ()).unwrap().join().unwrap(), ()).unwrap();
    let (parent, id) = (child.name().to_owned(), child.id());
    let (name, its_parent, its_parents_id, _, changed, _) = child.join().unwrap();
    // A child of the server's was forked before anybody could know of the server, so its own child is a fork of itself.
    assert_eq!((name, its_parent, its_parents_id, changed), (format!("{parent}:1"), parent, id, 1));
    let raw = fork(|| {
        let child = Process::spawn_fn(about_me, ()).unwrap();
        i32::from(child.join().unwrap().2 != std::process::id())
    });
    assert_eq!(wait(raw), 0);
}

/// Holds the lifeline between requester and child, with the server in between.
fn busy_daemons_end_with_whoever_asked_for_them() {
    let (mut told, mut tell) = std::io::pipe().unwrap();
    let requester = fork(move || {
        let busy = |()| loop {
            std::hint::spin_loop();
        };
        let daemon: Process<()> = Process::builder().daemon(true).spawn_fn(busy, ()).unwrap();
        std::io::Write::write_all(&mut tell, &daemon.id().to_ne_bytes()).unwrap();
        loop {
            thread::park();
        }
    });
    let mut pid = [0; 4];
    std::io::Read::read_exact(&mut told, &mut pid).unwrap();
    let pid = i32::from_ne_bytes(pid);
    assert!(is_alive(pid));
    requester.kill();
    assert!(within(LIMIT, || !is_alive(pid)), "the daemon outlived its requester");
}

fn pools_take_their_workers_from_it() {
    fn seen(n: u32) -> (u32, u32) {
        (n, CHANGED.load(Ordering::Relaxed))
    }
    let pool = Pool::builder().workers(2).start_method(StartMethod::ForkServer).start().unwrap();
    assert_eq!(pool.map(seen, 0..500).unwrap(), (0..500).map(|n| (n, 1)).collect::<Vec<_>>());
    let error = pool.apply(|_: u32| -> u32 { std::process::abort() }, 0).unwrap_err();
    assert_eq!(error.signal(), Some(6), "{error}");
    assert_eq!(pool.apply(seen, 7).unwrap(), (7, 1), "the one that replaces it is of the same kind");
    let workers = pool.worker_ids();
    drop(pool);
    assert!(workers.into_iter().all(|pid| !is_alive(pid.cast_signed())));
    let refused = Pool::builder().start_method(StartMethod::ForkServer).initializer(|| ()).start();
    assert!(refused.unwrap_err().to_string().contains("initializer_fn"));
    // Functions reach them, and those that replace them.
    let begins = |value| CHANGED.store(value, Ordering::Relaxed);
    let pool = Pool::builder().workers(1).max_tasks_per_child(1).start_method(StartMethod::ForkServer);
    let pool = pool.initializer_fn(begins, 77).start().unwrap();
    assert_eq!(pool.map(|_: u32| CHANGED.load(Ordering::Relaxed), 0..4).unwrap(), [77; 4]);
    let broken = Pool::builder().workers(1).start_method(StartMethod::ForkServer);
    let broken = broken.initializer_fn(|why: String| panic!("{why}"), "no ground".to_owned()).start().unwrap();
    let error = broken.apply(|n: u32| n, 1).unwrap_err();
    assert!(error.to_string().contains("no ground"), "{error}");
    let refused = Pool::builder().start_method(StartMethod::ForkServer).initializer(|| ()).start();
    assert!(refused.unwrap_err().to_string().contains("Pool::with"));
}

fn nothing_is_left(server: i32) {
    Process::spawn_fn(|()| (), ()).unwrap().join().unwrap();
    let count = || (descriptors(me()), children(me()).len(), descriptors(server), children(server).len());
    let before = count();
    for _ in 0..30 {
        let running: Vec<_> = (0..4).map(|n: u32| Process::spawn_fn(|n: u32| n, n).unwrap()).collect();
        drop(Process::spawn_fn(|()| thread::sleep(Duration::from_millis(5)), ()).unwrap());
        assert_eq!(running.into_iter().map(|child| child.join().unwrap()).sum::<u32>(), 6);
    }
    assert!(within(LIMIT, || count() == before), "{before:?} before, {:?} after", count());
}

/// Holds the server's lifeline, and what is said when it is gone.
fn without_a_server_there_is_an_error(server: i32) {
    let directory = tempfile::tempdir().unwrap();
    let begun = directory.path().join("begun");
    let parked = Process::<()>::spawn_fn(
        |begun| {
            std::fs::write(begun, "").unwrap();
            common::forever()
        },
        begun.clone(),
    );
    let parked = parked.unwrap();
    // A server that dies before its child has begun takes it along.
    eventually("it has begun", || begun.exists());
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(server), nix::sys::signal::SIGKILL).unwrap();
    eventually("the server is gone", || !is_alive(server));
    let error = Process::spawn_fn(|n: u32| n, 1).unwrap_err();
    assert!(error.to_string().contains("fork server is gone"), "{error}");
    assert!(parked.is_alive());
    parked.kill().unwrap();
    assert!(matches!(parked.join(), Err(ProcessError::Lost { .. })));
    Process::spawn(|| ()).unwrap().join().unwrap();
}

fn the_server_ends_with_its_starter() {
    let (mut told, mut tell) = std::io::pipe().unwrap();
    let starter = fork(move || {
        multiproc::init().unwrap();
        let server = children(me());
        std::io::Write::write_all(&mut tell, &server[0].to_ne_bytes()).unwrap();
        loop {
            thread::park();
        }
    });
    let mut pid = [0; 4];
    std::io::Read::read_exact(&mut told, &mut pid).unwrap();
    let pid = i32::from_ne_bytes(pid);
    assert!(is_alive(pid));
    starter.kill();
    eventually("the server is gone", || !is_alive(pid) || state(pid).is_none());
}

fn a_fork_with_threads_is_warned_of_once() {
    let warnings = Told::of(|metadata| *metadata.level() == tracing::Level::WARN);
    tracing::subscriber::with_default(warnings.clone(), || {
        Process::spawn(|| ()).unwrap().join().unwrap();
        // A thread of the crate's own is no danger.
        let pool = multiproc::Pool::new(1).unwrap();
        Process::spawn(|| ()).unwrap().join().unwrap();
        drop(pool);
        eventually("its thread has ended", || threads(me()) == 1);
        assert_eq!(warnings.take(), Vec::<String>::new());
        thread::scope(|scope| {
            let (wait, go) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || go.recv().is_ok());
            for _ in 0..3 {
                Process::spawn(|| ()).unwrap().join().unwrap();
            }
            drop(wait);
        });
    });
    let warnings = warnings.take();
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("threads=2") && warning.contains("multiproc::init()"), "{warning}");
}

fn main() {
    // Where it was started by something that ignores it, its children would do so too.
    common::heed_sigint();
    a_fork_with_threads_is_warned_of_once();
    // First, as its own process needs no server yet.
    the_server_ends_with_its_starter();
    multiproc::init().unwrap();
    multiproc::init().unwrap();
    let [server] = children(me())[..] else { panic!("one server: {:?}", children(me())) };
    let busy: Vec<_> = (0..20)
        .map(|_| {
            thread::spawn(|| {
                while !STOP.load(Ordering::Relaxed) {
                    std::hint::black_box(vec![0_u8; 5000]);
                    thread::sleep(Duration::from_micros(100));
                }
            })
        })
        .collect();
    children_begin_as_the_program_was_at_init();
    everything_comes_back_as_from_a_fork();
    proxies_go_along();
    children_use_it_too();
    pools_take_their_workers_from_it();
    busy_daemons_end_with_whoever_asked_for_them();
    nothing_is_left(server);
    without_a_server_there_is_an_error(server);
    STOP.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|busy| busy.join().unwrap());
    println!("fork server: all checks passed");
}
