//! [`Value`]: a value of any type, for those who can't or won't name it.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::de::DeserializeOwned;
use serde::ser::Serialize;

use super::number::{self, Number};
use super::reader::{Head, Reader};
use super::tag::Family;
use super::{bigint, canonical, display, write};
use crate::codec::MAX_DEPTH;
use crate::codec::error::CodecError;

/// How many elements a container makes room for before it has read them: containers may nest, and every one's count is a claim.
const ROOM: usize = 64;

/// A value of any type that Python has too: what is in a mixed container, or comes back from a dynamic call.
///
/// Values compare, hash and print by Python's rules: `Bool(true) == Int(1) == Float(1.0)`, dicts and sets compare
/// without regard to order, a list is no tuple. Only NaN equals itself here, so that `Eq` holds. Comparing takes time and
/// memory by the values' size.
///
/// serde carries it everywhere. In formats for people (JSON) it looks like the plain data that it stands for: ints, floats,
/// strings, arrays and objects. Binary formats carry it as one byte string.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Value {
    /// `None`, and Rust's `()`.
    #[default]
    None,
    /// `bool`
    Bool(bool),
    /// `int`, as far as 128 bits go.
    Int(i128),
    /// `int` beyond that: two's complement, little endian, as Python's `to_bytes(…, 'little', signed=True)` makes it.
    BigInt(Vec<u8>),
    /// `float`
    Float(f64),
    /// `complex`: its real and its imaginary part.
    Complex(f64, f64),
    /// `str`
    Str(String),
    /// `bytes`
    Bytes(Vec<u8>),
    /// `tuple`
    Tuple(Vec<Value>),
    /// `list`
    List(Vec<Value>),
    /// `set`
    Set(Vec<Value>),
    /// `frozenset`
    FrozenSet(Vec<Value>),
    /// `dict`, in its order; a Rust struct too, by its field names.
    Map(Vec<(Value, Value)>),
    /// A proxy: its place in the list of tokens that travels beside the value.
    Proxy(u32),
    /// An object of another language, which is kept and handed on as it came.
    Opaque {
        /// What it is, such as `pickle:datetime.date`.
        kind: String,
        /// Its bytes, in a form that only the other language reads.
        contents: Vec<u8>,
    },
}

impl Value {
    /// The value that a Rust value of any type turns into.
    ///
    /// # Errors
    /// Where its type refuses to be serialized, or it is nested too deeply.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, CodecError> {
        let mut bytes = Vec::new();
        super::encode(value, &mut bytes)?;
        Self::from_bytes(&bytes)
    }

    /// The Rust value of a type that fits.
    ///
    /// # Errors
    /// Where the type wants something else; the error names both.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, CodecError> {
        super::decode(&self.to_bytes()?)
    }

    /// Reads a value from all of `bytes`. It takes up to 48 times their memory (an int of one byte becomes a
    /// whole `Value`), and twice that while a list grows.
    ///
    /// # Errors
    /// Where `bytes` are not exactly one value.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let value = read(&mut reader, MAX_DEPTH)?;
        reader.finish()?;
        Ok(value)
    }

    /// Its bytes.
    ///
    /// # Errors
    /// Where it is nested too deeply.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        let mut bytes = Vec::new();
        append(self, &mut bytes, MAX_DEPTH)?;
        Ok(bytes)
    }

    /// What equality and hashing go by; nothing for a value that is nested too deeply to have bytes.
    fn canonical(&self) -> Option<Vec<u8>> {
        self.to_bytes().and_then(|bytes| canonical(&bytes)).ok()
    }
}

