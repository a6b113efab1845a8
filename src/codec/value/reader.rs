//! Reads values' bytes one head at a time: the one place that knows what follows which tag, and that trusts nothing.
//!
//! The serde reader, [`Value`](super::Value), the canonical form and the printer all stand on [`Reader::head`]. A count
//! that it returns is at most what the bytes left can hold, since every value takes a byte.

use super::bigint;
use super::number::{Element, Packed};
use super::tag::{self, Family};
use crate::codec::error::{CodecError, Problem};

/// What a value is, as far as that can be said without reading the values in it.
#[derive(Debug, Clone, Copy)]
pub(in crate::codec) enum Head<'de> {
    None,
    Bool(bool),
    Unsigned(u64),
    /// Below 0.
    Signed(i64),
    /// Beyond 64 bits: two's complement.
    BigInt(&'de [u8]),
    Float(f64),
    Complex(f64, f64),
    Str(&'de str),
    Bytes(&'de [u8]),
    /// So many entries follow.
    Container(Family, usize),
    Packed(Packed<'de>),
    Proxy(u32),
    /// Kind and contents.
    Opaque(&'de str, &'de [u8]),
}

impl Head<'_> {
    /// What to call it in an error.
    pub(in crate::codec) fn describe(&self) -> String {
        match self {
            Self::None => "None".into(),
            Self::Bool(value) => format!("bool {value}"),
            Self::Unsigned(value) => format!("int {value}"),
            Self::Signed(value) => format!("int {value}"),
            Self::BigInt(bytes) => match bigint::to_i128(bytes) {
                Some(value) => format!("int {value}"),
                None => format!("an int of {} bytes", bytes.len()),
            },
            Self::Float(value) => format!("float {value}"),
            Self::Complex(..) => "a complex".into(),
            Self::Str(text) if text.len() <= 60 => format!("str {text:?}"),
            Self::Str(text) => format!("a str of {} bytes", text.len()),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::Container(family, count) => format!("a {} of {count}", family.name()),
            Self::Packed(numbers) => format!("a list of {} numbers", numbers.len()),
            Self::Proxy(_) => "a proxy".into(),
            Self::Opaque(kind, _) => format!("an object of another language ({kind})"),
        }
    }
}

/// An int as it is commonly met.
#[derive(Debug, Clone, Copy)]
pub(in crate::codec) enum Int {
    Unsigned(u64),
    Negative(i8),
}

/// Bytes that are being read.
#[derive(Debug, Clone, Copy)]
pub(in crate::codec) struct Reader<'de> {
    rest: &'de [u8],
}

impl<'de> Reader<'de> {
    #[inline]
    pub(in crate::codec) fn new(bytes: &'de [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    #[inline]
    pub(in crate::codec) fn rest(&self) -> &'de [u8] {
        self.rest
    }

    /// Everything must have been read.
    #[inline]
    pub(in crate::codec) fn finish(&self) -> Result<(), CodecError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(Problem::TrailingBytes { left }.into()),
        }
    }

    /// The tag of the next value, still to be read.
    #[inline]
    pub(in crate::codec) fn peek(&self) -> Result<u8, CodecError> {
        self.rest.first().copied().ok_or_else(|| CodecError::unexpected_end(1))
    }

    /// Leaves the tag behind that was peeked at.
    #[inline]
    pub(in crate::codec) fn advance(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    #[inline]
    fn array<const WIDTH: usize>(&mut self) -> Result<[u8; WIDTH], CodecError> {
        match self.rest.split_first_chunk() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(*bytes)
            }
            None => Err(CodecError::unexpected_end(WIDTH - self.rest.len())),
        }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'de [u8], CodecError> {
        match self.rest.split_at_checked(length) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(CodecError::unexpected_end(length - self.rest.len())),
        }
    }

    /// A length or count, not compared with anything yet.
    #[inline]
    fn length(&mut self) -> Result<usize, CodecError> {
        match self.array()? {
            [length @ 0..=tag::LENGTH_MAX] => Ok(length.into()),
            [announcement] => self.long_length(announcement),
        }
    }

    fn long_length(&mut self, announcement: u8) -> Result<usize, CodecError> {
        let length = match announcement {
            tag::LENGTH_U16 => u16::from_le_bytes(self.array()?).into(),
            tag::LENGTH_U32 => u32::from_le_bytes(self.array()?).into(),
            tag::LENGTH_U64 => u64::from_le_bytes(self.array()?),
            _ => return Err(CodecError::mismatch("a length", format_args!("byte {announcement:#04x}"))),
        };
        usize::try_from(length).map_err(|_| CodecError::length(length, self.rest.len()))
    }

    #[inline]
    fn text(&mut self, length: usize) -> Result<&'de str, CodecError> {
        std::str::from_utf8(self.take(length)?).map_err(|error| Problem::Utf8(error).into())
    }

    #[inline]
    fn prefixed(&mut self) -> Result<&'de [u8], CodecError> {
        let length = self.length()?;
        self.take(length)
    }

    /// The next value, if it is an int from -16 on that 64 bits hold, in its usual form; else nothing is read.
    #[inline]
    pub(in crate::codec) fn common_int(&mut self) -> Result<Option<Int>, CodecError> {
        let Some((tag, rest)) = self.rest.split_first() else { return Err(CodecError::unexpected_end(1)) };
        let (int, rest) = match *tag {
            small @ 0..=tag::GREATEST_INT => (Int::Unsigned(small.into()), rest),
            negative @ tag::FIRST_NEGATIVE.. => (Int::Negative(negative as i8), rest),
            tag::U8 => after(rest, |raw| Int::Unsigned(u8::from_le_bytes(raw).into()))?,
            tag::U16 => after(rest, |raw| Int::Unsigned(u16::from_le_bytes(raw).into()))?,
            tag::U32 => after(rest, |raw| Int::Unsigned(u32::from_le_bytes(raw).into()))?,
            tag::U64 => after(rest, |raw| Int::Unsigned(u64::from_le_bytes(raw)))?,
            _ => return Ok(None),
        };
        self.rest = rest;
        Ok(Some(int))
    }

    /// The next value, if it is a float; else nothing is read.
    #[inline]
    pub(in crate::codec) fn float(&mut self) -> Result<Option<f64>, CodecError> {
        match self.rest.split_first() {
            Some((&tag::FLOAT, rest)) => {
                let (value, rest) = after(rest, f64::from_le_bytes)?;
                self.rest = rest;
                Ok(Some(value))
            }
            Some(_) => Ok(None),
            None => Err(CodecError::unexpected_end(1)),
        }
    }

    /// A str, if the next value is one; else nothing is read.
    #[inline]
    pub(in crate::codec) fn str(&mut self) -> Result<Option<&'de str>, CodecError> {
        match self.peek()? {
            short @ tag::SHORT_STR..=tag::SHORT_STR_LAST => {
                self.advance();
                self.text((short - tag::SHORT_STR).into()).map(Some)
            }
            tag::STR => {
                self.advance();
                let length = self.length()?;
                self.text(length).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Bytes, if the next value is that; else nothing is read.
    #[inline]
    pub(in crate::codec) fn bytes(&mut self) -> Result<Option<&'de [u8]>, CodecError> {
        if self.peek()? != tag::BYTES {
            return Ok(None);
        }
        self.advance();
        self.prefixed().map(Some)
    }

    /// The count of a container whose count, where the tag does not hold it, comes next.
    #[inline]
    fn container(&mut self, family: Family, short: Option<u8>) -> Result<Head<'de>, CodecError> {
        let count = match short {
            Some(count) => count.into(),
            None => self.length()?,
        };
        let possible = self.rest.len() / family.values_per_entry();
        if count > possible {
            return Err(CodecError::length(count as u64, possible));
        }
        Ok(Head::Container(family, count))
    }

    /// A tuple's, list's or map's count, if the tag holds one; else nothing is read.
    #[inline]
    pub(in crate::codec) fn short_container(&mut self) -> Result<Option<Head<'de>>, CodecError> {
        let (family, first) = match self.peek()? {
            tag::SHORT_TUPLE..=tag::SHORT_TUPLE_LAST => (Family::Tuple, tag::SHORT_TUPLE),
            tag::SHORT_LIST..=tag::SHORT_LIST_LAST => (Family::List, tag::SHORT_LIST),
            tag::SHORT_MAP..=tag::SHORT_MAP_LAST => (Family::Map, tag::SHORT_MAP),
            _ => return Ok(None),
        };
        let count = self.peek()? - first;
        self.advance();
        self.container(family, Some(count)).map(Some)
    }

    fn packed(&mut self) -> Result<Head<'de>, CodecError> {
        let [byte] = self.array()?;
        let element = Element::from_byte(byte)
            .ok_or_else(|| CodecError::mismatch("a number type", format_args!("byte {byte:#04x}")))?;
        let count = self.length()?;
        let possible = self.rest.len() / element.width();
        if count > possible {
            return Err(CodecError::length(count as u64, possible));
        }
        Ok(Head::Packed(Packed::new(element, self.take(count * element.width())?)))
    }

    /// The next value, without the values in it.
    pub(in crate::codec) fn head(&mut self) -> Result<Head<'de>, CodecError> {
        let [byte] = self.array()?;
        Ok(match byte {
            0..=tag::GREATEST_INT => Head::Unsigned(byte.into()),
            tag::FIRST_NEGATIVE.. => Head::Signed((byte as i8).into()),
            tag::SHORT_STR..=tag::SHORT_STR_LAST => Head::Str(self.text((byte - tag::SHORT_STR).into())?),
            tag::SHORT_TUPLE..=tag::SHORT_TUPLE_LAST => self.container(Family::Tuple, Some(byte - tag::SHORT_TUPLE))?,
            tag::SHORT_LIST..=tag::SHORT_LIST_LAST => self.container(Family::List, Some(byte - tag::SHORT_LIST))?,
            tag::SHORT_MAP..=tag::SHORT_MAP_LAST => self.container(Family::Map, Some(byte - tag::SHORT_MAP))?,
            tag::NONE => Head::None,
            tag::FALSE => Head::Bool(false),
            tag::TRUE => Head::Bool(true),
            tag::U8 => Head::Unsigned(u8::from_le_bytes(self.array()?).into()),
            tag::U16 => Head::Unsigned(u16::from_le_bytes(self.array()?).into()),
            tag::U32 => Head::Unsigned(u32::from_le_bytes(self.array()?).into()),
            tag::U64 => Head::Unsigned(u64::from_le_bytes(self.array()?)),
            tag::I8 => signed(i8::from_le_bytes(self.array()?).into()),
            tag::I16 => signed(i16::from_le_bytes(self.array()?).into()),
            tag::I32 => signed(i32::from_le_bytes(self.array()?).into()),
            tag::I64 => signed(i64::from_le_bytes(self.array()?)),
            tag::BIG_INT => big(self.prefixed()?),
            tag::FLOAT => Head::Float(f64::from_le_bytes(self.array()?)),
            tag::COMPLEX => Head::Complex(f64::from_le_bytes(self.array()?), f64::from_le_bytes(self.array()?)),
            tag::STR => {
                let length = self.length()?;
                Head::Str(self.text(length)?)
            }
            tag::BYTES => Head::Bytes(self.prefixed()?),
            tag::TUPLE => self.container(Family::Tuple, None)?,
            tag::LIST => self.container(Family::List, None)?,
            tag::SET => self.container(Family::Set, None)?,
            tag::FROZEN_SET => self.container(Family::FrozenSet, None)?,
            tag::MAP => self.container(Family::Map, None)?,
            tag::PACKED => self.packed()?,
            tag::PROXY => {
                let index = self.length()?;
                Head::Proxy(u32::try_from(index).map_err(|_| CodecError::length(index as u64, u32::MAX as usize))?)
            }
            tag::OPAQUE => {
                let length = self.length()?;
                let kind = self.text(length)?;
                Head::Opaque(kind, self.prefixed()?)
            }
            _ => return Err(Problem::UnknownTag { tag: byte }.into()),
        })
    }

    /// Reads over one value, `levels` deep at most, and returns its bytes.
    pub(in crate::codec) fn skip(&mut self, levels: u32) -> Result<&'de [u8], CodecError> {
        let before = self.rest;
        if let Head::Container(family, count) = self.head()? {
            let levels = levels.checked_sub(1).ok_or_else(CodecError::too_deep)?;
            for _ in 0..count * family.values_per_entry() {
                self.skip(levels)?;
            }
        }
        Ok(&before[..before.len() - self.rest.len()])
    }
}

/// What the first bytes stand for, and the bytes after them.
#[inline]
fn after<const WIDTH: usize, T>(bytes: &[u8], read: fn([u8; WIDTH]) -> T) -> Result<(T, &[u8]), CodecError> {
    match bytes.split_first_chunk() {
        Some((raw, rest)) => Ok((read(*raw), rest)),
        None => Err(CodecError::unexpected_end(WIDTH - bytes.len())),
    }
}

/// An int of a signed tag, which any writer may have used for a number of either sign.
#[inline]
fn signed<'de>(value: i64) -> Head<'de> {
    u64::try_from(value).map_or(Head::Signed(value), Head::Unsigned)
}

/// An int of the long tag, which another writer may have used for a short number.
fn big(bytes: &[u8]) -> Head<'_> {
    match bigint::to_i128(bytes) {
        Some(value) => match (u64::try_from(value), i64::try_from(value)) {
            (Ok(value), _) => Head::Unsigned(value),
            (_, Ok(value)) => Head::Signed(value),
            _ => Head::BigInt(bigint::minimal(bytes)),
        },
        None => Head::BigInt(bigint::minimal(bytes)),
    }
}
