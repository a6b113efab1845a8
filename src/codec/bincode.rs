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

use super::error::{CodecError, Problem};
use super::guard::{self, Guard};

/// Little endian, variable-length integers.
const FORMAT: Configuration = config::standard();

/// Appends a value's bytes to `out`.
#[inline]
pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    encode_into_writer(value, Appender(out), FORMAT).map_err(encode_error)
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
