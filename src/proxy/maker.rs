//! What makes objects: a client of a server, with the names under which types are registered there.
//!
//! Every manager is one (`AsRef<Maker>`); constructors of proxies take nothing more of it.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Proxy;
use crate::client::{Client, Request, Returned};
use crate::codec::{self, Codec, Value, value};
use crate::error::{CallError, Error, RemoteError, Result};
use crate::object::Referent;
use crate::protocol::ObjectId;
use crate::protocol::carriage;
use crate::protocol::reply::Status;

/// Under which names a type is registered.
pub(crate) type Typeids = HashMap<TypeId, Vec<String>>;

/// Creates objects in a server. Every manager gives one out, as `AsRef<Maker>`: what a constructor of a proxy needs.
#[derive(Debug)]
pub struct Maker {
    client: Arc<Client>,
    typeids: Typeids,
}

impl Maker {
    pub(crate) fn new(client: Arc<Client>, typeids: Typeids) -> Self {
        Self { client, typeids }
    }

    /// This process as a client of the server.
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// As [`BaseManager::create_as`](crate::BaseManager::create_as).
    pub fn create_as<P: Proxy>(&self, typeid: &str, arguments: impl Serialize) -> Result<P> {
        self.construct_as_by_value(typeid, "", &arguments)
    }

    /// The typeid under which this side knows `T`.
    fn typeid_of<T: Referent>(&self) -> Result<&str> {
        match self.typeids.get(&TypeId::of::<T>()).map(Vec::as_slice) {
            None | Some([]) => Ok(T::TYPEID),
            Some([only]) => Ok(only),
            Some(several) => several
                .iter()
                .map(String::as_str)
                .find(|&name| name == T::TYPEID)
                .ok_or_else(|| Error::NoSuchType { typeid: T::TYPEID.to_owned(), registered: several.to_vec() }),
        }
    }

    /// Creates by a typed constructor, for generated proxies.
    #[doc(hidden)]
    pub fn construct<T: Referent, P: Proxy, A: Serialize + ?Sized>(
        &self,
        constructor: &str,
        signature: u32,
        arguments: &A,
    ) -> Result<P> {
        self.construct_as(self.typeid_of::<T>()?, constructor, signature, arguments)
    }

    /// As [`construct`](Self::construct), where the constructor has an error of its own.
    #[doc(hidden)]
    pub fn construct_fallible<T: Referent, P: Proxy, A: Serialize + ?Sized, E: DeserializeOwned>(
        &self,
        constructor: &str,
        signature: u32,
        arguments: &A,
    ) -> Result<P, CallError<E>> {
        self.construct_fallible_as(self.typeid_of::<T>()?, constructor, signature, arguments)
    }

    /// As [`construct`](Self::construct), for a type that this program does not have.
    #[doc(hidden)]
    pub fn construct_as<P: Proxy, A: Serialize + ?Sized>(
        &self,
        typeid: &str,
        constructor: &str,
        signature: u32,
        arguments: &A,
    ) -> Result<P> {
        let write =
            |out: &mut Vec<u8>| codec::encode(Codec::Bincode, arguments, out).map_err(|error| error.to_string());
        self.make(Codec::Bincode, typeid, constructor, signature, write)
            .map_err(|error: CallError<Unknown>| plain(error, typeid))
    }

    /// As [`construct_as`](Self::construct_as), where the constructor has an error of its own.
    #[doc(hidden)]
    pub fn construct_fallible_as<P: Proxy, A: Serialize + ?Sized, E: DeserializeOwned>(
        &self,
        typeid: &str,
        constructor: &str,
        signature: u32,
        arguments: &A,
    ) -> Result<P, CallError<E>> {
        let write =
            |out: &mut Vec<u8>| codec::encode(Codec::Bincode, arguments, out).map_err(|error| error.to_string());
        self.make(Codec::Bincode, typeid, constructor, signature, write)
    }

    /// As [`construct_as`](Self::construct_as), in the self-describing format.
    #[doc(hidden)]
    pub fn construct_as_by_value<P: Proxy, A: Serialize + ?Sized>(
        &self,
        typeid: &str,
        constructor: &str,
        arguments: &A,
    ) -> Result<P> {
        let write = |out: &mut Vec<u8>| value::encode_arguments(arguments, &(), out).map_err(|error| error.to_string());
        self.make(Codec::Value, typeid, constructor, 0, write).map_err(|error: CallError<Value>| plain(error, typeid))
    }

    /// As [`construct`](Self::construct), in the self-describing format.
    #[doc(hidden)]
    pub fn construct_by_value<T: Referent, P: Proxy, A: Serialize + ?Sized>(
        &self,
        constructor: &str,
        arguments: &A,
    ) -> Result<P> {
        self.construct_as_by_value(self.typeid_of::<T>()?, constructor, arguments)
    }

    /// As [`construct_fallible_as`](Self::construct_fallible_as), in the self-describing format.
    #[doc(hidden)]
    pub fn construct_fallible_as_by_value<P: Proxy, A: Serialize + ?Sized, E: DeserializeOwned>(
        &self,
        typeid: &str,
        constructor: &str,
        arguments: &A,
    ) -> Result<P, CallError<E>> {
        let write = |out: &mut Vec<u8>| value::encode_arguments(arguments, &(), out).map_err(|error| error.to_string());
        self.make(Codec::Value, typeid, constructor, 0, write)
    }

    /// As [`construct_fallible`](Self::construct_fallible), in the self-describing format.
    #[doc(hidden)]
    pub fn construct_fallible_by_value<T: Referent, P: Proxy, A: Serialize + ?Sized, E: DeserializeOwned>(
        &self,
        constructor: &str,
        arguments: &A,
    ) -> Result<P, CallError<E>> {
        self.construct_fallible_as_by_value(self.typeid_of::<T>()?, constructor, arguments)
    }

    /// Has the server make an object.
    fn make<P: Proxy, E: DeserializeOwned>(
        &self,
        codec: Codec,
        typeid: &str,
        constructor: &str,
        signature: u32,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
    ) -> Result<P, CallError<E>> {
        let mut payload = Vec::new();
        let (written, carried) = carriage::outgoing(|| write(&mut payload));
        written.map_err(|reason| Error::Arguments {
            typeid: typeid.to_owned(),
            method: constructor.to_owned(),
            reason,
        })?;
        let request = Request {
            object: ObjectId::SERVER,
            method: &format!("{typeid}::{constructor}"),
            codec,
            signature,
            payload: &payload,
            carried: &carried,
            timeout: None,
        };
        let returned = self.client.call(&request)?;
        match returned.status {
            Status::Returned => Ok(decode(codec, &returned)?),
            Status::Refused => Err(CallError::System(decode(Codec::Bincode, &returned)?)),
            Status::Failed => Err(CallError::Method(decode(codec, &returned)?)),
        }
    }
}

/// An error of a type that is not known here.
#[derive(serde::Deserialize)]
struct Unknown;

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the constructor failed, with an error of a type that is not known here")
    }
}

/// A constructor's own error as text, where none of a known type is expected.
fn plain<E: std::fmt::Display>(error: CallError<E>, typeid: &str) -> Error {
    match error {
        CallError::System(error) => error,
        CallError::Method(error) => Error::Remote(RemoteError {
            kind: format!("error of {typeid}"),
            message: error.to_string(),
            causes: Vec::new(),
        }),
    }
}

fn decode<R: DeserializeOwned>(codec: Codec, returned: &Returned) -> Result<R> {
    let decoded = carriage::incoming(&returned.carried, || codec::decode(codec, returned.payload()));
    decoded.map_err(Error::unserializable::<R>)
}
