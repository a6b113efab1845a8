//! From values to bytes and back: the last thing that a proxy does to an argument, and the first that a session does.
//!
//! There are two formats. **bincode** carries the arguments and results of typed proxies: both ends know the type,
//! [`signature`] tells whether they know the *same* type, and nothing but the contents travels. **[`value`]** describes
//! itself: it carries elements of the built-in containers and dynamic calls, so that a server can print, sort and compare
//! what it does not know the type of, and so that Rust and Python share one dict.
//!
//! # Invariants
//! - Nothing here knows of sockets, tokens or objects. A proxy is an index (see [`PROXY`]) into a list that travels beside.
//! - Bytes are untrusted: whatever they hold, reading ends in a value or in a [`CodecError`], never in a panic, never deeper
//!   than [`MAX_DEPTH`], and what is allocated stays within a small multiple of what was read.
//! - Reading must use every byte: bytes left over are an error, because they mean that the two ends disagree.

mod bincode;
mod error;
mod guard;
#[cfg(feature = "python")]
pub mod pickle;
mod shape;
pub mod value;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::error::CodecError;
pub use self::shape::{is_tracing, signature};
pub use self::value::{Value, encode_positional};

/// How deep containers, options, newtypes and enums may nest, in levels, on both formats.
///
/// Each level costs a reader a few hundred bytes of stack (a few thousand without optimisation): 128 fit the smallest stacks
/// in use, and no sensible value comes near it.
pub const MAX_DEPTH: u32 = 128;

/// The name of the newtype struct that a proxy serializes itself as: around a `u32`, its place in the frame's token list.
///
/// bincode sees only the number; [`value`] gives it a tag of its own, so that a server finds the proxies in an element
/// without knowing its type.
pub const PROXY: &str = "$multiproc::Proxy";

/// How many elements a reader tells a collection to make room for before it has seen them.
///
/// An announced length is a claim. serde's collections cap it at 1 MiB each, but a recursive type can stack such claims.
const CLAIMED_ROOM: usize = 4096;

/// How a payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// bincode 2, for typed calls: both sides know the type, and have compared its [`signature`].
    Bincode = 0,
    /// The self-describing format of [`value`], for elements and dynamic calls.
    Value = 1,
}

impl Codec {
    /// The byte that stands for it on the wire.
    pub const fn as_byte(self) -> u8 {
        self as u8
    }

    /// The codec that a byte stands for, if there is one.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Bincode),
            1 => Some(Self::Value),
            _ => None,
        }
    }
}

/// Appends a value's bytes to `out`.
///
/// # Errors
/// Where the type refuses (its own `Serialize` fails, or asks bincode for what it does not have) or the value is nested
/// deeper than [`MAX_DEPTH`]; `out` is then as it was.
#[inline]
pub fn encode<T: Serialize + ?Sized>(codec: Codec, value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    let result = match codec {
        Codec::Bincode => bincode::encode(value, out),
        Codec::Value => value::encode(value, out),
    };
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Appends a value's bytes to `out`, as [`Codec::Bincode`]; or, where there is a large block among them (32 KiB and more), tells only how many bytes it takes. `out` is then
/// as it was, and [`encode_to`] gives the bytes without a copy.
///
/// # Errors
/// As [`encode`].
#[inline]
pub fn encode_or_measure<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<Option<usize>, CodecError> {
    let start = out.len();
    let measured = bincode::encode_or_measure(value, out);
    if !matches!(measured, Ok(None)) {
        out.truncate(start);
    }
    measured
}

/// Takes bytes in, piece by piece.
pub type Put<'a> = &'a mut dyn FnMut(&[u8]);

/// Gives a value's bytes to `put`, piece by piece, as [`Codec::Bincode`].
///
/// # Errors
/// As [`encode`].
pub fn encode_to<T: Serialize + ?Sized>(value: &T, put: Put<'_>) -> Result<(), CodecError> {
    bincode::encode_to(value, put)
}

/// Reads a value from all of `bytes`; text and bytes in it may borrow from them.
///
/// # Errors
/// Where the bytes are damaged, cut off, of another type or more than the value.
#[inline]
pub fn decode<'de, T: Deserialize<'de>>(codec: Codec, bytes: &'de [u8]) -> Result<T, CodecError> {
    match codec {
        Codec::Bincode => bincode::decode(bytes),
        Codec::Value => value::decode(bytes),
    }
}

/// Reads one of many values that were encoded one after the other by [`Codec::Bincode`]; tells how many bytes it took.
///
/// # Errors
/// As [`decode`], but for bytes that are left over.
#[inline]
pub fn decode_next<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<(T, usize), CodecError> {
    bincode::decode_next(bytes)
}
