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
pub(super) const GREATEST_INT: u8 = 0x7f;
/// The least int that is its own tag.
pub(super) const LEAST_INT: i64 = -16;
/// The tag of [`LEAST_INT`].
pub(super) const FIRST_NEGATIVE: u8 = 0xf0;

pub(super) const SHORT_STR: u8 = 0x80;
pub(super) const SHORT_STR_MAX: usize = 47;
pub(super) const SHORT_STR_LAST: u8 = SHORT_STR + SHORT_STR_MAX as u8;
pub(super) const SHORT_TUPLE: u8 = 0xb0;
pub(super) const SHORT_TUPLE_LAST: u8 = 0xb7;
pub(super) const SHORT_LIST: u8 = 0xb8;
pub(super) const SHORT_LIST_LAST: u8 = 0xbf;
pub(super) const SHORT_MAP: u8 = 0xc0;
pub(super) const SHORT_MAP_LAST: u8 = 0xcf;

pub(super) const NONE: u8 = 0xd0;
pub(super) const FALSE: u8 = 0xd1;
pub(super) const TRUE: u8 = 0xd2;
pub(super) const U8: u8 = 0xd3;
pub(super) const U16: u8 = 0xd4;
pub(super) const U32: u8 = 0xd5;
pub(super) const U64: u8 = 0xd6;
pub(super) const I8: u8 = 0xd7;
pub(super) const I16: u8 = 0xd8;
pub(super) const I32: u8 = 0xd9;
pub(super) const I64: u8 = 0xda;
pub(super) const BIG_INT: u8 = 0xdb;
pub(super) const FLOAT: u8 = 0xdc;
pub(super) const COMPLEX: u8 = 0xdd;
pub(super) const STR: u8 = 0xde;
pub(super) const BYTES: u8 = 0xdf;
pub(super) const TUPLE: u8 = 0xe0;
pub(super) const LIST: u8 = 0xe1;
pub(super) const SET: u8 = 0xe2;
pub(super) const FROZEN_SET: u8 = 0xe3;
pub(super) const MAP: u8 = 0xe4;
pub(super) const PACKED: u8 = 0xe5;
pub(super) const PROXY: u8 = 0xe6;
pub(super) const OPAQUE: u8 = 0xe7;

/// The longest length of one byte, and what announces longer ones.
pub(super) const LENGTH_MAX: u8 = 250;
pub(super) const LENGTH_U16: u8 = 251;
pub(super) const LENGTH_U32: u8 = 252;
pub(super) const LENGTH_U64: u8 = 253;

/// What holds other values, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Tuple,
    List,
    Set,
    FrozenSet,
    Map,
}

impl Family {
    /// The tag that a count follows.
    pub(super) const fn tag(self) -> u8 {
        match self {
            Self::Tuple => TUPLE,
            Self::List => LIST,
            Self::Set => SET,
            Self::FrozenSet => FROZEN_SET,
            Self::Map => MAP,
        }
    }

    /// The tag that holds a small count itself: that of 0, and the greatest count.
    pub(super) const fn short(self) -> Option<(u8, u8)> {
        match self {
            Self::Tuple => Some((SHORT_TUPLE, SHORT_TUPLE_LAST - SHORT_TUPLE)),
            Self::List => Some((SHORT_LIST, SHORT_LIST_LAST - SHORT_LIST)),
            Self::Map => Some((SHORT_MAP, SHORT_MAP_LAST - SHORT_MAP)),
            Self::Set | Self::FrozenSet => None,
        }
    }

    /// How many values an entry is.
    pub(super) const fn values_per_entry(self) -> usize {
        match self {
            Self::Map => 2,
            _ => 1,
        }
    }

    /// What Python calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tuple => "tuple",
            Self::List => "list",
            Self::Set => "set",
            Self::FrozenSet => "frozenset",
            Self::Map => "dict",
        }
    }
}
