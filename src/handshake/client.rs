//! The client's side: one greeting in, a hello out, a welcome in.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::challenge::{Side, Transcript, is_greeting};
use super::{Authenticated, HandshakeError, Hello, MAX_MESSAGE, Refusal, Welcome};
use crate::authkey::Authkey;
use crate::sys::poll::{self, Interest};
use crate::transport::{Connection, Progress, TransportError};

/// A client that has answered the greeting and waits for the welcome. Without any I/O.
#[derive(Debug)]
pub struct ClientHandshake {
    key: Authkey,
    transcript: Transcript,
}

impl ClientHandshake {
    /// Answers a server's first frame with the hello to be sent.
    ///
    /// # Errors
    /// When it is no greeting, or a refusal.
    ///
    /// # Panics
    /// Where the kernel has no random source (no Linux that this crate runs on).
    pub fn begin(key: &Authkey, hello: &Hello, greeting: &[u8]) -> Result<(Self, Vec<u8>), HandshakeError> {
        if !is_greeting(greeting) {
            return Err(Refusal::read(greeting).unwrap_or(HandshakeError::NotAServer));
        }
        let mut transcript = Transcript::new(greeting);
        let mut hello = hello.write();
        let proof = transcript.prove(key, Side::Client, &hello);
        hello.extend_from_slice(&proof);
        transcript.add(&hello);
        Ok((Self { key: key.clone(), transcript }, hello))
    }

    /// Takes the server's second frame; returns what the server has proved to have said.
    ///
    /// # Errors
    /// When it is a refusal, no welcome, or one without a good proof.
    pub fn finish(self, frame: &[u8]) -> Result<Welcome, HandshakeError> {
        if let Some(refused) = Refusal::read(frame) {
            return Err(refused);
        }
        let (welcome, said, proof) = Welcome::read(frame)?;
        if self.transcript.is_proved(&self.key, Side::Server, said, proof) {
            Ok(welcome)
        } else {
            Err(HandshakeError::ServerUnproven)
        }
    }
}

/// Takes a connection through the handshake, as the client that `hello` says. Waits for the server until `deadline`, or
/// until `cancel` is readable: the end of the server's process, say.
///
/// # Errors
/// Why it failed; the connection is closed.
pub fn authenticate(
    mut connection: Connection,
    key: &Authkey,
    hello: &Hello,
    deadline: Instant,
    cancel: Option<BorrowedFd<'_>>,
) -> Result<Authenticated, HandshakeError> {
    let patience = Patience { begun: Instant::now(), deadline, cancel };
    connection.receiver.set_limit(MAX_MESSAGE);
    let greeting = patience.next(&mut connection)?;
    let (handshake, reply) = ClientHandshake::begin(key, hello, &greeting)?;
    match connection.sender.send(&[&reply]) {
        // A server that refuses at once has closed already; its reason is still there to be read.
        Ok(_) | Err(TransportError::Closed) => {}
        Err(error) => return Err(error.into()),
    }
    let welcome = handshake.finish(&patience.next(&mut connection)?)?;
    Ok(Authenticated::new(connection, *hello, welcome))
}

/// How long, and for whose sake, a client waits.
pub(super) struct Patience<'a> {
    pub(super) begun: Instant,
    pub(super) deadline: Instant,
    pub(super) cancel: Option<BorrowedFd<'a>>,
}

impl Patience<'_> {
    /// Waits for the next frame, sending meanwhile what did not fit.
    pub(super) fn next(&self, connection: &mut Connection) -> Result<Vec<u8>, HandshakeError> {
        loop {
            match connection.receiver.next() {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(TransportError::Garbage { .. }) => return Err(HandshakeError::NotAServer),
                Err(error) => return Err(error.into()),
            }
            let unsent = connection.sender.backlog() > 0 && connection.sender.flush()? == Progress::Pending;
            self.wait(connection.fd(), if unsent { Interest::ReadWrite } else { Interest::Read })?;
        }
    }

    fn wait(&self, fd: BorrowedFd<'_>, interest: Interest) -> Result<(), HandshakeError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let mut fds = vec![(fd, interest)];
        fds.extend(self.cancel.map(|cancel| (cancel, Interest::Read)));
        let ready = poll::wait(&fds, Some(left)).map_err(HandshakeError::polling)?;
        match &ready[..] {
            // What the server has said counts, even if it has ended since.
            [server, ..] if server.any() => Ok(()),
            [_, cancel] if cancel.any() => Err(HandshakeError::Cancelled),
            _ => Err(HandshakeError::TimedOut { after: self.begun.elapsed() }),
        }
    }
}
