//! Values taken apart and put together as bytes: for those who translate between two views of the same call, and look at no more of it than they must.

use std::borrow::Cow;

use super::reader::{Head, Reader};
use super::tag::Family;
use super::write;
use crate::codec::MAX_DEPTH;
use crate::codec::error::CodecError;

/// How many bytes more than its elements a container has room for.
const SLACK: usize = 64;

/// What begins the kind of an object of another language in which there are proxies. It is the first of a tuple, whose others are these proxies: so they are kept, and numbered anew, like any others.
pub const HOLDER: &str = "pickle+proxies:";

/// The bytes of single values.
pub type Parts<'a> = Vec<Cow<'a, [u8]>>;

/// Names, each with the bytes of a value.
pub type Named<'a> = Vec<(&'a str, &'a [u8])>;

/// What a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `tuple`
    Tuple,
    /// `list`
    List,
    /// `set`
    Set,
    /// `frozenset`
    FrozenSet,
    /// `dict`: keys and values in turn
    Dict,
}

/// What a value is, as far as translators care.
#[derive(Debug, Clone)]
pub enum Shape<'a> {
    /// `None`
    None,
    /// `bool`
    Bool(bool),
    /// `int` of 128 bits, the beginning of which is the number itself where it is longer
    Int(i128),
    /// `int` beyond that
    BigInt,
    /// `float`
    Float(f64),
    /// `str`
    Str(&'a str),
    /// `bytes`
    Bytes(&'a [u8]),
    /// A container, and what is in it.
    Container(Kind, Parts<'a>),
    /// The proxy of an index.
    Proxy(u32),
    /// An object of another language: kind and contents.
    Opaque(&'a str, &'a [u8]),
    /// `complex`
    Complex,
}

impl Shape<'_> {
    /// What Python calls its type.
    pub fn type_name(&self) -> &str {
        match self {
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::BigInt => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::Container(Kind::Tuple, _) => "tuple",
            Self::Container(Kind::List, _) => "list",
            Self::Container(Kind::Set, _) => "set",
            Self::Container(Kind::FrozenSet, _) => "frozenset",
            Self::Container(Kind::Dict, _) => "dict",
            Self::Proxy(_) => "proxy",
            Self::Opaque(kind, _) => kind.rsplit(['.', ':']).next().unwrap_or(kind),
            Self::Complex => "complex",
        }
    }
}

/// Looks at a value.
///
/// # Errors
/// Where `bytes` are not one.
pub fn shape(bytes: &[u8]) -> Result<Shape<'_>, CodecError> {
    let mut reader = Reader::new(bytes);
    Ok(match reader.head()? {
        Head::None => Shape::None,
        Head::Bool(value) => Shape::Bool(value),
        Head::Unsigned(value) => Shape::Int(value.into()),
        Head::Signed(value) => Shape::Int(value.into()),
        Head::BigInt(bytes) => super::bigint::to_i128(bytes).map_or(Shape::BigInt, Shape::Int),
        Head::Float(value) => Shape::Float(value),
        Head::Complex(..) => Shape::Complex,
        Head::Str(text) => Shape::Str(text),
        Head::Bytes(bytes) => Shape::Bytes(bytes),
        Head::Proxy(index) => Shape::Proxy(index),
        Head::Opaque(kind, contents) => Shape::Opaque(kind, contents),
        Head::Packed(numbers) => {
            let part = |number: super::number::Number| {
                let mut bytes = Vec::new();
                number.append_to(&mut bytes);
                Cow::Owned(bytes)
            };
            Shape::Container(Kind::List, numbers.map(part).collect())
        }
        Head::Container(family, count) => {
            if family == Family::Tuple
                && count > 0
                && let Head::Opaque(kind, contents) = Reader::clone(&reader).head()?
                && kind.starts_with(HOLDER)
            {
                return Ok(Shape::Opaque(kind, contents));
            }
            let kind = match family {
                Family::Tuple => Kind::Tuple,
                Family::List => Kind::List,
                Family::Set => Kind::Set,
                Family::FrozenSet => Kind::FrozenSet,
                Family::Map => Kind::Dict,
            };
            let parts = (0..count * family.values_per_entry()).map(|_| reader.skip(MAX_DEPTH).map(Cow::Borrowed));
            Shape::Container(kind, parts.collect::<Result<_, _>>()?)
        }
    })
}

