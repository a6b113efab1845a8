//! Bytes that are kept where they came, or go out from where they lie: large ones change hands without being copied.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// From how many bytes on memory is shared instead of copied: what keeping a whole buffer for a part of it, and counting its users, is worth.
pub const LARGE: usize = 64 << 10;

/// A part of memory that others may hold, too, and nobody changes.
#[derive(Clone, Default)]
pub struct SharedBytes {
    memory: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl SharedBytes {
    /// `part` of that memory, without a copy; `None` where it lies elsewhere, or where more than half of the memory would be kept for nothing.
    pub fn part(memory: &Arc<Vec<u8>>, part: &[u8]) -> Option<Self> {
        let start = (part.as_ptr() as usize).checked_sub(memory.as_ptr() as usize)?;
        let range = start..start.checked_add(part.len())?;
        (range.end <= memory.len() && part.len() >= memory.capacity() / 2)
            .then(|| Self { memory: Arc::clone(memory), range })
    }
}

impl From<Vec<u8>> for SharedBytes {
    fn from(mut memory: Vec<u8>) -> Self {
        if memory.len() < memory.capacity() / 2 {
            memory.shrink_to_fit();
        }
        Self { range: 0..memory.len(), memory: Arc::new(memory) }
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.range.clone()]
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.range.len(), self.memory.len())
    }
}

/// Bytes that somebody gives away: his own, or those that others hold, too.
#[derive(Debug)]
pub enum Bytes {
    /// Nobody else's.
    Own(Vec<u8>),
    /// Also somebody else's.
    Shared(SharedBytes),
}

impl Default for Bytes {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Own(bytes)
    }
}

impl From<SharedBytes> for Bytes {
    fn from(bytes: SharedBytes) -> Self {
        Self::Shared(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_a_buffer_is_shared_and_a_little_of_it_is_not() {
        let memory = Arc::new((0..=255).collect::<Vec<u8>>());
        let part = SharedBytes::part(&memory, &memory[100..]).unwrap();
        assert_eq!((part.as_ptr(), &*part), (memory[100..].as_ptr(), &memory[100..]));
        assert_eq!(&*part.clone(), &*part);
        assert!(SharedBytes::part(&memory, &memory[200..]).is_none());
        let elsewhere = memory.to_vec();
        assert!(SharedBytes::part(&memory, &elsewhere).is_none());
        assert!(SharedBytes::part(&Arc::new(elsewhere), &memory).is_none());
        assert_eq!(&*SharedBytes::from(vec![1, 2]), [1, 2]);
        assert!(SharedBytes::default().is_empty());
    }
}
