//! From start to end: what a manager makes is gone when it is over, however it ends.
//!
//! Tests that count what this process has run in a process of their own ([`alone`]), since the harness runs other tests beside them.

#![allow(missing_docs)]

mod common;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::{LIMIT, eventually, fork, is_alive, wait};
use multiproc::{BaseManager, Builder, Error};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[derive(Default)]
pub struct Clock {
    ticks: u64,
}

/// Set by an initializer, in the server.
static INITIALIZED: AtomicU64 = AtomicU64::new(0);

#[multiproc::referent]
impl Clock {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    pub fn initialized(&self) -> u64 {
        INITIALIZED.load(Ordering::SeqCst)
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Leaves a copy of the server behind, which holds all its sockets and makes no sound.
    pub fn copy(&self) -> i32 {
        match common::bare_clone() {
            0 => loop {
                thread::sleep(Duration::from_secs(1));
            },
            copy => copy,
        }
    }

    /// Never returns.
    pub fn hang(&mut self, entered: String) {
        std::fs::write(entered, b"").unwrap();
        loop {
            thread::park();
        }
    }

    #[referent(blocking)]
    pub fn hang_on_a_worker(&self, entered: String) {
        std::fs::write(entered, b"").unwrap();
        loop {
            thread::park();
        }
    }
}

/// Takes its leave: an object's end, as the test sees it.
pub struct Leaving {
    /// Made when its end begins.
    begun: String,
    /// Waited for, before it goes on.
    door: Option<String>,
}

#[multiproc::referent]
impl Leaving {
    pub fn new(begun: String, door: Option<String>) -> Self {
        Self { begun, door }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.begun, b"");
        if let Some(door) = &self.door {
            common::within(LIMIT, || Path::new(door).exists());
        }
    }
}

fn builder() -> Builder {
    BaseManager::builder().register::<Clock>().register::<Leaving>()
}

fn pid(manager: &BaseManager) -> i32 {
    i32::try_from(manager.pid().expect("this manager started its server")).unwrap()
}

fn signal(process: i32, signal: Signal) {
    kill(Pid::from_raw(process), signal).unwrap();
}

/// Whether a signal has been sent to a process that has not taken it yet.
fn is_pending(process: i32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let pending = pending.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    pending >> (signal as u32 - 1) & 1 == 1
}

/// Ends a server that a failing test leaves behind.
struct Reaped(i32);

impl Drop for Reaped {
    fn drop(&mut self) {
        if is_alive(self.0) {
            let _ = kill(Pid::from_raw(self.0), Signal::SIGKILL);
        }
    }
}

const ALONE: &str = "MULTIPROC_TEST_ALONE";

/// Runs a test by itself: this binary again, with this one test in it.
#[track_caller]
fn alone(name: &str, test: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    let directory = tempfile::tempdir().unwrap();
    let run = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .env("TMPDIR", directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    assert!(said.contains("1 passed"), "no test of that name: {said}");
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// What a manager could leave behind in this process.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    children: Vec<i32>,
    threads: usize,
    descriptors: Vec<String>,
    files: Vec<std::path::PathBuf>,
}

fn holdings() -> Holdings {
    let me = i32::try_from(std::process::id()).unwrap();
    let mut descriptors: Vec<_> = common::descriptor_targets(me);
    // Sockets and pipes have names of their own each time; their number counts. The list itself is read through one.
    descriptors.iter_mut().for_each(|target| target.truncate(target.find(":[").unwrap_or(target.len())));
    descriptors.retain(|target| !target.starts_with("/proc/"));
    descriptors.sort();
    let files = std::fs::read_dir(std::env::temp_dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
    Holdings { children: common::children(me), threads: common::threads(me), descriptors, files }
}

/// Works with a manager for a while, as a program does, with several connections.
fn work(manager: &BaseManager) {
    let clock = ClockProxy::new(manager).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!((0..20).all(|_| clock.tick().is_ok())));
        }
    });
    assert_eq!(clock.tick().unwrap(), 81);
}

