//! What users hold: handles to referents, usable from any process.
//!
//! A [`BaseProxy`] knows its object and how to call it: through this process's [`Client`](crate::client::Client) of the object's server, or straight through the
//! object table when it is used inside that server. Typed proxies (generated, or written by hand) wrap one and add types.
//!
//! Serialized into a call, a proxy becomes an index into the frame's tokens; serialized for anything else (a pipe, a file), it becomes a token with a
//! ticket, which keeps the object alive until somebody has decoded it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};

use crate::client::{RemoteReference, Request};
use crate::codec::{self, Codec, value};
use crate::error::{CallError, Error, RemoteError, Result};
use crate::object::entry::Entry;
use crate::object::local::{self, LocalCall};
use crate::object::methods::{STR, VALUE};
use crate::object::registration::Registration;
use crate::object::{Answer, Referent};
use crate::protocol::carriage::{self, Carried, Keep};
use crate::protocol::command::Command;
use crate::protocol::reply::Status;
use crate::protocol::{ObjectId, ServerId, TicketId, Token};

/// What every typed proxy is and can do.
///
/// Implemented by the macros; by hand with `#[derive(multiproc::Proxy)]` on a struct around a [`BaseProxy`].
pub trait Proxy: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The methods that a registration with this proxytype exposes, unless it says otherwise; `None` for all.
    const EXPOSED: Option<&'static [&'static str]> = None;
    /// Under which typeids the results of methods are registered, unless the registration says otherwise.
    const METHOD_TO_TYPEID: &'static [(&'static str, &'static str)] = &[];

    /// A typed proxy around an untyped one.
    fn from_base(base: BaseProxy) -> Self;

    /// The untyped proxy inside.
    fn base(&self) -> &BaseProxy;

    /// The registered name of the referent's type.
    fn typeid(&self) -> &str {
        self.base().token_ref().typeid()
    }

    /// What names the referent between processes.
    fn token(&self) -> Token {
        self.base().token_ref().clone()
    }

    /// The referent's text, computed in the server: what its `Display` writes, where its type was registered with `display`, else a description.
    /// (`Display` of a proxy is the same, but can't fail.)
    #[doc(alias = "__str__")]
    fn text(&self) -> Result<String> {
        self.base().remote_text()
    }

    /// A copy of the referent, where its type was registered with `value`; else an error that names the type.
    #[doc(alias = "_getvalue")]
    fn to_value<V: DeserializeOwned>(&self) -> Result<V> {
        self.base().remote_value()
    }

    /// The same proxy, whose calls fail with [`Error::Timeout`] when they take longer. The server stops waiting then, too; a method that runs is not interrupted.
    #[must_use]
    fn with_timeout(&self, timeout: Duration) -> Self {
        let base = BaseProxy { timeout: Some(timeout), ..self.base().clone() };
        Self::from_base(base)
    }
}

/// A handle to a referent of any type.
///
/// Calls of its own are dynamic: names and values, no types. They work for any server, also one in another program whose types this one does not have.
///
/// ```
/// # use multiproc::{BaseManager, Error};
/// # pub struct Greeter { name: String }
/// # #[multiproc::referent]
/// # impl Greeter {
/// #     pub fn new(name: String) -> Self { Self { name } }
/// #     #[referent(name = "getName")] pub fn name(&self) -> String { self.name.clone() }
/// #     pub fn greet(&self, who: &str, mark: char) -> String { format!("{} greets {who}{mark}", self.name) }
/// # }
/// # fn main() -> multiproc::Result<()> {
/// # let manager = BaseManager::builder().register::<Greeter>().start()?;
/// let greeter = manager.create("Greeter", ("mark",))?;
/// assert_eq!(greeter.call_method::<String>("getName", ())?, "mark");
///
/// #[derive(serde::Serialize)]
/// struct Keywords { mark: char }
/// let greeting: String = greeter.call_method_with("greet", ("you",), Keywords { mark: '!' })?;
/// assert_eq!(greeting, "mark greets you!");
///
/// assert_eq!(greeter.methods()?, ["getName", "greet"]);
/// assert!(matches!(greeter.call_method::<()>("sing", ()), Err(Error::NoSuchMethod { .. })));
/// # manager.shutdown()
/// # }
/// ```
#[derive(Clone)]
pub struct BaseProxy {
    reference: Reference,
    timeout: Option<Duration>,
}

