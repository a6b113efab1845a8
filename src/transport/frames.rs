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

/// Empties memory that serves for one frame after the other, and sees to it that there is room for so many bytes.
#[inline]
pub(super) fn reuse(memory: &mut Vec<u8>, size: usize) {
    memory.clear();
    if memory.capacity() < size {
        replace(memory, memory_for(size));
    }
}

/// Has a frame take the place of another that is done with.
pub(super) fn replace(frame: &mut Vec<u8>, by: Vec<u8>) {
    buffer::give(std::mem::replace(frame, by));
}
