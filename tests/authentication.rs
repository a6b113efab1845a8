//! Strangers: whoever can't prove that he knows the key learns why, costs the server next to nothing, and disturbs nobody.
//!
//! Spoken by hand over raw sockets, so that what is said on the wire is held here, too.

#![allow(missing_docs)]

mod common;
#[path = "common/counter.rs"]
mod counter;

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use common::raw::{CONTROL, DATA, FAILURE, GREETING, KEY, Raw, WELCOME, hello, proof};
use common::{LIMIT, eventually};
use counter::{Counter, CounterProxy};
use multiproc::{BaseManager, Builder, Error, Proxy};

fn builder() -> Builder {
    BaseManager::builder().register::<Counter>().authkey(KEY)
}

fn server(manager: &BaseManager) -> i32 {
    i32::try_from(manager.pid().unwrap()).unwrap()
}

/// Runs `strangers` against a server, which must work for its client during and after, and get all descriptors back.
#[track_caller]
fn undisturbed(manager: &BaseManager, strangers: impl FnOnce(&CounterProxy)) {
    let counter = CounterProxy::new(manager).unwrap().with_timeout(LIMIT);
    counter.add(1).unwrap();
    let before = common::descriptors(server(manager));
    strangers(&counter);
    assert_eq!(counter.add(1).expect("the server lives on"), 2);
    eventually("connections are given back", || common::descriptors(server(manager)) <= before);
}

/// Holds: the client's proof is checked, and both sides are told the same.
#[test]
fn another_key_is_refused_and_said_to_be_so() {
    let manager = builder().start().unwrap();
    undisturbed(&manager, |_| {
        for key in [&b"another key"[..], b"a key that is know", b"a key that is known!", b"\0"] {
            match BaseManager::builder().address(manager.address()).authkey(key).connect() {
                Err(error @ Error::Authentication { .. }) => {
                    let text = error.to_string();
                    assert!(text.contains("different authkeys") && text.contains(manager.address()), "{text}");
                    assert!(!text.contains("a key"), "no key in a message: {text}");
                }
                other => panic!("{other:?}"),
            }
        }
        let connected = builder().address(manager.address()).connect().expect("the right key");
        connected.ping().unwrap();
    });
    manager.shutdown().unwrap();
}

/// Holds: each kind of nonsense has its own refusal, at once and in the handshake's own words; nothing of it reaches a decoder.
#[test]
fn nonsense_is_refused_by_its_kind() {
    let manager = builder().start().unwrap();
    let short = hello(1, 1, [3; 16], 1);
    let python = [&b"{sha256}"[..], &[0x5a; 32]].concat();
    let full = |hello: &[u8]| [hello, &[0; 32]].concat();
    let framed = |body: &[u8]| [&i32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat();
    let cases: Vec<(&str, Vec<u8>, u8)> = vec![
        ("a web browser", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), 4),
        ("a negative length", (-7_i32).to_be_bytes().to_vec(), 3),
        ("a frame of noise", framed(&[0xa5; 100]), 3),
        ("an empty frame", framed(b""), 3),
        ("a hello without its proof", framed(&short), 3),
        ("a hello with more behind it", framed(&full(&[&short[..], &[0]].concat())), 3),
        ("an unknown role", framed(&full(&hello(1, 7, [3; 16], 1))), 3),
        ("no proof", framed(&full(&short)), 1),
        ("a later version", framed(&full(&hello(2, 1, [3; 16], 1))), 2),
        ("a later version of another form", framed(b"MPRC\x00\x09anything"), 2),
        ("a frame over the limit", 5000_i32.to_be_bytes().to_vec(), 4),
        ("a frame far over the limit", [&[0xff; 4][..], &(1_u64 << 40).to_be_bytes()].concat(), 4),
        ("a Python client", framed(&python), 7),
        ("a Python client that speaks first", framed(b"#CHALLENGE#0123456789012345678901234567890123456789"), 3),
    ];
    undisturbed(&manager, |counter| {
        for (what, said, code) in &cases {
            let mut raw = Raw::to(&manager);
            raw.greeting();
            raw.say(said);
            let (told, text) = raw.refusal();
            assert_eq!((told, text.is_empty()), (*code, false), "{what} was told {text:?}");
            counter.add(0).unwrap();
        }
    });
    manager.shutdown().unwrap();
}