/// Holds: shutdown waits for the server and reaps it, closes all connections, removes socket and directory. (What the library makes once per process, such as the
/// page that tells forks apart, is made by the first round.)
#[test]
fn shutdown_leaves_nothing_behind() {
    alone("shutdown_leaves_nothing_behind", || {
        let once = builder().start().unwrap();
        work(&once);
        once.shutdown().unwrap();
        drop(once);
        let before = holdings();
        assert_eq!((&before.children, &before.files), (&vec![], &vec![]), "not even by the first");
        for _ in 0..5 {
            let manager = builder().start().unwrap();
            let server = pid(&manager);
            work(&manager);
            assert_ne!(holdings(), before, "while it runs there is something to be left behind");
            manager.shutdown().unwrap();
            assert!(common::state(server).is_none(), "the server is gone when shutdown returns, and no zombie");
            let during = holdings();
            assert_eq!(during.files, before.files, "socket and directory are gone when shutdown returns");
            drop(manager);
        }
        eventually(&format!("{before:?} again"), || holdings() == before);
    });
}

/// Holds: dropping a manager is its shutdown, also with proxies still alive, and with one dropped in a panic.
#[test]
fn drop_leaves_nothing_behind() {
    alone("drop_leaves_nothing_behind", || {
        drop(builder().start().unwrap());
        let before = holdings();
        for _ in 0..3 {
            let manager = builder().start().unwrap();
            let server = pid(&manager);
            let clock = ClockProxy::new(&manager).unwrap();
            clock.tick().unwrap();
            drop(manager);
            assert!(common::state(server).is_none(), "dropping waits for the server's end");
            match clock.tick() {
                Err(Error::ServerGone { reason, .. }) => assert!(reason.contains("manager"), "{reason}"),
                other => panic!("{other:?}"),
            }
            assert!(clock.to_string().contains("gone"), "its text says so: {clock}");
        }
        let unwound = thread::spawn(|| {
            let manager = builder().start().unwrap();
            let server = pid(&manager);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                let _manager = manager;
                panic!("a test's");
            }))
            .expect_err("it panics");
            server
        });
        assert!(common::state(unwound.join().unwrap()).is_none());
        eventually(&format!("{before:?} again"), || holdings() == before);
    });
}

/// Holds: a start that fails takes back what it had made.
#[test]
fn a_failed_start_leaves_nothing_behind() {
    alone("a_failed_start_leaves_nothing_behind", || {
        drop(builder().start().unwrap());
        let before = holdings();
        for _ in 0..3 {
            let error = builder().initializer(|| Err("no luck today")).start().expect_err("the initializer's");
            assert!(matches!(error, Error::Start { .. }) && error.to_string().contains("no luck today"), "{error}");
            let died = builder().initializer(|| -> Result<(), &str> { common::exit(3) }).start();
            assert!(matches!(&died, Err(Error::Start { reason }) if reason.contains("before it served")), "{died:?}");
        }
        eventually(&format!("{before:?} again"), || holdings() == before);
    });
}

/// Holds: a second shutdown finds it done; so does one after the server's own end, and a drop after either.
#[test]
fn shutdown_is_idempotent() {
    let manager = builder().start().unwrap();
    manager.shutdown().unwrap();
    manager.shutdown().unwrap();
    assert!(matches!(manager.ping(), Err(Error::ServerGone { .. })));
    assert!(matches!(ClockProxy::new(&manager), Err(Error::ServerGone { .. })));
    assert!(manager.join(Some(Duration::ZERO)).unwrap(), "it has ended");
    drop(manager);
    let killed = builder().start().unwrap();
    signal(pid(&killed), Signal::SIGKILL);
    killed.shutdown().unwrap();
    killed.shutdown().unwrap();
}

