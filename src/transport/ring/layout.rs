//! Where everything lies in the shared memory.
//!
//! A header page, then for each direction a ring of cells, then for each direction a ring for large frames. What different sides write lies on cache lines of
//! different sides, but for the cells, which change hands.

use std::io;
use std::mem::offset_of;
use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::sys::shared::Mapping;

/// The bytes of a cell: a cache line.
pub(super) const CELL: usize = 64;
/// The bytes of a cell behind its word.
pub(super) const ROOM: usize = CELL - 8;
/// The cells of a direction: 16 KiB. A power of two, as positions are reduced by a mask.
pub(super) const CELLS: u64 = 256;
/// The bytes of a direction's ring for large frames: 512 KiB, so that it stays in a second-level cache of 1 MiB though what is sent passes through that as well. With
/// 1 MiB it does not, and 16 MiB take two and a half times as long. A power of two.
pub(super) const BULK: u64 = 512 << 10;

/// No frame is being written.
pub(super) const NOBODYS: u64 = 0;
/// One is.
pub(super) const SENDERS: u64 = 1;
/// The memory is being given back.
pub(super) const RECEIVERS: u64 = 2;

const MAGIC: u64 = u64::from_le_bytes(*b"MPRCRING");
const VERSION: u32 = 1;

const PAGE: usize = 4096;
const SMALL: usize = CELLS as usize * CELL;
const BULK_SIZE: usize = BULK as usize;
/// The size of the whole memory.
pub(super) const SIZE: NonZeroUsize = NonZeroUsize::new(PAGE + 2 * SMALL + 2 * BULK_SIZE).expect("not zero");

/// Which process this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Client,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }

    /// The direction in which this side writes.
    pub(super) fn way_out(self) -> Way {
        match self {
            Self::Server => Way::ToClient,
            Self::Client => Way::ToServer,
        }
    }
}

/// One direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToServer,
    ToClient,
}

/// What one side says of itself.
#[repr(C, align(64))]
pub(super) struct SideWords {
    /// Raised before it sleeps: see [`doorbell`](super::doorbell).
    pub(super) asleep: AtomicU32,
    /// Where it ran last.
    pub(super) cpu: AtomicU32,
    /// The server's: how many connections are active.
    pub(super) active: AtomicU32,
}

/// A word with a cache line of its own.
#[repr(C, align(64))]
pub(super) struct Line(pub(super) AtomicU64);

/// How far one direction has come. Each is written by one side, and a mere claim to the other.
#[repr(C)]
pub(super) struct Positions {
    /// The cells that have been taken out. By the receiver.
    pub(super) cells_taken: Line,
    /// The bytes of large frames that have been written. By the sender.
    pub(super) bulk_written: Line,
    /// Those that have been taken out. By the receiver.
    pub(super) bulk_taken: Line,
    /// Whose the ring for large frames is at present: [`NOBODYS`], [`SENDERS`] or [`RECEIVERS`]. By both.
    pub(super) bulk_owner: Line,
}

#[repr(C)]
struct Header {
    magic: AtomicU64,
    version: AtomicU32,
    server: SideWords,
    client: SideWords,
    to_server: Positions,
    to_client: Positions,
}

const _: () = assert!(size_of::<Header>() <= PAGE && offset_of!(Header, server) == 64);

/// The memory, mapped.
#[derive(Debug)]
pub(super) struct Memory(Mapping);

impl Memory {
    /// Memory that this process has just made: all zeros.
    pub(super) fn first(mapping: Mapping) -> Self {
        let memory = Self(mapping);
        let header = memory.header();
        header.magic.store(MAGIC, Ordering::Relaxed);
        // The other side sees these at the latest when it has received the descriptor.
        header.version.store(VERSION, Ordering::Release);
        memory
    }