/// Holds: proofs cover the server's random challenge: what was right once is wrong on the next connection.
#[test]
fn a_recorded_proof_fits_no_other_conversation() {
    let manager = builder().start().unwrap();
    undisturbed(&manager, |_| {
        let mut first = Raw::to(&manager);
        let greeting = first.greeting();
        let hello = hello(1, 0, [4; 16], 0);
        let right = [&hello[..], &proof(KEY, &greeting, &hello)].concat();
        first.frame(&right);
        let welcome = first.hear().expect("welcomed");
        assert!(welcome.starts_with(WELCOME), "it was right: {welcome:?}");
        let mut second = Raw::to(&manager);
        assert_ne!(second.greeting(), greeting, "each connection has a challenge of its own");
        second.frame(&right);
        assert_eq!(second.refusal().0, 1);
    });
    manager.shutdown().unwrap();
}

/// Holds: the timer of an arrival, which neither silence nor a trickle of bytes puts off.
#[test]
fn silence_is_ended_in_time() {
    let time = Duration::from_secs(3);
    let manager = builder().handshake_time(time).start().unwrap();
    undisturbed(&manager, |counter| {
        let begin = Instant::now();
        let (mut silent, mut slow) = (Raw::to(&manager), Raw::to(&manager));
        slow.greeting();
        let trickle = [&109_i32.to_be_bytes()[..], &[b'M'; 60]].concat();
        for byte in trickle.chunks(1).take(12) {
            slow.say(byte);
            counter.add(0).unwrap();
            std::thread::sleep(time / 10);
        }
        silent.greeting();
        let (code, text) = silent.refusal();
        assert_eq!((code, &*text), (5, "the hello came too late"));
        assert!(begin.elapsed() >= time, "not before its time");
        // Bytes that came too late may have reset the connection, and the refusal with it.
        while slow.hear().is_some() {}
    });
    manager.shutdown().unwrap();
}

/// Holds: strangers are served by one thread that waits for none of them.
#[test]
fn two_hundred_silent_strangers_hinder_nobody() {
    let manager = builder().start().unwrap();
    undisturbed(&manager, |counter| {
        let threads = || common::threads(server(&manager));
        let before = threads();
        let mut strangers: Vec<_> = (0..200).map(|_| Raw::to(&manager)).collect();
        strangers.iter_mut().for_each(|stranger| drop(stranger.greeting()));
        for _ in 0..200 {
            counter.add(0).expect("served among strangers");
        }
        // A thread more may have helped the leader; none stands by a stranger.
        assert!(threads() <= before + 2, "{} threads, {before} before", threads());
        let connected = builder().address(manager.address()).connect().expect("one who knows the key comes in");
        connected.ping().unwrap();
    });
    manager.shutdown().unwrap();
}

/// Holds: the count of connections, in which strangers count, too, and which is given back.
#[test]
fn connections_beyond_the_limit_are_told_so() {
    let limit = 8;
    let manager = builder().max_connections(limit).start().unwrap();
    undisturbed(&manager, |counter| {
        // The client's own connections take places, too; the last of these finds none in any case.
        let mut crowd: Vec<_> = (0..limit + 2).map(|_| Raw::to(&manager)).collect();
        crowd.iter_mut().for_each(|stranger| drop(stranger.greeting()));
        let (code, text) = crowd.last_mut().unwrap().refusal();
        assert_eq!(code, 6, "{text}");
        let error = builder().address(manager.address()).connect().expect_err("no place");
        let text = error.to_string();
        assert!(text.contains("8 connections") && text.contains("authentication"), "{text}");
        counter.add(0).expect("those who are in stay in");
        drop(crowd);
        eventually("there is room again", || builder().address(manager.address()).connect().is_ok());
    });
    manager.shutdown().unwrap();
}

