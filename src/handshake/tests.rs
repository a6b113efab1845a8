use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::challenge::{Side, Transcript};
use super::client::ClientHandshake;
use super::message::VERSION;
use super::*;
use crate::authkey::Authkey;
use crate::error::Error;
use crate::protocol::ids::{ClientId, ConnectionId, ServerId};
use crate::sys::poll::{self, Interest};

const WELCOME: Welcome = Welcome { server: ServerId([7; 16]), max_frame: 1 << 20 };
const HELLO: Hello = Hello { client: ClientId([9; 16]), role: Role::Data, connection: ConnectionId(5) };

fn key() -> Authkey {
    Authkey::new("the key").unwrap()
}

fn other_key() -> Authkey {
    Authkey::new("another").unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// A connection, and the bare stream at its other end that a test writes to by hand.
fn scripted() -> (Connection, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    far.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    (Connection::new(near).unwrap(), far)
}

fn write_frame(stream: &mut UnixStream, body: &[u8]) {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    // The other side may have closed already, having heard enough.
    let _ = stream.write_all(&[&length, body].concat());
}

fn read_frame(stream: &mut UnixStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).unwrap();
    body
}

/// Waits for a pending connection to become something.
fn complete(mut pending: Pending) -> Result<Authenticated, HandshakeError> {
    loop {
        if let Some(authenticated) = pending.advance()? {
            return Ok(authenticated);
        }
        let ready = poll::wait_one(pending.fd().unwrap(), Interest::Read, Some(Duration::from_secs(60))).unwrap();
        assert!(ready.any(), "the client says nothing");
    }
}

/// Both sides, each with its key.
fn meet(
    server: &Authkey,
    client: &Authkey,
) -> (Result<Authenticated, HandshakeError>, Result<Authenticated, HandshakeError>) {
    let (near, far) = UnixStream::pair().unwrap();
    let pending = Pending::new(Connection::new(near).unwrap(), server, WELCOME).unwrap();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| complete(pending));
        let client = authenticate(Connection::new(far).unwrap(), client, &HELLO, soon(), None);
        (server.join().unwrap(), client)
    })
}

/// What a server makes of one answer to its greeting, and what it says to it.
fn answered(answer: impl FnOnce(&[u8]) -> Vec<u8>) -> (Result<Authenticated, HandshakeError>, Vec<u8>) {
    let (near, mut far) = scripted();
    let pending = Pending::new(near, &key(), WELCOME).unwrap();
    let greeting = read_frame(&mut far);
    write_frame(&mut far, &answer(&greeting));
    let result = complete(pending);
    (result, read_frame(&mut far))
}

/// A good answer to a greeting.
fn good_hello(greeting: &[u8]) -> Vec<u8> {
    ClientHandshake::begin(&key(), &HELLO, greeting).unwrap().1
}

/// What a client makes of a server that greets and then says what it is told to.
fn greeted(greeting: &[u8], answer: impl FnOnce(&[u8]) -> Vec<u8> + Send) -> Result<Authenticated, HandshakeError> {
    let (near, mut far) = scripted();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            write_frame(&mut far, greeting);
            let hello = read_frame(&mut far);
            write_frame(&mut far, &answer(&hello));
        });
        authenticate(near, &key(), &HELLO, soon(), None)
    })
}

#[test]
fn two_sides_with_one_key_know_each_other() {
    let (server, client) = meet(&key(), &key());
    let ((mut near, hello, _), (mut far, _, welcome)) = (server.unwrap().into_parts(), client.unwrap().into_parts());
    assert_eq!((hello, welcome), (HELLO, WELCOME));
    // The connection works, for frames of the size that was agreed on.
    let _ = near.sender.send(&[&[1; 100_000]]).unwrap();
    assert_eq!(far.receiver.next().unwrap().unwrap(), [1; 100_000]);
    let _ = far.sender.send(&[&vec![1; (1 << 20) + 1]]).unwrap();
    let error = near.receiver.next().unwrap_err();
    assert!(matches!(error, crate::transport::TransportError::TooLarge { limit: 0x10_0000, .. }), "{error}");
}