#[derive(Clone)]
enum Reference {
    /// In another process.
    Remote(Arc<RemoteReference>),
    /// In a server of this process.
    Local(Arc<Entry>, Token),
    /// Nothing: what is read where only the shape of a type is found out.
    Nothing(Token),
}

/// An answer, whichever way it came.
struct Answered {
    status: Status,
    carried: Vec<Carried>,
    bytes: Bytes,
}

enum Bytes {
    Remote(crate::client::Returned),
    Local(Vec<u8>),
}

impl Answered {
    fn payload(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Remote(returned) => returned.payload(),
            Bytes::Local(payload) => payload,
        }
    }

    fn decode<R: DeserializeOwned>(&self, codec: Codec) -> Result<R> {
        let decoded = carriage::incoming(&self.carried, || codec::decode(codec, self.payload()));
        decoded.map_err(Error::unserializable::<R>)
    }

    /// The system's error.
    fn refusal(&self) -> Error {
        self.decode(Codec::Bincode).unwrap_or_else(|error| error)
    }
}

impl BaseProxy {
    pub(crate) fn remote(reference: Arc<RemoteReference>) -> Self {
        Self { reference: Reference::Remote(reference), timeout: None }
    }

    fn local(entry: Arc<Entry>) -> Self {
        let token = entry.token();
        Self { reference: Reference::Local(entry, token), timeout: None }
    }

    fn nothing() -> Self {
        let token =
            Token { server: ServerId([0; 16]), object: ObjectId::SERVER, typeid: "".into(), address: "".into() };
        Self { reference: Reference::Nothing(token), timeout: None }
    }

    fn token_ref(&self) -> &Token {
        match &self.reference {
            Reference::Remote(reference) => reference.token(),
            Reference::Local(_, token) | Reference::Nothing(token) => token,
        }
    }

    fn keep(&self) -> Option<Arc<dyn Keep>> {
        match &self.reference {
            Reference::Remote(reference) => Some(Arc::clone(reference) as Arc<dyn Keep>),
            Reference::Local(entry, _) => Some(Arc::clone(entry) as Arc<dyn Keep>),
            Reference::Nothing(_) => None,
        }
    }

    /// A dynamic call: the method's result, decoded into `R`.
    ///
    /// `arguments` is a tuple, `()` for none. Blocks until the method has answered. A method's own error comes as [`Error::Remote`], as text; see
    /// [`call_method_fallible`](Self::call_method_fallible) for the error itself.
    #[doc(alias = "_callmethod")]
    pub fn call_method<R: DeserializeOwned>(&self, method: &str, arguments: impl Serialize) -> Result<R> {
        self.call_method_with(method, arguments, ())
    }

    /// As [`call_method`](Self::call_method), with keyword arguments: a map or struct of names and values.
    pub fn call_method_with<R: DeserializeOwned>(
        &self,
        method: &str,
        arguments: impl Serialize,
        keywords: impl Serialize,
    ) -> Result<R> {
        let answered = self.exchange(Codec::Value, method, 0, |out| {
            value::encode_arguments(&arguments, &keywords, out).map_err(|error| Error::Arguments {
                typeid: self.token_ref().typeid().to_owned(),
                method: method.to_owned(),
                reason: error.to_string(),
            })
        })?;
        self.settle(&answered, Codec::Value)
    }

    /// As [`call_method`](Self::call_method), with the method's own error decoded into `E`.
    pub fn call_method_fallible<R: DeserializeOwned, E: DeserializeOwned>(
        &self,
        method: &str,
        arguments: impl Serialize,
    ) -> std::result::Result<R, CallError<E>> {
        self.invoke_fallible_by_value(method, &arguments)
    }

    /// The names of the methods that may be called, in the order in which the type lists them.
    #[doc(alias = "get_methods")]
    pub fn methods(&self) -> Result<Vec<String>> {
        match &self.reference {
            Reference::Local(entry, _) => Ok(entry.class().exposed()),
            Reference::Nothing(token) => Err(Error::NoSuchObject { object: token.object().0 }),
            Reference::Remote(reference) => {
                let object = reference.token().object;
                reference.client().command(Command::Methods, &object.0, self.timeout)
            }
        }
    }

