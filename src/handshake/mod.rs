//! How two processes prove to each other that they know the same key, before anything else is said.
//!
//! Between the transport and everything that means something: a [`Connection`] goes in, an [`Authenticated`] comes out,
//! and nothing else can make one.
//!
//! # What is said
//! Each line is one frame, numbers are big-endian. The server speaks first because CPython's clients wait for it.
//!
//! | | frame | bytes |
//! | --- | --- | --- |
//! | server | greeting: `#CHALLENGE#{sha256}`, random 40 | 59 |
//! | client | hello: `MPRC`, version 2, features 4, role 1, client id 16, random 32, connection id 8, proof 32 | 99 |
//! | server | welcome: `#WELCOME#MPRC`, version 2, features 4, server id 16, largest frame 8, proof 32 | 75 |
//! | or | refusal: `#FAILURE#`, a code 1, the server's version 2, the reason as text | 12 and more |
//!
//! One of CPython's clients answers the greeting with a digest of it (`{sha256}` and 32 bytes from 3.12 on, before that the 16 bytes of an MD5), is told `#WELCOME#`, sends a challenge
//! of its own, gets the digest, and says `#WELCOME#` itself. It is heard only where [`Pending::allow_python`] was called.
//!
//! # Security
//! - A proof is HMAC-SHA256 over the *role* of who proves ("multiproc client", "multiproc server") and the whole
//!   conversation so far, the proving frame included. Both sides have put fresh random bytes into it, so a recorded
//!   proof fits no other conversation; the roles keep one side's proof from being handed back as the other's.
//! - Proofs are compared in constant time. The server proves itself only to a client that has; the client believes
//!   nothing of the server's, not its frame limit either, before its proof.
//! - A stranger can make the server hold less than 4 KiB, and no file descriptor but the connection's own; how long is
//!   for the server to say ([`Pending::refuse`]). One try per connection.
//! - What is *not* covered: bytes after the handshake are neither signed nor encrypted. Over tcp whoever can change
//!   packets can take the connection over: use it in networks that you trust, or through a tunnel.

mod challenge;
mod client;
mod error;
mod message;
mod pending;
#[cfg(feature = "python")]
mod python;
mod refusal;
mod server;
#[cfg(test)]
mod tests;

pub use client::authenticate;
pub use error::HandshakeError;
pub use message::{Hello, Role, Welcome};
pub use pending::Pending;
#[cfg(feature = "python")]
pub use python::{PythonPeer, authenticate_at_python};
pub use refusal::Refusal;
pub use server::{Refused, ServerHandshake};

use crate::transport::Connection;

/// The longest frame in bytes that either side takes before it knows the other. The longest that is sent is a
/// refusal with its text.
const MAX_MESSAGE: u64 = 1 << 10;

/// Who has proved himself.
#[derive(Debug)]
pub enum Arrived {
    /// A client of this crate's.
    Native(Authenticated),
    /// One of Python's.
    #[cfg(feature = "python")]
    Python(PythonPeer),
}

/// A connection whose two sides have proved themselves to each other.
#[derive(Debug)]
pub struct Authenticated {
    connection: Connection,
    hello: Hello,
    welcome: Welcome,
}

impl Authenticated {
    /// Opens the connection for frames of the size that the server allows. Private: only a finished handshake comes
    /// here.
    fn new(mut connection: Connection, hello: Hello, welcome: Welcome) -> Self {
        connection.receiver.set_limit(welcome.max_frame);
        connection.receiver.set_fd_limit(usize::MAX);
        Self { connection, hello, welcome }
    }

    /// The connection, with what both sides said.
    pub fn into_parts(self) -> (Connection, Hello, Welcome) {
        (self.connection, self.hello, self.welcome)
    }
}
