//! Pipes, listeners and waiting: what arrives, what is kept, who is let in.

mod common;
#[path = "common/counter.rs"]
mod counter;

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use common::{LIMIT, descriptors, eventually};
use counter::{Counter, CounterProxy};
use multiproc::{Authkey, BaseManager, Connection, Error, Listener, Process, pipe, process};

fn me() -> i32 {
    std::process::id().cast_signed()
}

#[test]
fn values_and_bytes_go_both_ways() {
    let (near, far) = pipe().unwrap();
    near.send(&vec![Some(1), None]).unwrap();
    near.send_bytes(b"").unwrap();
    far.send("text").unwrap();
    assert_eq!(far.recv::<Vec<Option<u64>>>().unwrap(), [Some(1), None]);
    assert_eq!(far.recv_bytes().unwrap(), b"");
    assert_eq!(near.recv::<String>().unwrap(), "text");
}

#[test]
fn a_message_of_another_type_is_an_error_and_the_next_one_comes() {
    let (near, far) = pipe().unwrap();
    near.send("no number").unwrap();
    near.send(&7).unwrap();
    let error = far.recv::<u32>().unwrap_err();
    assert!(matches!(error, Error::Unserializable { .. }), "{error}");
    assert_eq!(far.recv::<u32>().unwrap(), 7);
}

#[test]
fn what_does_not_fit_is_kept() {
    let (near, far) = pipe().unwrap();
    near.send_bytes(&[7; 1000]).unwrap();
    let mut room = [0; 100];
    for _ in 0..2 {
        assert!(matches!(far.recv_bytes_max(999), Err(Error::NoRoom { size: 1000, limit: 999 })));
        assert!(matches!(far.recv_bytes_into(&mut room), Err(Error::NoRoom { size: 1000, limit: 100 })));
        assert!(far.poll(Some(Duration::ZERO)).unwrap());
    }
    let mut room = [0; 2000];
    assert_eq!(far.recv_bytes_into(&mut room).unwrap(), 1000);
    assert_eq!((room[999], room[1000]), (7, 0));
}

#[test]
fn large_messages_go_through_in_both_directions_at_once() {
    let (near, far) = pipe().unwrap();
    let child = Process::spawn(move || {
        let bytes = far.recv_bytes().unwrap();
        far.send_bytes(&bytes).unwrap();
        bytes.len()
    });
    let child = child.unwrap();
    let bytes: Vec<u8> = (0..8 << 20).map(|number: u32| number as u8).collect();
    near.send_bytes(&bytes).unwrap();
    assert!(near.recv_bytes().unwrap() == bytes);
    assert_eq!(child.join().unwrap(), bytes.len());
}

#[test]
fn the_end_is_told_after_what_was_sent() {
    let (near, far) = pipe().unwrap();
    near.send(&1).unwrap();
    near.close();
    assert!(far.poll(None).unwrap());
    assert_eq!(far.recv::<u32>().unwrap(), 1);
    assert!(far.poll(None).unwrap(), "the end is something to receive");
    assert!(matches!(far.recv::<u32>(), Err(Error::Closed { .. })));
    assert!(matches!(far.send(&1), Err(Error::Closed { .. })));
}

/// Holds the burial of the twin: without it the child itself would keep its parent's end open.
#[test]
fn a_child_sees_its_parents_end() {
    let (near, far) = pipe().unwrap();
    let child = Process::spawn(move || far.recv::<()>().unwrap_err().to_string()).unwrap();
    near.close();
    assert!(child.join_timeout(LIMIT).unwrap().expect("it has seen the end").contains("closed"));
}

#[test]
fn a_child_uses_one_end_only() {
    let (near, far) = pipe().unwrap();
    let child = Process::spawn(|| {
        far.send("mine").unwrap();
        near.recv::<String>().unwrap_err().to_string()
    });
    assert!(child.unwrap().join().unwrap().contains("given up in this process"));
    assert_eq!(near.recv::<String>().unwrap(), "mine");
    far.send("and still the parent's").unwrap();
    assert_eq!(near.recv::<String>().unwrap(), "and still the parent's");
}

#[test]
fn a_parent_sees_its_childs_death() {
    let (near, far) = pipe().unwrap();
    let child = Process::<()>::spawn(move || {
        far.send_bytes(b"last").unwrap();
        std::process::abort()
    });
    let _child = child.unwrap();
    assert_eq!(near.recv_bytes().unwrap(), b"last");
    assert!(matches!(near.recv_bytes(), Err(Error::Closed { .. })));
}