/// Holds: threads that shut down at the same time wait for one another.
#[test]
fn shutdown_from_many_threads_is_one_shutdown() {
    let manager = builder().start().unwrap();
    let server = pid(&manager);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                manager.shutdown().unwrap();
                assert!(common::state(server).is_none());
            });
        }
    });
}

/// Holds: `join` sees the server's own end, and not more.
#[test]
fn join_waits_for_the_servers_own_end() {
    let manager = builder().start().unwrap();
    assert!(!manager.join(Some(Duration::from_millis(50))).unwrap(), "it runs");
    assert!(!manager.join(Some(Duration::ZERO)).unwrap());
    let other = builder().address(manager.address()).connect().unwrap();
    thread::scope(|scope| {
        let joining = scope.spawn(|| manager.join(Some(LIMIT)).unwrap());
        other.shutdown().unwrap();
        assert!(joining.join().unwrap(), "ended by another client");
    });
    assert!(manager.join(None).unwrap());
    manager.shutdown().unwrap();
}

/// Holds: the server watches its starter by a pidfd. The end of a socket alone would not do: here a forked child of the starter's, which lives on, holds copies of all of them.
#[test]
fn the_server_ends_with_its_starter_although_a_child_of_his_lives() {
    let (mut near, far) = UnixStream::pair().unwrap();
    near.set_read_timeout(Some(LIMIT)).unwrap();
    let starter = fork(move || {
        let manager = builder().start().unwrap();
        let bystander = fork(|| {
            thread::sleep(LIMIT * 2);
            0
        });
        let mut far = far;
        far.write_all(&pid(&manager).to_le_bytes()).unwrap();
        far.write_all(&bystander.pid().to_le_bytes()).unwrap();
        far.write_all(&[u8::try_from(manager.address().len()).unwrap()]).unwrap();
        far.write_all(manager.address().as_bytes()).unwrap();
        thread::sleep(LIMIT * 2);
        0
    });
    let mut told = [0; 9];
    near.read_exact(&mut told).expect("server and bystander have begun");
    let number = |bytes: &[u8]| i32::from_le_bytes(bytes.try_into().unwrap());
    let (server, bystander) = (Reaped(number(&told[..4])), Reaped(number(&told[4..8])));
    let mut address = vec![0; told[8].into()];
    near.read_exact(&mut address).unwrap();
    let address = String::from_utf8(address).unwrap();
    let directory = Path::new(address.strip_prefix("unix:").unwrap()).parent().unwrap();
    assert!(is_alive(server.0) && is_alive(bystander.0) && directory.exists());
    starter.kill();
    eventually("the server ends with its starter", || !is_alive(server.0));
    assert!(is_alive(bystander.0), "while the starter's child lived");
    assert!(!directory.exists(), "and has taken socket and directory with it");
}

/// Holds: only the process that started a server ends it.
#[test]
fn a_forked_copy_of_a_manager_shuts_nothing_down() {
    let manager = builder().start().unwrap();
    let clock = ClockProxy::new(&manager).unwrap();
    let copy = &manager;
    let child = fork(move || {
        // A bitwise copy, as the fork made it; what a child's own drop would do.
        let refused = matches!(copy.shutdown(), Err(Error::State { .. }));
        let works = copy.ping().is_ok() && copy.pid().is_none();
        i32::from(!(refused && works))
    });
    assert_eq!(wait(child), 0);
    assert_eq!(clock.tick().unwrap(), 1, "the server lives on");
    let owned = builder().start().unwrap();
    let server = pid(&owned);
    let socket = owned.address().strip_prefix("unix:").unwrap().to_owned();
    let owned = std::cell::RefCell::new(Some(owned));
    let child = fork(|| {
        drop(owned.take());
        // Neither the server nor the directory of its socket is the child's to remove.
        i32::from(UnixStream::connect(socket).is_err())
    });
    // Not moved into the closure: the parent would drop that with the fork's return, and end the server before a slow child had looked.
    assert_eq!(wait(child), 0);
    drop(owned);
    assert!(common::state(server).is_none(), "the parent's drop has ended it");
    manager.shutdown().unwrap();
}

