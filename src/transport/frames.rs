//! Memory for frames that arrive: the [thread's](buffer) spare memory where that fits, taken from the system little by little where it does not.

use crate::sys::buffer;

/// The first memory that a large frame gets in bytes, whatever it announces; from there on it doubles as bytes arrive.
const FIRST: usize = 1 << 20;

/// Empty memory for a frame.
pub(super) fn memory_for(size: usize) -> Vec<u8> {
    buffer::take_for(size, FIRST)
}

/// Sees to it that there is room for more of a frame of `size` bytes that is arriving.
pub(super) fn make_room(body: &mut Vec<u8>, size: usize) {
    if body.len() == body.capacity() {
        buffer::reserve(body, body.len().max(FIRST).min(size - body.len()));
    }
}
