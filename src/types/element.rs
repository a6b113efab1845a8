//! What a container keeps: a value in the self-describing format, with the proxies in it.
//!
//! An element is taken out of a call's payload, kept, and put into replies without the server knowing its type. The proxies in it are references of the
//! element's own: what it names lives as long as the element does.
//!
//! Invariant: the bytes are one valid value, and the proxies in it are numbered in the order of `proxies`.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Error as _, Serialize, Serializer};

use crate::codec::value::{self, Encoded};
use crate::codec::{self, Codec, CodecError};
use crate::error::Error;
use crate::object::{Failure, Invocation};
use crate::protocol::carriage::{self, Carried};
use crate::proxy::{BaseProxy, Proxy};
use crate::sys::bytes::{LARGE, SharedBytes};

/// How many bytes an element holds without memory of its own.
const SHORT: usize = 22;

/// Bytes that are cheap to keep when they are few, and to copy when they are many.
#[derive(Clone)]
enum Bytes {
    Short(u8, [u8; SHORT]),
    Long(Arc<[u8]>),
    /// In the memory that they came in, if they were most of it.
    Large(Arc<SharedBytes>),
}

impl Bytes {
    /// Of large bytes what `keep` makes of them.
    fn new(bytes: &[u8], keep: impl FnOnce() -> SharedBytes) -> Self {
        match u8::try_from(bytes.len()) {
            Ok(length) if bytes.len() <= SHORT => {
                let mut short = [0; SHORT];
                short[..bytes.len()].copy_from_slice(bytes);
                Self::Short(length, short)
            }
            _ if bytes.len() < LARGE => Self::Long(bytes.into()),
            _ => Self::Large(Arc::new(keep())),
        }
    }

    fn of(mut bytes: Vec<u8>) -> Self {
        let large = if bytes.len() < LARGE { Vec::new() } else { std::mem::take(&mut bytes) };
        if large.is_empty() { Self::new(&bytes, SharedBytes::default) } else { Self::Large(Arc::new(large.into())) }
    }

    fn get(&self) -> &[u8] {
        match self {
            Self::Short(length, short) => &short[..usize::from(*length)],
            Self::Long(bytes) => bytes,
            Self::Large(bytes) => bytes,
        }
    }
}

/// One value of any type, as a container keeps it. Cloning copies no large bytes.
#[derive(Clone)]
pub(crate) struct Element {
    bytes: Bytes,
    proxies: Option<Arc<[Carried]>>,
}

impl Element {
    /// The element that a value of this process turns into, proxies of this server's objects in it included.
    pub(crate) fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, CodecError> {
        let mut bytes = Vec::new();
        let (written, proxies) = carriage::outgoing(|| codec::encode(Codec::Value, value, &mut bytes));
        written?;
        Ok(Self::of_parts(bytes, proxies))
    }

    /// Takes a value out of the payload that this thread reads.
    fn take(bytes: &[u8]) -> Result<Self, CodecError> {
        if !carriage::brings_tokens() {
            return Ok(Self { bytes: Bytes::new(bytes, || carriage::kept(bytes)), proxies: None });
        }
        let mut proxies = Vec::new();
        let mut renumbered = Vec::with_capacity(bytes.len());
        value::replace_proxies(bytes, &mut renumbered, |index, out| {
            let carried =
                carriage::take(index).ok_or_else(|| CodecError::other("a proxy without a token beside it"))?;
            value::write_proxy(u32::try_from(proxies.len()).unwrap_or(u32::MAX), out);
            proxies.push(carried);
            Ok(())
        })?;
        Ok(Self::of_parts(renumbered, proxies))
    }

    /// The element of these bytes, with the proxies that they number.
    pub(crate) fn of_parts(bytes: Vec<u8>, proxies: Vec<Carried>) -> Self {
        Self { bytes: Bytes::of(bytes), proxies: (!proxies.is_empty()).then(|| proxies.into()) }
    }

    /// Whether there are proxies in it.
    pub(crate) fn has_proxies(&self) -> bool {
        self.proxies.is_some()
    }