    /// Makes a call and waits for its answer.
    fn exchange(
        &self,
        codec: Codec,
        method: &str,
        signature: u32,
        write: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<Answered> {
        let mut payload = Vec::new();
        let (written, carried) = carriage::outgoing(|| write(&mut payload));
        written?;
        match &self.reference {
            Reference::Remote(reference) => {
                let returned = reference.client().call(&Request {
                    object: reference.token().object,
                    method,
                    codec,
                    signature,
                    payload: &payload,
                    carried: &carried,
                    timeout: self.timeout,
                })?;
                let (status, carried) = (returned.status, returned.carried.clone());
                Ok(Answered { status, carried, bytes: Bytes::Remote(returned) })
            }
            Reference::Local(entry, _) => {
                let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
                let call = LocalCall { method, codec, signature, payload: &payload, carried, deadline };
                let Answer { status, payload, carried, .. } = call.call(entry)?;
                Ok(Answered { status, carried, bytes: Bytes::Local(payload) })
            }
            Reference::Nothing(token) => Err(Error::NoSuchObject { object: token.object().0 }),
        }
    }

    /// The result, where a method's own error is not expected.
    fn settle<R: DeserializeOwned>(&self, answered: &Answered, codec: Codec) -> Result<R> {
        match answered.status {
            Status::Returned => answered.decode(codec),
            Status::Refused => Err(self.told(answered.refusal())),
            Status::Failed => Err(Error::Remote(RemoteError {
                kind: format!("error of {}", self.token_ref().typeid()),
                message: match codec {
                    Codec::Value => value::display(answered.payload()).to_string(),
                    Codec::Bincode => {
                        "the method failed, with an error of a type that this proxy does not know".to_owned()
                    }
                },
                causes: Vec::new(),
            })),
        }
    }

    /// The server's word that time is over lacks how long that was.
    fn told(&self, error: Error) -> Error {
        match (error, self.timeout) {
            (Error::Timeout { .. }, Some(after)) => Error::Timeout { after },
            (error, _) => error,
        }
    }

    fn settle_fallible<R: DeserializeOwned, E: DeserializeOwned>(
        &self,
        answered: &Answered,
        codec: Codec,
    ) -> std::result::Result<R, CallError<E>> {
        match answered.status {
            Status::Failed => Err(answered.decode(codec).map_or_else(CallError::System, CallError::Method)),
            _ => self.settle(answered, codec).map_err(CallError::System),
        }
    }

    fn send_typed<A: Serialize + ?Sized>(&self, method: &str, signature: u32, arguments: &A) -> Result<Answered> {
        self.exchange(Codec::Bincode, method, signature, |out| {
            codec::encode(Codec::Bincode, arguments, out).map_err(Error::unserializable::<A>)
        })
    }

    fn send_by_value<A: Serialize + ?Sized>(&self, method: &str, arguments: &A) -> Result<Answered> {
        self.exchange(Codec::Value, method, 0, |out| {
            value::encode_arguments(arguments, &(), out).map_err(Error::unserializable::<A>)
        })
    }

    /// A typed call, for generated proxies: `signature` must be the server's for this method.
    #[doc(hidden)]
    pub fn invoke<A: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        method: &str,
        signature: u32,
        arguments: &A,
    ) -> Result<R> {
        self.settle(&self.send_typed(method, signature, arguments)?, Codec::Bincode)
    }

    /// A typed call of a method that returns `Result<R, E>`.
    #[doc(hidden)]
    pub fn invoke_fallible<A: Serialize + ?Sized, R: DeserializeOwned, E: DeserializeOwned>(
        &self,
        method: &str,
        signature: u32,
        arguments: &A,
    ) -> std::result::Result<R, CallError<E>> {
        self.settle_fallible(&self.send_typed(method, signature, arguments)?, Codec::Bincode)
    }

    /// As [`invoke`](Self::invoke), in the self-describing format.
    #[doc(hidden)]
    pub fn invoke_by_value<A: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        method: &str,
        arguments: &A,
    ) -> Result<R> {
        self.settle(&self.send_by_value(method, arguments)?, Codec::Value)
    }

    /// As [`invoke_fallible`](Self::invoke_fallible), in the self-describing format.
    #[doc(hidden)]
    pub fn invoke_fallible_by_value<A: Serialize + ?Sized, R: DeserializeOwned, E: DeserializeOwned>(
        &self,
        method: &str,
        arguments: &A,
    ) -> std::result::Result<R, CallError<E>> {
        self.settle_fallible(&self.send_by_value(method, arguments)?, Codec::Value)
    }

    fn remote_text(&self) -> Result<String> {
        match self.call_method(STR, ()) {
            Err(Error::NoSuchMethod { .. }) => {
                Ok(format!("<{} object {}>", self.token_ref().typeid(), self.token_ref().object()))
            }
            other => other,
        }
    }

    fn remote_value<V: DeserializeOwned>(&self) -> Result<V> {
        match self.call_method(VALUE, ()) {
            Err(Error::NoSuchMethod { typeid, .. }) => Err(Error::Unserializable {
                type_name: typeid,
                reason: "its type was not registered with `value`: #[multiproc::referent(value)]".to_owned(),
            }),
            other => other,
        }
    }
}

