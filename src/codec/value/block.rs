//! Packed lists in one piece: many numbers of one type that are written and read at the speed of a copy, and not one by one through serde.

use bytemuck::Pod;
use serde::ser::{Serialize, Serializer};

use super::encoded::EncodedParts;
use super::number::{Element, Packable};
use super::reader::{Head, Reader};
use super::{tag, write};

/// Which numbers a block holds: the byte that stands for their type in a packed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockKind(Element);

/// The numbers of a packed list, as they lie in it: little endian, one behind the other.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    kind: BlockKind,
    raw: &'a [u8],
}

impl<'a> Block<'a> {
    /// Numbers of that kind; `None` where the bytes are no whole number of them.
    pub fn new(kind: BlockKind, raw: &'a [u8]) -> Option<Self> {
        raw.len().is_multiple_of(kind.0.width()).then_some(Self { kind, raw })
    }

    /// The block that a value is; `None` where it is something else, an empty list among it.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(value);
        match reader.head() {
            Ok(Head::Packed(packed)) if reader.finish().is_ok() => {
                Some(Self { kind: BlockKind(packed.element()), raw: packed.raw() })
            }
            _ => None,
        }
    }

    /// Which numbers they are.
    pub fn kind(&self) -> BlockKind {
        self.kind
    }

    /// Their bytes.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }
}

impl Serialize for Block<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = self.raw.len() / self.kind.0.width();
        let mut header = Vec::with_capacity(11);
        if count == 0 {
            // As any empty list.
            write::header(&mut header, tag::Family::List, 0);
        } else {
            header.extend([tag::PACKED, self.kind.0 as u8]);
            write::length(&mut header, count);
        }
        EncodedParts(&header, self.raw).serialize(serializer)
    }
}

/// A Rust number that blocks hold.
pub trait Blocked: Pod {
    /// Its kind.
    const KIND: BlockKind;
}

macro_rules! blocked {
    ($($number:ty)*) => {$(
        impl Blocked for $number {
            const KIND: BlockKind = BlockKind(<$number as Packable>::ELEMENT);
        }
    )*};
}

blocked! { u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 }

impl<'a> Block<'a> {
    /// The block of these numbers, without a copy; `None` where this machine keeps them the other way round.
    pub fn of<N: Blocked>(numbers: &'a [N]) -> Option<Self> {
        cfg!(target_endian = "little").then(|| Self { kind: N::KIND, raw: bytemuck::cast_slice(numbers) })
    }

    /// The numbers; `None` where they are of another kind, or this machine keeps them the other way round.
    pub fn to_vec<N: Blocked>(self) -> Option<Vec<N>> {
        (cfg!(target_endian = "little") && self.kind == N::KIND)
            .then(|| bytemuck::allocation::pod_collect_to_vec(self.raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, decode, encode};

    fn encoded(value: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(Codec::Value, value, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_block_is_written_as_its_numbers_are() {
        let numbers: Vec<i32> = (-150..150).collect();
        let block = Block::of(&numbers).unwrap();
        assert_eq!(encoded(&(1, block, "x")), encoded(&(1, &numbers, "x")));
        assert_eq!(encoded(&vec![block, block]), encoded(&vec![&numbers, &numbers]));
        assert_eq!(encoded(&Block::of::<f64>(&[]).unwrap()), encoded(&Vec::<f64>::new()));
        assert_eq!(decode::<Vec<i32>>(Codec::Value, &encoded(&block)).unwrap(), numbers);
    }

    #[test]
    fn a_block_is_read_back_from_any_place() {
        let bytes = encoded(&vec![1.5, -2.5]);
        let read = Block::read(&bytes).unwrap();
        assert_eq!(read.to_vec::<f64>().unwrap(), [1.5, -2.5]);
        assert!(read.to_vec::<i64>().is_none());
        assert!(Block::read(&encoded(&[1.5])).is_none(), "an array is a tuple");
        assert!(Block::read(&bytes[..bytes.len() - 1]).is_none());
        assert!(Block::new(read.kind(), &[0; 9]).is_none());
    }
}
