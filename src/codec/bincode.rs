//! bincode 2, the format of typed calls. No other file names it.
//!
//! Its authors have stopped (3.0.0 is an empty shell), so version 2 is pinned and what it lacks is added here: bytes
//! left over are an error, a [`Guard`] holds it to [`MAX_DEPTH`](super::MAX_DEPTH) and to lengths that the input can
//! hold, and its errors get words. It misreads silently where types differ, which is why typed calls compare a
//! [`signature`](super::signature) first.

use std::cell::Cell;
use std::marker::PhantomData;

use bincode::config::{self, Configuration};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bincode::serde::{DecodeError as SerdeDecodeError, encode_into_writer, seed_decode_from_slice};
use serde::de::{Deserialize, DeserializeSeed, Deserializer};
use serde::ser::Serialize;

use super::Put;
use super::error::{CodecError, Problem};
use super::guard::{self, Guard};

/// Little endian, variable-length integers.
const FORMAT: Configuration = config::standard();

/// From how many bytes on a block is worth being encoded twice rather than copied: once to count, once to send.
const LARGE_BLOCK: usize = 32 << 10;

/// Appends a value's bytes to `out`.
#[inline]
pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    encode_into_writer(value, Appender(out), FORMAT).map_err(encode_error)
}

/// Appends a value's bytes to `out`; or tells how many they are, where there is a large block among them.
#[inline]
pub(super) fn encode_or_measure<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<Option<usize>, CodecError> {
    debug_assert!(out.is_empty());
    let mut measure = Measure { out, size: None };
    encode_into_writer(value, &mut measure, FORMAT).map_err(encode_error)?;
    Ok(measure.size)
}

/// Gives a value's bytes to `put`, piece by piece.
pub(super) fn encode_to<T: Serialize + ?Sized>(value: &T, put: Put<'_>) -> Result<(), CodecError> {
    encode_into_writer(value, Pieces { put, gathered: [0; PIECE], length: 0 }, FORMAT).map_err(encode_error)
}

/// Reads a value from all of `bytes`.
#[inline]
pub(super) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, CodecError> {
    let budget = Cell::new(guard::budget(bytes.len()));
    let seed = Guarded { budget: &budget, target: PhantomData };
    let (value, used) = seed_decode_from_slice(seed, bytes, FORMAT).map_err(decode_error)?;
    match bytes.len() - used {
        0 => Ok(value),
        left => Err(Problem::TrailingBytes { left }.into()),
    }
}

/// Reads a value from the beginning of `bytes`; tells how many it took.
#[inline]
pub(super) fn decode_next<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<(T, usize), CodecError> {
    let budget = Cell::new(guard::budget(bytes.len()));
    let seed = Guarded { budget: &budget, target: PhantomData };
    seed_decode_from_slice(seed, bytes, FORMAT).map_err(decode_error)
}

/// Writes to the end of a `Vec`.
struct Appender<'a>(&'a mut Vec<u8>);

impl Writer for Appender<'_> {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Writes to the end of a `Vec` until a large block comes; counts only from then on.
struct Measure<'a> {
    out: &'a mut Vec<u8>,
    size: Option<usize>,
}

impl Writer for &mut Measure<'_> {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        match &mut self.size {
            None if bytes.len() < LARGE_BLOCK => Appender(self.out).write(bytes)?,
            None => self.size = Some(self.out.len() + bytes.len()),
            Some(size) => *size += bytes.len(),
        }
        Ok(())
    }
}

/// How many bytes of small pieces are gathered.
const PIECE: usize = 256;

/// Hands pieces on, small ones together.
struct Pieces<'a> {
    put: Put<'a>,
    gathered: [u8; PIECE],
    length: usize,
}

impl Writer for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if self.length + bytes.len() > PIECE {
            (self.put)(&self.gathered[..self.length]);
            self.length = 0;
        }
        match self.gathered.get_mut(self.length..self.length + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => (self.put)(bytes),
        }
        Ok(())
    }
}

impl Drop for Pieces<'_> {
    fn drop(&mut self) {
        (self.put)(&self.gathered[..self.length]);
    }
}

/// Puts the guard between bincode and the type.
struct Guarded<'a, T> {
    budget: &'a Cell<usize>,
    target: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Guarded<'_, T> {
    type Value = T;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::deserialize(Guard::new(deserializer, self.budget))
    }
}

/// bincode's own words are Rust structures in debug form.
#[cold]
fn encode_error(error: EncodeError) -> CodecError {
    let text = match error {
        EncodeError::OtherString(text) => text,
        EncodeError::Other(text) => text.to_owned(),
        EncodeError::Serde(_) => {
            "a sequence or map does not know its length, as bincode needs; declare it with `codec = value`".to_owned()
        }
        other => other.to_string(),
    };
    Problem::Custom(text).into()
}

#[cold]
fn decode_error(error: DecodeError) -> CodecError {
    let problem = match error {
        DecodeError::UnexpectedEnd { additional } => Problem::UnexpectedEnd { missing: additional },
        DecodeError::Utf8 { inner } => Problem::Utf8(inner),
        DecodeError::InvalidBooleanValue(byte) => {
            Problem::Mismatch { expected: "a bool (0 or 1)".into(), found: format!("byte {byte}") }
        }
        DecodeError::InvalidIntegerType { expected, found } => Problem::Mismatch {
            expected: format!("an int of at most {expected:?}"),
            found: format!("one written as {found:?}"),
        },
        DecodeError::InvalidCharEncoding(bytes) => {
            Problem::Mismatch { expected: "a char".into(), found: format!("bytes {bytes:02x?}") }
        }
        DecodeError::UnexpectedVariant { type_name, found, .. } => {
            Problem::Mismatch { expected: format!("a variant of {type_name}"), found: format!("number {found}") }
        }
        DecodeError::Serde(SerdeDecodeError::AnyNotSupported) => Problem::NotSelfDescribing { what: "any value" },
        DecodeError::Serde(SerdeDecodeError::IdentifierNotSupported) => {
            Problem::NotSelfDescribing { what: "field names" }
        }
        DecodeError::Serde(SerdeDecodeError::IgnoredAnyNotSupported) => {
            Problem::NotSelfDescribing { what: "values to skip" }
        }
        DecodeError::OtherString(text) => Problem::Custom(text),
        DecodeError::Other(text) => Problem::Custom(text.to_owned()),
        other => Problem::Custom(other.to_string()),
    };
    problem.into()
}
