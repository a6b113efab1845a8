//! What serde's visitors are handed: the entries of a container, the numbers of a packed list, the variant of an enum.

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::VALUE;
use super::deserializer::Deserializer;
use super::number::{Element, Number, Packed};
use super::tag;
use crate::codec::CLAIMED_ROOM;
use crate::codec::error::CodecError;

/// The entries of a container that have not been read yet.
pub(super) struct Entries<'r, 'de> {
    deserializer: &'r mut Deserializer<'de>,
    left: usize,
}

impl<'r, 'de> Entries<'r, 'de> {
    #[inline]
    pub(super) fn new(deserializer: &'r mut Deserializer<'de>, count: usize) -> Self {
        Self { deserializer, left: count }
    }

    /// The type must have taken all of the `count` that there were.
    #[inline]
    pub(super) fn finish(&self, count: usize) -> Result<(), CodecError> {
        if self.left == 0 { Ok(()) } else { Err(too_many(count, self.left)) }
    }
}

/// The error of a type that left some of its elements unread.
#[cold]
fn too_many(count: usize, left: usize) -> CodecError {
    CodecError::mismatch(format_args!("{} elements", count - left), format_args!("{count}"))
}

impl<'de> SeqAccess<'de> for Entries<'_, 'de> {
    type Error = CodecError;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, CodecError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.deserializer).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(CLAIMED_ROOM))
    }
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = CodecError;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, CodecError> {
        self.next_element_seed(seed)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, CodecError> {
        seed.deserialize(&mut *self.deserializer)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(CLAIMED_ROOM))
    }
}

/// The numbers of a packed list that have not been read yet.
///
/// Generic, so that the loop over numbers of one type can be compiled for that type.
pub(super) struct Numbers<I> {
    numbers: I,
    levels: u32,
}

impl<I: ExactSizeIterator<Item = Number>> Numbers<I> {
    #[inline]
    pub(super) fn new(numbers: I, levels: u32) -> Self {
        Self { numbers, levels }
    }

    /// Shows a visitor all of the numbers; it must take them.
    #[inline]
    fn visit<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, CodecError> {
        let count = self.numbers.len();
        let value = visitor.visit_seq(&mut self)?;
        match self.numbers.len() {
            0 => Ok(value),
            left => Err(too_many(count, left)),
        }
    }
}

/// Shows a visitor the numbers of a packed list.
#[inline]
pub(super) fn visit_packed<'de, V: Visitor<'de>>(
    packed: Packed<'de>,
    levels: u32,
    visitor: V,
) -> Result<V::Value, CodecError> {
    macro_rules! by_type {
        ($($element:ident: $number:ty => $family:ident;)*) => {
            match packed.element() {
                $(Element::$element => {
                    let (numbers, _) = packed.raw().as_chunks();
                    let numbers = numbers.iter().map(|raw| Number::$family(<$number>::from_le_bytes(*raw).into()));
                    Numbers::new(numbers, levels).visit(visitor)
                })*
            }
        };
    }
    by_type! {
        U8: u8 => Unsigned;
        U16: u16 => Unsigned;
        U32: u32 => Unsigned;
        U64: u64 => Unsigned;
        I8: i8 => Signed;
        I16: i16 => Signed;
        I32: i32 => Signed;
        I64: i64 => Signed;
        F32: f32 => Single;
        F64: f64 => Double;
    }
}

impl<'de, I: ExactSizeIterator<Item = Number>> SeqAccess<'de> for Numbers<I> {
    type Error = CodecError;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, CodecError> {
        let levels = self.levels;
        match self.numbers.next() {
            Some(number) => seed.deserialize(NumberDeserializer { number, levels }).map(Some),
            None => Ok(None),
        }
    }

    /// All of them: they are there already.
    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.numbers.len())
    }
}

/// One number of a packed list.
struct NumberDeserializer {
    number: Number,
    /// Options and newtypes cost no byte of input, so only this keeps a recursive type from asking for ever.
    levels: u32,
}

impl NumberDeserializer {
    #[inline]
    fn descend(self) -> Result<Self, CodecError> {
        let levels = self.levels.checked_sub(1).ok_or_else(CodecError::too_deep)?;
        Ok(Self { levels, ..self })
    }
}

impl<'de> de::Deserializer<'de> for NumberDeserializer {
    type Error = CodecError;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        match self.number {
            Number::Unsigned(value) => visitor.visit_u64(value),
            Number::Signed(value) => visitor.visit_i64(value),
            Number::Single(value) => visitor.visit_f32(value),
            Number::Double(value) => visitor.visit_f64(value),
        }
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_some(self.descend()?)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        if name == VALUE {
            let mut bytes = Vec::new();
            self.number.append_to(&mut bytes);
            return visitor.visit_newtype_struct(de::value::BytesDeserializer::new(&bytes));
        }
        visitor.visit_newtype_struct(self.descend()?)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The variant of an enum: its name, and what it holds.
pub(super) struct Variant<'r, 'de> {
    deserializer: &'r mut Deserializer<'de>,
    has_contents: bool,
}

impl<'r, 'de> Variant<'r, 'de> {
    /// A name alone, which comes next.
    #[inline]
    pub(super) fn bare(deserializer: &'r mut Deserializer<'de>) -> Self {
        Self { deserializer, has_contents: false }
    }

    /// Name and contents, which come next.
    #[inline]
    pub(super) fn with_contents(deserializer: &'r mut Deserializer<'de>) -> Self {
        Self { deserializer, has_contents: true }
    }

    #[inline]
    fn contents(self) -> Result<&'r mut Deserializer<'de>, CodecError> {
        if self.has_contents {
            Ok(self.deserializer)
        } else {
            Err(CodecError::mismatch("a variant with contents", "its name alone"))
        }
    }
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = CodecError;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), CodecError> {
        let name = seed.deserialize(&mut *self.deserializer)?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = CodecError;

    #[inline]
    fn unit_variant(self) -> Result<(), CodecError> {
        if self.has_contents {
            let reader = self.deserializer.reader();
            if reader.peek()? != tag::NONE {
                return Err(CodecError::mismatch("a variant without contents", reader.head()?.describe()));
            }
            reader.advance();
        }
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, CodecError> {
        seed.deserialize(self.contents()?)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, CodecError> {
        de::Deserializer::deserialize_tuple(self.contents()?, len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        de::Deserializer::deserialize_struct(self.contents()?, "", fields, visitor)
    }
}
