//! [`Value`] in serde: its own bytes in binary formats, plain data in formats for people.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};

use super::{VALUE, Value};
use crate::codec::{CLAIMED_ROOM, PROXY};

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            let bytes = self.to_bytes().map_err(S::Error::custom)?;
            return serializer.serialize_newtype_struct(VALUE, serde_bytes::Bytes::new(&bytes));
        }
        match self {
            Self::None => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => serializer.serialize_u64(value),
                (_, Ok(value)) => serializer.serialize_i64(value),
                _ => serializer.serialize_i128(*value),
            },
            Self::BigInt(_) => serializer.collect_str(self),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Complex(real, imaginary) => (real, imaginary).serialize(serializer),
            Self::Str(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::Tuple(elements) | Self::List(elements) | Self::Set(elements) | Self::FrozenSet(elements) => {
                serializer.collect_seq(elements)
            }
            Self::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
            Self::Proxy(index) => serializer.serialize_newtype_struct(PROXY, index),
            Self::Opaque { kind, .. } => {
                Err(S::Error::custom(format_args!("{kind} is an object of another language, which has no text form")))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Plain)
        } else {
            deserializer.deserialize_newtype_struct(VALUE, Encoded)
        }
    }
}

/// Reads a value from its bytes.
struct Encoded;

impl<'de> Visitor<'de> for Encoded {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Value::from_bytes(bytes).map_err(E::custom)
    }
}

/// Takes what a self-describing format has.
struct Plain;

macro_rules! scalars {
    ($($method:ident($kind:ty))*) => {$(
        fn $method<E: de::Error>(self, value: $kind) -> Result<Value, E> {
            Ok(value.into())
        }
    )*};
}

impl<'de> Visitor<'de> for Plain {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    scalars! { visit_bool(bool) visit_i64(i64) visit_i128(i128) visit_u64(u64) visit_f64(f64) visit_str(&str) visit_string(String) }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        Value::of(&value).map_err(E::custom)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.to_vec()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    /// The one newtype that describes itself as such is a proxy's index.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        u32::deserialize(deserializer).map(Value::Proxy)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut elements = Vec::with_capacity(access.size_hint().unwrap_or(0).min(CLAIMED_ROOM));
        while let Some(element) = access.next_element()? {
            elements.push(element);
        }
        Ok(Value::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::with_capacity(access.size_hint().unwrap_or(0).min(CLAIMED_ROOM));
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}