/// Holds: a detached server watches nobody, and any client may shut it down.
#[test]
fn a_detached_server_lives_on_until_a_client_shuts_it_down() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let address = format!("unix:{}", socket.display());
    let at = address.clone();
    let (mut near, mut far) = UnixStream::pair().unwrap();
    near.set_read_timeout(Some(LIMIT)).unwrap();
    let starter = fork(move || {
        let manager = builder().address(&*at).authkey(b"detached").start().unwrap();
        let server = pid(&manager);
        let manager = manager.detach().unwrap();
        let merely_connected = manager.pid().is_none() && manager.ping().is_ok();
        drop(manager);
        far.write_all(&server.to_le_bytes()).unwrap();
        i32::from(!merely_connected)
    });
    let mut told = [0; 4];
    near.read_exact(&mut told).unwrap();
    let server = Reaped(i32::from_le_bytes(told));
    assert_eq!(wait(starter), 0);
    let manager = builder().address(&*address).authkey(b"detached").connect().expect("it lives on");
    assert_eq!(ClockProxy::new(&manager).unwrap().tick().unwrap(), 1);
    // Longer than a server without its starter would take to notice.
    thread::sleep(Duration::from_millis(300));
    assert!(is_alive(server.0));
    drop(manager);
    assert!(is_alive(server.0), "a client that goes shuts nothing down");
    let manager = builder().address(&*address).authkey(b"detached").connect().unwrap();
    manager.shutdown().unwrap();
    eventually("the server has ended", || !is_alive(server.0));
    assert!(!socket.exists(), "and has taken its socket with it");
}

/// Mechanism: the starter's order, and the server's last words. SIGTERM would end it as well, but later, and for another reason.
#[test]
fn clients_are_told_why_the_server_ends() {
    let key = common::raw::KEY;
    for ends in ["its manager was shut down or dropped", "SIGTERM", "a client"] {
        let manager = builder().authkey(key).start().unwrap();
        let mut control = common::raw::Raw::proven(&manager, common::raw::CONTROL, [3; 16], 0);
        match ends {
            "SIGTERM" => signal(pid(&manager), Signal::SIGTERM),
            "a client" => {
                let client = fork(|| {
                    let connected = BaseManager::builder().address(manager.address()).authkey(key).connect().unwrap();
                    i32::from(connected.shutdown().is_err())
                });
                assert_eq!(wait(client), 0);
            }
            _ => manager.shutdown().unwrap(),
        }
        let last = control.hear().expect("last words");
        assert!(String::from_utf8_lossy(&last).contains(ends), "{last:?} instead of {ends:?}");
        assert_eq!(control.hear(), None, "and the end");
        manager.shutdown().unwrap();
    }
}

/// Mechanism: callers watch the server's process. Its death does not end their connections where a copy of it holds them open.
#[test]
fn a_call_in_flight_learns_of_the_death_of_a_server_that_was_copied() {
    common::adopt_orphans();
    let directory = tempfile::tempdir().unwrap();
    let entered = directory.path().join("entered");
    let manager = builder().start().unwrap();
    let clock = ClockProxy::new(&manager).unwrap();
    let copy = clock.copy().unwrap();
    let name = entered.to_str().unwrap().to_owned();
    thread::scope(|scope| {
        let call = scope.spawn(|| clock.hang(name));
        eventually("the method runs", || entered.exists());
        signal(pid(&manager), Signal::SIGKILL);
        let ended = common::within(LIMIT, || call.is_finished());
        // Lets the call end in any case.
        signal(copy, Signal::SIGKILL);
        assert!(matches!(call.join().unwrap(), Err(Error::ServerGone { .. })));
        assert!(ended, "the call learnt of it by the copy's death only");
    });
    manager.shutdown().unwrap();
    drop(common::Child::adopt(copy));
}

