//! A list on its way out: packed for as long as its elements are numbers of one width.
//!
//! serde does not say what a sequence's elements are before they come. The first one decides: a number opens a packed
//! block, anything else an ordinary list. Should a later one not fit the block, the block is rewritten as an ordinary
//! list, once.

use serde::ser::{self, Serialize};

use super::number::{Element, Packable, Packed};
use super::serializer::{Container, Count, Serializer};
use super::tag::{self, Family};
use super::{ENCODED, VALUE, write};
use crate::codec::PROXY;
use crate::codec::error::CodecError;

/// A list on its way out.
pub(super) struct List<'s, 'a> {
    serializer: &'s mut Serializer<'a>,
    /// Where it begins.
    start: usize,
    declared: usize,
    form: Form,
}

/// How the elements so far were written.
enum Form {
    /// There are none.
    Empty,
    /// As raw numbers.
    Packed(Element),
    /// Each as a value.
    Plain(Count),
}

impl<'s, 'a> List<'s, 'a> {
    #[inline]
    pub(super) fn new(serializer: &'s mut Serializer<'a>, declared: usize) -> Self {
        let start = serializer.out.len();
        Self { serializer, start, declared, form: Form::Empty }
    }

    /// The next element is a number.
    #[inline]
    fn number<N: Packable + Serialize>(&mut self, value: N) -> Result<(), CodecError> {
        match self.form {
            Form::Packed(element) if element == N::ELEMENT => {}
            Form::Empty => self.open_block(N::ELEMENT),
            _ => return value.serialize(self.plain()),
        }
        value.append_raw(self.serializer.out);
        Ok(())
    }

    fn open_block(&mut self, element: Element) {
        let out = &mut *self.serializer.out;
        block_header(out, element, self.declared);
        // A wrong promise must not be paid for in memory that there is not, hence no plain `reserve`.
        let _ = out.try_reserve(self.declared.saturating_mul(element.width()));
        self.form = Form::Packed(element);
    }

    /// The next element is no number that fits: from here on each is a value.
    #[inline]
    fn plain(&mut self) -> &mut Serializer<'a> {
        if !matches!(self.form, Form::Plain(_)) {
            self.unpack();
        }
        self.serializer
    }

    /// Rewrites the block, if there is one, as an ordinary list, and counts the element at hand.
    fn unpack(&mut self) {
        let out = &mut *self.serializer.out;
        let block = out.split_off(self.start);
        let mut count = Count::begin(out, Family::List, self.declared);
        if let Form::Packed(element) = self.form {
            let numbers = Packed::new(element, &block[self.block_header_width()..]);
            count.seen = numbers.len();
            numbers.for_each(|number| number.append_to(self.serializer.out));
        }
        count.seen += 1;
        self.form = Form::Plain(count);
    }

    /// How long the header of the block is, which says what was promised.
    fn block_header_width(&self) -> usize {
        2 + write::length_width(self.declared)
    }

    /// Mends the header of a block, if it was wrong.
    fn close_block(&mut self, element: Element) {
        let wrong = self.start..self.start + self.block_header_width();
        let out = &mut *self.serializer.out;
        let count = (out.len() - wrong.end) / element.width();
        if count != self.declared {
            let mut right = Vec::new();
            block_header(&mut right, element, count);
            out.splice(wrong, right);
        }
    }
}

fn block_header(out: &mut Vec<u8>, element: Element, count: usize) {
    out.push(tag::PACKED);
    out.push(element as u8);
    write::length(out, count);
}

impl ser::SerializeSeq for List<'_, '_> {
    type Ok = ();
    type Error = CodecError;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        match &mut self.form {
            Form::Plain(count) => {
                count.seen += 1;
                value.serialize(&mut *self.serializer)
            }
            _ => value.serialize(ListElement(self)),
        }
    }

    #[inline]
    fn end(mut self) -> Result<(), CodecError> {
        match &self.form {
            Form::Empty => write::header(self.serializer.out, Family::List, 0),
            Form::Packed(element) => self.close_block(*element),
            Form::Plain(count) => count.end(self.serializer.out),
        }
        self.serializer.leave();
        Ok(())
    }
}

/// An element of a list that has seen nothing but numbers.
struct ListElement<'l, 's, 'a>(&'l mut List<'s, 'a>);

macro_rules! numbers {
    ($($method:ident($kind:ty))*) => {$(
        #[inline]
        fn $method(self, value: $kind) -> Result<(), CodecError> {
            self.0.number(value)
        }
    )*};
}

macro_rules! others {
    ($($method:ident($($name:ident: $kind:ty),*) -> $ok:ty)*) => {$(
        #[inline]
        fn $method(self, $($name: $kind),*) -> Result<$ok, CodecError> {
            self.0.plain().$method($($name),*)
        }
    )*};
}

impl<'l, 'a> ser::Serializer for ListElement<'l, '_, 'a> {
    type Ok = ();
    type Error = CodecError;
    type SerializeSeq = List<'l, 'a>;
    type SerializeTuple = Container<'l, 'a>;
    type SerializeTupleStruct = Container<'l, 'a>;
    type SerializeTupleVariant = Container<'l, 'a>;
    type SerializeMap = Container<'l, 'a>;
    type SerializeStruct = Container<'l, 'a>;
    type SerializeStructVariant = Container<'l, 'a>;

    numbers! {
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
        serialize_f32(f32) serialize_f64(f64)
    }

    others! {
        serialize_i128(value: i128) -> ()
        serialize_u128(value: u128) -> ()
        serialize_bool(value: bool) -> ()
        serialize_char(value: char) -> ()
        serialize_str(value: &str) -> ()
        serialize_bytes(value: &[u8]) -> ()
        serialize_none() -> ()
        serialize_unit() -> ()
        serialize_unit_struct(name: &'static str) -> ()
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str) -> ()
        serialize_seq(len: Option<usize>) -> List<'l, 'a>
        serialize_tuple(len: usize) -> Container<'l, 'a>
        serialize_tuple_struct(name: &'static str, len: usize) -> Container<'l, 'a>
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> Container<'l, 'a>
        serialize_map(len: Option<usize>) -> Container<'l, 'a>
        serialize_struct(name: &'static str, len: usize) -> Container<'l, 'a>
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> Container<'l, 'a>
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CodecError> {
        self.0.serializer.enter()?;
        value.serialize(ListElement(&mut *self.0))?;
        self.0.serializer.leave();
        Ok(())
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), CodecError> {
        if matches!(name, PROXY | VALUE | ENCODED) {
            return self.0.plain().serialize_newtype_struct(name, value);
        }
        self.0.serializer.enter()?;
        value.serialize(ListElement(&mut *self.0))?;
        self.0.serializer.leave();
        Ok(())
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        self.0.plain().serialize_newtype_variant(name, index, variant, value)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}