fn read(reader: &mut Reader<'_>, levels: u32) -> Result<Value, CodecError> {
    Ok(match reader.head()? {
        Head::None => Value::None,
        Head::Bool(value) => Value::Bool(value),
        Head::Unsigned(value) => Value::Int(value.into()),
        Head::Signed(value) => Value::Int(value.into()),
        Head::BigInt(bytes) => bigint::to_i128(bytes).map_or_else(|| Value::BigInt(bytes.to_vec()), Value::Int),
        Head::Float(value) => Value::Float(value),
        Head::Complex(real, imaginary) => Value::Complex(real, imaginary),
        Head::Str(text) => Value::Str(text.to_owned()),
        Head::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        Head::Packed(numbers) => Value::List(
            numbers
                .map(|number| match number {
                    Number::Unsigned(value) => Value::Int(value.into()),
                    Number::Signed(value) => Value::Int(value.into()),
                    Number::Single(value) => Value::Float(number::widen(value)),
                    Number::Double(value) => Value::Float(value),
                })
                .collect(),
        ),
        Head::Proxy(index) => Value::Proxy(index),
        Head::Opaque(kind, contents) => Value::Opaque { kind: kind.to_owned(), contents: contents.to_vec() },
        Head::Container(family, count) => {
            let levels = levels.checked_sub(1).ok_or_else(CodecError::too_deep)?;
            match family {
                Family::Tuple => Value::Tuple(elements(reader, levels, count)?),
                Family::List => Value::List(elements(reader, levels, count)?),
                Family::Set => Value::Set(elements(reader, levels, count)?),
                Family::FrozenSet => Value::FrozenSet(elements(reader, levels, count)?),
                Family::Map => {
                    let mut entries = Vec::with_capacity(count.min(ROOM));
                    for _ in 0..count {
                        entries.push((read(reader, levels)?, read(reader, levels)?));
                    }
                    Value::Map(entries)
                }
            }
        }
    })
}

fn elements(reader: &mut Reader<'_>, levels: u32, count: usize) -> Result<Vec<Value>, CodecError> {
    let mut elements = Vec::with_capacity(count.min(ROOM));
    for _ in 0..count {
        elements.push(read(reader, levels)?);
    }
    Ok(elements)
}

fn append(value: &Value, out: &mut Vec<u8>, levels: u32) -> Result<(), CodecError> {
    match value {
        Value::None => out.extend_from_slice(super::NONE),
        Value::Bool(value) => write::bool(out, *value),
        Value::Int(value) => write::signed_128(out, *value),
        Value::BigInt(bytes) => write::big_int(out, bytes),
        Value::Float(value) => write::float(out, *value),
        Value::Complex(real, imaginary) => write::complex(out, *real, *imaginary),
        Value::Str(text) => write::str(out, text),
        Value::Bytes(bytes) => write::bytes(out, bytes),
        Value::Proxy(index) => write::proxy(out, *index),
        Value::Opaque { kind, contents } => write::opaque(out, kind, contents),
        Value::Tuple(elements) => append_all(Family::Tuple, elements, out, levels)?,
        Value::List(elements) => append_all(Family::List, elements, out, levels)?,
        Value::Set(elements) => append_all(Family::Set, elements, out, levels)?,
        Value::FrozenSet(elements) => append_all(Family::FrozenSet, elements, out, levels)?,
        Value::Map(entries) => {
            let levels = levels.checked_sub(1).ok_or_else(CodecError::too_deep)?;
            write::header(out, Family::Map, entries.len());
            for (key, value) in entries {
                append(key, out, levels)?;
                append(value, out, levels)?;
            }
        }
    }
    Ok(())
}

fn append_all(family: Family, elements: &[Value], out: &mut Vec<u8>, levels: u32) -> Result<(), CodecError> {
    let levels = levels.checked_sub(1).ok_or_else(CodecError::too_deep)?;
    write::header(out, family, elements.len());
    elements.iter().try_for_each(|element| append(element, out, levels))
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

/// As Python's `repr` shows it: `[1, 'a', None]`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_bytes() {
            Ok(bytes) => display(&bytes).fmt(f),
            Err(error) => write!(f, "<unprintable: {error}>"),
        }
    }
}

macro_rules! from {
    ($($kind:ty => $variant:ident)*) => {$(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

from! {
    bool => Bool
    i8 => Int i16 => Int i32 => Int i64 => Int i128 => Int u8 => Int u16 => Int u32 => Int u64 => Int
    f32 => Float f64 => Float
    &str => Str String => Str char => Str
    Vec<Value> => List Vec<(Value, Value)> => Map
}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::None
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}