/// Mechanism: the grace that methods have at the end. Here no signal makes up for it.
#[test]
fn a_server_in_this_process_does_not_wait_for_a_method_that_never_ends() {
    let directory = tempfile::tempdir().unwrap();
    let entered = directory.path().join("entered");
    let name = entered.to_str().unwrap().to_owned();
    let server = builder().shutdown_timeout(Duration::from_millis(200)).server().unwrap();
    let (address, stop) = (server.address().clone(), server.stop_handle());
    let serving = thread::spawn(move || server.serve_forever());
    let client = fork(|| {
        let manager = builder().address(address).connect().unwrap();
        let gone = ClockProxy::new(&manager).unwrap().hang(name);
        i32::from(!matches!(gone, Err(Error::ServerGone { .. })))
    });
    eventually("the method runs", || entered.exists());
    stop.stop();
    eventually("the server has ended", || serving.is_finished());
    serving.join().unwrap().unwrap();
    assert_eq!(wait(client), 0);
}

/// Mechanism: the listener is closed first. Whoever comes while the server ends is refused, not kept waiting.
#[test]
fn an_ending_server_takes_no_more_connections() {
    let directory = tempfile::tempdir().unwrap();
    let entered = directory.path().join("entered");
    let name = entered.to_str().unwrap().to_owned();
    let key = common::raw::KEY;
    let manager = builder().authkey(key).shutdown_timeout(Duration::from_secs(3)).start().unwrap();
    let path = manager.address().strip_prefix("unix:").unwrap().to_owned();
    let clock = ClockProxy::new(&manager).unwrap();
    let mut control = common::raw::Raw::proven(&manager, common::raw::CONTROL, [4; 16], 0);
    thread::scope(|scope| {
        scope.spawn(|| clock.hang(name));
        eventually("the method runs", || entered.exists());
        let shutdown = scope.spawn(|| manager.shutdown());
        control.hear().expect("last words");
        assert!(UnixStream::connect(&path).is_err(), "nobody will serve this connection");
        shutdown.join().unwrap().unwrap();
    });
}

/// Mechanism: SIGTERM comes before SIGKILL. A server that was too busy to hear the order may still end as it should.
#[test]
fn a_busy_server_is_terminated_before_it_is_killed() {
    common::adopt_orphans();
    common::patiently("it was killed, and not even terminated", is_terminated_in_time);
}

/// Whether a server ends as it should when SIGTERM finds it busy, and it has so long from then on.
fn is_terminated_in_time(time: Duration) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let manager = builder().shutdown_timeout(time).start().unwrap();
    let _farewell = LeavingProxy::new(&manager, text("farewell"), None).unwrap();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    // A copy of the client holds its sockets open, so that the thread that watches processes finds out, and drops what it held.
    let client = fork(|| {
        let _busy = LeavingProxy::new(&manager, text("busy"), Some(text("door"))).unwrap();
        let copy = common::bare_clone();
        if copy != 0 {
            writer.write_all(&copy.to_le_bytes()).unwrap();
        }
        loop {
            thread::park();
        }
    });
    let mut copy = [0; 4];
    reader.read_exact(&mut copy).unwrap();
    let _copy = common::Child::adopt(i32::from_le_bytes(copy));
    client.kill();
    eventually("the server is busy", || path("busy").exists());
    let server = pid(&manager);
    thread::scope(|scope| {
        let shutdown = scope.spawn(|| manager.shutdown());
        let terminated = common::within(LIMIT, || is_pending(server, Signal::SIGTERM) || !is_alive(server));
        std::fs::write(path("door"), b"").unwrap();
        shutdown.join().unwrap().unwrap();
        assert!(terminated);
    });
    path("farewell").exists()
}

