//! Spare memory of a thread, for what is made and dropped at every call: frames and what is encoded into them.
//!
//! For small buffers the allocator would do, at a price of some 20 ns each time on a path of some 500. For large ones it would not: it takes their memory from the system
//! anew, and page faults cost several times as much as the copying. So a thread keeps one or two of them as well; a server's leader, which works for everybody, keeps
//! them whatever their size, and gives them up when nothing has come for a while ([`trim`]).

use std::cell::{Cell, RefCell};

/// The largest small buffer in bytes.
pub const LARGEST: usize = 4 << 10;
/// How many small ones are kept.
const KEPT: usize = 8;
/// How many large ones are kept: for what a socket brings, for a call, and for its answer.
const KEPT_LARGE: usize = 3;
/// How large one may be in bytes that is kept without more ado: 16 MiB, and what goes with them in a frame.
const MODEST: usize = (16 << 20) + (64 << 10);
/// How many times as large as what is wanted a large one may be: what is kept of a frame keeps all of it.
const SLACK: usize = 2;

/// From how many bytes on fresh memory is asked for in huge pages, where the system has any: a fault for each 4 KiB costs more than the copying.
const HUGE: usize = 4 << 20;

thread_local! {
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static LARGE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static MOST: Cell<usize> = const { Cell::new(MODEST) };
}

/// An empty buffer, with memory if there is a spare one.
pub fn take() -> Vec<u8> {
    // A thread that ends has none left.
    SPARES.try_with(|spares| spares.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

/// An empty buffer for so many bytes: a spare one that has room for them, and is not far too large; else a new one with room for at least `first` of them.
pub fn take_for(size: usize, first: usize) -> Vec<u8> {
    if size <= LARGEST {
        let mut buffer = take();
        buffer.reserve_exact(size);
        return buffer;
    }
    let fits = |buffer: &Vec<u8>| (size..=size.saturating_mul(SLACK)).contains(&buffer.capacity());
    let spare = LARGE.try_with(|large| {
        let mut large = large.borrow_mut();
        large.iter().position(fits).map(|place| large.swap_remove(place))
    });
    spare.ok().flatten().unwrap_or_else(|| {
        let mut buffer = Vec::new();
        reserve(&mut buffer, size.min(first));
        buffer
    })
}

/// Makes room for so many bytes more, and not for others, in huge pages where that is worth it.
pub fn reserve(buffer: &mut Vec<u8>, more: usize) {
    if buffer.capacity() - buffer.len() >= more {
        return;
    }
    buffer.reserve_exact(more);
    if buffer.capacity() >= HUGE {
        super::memory::prefer_huge_pages(buffer);
    }
}

/// Gives a buffer back that is needed no more, wherever it came from.
pub fn give(mut buffer: Vec<u8>) {
    let capacity = buffer.capacity();
    if capacity == 0 {
        return;
    }
    buffer.clear();
    if capacity <= LARGEST {
        let _ = SPARES.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            if spares.len() < KEPT {
                spares.push(buffer);
            }
        });
    } else if capacity <= MOST.get() {
        let _ = LARGE.try_with(|large| {
            let mut large = large.borrow_mut();
            if large.len() == KEPT_LARGE {
                // The one that was given back first: those who come next are like those who came last.
                large.remove(0);
            }
            large.push(buffer);
        });
    }
}

/// Keeps large buffers of any size from now on, on this thread, or modest ones only.
pub fn keep_all(all: bool) {
    MOST.set(if all { usize::MAX } else { MODEST });
}

/// Whether this thread keeps anything that is large.
pub fn holds_large() -> bool {
    LARGE.try_with(|large| !large.borrow().is_empty()).unwrap_or(false)
}

/// Gives up what is large.
pub fn trim() {
    let large = LARGE.try_with(|large| std::mem::take(&mut *large.borrow_mut()));
    drop(large);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_come_back() {
        let buffer = Vec::with_capacity(100);
        let place = buffer.as_ptr();
        give(buffer);
        give(Vec::new());
        let again = take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert_eq!(take().capacity(), 0);
        (0..100).for_each(|_| give(vec![1]));
        assert_eq!(SPARES.with(|spares| spares.borrow().len()), KEPT);
        assert!(take().is_empty());
    }

    #[test]
    fn large_buffers_come_back_where_they_fit() {
        give(vec![1; 100_000]);
        assert!(holds_large());
        assert!(take_for(100_001, 10).capacity() < 100_000, "too small");
        assert!(take_for(40_000, 40_000).capacity() < 100_000, "far too large");
        let again = take_for(90_000, 10);
        assert_eq!((again.capacity(), again.len()), (100_000, 0));
        assert!(!holds_large());
        (0..10).for_each(|_| give(vec![1; 100_000]));
        assert_eq!(LARGE.with(|large| large.borrow().len()), KEPT_LARGE);
        trim();
        assert!(!holds_large());
    }

    #[test]
    fn only_who_says_so_keeps_the_largest() {
        give(Vec::with_capacity(MODEST + 1));
        assert!(!holds_large());
        keep_all(true);
        give(Vec::with_capacity(MODEST + 1));
        assert!(holds_large());
        trim();
        keep_all(false);
    }
}
