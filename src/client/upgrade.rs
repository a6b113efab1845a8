//! The way of a data connection from its socket to shared memory.
//!
//! A connection starts on its socket, since most never carry more than a few calls. When calls come fast the client says so, and goes on calling; the server answers
//! with an offer when it gets round to it, or with nothing. Each side then sends a last frame on the socket, and from there on by the memory. Nobody ever waits for
//! any of it, and nobody notices: the frames are the same, in the same order.

use std::time::{Duration, Instant};

use crate::protocol::notice::{DataNotice, LinkNotice};
use crate::transport::ring::Incoming;
use crate::transport::{Progress, Receiver, Ring, Sender, TransportError};

/// So many calls on one connection ...
const HOT_CALLS: u32 = 8;
/// ... within this time are worth shared memory.
const HOT_TIME: Duration = Duration::from_millis(10);

/// How far a connection has come.
pub(super) enum Upgrade {
    /// On its socket: how many calls there were since when.
    Cold(u32, Option<Instant>),
    /// The server has been asked, or this side sends by the memory already.
    Asked(Option<Incoming>),
    /// In memory in both directions; or never to be.
    Over,
}

impl Upgrade {
    /// For a connection that may be upgraded, or may not.
    pub(super) fn new(allowed: bool) -> Self {
        if allowed { Self::Cold(0, None) } else { Self::Over }
    }

    /// A call is about to be made at this moment.
    pub(super) fn call(&mut self, now: Instant, sender: &mut Sender) -> Result<(), TransportError> {
        let Self::Cold(calls, since) = self else { return Ok(()) };
        let begun = *since.get_or_insert(now);
        *calls += 1;
        if *calls < HOT_CALLS {
            return Ok(());
        }
        if now.saturating_duration_since(begun) >= HOT_TIME {
            *self = Self::new(true);
            return Ok(());
        }
        *self = Self::Asked(None);
        say(sender, DataNotice::Wish)
    }

    /// The next reply that has come; frames of the upgrade are taken in on the way.
    pub(super) fn next(
        &mut self,
        receiver: &mut Receiver,
        sender: &mut Sender,
    ) -> Result<Option<Vec<u8>>, TransportError> {
        while let Some(frame) = receiver.next()? {
            match LinkNotice::read(&frame) {
                Some(notice) => self.heed(notice, receiver, sender)?,
                None => return Ok(Some(frame)),
            }
        }
        Ok(None)
    }

    /// Takes in what the server says of the upgrade.
    pub(super) fn heed(
        &mut self,
        notice: LinkNotice,
        receiver: &mut Receiver,
        sender: &mut Sender,
    ) -> Result<(), TransportError> {
        match (notice, &mut *self) {
            (LinkNotice::Offer, Self::Asked(None)) => {
                let memory = receiver.take_fds().pop();
                let missing = || std::io::Error::other("an offer without a descriptor");
                match memory.ok_or_else(missing).and_then(Ring::adopt) {
                    Ok(Ring { outgoing, incoming }) => {
                        say(sender, DataNotice::Leaves)?;
                        sender.upgrade(outgoing);
                        *self = Self::Asked(Some(incoming));
                        Ok(())
                    }
                    Err(error) => {
                        tracing::debug!(%error, "no shared memory: a connection stays on its socket");
                        *self = Self::Over;
                        say(sender, DataNotice::Declines)
                    }
                }
            }
            (LinkNotice::Leaves, Self::Asked(incoming @ Some(_))) => {
                incoming.take().into_iter().for_each(|incoming| receiver.upgrade(incoming));
                *self = Self::Over;
                Ok(())
            }
            _ => Err(TransportError::Scribbled { what: "a change to memory that was not asked for" }),
        }
    }
}

fn say(sender: &mut Sender, notice: DataNotice) -> Result<(), TransportError> {
    let mut frame = Vec::with_capacity(1);
    notice.write(&mut frame);
    // What is pending goes out with what comes after it.
    let _: Progress = sender.send(&[&frame])?;
    Ok(())
}
