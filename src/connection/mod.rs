//! Messages between two processes, without a server: Python's `multiprocessing.connection`.
//!
//! Above the transport, which carries frames, and beside the proxies, which are better where there is an object to work on. A
//! [`Connection`] sends any serde value and bytes; [`pipe`] makes two joined ones, for a process and the child that it
//! is about to fork; a [`Listener`] accepts them at an address, authenticated when it is given a key. [`wait`] waits for the
//! first of many, processes included.
//!
//! Values travel in the crate's self-describing format, so that a receiver that expects another type gets an error, not nonsense.
//! Proxies in them travel with tickets.
//!
//! # Invariants
//! - A message arrives whole or not at all; what can't be received now, for want of room, is kept.
//! - A forked child may use what it inherited: its buffers and locks are its own from the first use on. Of a pipe it keeps the end
//!   that it uses, so that it sees the end of the other.

mod duplex;
mod listener;
mod pipe;
mod wait;

pub use duplex::Connection;
pub use listener::Listener;
pub use pipe::pipe;
pub use wait::{Waitable, wait};
