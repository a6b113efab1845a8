//! The manager of a server with registered types.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::builder::Builder;
use super::process::ServerProcess;
use crate::client::{Client, Request, Returned};
use crate::codec::{self, Codec, Value, value};
use crate::error::{CallError, Error, Result};
use crate::object::Referent;
use crate::protocol::ObjectId;
use crate::protocol::carriage;
use crate::protocol::command::{Command, ObjectInfo};
use crate::protocol::limits::HANDSHAKE_TIME;
use crate::protocol::reply::Status;
use crate::proxy::{BaseProxy, Proxy};

/// Under which names this side knows a type to be registered.
pub(super) type Typeids = HashMap<TypeId, Vec<String>>;

/// Starts, or connects to, a server, and creates objects in it.
///
/// Dropping a manager that started its server shuts it down; dropping one that connected only disconnects. A forked child's copy shuts nothing down.
///
/// ```
/// # use multiproc::{BaseManager, Proxy};
/// pub struct Greeter { name: String }
///
/// #[multiproc::referent]
/// impl Greeter {
///     pub fn new(name: String) -> Self { Self { name } }
///     pub fn greet(&self) -> String { format!("hello {}", self.name) }
/// }
///
/// # fn main() -> multiproc::Result<()> {
/// let manager = BaseManager::builder().register::<Greeter>().start()?;
/// let greeter = GreeterProxy::new(&manager, "world".into())?;
/// assert_eq!(greeter.greet()?, "hello world");
/// assert_eq!(manager.number_of_objects()?, 1);
/// drop(greeter);
/// assert_eq!(manager.number_of_objects()?, 0);
/// manager.shutdown()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a manager shuts its server down"]
#[derive(Debug)]
pub struct BaseManager {
    client: Arc<Client>,
    /// parking_lot's lock, since no forked child ever waits on it: a copy of a manager in a child is told by its stamp before the lock is touched.
    process: Option<Mutex<ServerProcess>>,
    /// Ownership, readable without the lock.
    stamp: crate::sys::fork::Stamp,
    typeids: Typeids,
}

impl BaseManager {
    /// A manager to be described.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) fn new(client: Arc<Client>, process: Option<ServerProcess>, typeids: Typeids) -> Self {
        Self { client, process: process.map(Mutex::new), stamp: crate::sys::fork::Stamp::now(), typeids }
    }

    /// The server process, if this manager (and not a copy of it) started it.
    fn own_process(&self) -> Option<&Mutex<ServerProcess>> {
        self.process.as_ref().filter(|_| self.stamp.is_current())
    }

    /// Where the server is reached, in the form that other managers' `address` reads.
    pub fn address(&self) -> &str {
        self.client.address()
    }

    /// The server's process id; `None` for a server that this manager did not start.
    pub fn pid(&self) -> Option<u32> {
        self.own_process().map(|process| process.lock().pid())
    }

    /// Creates an object by the typeid's default constructor, with dynamic arguments: a tuple, `()` for none. Blocks until the server has made it.
    ///
    /// # Errors
    /// [`Error::NoSuchType`], [`Error::NoConstructor`], [`Error::Arguments`]; the constructor's own, as text.
    #[doc(alias = "_create")]
    pub fn create(&self, typeid: &str, arguments: impl Serialize) -> Result<BaseProxy> {
        self.create_as(typeid, arguments)
    }

    /// As [`create`](Self::create), for a typed proxy of the typeid's type: what a program does that gets an object of a server in another program.
    pub fn create_as<P: Proxy>(&self, typeid: &str, arguments: impl Serialize) -> Result<P> {
        let write =
            |out: &mut Vec<u8>| value::encode_arguments(&arguments, &(), out).map_err(|error| error.to_string());
        self.make(Codec::Value, typeid, "", 0, write).map_err(|error: CallError<Value>| plain(error, typeid))
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

    /// Asks whether the server answers. Blocks until it does.
    pub fn ping(&self) -> Result<()> {
        self.client.command(Command::Ping, &(), None)
    }

    /// How many objects live in the server.
    #[doc(alias = "_number_of_objects")]
    pub fn number_of_objects(&self) -> Result<u64> {
        self.client.command(Command::NumberOfObjects, &(), None)
    }

    /// What lives in the server, and who holds it, in the order of creation. An object that is busy for more than 100 ms is shown without its text.
    #[doc(alias = "_debug_info")]
    pub fn debug_info(&self) -> Result<Vec<ObjectInfo>> {
        self.client.command(Command::DebugInfo, &(), None)
    }

    /// Ends the server: asks it to end in order, and waits; after `shutdown_timeout` sends SIGTERM, and after as long again SIGKILL. Idempotent.
    ///
    /// When it returns the process is gone and reaped, with its threads, sockets and directory. A manager that only connected asks, and waits for the end of the
    /// connection, at most 10 s. A forked child's copy of a manager that started its server refuses: only the starter may.
    pub fn shutdown(&self) -> Result<()> {
        match (&self.process, self.own_process()) {
            (_, Some(process)) => {
                process.lock().shutdown()?;
                self.client.forget_server("its manager was shut down");
                Ok(())
            }
            (Some(_), None) => Err(Error::State {
                what: "this manager is a forked copy; only the process that started the server can shut it down"
                    .to_owned(),
            }),
            (None, None) => match self.client.command::<_, ()>(Command::Shutdown, &(), None) {
                Err(Error::ServerGone { .. }) => Ok(()),
                Err(error) => Err(error),
                Ok(()) => match self.client.await_server(Some(HANDSHAKE_TIME))? {
                    true => Ok(()),
                    false => Err(Error::Timeout { after: HANDSHAKE_TIME }),
                },
            },
        }
    }

    /// Waits until the server has ended by itself; false if it still runs after `timeout`. Only for a manager that started its server; for others
    /// it is true once the connection has ended.
    pub fn join(&self, timeout: Option<Duration>) -> Result<bool> {
        match self.own_process() {
            Some(process) => process.lock().join(timeout),
            None => self.client.await_server(timeout),
        }
    }

    /// Lets the server live on: it no longer ends with this manager or this process, but only when a client shuts it down. Gives back a manager that is merely connected.
    pub fn detach(mut self) -> Result<Self> {
        if self.own_process().is_some()
            && let Some(process) = self.process.take()
        {
            process.into_inner().detach()?;
        }
        Ok(self)
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
        CallError::Method(error) => Error::Remote(crate::error::RemoteError {
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

impl Drop for BaseManager {
    fn drop(&mut self) {
        if self.own_process().is_some() {
            if let Err(error) = self.shutdown() {
                tracing::warn!(%error, "the server could not be shut down");
            }
            self.client.forget_server("its manager was dropped");
        }
    }
}
