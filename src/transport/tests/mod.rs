//! The transports' tests: one suite of the contract, run on every backend, and what is particular to listeners.

mod conformance;
mod listener;

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, send};

use super::*;
use crate::sys::poll::{self, Interest};

/// Long enough for whatever does not hang.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Waits for the next frame.
fn next(receiver: &mut Receiver) -> Result<Vec<u8>, TransportError> {
    loop {
        if let Some(frame) = receiver.next()? {
            return Ok(frame);
        }
        if !receiver.settle() {
            continue;
        }
        let ready = poll::wait_one(receiver.fd(), Interest::Read, Some(Duration::from_secs(60))).unwrap();
        assert!(ready.any(), "nothing arrives");
    }
}

/// Waits for a connection.
fn accept(listener: &Listener) -> Connection {
    loop {
        if let Some(connection) = listener.accept().unwrap() {
            return connection;
        }
        let ready = poll::wait_one(listener.fd(), Interest::Read, Some(Duration::from_secs(60))).unwrap();
        assert!(ready.any(), "nobody connects");
    }
}

/// Both ends of a connection to `address`.
fn through(address: &Address) -> (Connection, Connection) {
    let listener = Listener::bind(address).unwrap();
    let near = connect(listener.address(), soon()).unwrap();
    (near, accept(&listener))
}

/// An abstract name that no other test has.
fn abstract_address() -> Address {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    Address::Abstract(format!("multiproc-test-{}-{number}", std::process::id()).into())
}

fn over_unix() -> (Connection, Connection) {
    let directory = tempfile::tempdir().unwrap();
    through(&Address::Unix(directory.path().join("socket")))
}

fn over_abstract() -> (Connection, Connection) {
    through(&abstract_address())
}

fn over_pair() -> (Connection, Connection) {
    let (near, far) = UnixStream::pair().unwrap();
    (Connection::new(near).unwrap(), Connection::new(far).unwrap())
}

/// A pair that has left its socket, in both directions.
fn over_ring() -> (Connection, Connection) {
    let (mut near, mut far) = over_pair();
    let (server, fd) = Ring::create().unwrap();
    let client = Ring::adopt(fd).unwrap();
    near.sender.upgrade(server.outgoing);
    near.receiver.upgrade(server.incoming);
    far.sender.upgrade(client.outgoing);
    far.receiver.upgrade(client.incoming);
    (near, far)
}

/// The same, seen from the other side.
fn over_ring_back() -> (Connection, Connection) {
    let (near, far) = over_ring();
    (far, near)
}

fn over_tcp() -> (Connection, Connection) {
    through(&("127.0.0.1", 0).try_into().unwrap())
}

fn over_tcp6() -> (Connection, Connection) {
    let address = ("::1", 0).try_into().unwrap();
    // A machine without IPv6 has nothing to conform to.
    if Listener::bind(&address).is_ok() { through(&address) } else { over_tcp() }
}

/// Writes raw bytes, past the framing.
fn write_raw(connection: &Connection, bytes: &[u8]) {
    use std::os::fd::AsRawFd;
    let mut rest = bytes;
    while !rest.is_empty() {
        rest = &rest[send(connection.fd().as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL).unwrap()..];
    }
}