    /// Memory that the other side has made.
    pub(super) fn second(mapping: Mapping) -> io::Result<Self> {
        let memory = Self(mapping);
        let header = memory.header();
        let found = (header.version.load(Ordering::Acquire), header.magic.load(Ordering::Relaxed));
        if found == (VERSION, MAGIC) {
            Ok(memory)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "shared memory of another layout"))
        }
    }

    /// Whether it is mapped in this process.
    #[inline]
    pub(super) fn is_here(&self) -> bool {
        self.0.is_here()
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: every mapping is SIZE bytes from a page's beginning, checked where it was made, and stays as long as `self`. All of a Header is atomics, for
        // which any bytes are good, also those that another process writes meanwhile. In a forked child, where nothing is mapped, nobody comes here (`is_here`).
        unsafe { self.0.address().cast::<Header>().as_ref() }
    }

    #[inline]
    pub(super) fn side(&self, side: Side) -> &SideWords {
        match side {
            Side::Server => &self.header().server,
            Side::Client => &self.header().client,
        }
    }

    #[inline]
    pub(super) fn positions(&self, way: Way) -> &Positions {
        match way {
            Way::ToServer => &self.header().to_server,
            Way::ToClient => &self.header().to_client,
        }
    }

    /// The first word of a cell, which says what is in it.
    #[inline]
    pub(super) fn cell(&self, way: Way, position: u64) -> &AtomicU64 {
        // SAFETY: at a multiple of 64 bytes; else as in `header`.
        unsafe { self.cell_start(way, position).cast::<AtomicU64>().as_ref() }
    }

    #[inline]
    fn cell_start(&self, way: Way, position: u64) -> NonNull<u8> {
        let (start, _) = Self::small(way);
        // SAFETY: every cell of either direction lies inside the mapping.
        unsafe { self.0.address().add(start + (position % CELLS) as usize * CELL) }
    }

    /// Writes into a cell, behind its word and so many bytes.
    #[inline]
    pub(super) fn fill(&self, way: Way, position: u64, skip: usize, bytes: &[u8]) {
        assert!(skip + bytes.len() <= ROOM);
        // SAFETY: asserted to lie inside the cell.
        let target = unsafe { self.cell_start(way, position).add(CELL - ROOM + skip) };
        // SAFETY: as above, and `bytes` are ours; the other process may read or even write there at the same time, which can spoil these bytes but nothing of this process.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target.as_ptr(), bytes.len()) };
    }

    /// How much room private memory must have for so many bytes out of cells.
    #[inline]
    pub(super) fn room_for(length: usize) -> usize {
        length.next_multiple_of(ROOM)
    }

    /// Appends `length` bytes out of the cells from `position` on, as they are at this moment, to private memory.
    #[inline]
    pub(super) fn gather(&self, way: Way, position: u64, length: usize, into: &mut Vec<u8>) {
        let cells = length.div_ceil(ROOM);
        // Whole cells are copied, since that many bytes are copied at once.
        into.reserve(Self::room_for(length));
        let target: *mut u8 = into.spare_capacity_mut().as_mut_ptr().cast();
        for cell in 0..cells {
            // SAFETY: behind a cell's word.
            let source = unsafe { self.cell_start(way, position + cell as u64).add(CELL - ROOM) };
            // SAFETY: that much was reserved.
            let target = unsafe { target.add(cell * ROOM) };
            // SAFETY: the rest of a cell into reserved memory. The other process may write there meanwhile: then it is its own bytes that are garbled, and nobody
            // has looked at them yet.
            unsafe { ptr::copy_nonoverlapping(source.as_ptr(), target, ROOM) };
        }
        // SAFETY: that many bytes have just been written behind the present end.
        unsafe { into.set_len(into.len() + length) };
    }

    /// Where the cells of a direction lie.
    #[inline]
    pub(super) fn small(way: Way) -> (usize, usize) {
        match way {
            Way::ToServer => (PAGE, SMALL),
            Way::ToClient => (PAGE + SMALL, SMALL),
        }
    }

    /// Where the ring for large frames of a direction lies.
    pub(super) fn bulk(way: Way) -> (usize, usize) {
        match way {
            Way::ToServer => (PAGE + 2 * SMALL, BULK_SIZE),
            Way::ToClient => (PAGE + 2 * SMALL + BULK_SIZE, BULK_SIZE),
        }
    }

    /// Gives the memory of a ring back to the system until it is written again. What lies in it is lost.
    pub(super) fn discard(&self, (start, size): (usize, usize)) {
        self.0.discard(start..start + size);
    }

    /// Writes at `offset` of the ring that lies at `start`, going on at its beginning where it ends.
    pub(super) fn write(&self, (start, size): (usize, usize), offset: usize, bytes: &[u8]) {
        assert!(start + size <= SIZE.get() && offset < size && bytes.len() <= size);
        let (first, rest) = bytes.split_at(bytes.len().min(size - offset));
        // SAFETY: asserted to lie inside.
        let near = unsafe { self.0.address().add(start + offset) };
        // SAFETY: both ranges are of `first.len()` bytes, one ours and one inside the mapping up to the ring's end at most; the other process may read or even write
        // there at the same time, which can spoil these bytes but nothing of this process.
        unsafe { ptr::copy_nonoverlapping(first.as_ptr(), near.as_ptr(), first.len()) };
        if !rest.is_empty() {
            // SAFETY: asserted to lie inside.
            let begin = unsafe { self.0.address().add(start) };
            // SAFETY: as above; the rest is no longer than the ring.
            unsafe { ptr::copy_nonoverlapping(rest.as_ptr(), begin.as_ptr(), rest.len()) };
        }
    }

    /// Appends `length` bytes from `offset` of the ring that lies at `start`, as they are at this moment, to private memory.
    pub(super) fn read(&self, (start, size): (usize, usize), offset: usize, length: usize, into: &mut Vec<u8>) {
        assert!(start + size <= SIZE.get() && offset < size && length <= size);
        into.reserve(length);
        let first = length.min(size - offset);
        let target: *mut u8 = into.spare_capacity_mut().as_mut_ptr().cast();
        // SAFETY: asserted to lie inside.
        let near: NonNull<u8> = unsafe { self.0.address().add(start + offset) };
        // SAFETY: `length` bytes were reserved, and the source lies inside the mapping up to the ring's end at most. The other process may write there meanwhile:
        // then it is its own bytes that are garbled, and nobody has looked at them yet.
        unsafe { ptr::copy_nonoverlapping(near.as_ptr(), target, first) };
        if first < length {
            // SAFETY: asserted to lie inside.
            let begin = unsafe { self.0.address().add(start) };
            // SAFETY: fewer bytes than were reserved.
            let target = unsafe { target.add(first) };
            // SAFETY: as above.
            unsafe { ptr::copy_nonoverlapping(begin.as_ptr(), target, length - first) };
        }
        // SAFETY: that many bytes have just been written behind the present end.
        unsafe { into.set_len(into.len() + length) };
    }
}
