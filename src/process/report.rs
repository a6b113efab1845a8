//! What is said of a child to whoever waits for it: packets on the socket that they share.
//!
//! A packet always fits: what is large goes as a memfd beside it. So a child never waits for its parent to listen, and whoever waits
//! for the child's *end* need not listen first.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use super::error::ProcessPanic;
use crate::codec::{self, Codec};
use crate::error::{Error, RemoteError, causes};
use crate::sys::fork::ExitStatus;
use crate::sys::memory;
use crate::sys::socket::{receive, send_packet};

/// The longest packet in bytes whose contents are in itself: an empty socket has room for several on every system.
const INLINE: usize = 32 << 10;

/// The room for one packet.
const PACKET: usize = INLINE + 64;

/// One packet.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// The child's last word.
    Report(Report),
    /// The fork server's first: the child lives; its pidfd is beside it.
    Born { pid: u32 },
    /// The fork server's only one: there is no child.
    NotBorn { reason: String },
    /// The fork server's last: how the child ended.
    Ended(Ending),
}

/// What a child has to say for itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Report {
    /// It returned this value, encoded.
    Value(#[serde(with = "serde_bytes")] Vec<u8>),
    /// It returned an error.
    Failed(RemoteError),
    /// It panicked.
    Panicked(ProcessPanic),
    /// It returned what can't be sent.
    Unserializable(Error),
}

/// [`ExitStatus`], to be sent.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Ending {
    Exited(i32),
    Killed(i32),
    Unknown,
}

impl Report {
    /// That a value was returned.
    pub fn of_value<T: Serialize>(value: &T) -> Self {
        let mut bytes = Vec::new();
        match codec::encode(Codec::Bincode, value, &mut bytes) {
            Ok(()) => Self::Value(bytes),
            Err(error) => Self::Unserializable(Error::unserializable::<T>(error)),
        }
    }

    /// That an error was returned.
    pub fn of_error(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Failed(RemoteError { kind: "error".to_owned(), message: error.to_string(), causes: causes(error) })
    }

    /// The exit code that goes with it: Python's 0 and 1, and Rust's 101.
    pub fn code(&self) -> i32 {
        match self {
            Self::Value(_) => 0,
            Self::Failed(_) | Self::Unserializable(_) => 1,
            Self::Panicked(_) => 101,
        }
    }
}

impl Message {
    /// Sends it, with these fds.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub fn send(&self, socket: BorrowedFd<'_>, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        send(socket, self, fds)
    }

    /// The next message, and the fds that came with it. Does not wait.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, `UnexpectedEof` at the end.
    pub fn receive(socket: BorrowedFd<'_>) -> io::Result<(Self, Vec<OwnedFd>)> {
        receive_value(socket)
    }
}

/// Sends a value as one packet, in a memfd if it is large.
///
/// # Errors
/// When nobody listens any more.
pub fn send<T: Serialize>(socket: BorrowedFd<'_>, value: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut bytes = Vec::new();
    codec::encode(Codec::Bincode, value, &mut bytes).map_err(io::Error::other)?;
    let mut raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    if bytes.len() <= INLINE {
        return send_packet(socket, &[&[0], &bytes], &raw);
    }
    let memory = memory::hold(&bytes)?;
    raw.insert(0, memory.as_raw_fd());
    send_packet(socket, &[&[1]], &raw)
}

/// What was [sent](send). Does not wait.
///
/// # Errors
/// `WouldBlock` when there is nothing, `UnexpectedEof` at the end.
pub fn receive_value<T: serde::de::DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<(T, Vec<OwnedFd>)> {
    let (mut packet, mut fds) = (Vec::new(), Vec::new());
    receive(socket, &mut packet, PACKET, Some(&mut fds))?;
    let bytes = match packet.split_first() {
        None => return Err(io::ErrorKind::UnexpectedEof.into()),
        Some((0, bytes)) => bytes.to_vec(),
        Some(_) if fds.is_empty() => return Err(io::Error::other("a message without its memory: no descriptor left")),
        Some(_) => memory::held(fds.remove(0))?,
    };
    let value = codec::decode(Codec::Bincode, &bytes).map_err(io::Error::other)?;
    Ok((value, fds))
}

impl From<ExitStatus> for Ending {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Exited(code) => Self::Exited(code),
            ExitStatus::Killed(signal) => Self::Killed(signal),
            ExitStatus::Unknown => Self::Unknown,
        }
    }
}

impl From<Ending> for ExitStatus {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Exited(code) => Self::Exited(code),
            Ending::Killed(signal) => Self::Killed(signal),
            Ending::Unknown => Self::Unknown,
        }
    }
}
