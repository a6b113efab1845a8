//! In which forms an element may be handed to a proxy, and how it comes back.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::bulk::{self, Received};
use crate::datum::Datum;

/// What may be given where an element of type `T` is wanted: a `T`, a `&T`, or a borrowed form that is sent as a `T` is (`&str` for `String`, `&[u8]` for
/// `Vec<u8>`). Nothing is cloned to be sent.
///
/// ```
/// # use multiproc::{SyncManager, types::DictProxy};
/// # fn main() -> multiproc::Result<()> {
/// # let manager = SyncManager::start()?;
/// let ages = DictProxy::<String, u32>::from_iter(&manager, [("ada", 36)])?;
/// ages.insert("grace", 85)?;                   // a &str for a String
/// let name = String::from("alan");
/// ages.insert(&name, &41)?;                    // borrowed
/// assert_eq!(ages.get(&name)?, Some(41));
/// # manager.shutdown()
/// # }
/// ```
pub trait Encodes<T: ?Sized> {
    #[doc(hidden)]
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
}

impl<T: Datum> Encodes<T> for T {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bulk::serialize(self, serializer)
    }
}

impl<T: Datum> Encodes<T> for &T {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bulk::serialize(*self, serializer)
    }
}

impl Encodes<String> for &str {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}

impl<T: Datum> Encodes<Vec<T>> for &[T] {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bulk::serialize_slice(self, serializer)
    }
}

impl<T: Datum, const N: usize> Encodes<Vec<T>> for &[T; N] {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bulk::serialize_slice(self.as_slice(), serializer)
    }
}

impl Encodes<serde_bytes::ByteBuf> for &[u8] {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

/// An element on its way out, in whichever form it was given.
pub(crate) struct Sent<'a, T: ?Sized, E> {
    element: &'a E,
    as_type: PhantomData<fn() -> Box<T>>,
}

/// Hands an element over.
pub(crate) fn sent<T: ?Sized, E: Encodes<T>>(element: &E) -> Sent<'_, T, E> {
    Sent { element, as_type: PhantomData }
}

impl<T: ?Sized, E: Encodes<T>> Serialize for Sent<'_, T, E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.element.encode(serializer)
    }
}

/// Elements on their way out, one after the other: a list of them, without a list in between.
pub(crate) struct SentAll<T: ?Sized, I> {
    elements: std::cell::RefCell<Option<I>>,
    as_type: PhantomData<fn() -> Box<T>>,
}

/// Hands all elements of an iterator over.
pub(crate) fn sent_all<T, I>(elements: I) -> SentAll<T, I::IntoIter>
where
    T: ?Sized,
    I: IntoIterator,
    I::Item: Encodes<T>,
{
    SentAll { elements: std::cell::RefCell::new(Some(elements.into_iter())), as_type: PhantomData }
}

impl<T: ?Sized, I: Iterator> Serialize for SentAll<T, I>
where
    I::Item: Encodes<T>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{Error, SerializeSeq};
        let elements = self.elements.take().ok_or_else(|| S::Error::custom("the elements were taken already"))?;
        let length = match elements.size_hint() {
            (least, Some(most)) if least == most => Some(least),
            _ => None,
        };
        let mut list = serializer.serialize_seq(length)?;
        for element in elements {
            list.serialize_element(&sent::<T, _>(&element))?;
        }
        list.end()
    }
}

/// A result that may be missing, so that a missing one is told from one that is `None` itself: on the wire a tuple of one, or None.
pub(crate) struct Slot<T>(pub(crate) Option<T>);

impl<T> Slot<T> {
    pub(crate) fn into_inner(self) -> Option<T> {
        self.0
    }
}

impl<T: Serialize> Serialize for Slot<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().map(|value| (value,)).serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned + 'static> Deserialize<'de> for Slot<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::<(Received<T>,)>::deserialize(deserializer)?.map(|(value,)| value.into_inner())))
    }
}

impl<T: fmt::Debug> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
