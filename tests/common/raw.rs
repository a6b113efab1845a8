//! A client that speaks by hand, over raw sockets: what is said on the wire is held here, too, and what no client of this crate would do can be done.
//!
//! Sockets are shut down, not only closed: servers of other tests, forked meanwhile, hold copies of them.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use hmac::{Hmac, KeyInit, Mac};
use multiproc::BaseManager;
use sha2::Sha256;

use super::LIMIT;

pub const KEY: &[u8] = b"a key that is known";
pub const GREETING: &[u8] = b"#CHALLENGE#{sha256}";
pub const WELCOME: &[u8] = b"#WELCOME#";
pub const FAILURE: &[u8] = b"#FAILURE#";

/// The role of a control stream, and of a data connection.
pub const CONTROL: u8 = 0;
pub const DATA: u8 = 1;

/// `codec/value`'s none.
const NONE: u8 = 0xd0;

/// The server itself, as a call's target.
pub const SERVER: u64 = 0;

/// One side of a raw connection.
pub struct Raw(pub UnixStream);

impl Raw {
    pub fn to(manager: &BaseManager) -> Self {
        let path = manager.address().strip_prefix("unix:").expect("a unix socket");
        Self::new(UnixStream::connect(path).expect("the server accepts"))
    }

    pub fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        Self(stream)
    }

    /// A connection that has proved itself.
    pub fn proven(manager: &BaseManager, role: u8, client: [u8; 16], connection: u64) -> Self {
        let mut raw = Self::to(manager);
        raw.prove(role, client, connection);
        raw
    }

    /// Sends bytes as they are. That the other side has had enough already is no error.
    pub fn say(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    pub fn frame(&mut self, body: &[u8]) {
        let length = i32::try_from(body.len()).unwrap().to_be_bytes();
        self.say(&[&length[..], body].concat());
    }

    /// Calls a method without arguments, by name.
    pub fn call(&mut self, request: u64, object: u64, method: &str) {
        self.padded_call(0, 0, request, object, method);
    }

    /// As [`call`](Self::call), with a timeout in milliseconds; 0 for none.
    pub fn call_within(&mut self, timeout: u32, request: u64, object: u64, method: &str) {
        self.padded_call(0, timeout, request, object, method);
    }

    /// As [`call`](Self::call), to be done when so many notices have been taken in from the control stream: until then nothing behind it is read.
    pub fn call_after(&mut self, notices: u64, request: u64, object: u64, method: &str) {
        self.request(notices, 0, 0, request, object, method);
    }

    /// As [`call_within`](Self::call_within), with so many bytes too many behind the arguments.
    pub fn padded_call(&mut self, padding: usize, timeout: u32, request: u64, object: u64, method: &str) {
        self.request(0, padding, timeout, request, object, method);
    }

    fn request(&mut self, after: u64, padding: usize, timeout: u32, request: u64, object: u64, method: &str) {
        const REQUEST: u8 = 1;
        const VALUE: u8 = 1;
        let (tokens, signature, thread, acknowledged) = (0, 0_u32, 1, 0);
        let mut body = vec![REQUEST, VALUE];
        put_number(acknowledged, &mut body);
        body.extend(signature.to_le_bytes());
        for number in [request, object, thread, after, timeout.into(), tokens] {
            put_number(number, &mut body);
        }
        body.extend(u16::try_from(method.len()).unwrap().to_le_bytes());
        body.extend(method.as_bytes());
        // Neither positional arguments nor keywords.
        body.extend([NONE, NONE]);
        body.resize(body.len() + padding, 0);
        self.frame(&body);
    }

    /// The next frame; `None` at the end.
    #[track_caller]
    pub fn hear(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).map_err(|error| ended(&error)).ok()?;
        let mut body = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
        self.0.read_exact(&mut body).map_err(|error| ended(&error)).ok()?;
        Some(body)
    }

    #[track_caller]
    pub fn greeting(&mut self) -> Vec<u8> {
        let greeting = self.hear().expect("the server speaks first");
        assert!(greeting.starts_with(GREETING) && greeting.len() == 59, "{greeting:?}");
        greeting
    }

    /// The refusal's code and text, and then the end.
    #[track_caller]
    pub fn refusal(&mut self) -> (u8, String) {
        let frame = self.hear().expect("the server says why");
        let rest = frame.strip_prefix(FAILURE).unwrap_or_else(|| panic!("{frame:?} is no refusal"));
        assert_eq!(rest[1..3], [0, 1], "the server's version");
        let told = (rest[0], String::from_utf8(rest[3..].to_vec()).unwrap());
        assert_eq!(self.hear(), None, "and closes");
        told
    }

    /// Proves the key as a client does, and becomes a connection of that client's.
    pub fn prove(&mut self, role: u8, client: [u8; 16], connection: u64) {
        let greeting = self.greeting();
        let hello = hello(1, role, client, connection);
        let proof = proof(KEY, &greeting, &hello);
        self.frame(&[&hello[..], &proof].concat());
        let welcome = self.hear().expect("welcomed");
        assert!(welcome.starts_with(&[WELCOME, b"MPRC"].concat()), "{welcome:?}");
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Seven bits in each byte, the low ones first.
fn put_number(mut number: u64, body: &mut Vec<u8>) {
    while number >= 0x80 {
        body.push(number as u8 | 0x80);
        number >>= 7;
    }
    body.push(number as u8);
}

/// A time limit is a failure, everything else an end.
#[track_caller]
fn ended(error: &std::io::Error) {
    assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "nothing came within {LIMIT:?}");
}

pub fn hello(version: u16, role: u8, client: [u8; 16], connection: u64) -> Vec<u8> {
    [b"MPRC", &version.to_be_bytes()[..], &[0; 4], &[role], &client, &[9; 32], &connection.to_be_bytes()].concat()
}

pub fn proof(key: &[u8], greeting: &[u8], hello: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(b"multiproc client");
    mac.update(&(greeting.len() as u64).to_be_bytes());
    mac.update(greeting);
    mac.update(&(hello.len() as u64).to_be_bytes());
    mac.update(hello);
    mac.finalize().into_bytes().into()
}

/// A data notice: the caller has given up.
pub fn cancel(request: u64) -> Vec<u8> {
    [&[4][..], &request.to_le_bytes()].concat()
}

/// A data notice: what that reply moved is to be put back.
pub fn decline(reply: u64) -> Vec<u8> {
    [&[5][..], &reply.to_le_bytes()].concat()
}

/// A control notice: a data connection broke after so many replies.
pub fn lost(connection: u64, replies: u64) -> Vec<u8> {
    [&[22][..], &connection.to_le_bytes(), &replies.to_le_bytes()].concat()
}

/// A control notice: so many references to an object are given back.
pub fn release(object: u64, references: u64) -> Vec<u8> {
    [&[16][..], &object.to_le_bytes(), &references.to_le_bytes()].concat()
}