#[test]
fn the_hello_says_who_comes_and_what_for() {
    for (role, number) in [(Role::Control, 0), (Role::Data, u64::MAX)] {
        let hello = Hello { client: ClientId::random(), role, connection: ConnectionId(number) };
        let (server, greeting) = ServerHandshake::begin(&key(), WELCOME);
        let (client, said) = ClientHandshake::begin(&key(), &hello, &greeting).unwrap();
        assert_eq!(said.len(), 99);
        let (welcome, heard) = server.answer(&said).unwrap();
        assert_eq!(welcome.len(), 75);
        assert_eq!(heard, hello);
        assert_eq!(client.finish(&welcome).unwrap(), WELCOME);
    }
}

#[test]
fn different_keys_are_told_to_both_sides() {
    let (server, client) = meet(&key(), &other_key());
    assert!(matches!(server, Err(HandshakeError::WrongKey)));
    let error = client.unwrap_err();
    assert!(matches!(error, HandshakeError::WrongKey));
    let error = error.with("tcp:localhost:1");
    assert!(matches!(&error, Error::Authentication { cause, .. } if cause.get().is::<HandshakeError>()));
    assert!(
        error.to_string().contains("tcp:localhost:1") && error.to_string().contains("different authkeys"),
        "{error}"
    );
}

#[test]
fn another_version_is_told_with_both_numbers() {
    // The version is looked at first: of what follows nothing need be as it is now.
    let (server, reply) = answered(|_| b"MPRC\x01\x02something new".to_vec());
    let error = server.unwrap_err();
    assert!(matches!(error, HandshakeError::Version { ours: VERSION, theirs: 0x0102 }), "{error}");
    assert!(error.to_string().contains(" 1 ") && error.to_string().contains("258"), "{error}");
    let (_, greeting) = ServerHandshake::begin(&key(), WELCOME);
    let told = greeted(&greeting, |_| reply).unwrap_err();
    assert!(matches!(told, HandshakeError::Version { theirs: VERSION, .. }), "{told}");
    let newer = greeted(&greeting, |_| b"#WELCOME#MPRC\x00\x07something new".to_vec()).unwrap_err();
    assert!(matches!(newer, HandshakeError::Version { ours: VERSION, theirs: 7 }), "{newer}");
}

#[test]
fn a_client_may_go_at_every_byte() {
    let (_, greeting) = ServerHandshake::begin(&key(), WELCOME);
    let length = 4 + good_hello(&greeting).len();
    for cut in 0..length {
        let (near, mut far) = scripted();
        let pending = Pending::new(near, &key(), WELCOME).unwrap();
        let hello = good_hello(&read_frame(&mut far));
        let framed = [&u32::try_from(hello.len()).unwrap().to_be_bytes()[..], &hello].concat();
        far.write_all(&framed[..cut]).unwrap();
        drop(far);
        assert!(matches!(complete(pending), Err(HandshakeError::Closed)), "after {cut} bytes");
    }
}

#[test]
fn a_server_may_go_at_every_byte() {
    let (server, greeting) = ServerHandshake::begin(&key(), WELCOME);
    let (_, hello) = ClientHandshake::begin(&key(), &HELLO, &greeting).unwrap();
    let (welcome, _) = server.answer(&hello).unwrap();
    let mut framed = Vec::new();
    for frame in [&greeting, &welcome] {
        framed.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
        framed.extend(frame);
    }
    for cut in 0..framed.len() {
        let (near, mut far) = scripted();
        far.write_all(&framed[..cut]).unwrap();
        drop(far);
        let error = authenticate(near, &key(), &HELLO, soon(), None).unwrap_err();
        assert!(matches!(error, HandshakeError::Closed), "after {cut} bytes: {error}");
    }
}

