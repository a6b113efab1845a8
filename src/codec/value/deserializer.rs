//! serde's reading side: each value is read at the moment that its type asks for it, borrowed where the type can
//! borrow.
//!
//! What a type asks for is a hint: where the bytes hold something else, the error names both. The common cases (short
//! ints and strs, small tuples) are looked for first; everything else goes through [`Reader::head`].

use serde::de::value::U32Deserializer;
use serde::de::{self, Expected, IntoDeserializer, Visitor};

use super::access::{Entries, Variant, visit_packed};
use super::number::{self, Element};
use super::reader::{Head, Int, Reader};
use super::tag::{self, Family};
use super::{VALUE, bigint};
use crate::codec::error::CodecError;
use crate::codec::{MAX_DEPTH, PROXY};

/// Reads one value after the other from the start of its bytes.
#[derive(Debug)]
pub(super) struct Deserializer<'de> {
    reader: Reader<'de>,
    /// How many levels it may still descend.
    levels: u32,
}

impl<'de> Deserializer<'de> {
    #[inline]
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { reader: Reader::new(bytes), levels: MAX_DEPTH }
    }

    #[inline]
    pub(super) fn reader(&mut self) -> &mut Reader<'de> {
        &mut self.reader
    }

    /// Everything must have been read.
    #[inline]
    pub(super) fn finish(&self) -> Result<(), CodecError> {
        self.reader.finish()
    }

    /// Reads over one value.
    pub(super) fn skip(&mut self) -> Result<&'de [u8], CodecError> {
        self.reader.skip(self.levels)
    }

    /// Does something one level down. The levels need no care where it fails: the whole reading ends there.
    #[inline]
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, CodecError>) -> Result<T, CodecError> {
        self.levels = self.levels.checked_sub(1).ok_or_else(CodecError::too_deep)?;
        let value = read(self)?;
        self.levels += 1;
        Ok(value)
    }

    /// The values of a tuple, list or set; the visitor must take them all.
    #[inline]
    fn elements<V: Visitor<'de>>(&mut self, count: usize, visitor: V) -> Result<V::Value, CodecError> {
        self.nested(|this| {
            let mut entries = Entries::new(this, count);
            let value = visitor.visit_seq(&mut entries)?;
            entries.finish(count)?;
            Ok(value)
        })
    }

    /// The entries of a map; the visitor must take them all.
    #[inline]
    fn entries<V: Visitor<'de>>(&mut self, count: usize, visitor: V) -> Result<V::Value, CodecError> {
        self.nested(|this| {
            let mut entries = Entries::new(this, count);
            let value = visitor.visit_map(&mut entries)?;
            entries.finish(count)?;
            Ok(value)
        })
    }

    fn visit<V: Visitor<'de>>(&mut self, head: Head<'de>, visitor: V) -> Result<V::Value, CodecError> {
        match head {
            Head::None => visitor.visit_unit(),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Unsigned(_) | Head::Signed(_) | Head::BigInt(_) | Head::Float(_) => visit_number(head, visitor),
            Head::Str(text) => visitor.visit_borrowed_str(text),
            Head::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Head::Container(Family::Map, count) => self.entries(count, visitor),
            Head::Container(_, count) => self.elements(count, visitor),
            Head::Packed(numbers) => visit_packed(numbers, self.levels, visitor),
            Head::Complex(real, imaginary) => {
                visitor.visit_seq(de::value::SeqDeserializer::new([real, imaginary].into_iter()))
            }
            Head::Proxy(index) => visitor.visit_newtype_struct(index_deserializer(index)),
            Head::Opaque(..) => Err(unfit(&head, &visitor)),
        }
    }

    /// A tuple, list or set of `expected` values, or of any number.
    #[inline]
    fn sequence<V: Visitor<'de>>(&mut self, expected: Option<usize>, visitor: V) -> Result<V::Value, CodecError> {
        let head = match self.reader.short_container()? {
            Some(head) => head,
            None => self.reader.head()?,
        };
        let head = match head {
            Head::Bytes(bytes) => Head::Packed(number::Packed::new(Element::U8, bytes)),
            head => head,
        };
        let count = match head {
            Head::Container(Family::Tuple | Family::List | Family::Set | Family::FrozenSet, count) => count,
            Head::Packed(numbers) => numbers.len(),
            Head::Complex(..) => 2,
            _ => return Err(unfit(&head, &visitor)),
        };
        if let Some(expected) = expected
            && expected != count
        {
            return Err(CodecError::mismatch(format_args!("a tuple of {expected}"), head.describe()));
        }
        match head {
            Head::Container(_, count) => self.elements(count, visitor),
            head => self.visit(head, visitor),
        }
    }

    /// A number of a form that is not worth a shortcut.
    fn any_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, CodecError> {
        let head = self.reader.head()?;
        visit_number(head, visitor)
    }
}

