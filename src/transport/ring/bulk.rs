//! One direction's large frames, as a stream of bytes through a ring of their own.
//!
//! Which frame the bytes belong to, and where it ends, is said by the records in the [cells](super::cells). The ring's memory is taken from the system as it is
//! first written, and lasts: fresh memory for each frame would cost more in page faults than all the copying. When the connection has been cold for a while it is
//! given back, by either end; the receiver's must not meet a frame that is just being written, which is what the owner's word is for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::layout::{BULK, Memory, NOBODYS, RECEIVERS, SENDERS, Way};
use crate::transport::TransportError;

/// The most bytes that are copied before they are published: the other side takes them out while the next are copied.
pub(super) const PIECE: usize = 64 << 10;
/// The least. Towards a frame's end pieces become smaller, since nothing is copied beside the last of them.
const LAST: usize = 8 << 10;

/// How often the owner's word is looked at before the frame is kept until the doorbell: giving memory back mostly takes microseconds.
const TRIES: u32 = 100;

const SCRIBBLED: TransportError = TransportError::Scribbled { what: "how far a large message has come" };

/// The sender's end.
#[derive(Debug)]
pub(super) struct Producer {
    memory: Arc<Memory>,
    way: Way,
    written: u64,
    /// How many of the bytes written the receiver had taken out when it was last asked.
    taken: u64,
    /// Whether a frame is being written.
    writes: bool,
}

impl Producer {
    pub(super) fn new(memory: Arc<Memory>, way: Way) -> Self {
        Self { memory, way, written: 0, taken: 0, writes: false }
    }

    /// A frame is going to be written; false while the receiver gives the memory back, after which it [rings](super::Incoming::discard).
    pub(super) fn begin(&mut self) -> bool {
        let owner = &self.memory.positions(self.way).bulk_owner.0;
        for _ in 0..TRIES {
            // Pairs with the stores in `end` and `Consumer::discard`: the memory is whole again.
            if self.writes || owner.compare_exchange(NOBODYS, SENDERS, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                self.writes = true;
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// The frame has been written.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.writes) {
            // Pairs with the exchange in `Consumer::discard`: who has the memory sees what was written.
            self.memory.positions(self.way).bulk_owner.0.store(NOBODYS, Ordering::Release);
        }
    }

    /// Gives the memory back, if all of it has been taken out.
    pub(super) fn discard(&mut self) {
        // Pairs with the store in `Consumer::pull`. A wrong word harms its writer's own frames.
        if !self.writes && self.memory.positions(self.way).bulk_taken.0.load(Ordering::Acquire) == self.written {
            self.taken = self.written;
            self.memory.discard(Memory::bulk(self.way));
        }
    }

    /// Writes as many of the bytes as there is room for, at most a [`PIECE`]; how many that was.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let wanted = bytes.len().min((bytes.len() / 4).clamp(LAST, PIECE));
        if BULK - (self.written - self.taken) < wanted as u64 {
            // Pairs with the store in `Consumer::pull`: what was taken out has been read.
            let taken = self.memory.positions(self.way).bulk_taken.0.load(Ordering::Acquire);
            if !(self.taken..=self.written).contains(&taken) {
                return Err(SCRIBBLED);
            }
            self.taken = taken;
        }
        let room = (BULK - (self.written - self.taken)) as usize;
        let count = wanted.min(room);
        if count > 0 {
            self.memory.write(Memory::bulk(self.way), (self.written % BULK) as usize, &bytes[..count]);
            self.written += count as u64;
            // Pairs with the load in `Consumer::ready`: who sees the number sees the bytes.
            self.memory.positions(self.way).bulk_written.0.store(self.written, Ordering::Release);
        }
        Ok(count)
    }
}

/// The receiver's end.
#[derive(Debug)]
pub(super) struct Consumer {
    memory: Arc<Memory>,
    way: Way,
    taken: u64,
}

impl Consumer {
    pub(super) fn new(memory: Arc<Memory>, way: Way) -> Self {
        Self { memory, way, taken: 0 }
    }

    /// Gives the memory back, if nothing lies in it and nothing is being written. The sender may have had to wait meanwhile.
    pub(super) fn discard(&mut self) {
        let owner = &self.memory.positions(self.way).bulk_owner.0;
        // Pairs with the stores in `Producer::end`.
        if owner.compare_exchange(NOBODYS, RECEIVERS, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            if self.ready().is_ok_and(|ready| ready == 0) {
                self.memory.discard(Memory::bulk(self.way));
            }
            // Pairs with the exchange in `Producer::begin`.
            owner.store(NOBODYS, Ordering::Release);
        }
    }

    /// How many bytes lie ready.
    pub(super) fn ready(&self) -> Result<usize, TransportError> {
        // Pairs with the store in `Producer::push`.
        let written = self.memory.positions(self.way).bulk_written.0.load(Ordering::Acquire);
        match written.checked_sub(self.taken) {
            Some(ready) if ready <= BULK => Ok(ready as usize),
            _ => Err(SCRIBBLED),
        }
    }

    /// Appends bytes, at most a [`PIECE`] and as many as are wanted; how many that was.
    pub(super) fn pull(&mut self, wanted: usize, into: &mut Vec<u8>) -> Result<usize, TransportError> {
        let count = self.ready()?.min(wanted).min(PIECE);
        if count > 0 {
            self.memory.read(Memory::bulk(self.way), (self.taken % BULK) as usize, count, into);
            self.taken += count as u64;
            // Pairs with the load in `Producer::push`.
            self.memory.positions(self.way).bulk_taken.0.store(self.taken, Ordering::Release);
        }
        Ok(count)
    }
}
