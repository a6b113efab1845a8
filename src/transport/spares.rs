//! Memory for frames: used again where it fits, taken from the system little by little where it does not. The smallest share the [thread's](buffer).

use crate::sys::buffer;

/// What separates small frames from large ones, in bytes: the socket's read buffer.
pub(super) const SMALL: usize = 64 << 10;

/// The first memory that a large frame gets in bytes, whatever it announces; from there on it doubles as bytes arrive.
const FIRST: usize = 1 << 20;

/// The largest buffer in bytes that is kept for reuse. Reuse saves the page faults, which are most of the cost of a
/// large frame; kept is what an active connection may hold without being asked.
const KEPT: usize = 16 << 20;

/// Buffers given back: one for small frames, one for large ones.
#[derive(Debug, Default)]
pub(super) struct Spares([Vec<u8>; 2]);

impl Spares {
    /// Empty memory for a frame: a recycled buffer that is not far too large for it, or else a new one.
    pub(super) fn memory_for(&mut self, size: usize) -> Vec<u8> {
        if size <= buffer::LARGEST {
            let mut memory = buffer::take();
            memory.reserve_exact(size);
            return memory;
        }
        let spare = &mut self.0[usize::from(size > SMALL)];
        let fits = (size..=size.saturating_mul(4).max(1 << 10)).contains(&spare.capacity());
        if fits { std::mem::take(spare) } else { Vec::with_capacity(size.min(FIRST)) }
    }

    /// Sees to it that there is room for more of a frame of `size` bytes that is arriving.
    pub(super) fn make_room(body: &mut Vec<u8>, size: usize) {
        if body.len() == body.capacity() {
            body.reserve_exact(body.len().max(FIRST).min(size - body.len()));
        }
    }

    /// Takes memory back.
    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= buffer::LARGEST {
            return buffer::give(buffer);
        }
        buffer.clear();
        let spare = &mut self.0[usize::from(buffer.capacity() > SMALL)];
        if buffer.capacity() > spare.capacity() && buffer.capacity() <= KEPT {
            *spare = buffer;
        }
    }

    /// Gives all of it up.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    #[cfg(test)]
    /// How many bytes are kept.
    pub(super) fn memory(&self) -> usize {
        self.0.iter().map(Vec::capacity).sum()
    }
}
