//! A handle to a referent of any type, and calls of it that wait for their answers.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answered::{About, Answered};
use super::written::Written;
use super::{DeferredBase, Proxy};
#[cfg(feature = "python")]
use crate::client::python;
use crate::client::{RemoteReference, Request, Streamed, Write};
use crate::codec::{self, Codec};
use crate::error::{CallError, Error, Result};
use crate::object::entry::Entry;
use crate::object::local::LocalCall;
use crate::object::methods::{STR, VALUE};
use crate::protocol::carriage::{self, Keep};
use crate::protocol::command::Command;
use crate::protocol::{ObjectId, ServerId, Token};
use crate::sys::buffer;

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
    pub(super) reference: Reference,
    pub(super) timeout: Option<Duration>,
}

#[derive(Clone)]
pub(super) enum Reference {
    /// In another process.
    Remote(Arc<RemoteReference>),
    /// In a server of this process.
    Local(Arc<Entry>, Token),
    /// Nothing: what is read where only the shape of a type is found out.
    Nothing(Token),
    /// In a server of Python's; with what its typed proxy's methods come to there.
    #[cfg(feature = "python")]
    Python(Arc<python::Reference>, Option<&'static dyn python::Adapter>),
}

impl BaseProxy {
    pub(crate) fn remote(reference: Arc<RemoteReference>) -> Self {
        Self { reference: Reference::Remote(reference), timeout: None }
    }

    pub(super) fn local(entry: Arc<Entry>) -> Self {
        let token = entry.token();
        Self { reference: Reference::Local(entry, token), timeout: None }
    }

    pub(super) fn nothing() -> Self {
        let token =
            Token { server: ServerId([0; 16]), object: ObjectId::SERVER, typeid: "".into(), address: "".into() };
        Self { reference: Reference::Nothing(token), timeout: None }
    }

    #[cfg(feature = "python")]
    pub(crate) fn of_python(reference: Arc<python::Reference>) -> Self {
        Self { reference: Reference::Python(reference, None), timeout: None }
    }

    /// The same proxy, whose typed calls go through what `adapter` finds, where its object is one of Python's.
    #[cfg(feature = "python")]
    #[must_use]
    pub(crate) fn adapted(mut self, adapter: impl FnOnce() -> Option<&'static dyn python::Adapter>) -> Self {
        if let Reference::Python(_, adapted) = &mut self.reference {
            *adapted = adapter();
        }
        self
    }

    /// How typed calls are encoded: a server of Python's understands but one way.
    pub(super) fn codec(&self) -> Codec {
        match &self.reference {
            #[cfg(feature = "python")]
            Reference::Python(..) => Codec::Value,
            _ => Codec::Bincode,
        }
    }

    /// How long its calls may take, where that was said.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The same proxy, whose calls may take as long as they do.
    pub(crate) fn without_timeout(&self) -> Self {
        Self { timeout: None, ..self.clone() }
    }

    pub(super) fn token_ref(&self) -> &Token {
        match &self.reference {
            Reference::Remote(reference) => reference.token(),
            Reference::Local(_, token) | Reference::Nothing(token) => token,
            #[cfg(feature = "python")]
            Reference::Python(reference, _) => reference.token(),
        }
    }

    /// What its calls' answers are the answers of.
    pub(super) fn about(&self) -> About<'_> {
        About { token: self.token_ref(), timeout: self.timeout }
    }

    pub(super) fn keep(&self) -> Option<Arc<dyn Keep>> {
        match &self.reference {
            Reference::Remote(reference) => Some(Arc::clone(reference) as Arc<dyn Keep>),
            Reference::Local(entry, _) => Some(Arc::clone(entry) as Arc<dyn Keep>),
            Reference::Nothing(_) => None,
            #[cfg(feature = "python")]
            Reference::Python(reference, _) => Some(Arc::clone(reference) as Arc<dyn Keep>),
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
        let written = Written::by_name(self, method, &arguments, &keywords)?;
        self.perform(written)?.settle(self.about(), Codec::Value)
    }

    /// As [`call_method`](Self::call_method), with the method's own error decoded into `E`.
    pub fn call_method_fallible<R: DeserializeOwned, E: DeserializeOwned>(
        &self,
        method: &str,
        arguments: impl Serialize,
    ) -> std::result::Result<R, CallError<E>> {
        let written = Written::by_name(self, method, &arguments, &())?;
        self.perform(written)?.settle_fallible(self.about(), Codec::Value)
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
            #[cfg(feature = "python")]
            Reference::Python(reference, _) => reference.methods(),
        }
    }