#[test]
fn every_changed_byte_is_noticed_by_the_server() {
    for place in 0..99 {
        let (server, _) = answered(|greeting| {
            let mut hello = good_hello(greeting);
            hello[place] ^= 0x10;
            hello
        });
        let expected = matches!(
            (place, server.unwrap_err()),
            (0..4 | 10, HandshakeError::NotAClient)
                | (4..6, HandshakeError::Version { .. })
                | (6.., HandshakeError::WrongKey)
        );
        assert!(expected, "byte {place}");
    }
    for length in (0..99).filter(|length| *length != 16) {
        let (server, reply) = answered(|greeting| good_hello(greeting)[..length].to_vec());
        assert!(matches!(server, Err(HandshakeError::NotAClient)), "{length} bytes");
        assert!(reply.starts_with(b"#FAILURE#"));
    }
    let (server, _) = answered(|greeting| [&good_hello(greeting)[..], &[0]].concat());
    assert!(matches!(server, Err(HandshakeError::NotAClient)));
}

#[test]
fn every_changed_byte_is_noticed_by_the_client() {
    for place in 0..75 {
        let (server, greeting) = ServerHandshake::begin(&key(), WELCOME);
        let error = greeted(&greeting, |hello| {
            let (mut welcome, _) = server.answer(hello).unwrap();
            welcome[place] ^= 0x10;
            welcome
        })
        .unwrap_err();
        let expected = matches!(
            (place, &error),
            (0..13, HandshakeError::NotAServer)
                | (13..15, HandshakeError::Version { .. })
                | (15.., HandshakeError::ServerUnproven)
        );
        assert!(expected, "byte {place}: {error}");
    }
}

#[test]
fn a_server_without_the_key_is_found_out() {
    let (_, greeting) = ServerHandshake::begin(&key(), WELCOME);
    // It accepts whatever the client says and proves itself by its own key.
    let impostor = |hello: &[u8]| {
        let mut transcript = Transcript::new(&greeting);
        transcript.add(hello);
        let mut welcome = WELCOME.write();
        welcome.extend(transcript.prove(&other_key(), Side::Server, &WELCOME.write()));
        welcome
    };
    assert!(matches!(greeted(&greeting, impostor), Err(HandshakeError::ServerUnproven)));
    // It hands the client's own proof back.
    let echo = |hello: &[u8]| [&WELCOME.write()[..], &hello[hello.len() - 32..]].concat();
    assert!(matches!(greeted(&greeting, echo), Err(HandshakeError::ServerUnproven)));
    // It has the client prove the very welcome that it needs: the client's proofs are of another role.
    let oracle = |hello: &[u8]| {
        let mut transcript = Transcript::new(&greeting);
        transcript.add(hello);
        let mut welcome = WELCOME.write();
        welcome.extend(transcript.prove(&key(), Side::Client, &WELCOME.write()));
        welcome
    };
    assert!(matches!(greeted(&greeting, oracle), Err(HandshakeError::ServerUnproven)));
    // It says back what it hears.
    assert!(matches!(greeted(&greeting, <[u8]>::to_vec), Err(HandshakeError::NotAServer)));
}

#[test]
fn a_client_without_the_key_is_found_out() {
    // It hands the challenge back.
    let (server, _) = answered(<[u8]>::to_vec);
    assert!(matches!(server, Err(HandshakeError::NotAClient)));
    // It says again what another client said.
    let mut recorded = Vec::new();
    let (first, _) = answered(|greeting| {
        recorded = good_hello(greeting);
        recorded.clone()
    });
    assert_eq!(first.unwrap().into_parts().1, HELLO);
    let (again, _) = answered(|_| recorded);
    assert!(matches!(again, Err(HandshakeError::WrongKey)));
    // It shows a server's proof as its own.
    let (server, _) = answered(|greeting| {
        let said = HELLO.write();
        let proof = Transcript::new(greeting).prove(&key(), Side::Server, &said);
        [&said[..], &proof].concat()
    });
    assert!(matches!(server, Err(HandshakeError::WrongKey)));
}

