//! The receiving half: whole frames out, and sleep.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::cells::{self, Kind, Record};
use super::layout::{Memory, Side, Way};
use super::{Hints, bulk, doorbell};
use crate::sys::socket::{discard, nudge};
use crate::transport::{TransportError, frames};

/// A large frame that is arriving.
#[derive(Debug)]
struct Large {
    body: Vec<u8>,
    size: usize,
}

/// What [`Glance`] goes by: private words of this side, written by whoever receives.
#[derive(Debug, Default)]
struct Place {
    /// Where the next record begins.
    position: AtomicU64,
    /// Whether something else than that record is to be seen to.
    attention: AtomicBool,
}

/// A look at a ring from outside, past the lock that its receiver lies under: cheap enough to look at a hundred rings for each call of one.
#[derive(Debug, Clone)]
pub struct Glance {
    memory: Arc<Memory>,
    way: Way,
    place: Arc<Place>,
}

impl Glance {
    /// Whether [`next`](crate::transport::Receiver::next) is worth a call, as far as can be seen. One who receives at this moment on another thread may make it wrong.
    #[inline]
    pub fn is_ready(&self) -> bool {
        // These pair with the stores in `Incoming::publish`; the record's own word is looked at again, with its pair, by the receiver.
        self.place.attention.load(Ordering::Relaxed)
            || self.memory.is_ready(self.way, self.place.position.load(Ordering::Relaxed))
    }
}

/// Receives frames through shared memory.
#[derive(Debug)]
pub struct Incoming {
    pub(super) memory: Arc<Memory>,
    side: Side,
    cells: cells::Consumer,
    bulk: bulk::Consumer,
    large: Option<Large>,
    /// Whether this side's word is raised.
    asleep: bool,
    /// Whether the doorbell may have been rung, so that a byte lies in the socket.
    rung: bool,
    /// Whether something was taken out since the other side was last looked at: it may sleep until there is room.
    made_room: bool,
    /// Whether the socket has ended: what lies in the memory is all that will ever come.
    ended: bool,
    /// What was last told to the other side.
    told: Hints,
    place: Arc<Place>,
}

impl Incoming {
    pub(super) fn new(memory: Arc<Memory>, side: Side) -> Self {
        let way = side.other().way_out();
        Self {
            side,
            cells: cells::Consumer::new(Arc::clone(&memory), way),
            bulk: bulk::Consumer::new(Arc::clone(&memory), way),
            memory,
            large: None,
            asleep: false,
            rung: false,
            made_room: false,
            ended: false,
            told: Hints { cpu: 0, active: 0 },
            place: Arc::default(),
        }
    }

    /// A way to look whether there is a frame.
    pub(in crate::transport) fn glance(&self) -> Glance {
        Glance { memory: Arc::clone(&self.memory), way: self.side.other().way_out(), place: Arc::clone(&self.place) }
    }

    /// Tells those who only glance where things stand.
    #[inline]
    fn publish(&self) {
        // Pair with the loads in `Glance::is_ready`.
        self.place.position.store(self.cells.position(), Ordering::Relaxed);
        self.place.attention.store(self.asleep || self.ended || self.large.is_some(), Ordering::Relaxed);
    }

    /// Reads the next frame into `frame`, which has its memory for that; false when none has wholly come.
    #[inline]
    pub(in crate::transport) fn read(
        &mut self,
        frame: &mut Vec<u8>,
        socket: BorrowedFd<'_>,
        limit: u64,
    ) -> Result<bool, TransportError> {
        if !self.asleep
            && self.large.is_none()
            && let Some(record @ Record { kind: Kind::Frame, .. }) = self.cells.peek()?
            && record.length as u64 <= limit
        {
            self.take(record, frame);
            // As all of `publish`: this side does not sleep, and a memory whose socket has ended is looked at in any case.
            self.place.position.store(self.cells.position(), Ordering::Relaxed);
            return Ok(true);
        }
        self.read_otherwise(frame, socket, limit)
    }

    #[cfg(test)]
    /// The same, in memory of its own.
    pub(super) fn next(&mut self, socket: BorrowedFd<'_>, limit: u64) -> Result<Option<Vec<u8>>, TransportError> {
        let mut frame = Vec::new();
        Ok(self.read(&mut frame, socket, limit)?.then_some(frame))
    }

    #[inline]
    fn take(&mut self, record: Record, frame: &mut Vec<u8>) {
        frames::reuse(frame, Memory::room_for(record.length));
        self.cells.take(record, frame);
        self.made_room = true;
    }

    fn read_otherwise(
        &mut self,
        frame: &mut Vec<u8>,
        socket: BorrowedFd<'_>,
        limit: u64,
    ) -> Result<bool, TransportError> {
        if self.asleep {
            self.rise();
        }
        let read = self.advance(frame, socket, limit);
        self.publish();
        if read? {
            return Ok(true);
        }
        if self.ended {
            return Err(if self.large.is_some() { TransportError::Truncated } else { TransportError::Closed });
        }
        if self.made_room {
            self.ring(socket);
        }
        Ok(false)
    }

