//! Frames through memory that both processes share: what an authenticated unix connection is upgraded to when calls come fast.
//!
//! Stands behind [`Receiver`](super::Receiver) and [`Sender`](super::Sender), under the same contract. The server [makes](Ring::create) the memory and hands
//! its descriptor over by the socket; the client [adopts](Ring::adopt) it. Each direction changes over on its own, behind a last frame on the socket that says
//! so. The socket stays open: its end is the other side's end, and a byte on it is the doorbell that wakes a side asleep in `poll`.
//!
//! | part | what it is for |
//! | --- | --- |
//! | [`layout`] | where everything lies; the only place that knows addresses |
//! | [`cells`] | one direction's small frames, in 64-byte cells |
//! | [`bulk`] | one direction's large frames, streamed through a second ring |
//! | [`doorbell`] | who wakes whom, and when; model-checked |
//! | [`outgoing`], [`incoming`] | whole frames, backlog, limits: the contract |
//!
//! # Invariants
//! - **The other side is not trusted.** Its words are read once and checked before they are used; positions are kept in private memory and only *published*;
//!   what arrives is copied out before anybody looks into it. Nonsense is [`Scribbled`](super::TransportError::Scribbled), and ends this connection alone.
//! - The memory is sealed against a change of its size, so touching it can't fail.
//! - While both sides are awake nothing here makes a system call.
//! - A forked child has no part in it: the mapping is not inherited, and every way in asks the socket's stamp first.
#![allow(unsafe_code)]

mod bulk;
mod cells;
mod doorbell;
mod incoming;
mod layout;
#[cfg(all(test, loom))]
mod model;
mod outgoing;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

pub use incoming::{Glance, Incoming};
pub use outgoing::Outgoing;

use crate::sys::cpu;
use crate::sys::shared::SealedMemory;
use layout::{Memory, SIZE, Side};

/// The environment variable that keeps this process's connections on their sockets, where it is `0` or `off`.
pub const VARIABLE: &str = "MULTIPROC_RING";

/// Whether the environment lets connections have shared memory.
pub fn is_allowed() -> bool {
    std::env::var_os(VARIABLE).is_none_or(|value| value != "0" && value != "off")
}

/// Both directions of a connection through shared memory, not in use yet.
#[derive(Debug)]
pub struct Ring {
    /// What this side will send by.
    pub outgoing: Outgoing,
    /// What this side will receive by.
    pub incoming: Incoming,
}

impl Ring {
    /// The server's end of new memory, and the descriptor for the client.
    ///
    /// # Errors
    /// When the system has no descriptor, no memory, or no mapping left.
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let memory = SealedMemory::create("multiproc-ring", SIZE)?;
        let ring = Self::new(Memory::first(memory.map()?), Side::Server);
        Ok((ring, memory.into_fd()))
    }

    /// The client's end of memory that its server has made.
    ///
    /// # Errors
    /// When it is not what this version makes, or can't be mapped.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let memory = SealedMemory::adopt(fd, SIZE)?;
        Ok(Self::new(Memory::second(memory.map()?)?, Side::Client))
    }

    fn new(memory: Memory, side: Side) -> Self {
        let memory = Arc::new(memory);
        Self { outgoing: Outgoing::new(Arc::clone(&memory), side), incoming: Incoming::new(memory, side) }
    }
}

/// What the two sides tell each other to wait well. Wrong hints cost time, nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hints {
    /// The processor on which the other side ran last.
    pub cpu: u32,
    /// How many connections are active in the server.
    pub active: u32,
}

impl Hints {
    /// What a client has to tell.
    pub fn of_client() -> Self {
        Self { cpu: cpu::current(), active: 0 }
    }
}