impl PartialEq for BaseProxy {
    fn eq(&self, other: &Self) -> bool {
        self.token_ref() == other.token_ref()
    }
}

impl Eq for BaseProxy {}

impl Hash for BaseProxy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.token_ref().hash(state);
    }
}

impl fmt::Debug for BaseProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<proxy of {:?}>", self.token_ref())
    }
}

/// The referent's text; where that can't be had, `<MyClass proxy; str() failed: …>`, as `to_string` must not fail.
impl fmt::Display for BaseProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.remote_text() {
            Ok(text) => f.pad(&text),
            Err(error) => write!(f, "<{} proxy; str() failed: {error}>", self.token_ref().typeid()),
        }
    }
}

impl AsRef<BaseProxy> for BaseProxy {
    fn as_ref(&self) -> &BaseProxy {
        self
    }
}

impl Proxy for BaseProxy {
    fn from_base(base: BaseProxy) -> Self {
        base
    }

    fn base(&self) -> &BaseProxy {
        self
    }
}

/// A proxy outside of a call.
#[derive(Serialize, Deserialize)]
struct Detached {
    token: Token,
    ticket: Option<TicketId>,
}

impl Serialize for BaseProxy {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let carried = || Carried { token: self.token_ref().clone(), ticket: None, keep: self.keep() };
        if let Some(index) = carriage::put(carried) {
            return serializer.serialize_newtype_struct(codec::PROXY, &index);
        }
        let ticket = self.keep().and_then(Keep::issue);
        if ticket.is_none() {
            return Err(S::Error::custom("a proxy whose server is gone, or of another process, can't be sent"));
        }
        Detached { token: self.token_ref().clone(), ticket }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BaseProxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        if carriage::is_reading() {
            return deserializer.deserialize_newtype_struct(codec::PROXY, Carriage);
        }
        let Detached { token, ticket } = Detached::deserialize(deserializer)?;
        Self::redeem(token, ticket).map_err(de::Error::custom)
    }
}

/// Takes a proxy out of the frame that is being read.
struct Carriage;

impl<'de> Visitor<'de> for Carriage {
    type Value = BaseProxy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a proxy")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> std::result::Result<BaseProxy, D::Error> {
        let index = u32::deserialize(inner)?;
        if codec::is_tracing() {
            return Ok(BaseProxy::nothing());
        }
        let carried = carriage::take(index).ok_or_else(|| de::Error::custom("a proxy without a token beside it"))?;
        if let Some(reference) = carried.kept::<RemoteReference>() {
            return Ok(BaseProxy::remote(reference));
        }
        if let Some(entry) = carried.kept::<Entry>() {
            return Ok(BaseProxy::local(entry));
        }
        BaseProxy::redeem(carried.token, carried.ticket).map_err(de::Error::custom)
    }
}

impl BaseProxy {
    /// A proxy by a token that came in by another way than a call of its server's.
    fn redeem(token: Token, ticket: Option<TicketId>) -> Result<Self> {
        let Some(table) = local::find(token.server) else {
            return RemoteReference::redeem(token, ticket).map(Self::remote);
        };
        let ticketed = ticket.and_then(|ticket| table.tickets().redeem(ticket));
        let entry = ticketed.filter(|entry| entry.id() == token.object);
        Ok(Self::local(match entry {
            Some(entry) => entry,
            None => table.find(token.object)?,
        }))
    }
}

impl<T: Referent> Registration<T> {
    /// Registers with the proxy type `P`: its `EXPOSED` and `METHOD_TO_TYPEID` count where this registration does not say otherwise.
    #[must_use]
    pub fn proxytype<P: Proxy>(self) -> Self {
        self.default_exposure(P::EXPOSED, P::METHOD_TO_TYPEID)
    }
}
