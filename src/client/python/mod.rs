//! This process as a client of a manager that a *Python* program started: the client's half of CPython's protocol.
//!
//! As CPython's own clients do: a connection for each thread that calls, and a short one for everything else (`create`, `incref`, `decref`). Values cross as they do for Python's clients of
//! a server of this crate: plain data as what it is, objects of other classes untouched, proxies as [`PythonProxy`]s.

mod link;
mod proxy;

use std::sync::Arc;

use serde::Serialize;

use self::link::{Link, Reply, Written};
pub use self::proxy::PythonProxy;
use crate::address::Address;
use crate::authkey::Authkey;
use crate::error::{Error, Result};

/// A manager that a Python program started, or any server of CPython's `multiprocessing.managers`, 3.8 and later.
///
/// Calls are dynamic: names and values. What a method raises comes as [`Error::Remote`], with the exception's class as `kind` (`builtins.KeyError`), its arguments as text, and the traceback among the `causes`
/// where the server sent one.
///
/// ```no_run
/// use multiproc::python::PythonManager;
///
/// # fn main() -> multiproc::Result<()> {
/// // m = SyncManager(address='/tmp/shared', authkey=b'secret'); m.start()
/// let manager = PythonManager::connect("unix:/tmp/shared", "secret")?;
/// let squares = manager.create("dict", ())?;
/// squares.call_method::<()>("__setitem__", (7, 49))?;
/// assert_eq!(squares.call_method::<u32>("get", (7,))?, 49);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PythonManager {
    link: Arc<Link>,
}

impl PythonManager {
    /// Connects, and sees that the server answers. Blocks until it does, at most 10 s.
    ///
    /// # Errors
    /// Nobody listens there; the key is another; the other side is no server of Python's.
    pub fn connect<A, K>(address: A, authkey: K) -> Result<Self>
    where
        A: TryInto<Address>,
        A::Error: Into<Error>,
        K: TryInto<Authkey>,
        K::Error: Into<Error>,
    {
        let (address, authkey) = (address.try_into().map_err(Into::into)?, authkey.try_into().map_err(Into::into)?);
        let link = Arc::new(Link::new(address, authkey));
        link.ask(&Written::plain(None, "dummy", &[])?)?;
        Ok(Self { link })
    }

    /// Creates an object of a registered type, with a tuple of arguments. Blocks until the server has made it.
    pub fn create(&self, typeid: &str, arguments: impl Serialize) -> Result<PythonProxy> {
        self.create_with(typeid, arguments, ())
    }

    /// As [`create`](Self::create), with keyword arguments: a map or struct of names and values.
    pub fn create_with(
        &self,
        typeid: &str,
        arguments: impl Serialize,
        keywords: impl Serialize,
    ) -> Result<PythonProxy> {
        let written = Written::new(None, "create", Some(typeid), &arguments, &keywords)?;
        let made: (String, Vec<String>) = self.link.ask(&written)?.decode(&self.link)?;
        let proxy = PythonProxy::new(&self.link, typeid, &made.0)?;
        // The reference that it was made with.
        self.link.ask(&Written::plain(None, "decref", &[&made.0])?)?;
        Ok(proxy)
    }

    /// A proxy of an object that is there already, by the id that it has in the server (in Python: `proxy._token.id`).
    ///
    /// # Errors
    /// The server has no object of that id.
    pub fn object(&self, typeid: &str, id: &str) -> Result<PythonProxy> {
        PythonProxy::new(&self.link, typeid, id)
    }

    /// How many objects live in the server.
    pub fn number_of_objects(&self) -> Result<u64> {
        self.link.ask(&Written::plain(None, "number_of_objects", &[])?)?.decode(&self.link)
    }

    /// What lives in the server, in Python's words.
    pub fn debug_info(&self) -> Result<String> {
        self.link.ask(&Written::plain(None, "debug_info", &[])?)?.decode(&self.link)
    }

    /// Asks the server to end.
    pub fn shutdown(&self) -> Result<()> {
        self.link.ask(&Written::plain(None, "shutdown", &[])?).map(|_: Reply| ())
    }
}
