//! The manager of a server with registered types.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use super::builder::Builder;
use super::process::ServerProcess;
use crate::client::Client;
#[cfg(feature = "python")]
use crate::client::python;
use crate::error::{Error, Result};
use crate::protocol::command::{ObjectInfo, ServerStats};
use crate::protocol::limits::HANDSHAKE_TIME;
#[cfg(feature = "python")]
use crate::proxy::Target;
use crate::proxy::{BaseProxy, Batch, Maker, Proxy, Resolve, Typeids};

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
    maker: Maker,
    /// parking_lot's lock, since no forked child ever waits on it: a copy of a manager in a child is told by its stamp before the lock is touched.
    process: Option<Mutex<ServerProcess>>,
    /// Ownership, readable without the lock.
    stamp: crate::sys::fork::Stamp,
}

impl BaseManager {
    /// A manager to be described.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) fn new(client: Arc<Client>, process: Option<ServerProcess>, typeids: Typeids) -> Self {
        let maker = Maker::new(client, typeids);
        Self { maker, process: process.map(Mutex::new), stamp: crate::sys::fork::Stamp::now() }
    }

    /// For a server that a Python program started.
    #[cfg(feature = "python")]
    pub(super) fn of_python(link: Arc<python::Link>, typeids: Typeids) -> Self {
        let maker = Maker::of_python(link, typeids, crate::types::adapter_of);
        Self { maker, process: None, stamp: crate::sys::fork::Stamp::now() }
    }

    /// The server process, if this manager (and not a copy of it) started it.
    fn own_process(&self) -> Option<&Mutex<ServerProcess>> {
        self.process.as_ref().filter(|_| self.stamp.is_current())
    }

    /// Where the server is reached, in the form that other managers' `address` reads.
    pub fn address(&self) -> &str {
        self.maker.target().address()
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
        self.maker.create_as(typeid, arguments)
    }

    /// As [`create_as`](Self::create_as), with keyword arguments: a map or struct of names and values.
    pub fn create_with<P: Proxy>(
        &self,
        typeid: &str,
        arguments: impl Serialize,
        keywords: impl Serialize,
    ) -> Result<P> {
        self.maker.create_with(typeid, arguments, keywords)
    }

    /// A proxy of an object that lives in a server of Python's already, by the id that it has there (in Python: `proxy._token.id`).
    ///
    /// # Errors
    /// [`Error::NoSuchObject`]; [`Error::State`] for a server that is not Python's, whose objects are not had by guessing.
    #[cfg(feature = "python")]
    pub fn python_object<P: Proxy>(&self, typeid: &str, id: &str) -> Result<P> {
        match self.maker.target() {
            Target::Python(link) => Ok(P::from_base(BaseProxy::of_python(python::Reference::take(link, typeid, id)?))),
            Target::Own(_) => Err(Error::State {
                what: "objects are found by their ids in servers of Python's only; register the object under a name"
                    .to_owned(),
            }),
        }
    }

    /// Makes many calls in one round trip: those that `compose` puts together, on proxies of this manager's server.
    ///
    /// What `compose` returns decides what comes back, see [`Resolve`]: a tuple or vector of deferred calls becomes one of their results, each call's error its own. All calls
    /// are made, in this order where they concern one object, whatever becomes of those before them, and also if their handles were dropped. Blocks until all have been
    /// answered. Large batches begin to travel while they are still put together. Waiting for a call inside `compose` sends what has been put together so far.
    ///
    /// ```
    /// # use multiproc::{BaseManager, Proxy};
    /// # pub struct Counter { count: u64 }
    /// # #[multiproc::referent]
    /// # impl Counter {
    /// #     pub fn new() -> Self { Self { count: 0 } }
    /// #     pub fn add(&mut self, n: u64) -> u64 { self.count += n; self.count }
    /// #     pub fn get(&self) -> u64 { self.count }
    /// # }
    /// # fn main() -> multiproc::Result<()> {
    /// # let manager = BaseManager::builder().register::<Counter>().start()?;
    /// let (a, c) = (CounterProxy::new(&manager)?, CounterProxy::new(&manager)?);
    /// let (sum, other) = manager.batch(|b| (b.on(&a).add(2), b.on(&c).get()))?;
    /// assert_eq!((sum?, other?), (2, 0));
    ///
    /// let sums = manager.batch(|b| (1..=3).map(|n| b.on(&a).add(n)).collect::<Vec<_>>())?;
    /// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, _>>()?, [3, 5, 8]);
    /// # manager.shutdown()
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the server can't be reached. What goes wrong later is each call's own error.
    pub fn batch<R: Resolve>(&self, compose: impl FnOnce(&Batch) -> R) -> Result<R::Output> {
        Batch::run(self.maker.target(), compose)
    }

    /// Asks whether the server answers. Blocks until it does.
    pub fn ping(&self) -> Result<()> {
        self.maker.target().ping()
    }

    /// How many objects live in the server.
    #[doc(alias = "_number_of_objects")]
    pub fn number_of_objects(&self) -> Result<u64> {
        self.maker.target().number_of_objects()
    }

    /// What the server has and does: objects, clients, calls.
    pub fn stats(&self) -> Result<ServerStats> {
        self.maker.target().stats()
    }

    /// What lives in the server, and who holds it, in the order of creation. An object that is busy for more than 100 ms is shown without its text.
    #[doc(alias = "_debug_info")]
    pub fn debug_info(&self) -> Result<Vec<ObjectInfo>> {
        self.maker.target().debug_info()
    }

    /// Ends the server: asks it to end in order, and waits; after `shutdown_timeout` sends SIGTERM, and after as long again SIGKILL. Idempotent.
    ///
    /// When it returns the process is gone and reaped, with its threads, sockets and directory. A manager that only connected asks, and waits for the end of the
    /// connection, at most 10 s. A forked child's copy of a manager that started its server refuses: only the starter may.
    pub fn shutdown(&self) -> Result<()> {
        match (&self.process, self.own_process()) {
            (_, Some(process)) => self.end(process, "its manager was shut down"),
            (Some(_), None) => Err(Error::State {
                what: "this manager is a forked copy; only the process that started the server can shut it down"
                    .to_owned(),
            }),
            (None, None) => match self.maker.target().shut_down() {
                Ok(true) | Err(Error::ServerGone { .. }) => Ok(()),
                Ok(false) => Err(Error::Timeout { after: HANDSHAKE_TIME }),
                Err(error) => Err(error),
            },
        }
    }

    /// Ends the server process; proxies are told why.
    fn end(&self, process: &Mutex<ServerProcess>, why: &str) -> Result<()> {
        let ended = process.lock().shutdown();
        self.maker.target().forget_server(why);
        ended
    }

    /// Waits until the server has ended by itself; false if it still runs after `timeout`. Only for a manager that started its server; for others
    /// it is true once the connection has ended.
    pub fn join(&self, timeout: Option<Duration>) -> Result<bool> {
        match self.own_process() {
            Some(process) => process.lock().join(timeout),
            None => self.maker.target().await_server(timeout),
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

impl AsRef<Maker> for BaseManager {
    fn as_ref(&self) -> &Maker {
        &self.maker
    }
}

impl Drop for BaseManager {
    fn drop(&mut self) {
        self.maker.target().settle();
        if let Some(process) = self.own_process()
            && let Err(error) = self.end(process, "its manager was dropped")
        {
            tracing::warn!(%error, "the server could not be shut down");
        }
    }
}
