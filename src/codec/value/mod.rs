//! `codec/value`: the format that describes itself, in which elements travel and are stored, and dynamic calls are made.
//!
//! It knows what Python knows: None, bool, int of any size, float, complex, str, bytes, tuple, list, set, frozenset, dict, besides
//! proxies and objects of other languages, which it keeps untouched. It is written straight from serde and read straight into
//! serde's types, without a tree between; [`Value`] is the tree for those who want one. What the bytes are stands in [`tag`].
//!
//! How serde's types appear:
//!
//! | Rust | value |
//! | --- | --- |
//! | integers, `f32` and `f64`, `bool` | int, float, bool; the width is not kept |
//! | `char`, `str` | str |
//! | `serde_bytes` | bytes |
//! | `()`, unit structs, `None` | None |
//! | `Some(x)`, newtype structs | x. So `Some(None)` and `Some(())` come back as `None` |
//! | tuples, tuple structs, arrays | tuple |
//! | sequences and sets | list; packed, where all elements are of one numeric type (`Vec<u8>` too) |
//! | maps, structs | map; a struct's keys are its field names |
//! | enums | a unit variant is its name, others are a map of one entry, name to contents |
//!
//! Reading is as strict as Python and as lenient as it: an int may be read as a float, a tuple as a list, a packed list of
//! bytes as bytes, a tuple as a struct; but a bool is no int, and bytes are no str.
//!
//! # Security
//! Reading executes nothing, and trusts no length: see [`Reader`](reader::Reader).

mod access;
mod arguments;
pub(super) mod bigint;
mod block;
mod canonical;
mod deserializer;
mod display;
mod encoded;
mod list;
pub(super) mod number;
mod order;
#[cfg(feature = "python")]
pub mod parts;
mod proxies;
pub(super) mod reader;
mod serializer;
pub(super) mod tag;
mod tree;
mod tree_serde;
pub(super) mod write;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use self::deserializer::Deserializer;
use self::serializer::Serializer;
use super::error::CodecError;

pub use self::arguments::{decode_arguments, encode_arguments, encode_positional};
pub use self::block::{Block, BlockKind, Blocked};
pub use self::canonical::{canonical, is_canonical};
pub use self::display::{display, display_with};
pub use self::encoded::{Encoded, cut, read_encoded};
pub use self::order::compare;
pub use self::proxies::{replace_proxies, write_identity, write_proxy};
pub use self::tree::Value;

/// The name of the newtype struct that a [`Value`] serializes itself as, around its bytes: they are spliced into this format
/// as they are, and are bytes in any other that people don't read.
pub(super) const VALUE: &str = "$multiproc::Value";

/// The name of the newtype struct that an [`Encoded`] serializes itself as: as [`VALUE`], but of bytes that have been read before, and are not looked at again.
pub(super) const ENCODED: &str = "$multiproc::Encoded";

/// The bytes of None, for who needs a value that is certain to be one.
pub const NONE: &[u8] = &[tag::NONE];

/// Appends a value's bytes to `out`.
#[inline]
pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    value.serialize(&mut Serializer::new(out))
}

/// Reads a value from all of `bytes`.
#[inline]
pub(super) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, CodecError> {
    let mut deserializer = Deserializer::new(bytes);
    let value = T::deserialize(&mut deserializer)?;
    deserializer.finish()?;
    Ok(value)
}