/// Holds: SIGTERM is read by the control thread, which ends in order; SIGINT, which a terminal sends to all, is ignored.
#[test]
fn sigterm_ends_the_server_in_order_and_sigint_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    // Whoever runs the tests in the background may have them ignore it, which would be inherited.
    common::heed(Signal::SIGINT);
    let manager = builder().address(format!("unix:{}", socket.display()).as_str()).start().unwrap();
    let clock = ClockProxy::new(&manager).unwrap();
    for ticks in 1..=3 {
        signal(pid(&manager), Signal::SIGINT);
        assert_eq!(clock.tick().expect("SIGINT is ignored"), ticks);
    }
    assert!(socket.exists());
    signal(pid(&manager), Signal::SIGTERM);
    assert!(manager.join(Some(LIMIT)).unwrap(), "SIGTERM ends it");
    assert!(!socket.exists(), "in order: the socket file is removed");
    match clock.tick() {
        Err(Error::ServerGone { reason, .. }) => assert!(reason.contains("SIGTERM"), "{reason}"),
        other => panic!("{other:?}"),
    }
    manager.shutdown().unwrap();
}

/// Holds: a server with a method that never ends is shut down all the same, within its time and a little.
#[test]
fn a_method_that_never_ends_does_not_keep_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let timeout = Duration::from_millis(200);
    for worker in [false, true] {
        let manager = builder().shutdown_timeout(timeout).start().unwrap();
        let server = pid(&manager);
        let clock = ClockProxy::new(&manager).unwrap();
        let entered = directory.path().join(if worker { "worker" } else { "leader" });
        let name = entered.to_str().unwrap().to_owned();
        thread::scope(|scope| {
            let call = scope.spawn(|| if worker { clock.hang_on_a_worker(name) } else { clock.hang(name) });
            eventually("the method runs", || entered.exists());
            manager.shutdown().unwrap();
            assert!(common::state(server).is_none());
            assert!(matches!(call.join().unwrap(), Err(Error::ServerGone { .. })));
        });
    }
}

/// Holds: the last step of a shutdown, SIGKILL: a stopped process hears neither its starter nor SIGTERM.
#[test]
fn a_server_that_hears_nothing_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let address = format!("unix:{}", socket.display());
    let manager = builder().address(&*address).shutdown_timeout(Duration::from_millis(100)).start().unwrap();
    let server = pid(&manager);
    common::stop(server);
    manager.shutdown().unwrap();
    assert!(common::state(server).is_none(), "gone and reaped");
    assert!(!socket.exists(), "what it could not remove is removed");
}

/// Holds: callers watch the server's process beside their sockets: nobody waits for one that is dead.
#[test]
fn calls_in_flight_learn_of_the_servers_death() {
    let directory = tempfile::tempdir().unwrap();
    let manager = builder().start().unwrap();
    let clocks: Vec<_> = (0..4).map(|_| ClockProxy::new(&manager).unwrap()).collect();
    thread::scope(|scope| {
        let calls: Vec<_> = clocks
            .iter()
            .enumerate()
            .map(|(number, clock)| {
                let entered = directory.path().join(number.to_string());
                let name = entered.to_str().unwrap().to_owned();
                let call =
                    scope.spawn(move || if number % 2 == 0 { clock.hang_on_a_worker(name) } else { clock.hang(name) });
                eventually("the call is in flight", || entered.exists());
                call
            })
            .collect();
        signal(pid(&manager), Signal::SIGKILL);
        for call in calls {
            let result = call.join().unwrap();
            assert!(matches!(result, Err(Error::ServerGone { .. })), "{result:?}");
        }
    });
    for clock in &clocks {
        assert!(matches!(clock.tick(), Err(Error::ServerGone { .. })), "and later ones, too");
    }
    manager.shutdown().unwrap();
}

/// Holds: a connection to nobody is told at once, as what it is.
#[test]
fn nobody_listens() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let unix = format!("unix:{}", socket.display());
    let dead = directory.path().join("dead");
    drop(UnixListener::bind(&dead).unwrap());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let addresses = [
        unix,
        format!("unix:{}", dead.display()),
        "unix:@multiproc-nobody-is-here".into(),
        format!("tcp:127.0.0.1:{free}"),
    ];
    for address in &addresses {
        match builder().address(&**address).connect() {
            Err(Error::ServerGone { address: named, reason }) => {
                assert_eq!(&named, address);
                assert!(reason.contains("nobody listens"), "{reason}");
            }
            other => panic!("{address}: {other:?}"),
        }
    }
    assert!(matches!(builder().connect(), Err(Error::State { .. })), "without an address");
}

