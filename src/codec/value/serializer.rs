//! serde's writing side: each value goes to the buffer in the moment that its type names it.
//!
//! A container's count comes first, and serde knows it only as a promise; what was promised is written, and rewritten
//! at the container's end in the rare case that it was not kept.

use serde::ser::{self, Serialize};

use super::encoded::Splicer;
use super::list::List;
use super::number::widen;
use super::reader::{Head, Reader};
use super::tag::{self, Family};
use super::{ENCODED, VALUE, write};
use crate::codec::error::CodecError;
use crate::codec::{MAX_DEPTH, PROXY};

/// Writes one value to the end of a buffer.
pub(super) struct Serializer<'a> {
    pub(super) out: &'a mut Vec<u8>,
    /// How many levels it may still descend.
    levels: u32,
}

impl<'a> Serializer<'a> {
    #[inline]
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, levels: MAX_DEPTH }
    }

    /// One level down; each is left again by [`leave`](Self::leave).
    #[inline]
    pub(super) fn enter(&mut self) -> Result<(), CodecError> {
        match self.levels.checked_sub(1) {
            Some(levels) => {
                self.levels = levels;
                Ok(())
            }
            None => Err(CodecError::too_deep()),
        }
    }

    #[inline]
    pub(super) fn leave(&mut self) {
        self.levels += 1;
    }

    #[inline]
    fn container(&mut self, family: Family, declared: usize) -> Result<Container<'_, 'a>, CodecError> {
        self.enter()?;
        let count = Count::begin(self.out, family, declared);
        Ok(Container { serializer: self, count, is_payload: false })
    }

    /// The head of an enum variant with contents: a map of one entry.
    #[inline]
    fn variant(&mut self, name: &str) -> Result<(), CodecError> {
        self.enter()?;
        write::header(self.out, Family::Map, 1);
        write::str(self.out, name);
        Ok(())
    }

    /// A proxy's index. It has been told to serde as any number is, so it is written and read back.
    fn proxy<T: Serialize + ?Sized>(&mut self, index: &T) -> Result<(), CodecError> {
        let start = self.out.len();
        index.serialize(&mut *self)?;
        let head = Reader::new(&self.out[start..]).head()?;
        match head {
            Head::Unsigned(index) if u32::try_from(index).is_ok() => {
                self.out.truncate(start);
                write::proxy(self.out, index as u32);
                Ok(())
            }
            other => Err(CodecError::mismatch("a proxy's index", other.describe())),
        }
    }

    /// The bytes of a `Value`, told to serde as bytes: here they are the value itself.
    fn splice<T: Serialize + ?Sized>(&mut self, bytes: &T) -> Result<(), CodecError> {
        let start = self.out.len();
        bytes.serialize(Splicer(self.out))?;
        let mut reader = Reader::new(&self.out[start..]);
        reader.skip(self.levels)?;
        reader.finish()
    }
}

macro_rules! numbers {
    ($($method:ident($kind:ty) => $write:ident)*) => {$(
        #[inline]
        fn $method(self, value: $kind) -> Result<(), CodecError> {
            write::$write(self.out, value.into());
            Ok(())
        }
    )*};
}

impl<'s, 'a> ser::Serializer for &'s mut Serializer<'a> {
    type Ok = ();
    type Error = CodecError;
    type SerializeSeq = List<'s, 'a>;
    type SerializeTuple = Container<'s, 'a>;
    type SerializeTupleStruct = Container<'s, 'a>;
    type SerializeTupleVariant = Container<'s, 'a>;
    type SerializeMap = Container<'s, 'a>;
    type SerializeStruct = Container<'s, 'a>;
    type SerializeStructVariant = Container<'s, 'a>;

