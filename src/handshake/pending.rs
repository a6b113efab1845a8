//! A connection that was accepted and is nobody's yet.

use std::os::fd::BorrowedFd;

#[cfg(feature = "python")]
use super::python::PythonHandshake;
use super::{Arrived, Authenticated, HandshakeError, MAX_MESSAGE, Refusal, Refused, ServerHandshake, Welcome};
use crate::authkey::Authkey;
use crate::transport::{Connection, Peer, Progress, TransportError};

/// How far it has come.
#[derive(Debug)]
enum Handshake {
    /// The other side has not said who it is.
    Greeted(ServerHandshake),
    #[cfg(feature = "python")]
    Python(PythonHandshake),
}

/// Takes one accepted connection through the handshake, without ever waiting.
///
/// How long a stranger may take is the server's to say: it calls [`refuse`](Self::refuse), or drops this.
#[derive(Debug)]
pub struct Pending {
    /// Until it has become an [`Authenticated`], or was refused.
    waiting: Option<(Connection, Handshake)>,
    /// Whether Python's clients are let in.
    #[cfg(feature = "python")]
    python: bool,
    welcome: Welcome,
    peer: Peer,
}

impl Pending {
    /// Greets.
    ///
    /// # Errors
    /// When the other side has gone already.
    pub fn new(mut connection: Connection, key: &Authkey, welcome: Welcome) -> Result<Self, HandshakeError> {
        connection.receiver.set_limit(MAX_MESSAGE);
        connection.receiver.set_fd_limit(0);
        let (handshake, greeting) = ServerHandshake::begin(key, welcome);
        // What does not fit goes out in `advance`.
        let _: Progress = connection.sender.send(&[&greeting])?;
        let peer = connection.peer();
        Ok(Self {
            waiting: Some((connection, Handshake::Greeted(handshake))),
            #[cfg(feature = "python")]
            python: false,
            welcome,
            peer,
        })
    }

    /// Lets Python's clients in, too.
    #[cfg(feature = "python")]
    pub fn allow_python(&mut self) {
        self.python = true;
    }

    /// Goes on as far as it can; `None` when that needs more from the other side. To be called when the fd is readable.
    ///
    /// The welcome may still be in the backlog of the connection that is returned.
    ///
    /// # Errors
    /// What was wrong. The other side has been told, if it listens, and the connection is closed; so it is after a
    /// connection was returned, and every further call is [`HandshakeError::Closed`].
    pub fn advance(&mut self) -> Result<Option<Authenticated>, HandshakeError> {
        match self.arrive()? {
            Some(Arrived::Native(authenticated)) => Ok(Some(authenticated)),
            #[cfg(feature = "python")]
            Some(Arrived::Python(_)) => Err(HandshakeError::PythonPeer),
            None => Ok(None),
        }
    }

    /// As [`advance`](Self::advance), where Python's clients may come in, too.
    ///
    /// # Errors
    /// As there.
    pub fn arrive(&mut self) -> Result<Option<Arrived>, HandshakeError> {
        let (mut connection, handshake) = self.waiting.take().ok_or(HandshakeError::Closed)?;
        let _: Progress = connection.sender.flush()?;
        let frame = match connection.receiver.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                self.waiting = Some((connection, handshake));
                return Ok(None);
            }
            Err(error @ TransportError::TooLarge { .. }) => {
                last_word(connection, &Refusal::TooLarge.reply());
                return Err(error.into());
            }
            Err(TransportError::Garbage { .. }) => {
                last_word(connection, &Refusal::Garbage.reply());
                return Err(HandshakeError::NotAClient);
            }
            Err(error) => return Err(error.into()),
        };
        #[cfg(not(feature = "python"))]
        let Handshake::Greeted(handshake) = handshake;
        #[cfg(feature = "python")]
        let handshake = match handshake {
            Handshake::Greeted(handshake) if self.python => match handshake.into_python(&frame) {
                Err(handshake) => handshake,
                Ok(answered) => return self.go_on(connection, answered),
            },
            Handshake::Greeted(handshake) => handshake,
            Handshake::Python(handshake) => return self.go_on(connection, handshake.go_on(&frame)),
        };
        match handshake.answer(&frame) {
            Ok((reply, hello)) => {
                let _: Progress = connection.sender.send(&[&reply])?;
                Ok(Some(Arrived::Native(Authenticated::new(connection, hello, self.welcome))))
            }
            Err(Refused { reply, error }) => {
                last_word(connection, &reply);
                Err(error)
            }
        }
    }

    /// Says what is next in a conversation with one of Python's clients.
    #[cfg(feature = "python")]
    fn go_on(
        &mut self,
        mut connection: Connection,
        next: Result<super::python::Next, Refused>,
    ) -> Result<Option<Arrived>, HandshakeError> {
        use super::python::{Next, PythonPeer};
        match next {
            Ok(Next::Say(handshake, lines)) => {
                for line in lines {
                    let _: Progress = connection.sender.send(&[&line])?;
                }
                self.waiting = Some((connection, Handshake::Python(handshake)));
                self.arrive()
            }
            Ok(Next::Done { old }) => {
                connection.receiver.set_limit(self.welcome.max_frame);
                Ok(Some(Arrived::Python(PythonPeer { connection, old })))
            }
            Err(Refused { reply, error }) => {
                last_word(connection, &reply);
                Err(error)
            }
        }
    }

    /// Tells the other side why it is not taken, if it listens, and closes the connection.
    pub fn refuse(self, refusal: &Refusal) {
        if let Some((connection, _)) = self.waiting {
            last_word(connection, &refusal.reply());
        }
    }

    /// What to poll: readable means that [`advance`](Self::advance) is worth a call. `None` once that has returned a
    /// connection or an error.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.waiting.as_ref().map(|(connection, _)| connection.fd())
    }

    #[cfg(test)]
    /// How many bytes of frames are held for the other side.
    pub fn memory(&self) -> usize {
        let held = |(connection, _): &(Connection, _)| connection.receiver.memory() + connection.sender.backlog();
        self.waiting.as_ref().map_or(0, held)
    }

    /// Who it is, in so far as the system knows.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }
}

/// Sends the last frame, and does not wait for whether it is heard.
fn last_word(mut connection: Connection, reply: &[u8]) {
    let _ = connection.sender.send(&[reply]);
    connection.sender.shutdown();
}
