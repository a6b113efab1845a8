//! How servers begin, end, keep strangers out, and stay responsive: each test names the mechanism that it holds.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{LIMIT, eventually, fork, is_alive, wait};
use multiproc::{BaseManager, Builder, Error, Responder};

/// Takes its time, or for ever.
#[derive(Default)]
pub struct Slow {
    waiting: Vec<Responder<u8>>,
    released: AtomicBool,
}

#[multiproc::referent]
impl Slow {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn quick(&self) -> u8 {
        1
    }

    /// Runs until it is released.
    pub fn busy(&self) {
        common::within(LIMIT, || self.released.load(Ordering::SeqCst));
    }

    #[referent(blocking)]
    pub fn blocks(&self) {
        common::within(LIMIT, || self.released.load(Ordering::SeqCst));
    }

    pub fn release(&self) {
        self.released.store(true, Ordering::SeqCst);
    }

    pub fn wait(&mut self, responder: Responder<u8>) {
        self.waiting.push(responder);
    }
}

fn builder() -> Builder {
    BaseManager::builder().register::<Slow>()
}

fn pid_of(manager: &BaseManager) -> i32 {
    manager.pid().unwrap().cast_signed()
}

fn works(manager: &BaseManager) {
    assert_eq!(SlowProxy::new(manager).unwrap().quick().unwrap(), 1);
}

/// Holds the order of the server's end: its process is reaped, its socket and directory are gone; a second shutdown does nothing.
#[test]
fn shutdown_leaves_nothing() {
    let manager = builder().start().unwrap();
    let (pid, address) = (pid_of(&manager), manager.address().to_owned());
    let directory = std::path::Path::new(address.strip_prefix("unix:").unwrap()).parent().unwrap().to_owned();
    works(&manager);
    assert!(directory.exists());
    manager.shutdown().unwrap();
    manager.shutdown().unwrap();
    assert!(!is_alive(pid), "the server's process is left, or a zombie");
    assert!(!directory.exists());
    assert!(matches!(manager.ping(), Err(Error::ServerGone { .. })));
    assert!(manager.join(None).unwrap());
}

/// Holds the watch on the starter's process: the server ends with it by SIGKILL, although a child of the starter lives on.
#[test]
fn a_server_ends_with_its_starter() {
    let (mut near, mut far) = UnixStream::pair().unwrap();
    let starter = fork(move || {
        let manager = builder().start().unwrap();
        let survivor = fork(|| {
            std::thread::sleep(Duration::from_secs(60));
            0
        });
        far.write_all(&[pid_of(&manager).to_le_bytes(), survivor.pid().to_le_bytes()].concat()).unwrap();
        std::thread::sleep(Duration::from_secs(60));
        0
    });
    let mut pids = [0; 8];
    near.read_exact(&mut pids).unwrap();
    let (server, survivor) = pids.split_at(4);
    let [server, survivor] = [server, survivor].map(|pid| i32::from_le_bytes(pid.try_into().unwrap()));
    assert!(is_alive(server));
    starter.kill();
    eventually("the server ends with its starter", || !is_alive(server));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(survivor), nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// Holds `detach`: the server outlives its manager, until a client shuts it down.
#[test]
fn a_detached_server_lives_on() {
    let manager = builder().start().unwrap();
    let (pid, address) = (pid_of(&manager), manager.address().to_owned());
    let connected = manager.detach().unwrap();
    assert_eq!(connected.pid(), None);
    drop(connected);
    let again = builder().address(&*address).connect().unwrap();
    works(&again);
    assert!(is_alive(pid));
    again.shutdown().unwrap();
    // Its starter is this process, which reaps it.
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).unwrap();
    let directory = std::path::Path::new(address.strip_prefix("unix:").unwrap()).parent().unwrap();
    assert!(!directory.exists());
}

/// Holds the escalation: a method that never ends does not keep its server alive.
#[test]
fn a_stuck_server_is_killed() {
    let manager = builder().shutdown_timeout(Duration::from_millis(200)).start().unwrap();
    let slow = SlowProxy::new(&manager).unwrap();
    let stuck = std::thread::spawn(move || slow.busy());
    std::thread::sleep(Duration::from_millis(100));
    manager.shutdown().unwrap();
    assert!(matches!(stuck.join().unwrap(), Err(Error::ServerGone { .. })));
}

/// Holds each transport, from end to end; and a server in this process, which its stop handle ends.
#[test]
fn servers_are_reached_by_every_kind_of_address() {
    for address in ["tcp:127.0.0.1:0", "unix:@multiproc-test-servers"] {
        let manager = builder().address(address).start().unwrap();
        works(&manager);
        let other = BaseManager::builder().address(manager.address()).connect().unwrap();
        works(&other);
        assert!(matches!(
            builder().address(manager.address()).start().map(drop),
            Err(Error::Io { .. } | Error::Start { .. })
        ));
        manager.shutdown().unwrap();
    }
    let server = builder().server().unwrap();
    let (address, stop) = (server.address().clone(), server.stop_handle());
    let serving = std::thread::spawn(move || server.serve_forever());
    let manager = builder().address(address).connect().unwrap();
    works(&manager);
    stop.stop();
    serving.join().unwrap().unwrap();
    eventually("the server is gone", || manager.ping().is_err());
}

