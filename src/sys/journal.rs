//! What a process has done, readable after its death: results that it had, and had not sent yet.
//!
//! A worker that is killed takes with it whatever it has not sent. Sending each small result by itself would cost a system call a
//! result; so it notes them in memory that its parent shares, and sends many at once. A store into shared memory is not lost with its
//! process: when the worker is dead, its parent finds there exactly what was finished.
//!
//! Nobody reads while the writer lives. So order matters only between the writer's own stores, for a death between any two of them: what
//! is counted was written before.
#![allow(unsafe_code)]

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::shared::{Mapping, SealedMemory};

/// The words at the beginning, before the records.
#[repr(C)]
struct Head {
    /// Which piece of work the records are of; 0 before the first.
    work: AtomicU64,
    /// The index in it of the first record.
    first: AtomicU64,
    /// How many records there are, above, and how many bytes they have, below: one store counts a record.
    counted: AtomicU64,
}

/// The memory in bytes.
const SIZE: NonZeroUsize = NonZeroUsize::new(64 << 10).expect("not zero");

/// The room for records in bytes.
const ROOM: usize = SIZE.get() - size_of::<Head>();

/// A journal, at either side.
#[derive(Debug)]
pub struct Journal {
    memory: Mapping,
}

/// What was found in a dead process's journal.
#[derive(Debug, PartialEq, Eq)]
pub struct Records {
    /// Which piece of work they are of.
    pub work: u64,
    /// The index of the first.
    pub first: usize,
    /// How many they are.
    pub count: usize,
    /// All their bytes.
    pub bytes: Vec<u8>,
}

impl Journal {
    /// A new one, and the descriptor to be given to the writer.
    ///
    /// # Errors
    /// When there is no descriptor or memory left.
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let memory = SealedMemory::create("multiproc-journal", SIZE)?;
        Ok((Self { memory: memory.map()? }, memory.into_fd()))
    }

    /// The writer's side.
    ///
    /// # Errors
    /// When it is none.
    pub fn open(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { memory: SealedMemory::adopt(fd, SIZE)?.map()? })
    }

    fn head(&self) -> &Head {
        // SAFETY: the mapping begins at a page, is longer than the head, lives as long as `self`, and atomics may be shared.
        unsafe { self.memory.address().cast().as_ref() }
    }

    /// Where the records are.
    fn records(&self) -> *mut u8 {
        // SAFETY: inside the mapping.
        unsafe { self.memory.address().as_ptr().add(size_of::<Head>()) }
    }

    fn counted(&self) -> (usize, usize) {
        let counted = self.head().counted.load(Ordering::Acquire);
        ((counted >> 32) as usize, (counted & 0xffff_ffff) as usize)
    }

    /// Forgets all records, and goes on with those of this work from this index.
    pub fn begin(&mut self, work: u64, first: usize) {
        // In this order: no record is ever counted for another work or place than its own.
        self.head().counted.store(0, Ordering::Release);
        self.head().first.store(first as u64, Ordering::Release);
        self.head().work.store(work, Ordering::Release);
    }

    /// Notes the next record; false when there is no room for it.
    #[inline]
    pub fn note(&mut self, record: &[u8]) -> bool {
        let (count, length) = self.counted();
        if record.len() > ROOM.saturating_sub(length) {
            return false;
        }
        // SAFETY: there is room behind the `length` bytes.
        let place = unsafe { self.records().add(length) };
        // SAFETY: it fits; this process alone writes, and the record is not in the journal.
        unsafe { ptr::copy_nonoverlapping(record.as_ptr(), place, record.len()) };
        let counted = ((count as u64 + 1) << 32) | (length + record.len()) as u64;
        // Behind the bytes. Read by the parent after this process's end, which it has seen.
        self.head().counted.store(counted, Ordering::Release);
        true
    }

    /// How many records there are, and their bytes; for their writer.
    pub fn noted(&mut self) -> (usize, &[u8]) {
        let (count, length) = self.counted();
        // SAFETY: these were written, and nobody writes while the borrow lasts: this process is the writer.
        (count, unsafe { std::slice::from_raw_parts(self.records(), length.min(ROOM)) })
    }

    /// What a writer that has ended has left.
    pub fn left(&self) -> Records {
        let (count, length) = self.counted();
        let mut bytes = vec![0; length.min(ROOM)];
        // SAFETY: that many bytes are in the mapping, and the writer has ended.
        unsafe { ptr::copy_nonoverlapping(self.records(), bytes.as_mut_ptr(), bytes.len()) };
        let word = |word: &AtomicU64| word.load(Ordering::Acquire);
        Records { work: word(&self.head().work), first: word(&self.head().first) as usize, count, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fork::spawn;

    #[test]
    fn what_a_killed_process_had_noted_is_found() {
        let (journal, fd) = Journal::create().unwrap();
        let child = spawn(move || {
            let mut journal = Journal::open(fd).unwrap();
            journal.begin(7, 3);
            assert!(journal.note(b"one") && journal.note(b"") && journal.note(b"three"));
            assert_eq!(journal.noted(), (3, &b"onethree"[..]));
            std::process::abort()
        });
        assert!(child.unwrap().wait(None).unwrap().unwrap().signal().is_some());
        assert_eq!(journal.left(), Records { work: 7, first: 3, count: 3, bytes: b"onethree".to_vec() });
    }

    #[test]
    fn it_is_full_at_its_end() {
        let (journal, fd) = Journal::create().unwrap();
        let mut writer = Journal::open(fd).unwrap();
        writer.begin(1, 0);
        assert!(!writer.note(&vec![7; ROOM + 1]));
        assert!(writer.note(&vec![7; ROOM]));
        assert!(!writer.note(b"x") && writer.note(b""));
        assert_eq!(journal.left().bytes.len(), ROOM);
        writer.begin(2, 5);
        assert_eq!(journal.left(), Records { work: 2, first: 5, count: 0, bytes: Vec::new() });
    }
}
