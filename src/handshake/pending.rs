//! A connection that was accepted and is nobody's yet.

use std::os::fd::BorrowedFd;

use super::{Authenticated, HandshakeError, MAX_MESSAGE, Refusal, Refused, ServerHandshake, Welcome};
use crate::authkey::Authkey;
use crate::transport::{Connection, Peer, Progress, TransportError};

/// Takes one accepted connection through the handshake, without ever waiting.
///
/// How long a stranger may take is the server's to say: it calls [`refuse`](Self::refuse), or drops this.
#[derive(Debug)]
pub struct Pending {
    /// Until it has become an [`Authenticated`], or was refused.
    waiting: Option<(Connection, ServerHandshake)>,
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
        Ok(Self { waiting: Some((connection, handshake)), welcome, peer })
    }

    /// Goes on as far as it can; `None` when that needs more from the other side. To be called when the fd is readable.
    ///
    /// The welcome may still be in the backlog of the connection that is returned.
    ///
    /// # Errors
    /// What was wrong. The other side has been told, if it listens, and the connection is closed; so it is after a
    /// connection was returned, and every further call is [`HandshakeError::Closed`].
    pub fn advance(&mut self) -> Result<Option<Authenticated>, HandshakeError> {
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
        match handshake.answer(&frame) {
            Ok((reply, hello)) => {
                let _: Progress = connection.sender.send(&[&reply])?;
                Ok(Some(Authenticated::new(connection, hello, self.welcome)))
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
