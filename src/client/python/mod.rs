//! This process as a client of a manager that a *Python* program started: the client's half of CPython's protocol.
//!
//! It stands where [`Client`](super::Client) stands for servers of this crate: under the proxies. A [`Link`] is the way to one server, a [`Reference`] what a proxy holds there. As CPython's own clients do
//! it has a connection for each thread that calls, and a short one for everything else (`create`, `incref`, `decref`). Values cross as they do for Python's clients of a server of this crate: plain data as
//! what it is, objects of other classes untouched, proxies as proxies.
//!
//! A call goes out by the object's own names, or, where the proxy is of one of the shared types, through an [`Adapter`], which says what those names come to in Python.
//!
//! | file | holds |
//! | --- | --- |
//! | `link.rs` | the connections to one server |
//! | `message.rs` | requests and replies |
//! | `exception.rs` | what a method raised |
//! | `reference.rs` | what keeps an object alive |
//! | `adapter.rs` | a call, in two languages |
//!
//! # Invariants
//! - A connection whose call was given up or has failed is not used again: what comes on it might be the answer to something else.
//! - A reference is counted once in each process that uses it, and given back once by each that has counted it.

mod adapter;
mod exception;
mod link;
mod message;
mod reference;

pub use self::adapter::{
    Adapter, Call, Created, Trouble, create, exactly, failed, listed, perform, returned, slot, value,
};
pub use self::exception::Exception;
pub use self::link::Link;
pub use self::message::Reply;
pub use self::reference::Reference;
