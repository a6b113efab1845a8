//! What makes objects: a client of a server, with the names under which types are registered there.
//!
//! Every manager is one (`AsRef<Maker>`); constructors of proxies take nothing more of it.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(feature = "python")]
use super::BaseProxy;
use super::Proxy;
use super::target::Target;
#[cfg(feature = "python")]
use crate::client::python;
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
    target: Target,
    typeids: Typeids,
    #[cfg(feature = "python")]
    adapters: Adapters,
}

/// What the shared types come to in Python, by their typeids.
#[cfg(feature = "python")]
pub(crate) type Adapters = fn(&str) -> Option<&'static dyn python::Adapter>;

/// What is to be made, and how its arguments are written.
#[derive(Clone, Copy)]
struct Creation<'a> {
    typeid: &'a str,
    constructor: &'a str,
    codec: Codec,
    signature: u32,
    /// The type's own typeid, where it is one of this program's.
    #[cfg_attr(not(feature = "python"), allow(dead_code, reason = "the same to servers of this crate"))]
    of: Option<&'static str>,
}

impl<'a> Creation<'a> {
    fn typed(typeid: &'a str, constructor: &'a str, signature: u32) -> Self {
        Self { typeid, constructor, codec: Codec::Bincode, signature, of: None }
    }

    fn by_value(typeid: &'a str, constructor: &'a str) -> Self {
        Self { typeid, constructor, codec: Codec::Value, signature: 0, of: None }
    }

    fn of<T: Referent>(self) -> Self {
        Self { of: Some(T::TYPEID), ..self }
    }
}

impl Maker {
    /// For a server of this crate.
    pub(crate) fn new(client: Arc<Client>, typeids: Typeids) -> Self {
        Self {
            target: Target::Own(client),
            typeids,
            #[cfg(feature = "python")]
            adapters: |_| None,
        }
    }

    /// For a server of Python's.
    #[cfg(feature = "python")]
    pub(crate) fn of_python(link: Arc<python::Link>, typeids: Typeids, adapters: Adapters) -> Self {
        Self { target: Target::Python(link), typeids, adapters }
    }

    /// What it talks to.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// As [`BaseManager::create_as`](crate::BaseManager::create_as).
    pub fn create_as<P: Proxy>(&self, typeid: &str, arguments: impl Serialize) -> Result<P> {
        self.create_with(typeid, arguments, ())
    }

    /// As [`BaseManager::create_with`](crate::BaseManager::create_with).
    pub fn create_with<P: Proxy>(
        &self,
        typeid: &str,
        arguments: impl Serialize,
        keywords: impl Serialize,
    ) -> Result<P> {
        let made = self.make_with(Creation::by_value(typeid, ""), &arguments, &keywords);
        made.map_err(|error: CallError<Value>| plain(error, typeid))
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
        let typeid = self.typeid_of::<T>()?;
        self.make(Creation::typed(typeid, constructor, signature).of::<T>(), arguments)
            .map_err(|error: CallError<Unknown>| plain(error, typeid))
    }

    /// As [`construct`](Self::construct), where the constructor has an error of its own.
    #[doc(hidden)]
    pub fn construct_fallible<T: Referent, P: Proxy, A: Serialize + ?Sized, E: DeserializeOwned>(
        &self,
        constructor: &str,
        signature: u32,
        arguments: &A,
    ) -> Result<P, CallError<E>> {
        self.make(Creation::typed(self.typeid_of::<T>()?, constructor, signature).of::<T>(), arguments)
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
        self.make(Creation::typed(typeid, constructor, signature), arguments)
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
        self.make(Creation::typed(typeid, constructor, signature), arguments)
    }

    /// As [`construct_as`](Self::construct_as), in the self-describing format.
    #[doc(hidden)]
    pub fn construct_as_by_value<P: Proxy, A: Serialize + ?Sized>(
        &self,
        typeid: &str,
        constructor: &str,
        arguments: &A,
    ) -> Result<P> {
        self.make(Creation::by_value(typeid, constructor), arguments)
            .map_err(|error: CallError<Value>| plain(error, typeid))
    }

    /// As [`construct`](Self::construct), in the self-describing format.
    #[doc(hidden)]
    pub fn construct_by_value<T: Referent, P: Proxy, A: Serialize + ?Sized>(
        &self,
        constructor: &str,
        arguments: &A,
    ) -> Result<P> {
        let typeid = self.typeid_of::<T>()?;
        self.make(Creation::by_value(typeid, constructor).of::<T>(), arguments)
            .map_err(|error: CallError<Value>| plain(error, typeid))
    }

    /// As [`construct_fallible_as`](Self::construct_fallible_as), in the self-describing format.
    #[doc(hidden)]
    pub fn construct_fallible_as_by_value<P: Proxy, A: Serialize + ?Sized, E: DeserializeOwned>(
        &self,
        typeid: &str,
        constructor: &str,
        arguments: &A,
    ) -> Result<P, CallError<E>> {
        self.make(Creation::by_value(typeid, constructor), arguments)
    }

    /// As [`construct_fallible`](Self::construct_fallible), in the self-describing format.
    #[doc(hidden)]
    pub fn construct_fallible_by_value<T: Referent, P: Proxy, A: Serialize + ?Sized, E: DeserializeOwned>(
        &self,
        constructor: &str,
        arguments: &A,
    ) -> Result<P, CallError<E>> {
        self.make(Creation::by_value(self.typeid_of::<T>()?, constructor).of::<T>(), arguments)
    }

    fn make<P: Proxy, A: Serialize + ?Sized, E: DeserializeOwned>(
        &self,
        creation: Creation<'_>,
        arguments: &A,
    ) -> Result<P, CallError<E>> {
        self.make_with(creation, arguments, &())
    }

    /// Has the server make an object.
    fn make_with<P: Proxy, A: Serialize + ?Sized, K: Serialize, E: DeserializeOwned>(
        &self,
        creation: Creation<'_>,
        arguments: &A,
        keywords: &K,
    ) -> Result<P, CallError<E>> {
        let Creation { typeid, constructor, codec, signature, .. } = creation;
        let codec = match &self.target {
            Target::Own(_) => codec,
            #[cfg(feature = "python")]
            Target::Python(_) => Codec::Value,
        };
        let mut payload = Vec::new();
        let (written, carried) = carriage::outgoing(|| match codec {
            Codec::Bincode => codec::encode(Codec::Bincode, arguments, &mut payload),
            Codec::Value => value::encode_arguments(arguments, keywords, &mut payload),
        });
        written.map_err(|error| Error::Arguments {
            typeid: typeid.to_owned(),
            method: constructor.to_owned(),
            reason: error.to_string(),
        })?;
        #[cfg_attr(not(feature = "python"), allow(clippy::infallible_destructuring_match))]
        let client = match &self.target {
            Target::Own(client) => client,
            #[cfg(feature = "python")]
            Target::Python(link) => {
                let adapter = creation.of.and_then(self.adapters);
                let reference = python::create(link, adapter, typeid, constructor, &payload, &carried)?;
                return Ok(P::from_base(BaseProxy::of_python(reference)));
            }
        };
        let mut request = Request {
            object: ObjectId::SERVER,
            method: &format!("{typeid}::{constructor}"),
            codec,
            signature,
            payload: &mut payload,
            streamed: None,
            carried: &carried,
            timeout: None,
        };
        let returned = client.call(&mut request)?;
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
