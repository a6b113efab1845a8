//! Python's `multiprocessing.managers`, rebuilt for Rust: objects live in a server process, and every other process works on them through typed proxies, as if
//! they were its own.
//!
//! Three lines to start, no daemon, types checked by the compiler; references counted across processes, peers that prove that they know a shared key, and a
//! `shutdown()` that leaves nothing behind.
//!
//! ```
//! use std::fmt;
//! use serde::{Deserialize, Serialize};
//! use multiproc::{BaseManager, Proxy};
//!
//! #[derive(Debug, Clone, Serialize, Deserialize)]
//! pub struct MyClass { name: String }
//!
//! impl fmt::Display for MyClass {
//!     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "MyClass({})", self.name) }
//! }
//!
//! #[multiproc::referent(typeid = "MyClass", display, value)]
//! impl MyClass {
//!     pub fn new(name: String) -> Self { Self { name } }
//!     #[referent(name = "getName")]
//!     pub fn name(&self) -> String { self.name.clone() }
//!     #[referent(name = "__add__")]
//!     pub fn add(&mut self, suffix: &str) { self.name.push_str(suffix); }
//! }
//!
//! # fn main() -> multiproc::Result<()> {
//! let manager = BaseManager::builder().register::<MyClass>().start()?; // forks
//! let a = MyClassProxy::new(&manager, "mark".into())?;
//! assert_eq!(a.to_string(), "MyClass(mark)"); // computed in the server
//! a.add("!")?;
//! assert_eq!(a.name()?, "mark!");
//! let copy: MyClass = a.to_value()?;
//! assert_eq!(copy.name, "mark!");
//! manager.shutdown()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What lives where
//!
//! | you want | use |
//! | --- | --- |
//! | to share a type of your own | [`referent`](macro@referent), [`BaseManager`] |
//! | another callable, fewer methods, a singleton | [`Registration`], [`Shared`] |
//! | a proxy of your own making | [`BaseProxy`], `#[derive(multiproc::Proxy)]` |
//! | a typed proxy of a server whose types you don't have | [`proxy`](macro@proxy) |
//! | methods that wait without a thread | [`Responder`] |
//! | functions run by worker processes | [`Pool`]; by those of a server [`task`](macro@task), [`types::PoolProxy`] |
//! | a program that is the server | [`Builder::server`] |
//! | what you know from Python | `docs/coming-from-python.md`: each of its calls beside ours |
//!
//! # Forks
//!
//! A forked child, by this crate or by `fork(2)` itself, is a client of its own: it holds references of its own to everything that its parent had proxies of, from the moment of
//! the fork, and shares no connection with it. `_Fork` and a bare `clone` tell nobody, and their children can't use inherited proxies.
//!
//! # Requirements
//!
//! Linux 5.10 or later (pidfd, memfd seals, eventfd, futex). With `panic = "abort"` a panic in a method ends the server instead of becoming an error.

#![warn(missing_docs)]

// The macros name the crate by its outside name, also in the crate's own tests and docs.
extern crate self as multiproc;

mod address;
mod authkey;
mod client;
mod codec;
mod connection;
mod datum;
mod error;
mod handshake;
mod manager;
mod object;
pub mod pool;
pub mod process;
mod protocol;
mod proxy;
mod server;
mod sys;
mod transport;
pub mod types;

#[doc(hidden)]
pub mod macro_support;
#[cfg(feature = "python")]
#[doc(hidden)]
pub mod probe;

/// What only objects of a Python program's manager have; see [`Builder::python`].
#[cfg(feature = "python")]
pub mod python {
    pub use crate::client::python::Exception;
}

/// How a server keeps a referent: which calls on it may run at the same time.
pub mod store {
    pub use crate::object::store::{Admits, Bare, Mutex, RwLock, Store};
}

pub use address::{Address, AddressError};
pub use authkey::{Authkey, EmptyAuthkey, authkey, set_authkey};
pub use codec::Value;
pub use connection::{Connection, Listener, pipe};
pub use datum::Datum;
pub use error::{CallError, Cause, Error, RemoteError, RemotePanic, Result};
pub use manager::{BaseManager, Builder, SyncManager};
pub use object::methods::{Listed, Methods};
pub use object::registration::{Callable, Makes};
pub use object::{
    Answered, Caller, Failure, Invocation, Outcome, Raised, Raises, Referent, Registration, Responder, Shared,
};
pub use pool::{Pool, PoolError};
pub use process::{Process, ProcessError, active_children, current_process, init, parent_process};
pub use protocol::command::{ObjectInfo, ReferenceInfo, ServerStats};
pub use protocol::{ClientId, ObjectId, ServerId, ThreadNumber, Token};
pub use proxy::{BaseProxy, Batch, Deferred, DeferredBase, Maker, Proxy, Resolve};
pub use server::{Server, StopHandle};
pub use transport::WaitPolicy;
pub use types::{RunTask, Task};

#[cfg(feature = "macros")]
pub use multiproc_macros::{Proxy, Raises, proxy, referent, task};

/// The code in the README and the guides, run with the documentation's own.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../README.md")]
    mod readme {}

    #[doc = include_str!("../docs/coming-from-python.md")]
    mod coming_from_python {}

    #[doc = include_str!("../docs/processes-and-pools.md")]
    mod processes_and_pools {}

    #[doc = include_str!("../docs/what-can-cross.md")]
    mod what_can_cross {}
}