    fn advance(&mut self, frame: &mut Vec<u8>, socket: BorrowedFd<'_>, limit: u64) -> Result<bool, TransportError> {
        if self.large.is_none() {
            let Some(record) = self.cells.peek()? else { return Ok(false) };
            match record.kind {
                Kind::Frame if record.length as u64 <= limit => {
                    self.take(record, frame);
                    return Ok(true);
                }
                Kind::Frame => return Err(TransportError::TooLarge { size: record.length as u64, limit }),
                Kind::Bulk => {
                    let mut size = Vec::with_capacity(8);
                    // Looked at before it is taken out: an error is the same however often it is asked for.
                    self.cells.read(record, &mut size);
                    let size = size.first_chunk().map_or(u64::MAX, |size| u64::from_le_bytes(*size));
                    let Some(size) = usize::try_from(size).ok().filter(|&real| size <= limit && real > 0) else {
                        return Err(TransportError::TooLarge { size, limit });
                    };
                    self.cells.skip(record);
                    self.made_room = true;
                    self.large = Some(Large { body: frames::memory_for(size), size });
                }
            }
        }
        while let Some(large) = &mut self.large {
            let missing = large.size - large.body.len();
            if missing == 0 {
                self.large.take().into_iter().for_each(|large| frames::replace(frame, large.body));
                return Ok(true);
            }
            frames::make_room(&mut large.body, large.size);
            let room = large.body.capacity() - large.body.len();
            let count = self.bulk.pull(missing.min(room), &mut large.body)?;
            if count == 0 {
                break;
            }
            // The sender may sleep until there is room for the next piece.
            self.ring(socket);
        }
        Ok(false)
    }

    /// Whether [`read`](Self::read) has something to say.
    pub(in crate::transport) fn is_ready(&self) -> bool {
        let arriving =
            |large: &Large| large.body.len() == large.size || self.bulk.ready().map_or(true, |ready| ready > 0);
        self.ended || self.large.as_ref().map_or_else(|| self.cells.is_ready(), arriving)
    }

    /// Gives back what memory holds nothing: for a connection that has been cold for a while.
    pub(in crate::transport) fn discard(&mut self, socket: BorrowedFd<'_>) {
        if self.large.is_none() {
            self.bulk.discard();
            // A frame that was to begin meanwhile waits for this as for room.
            self.ring(socket);
        }
    }

    /// Whether the socket was found to have ended.
    pub(in crate::transport) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Prepares to sleep on the socket; false if there is something to be done first. With `deaf`, what lies ready to be read does not count.
    pub(in crate::transport) fn settle(&mut self, deaf: bool, socket: BorrowedFd<'_>) -> bool {
        if self.rung {
            // Before the word is raised: a byte that comes afterwards is for this sleep, and has to end it.
            self.drain(socket);
        }
        self.asleep = doorbell::settle(&self.memory.side(self.side).asleep, || deaf || !self.is_ready());
        self.publish();
        self.asleep
    }

    /// The socket has something to say: the doorbell, which can wait until the next sleep while somebody waits for what was rung for; or its end.
    pub(in crate::transport) fn heed(&mut self, ended: bool, socket: BorrowedFd<'_>) {
        let again = self.rung;
        self.rise();
        if again || ended {
            self.drain(socket);
        }
        self.publish();
    }

    fn rise(&mut self) {
        doorbell::rise(&self.memory.side(self.side).asleep);
        (self.asleep, self.rung) = (false, true);
    }

    /// Takes out of the socket what the doorbell has left there.
    fn drain(&mut self, socket: BorrowedFd<'_>) {
        self.rung = false;
        self.ended |= !discard(socket);
    }

    /// Wakes the other side if it sleeps; after room was made.
    fn ring(&mut self, socket: BorrowedFd<'_>) {
        self.made_room = false;
        if doorbell::must_ring(&self.memory.side(self.side.other()).asleep) {
            nudge(socket);
        }
    }

    /// Tells the other side where this one runs.
    pub(in crate::transport) fn tell(&mut self, hints: Hints) {
        if self.told != hints {
            self.told = hints;
            let words = self.memory.side(self.side);
            // Pair with the loads in `hints`; nothing depends on them.
            words.cpu.store(hints.cpu, Ordering::Relaxed);
            words.active.store(hints.active, Ordering::Relaxed);
        }
    }

    /// What the other side has told.
    pub(in crate::transport) fn hints(&self) -> Hints {
        let words = self.memory.side(self.side.other());
        Hints { cpu: words.cpu.load(Ordering::Relaxed), active: words.active.load(Ordering::Relaxed) }
    }

    #[cfg(test)]
    /// How many bytes of private memory the arriving frame holds.
    pub(in crate::transport) fn memory(&self) -> usize {
        self.large.as_ref().map_or(0, |large| large.body.capacity())
    }
}
