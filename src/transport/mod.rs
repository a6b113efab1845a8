//! Frames between two processes, over whatever carries bytes.
//!
//! Below the handshake and the calls, above the system's sockets. A [`Listener`] accepts and [`connect`] makes a
//! [`Connection`], which is a [`Receiver`] and a [`Sender`] that may live in different threads.
//!
//! # The contract, whatever carries the bytes
//! - A frame arrives whole, once, in order, or the connection ends with an error; after an error the connection
//!   is of no more use.
//! - Nothing here waits, but [`connect`]. Receiving answers `None` and sending [`Progress::Pending`] where a blocking
//!   call would sleep; who wants to sleep asks [`Receiver::settle`], then polls [`Receiver::fd`], or, where that says so
//!   ([`Sender::awaits_socket`]), [`Sender::fd`]. So two sides that both send more than fits can't lock each other out.
//! - What is sent is either with the system or kept ([`Sender::backlog`]) until [`Sender::flush`]. Nothing is lost by a
//!   full socket, and the caller's memory is its own again at once.
//! - The length of a frame is the other side's word: it is compared with the limit before it is believed, and memory
//!   is taken as bytes arrive.
//! - The end of the other side, orderly or not, is an error at once: [`TransportError::Closed`] between frames,
//!   [`TransportError::Truncated`] inside one.
//! - A connection works only in the process that made it. In a forked child every call is
//!   [`TransportError::Inherited`], and shutting or dropping it takes nothing from the parent.
//!
//! `tests/conformance.rs` checks each clause on each backend.
//!
//! # On the wire
//! CPython's framing: the length as a big-endian `i32`, then so many bytes; for more than `0x7fff_ffff` of them the
//! `i32` is -1 and the length follows as a big-endian `u64`. File descriptors travel beside the first byte of their
//! frame.

mod error;
mod frame;
mod frames;
mod listener;
mod peer;
mod receiver;
pub mod ring;
mod sender;
mod socket;
mod tcp;
#[cfg(test)]
mod tests;
mod unix;
mod wait;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

pub use error::TransportError;
pub use listener::Listener;
pub use peer::Peer;
pub use receiver::Receiver;
pub use ring::{Glance, Hints, Ring};
pub use sender::{Progress, Sender, Write};
pub use wait::{Wait, WaitPolicy};

use crate::address::Address;
pub use socket::Descriptor;
use socket::Socket;
pub use unix::remove_left;

/// Both directions of a connection.
#[derive(Debug)]
pub struct Connection {
    /// What the other side says.
    pub receiver: Receiver,
    /// What this side says.
    pub sender: Sender,
}

impl Connection {
    /// Takes over a connected stream socket, unix or tcp, as this process's.
    ///
    /// # Errors
    /// When it is no connected stream socket.
    pub fn new(socket: impl Into<OwnedFd>) -> Result<Self, TransportError> {
        Self::sharing(Arc::new(socket.into()))
    }

    /// As [`new`](Self::new), with a descriptor that somebody else keeps too: to poll it without asking the halves, and to take it
    /// over again in a forked child.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn sharing(socket: impl Into<Descriptor>) -> Result<Self, TransportError> {
        let socket = Arc::new(Socket::new(socket.into())?);
        Ok(Self { receiver: Receiver::new(Arc::clone(&socket)), sender: Sender::new(socket) })
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.sender.peer()
    }

    /// What to poll.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.receiver.fd()
    }

    /// The descriptor itself, to be [shared](Self::sharing).
    pub fn share(&self) -> Descriptor {
        self.sender.share()
    }
}

/// Connects to the server at `address`, waiting until `deadline` while its queue is full or its host silent. Looking up
/// the name of a tcp host takes as long as the system's resolver does.
///
/// # Errors
/// [`TransportError::NobodyListens`], [`TransportError::TimedOut`], [`TransportError::OutOfFds`], or what the system
/// says.
pub fn connect(address: &Address, deadline: Instant) -> Result<Connection, TransportError> {
    address.check()?;
    Connection::new(match address {
        Address::Unix(_) | Address::Abstract(_) => unix::connect(address, deadline)?,
        Address::Tcp { host, port } => tcp::connect(address, (host, *port), deadline)?,
    })
}
