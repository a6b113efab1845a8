//! A call with its arguments encoded, before it is made.

use serde::Serialize;

use super::BaseProxy;
use crate::codec::{self, Codec, value};
use crate::error::{Error, Result};
use crate::protocol::carriage::{self, Carried};
use crate::sys::buffer;

/// A call that is ready to be made, now or later.
pub(super) struct Written<'a> {
    pub(super) method: &'a str,
    pub(super) codec: Codec,
    /// The structural hash of the method's types; 0 for none.
    pub(super) signature: u32,
    pub(super) payload: Vec<u8>,
    /// The proxies among the arguments.
    pub(super) carried: Vec<Carried>,
    /// Whether its method is a name that somebody has written, not a typed proxy's.
    #[cfg_attr(not(feature = "python"), allow(dead_code, reason = "the same to servers of this crate"))]
    pub(super) is_by_name: bool,
    /// How many bytes the arguments take, where they are large, and not in `payload`, but still to be written.
    pub(super) measured: Option<usize>,
}

impl<'a> Written<'a> {
    /// For a typed method.
    pub(super) fn typed<A: Serialize + ?Sized>(
        codec: Codec,
        method: &'a str,
        signature: u32,
        arguments: &A,
    ) -> Result<Self> {
        if codec == Codec::Value {
            return Self::by_value(method, arguments);
        }
        Self::write(method, Codec::Bincode, signature, |out| {
            codec::encode(Codec::Bincode, arguments, out).map_err(Error::unserializable::<A>)
        })
    }

    /// For a typed method, where large arguments can be written when the call is made.
    pub(super) fn measured<A: Serialize + ?Sized>(method: &'a str, signature: u32, arguments: &A) -> Result<Self> {
        let mut measured = None;
        let written = Self::write(method, Codec::Bincode, signature, |out| {
            measured = codec::encode_or_measure(arguments, out).map_err(Error::unserializable::<A>)?;
            Ok(())
        })?;
        Ok(Self { measured, ..written })
    }

    /// For a typed method, in the self-describing format.
    pub(super) fn by_value<A: Serialize + ?Sized>(method: &'a str, arguments: &A) -> Result<Self> {
        Self::write(method, Codec::Value, 0, |out| {
            value::encode_arguments(arguments, &(), out).map_err(Error::unserializable::<A>)
        })
    }

    /// For a call by name, of `proxy`.
    pub(super) fn by_name<A: Serialize, K: Serialize>(
        proxy: &BaseProxy,
        method: &'a str,
        arguments: &A,
        keywords: &K,
    ) -> Result<Self> {
        let written = Self::write(method, Codec::Value, 0, |out| {
            value::encode_arguments(arguments, keywords, out).map_err(|error| Error::Arguments {
                typeid: proxy.token_ref().typeid().to_owned(),
                method: method.to_owned(),
                reason: error.to_string(),
            })
        });
        Ok(Self { is_by_name: true, ..written? })
    }

    fn write(
        method: &'a str,
        codec: Codec,
        signature: u32,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<Self> {
        let mut payload = buffer::take();
        let (encoded, carried) = carriage::outgoing(|| encode(&mut payload));
        encoded?;
        Ok(Self { method, codec, signature, payload, carried, is_by_name: false, measured: None })
    }
}