#[test]
fn strangers_are_told_from_peers() {
    for garbage in [&b""[..], b"x", b"GET / HTTP/1.1\r\n\r\n", &[0; 1024], b"MPRC", b"MPRC\x00"] {
        let (server, reply) = answered(|_| garbage.to_vec());
        assert!(matches!(server, Err(HandshakeError::NotAClient)), "{garbage:?}");
        let told = Refusal::read(&reply).unwrap();
        assert!(
            matches!(&told, HandshakeError::Refused { reason } if reason.contains("no multiproc client")),
            "{told}"
        );
    }
    // Bytes without frames: a length that is none.
    let (near, mut far) = scripted();
    let pending = Pending::new(near, &key(), WELCOME).unwrap();
    far.write_all(b"\xf0hello").unwrap();
    assert!(matches!(complete(pending), Err(HandshakeError::NotAClient)));
    read_frame(&mut far);
    assert!(Refusal::read(&read_frame(&mut far)).is_some());

    let python = [&b"#CHALLENGE#12345678901234567890"[..], b"", b"SSH-2.0-server", b"#FAILURE#"];
    for greeting in python {
        let error = greeted_once(greeting);
        assert!(matches!(error, HandshakeError::NotAServer), "{greeting:?}: {error}");
    }
    let (near, mut far) = scripted();
    far.write_all(b"\xf0hello").unwrap();
    let error = authenticate(near, &key(), &HELLO, soon(), None).unwrap_err();
    assert!(matches!(error, HandshakeError::NotAServer), "{error}");
    // A CPython server that greets as this crate's does, and does not take the answer.
    let (_, greeting) = ServerHandshake::begin(&key(), WELCOME);
    for answer in [&b"#FAILURE#"[..], b"#WELCOME#"] {
        let error = greeted(&greeting, |_| answer.to_vec()).unwrap_err();
        assert!(matches!(error, HandshakeError::NotAServer), "{error}");
    }
}

/// What a client makes of one frame.
fn greeted_once(greeting: &[u8]) -> HandshakeError {
    let (near, mut far) = scripted();
    write_frame(&mut far, greeting);
    authenticate(near, &key(), &HELLO, soon(), None).unwrap_err()
}

#[test]
fn pythons_answers_are_known_and_refused_in_its_words() {
    for answer in [&[7; 16][..], b"{md5}0123456789abcdef", b"{sha256}0123456789abcdef0123456789abcdef"] {
        let (server, reply) = answered(|_| answer.to_vec());
        assert!(matches!(server, Err(HandshakeError::PythonPeer)));
        // CPython takes whatever is not its welcome for a rejection.
        assert!(reply.starts_with(b"#FAILURE#"));
        let told = Refusal::read(&reply).unwrap().to_string();
        assert!(told.contains("Python peers are not allowed here"), "{told}");
    }
}

#[test]
fn too_much_before_the_proof_is_refused_unread() {
    let (near, mut far) = scripted();
    let pending = Pending::new(near, &key(), WELCOME).unwrap();
    read_frame(&mut far);
    far.write_all(&[&1025_u32.to_be_bytes()[..], &[0; 1025]].concat()).unwrap();
    let error = complete(pending).unwrap_err();
    assert!(matches!(error, HandshakeError::TooLarge { size: 1025, limit: 1024 }), "{error}");
    let told = Refusal::read(&read_frame(&mut far)).unwrap().to_string();
    assert!(told.contains("too large"), "{told}");

    let (near, mut far) = scripted();
    far.write_all(&[&[0xff; 4][..], &(1_u64 << 40).to_be_bytes()].concat()).unwrap();
    let error = authenticate(near, &key(), &HELLO, soon(), None).unwrap_err();
    assert!(matches!(error, HandshakeError::TooLarge { limit: 1024, .. }), "{error}");
}

