//! The arguments of a dynamic call: two values in a row, the positional ones (a tuple or list, or None for none at all)
//! and those by keyword (a map, or None). They are matched to a method's parameters as Python does it, with Python's
//! errors.

use serde::Serialize;
use serde::de::{self, Deserialize, DeserializeSeed, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::access::Numbers;
use super::deserializer::Deserializer;
use super::number::Packed;
use super::reader::{Head, Reader};
use super::serializer::Serializer;
use super::tag::Family;
use crate::codec::MAX_DEPTH;
use crate::codec::error::{CodecError, Problem};

/// Appends the arguments of a dynamic call to `out`: `positional` is a tuple, a sequence or `()`, `keywords` a map, a
/// struct or `()`.
///
/// # Errors
/// Where they are anything else, or can't be written; `out` is then as it was.
pub fn encode_arguments<A, K>(positional: &A, keywords: &K, out: &mut Vec<u8>) -> Result<(), CodecError>
where
    A: Serialize + ?Sized,
    K: Serialize + ?Sized,
{
    let start = out.len();
    let result = append(positional, "a tuple or list of arguments", out, |head| {
        matches!(head, Head::None | Head::Packed(_) | Head::Container(Family::Tuple | Family::List, _))
    })
    .and_then(|()| {
        append(keywords, "a dict of keyword arguments", out, |head| {
            matches!(head, Head::None | Head::Container(Family::Map, _))
        })
    });
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// [`encode_arguments`] without keywords.
///
/// # Errors
/// As there.
pub fn encode_positional<A: Serialize + ?Sized>(positional: &A, out: &mut Vec<u8>) -> Result<(), CodecError> {
    encode_arguments(positional, &(), out)
}

fn append<T: Serialize + ?Sized>(
    value: &T,
    expected: &str,
    out: &mut Vec<u8>,
    fits: fn(&Head<'_>) -> bool,
) -> Result<(), CodecError> {
    let start = out.len();
    value.serialize(&mut Serializer::new(out))?;
    let head = Reader::new(&out[start..]).head()?;
    if fits(&head) { Ok(()) } else { Err(CodecError::mismatch(expected, head.describe())) }
}

/// Reads the arguments of a dynamic call for a method with these parameters. `A` is a tuple of as many types.
///
/// # Errors
/// Python's: too many arguments, a parameter without one or with two, a keyword that is no parameter; or the parameter
/// whose argument does not fit its type, with the reason.
pub fn decode_arguments<'de, A: Deserialize<'de>>(bytes: &'de [u8], params: &[&str]) -> Result<A, CodecError> {
    let mut reader = Reader::new(bytes);
    let (positional, given) = read_positional(&mut reader)?;
    if given > params.len() {
        return Err(Problem::TooManyArguments { takes: params.len(), names: owned(params), given }.into());
    }
    let keywords = read_keywords(&mut reader, params, given)?;
    reader.finish()?;
    A::deserialize(Arguments { params, next: 0, given, positional, keywords })
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The arguments that are told by their place, still to be read, and how many they are. The reader goes on behind them.
fn read_positional<'de>(reader: &mut Reader<'de>) -> Result<(Positional<'de>, usize), CodecError> {
    match reader.head()? {
        Head::None => Ok((Positional::Values(Deserializer::new(&[])), 0)),
        Head::Container(Family::Tuple | Family::List, count) => {
            let values = Positional::Values(Deserializer::new(reader.rest()));
            for _ in 0..count {
                reader.skip(MAX_DEPTH)?;
            }
            Ok((values, count))
        }
        Head::Packed(numbers) => Ok((Positional::Numbers(Numbers::new(numbers, MAX_DEPTH)), numbers.len())),
        head => Err(CodecError::mismatch("a tuple or list of arguments", head.describe())),
    }
}

/// The bytes of each parameter's argument by keyword; nothing at all where there are none.
fn read_keywords<'de>(
    reader: &mut Reader<'de>,
    params: &[&str],
    given: usize,
) -> Result<Vec<Option<&'de [u8]>>, CodecError> {
    let count = match reader.head()? {
        Head::None => return Ok(Vec::new()),
        Head::Container(Family::Map, count) => count,
        head => return Err(CodecError::mismatch("a dict of keyword arguments", head.describe())),
    };
    let mut keywords = vec![None; params.len()];
    for _ in 0..count {
        let Some(name) = reader.str()? else {
            return Err(CodecError::mismatch("a keyword", reader.head()?.describe()));
        };
        let value = reader.skip(MAX_DEPTH)?;
        let Some(place) = params.iter().position(|param| *param == name) else {
            return Err(Problem::UnexpectedKeyword { name: name.to_owned(), names: owned(params) }.into());
        };
        if place < given || keywords[place].replace(value).is_some() {
            return Err(Problem::RepeatedArgument { name: name.to_owned() }.into());
        }
    }
    Ok(keywords)
}

/// Where positional arguments are read from.
enum Positional<'de> {
    Values(Deserializer<'de>),
    Numbers(Numbers<Packed<'de>>),
}

/// The arguments, in the order of the parameters.
struct Arguments<'p, 'de> {
    params: &'p [&'p str],
    next: usize,
    /// How many are positional.
    given: usize,
    positional: Positional<'de>,
    keywords: Vec<Option<&'de [u8]>>,
}

impl<'de> Arguments<'_, 'de> {
    /// The argument of the parameter at `place`; `None` where there is none.
    #[inline]
    fn argument<S: DeserializeSeed<'de>>(&mut self, place: usize, seed: S) -> Result<Option<S::Value>, CodecError> {
        if place >= self.given {
            let keyword = self.keywords.get(place).copied().flatten();
            return keyword.map(|bytes| seed.deserialize(&mut Deserializer::new(bytes))).transpose();
        }
        match &mut self.positional {
            Positional::Values(values) => seed.deserialize(values).map(Some),
            Positional::Numbers(numbers) => numbers.next_element_seed(seed),
        }
    }

    /// The error of a method whose parameter names are not as many as its parameters' types.
    #[cold]
    fn miscounted(&self, types: usize) -> CodecError {
        CodecError::mismatch(
            format_args!("arguments for {types} parameters"),
            format_args!("{} parameter names", self.params.len()),
        )
    }
}

impl<'de> SeqAccess<'de> for Arguments<'_, 'de> {
    type Error = CodecError;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, CodecError> {
        let Some(name) = self.params.get(self.next) else { return Ok(None) };
        let argument = self.argument(self.next, seed);
        self.next += 1;
        match argument {
            Ok(None) => Err(Problem::MissingArgument { name: (*name).to_owned() }.into()),
            Ok(argument) => Ok(argument),
            Err(cause) => Err(Problem::Argument { name: (*name).to_owned(), cause }.into()),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.params.len() - self.next)
    }
}

impl<'de> de::Deserializer<'de> for Arguments<'_, 'de> {
    type Error = CodecError;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_seq(self)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, CodecError> {
        if len == self.params.len() { visitor.visit_seq(self) } else { Err(self.miscounted(len)) }
    }

    /// `()`: a method without parameters.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        if self.params.is_empty() { visitor.visit_unit() } else { Err(self.miscounted(0)) }
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit_struct
        newtype_struct seq tuple_struct map struct enum identifier ignored_any
    }
}