    /// The value's bytes. Proxies in them are numbered as in this element, so that they mean nothing outside.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get()
    }

    /// The proxy of that number.
    fn proxy(&self, index: u32) -> Option<&Carried> {
        self.proxies.as_ref()?.get(usize::try_from(index).ok()?)
    }

    /// What equality goes by: the same bytes for values that are equal by Python's rules, proxies of one object among them.
    pub(crate) fn canonical(&self) -> Result<Canonical, CodecError> {
        if value::is_canonical(self.bytes()) {
            return Ok(Canonical(self.bytes.clone()));
        }
        let canonical = match &self.proxies {
            None => value::canonical(self.bytes())?,
            Some(_) => {
                let mut identified = Vec::new();
                value::replace_proxies(self.bytes(), &mut identified, |index, out| {
                    let carried = self.proxy(index).ok_or_else(|| CodecError::other("a proxy without a token"))?;
                    value::write_identity(carried.token.object().0, out);
                    Ok(())
                })?;
                value::canonical(&identified)?
            }
        };
        Ok(Canonical(Bytes::of(canonical)))
    }

    /// The value itself, or that of the object that it is a proxy of. May call that object, and wait for it: to be called under no lock.
    pub(crate) fn value(self) -> Result<Self, Failure> {
        match self.read::<BaseProxy>() {
            Ok(proxy) => Ok(proxy.to_value()?),
            Err(_) => Ok(self),
        }
    }

    /// Whether it equals `other` by value, where `other` is a value or a proxy of an object that has one. As [`value`](Self::value).
    pub(crate) fn equals(&self, other: Self) -> Result<bool, Failure> {
        let canonical = |element: &Self| element.canonical().map_err(Error::unserializable::<Self>);
        Ok(canonical(self)? == canonical(&other.value()?)?)
    }

    /// The elements of a value that has some. As [`value`](Self::value).
    pub(crate) fn contents(self) -> Result<Vec<Self>, Failure> {
        Ok(self.value()?.read().map_err(Error::unserializable::<Vec<Self>>)?)
    }

    /// Reads it as a Rust value; proxies in it come out as this server's own.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, CodecError> {
        carriage::incoming(self.proxies.as_deref().unwrap_or_default(), || codec::decode(Codec::Value, self.bytes()))
    }
}

impl Serialize for Element {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.proxies.is_none() {
            if let Bytes::Large(bytes) = &self.bytes
                && carriage::may_detach()
            {
                let (written, place) = value::cut(serializer)?;
                carriage::detach(place, SharedBytes::clone(bytes));
                return Ok(written);
            }
            return Encoded(self.bytes()).serialize(serializer);
        }
        let mut renumbered = Vec::with_capacity(self.bytes().len());
        value::replace_proxies(self.bytes(), &mut renumbered, |index, out| {
            let carried = self.proxy(index).ok_or_else(|| CodecError::other("a proxy without a token"))?;
            let index = carriage::put(|| carried.clone())
                .ok_or_else(|| CodecError::other("an element with a proxy outside of a payload"))?;
            value::write_proxy(index, out);
            Ok(())
        })
        .map_err(S::Error::custom)?;
        Encoded(&renumbered).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        value::read_encoded(deserializer, Self::take)
    }
}

/// As Python's `repr` shows it; a proxy as `<dict object 7>`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = |index: u32, f: &mut fmt::Formatter<'_>| match self.proxy(index) {
            Some(carried) => write!(f, "<{} object {}>", carried.token.typeid(), carried.token.object()),
            None => write!(f, "<proxy {index}>"),
        };
        value::display_with(self.bytes(), proxy).fmt(f)
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Element({self})")
    }
}

/// The arguments of a call that keeps them: elements of this server's own, or an error that says which is not.
pub(crate) fn elements<'call, A: Deserialize<'call>>(call: &mut Invocation<'call>) -> Result<A, Failure> {
    call.keeps_proxies()?;
    call.arguments()
}

/// What an iterator gives, as a list on its way out.
pub(crate) struct Each<I>(pub(crate) I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Each<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

/// The canonical form of an element: what keys and equality go by. Orders as its bytes do, which means nothing to a person.
#[derive(Clone)]
pub(crate) struct Canonical(Bytes);

impl Canonical {
    fn bytes(&self) -> &[u8] {
        self.0.get()
    }
}

impl PartialEq for Canonical {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Canonical {}

impl PartialOrd for Canonical {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Canonical {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl Hash for Canonical {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes().hash(state);
    }
}

impl std::borrow::Borrow<[u8]> for Canonical {
    fn borrow(&self) -> &[u8] {
        self.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, Value, decode, encode};

    fn element(value: &impl Serialize) -> Element {
        Element::of(value).unwrap()
    }

    #[test]
    fn short_and_long_values_come_out_as_they_went_in() {
        for length in [0, 1, SHORT - 2, SHORT, SHORT + 1, 5000] {
            let text = "x".repeat(length);
            let mut bytes = Vec::new();
            encode(Codec::Value, &element(&text), &mut bytes).unwrap();
            assert_eq!(decode::<String>(Codec::Value, &bytes).unwrap(), text);
            assert_eq!(element(&text).read::<String>().unwrap(), text);
        }
    }

    #[test]
    fn equality_is_pythons() {
        let canonical = |value: &Value| element(value).canonical().unwrap();
        assert!(canonical(&1.into()) == canonical(&true.into()));
        assert!(canonical(&1.into()) == canonical(&1.0.into()));
        assert!(canonical(&"1".into()) != canonical(&1.into()));
        assert_eq!(element(&("a", 1)).to_string(), "('a', 1)");
    }
}