/// Holds: bad bytes end their own connection only, also those of one who knows the key.
#[test]
fn an_authenticated_client_that_sends_garbage_ends_its_own_connection_only() {
    let manager = builder().start().unwrap();
    undisturbed(&manager, |counter| {
        let mut control = Raw::to(&manager);
        control.prove(CONTROL, [5; 16], 0);
        let garbage: [&[u8]; 6] = [&[], &[0xff; 64], &[1], &[1; 30], &[2, 0, 0], &[7; 3000]];
        for (connection, frame) in (1..).zip(garbage) {
            let mut data = Raw::to(&manager);
            data.prove(DATA, [5; 16], connection);
            data.frame(frame);
            assert_eq!(data.hear(), None, "closed after {frame:?}");
            counter.add(0).expect("others are served");
        }
        let mut negative = Raw::to(&manager);
        negative.prove(DATA, [5; 16], 99);
        negative.say(&(-9_i32).to_be_bytes());
        assert_eq!(negative.hear(), None);
        // The control stream is still there; garbage on it ends this client.
        let mut last = Raw::to(&manager);
        last.prove(DATA, [5; 16], 100);
        control.frame(&[0xee; 40]);
        assert_eq!(control.hear(), None);
        assert_eq!(last.hear(), None, "its other connections end with it");
    });
    manager.shutdown().unwrap();
}

/// A server that says `words`, whatever it hears between them, and then waits for the client to go, or goes itself.
fn pretend(words: Vec<Vec<u8>>, stays: bool) -> (tempfile::TempDir, String, std::thread::JoinHandle<()>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let serving = std::thread::spawn(move || {
        let mut raw = Raw::new(listener.accept().unwrap().0);
        for word in words {
            raw.say(&word);
            // A hello, if the client still wants to.
            let _ = raw.0.read(&mut [0; 512]);
        }
        if stays {
            let _ = raw.0.read(&mut [0; 512]);
        }
    });
    let address = format!("unix:{}", path.display());
    (directory, address, serving)
}

/// Holds: the client believes nothing before the server's proof, and says what it met.
#[test]
fn whoever_only_plays_the_server_is_found_out() {
    let framed = |body: &[u8]| [&i32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat();
    let greeting = framed(&[GREETING, &[8; 40]].concat());
    let welcome = |version: u16| {
        framed(
            &[WELCOME, b"MPRC", &version.to_be_bytes(), &[0; 4], &[6; 16], &(1_u64 << 30).to_be_bytes(), &[0; 32]]
                .concat(),
        )
    };
    let cases: Vec<(&str, Vec<Vec<u8>>, bool, &str)> = vec![
        ("silence", vec![], true, "silent for"),
        ("an end", vec![], false, "closed the connection"),
        ("silence after the greeting", vec![greeting.clone()], true, "silent for"),
        ("a web server", vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()], true, "are allowed"),
        ("a greeting far over the limit", vec![1_000_000_i32.to_be_bytes().to_vec()], true, "1000000 bytes"),
        ("a frame of noise", vec![framed(&[3; 80])], true, "no multiproc server"),
        ("a Python server", vec![greeting.clone(), framed(WELCOME)], true, "no multiproc server"),
        ("a Python server with another key", vec![greeting.clone(), framed(FAILURE)], true, "no multiproc server"),
        ("another version", vec![greeting.clone(), welcome(3)], true, "version 1 of the protocol and the other 3"),
        ("a welcome without proof", vec![greeting, welcome(1)], true, "could not prove"),
    ];
    for (what, words, stays, says) in cases {
        let (_directory, address, serving) = pretend(words, stays);
        // What is said must be heard however busy the machine is.
        let time = if says == "silent for" { Duration::from_millis(400) } else { LIMIT };
        let result = builder().address(&*address).handshake_time(time).connect();
        match result {
            Err(error @ Error::Authentication { .. }) => {
                let text = error.to_string();
                assert!(text.contains(says) && text.contains(&address), "{what}: {text}");
            }
            other => panic!("{what}: {other:?}"),
        }
        serving.join().unwrap();
    }
}
