//! What is kept, or waits, because a limit is reached: a socket that takes no more, a server without descriptors, an object that is busy.

#![allow(missing_docs)]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use common::{alone, eventually, fork, limit_descriptors, processor_time, wait, within};
use multiproc::{BaseManager, BaseProxy, Builder, Error, Proxy, Responder};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[derive(Default)]
pub struct Leaf;

#[multiproc::referent]
impl Leaf {
    pub fn new() -> Self {
        Self
    }

    pub fn name(&self) -> &str {
        "leaf"
    }
}

/// Busy as long as it is told.
#[derive(Default)]
pub struct Desk {
    kept: Option<BaseProxy>,
    waiting: Vec<Responder<()>>,
}

#[multiproc::referent]
impl Desk {
    pub fn new() -> Self {
        Self::default()
    }

    #[referent(blocking)]
    pub fn work(&mut self, millis: u64) {
        thread::sleep(Duration::from_millis(millis));
    }

    pub fn keep(&mut self, proxy: BaseProxy) -> Result<String, Error> {
        let name = proxy.call_method("name", ());
        self.kept = Some(proxy);
        name
    }

    pub fn wait_here(&mut self, responder: Responder<()>) {
        self.waiting.push(responder);
    }
}

/// So many objects that what a client has to say of them is more than any socket takes at once.
const MANY: usize = 30_000;

fn builder() -> Builder {
    BaseManager::builder().register::<Leaf>().register::<Desk>()
}

fn server(manager: &BaseManager) -> Pid {
    Pid::from_raw(manager.pid().expect("its own server").cast_signed())
}

/// Mechanism: the keeper. A proxy's drop never waits; what the control stream's socket did not take leaves later, also when no call follows.
#[test]
fn what_a_stopped_server_did_not_take_is_said_when_it_goes_on() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    // Another client looks, since a call of this one would send what is kept; it holds nothing itself.
    let address = manager.address().to_owned();
    let (mut near, mut far) = UnixStream::pair().unwrap();
    let looks = fork(|| {
        let other = BaseManager::builder().address(address.as_str()).connect().unwrap();
        other.ping().unwrap();
        far.write_all(b"r").unwrap();
        far.read_exact(&mut [0]).unwrap();
        i32::from(!within(common::LIMIT, || other.number_of_objects().unwrap() == 0))
    });
    near.read_exact(&mut [0]).unwrap();
    let proxies: Vec<_> = (0..MANY).map(|_| LeafProxy::new(&manager).unwrap()).collect();
    kill(server(&manager), Signal::SIGSTOP).unwrap();
    // More than any socket's buffer holds; none of it waits.
    drop(proxies);
    kill(server(&manager), Signal::SIGCONT).unwrap();
    near.write_all(b"g").unwrap();
    assert_eq!(wait(looks), 0, "all objects are gone though their client says nothing more");
    manager.shutdown().unwrap();
}

/// A forked child's first word lists what it holds. Where the socket did not take all of that at once, nobody sent the rest, and the child's first call, which the server
/// lets wait for it, never ended.
#[test]
fn a_child_that_holds_very_much_can_call() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    let proxies: Vec<_> = (0..MANY).map(|_| LeafProxy::new(&manager).unwrap()).collect();
    let calls = fork(|| i32::from(proxies[0].name().unwrap() != "leaf"));
    assert_eq!(wait(calls), 0);
    drop(proxies);
    eventually("all objects are gone", || manager.number_of_objects().unwrap() == 0);
    manager.shutdown().unwrap();
}

/// Mechanism: accepting rests where the process has no descriptors left, instead of failing and trying again without end (in Python: 100% of a processor).
///
/// An accepted connection took two descriptors. Where the last one left went to a connection, the second failed, so that it was closed, and so on with all that waited
/// in the queue: they were told that the server is gone, instead of being served later.
#[test]
fn a_server_without_descriptors_rests_and_then_serves_on() {
    let _alone = alone();
    for limit in [40, 41] {
        let few =
            builder().initializer(move || if limit_descriptors(limit) { Ok(()) } else { Err("no limit to be had") });
        let manager = few.handshake_time(Duration::from_secs(600)).start().unwrap();
        let path = manager.address().strip_prefix("unix:").unwrap().to_owned();
        let mut strangers: Vec<_> = (0..60).filter_map(|_| UnixStream::connect(&path).ok()).collect();
        // Those that were accepted hold all descriptors; the others wait in the socket's queue.
        eventually("the descriptors are used up", || common::descriptors(server(&manager).as_raw()) >= limit as usize);
        let before = processor_time(server(&manager).as_raw());
        thread::sleep(Duration::from_secs(1));
        let used = processor_time(server(&manager).as_raw()) - before;
        assert!(used < Duration::from_millis(300), "{used:?} of 1 s");
        for stranger in &mut strangers {
            stranger.set_nonblocking(true).unwrap();
            // The greeting, or nothing yet.
            let heard = stranger.read(&mut [0; 1]);
            assert!(
                heard.as_ref().map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |&count| count == 1),
                "{heard:?}"
            );
        }
        drop(strangers);
        let leaf = LeafProxy::new(&manager).unwrap();
        assert_eq!(leaf.name().unwrap(), "leaf");
        drop(leaf);
        manager.shutdown().unwrap();
    }
}

/// Mechanism: a call pins the objects among its arguments until it is answered, also while it lies in a busy object's queue and its caller has let go of them.
#[test]
fn an_argument_lives_until_its_call_has_run() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    let desk = DeskProxy::new(&manager).unwrap();
    let busy = desk.defer().work(300);
    let leaf = LeafProxy::new(&manager).unwrap();
    let kept = desk.defer().keep(leaf.base().clone());
    drop(leaf);
    // A call of its own connection, so that the release before it has been taken in.
    manager.ping().unwrap();
    busy.wait().unwrap();
    assert_eq!(kept.wait().unwrap(), "leaf");
    manager.shutdown().unwrap();
}

/// Mechanism: whoever ends a manager tells its proxies why they are of no more use.
#[test]
fn proxies_are_told_that_their_manager_is_gone() {
    let _alone = alone();
    for (ends, told) in [(true, "its manager was shut down"), (false, "its manager was dropped")] {
        let manager = builder().start().unwrap();
        let leaf = LeafProxy::new(&manager).unwrap();
        if ends {
            manager.shutdown().unwrap();
        }
        drop(manager);
        match leaf.name() {
            Err(Error::ServerGone { reason, .. }) => assert_eq!(reason, told),
            other => panic!("{other:?}"),
        }
    }
}
