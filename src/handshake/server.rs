//! The server's side, without any I/O: a greeting out, one answer in, a welcome or a refusal out.

use super::challenge::{Side, Transcript, greeting};
use super::message::MAGIC;
use super::{HandshakeError, Hello, Refusal, Welcome};
use crate::authkey::Authkey;

/// A server that has greeted and waits for the one answer.
#[derive(Debug)]
pub struct ServerHandshake {
    key: Authkey,
    welcome: Welcome,
    transcript: Transcript,
    #[cfg(feature = "python")]
    greeting: Vec<u8>,
}

/// A client that is not taken.
#[derive(Debug)]
pub struct Refused {
    /// The frame that tells the client.
    pub reply: Vec<u8>,
    /// What the server knows.
    pub error: HandshakeError,
}

impl ServerHandshake {
    /// Begins with the greeting to be sent, new for each connection.
    ///
    /// # Panics
    /// Where the kernel has no random source (no Linux that this crate runs on).
    pub fn begin(key: &Authkey, welcome: Welcome) -> (Self, Vec<u8>) {
        let greeting = greeting();
        let transcript = Transcript::new(&greeting);
        let handshake = Self {
            key: key.clone(),
            welcome,
            transcript,
            #[cfg(feature = "python")]
            greeting: greeting.clone(),
        };
        (handshake, greeting)
    }

    /// Takes the client's answer; there is no second try. Returns the welcome to be sent, and what the client has
    /// proved to have said.
    ///
    /// # Errors
    /// What is wrong with it, and the refusal to be sent.
    pub fn answer(mut self, frame: &[u8]) -> Result<(Vec<u8>, Hello), Refused> {
        let hello = self.check(frame).map_err(|error| {
            let refusal = match error {
                HandshakeError::WrongKey => Refusal::WrongKey,
                HandshakeError::Version { .. } => Refusal::Version,
                HandshakeError::PythonPeer => Refusal::PythonPeer,
                _ => Refusal::Garbage,
            };
            Refused { reply: refusal.reply(), error }
        })?;
        self.transcript.add(frame);
        let mut welcome = self.welcome.write();
        let proof = self.transcript.prove(&self.key, Side::Server, &welcome);
        welcome.extend_from_slice(&proof);
        Ok((welcome, hello))
    }

    /// Takes the answer of one of Python's clients; gives itself back where it is no such answer.
    #[cfg(feature = "python")]
    pub(super) fn into_python(self, frame: &[u8]) -> Result<Result<super::python::Next, Refused>, Self> {
        if !is_python(frame) {
            return Err(self);
        }
        Ok(super::python::PythonHandshake::begin(self.key, &self.greeting, frame))
    }

    fn check(&self, frame: &[u8]) -> Result<Hello, HandshakeError> {
        if is_python(frame) {
            return Err(HandshakeError::PythonPeer);
        }
        let (hello, said, proof) = Hello::read(frame)?;
        if self.transcript.is_proved(&self.key, Side::Client, said, proof) {
            Ok(hello)
        } else {
            Err(HandshakeError::WrongKey)
        }
    }
}

/// Whether it is a CPython client's answer: the 16 bytes of a bare MD5, or a digest behind its name in braces.
pub(super) fn is_python(frame: &[u8]) -> bool {
    let named = |name: &[u8]| frame.starts_with(&[b"{", name, b"}"].concat());
    (frame.len() == 16 && !frame.starts_with(MAGIC))
        || [&b"md5"[..], b"sha256", b"sha384", b"sha3_256", b"sha3_384"].into_iter().any(named)
}