/// The error of bytes that hold one thing where the type wants another.
#[cold]
fn unfit(found: &Head<'_>, expected: &dyn Expected) -> CodecError {
    CodecError::mismatch(expected, found.describe())
}

#[inline]
fn index_deserializer(index: u32) -> U32Deserializer<CodecError> {
    index.into_deserializer()
}

#[inline]
fn visit_number<'de, V: Visitor<'de>>(head: Head<'de>, visitor: V) -> Result<V::Value, CodecError> {
    match head {
        Head::Unsigned(value) => visitor.visit_u64(value),
        Head::Signed(value) => visitor.visit_i64(value),
        Head::Float(value) => visitor.visit_f64(value),
        Head::BigInt(bytes) => match (bigint::to_i128(bytes), bigint::to_u128(bytes)) {
            (Some(value), _) => visitor.visit_i128(value),
            (_, Some(value)) => visitor.visit_u128(value),
            _ => Err(unfit(&head, &visitor)),
        },
        _ => Err(unfit(&head, &visitor)),
    }
}

macro_rules! ints {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
            match self.reader.common_int()? {
                Some(Int::Unsigned(value)) => visitor.visit_u64(value),
                Some(Int::Negative(value)) => visitor.visit_i64(value.into()),
                None => self.any_number(visitor),
            }
        }
    )*};
}

macro_rules! texts {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
            match self.reader.str()? {
                Some(text) => visitor.visit_borrowed_str(text),
                None => Err(unfit(&self.reader.head()?, &visitor)),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = CodecError;

    ints! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    texts! { deserialize_char deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        let head = self.reader.head()?;
        self.visit(head, visitor)
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        match self.reader.peek()? {
            bool @ (tag::FALSE | tag::TRUE) => {
                self.reader.advance();
                visitor.visit_bool(bool == tag::TRUE)
            }
            _ => Err(unfit(&self.reader.head()?, &visitor)),
        }
    }

    #[inline]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        match self.reader.head()? {
            Head::Float(value) if value.is_nan() => visitor.visit_f32(number::narrow_nan(value)),
            head => visit_number(head, visitor),
        }
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        match self.reader.float()? {
            Some(value) => visitor.visit_f64(value),
            None => self.any_number(visitor),
        }
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        if let Some(bytes) = self.reader.bytes()? {
            return visitor.visit_borrowed_bytes(bytes);
        }
        match self.reader.head()? {
            Head::Packed(numbers) if numbers.element() == Element::U8 => visitor.visit_borrowed_bytes(numbers.raw()),
            head @ (Head::Packed(_) | Head::Container(Family::List | Family::Tuple, _)) => self.visit(head, visitor),
            head => Err(unfit(&head, &visitor)),
        }
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        if self.reader.peek()? == tag::NONE {
            self.reader.advance();
            return visitor.visit_none();
        }
        // Costs no byte of input, so only the level keeps a recursive type from asking for ever.
        self.nested(|this| visitor.visit_some(this))
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        match self.reader.head()? {
            Head::None => visitor.visit_unit(),
            head => Err(unfit(&head, &visitor)),
        }
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, CodecError> {
        self.deserialize_unit(visitor)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        match name {
            PROXY => match self.reader.head()? {
                Head::Proxy(index) => visitor.visit_newtype_struct(index_deserializer(index)),
                head => Err(CodecError::mismatch("a proxy", head.describe())),
            },
            VALUE => {
                let bytes = self.skip()?;
                visitor.visit_newtype_struct(de::value::BorrowedBytesDeserializer::new(bytes))
            }
            _ => self.nested(|this| visitor.visit_newtype_struct(this)),
        }
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        self.sequence(None, visitor)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, CodecError> {
        self.sequence(Some(len), visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.sequence(Some(len), visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        match self.reader.head()? {
            Head::Container(Family::Map, count) => self.entries(count, visitor),
            head => Err(unfit(&head, &visitor)),
        }
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        let head = match self.reader.short_container()? {
            Some(head) => head,
            None => self.reader.head()?,
        };
        match head {
            Head::Container(Family::Map, count) => self.entries(count, visitor),
            Head::Container(Family::Tuple | Family::List, count) if count == fields.len() => {
                self.elements(count, visitor)
            }
            head => Err(unfit(&head, &visitor)),
        }
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        if let tag::SHORT_STR..=tag::SHORT_STR_LAST | tag::STR = self.reader.peek()? {
            return self.nested(|this| visitor.visit_enum(Variant::bare(this)));
        }
        match self.reader.head()? {
            Head::Container(Family::Map, 1) => self.nested(|this| visitor.visit_enum(Variant::with_contents(this))),
            head => Err(CodecError::mismatch(
                format_args!("{} (a str, or a dict of one entry)", &visitor as &dyn Expected),
                head.describe(),
            )),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        self.skip()?;
        visitor.visit_unit()
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}