#[test]
fn a_stranger_makes_the_server_hold_next_to_nothing() {
    let (near, mut far) = scripted();
    let mut pending = Pending::new(near, &key(), WELCOME).unwrap();
    // All but the last byte of the largest hello, and behind it as much as the socket takes.
    far.set_nonblocking(true).unwrap();
    far.write_all(&[&1024_u32.to_be_bytes()[..], &[0; 1023]].concat()).unwrap();
    assert!(pending.advance().unwrap().is_none());
    assert!(pending.memory() <= 2048, "{}", pending.memory());
}

#[test]
fn silence_ends_at_the_deadline() {
    let (near, far) = scripted();
    let (_, greeting) = ServerHandshake::begin(&key(), WELCOME);
    let begin = Instant::now();
    let short = || Instant::now() + Duration::from_millis(20);
    let error = authenticate(near, &key(), &HELLO, short(), None).unwrap_err();
    assert!(matches!(error, HandshakeError::TimedOut { .. }), "{error}");
    assert!(begin.elapsed() >= Duration::from_millis(20), "not before its time");
    drop(far);
    let (near, mut far) = scripted();
    write_frame(&mut far, &greeting);
    let error = authenticate(near, &key(), &HELLO, short(), None).unwrap_err();
    assert!(matches!(error, HandshakeError::TimedOut { .. }), "{error}");
}

#[test]
fn a_client_can_be_called_off() {
    let (near, _far) = scripted();
    let (cancelled, caller) = UnixStream::pair().unwrap();
    drop(caller);
    let error = authenticate(near, &key(), &HELLO, soon(), Some(cancelled.as_fd())).unwrap_err();
    assert!(matches!(error, HandshakeError::Cancelled), "{error}");
    // What the server has said counts all the same.
    let (near, mut far) = scripted();
    write_frame(&mut far, &Refusal::Busy("of late".into()).reply());
    let error = authenticate(near, &key(), &HELLO, soon(), Some(cancelled.as_fd())).unwrap_err();
    assert!(matches!(error, HandshakeError::Busy { .. }), "{error}");
}

#[test]
fn a_refusal_reaches_a_client_that_is_just_saying_hello() {
    for (refusal, part) in [
        (Refusal::Busy("limit of 3 connections".into()), "limit of 3 connections"),
        (Refusal::TooLate, "waited too long"),
    ] {
        let (near, far) = UnixStream::pair().unwrap();
        Pending::new(Connection::new(near).unwrap(), &key(), WELCOME).unwrap().refuse(&refusal);
        // The server has closed before the client says anything: that its hello finds nobody must not hide why.
        let error = authenticate(Connection::new(far).unwrap(), &key(), &HELLO, soon(), None).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_refusals_text_is_bounded_and_harmless() {
    let refusal = Refusal::Busy(format!("\x1b[31mred{}", "é".repeat(5000)));
    let reply = refusal.reply();
    assert!(reply.len() as u64 <= MAX_MESSAGE);
    let HandshakeError::Busy { reason } = Refusal::read(&reply).unwrap() else { panic!("not busy") };
    assert!(reason.starts_with("[31mred") && reason.chars().count() < 250);
    for length in 0..reply.len() {
        assert_eq!(Refusal::read(&reply[..length]).is_some(), length >= 9);
    }
}

#[test]
fn a_pending_connection_that_has_ended_stays_so() {
    let (near, mut far) = scripted();
    let mut pending = Pending::new(near, &key(), WELCOME).unwrap();
    let hello = good_hello(&read_frame(&mut far));
    write_frame(&mut far, &hello);
    assert!(pending.advance().unwrap().is_some());
    assert!(pending.fd().is_none());
    assert!(matches!(pending.advance(), Err(HandshakeError::Closed)));
    assert!(pending.peer().is_local());
    pending.refuse(&Refusal::TooLate);
}