/// Holds: a living server's address is never taken over, a dead one's is, and another's file is left alone.
#[test]
fn an_address_in_use_is_refused_and_a_stale_socket_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let address = format!("unix:{}", socket.display());
    let first = builder().address(&*address).start().unwrap();
    let clock = ClockProxy::new(&first).unwrap();
    let second = builder().address(&*address).start();
    assert!(matches!(&second, Err(error) if error.to_string().contains("in use")), "{second:?}");
    let third = builder().address(&*address).server();
    assert!(matches!(&third, Err(error) if error.to_string().contains("in use")), "{third:?}");
    assert_eq!(clock.tick().expect("undisturbed"), 1);
    signal(pid(&first), Signal::SIGKILL);
    assert!(first.join(Some(LIMIT)).unwrap());
    assert!(socket.exists(), "a killed server leaves its socket");
    let heir = builder().address(&*address).start().expect("which is replaced");
    assert_eq!(ClockProxy::new(&heir).unwrap().tick().unwrap(), 1);
    first.shutdown().unwrap();
    assert!(socket.exists(), "the heir's socket is not the dead one's to remove");
    heir.ping().unwrap();
    match clock.tick() {
        Err(Error::ServerGone { .. }) => {}
        other => panic!("a token of the dead server hit something: {other:?}"),
    }
    heir.shutdown().unwrap();
    assert!(!socket.exists());
    std::fs::write(&socket, b"precious").unwrap();
    let refused = builder().address(&*address).start();
    assert!(matches!(&refused, Err(error) if error.to_string().contains("no socket")), "{refused:?}");
    assert_eq!(std::fs::read(&socket).unwrap(), b"precious");
}

/// Holds: port 0 becomes the real one in the manager's address; tcp connects and is told when its port is taken.
#[test]
fn tcp_takes_a_free_port_and_says_which() {
    let manager = builder().address("tcp:127.0.0.1:0").start().unwrap();
    let port: u16 = manager.address().strip_prefix("tcp:127.0.0.1:").expect("tcp").parse().unwrap();
    assert_ne!(port, 0);
    let clock = ClockProxy::new(&manager).unwrap();
    assert_eq!(clock.tick().unwrap(), 1);
    let connected = builder().address(("127.0.0.1", port)).connect().unwrap();
    connected.ping().unwrap();
    let taken = builder().address(("127.0.0.1", port)).start();
    assert!(matches!(&taken, Err(error) if error.to_string().contains("in use")), "{taken:?}");
    manager.shutdown().unwrap();
    assert!(matches!(clock.tick(), Err(Error::ServerGone { .. })));
}

/// Holds: an abstract name needs no file, is exclusive, and free again after its server.
#[test]
fn an_abstract_address_leaves_no_file() {
    let address = format!("unix:@multiproc-lifecycle-{}", std::process::id());
    for _ in 0..3 {
        let manager = builder().address(&*address).start().unwrap();
        assert_eq!(manager.address(), address);
        assert_eq!(ClockProxy::new(&manager).unwrap().tick().unwrap(), 1);
        let taken = builder().address(&*address).start();
        assert!(matches!(&taken, Err(error) if error.to_string().contains("in use")), "{taken:?}");
        manager.shutdown().unwrap();
    }
}