    numbers! {
        serialize_i8(i8) => signed
        serialize_i16(i16) => signed
        serialize_i32(i32) => signed
        serialize_i64(i64) => signed
        serialize_i128(i128) => signed_128
        serialize_u8(u8) => unsigned
        serialize_u16(u16) => unsigned
        serialize_u32(u32) => unsigned
        serialize_u64(u64) => unsigned
        serialize_u128(u128) => unsigned_128
        serialize_f64(f64) => float
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<(), CodecError> {
        write::float(self.out, widen(value));
        Ok(())
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), CodecError> {
        write::bool(self.out, value);
        Ok(())
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<(), CodecError> {
        write::str(self.out, value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), CodecError> {
        write::str(self.out, value);
        Ok(())
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<(), CodecError> {
        write::bytes(self.out, value);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), CodecError> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CodecError> {
        self.enter()?;
        value.serialize(&mut *self)?;
        self.leave();
        Ok(())
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), CodecError> {
        self.out.push(tag::NONE);
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), CodecError> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), CodecError> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), CodecError> {
        self.enter()?;
        match name {
            PROXY => self.proxy(value)?,
            VALUE => self.splice(value)?,
            ENCODED => value.serialize(Splicer(self.out))?,
            _ => value.serialize(&mut *self)?,
        }
        self.leave();
        Ok(())
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        self.variant(variant)?;
        value.serialize(&mut *self)?;
        self.leave();
        Ok(())
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<List<'s, 'a>, CodecError> {
        self.enter()?;
        Ok(List::new(self, len.unwrap_or(0)))
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Container<'s, 'a>, CodecError> {
        self.container(Family::Tuple, len)
    }

    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Container<'s, 'a>, CodecError> {
        self.container(Family::Tuple, len)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Container<'s, 'a>, CodecError> {
        self.variant(variant)?;
        Ok(Container { is_payload: true, ..self.container(Family::Tuple, len)? })
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Container<'s, 'a>, CodecError> {
        self.container(Family::Map, len.unwrap_or(0))
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Container<'s, 'a>, CodecError> {
        self.container(Family::Map, len)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Container<'s, 'a>, CodecError> {
        self.variant(variant)?;
        Ok(Container { is_payload: true, ..self.container(Family::Map, len)? })
    }

    /// Types that read differently for people read here as they do in bincode.
    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// A container's header: what was promised, and what came.
pub(super) struct Count {
    family: Family,
    start: usize,
    declared: usize,
    pub(super) seen: usize,
}

impl Count {
    /// Writes the header of a container that is said to have so many entries.
    #[inline]
    pub(super) fn begin(out: &mut Vec<u8>, family: Family, declared: usize) -> Self {
        let start = out.len();
        write::header(out, family, declared);
        Self { family, start, declared, seen: 0 }
    }

    /// Mends the header if it was wrong.
    #[inline]
    pub(super) fn end(&self, out: &mut Vec<u8>) {
        if self.seen != self.declared {
            self.mend(out);
        }
    }

    #[cold]
    fn mend(&self, out: &mut Vec<u8>) {
        let (mut wrong, mut right) = (Vec::new(), Vec::new());
        write::header(&mut wrong, self.family, self.declared);
        write::header(&mut right, self.family, self.seen);
        out.splice(self.start..self.start + wrong.len(), right);
    }
}

/// A tuple, map or struct on its way out.
pub(super) struct Container<'s, 'a> {
    serializer: &'s mut Serializer<'a>,
    count: Count,
    /// Whether it is an enum variant's contents, that is, stands one level deeper.
    is_payload: bool,
}

impl Container<'_, '_> {
    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        self.count.seen += 1;
        value.serialize(&mut *self.serializer)
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), CodecError> {
        self.count.seen += 1;
        write::str(self.serializer.out, key);
        value.serialize(&mut *self.serializer)
    }

    #[inline]
    fn finish(self) {
        self.count.end(self.serializer.out);
        self.serializer.leave();
        if self.is_payload {
            self.serializer.leave();
        }
    }
}

macro_rules! container {
    ($($form:ident { $add:ident($($key:ident)?) => $with:ident })*) => {$(
        impl ser::$form for Container<'_, '_> {
            type Ok = ();
            type Error = CodecError;

            #[inline]
            fn $add<T: Serialize + ?Sized>(&mut self, $($key: &'static str,)? value: &T) -> Result<(), CodecError> {
                self.$with($($key,)? value)
            }

            #[inline]
            fn end(self) -> Result<(), CodecError> {
                self.finish();
                Ok(())
            }
        }
    )*};
}

container! {
    SerializeTuple { serialize_element() => element }
    SerializeTupleStruct { serialize_field() => element }
    SerializeTupleVariant { serialize_field() => element }
    SerializeStruct { serialize_field(key) => field }
    SerializeStructVariant { serialize_field(key) => field }
}

impl ser::SerializeMap for Container<'_, '_> {
    type Ok = ();
    type Error = CodecError;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), CodecError> {
        self.element(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        value.serialize(&mut *self.serializer)
    }

    #[inline]
    fn end(self) -> Result<(), CodecError> {
        self.finish();
        Ok(())
    }
}