/// Holds the handshake: neither a wrong key nor garbage nor silence gets in, each is told so, and none hinders a client.
#[test]
fn strangers_are_refused_and_hinder_nobody() {
    let manager = builder().authkey("right").handshake_time(Duration::from_secs(4)).start().unwrap();
    let address = manager.address().to_owned();
    let wrong = BaseManager::builder().address(&*address).authkey("wrong").connect();
    assert!(matches!(wrong, Err(Error::Authentication { .. })), "{wrong:?}");
    let path = address.strip_prefix("unix:").unwrap();
    let silent: Vec<_> = (0..100).map(|_| UnixStream::connect(path).unwrap()).collect();
    let threads = common::threads(pid_of(&manager));
    works(&manager);
    assert!(threads <= 4, "{threads} threads for silent strangers");
    for mut stranger in silent {
        let mut said = Vec::new();
        // The greeting, and then the refusal: silence ends.
        stranger.read_to_end(&mut said).unwrap();
        assert!(said.windows(9).any(|part| part == b"#FAILURE#"), "{said:?}");
    }
    let mut garbage = UnixStream::connect(path).unwrap();
    garbage.write_all(&[0, 0, 0, 4, b'w', b'h', b'a', b't']).unwrap();
    let mut said = Vec::new();
    garbage.read_to_end(&mut said).unwrap();
    assert!(said.windows(9).any(|part| part == b"#FAILURE#"), "{said:?}");
    let mut oversize = UnixStream::connect(path).unwrap();
    oversize.write_all(&[0x7f, 0xff, 0xff, 0xff]).unwrap();
    oversize.read_to_end(&mut Vec::new()).unwrap();
    works(&manager);
    manager.shutdown().unwrap();
}

/// Holds the hand-over of the lead: a method that was not declared to block holds up nobody else.
#[test]
fn a_long_call_holds_up_nobody() {
    let manager = builder().start().unwrap();
    let slow = SlowProxy::new(&manager).unwrap();
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let slow = slow.clone();
            std::thread::spawn(move || slow.busy())
        })
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    (0..100).for_each(|_| works(&manager));
    assert!(busy.iter().all(|busy| !busy.is_finished()), "others waited for the long call");
    slow.release().unwrap();
    for busy in busy {
        busy.join().unwrap().unwrap();
    }
    manager.shutdown().unwrap();
}

/// Holds dispatch by completion: waiting callers cost the server no threads; and the server's timeouts, which end only their own call.
#[test]
fn waiting_callers_cost_no_threads_and_may_give_up() {
    let manager = builder().start().unwrap();
    let slow = SlowProxy::new(&manager).unwrap();
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let slow = multiproc::Proxy::with_timeout(&slow, Duration::from_millis(1500));
            std::thread::spawn(move || slow.wait())
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let threads = common::threads(pid_of(&manager));
    assert!(threads <= 6, "{threads} threads for 50 waiting callers");
    assert_eq!(slow.quick().unwrap(), 1);
    for caller in callers {
        assert!(matches!(caller.join().unwrap(), Err(Error::Timeout { .. })));
    }
    assert_eq!(slow.quick().unwrap(), 1);
    manager.shutdown().unwrap();
}

/// Holds the limit on blocked methods: more are refused, and the server goes on.
#[test]
fn too_many_blocked_methods_are_refused() {
    let manager = builder().max_workers(2).start().unwrap();
    let slow = SlowProxy::new(&manager).unwrap();
    let callers: Vec<_> = (0..6)
        .map(|_| {
            let slow = slow.clone();
            std::thread::spawn(move || slow.blocks())
        })
        .collect();
    eventually("all but two are refused", || callers.iter().filter(|caller| caller.is_finished()).count() == 4);
    slow.release().unwrap();
    let results: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    let refused = results.iter().filter(|result| matches!(result, Err(Error::Overloaded { .. }))).count();
    let done = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!((refused, done), (4, 2), "{results:?}");
    slow.blocks().unwrap();
    manager.shutdown().unwrap();
}

/// Holds the child's own error, and that its directory is gone then.
#[test]
fn a_failing_start_says_why() {
    let failed = builder().initializer(|| Err("no licence")).start();
    assert!(failed.unwrap_err().to_string().contains("no licence"));
    let nobody = BaseManager::builder().address("unix:@multiproc-nobody-is-here").connect();
    assert!(matches!(nobody, Err(Error::ServerGone { .. })), "{nobody:?}");
}

/// Holds the signal handling of a forked server: Ctrl-C is not for it, SIGTERM ends it in order.
#[test]
fn sigint_is_ignored_and_sigterm_ends_in_order() {
    common::heed(nix::sys::signal::Signal::SIGINT);
    let manager = builder().start().unwrap();
    let pid = nix::unistd::Pid::from_raw(pid_of(&manager));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    works(&manager);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(manager.join(Some(LIMIT)).unwrap());
    manager.shutdown().unwrap();
    let child = fork(|| 0);
    assert_eq!(wait(child), 0);
}
