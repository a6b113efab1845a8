//! Which process of a line of forks this one is, told from a page that the kernel wipes in every child.
//!
//! `getpid` would do, but costs a system call per look, and pids are used again. The page needs no hook to have run, so
//! that a child made by `_Fork` or a bare `clone` knows itself too.
#![allow(unsafe_code)]

use std::num::NonZeroUsize;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};

/// One page is the least that the kernel wipes.
const PAGE: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// The word in the wiped page; null until the first look.
static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// Stands in for the page where the kernel gives none; the child's hook wipes it.
static UNWIPED: AtomicU64 = AtomicU64::new(0);

/// The highest generation given out in this line. Inherited, not wiped: a child counts on from its parent.
static LAST: AtomicU64 = AtomicU64::new(0);

/// The generation of this process: at least 1, and higher than that of every process it descends from.
///
/// Two children of one parent may have the same: it tells a process from its *ancestors*, whose things it may have
/// inherited, and from nothing else. Two loads; the first look of each process takes a little longer.
#[inline]
pub fn generation() -> u64 {
    match word().load(Ordering::Relaxed) {
        0 => next(),
        known => known,
    }
}

/// Counts this process, whose word is still wiped.
#[cold]
fn next() -> u64 {
    // Counted before it is published: were it the other way round, a fork between the two by another thread would
    // give the child its parent's number. Threads that race here skip a number, which costs nothing.
    let mine = LAST.fetch_add(1, Ordering::SeqCst) + 1;
    match word().compare_exchange(0, mine, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => mine,
        Err(first) => first,
    }
}

/// Called first thing in a forked child. Does nothing where the kernel wiped the page.
pub(super) fn begin_in_child() {
    UNWIPED.store(0, Ordering::SeqCst);
    generation();
}

#[inline]
fn word() -> &'static AtomicU64 {
    let word = WORD.load(Ordering::Acquire);
    let word = if word.is_null() { map() } else { word };
    // SAFETY: WORD is null or points to a static, or to a page that is never unmapped; both hold an aligned u64.
    unsafe { &*word }
}

#[cold]
fn map() -> *mut AtomicU64 {
    let page = wiped_page();
    let mine = page.unwrap_or(ptr::from_ref(&UNWIPED).cast_mut());
    match WORD.compare_exchange(ptr::null_mut(), mine, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => mine,
        Err(first) => {
            if let Some(page) = page.and_then(|page| ptr::NonNull::new(page.cast())) {
                // SAFETY: the page was mapped by this thread just now, and nobody has seen its address.
                let _ = unsafe { munmap(page, PAGE.get()) };
            }
            first
        }
    }
}

/// A fresh page of zeros that is zeros again in every forked child.
fn wiped_page() -> Option<*mut AtomicU64> {
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new anonymous mapping, at an address of the kernel's choice, touches nothing that exists.
    let page = unsafe { mmap_anonymous(None, PAGE, access, MapFlags::MAP_PRIVATE) }.ok()?;
    // SAFETY: the advice is for exactly the page mapped above, which holds nothing yet.
    match unsafe { madvise(page, PAGE.get(), MmapAdvise::MADV_WIPEONFORK) } {
        Ok(()) => Some(page.as_ptr().cast()),
        Err(_) => {
            // SAFETY: as above; nobody has seen its address.
            let _ = unsafe { munmap(page, PAGE.get()) };
            None
        }
    }
}

/// The process that made something, so that a forked child can tell an inherited thing from its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64);

impl Stamp {
    /// This process's.
    #[inline]
    pub fn now() -> Self {
        Self(generation())
    }

    /// Whether it was made by this process, and not by one that this one descends from.
    #[inline]
    pub fn is_current(self) -> bool {
        self == Self::now()
    }
}
