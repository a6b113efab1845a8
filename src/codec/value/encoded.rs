//! A value that stays encoded: what a container's server side takes in, keeps and gives out without knowing its type.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::ser::{self, Impossible, Serialize, Serializer};

use super::{ENCODED, VALUE, write};
use crate::codec::error::CodecError;

/// The bytes of one value, to be written inside a larger one; they are taken on trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded<'a>(pub &'a [u8]);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(ENCODED, serde_bytes::Bytes::new(self.0))
    }
}

/// The bytes of one value in two pieces, to be written inside a larger one; they are taken on trust.
#[derive(Debug, Clone, Copy)]
pub struct EncodedParts<'a>(pub &'a [u8], pub &'a [u8]);

impl Serialize for EncodedParts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = (serde_bytes::Bytes::new(self.0), serde_bytes::Bytes::new(self.1));
        serializer.serialize_newtype_struct(ENCODED, &parts)
    }
}

thread_local! {
    static CUT: Cell<usize> = const { Cell::new(0) };
}

/// Writes nothing where a value stands that goes another way, and tells where that is: before how many bytes it is to be put in among those that are written.
///
/// # Errors
/// Where the format is another.
pub fn cut<S: Serializer>(serializer: S) -> Result<(S::Ok, usize), S::Error> {
    let written = serializer.serialize_newtype_struct(ENCODED, &())?;
    Ok((written, CUT.get()))
}

/// Reads one value of any type, and hands its bytes, which have been checked to be one, to `take`.
///
/// # Errors
/// Where there is none, or `take` refuses it.
pub fn read_encoded<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    take: impl FnOnce(&[u8]) -> Result<T, CodecError>,
) -> Result<T, D::Error> {
    struct Bytes<F>(F);

    impl<'de, T, F: FnOnce(&[u8]) -> Result<T, CodecError>> Visitor<'de> for Bytes<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a value")
        }

        fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<T, D::Error> {
            inner.deserialize_bytes(self)
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<T, E> {
            (self.0)(bytes).map_err(E::custom)
        }
    }

    deserializer.deserialize_newtype_struct(VALUE, Bytes(take))
}

/// Appends the bytes that a newtype around them tells to serde, without the header that bytes have.
pub(super) struct Splicer<'a>(pub(super) &'a mut Vec<u8>);

fn misused() -> CodecError {
    CodecError::mismatch("a value's bytes", "something else")
}

macro_rules! refuse {
    ($($method:ident($($kind:ty),*) -> $ok:ty;)*) => {$(
        fn $method(self, $(_: $kind),*) -> Result<$ok, CodecError> {
            Err(misused())
        }
    )*};
}

impl Serializer for Splicer<'_> {
    type Ok = ();
    type Error = CodecError;
    type SerializeSeq = Impossible<(), CodecError>;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Impossible<(), CodecError>;
    type SerializeTupleVariant = Impossible<(), CodecError>;
    type SerializeMap = Impossible<(), CodecError>;
    type SerializeStruct = Impossible<(), CodecError>;
    type SerializeStructVariant = Impossible<(), CodecError>;

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), CodecError> {
        write::piece(self.0, bytes);
        Ok(())
    }

    /// A [cut].
    fn serialize_unit(self) -> Result<(), CodecError> {
        CUT.set(self.0.len());
        Ok(())
    }

    refuse! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_str(&str) -> ();
        serialize_none() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, CodecError> {
        Ok(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), CodecError> {
        Err(misused())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<(), CodecError> {
        Err(misused())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), CodecError> {
        Err(ser::Error::custom(misused()))
    }
}

/// One piece after the other.
impl ser::SerializeTuple for Splicer<'_> {
    type Ok = ();
    type Error = CodecError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, piece: &T) -> Result<(), CodecError> {
        piece.serialize(Splicer(self.0))
    }

    fn end(self) -> Result<(), CodecError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::codec::{Codec, Value, decode, encode};

    struct Raw(Vec<u8>);

    impl<'de> Deserialize<'de> for Raw {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            read_encoded(deserializer, |bytes| Ok(Self(bytes.to_vec())))
        }
    }

    impl Serialize for Raw {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            Encoded(&self.0).serialize(serializer)
        }
    }

    fn encoded(value: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(Codec::Value, value, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_value_goes_through_as_it_is() {
        let bytes = encoded(&("key", vec![1_u8, 2], Some(-5)));
        let (key, list, number): (Raw, Raw, i64) = decode(Codec::Value, &bytes).unwrap();
        assert_eq!(decode::<String>(Codec::Value, &key.0).unwrap(), "key");
        assert_eq!(encoded(&(key, list, number)), bytes);
    }

    #[test]
    fn elements_of_a_list_go_through_beside_each_other() {
        let raw = vec![Raw(encoded(&1_u8)), Raw(encoded(&"x")), Raw(encoded(&(2, 3)))];
        let values: Vec<Value> = decode(Codec::Value, &encoded(&raw)).unwrap();
        assert_eq!(Value::List(values).to_string(), "[1, 'x', (2, 3)]");
    }

    /// A packed list holds no values' bytes; reading one as values failed with "a value wanted, int found".
    #[test]
    fn the_numbers_of_a_packed_list_are_values_too() {
        let packed = encoded(&vec![1_u8, 200]);
        let raw: Vec<Raw> = decode(Codec::Value, &packed).unwrap();
        assert_eq!(decode::<u8>(Codec::Value, &raw[1].0).unwrap(), 200);
        let values: Vec<Value> = decode(Codec::Value, &packed).unwrap();
        assert_eq!(values, [1.into(), 200.into()]);
    }

    #[test]
    fn what_is_no_value_is_not_taken_in() {
        assert!(decode::<Raw>(Codec::Value, &[]).is_err());
        assert!(decode::<(Raw,)>(Codec::Value, &[super::super::tag::SHORT_TUPLE + 1, 0xef]).is_err());
    }
}
