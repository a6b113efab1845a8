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
/// So many bytes of arguments or results count as another call, and half a MiB of arguments is worth it at once: what is large takes long, and gains the most.
const HOT_BYTES: usize = 64 << 10;

/// How long the server may leave a wish unanswered before it is asked again: it may have had no memory left at the time.
const PATIENCE: Duration = Duration::from_secs(1);

/// How far a connection has come.
pub(super) enum Upgrade {
    /// On its socket: how many calls there were since when.
    Cold(u32, Option<Instant>),
    /// The server has been asked at that time.
    Asked(Instant),
    /// This side sends by the memory; what it will receive by.
    Half(Incoming),
    /// In memory in both directions.
    Whole,
    /// On its socket for good.
    Never,
}

impl Upgrade {
    /// For a connection that may be upgraded, or may not.
    pub(super) fn new(allowed: bool) -> Self {
        if allowed { Self::Cold(0, None) } else { Self::Never }
    }

    /// A call with `size` bytes of arguments is about to be made.
    #[inline]
    pub(super) fn call(&mut self, size: usize, sender: &mut Sender) -> Result<(), TransportError> {
        match self {
            Self::Whole => return Ok(()),
            Self::Asked(asked) if asked.elapsed() >= PATIENCE => *self = Self::Cold(0, None),
            _ => {}
        }
        let Self::Cold(calls, since) = self else { return Ok(()) };
        let now = Instant::now();
        let begun = *since.get_or_insert(now);
        *calls += 1 + weight(size);
        if *calls < HOT_CALLS {
            return Ok(());
        }
        if now.saturating_duration_since(begun) >= HOT_TIME && weight(size) < HOT_CALLS {
            *self = Self::new(true);
            return Ok(());
        }
        *self = Self::Asked(now);
        say(sender, DataNotice::Wish)
    }

    /// Reads the next reply that has come into `frame`; false where there is none. Frames of the upgrade are taken in on the way.
    #[inline]
    pub(super) fn next(
        &mut self,
        receiver: &mut Receiver,
        sender: &mut Sender,
        frame: &mut Vec<u8>,
    ) -> Result<bool, TransportError> {
        while receiver.read(frame)? {
            match LinkNotice::read(frame) {
                Some(notice) => self.heed(notice, receiver, sender)?,
                None => {
                    self.replied(frame.len());
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// A reply of so many bytes has come.
    #[inline]
    pub(super) fn replied(&mut self, size: usize) {
        if let (Self::Cold(calls, since), more @ 1..) = (self, weight(size)) {
            *calls = calls.saturating_add(more);
            if *calls >= HOT_CALLS {
                // It has taken its time, and takes more where it is decoded: about a nanosecond a byte. The next call is what counts.
                *since = Some(Instant::now() + Duration::from_nanos(size as u64));
            }
        }
    }

    /// Takes in what the server says of the upgrade.
    pub(super) fn heed(
        &mut self,
        notice: LinkNotice,
        receiver: &mut Receiver,
        sender: &mut Sender,
    ) -> Result<(), TransportError> {
        match (notice, std::mem::replace(self, Self::Never)) {
            // Also one that comes so late that the next wish is being thought of.
            (LinkNotice::Offer, Self::Asked(_) | Self::Cold(..)) => {
                let memory = receiver.take_fds().pop();
                let missing = || std::io::Error::other("an offer without a descriptor");
                match memory.ok_or_else(missing).and_then(Ring::adopt) {
                    Ok(Ring { outgoing, incoming }) => {
                        say(sender, DataNotice::Leaves)?;
                        sender.upgrade(outgoing);
                        *self = Self::Half(incoming);
                        Ok(())
                    }
                    Err(error) => {
                        tracing::debug!(%error, "no shared memory: a connection stays on its socket");
                        say(sender, DataNotice::Declines)
                    }
                }
            }
            (LinkNotice::Leaves, Self::Half(incoming)) => {
                receiver.upgrade(incoming);
                *self = Self::Whole;
                Ok(())
            }
            _ => Err(TransportError::Scribbled { what: "a change to memory that was not asked for" }),
        }
    }
}

/// How many calls so many bytes are worth.
fn weight(size: usize) -> u32 {
    u32::try_from(size / HOT_BYTES).unwrap_or(u32::MAX).min(HOT_CALLS)
}

fn say(sender: &mut Sender, notice: DataNotice) -> Result<(), TransportError> {
    let mut frame = Vec::with_capacity(1);
    notice.write(&mut frame);
    // What is pending goes out with what comes after it.
    let _: Progress = sender.send(&[&frame])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::transport::Connection;

    /// Results of 256 MiB went by the socket for ever: a caller who decodes one for longer than calls in a row may take was thought to have come to rest.
    #[test]
    fn who_fetches_what_is_large_has_time_to_decode_it() {
        let (near, _far) = UnixStream::pair().unwrap();
        let mut sender = Connection::new(near).unwrap().sender;
        let mut upgrade = Upgrade::new(true);
        upgrade.call(10, &mut sender).unwrap();
        // So much that no machine is too slow for this test.
        upgrade.replied(1 << 40);
        std::thread::sleep(HOT_TIME * 2);
        upgrade.call(10, &mut sender).unwrap();
        assert!(matches!(upgrade, Upgrade::Asked(_)));

        let mut upgrade = Upgrade::new(true);
        upgrade.call(10, &mut sender).unwrap();
        upgrade.replied(10);
        std::thread::sleep(HOT_TIME * 2);
        upgrade.call(10, &mut sender).unwrap();
        assert!(matches!(upgrade, Upgrade::Cold(..)));
    }
}
