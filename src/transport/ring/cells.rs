//! One direction's small records, in cells of 64 bytes.
//!
//! A record takes whole cells. Each begins with a word: the first cell's says what the record is, those of the others only that they belong to it; in all of them stands for which
//! position they were written. The first word is written last, so a receiver that sees it sees all of the record; and since it lies on the same cache line as the first
//! bytes, a record of up to 56 bytes, which is most calls and most replies, costs one transfer between processors.
//!
//! Where a word lies there never lie bytes of a frame, and what was written for an earlier position says so. So what lay in the cells before can never be taken for a
//! record, and nothing has to be cleared ahead of the newest one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::layout::{CELLS, Memory, ROOM, Way};
use crate::transport::TransportError;

/// The most bytes that a record takes: a quarter of the ring, so that a few always fit. Larger frames are streamed.
pub(super) const MAX_RECORD: usize = CELLS as usize / 4 * ROOM;

/// The kind of a cell that goes on with a record.
const REST: u64 = 3;

/// The word of a cell that was written for this position.
fn word(position: u64, kind: u64, length: usize) -> u64 {
    length as u64 | kind << 32 | position << 40
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A frame.
    Frame,
    /// The length of a frame that comes by the other ring, as 8 bytes.
    Bulk,
}

/// A record's word, which is never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) length: usize,
}

impl Record {
    /// The word for the record at this position, whose low bits are in it.
    fn word(self, position: u64) -> u64 {
        let kind = match self.kind {
            Kind::Frame => 1,
            Kind::Bulk => 2,
        };
        word(position, kind, self.length)
    }

    /// What a word says at this position; `None` for one of an earlier lap.
    #[inline]
    fn read(word: u64, position: u64) -> Result<Option<Self>, TransportError> {
        let of = |position: u64| word >> 40 == position & 0xff_ffff;
        if word == 0 || of(position.wrapping_sub(CELLS)) && position >= CELLS {
            return Ok(None);
        }
        if !of(position) {
            return Err(TransportError::Scribbled { what: "a record of another place" });
        }
        let kind = match word >> 32 & 0xff {
            1 => Kind::Frame,
            2 => Kind::Bulk,
            _ => return Err(TransportError::Scribbled { what: "a record of no kind" }),
        };
        let length = (word & 0xffff_ffff) as usize;
        let possible = match kind {
            Kind::Frame => length <= MAX_RECORD,
            Kind::Bulk => length == 8,
        };
        let record = Self { kind, length };
        if possible { Ok(Some(record)) } else { Err(TransportError::Scribbled { what: "a record's length" }) }
    }

    #[inline]
    fn cells(self) -> u64 {
        self.length.div_ceil(ROOM).max(1) as u64
    }
}

impl Memory {
    /// Whether at this position lies a record, or nonsense.
    #[inline]
    pub(super) fn is_ready(&self, way: Way, position: u64) -> bool {
        !matches!(Record::read(self.cell(way, position).load(Ordering::Relaxed), position), Ok(None))
    }
}

/// The sender's end.
#[derive(Debug)]
pub(super) struct Producer {
    memory: Arc<Memory>,
    way: Way,
    /// How many cells have been written.
    position: u64,
    /// How many of them the receiver had taken out when it was last asked.
    taken: u64,
}

impl Producer {
    pub(super) fn new(memory: Arc<Memory>, way: Way) -> Self {
        Self { memory, way, position: 0, taken: 0 }
    }

    /// Writes a record, if there is room for it. `length` is the parts' together, at most [`MAX_RECORD`].
    #[inline]
    pub(super) fn push(&mut self, kind: Kind, length: usize, parts: &[&[u8]]) -> Result<bool, TransportError> {
        let record = Record { kind, length };
        let end = self.position + record.cells();
        if !self.has_room(end)? {
            return Ok(false);
        }
        let mut filled = 0;
        if length <= ROOM {
            for part in parts {
                self.memory.fill(self.way, self.position, filled, part);
                filled += part.len();
            }
        } else {
            self.fill_many(parts);
        }
        for cell in self.position + 1..end {
            self.memory.cell(self.way, cell).store(word(cell, REST, 0), Ordering::Relaxed);
        }
        // Pairs with the load in `Consumer::peek`: who sees the word sees the bytes.
        self.memory.cell(self.way, self.position).store(record.word(self.position), Ordering::Release);
        self.position = end;
        Ok(true)
    }

    /// Writes what takes more than one cell.
    fn fill_many(&self, parts: &[&[u8]]) {
        let (mut cell, mut filled) = (self.position, 0);
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                if filled == ROOM {
                    (cell, filled) = (cell + 1, 0);
                }
                let (near, far) = rest.split_at(rest.len().min(ROOM - filled));
                self.memory.fill(self.way, cell, filled, near);
                filled += near.len();
                rest = far;
            }
        }
    }

    /// Gives the memory back, if all records have been taken out: then it holds zeros, as it did at first.
    pub(super) fn discard(&mut self) {
        // Pairs with the store in `Consumer::skip`. A wrong word harms its writer's own records.
        if self.memory.positions(self.way).cells_taken.0.load(Ordering::Acquire) == self.position {
            self.taken = self.position;
            self.memory.discard(Memory::small(self.way));
        }
    }

    /// Whether the cells before `end` are free.
    #[inline]
    fn has_room(&mut self, end: u64) -> Result<bool, TransportError> {
        if end <= self.taken + CELLS {
            return Ok(true);
        }
        // Pairs with the store in `Consumer::take`: what was taken out has been read.
        let taken = self.memory.positions(self.way).cells_taken.0.load(Ordering::Acquire);
        if !(self.taken..=self.position).contains(&taken) {
            return Err(TransportError::Scribbled { what: "how much was taken out" });
        }
        self.taken = taken;
        Ok(end <= self.taken + CELLS)
    }
}

/// The receiver's end.
#[derive(Debug)]
pub(super) struct Consumer {
    memory: Arc<Memory>,
    way: Way,
    /// How many cells have been taken out.
    position: u64,
}

impl Consumer {
    pub(super) fn new(memory: Arc<Memory>, way: Way) -> Self {
        Self { memory, way, position: 0 }
    }

    /// Whether a record has come, or nonsense.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.memory.is_ready(self.way, self.position)
    }

    /// How many cells have been taken out.
    #[inline]
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The record that has come.
    #[inline]
    pub(super) fn peek(&self) -> Result<Option<Record>, TransportError> {
        // Pairs with the store in `Producer::push`.
        Record::read(self.memory.cell(self.way, self.position).load(Ordering::Acquire), self.position)
    }

    /// Appends the bytes of a record that was peeked at, and takes it out.
    #[inline]
    pub(super) fn take(&mut self, record: Record, into: &mut Vec<u8>) {
        self.read(record, into);
        self.skip(record);
    }

    /// Appends the bytes of a record that was peeked at.
    #[inline]
    pub(super) fn read(&self, record: Record, into: &mut Vec<u8>) {
        self.memory.gather(self.way, self.position, record.length, into);
    }

    /// Takes a record out that was read.
    #[inline]
    pub(super) fn skip(&mut self, record: Record) {
        self.position += record.cells();
        // Pairs with the load in `Producer::has_room`.
        self.memory.positions(self.way).cells_taken.0.store(self.position, Ordering::Release);
    }
}
