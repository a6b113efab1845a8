//! Spare memory of a thread, for what is made and dropped at every call: frames and what is encoded into them.
//!
//! The allocator would do, at a price of some 20 ns each time on a path of some 500. Only small buffers are kept, and few.

use std::cell::RefCell;

/// The largest buffer in bytes that is kept.
pub const LARGEST: usize = 4 << 10;
/// How many are kept.
const KEPT: usize = 8;

thread_local! {
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, with memory if there is a spare one.
pub fn take() -> Vec<u8> {
    // A thread that ends has none left.
    SPARES.try_with(|spares| spares.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

/// Gives a buffer back that is needed no more, wherever it came from.
pub fn give(mut buffer: Vec<u8>) {
    if !(1..=LARGEST).contains(&buffer.capacity()) {
        return;
    }
    buffer.clear();
    let _ = SPARES.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        if spares.len() < KEPT {
            spares.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_come_back_and_large_ones_do_not() {
        let buffer = Vec::with_capacity(100);
        let place = buffer.as_ptr();
        give(buffer);
        give(Vec::with_capacity(LARGEST + 1));
        give(Vec::new());
        let again = take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert_eq!(take().capacity(), 0);
        (0..100).for_each(|_| give(vec![1]));
        assert_eq!(SPARES.with(|spares| spares.borrow().len()), KEPT);
        assert!(take().is_empty());
    }
}
