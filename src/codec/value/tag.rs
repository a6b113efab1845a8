//! The bytes that begin a value, and the lengths that follow them.
//!
//! | first byte | value | what follows |
//! | --- | --- | --- |
//! | `00`–`7f` | int 0 to 127 | |
//! | `80`–`af` | str of 0 to 47 bytes | the text |
//! | `b0`–`b7` | tuple of 0 to 7 | the elements |
//! | `b8`–`bf` | list of 0 to 7 | the elements |
//! | `c0`–`cf` | map of 0 to 15 | keys and values in turn |
//! | `d0` | None | |
//! | `d1`, `d2` | False, True | |
//! | `d3`–`d6` | int of 1, 2, 4, 8 bytes, unsigned | the int |
//! | `d7`–`da` | int of 1, 2, 4, 8 bytes, signed | the int |
//! | `db` | int of any size | length, two's complement |
//! | `dc` | float | 8 bytes |
//! | `dd` | complex | 16 bytes: real, imaginary |
//! | `de`, `df` | str, bytes | length, contents |
//! | `e0`–`e3` | tuple, list, set, frozenset | count, elements |
//! | `e4` | map | count, keys and values in turn |
//! | `e5` | list of equal numbers, packed | element type, count, the numbers |
//! | `e6` | proxy | its place in the frame's token list, as a length is written |
//! | `e7` | an object of another language | length and kind, length and bytes |
//! | `e8`–`ef` | reserved | |
//! | `f0`–`ff` | int -16 to -1 | |
//!
//! Numbers are little endian. A length up to 250 is one byte; 251, 252 and 253 announce 2, 4 and 8 bytes.

/// The largest int that is its own tag; smaller ones down to [`LEAST_INT`] are theirs in two's complement.
pub(in crate::codec) const GREATEST_INT: u8 = 0x7f;
/// The least int that is its own tag.
pub(in crate::codec) const LEAST_INT: i64 = -16;
/// The tag of [`LEAST_INT`].
pub(in crate::codec) const FIRST_NEGATIVE: u8 = 0xf0;

pub(in crate::codec) const SHORT_STR: u8 = 0x80;
pub(in crate::codec) const SHORT_STR_MAX: usize = 47;
pub(in crate::codec) const SHORT_STR_LAST: u8 = SHORT_STR + SHORT_STR_MAX as u8;
pub(in crate::codec) const SHORT_TUPLE: u8 = 0xb0;
pub(in crate::codec) const SHORT_TUPLE_LAST: u8 = 0xb7;
pub(in crate::codec) const SHORT_LIST: u8 = 0xb8;
pub(in crate::codec) const SHORT_LIST_LAST: u8 = 0xbf;
pub(in crate::codec) const SHORT_MAP: u8 = 0xc0;
pub(in crate::codec) const SHORT_MAP_LAST: u8 = 0xcf;

pub(in crate::codec) const NONE: u8 = 0xd0;
pub(in crate::codec) const FALSE: u8 = 0xd1;
pub(in crate::codec) const TRUE: u8 = 0xd2;
pub(in crate::codec) const U8: u8 = 0xd3;
pub(in crate::codec) const U16: u8 = 0xd4;
pub(in crate::codec) const U32: u8 = 0xd5;
pub(in crate::codec) const U64: u8 = 0xd6;
pub(in crate::codec) const I8: u8 = 0xd7;
pub(in crate::codec) const I16: u8 = 0xd8;
pub(in crate::codec) const I32: u8 = 0xd9;
pub(in crate::codec) const I64: u8 = 0xda;
pub(in crate::codec) const BIG_INT: u8 = 0xdb;
pub(in crate::codec) const FLOAT: u8 = 0xdc;
pub(in crate::codec) const COMPLEX: u8 = 0xdd;
pub(in crate::codec) const STR: u8 = 0xde;
pub(in crate::codec) const BYTES: u8 = 0xdf;
pub(in crate::codec) const TUPLE: u8 = 0xe0;
pub(in crate::codec) const LIST: u8 = 0xe1;
pub(in crate::codec) const SET: u8 = 0xe2;
pub(in crate::codec) const FROZEN_SET: u8 = 0xe3;
pub(in crate::codec) const MAP: u8 = 0xe4;
pub(in crate::codec) const PACKED: u8 = 0xe5;
pub(in crate::codec) const PROXY: u8 = 0xe6;
pub(in crate::codec) const OPAQUE: u8 = 0xe7;

/// The longest length of one byte, and what announces longer ones.
pub(in crate::codec) const LENGTH_MAX: u8 = 250;
pub(in crate::codec) const LENGTH_U16: u8 = 251;
pub(in crate::codec) const LENGTH_U32: u8 = 252;
pub(in crate::codec) const LENGTH_U64: u8 = 253;

/// What holds other values, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) enum Family {
    Tuple,
    List,
    Set,
    FrozenSet,
    Map,
}

impl Family {
    /// The tag that a count follows.
    pub(in crate::codec) const fn tag(self) -> u8 {
        match self {
            Self::Tuple => TUPLE,
            Self::List => LIST,
            Self::Set => SET,
            Self::FrozenSet => FROZEN_SET,
            Self::Map => MAP,
        }
    }

    /// The tag that holds a small count itself: that of 0, and the greatest count.
    pub(in crate::codec) const fn short(self) -> Option<(u8, u8)> {
        match self {
            Self::Tuple => Some((SHORT_TUPLE, SHORT_TUPLE_LAST - SHORT_TUPLE)),
            Self::List => Some((SHORT_LIST, SHORT_LIST_LAST - SHORT_LIST)),
            Self::Map => Some((SHORT_MAP, SHORT_MAP_LAST - SHORT_MAP)),
            Self::Set | Self::FrozenSet => None,
        }
    }

    /// How many values an entry is.
    pub(in crate::codec) const fn values_per_entry(self) -> usize {
        match self {
            Self::Map => 2,
            _ => 1,
        }
    }

    /// What Python calls it.
    pub(in crate::codec) const fn name(self) -> &'static str {
        match self {
            Self::Tuple => "tuple",
            Self::List => "list",
            Self::Set => "set",
            Self::FrozenSet => "frozenset",
            Self::Map => "dict",
        }
    }
}