/// Holds: a program can be the server, and ends it by a handle; its threads and descriptors end with it.
#[test]
fn a_server_in_this_process_ends_by_its_handle() {
    alone("a_server_in_this_process_ends_by_its_handle", || {
        let serve = || {
            let server = builder().server().unwrap();
            let (address, handle) = (server.address().clone(), server.stop_handle());
            let serving = thread::spawn(move || server.serve_forever());
            let manager = builder().address(address).connect().unwrap();
            assert_eq!(manager.pid(), None);
            let clock = ClockProxy::new(&manager).unwrap();
            assert_eq!(clock.tick().unwrap(), 1);
            assert_eq!(clock.pid().unwrap(), std::process::id(), "in this very process");
            assert!(!serving.is_finished());
            handle.stop();
            serving.join().unwrap().unwrap();
            assert!(matches!(clock.tick(), Err(Error::ServerGone { .. })));
            handle.stop();
        };
        serve();
        let before = holdings();
        (0..4).for_each(|_| serve());
        eventually(&format!("{before:?} again"), || holdings() == before);
    });
}

/// Holds: a client's shutdown ends `serve_forever`; a server that was never served gives its address back.
#[test]
fn a_server_in_this_process_ends_by_a_client() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let address = format!("unix:{}", socket.display());
    drop(builder().address(&*address).server().unwrap());
    assert!(!socket.exists(), "an unserved one takes its socket with it");
    let server = builder().address(&*address).server().unwrap();
    let serving = thread::spawn(move || server.serve_forever());
    let manager = builder().address(&*address).connect().unwrap();
    manager.shutdown().unwrap();
    serving.join().unwrap().unwrap();
    assert!(!socket.exists());
}

/// Holds: the initializer runs once, in the server and before it serves.
#[test]
fn the_initializer_runs_in_the_server_before_it_serves() {
    let manager = builder()
        .initializer(|| {
            thread::sleep(Duration::from_millis(50));
            INITIALIZED.fetch_add(7, Ordering::SeqCst);
            Ok::<_, std::io::Error>(())
        })
        .start()
        .unwrap();
    let clock = ClockProxy::new(&manager).unwrap();
    assert_eq!(clock.initialized().unwrap(), 7, "there, when the first client comes");
    assert_eq!(clock.pid().unwrap(), manager.pid().unwrap());
    assert_eq!(INITIALIZED.load(Ordering::SeqCst), 0, "and not here");
    manager.shutdown().unwrap();
}

/// Holds: a panic in the initializer is an error of `start`, not a server that never answers.
#[test]
fn a_panic_in_the_initializer_is_an_error_of_start() {
    let started = builder().initializer(|| -> Result<(), &str> { panic!("an initializer's") }).start();
    assert!(matches!(started, Err(Error::Start { .. })), "{started:?}");
}

/// Holds: where `TMPDIR` is too long for a socket's path, the private directory is elsewhere; and it is private.
#[test]
fn a_long_tmpdir_is_no_obstacle() {
    alone("a_long_tmpdir_is_no_obstacle", || {
        let manager = builder().start().unwrap();
        let socket = Path::new(manager.address().strip_prefix("unix:").unwrap()).to_owned();
        assert!(socket.starts_with(std::env::temp_dir()), "a short one is used: {}", socket.display());
        manager.shutdown().unwrap();
        let long = std::env::temp_dir().join("d".repeat(120));
        std::fs::create_dir(&long).unwrap();
        let binary = std::env::current_exe().unwrap();
        let run = Command::new(binary)
            .args(["a_private_directory_is_private", "--exact", "--nocapture", "--test-threads=1"])
            .env("TMPDIR", &long)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains("1 passed"), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
        std::fs::remove_dir(&long).expect("nothing was put there");
    });
}

/// Holds: the fresh directory of a socket has mode 0700, and goes with the manager.
#[test]
fn a_private_directory_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let manager = builder().start().unwrap();
    let socket = Path::new(manager.address().strip_prefix("unix:").unwrap()).to_owned();
    let directory = socket.parent().unwrap();
    assert_eq!(std::fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 1, "the socket alone");
    assert_eq!(ClockProxy::new(&manager).unwrap().tick().unwrap(), 1);
    manager.shutdown().unwrap();
    assert!(!directory.exists());
}