    /// Makes a call and waits for its answer.
    pub(super) fn perform(&self, written: Written<'_>) -> Result<Answered> {
        self.perform_streaming(written, &|_| Ok(()))
    }

    /// As [`perform`](Self::perform); `write` gives the arguments, where they were only measured.
    fn perform_streaming(&self, written: Written<'_>, write: Write<'_>) -> Result<Answered> {
        let Written { method, codec, signature, mut payload, carried, measured, .. } = written;
        match &self.reference {
            Reference::Remote(reference) => {
                let object = reference.token().object;
                let mut request = Request {
                    object,
                    method,
                    codec,
                    signature,
                    payload: &mut payload,
                    streamed: measured.map(|size| Streamed { size, write }),
                    carried: &carried,
                    timeout: self.timeout,
                };
                let returned = reference.client().call(&mut request);
                buffer::give(payload);
                returned.map(Answered::Remote)
            }
            Reference::Local(entry, _) => {
                let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
                let call = LocalCall { method, codec, signature, payload: &payload, carried, deadline };
                call.call(entry).map(Answered::Local)
            }
            Reference::Nothing(token) => Err(Error::NoSuchObject { object: token.object().0 }),
            #[cfg(feature = "python")]
            Reference::Python(reference, adapter) => {
                // A name that somebody has written is Python's own.
                let adapter = adapter.filter(|_| !written.is_by_name);
                let performed = python::perform(reference, adapter, method, &payload, &carried, self.timeout);
                buffer::give(payload);
                performed.map(|performed| performed.map_or_else(Answered::Raised, Answered::Local))
            }
        }
    }

    fn perform_typed<A: Serialize + ?Sized>(&self, method: &str, signature: u32, arguments: &A) -> Result<Answered> {
        if !matches!(self.reference, Reference::Remote(_)) {
            return self.perform(Written::typed(self.codec(), method, signature, arguments)?);
        }
        self.perform_streaming(Written::measured(method, signature, arguments)?, &|put| {
            // The proxies among the arguments are in the request already.
            carriage::outgoing(|| codec::encode_to(arguments, put)).0
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
        self.perform_typed(method, signature, arguments)?.settle(self.about(), self.codec())
    }

    /// A typed call of a method that returns `Result<R, E>`.
    #[doc(hidden)]
    pub fn invoke_fallible<A: Serialize + ?Sized, R: DeserializeOwned, E: DeserializeOwned>(
        &self,
        method: &str,
        signature: u32,
        arguments: &A,
    ) -> std::result::Result<R, CallError<E>> {
        self.perform_typed(method, signature, arguments)?.settle_fallible(self.about(), self.codec())
    }

    /// As [`invoke`](Self::invoke), in the self-describing format.
    #[doc(hidden)]
    pub fn invoke_by_value<A: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        method: &str,
        arguments: &A,
    ) -> Result<R> {
        self.perform(Written::by_value(method, arguments)?)?.settle(self.about(), Codec::Value)
    }

    /// As [`invoke_fallible`](Self::invoke_fallible), in the self-describing format.
    #[doc(hidden)]
    pub fn invoke_fallible_by_value<A: Serialize + ?Sized, R: DeserializeOwned, E: DeserializeOwned>(
        &self,
        method: &str,
        arguments: &A,
    ) -> std::result::Result<R, CallError<E>> {
        self.perform(Written::by_value(method, arguments)?)?.settle_fallible(self.about(), Codec::Value)
    }

    pub(super) fn remote_text(&self) -> Result<String> {
        match self.invoke_by_value(STR, &()) {
            Err(Error::NoSuchMethod { .. }) => {
                Ok(format!("<{} object {}>", self.token_ref().typeid(), self.token_ref().object()))
            }
            other => other,
        }
    }

    pub(super) fn remote_value<V: DeserializeOwned>(&self) -> Result<V> {
        match self.invoke_by_value(VALUE, &()) {
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
    type Deferred<'b> = DeferredBase<'b>;

    fn from_base(base: BaseProxy) -> Self {
        base
    }

    fn base(&self) -> &BaseProxy {
        self
    }
}
