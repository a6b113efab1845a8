//! One direction's small records, in cells of 64 bytes.
//!
//! A record takes whole cells: a word that says what it is, then its bytes. The word is written last, so a receiver that sees it sees all of the record; and
//! since it lies on the same cache line as the first bytes, a small record costs one transfer between processors.
//!
//! The word behind the newest record is always zero: the sender clears it before it publishes the record. So what lay in the cells before, a frame's bytes
//! included, can never be taken for a record; one cell is kept free for that.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::layout::{CELL, CELLS, Memory, Way};
use crate::transport::TransportError;

/// The bytes of a record's word.
const WORD: usize = 8;
/// The most bytes that a record takes: a quarter of the ring, so that a few always fit. Larger frames are streamed.
pub(super) const MAX_RECORD: usize = CELLS as usize * CELL / 4 - WORD;

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
        self.length as u64 | kind << 32 | position << 40
    }

    fn read(word: u64, position: u64) -> Result<Self, TransportError> {
        let kind = match word >> 32 & 0xff {
            1 => Kind::Frame,
            2 => Kind::Bulk,
            _ => return Err(TransportError::Scribbled { what: "a record of no kind" }),
        };
        if word >> 40 != position & 0xff_ffff {
            return Err(TransportError::Scribbled { what: "a record of another place" });
        }
        let length = (word & 0xffff_ffff) as usize;
        let possible = match kind {
            Kind::Frame => length <= MAX_RECORD,
            Kind::Bulk => length == 8,
        };
        if possible { Ok(Self { kind, length }) } else { Err(TransportError::Scribbled { what: "a record's length" }) }
    }

    fn cells(self) -> u64 {
        (WORD + self.length).div_ceil(CELL) as u64
    }
}

/// The place behind `skip` bytes of the record at `position`.
fn offset(position: u64, skip: usize) -> usize {
    ((position % CELLS) as usize * CELL + WORD + skip) % (CELLS as usize * CELL)
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
    pub(super) fn push(&mut self, kind: Kind, length: usize, parts: &[&[u8]]) -> Result<bool, TransportError> {
        let record = Record { kind, length };
        let end = self.position + record.cells();
        if !self.has_room(end + 1)? {
            return Ok(false);
        }
        let mut skip = 0;
        for part in parts {
            self.memory.write(Memory::small(self.way), offset(self.position, skip), part);
            skip += part.len();
        }
        self.memory.cell(self.way, end).store(0, Ordering::Relaxed);
        // Pairs with the load in `Consumer::peek`: who sees the word sees the bytes, and the zero behind them.
        self.memory.cell(self.way, self.position).store(record.word(self.position), Ordering::Release);
        self.position = end;
        Ok(true)
    }

    /// Whether all records have been taken out.
    pub(super) fn is_empty(&self) -> bool {
        // Pairs with the store in `Consumer::skip`.
        self.memory.positions(self.way).cells_taken.0.load(Ordering::Acquire) == self.position
    }

    /// Gives the memory back, if all records have been taken out: then it holds zeros, as it did at first.
    pub(super) fn discard(&mut self) {
        // A wrong word harms its writer's own records.
        if self.is_empty() {
            self.taken = self.position;
            self.memory.discard(Memory::small(self.way));
        }
    }

    /// Whether the cells before `end` are free.
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

    /// Whether a record has come.
    pub(super) fn is_ready(&self) -> bool {
        self.memory.cell(self.way, self.position).load(Ordering::Relaxed) != 0
    }

    /// The record that has come.
    pub(super) fn peek(&self) -> Result<Option<Record>, TransportError> {
        // Pairs with the store in `Producer::push`.
        match self.memory.cell(self.way, self.position).load(Ordering::Acquire) {
            0 => Ok(None),
            word => Record::read(word, self.position).map(Some),
        }
    }

    /// Appends the bytes of a record that was peeked at, and takes it out.
    pub(super) fn take(&mut self, record: Record, into: &mut Vec<u8>) {
        self.read(record, into);
        self.skip(record);
    }

    /// Appends the bytes of a record that was peeked at.
    pub(super) fn read(&self, record: Record, into: &mut Vec<u8>) {
        self.memory.read(Memory::small(self.way), offset(self.position, 0), record.length, into);
    }

    /// Takes a record out that was read.
    pub(super) fn skip(&mut self, record: Record) {
        self.position += record.cells();
        // Pairs with the load in `Producer::has_room`.
        self.memory.positions(self.way).cells_taken.0.store(self.position, Ordering::Release);
    }
}