#[test]
fn proxies_travel_with_tickets() {
    let manager = BaseManager::builder().register::<Counter>().start().unwrap();
    let (near, far) = pipe().unwrap();
    let child = Process::spawn(move || far.recv::<CounterProxy>().unwrap().add(5).unwrap()).unwrap();
    let counter = CounterProxy::new(&manager).unwrap();
    near.send(&counter).unwrap();
    drop(counter);
    assert_eq!(child.join().unwrap(), 5);
    eventually("nothing keeps it any more", || manager.number_of_objects().unwrap() == 0);
    manager.shutdown().unwrap();
}

#[test]
fn waiting_tells_which_of_many_is_ready() {
    let (near, far) = pipe().unwrap();
    let (quiet, _other) = pipe().unwrap();
    let (go, going) = pipe().unwrap();
    let child = Process::spawn(move || going.recv::<()>().is_ok()).unwrap();
    assert!(process::wait(&[&near, &quiet, &child], Some(Duration::from_millis(20))).unwrap().is_empty());
    far.send_bytes(b"1").unwrap();
    far.send_bytes(b"2").unwrap();
    assert_eq!(process::wait(&[&near, &quiet, &child], None).unwrap(), [0]);
    near.recv_bytes().unwrap();
    // The second message has been read ahead: the socket has nothing, the connection has.
    assert_eq!(process::wait(&[&near, &quiet, &child], None).unwrap(), [0]);
    near.recv_bytes().unwrap();
    go.send(&()).unwrap();
    assert_eq!(process::wait(&[&near, &quiet, &child], None).unwrap(), [2]);
    child.join().unwrap();
}

#[test]
fn listeners_take_those_who_know_the_key() {
    let key = Authkey::random();
    for address in ["tcp:localhost:0", "unix:@multiproc-test-listener"] {
        let listener = Listener::bind_with(address, key.clone()).unwrap();
        let place = listener.address().clone();
        let caller = {
            let (place, key) = (place.clone(), key.clone());
            thread::spawn(move || {
                let connection = Connection::connect_with(&place, &key).unwrap();
                connection.send("hello").unwrap();
                connection.recv::<u32>().unwrap()
            })
        };
        let accepted = listener.accept().unwrap();
        assert_eq!(accepted.recv::<String>().unwrap(), "hello");
        accepted.send(&7).unwrap();
        assert_eq!(caller.join().unwrap(), 7);

        let stranger = {
            let place = place.clone();
            thread::spawn(move || Connection::connect_with(&place, &Authkey::random()).unwrap_err())
        };
        assert!(matches!(listener.accept(), Err(Error::Authentication { .. })));
        assert!(matches!(stranger.join().unwrap(), Error::Authentication { .. }));
    }
}

/// Holds the handshakes side by side: one at a time, a silent caller would shut everybody else out for 10 s.
#[test]
fn a_silent_caller_keeps_nobody_waiting() {
    let key = Authkey::random();
    let listener = Listener::bind_with("tcp:localhost:0", key.clone()).unwrap();
    let multiproc::Address::Tcp { port, .. } = *listener.address() else { unreachable!() };
    let _silent: Vec<_> = (0..5).map(|_| TcpStream::connect(("localhost", port)).unwrap()).collect();
    let place = listener.address().clone();
    let caller = thread::spawn(move || Connection::connect_with(&place, &key).unwrap().recv::<u32>().unwrap());
    let accepted = listener.accept_timeout(Some(LIMIT)).unwrap().expect("the honest one");
    accepted.send(&1).unwrap();
    assert_eq!(caller.join().unwrap(), 1);
    assert!(listener.accept_timeout(Some(Duration::from_millis(20))).unwrap().is_none());
}

#[test]
fn without_a_key_whoever_comes_is_taken_and_garbage_ends_one_connection() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = Listener::bind(path.as_path()).unwrap();
    let mut rude = UnixStream::connect(&path).unwrap();
    rude.write_all(&[0x80; 64]).unwrap();
    let from_rude = listener.accept().unwrap();
    assert!(matches!(from_rude.recv_bytes(), Err(Error::Protocol { .. })));
    let polite = Connection::connect(path.as_path()).unwrap();
    polite.send("please").unwrap();
    assert_eq!(listener.accept().unwrap().recv::<String>().unwrap(), "please");
    drop(listener);
    assert!(!path.exists());
    assert!(Connection::connect(path.as_path()).is_err());
}

#[test]
fn nothing_is_left_open() {
    let child = common::fork(|| {
        let before = descriptors(me());
        for _ in 0..50 {
            let (near, far) = pipe().unwrap();
            let child = Process::spawn(move || far.recv::<u32>().unwrap()).unwrap();
            near.send(&7).unwrap();
            assert_eq!(child.join().unwrap(), 7);
        }
        i32::from(descriptors(me()) > before + 1)
    });
    assert_eq!(common::wait(child), 0);
}
