//! What is particular to listeners and to connecting.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, getsockname};

use super::*;
use crate::error::Error;
use crate::sys::fork::{ExitStatus, spawn};

fn at(path: &Path) -> Address {
    Address::Unix(path.to_owned())
}

/// Leaves the socket file of a server that was killed. Bound in a child, so that no fork of another test has a copy of
/// the socket and lets it live on.
fn leave_dead(path: &Path) {
    let server = spawn(|| i32::from(UnixListener::bind(path).is_err()));
    assert_eq!(server.unwrap().wait(None).unwrap(), Some(ExitStatus::Exited(0)));
    assert!(path.exists());
}

#[test]
fn a_dead_servers_file_is_replaced_and_a_living_ones_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    leave_dead(&path);
    let living = Listener::bind(&at(&path)).unwrap();
    let error = Listener::bind(&at(&path)).unwrap_err();
    assert!(matches!(error, TransportError::InUse { .. }), "{error}");
    let _near = connect(&at(&path), soon()).unwrap();
    drop(living);
    assert!(!path.exists());
    drop(Listener::bind(&at(&path)).unwrap());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_server_with_a_full_queue_is_alive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let living = UnixListener::bind(&path).unwrap();
    socket::listen(&living, socket::Backlog::new(0).unwrap()).unwrap();
    let _first = connect(&at(&path), soon()).unwrap();
    let error = connect(&at(&path), Instant::now() + Duration::from_millis(30)).unwrap_err();
    assert!(matches!(error, TransportError::TimedOut { .. }), "{error}");
    let error = Listener::bind(&at(&path)).unwrap_err();
    assert!(matches!(error, TransportError::InUse { .. }), "{error}");
    // Once there is room again, one who waits gets in.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| connect(&at(&path), soon()).map(|_| ()));
        living.accept().unwrap();
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn other_files_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "precious").unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(directory.path().join("nowhere"), &link).unwrap();
    for path in [&file, &link, &directory.path().join(".")] {
        let error = Listener::bind(&at(path)).unwrap_err();
        assert!(matches!(error, TransportError::NotASocket { .. }), "{path:?}: {error}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert!(link.is_symlink());
}

#[test]
fn only_the_maker_removes_the_file_and_only_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = Listener::bind(&at(&path)).unwrap();
    // Dropped in the child only: the closure has no more than a loan of it.
    let mut lent = Some(listener);
    let child = spawn(|| {
        drop(lent.take());
        0
    });
    assert_eq!(child.unwrap().wait(None).unwrap(), Some(ExitStatus::Exited(0)));
    assert!(path.exists() && lent.is_some());
    // Somebody has put another file in its place: not ours to remove.
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(lent);
    assert!(path.exists());
    drop(other);
}

#[test]
fn servers_that_race_for_a_dead_ones_file_end_with_one_that_is_reachable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    for _ in 0..50 {
        leave_dead(&path);
        let bound: Vec<_> = std::thread::scope(|scope| {
            let racing: Vec<_> = (0..4).map(|_| scope.spawn(|| Listener::bind(&at(&path)))).collect();
            racing.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = bound.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        assert!(lost.iter().all(|lost| matches!(lost, Err(TransportError::InUse { .. }))));
        let winner = won.into_iter().next().unwrap().unwrap();
        // Those that lost have knocked at the winner's door and gone away.
        let mut near = connect(&at(&path), soon()).unwrap();
        let _ = near.sender.send(&[b"hello"]).unwrap();
        let reached = std::iter::repeat_with(|| accept(&winner)).any(|mut far| next(&mut far.receiver).is_ok());
        assert!(reached);
    }
}

#[test]
fn abstract_names_and_ports_are_had_once() {
    let name = abstract_address();
    let port = Listener::bind(&("127.0.0.1", 0).try_into().unwrap()).unwrap();
    let held = Listener::bind(&name).unwrap();
    assert_eq!(held.address(), &name);
    for address in [&name, port.address()] {
        let error = Listener::bind(address).unwrap_err();
        assert!(matches!(error, TransportError::InUse { .. }), "{error}");
    }
    drop(held);
    // A child that another test has just forked may keep a copy of the socket for its short life.
    let deadline = soon();
    while Listener::bind(&name).is_err() {
        assert!(Instant::now() < deadline, "{name} stays in use");
    }
}

#[test]
fn port_0_becomes_a_real_one_and_names_are_looked_up() {
    let listener = Listener::bind(&("localhost", 0).try_into().unwrap()).unwrap();
    let Address::Tcp { host, port } = listener.address() else { panic!("{}", listener.address()) };
    assert!(*port > 0 && host.parse::<std::net::IpAddr>().is_ok());
    let near = connect(&("localhost", *port).try_into().unwrap(), soon()).unwrap();
    let far = accept(&listener);
    assert!(near.peer().to_string().ends_with(&port.to_string()));
    assert!(far.peer().pidfd().is_none() && !far.peer().is_local());
    for side in [near.fd(), far.fd()] {
        let no_delay = socket::getsockopt(&side, socket::sockopt::TcpNoDelay).unwrap();
        assert!(no_delay);
    }
}

#[test]
fn who_listens_nowhere_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let dead = directory.path().join("dead");
    leave_dead(&dead);
    // Bound and not listening, so that nobody else can be there.
    let bound = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    socket::bind(bound.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let port = SocketAddr::from(([127, 0, 0, 1], getsockname::<SockaddrIn>(bound.as_raw_fd()).unwrap().port()));
    let nowhere = [at(&directory.path().join("none")), at(&dead), abstract_address(), port.into()];
    for address in nowhere {
        let error = connect(&address, soon()).unwrap_err();
        assert_eq!(error.to_string(), format!("nobody listens at {address}"));
        assert!(matches!(error.at(&address), Error::ServerGone { .. }));
    }
    let error = connect(&("nowhere.invalid", 1).try_into().unwrap(), soon()).unwrap_err();
    assert!(error.to_string().contains("looking up"), "{error}");
    let relative = connect(&Address::Unix("relative".into()), soon()).unwrap_err();
    assert!(matches!(relative, TransportError::Address(_)), "{relative}");
}

#[test]
fn a_listener_without_callers_does_not_wait() {
    let listener = Listener::bind(&abstract_address()).unwrap();
    assert!(listener.accept().unwrap().is_none());
}

#[test]
fn the_peer_is_known_by_its_process() {
    let (near, far) = over_abstract();
    let peer = far.peer();
    assert_eq!(peer.pidfd().unwrap().pid(), std::process::id());
    assert!(peer.to_string().starts_with(&format!("process {} of user", std::process::id())));
    drop((near, far));
    assert!(peer.pidfd().is_none());
}

#[test]
fn what_is_no_connected_stream_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let listening = UnixListener::bind(directory.path().join("socket")).unwrap();
    assert!(Connection::new(listening).is_err());
    assert!(Connection::new(std::io::pipe().unwrap().0).is_err());
}
