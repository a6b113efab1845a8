//! Vectors of numbers as elements: they go out and come in as one block, at the speed of a copy.
//!
//! Which types these are is known when the code is compiled; nothing is looked up at run time.

use std::any::{Any, TypeId};

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::codec::value::{Block, Blocked, read_encoded};
use crate::codec::{self, Codec, CodecError};

macro_rules! for_each_number {
    ($number:ident => $code:block) => {
        for_each_number! { @ $number $code u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 }
    };
    (@ $number:ident $code:block $($type:ty)*) => {
        $({ type $number = $type; $code })*
    };
}

/// The block that a vector is.
fn block_of<T: 'static>(value: &T) -> Option<Block<'_>> {
    let value: &dyn Any = value;
    for_each_number! { N => {
        if let Some(numbers) = value.downcast_ref::<Vec<N>>() {
            return Block::of(numbers);
        }
    } }
    None
}

/// The block that a slice is.
fn block_of_slice<T: 'static>(values: &[T]) -> Option<Block<'_>> {
    type Of<N> = for<'a> fn(&'a [N]) -> Option<Block<'a>>;
    for_each_number! { N => {
        // A slice is no `Any`; but a function of slices is, and it is the one wanted if it is of these.
        let of: Of<N> = |numbers| Block::of(numbers);
        if let Some(of) = (&of as &dyn Any).downcast_ref::<Of<T>>() {
            return of(values);
        }
    } }
    None
}

/// Serializes a value, in one piece if it is a vector of numbers.
pub(super) fn serialize<T: Serialize + 'static, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    match block_of(value) {
        Some(block) => block.serialize(serializer),
        None => value.serialize(serializer),
    }
}

/// Serializes a slice as the vector of its elements.
pub(super) fn serialize_slice<T: Serialize + 'static, S: Serializer>(
    values: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match block_of_slice(values) {
        Some(block) => block.serialize(serializer),
        None => values.serialize(serializer),
    }
}

/// A value on its way in: in one piece if it is a vector of numbers.
pub(super) struct Received<V>(V);

impl<V> Received<V> {
    pub(super) fn into_inner(self) -> V {
        self.0
    }
}

impl<'de, V: DeserializeOwned + 'static> Deserialize<'de> for Received<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        for_each_number! { N => {
            if TypeId::of::<V>() == TypeId::of::<Vec<N>>() {
                return read_encoded(deserializer, read::<N, V>).map(Self);
            }
        } }
        V::deserialize(deserializer).map(Self)
    }
}

/// Reads a `Vec<N>`, as the type that it is known by.
fn read<N: Blocked + 'static, V: DeserializeOwned + 'static>(bytes: &[u8]) -> Result<V, CodecError> {
    let mut room: Option<V> = None;
    if let Some(numbers) = Block::read(bytes).and_then(|block| block.to_vec::<N>())
        && let Some(room) = (&mut room as &mut dyn Any).downcast_mut::<Option<Vec<N>>>()
    {
        *room = Some(numbers);
    }
    // Numbers of another type, or none at all.
    room.map_or_else(|| codec::decode(Codec::Value, bytes), Ok)
}

/// Values on their way in, as what they are.
pub(super) fn received<V>(values: Vec<Received<V>>) -> Vec<V> {
    values.into_iter().map(Received::into_inner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Out<T>(T);

    impl<T: Serialize + 'static> Serialize for Out<T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serialize(&self.0, serializer)
        }
    }

    struct OutSlice<'a, T>(&'a [T]);

    impl<T: Serialize + 'static> Serialize for OutSlice<'_, T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serialize_slice(self.0, serializer)
        }
    }

    fn encoded(value: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        codec::encode(Codec::Value, value, &mut bytes).unwrap();
        bytes
    }

    fn comes_back<T>(values: Vec<T>)
    where
        T: Serialize + DeserializeOwned + Clone + PartialEq + std::fmt::Debug + 'static,
    {
        let plain = encoded(&values);
        assert_eq!(encoded(&Out(values.clone())), plain);
        assert_eq!(encoded(&OutSlice(&values)), plain);
        assert_eq!(codec::decode::<Received<Vec<T>>>(Codec::Value, &plain).unwrap().into_inner(), values);
    }

    #[test]
    fn every_vector_is_written_and_read_as_serde_would() {
        comes_back::<u8>((0..=255).collect());
        comes_back::<i8>((-128..=127).collect());
        comes_back::<u16>(vec![1, 65535]);
        comes_back::<i32>(vec![-1, i32::MAX]);
        comes_back::<u64>(vec![u64::MAX]);
        comes_back::<f32>(vec![1.5, f32::INFINITY]);
        comes_back::<f64>(vec![]);
        comes_back::<String>(vec!["a".into()]);
        comes_back::<Vec<u8>>(vec![vec![1], vec![]]);
        comes_back::<bool>(vec![true]);
    }

    #[test]
    fn numbers_of_another_type_are_read_if_they_fit() {
        let ints = encoded(&vec![1_u8, 2]);
        assert_eq!(codec::decode::<Received<Vec<f64>>>(Codec::Value, &ints).unwrap().into_inner(), [1.0, 2.0]);
        assert_eq!(codec::decode::<Received<Vec<u64>>>(Codec::Value, &encoded(&(1, 2))).unwrap().into_inner(), [1, 2]);
        assert!(codec::decode::<Received<Vec<u8>>>(Codec::Value, &encoded(&vec![300_u16])).is_err());
        assert!(codec::decode::<Received<Vec<u8>>>(Codec::Value, &encoded(&"x")).is_err());
    }
}