/// The arguments of a dynamic call: those by position, and those by name.
///
/// # Errors
/// Where `bytes` are no such arguments.
pub fn arguments(bytes: &[u8]) -> Result<(Parts<'_>, Named<'_>), CodecError> {
    let wrong = |what: &str, found: &Shape<'_>| CodecError::mismatch(what, found.type_name());
    let mut reader = Reader::new(bytes);
    let positional = match shape(reader.skip(MAX_DEPTH)?)? {
        Shape::None => Vec::new(),
        Shape::Container(Kind::Tuple | Kind::List, parts) => parts,
        found => return Err(wrong("a tuple or list of arguments", &found)),
    };
    let mut keywords = Vec::new();
    match reader.head()? {
        Head::None => {}
        Head::Container(Family::Map, count) => {
            for _ in 0..count {
                let name = reader.str()?.ok_or_else(|| wrong("a keyword", &Shape::None))?;
                keywords.push((name, reader.skip(MAX_DEPTH)?));
            }
        }
        head => return Err(CodecError::mismatch("a dict of keyword arguments", head.describe())),
    }
    reader.finish()?;
    Ok((positional, keywords))
}

/// A container of these values.
pub fn container<B: AsRef<[u8]>>(kind: Kind, parts: impl ExactSizeIterator<Item = B> + Clone) -> Vec<u8> {
    // With room for what callers put behind it, so that a large value is copied once.
    let size: usize = parts.clone().map(|part| part.as_ref().len()).sum();
    let mut out = Vec::with_capacity(size + SLACK);
    let family = match kind {
        Kind::Tuple => Family::Tuple,
        Kind::List => Family::List,
        Kind::Set => Family::Set,
        Kind::FrozenSet => Family::FrozenSet,
        Kind::Dict => Family::Map,
    };
    write::header(&mut out, family, parts.len() / family.values_per_entry());
    parts.for_each(|part| out.extend_from_slice(part.as_ref()));
    out
}

/// The arguments of a dynamic call, all by position.
pub fn positional<B: AsRef<[u8]>>(arguments: impl ExactSizeIterator<Item = B> + Clone) -> Vec<u8> {
    let mut payload = container(Kind::Tuple, arguments);
    payload.extend_from_slice(super::NONE);
    payload
}

/// What comes before the last of a dynamic call's arguments, all by position.
pub fn before_last<B: AsRef<[u8]>>(others: &[B]) -> Vec<u8> {
    let mut before = Vec::new();
    write::header(&mut before, Family::Tuple, others.len() + 1);
    others.iter().for_each(|argument| before.extend_from_slice(argument.as_ref()));
    before
}

/// What comes before the contents of a str.
pub fn before_str(length: usize) -> Vec<u8> {
    before_contents(super::tag::STR, length)
}

/// What comes before the contents of a bytes.
pub fn before_bytes(length: usize) -> Vec<u8> {
    before_contents(super::tag::BYTES, length)
}

fn before_contents(tag: u8, length: usize) -> Vec<u8> {
    let mut before = vec![tag];
    write::length(&mut before, length);
    before
}

/// The value in a result that may be missing; `None` where it is.
///
/// # Errors
/// Where `bytes` are no such result.
pub fn unslot(bytes: &[u8]) -> Result<Option<&[u8]>, CodecError> {
    let mut reader = Reader::new(bytes);
    match reader.head()? {
        Head::None => Ok(None),
        Head::Container(Family::Tuple, 1) => Ok(Some(reader.rest())),
        head => Err(CodecError::mismatch("a result that may be missing", head.describe())),
    }
}

/// Whether this is what comes before the value in a result that may be missing, and no more.
pub fn begins_slot(bytes: &[u8]) -> bool {
    *bytes == [super::tag::SHORT_TUPLE + 1]
}

/// An object of another language.
pub fn opaque(kind: &str, contents: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::opaque(&mut out, kind, contents);
    out
}
