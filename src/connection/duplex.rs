//! One end of a connection.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::pipe::Twin;
use super::wait::Waitable;
use crate::address::Address;
use crate::authkey::Authkey;
use crate::codec::{self, Codec};
use crate::error::{Error, Result};
use crate::handshake::{self, Hello, Role};
use crate::protocol::limits::{HANDSHAKE_TIME, MAX_FRAME};
use crate::protocol::{ClientId, ConnectionId};
use crate::sys::fork::{ForkMutex, Stamp};
use crate::sys::poll::{self, Interest};
use crate::sys::sync::Mutex;
use crate::transport::{self, Descriptor, Progress, Receiver, Sender, TransportError};

/// One end of a connection between two processes: sends and receives values and bytes, each message whole.
///
/// Any number of threads may use it at once; sending and receiving do not hinder each other. Dropping it closes it.
///
/// A forked child may use an end that it inherited, best one that was moved into its closure, so that the parent's copy is
/// closed: the other side sees the end when the *last* copy is gone.
///
/// ```
/// # fn main() -> multiproc::Result<()> {
/// let (near, far) = multiproc::pipe()?;
/// near.send(&("answer", 42))?;
/// assert_eq!(far.recv::<(String, u64)>()?, ("answer".to_owned(), 42));
/// far.send_bytes(b"raw")?;
/// assert_eq!(near.recv_bytes()?, b"raw");
/// # Ok(())
/// # }
/// ```
pub struct Connection {
    socket: Descriptor,
    max_message: u64,
    /// Where it is one end of a pipe.
    twin: Option<Twin>,
    /// What belongs to one process; a forked child makes its own.
    halves: ForkMutex<Arc<Halves>>,
}

/// Both directions, as one process uses them.
struct Halves {
    stamp: Stamp,
    sender: Mutex<Sender>,
    incoming: Mutex<Incoming>,
}

struct Incoming {
    receiver: Receiver,
    /// A message that was received and did not fit.
    kept: Option<Vec<u8>>,
}

impl Halves {
    fn new(connection: transport::Connection, max_message: u64) -> Arc<Self> {
        let transport::Connection { mut receiver, sender } = connection;
        receiver.set_limit(max_message);
        let incoming = Incoming { receiver, kept: None };
        Arc::new(Self { stamp: Stamp::now(), sender: Mutex::new(sender), incoming: Mutex::new(incoming) })
    }
}

impl Connection {
    pub(super) fn new(connection: transport::Connection, max_message: u64, twin: Option<Twin>) -> Self {
        let socket = connection.share();
        Self { socket, max_message, twin, halves: ForkMutex::new(Halves::new(connection, max_message)) }
    }

    /// Connects to a [`Listener`](super::Listener) that has no key. Waits for it at most 10 s.
    ///
    /// # Errors
    /// When nobody listens there, or nobody answers.
    #[doc(alias = "Client")]
    pub fn connect<A>(address: A) -> Result<Self>
    where
        A: TryInto<Address>,
        A::Error: Into<Error>,
    {
        let address = address.try_into().map_err(Into::into)?;
        let connection = connect(&address, Instant::now() + HANDSHAKE_TIME)?;
        Ok(Self::new(connection, MAX_FRAME, None))
    }

    /// Connects to a [`Listener`](super::Listener), which and this side prove to each other that they know the key. Waits for it
    /// at most 10 s.
    ///
    /// # Errors
    /// When nobody listens there, nobody answers, or the keys differ.
    #[doc(alias = "Client")]
    pub fn connect_with<A>(address: A, key: &Authkey) -> Result<Self>
    where
        A: TryInto<Address>,
        A::Error: Into<Error>,
    {
        let address = address.try_into().map_err(Into::into)?;
        let deadline = Instant::now() + HANDSHAKE_TIME;
        let connection = connect(&address, deadline)?;
        let hello = Hello { client: ClientId::random(), role: Role::Data, connection: ConnectionId(0) };
        let proved = handshake::authenticate(connection, key, &hello, deadline, None);
        let (connection, _, welcome) = proved.map_err(|error| error.with(&address))?.into_parts();
        Ok(Self::new(connection, welcome.max_frame, None))
    }

    /// Sends a value. Waits while the other side does not receive and the system's buffer is full.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Unserializable`], when nothing was sent.
    pub fn send<T: Serialize + ?Sized>(&self, value: &T) -> Result<()> {
        let mut bytes = Vec::new();
        codec::encode(Codec::Value, value, &mut bytes).map_err(Error::unserializable::<T>)?;
        self.send_bytes(&bytes)
    }

    /// Receives a value. Waits for it without limit; see [`poll`](Self::poll).
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Unserializable`] when the message is of another type. That message is lost, the connection goes
    /// on.
    pub fn recv<T: DeserializeOwned>(&self) -> Result<T> {
        let bytes = self.recv_bytes()?;
        codec::decode(Codec::Value, &bytes).map_err(Error::unserializable::<T>)
    }

    /// Sends bytes, as one message. Waits as [`send`](Self::send) does.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn send_bytes(&self, bytes: &[u8]) -> Result<()> {
        let halves = self.halves()?;
        let mut sender = halves.sender.lock();
        let mut progress = sender.send(&[bytes]).map_err(|error| self.failed(error))?;
        while progress == Progress::Pending {
            self.wait(Interest::Write, None)?;
            progress = sender.flush().map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    /// Receives the bytes of a message. Waits for it without limit.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn recv_bytes(&self) -> Result<Vec<u8>> {
        self.receive(self.max_message)
    }

    /// As [`recv_bytes`](Self::recv_bytes), for a message of at most `max` bytes.
    ///
    /// # Errors
    /// [`Error::NoRoom`] for a longer one, for which no memory is taken and which comes with the next receive; [`Error::Closed`].
    pub fn recv_bytes_max(&self, max: usize) -> Result<Vec<u8>> {
        self.receive((max as u64).min(self.max_message))
    }

    /// Receives the bytes of a message into `room`, and tells how many there were.
    ///
    /// # Errors
    /// [`Error::NoRoom`] for a longer one, which comes with the next receive; [`Error::Closed`].
    pub fn recv_bytes_into(&self, room: &mut [u8]) -> Result<usize> {
        let bytes = self.recv_bytes_max(room.len())?;
        room[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// Whether a receive would not wait, because a message or the other side's end is there; waits for it, for `timeout` at the
    /// most (`None`: without limit).
    ///
    /// # Errors
    /// When the system refuses to wait.
    pub fn poll(&self, timeout: Option<Duration>) -> Result<bool> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let halves = self.halves()?;
        loop {
            // Receiving is what tells a whole message from half of one.
            let mut incoming = halves.incoming.lock();
            if incoming.kept.is_some() {
                return Ok(true);
            }
            match incoming.receiver.next() {
                Ok(Some(message)) => {
                    incoming.kept = Some(message);
                    return Ok(true);
                }
                Ok(None) => {}
                Err(_) => return Ok(true),
            }
            drop(incoming);
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) || !self.wait(Interest::Read, left)? {
                return Ok(false);
            }
        }
    }

    /// Closes this end; the other side receives what was sent, then [`Error::Closed`]. Dropping it does the same.
    pub fn close(self) {}

    /// The next message, of at most `limit` bytes.
    fn receive(&self, limit: u64) -> Result<Vec<u8>> {
        let halves = self.halves()?;
        let mut incoming = halves.incoming.lock();
        match incoming.kept.take() {
            Some(kept) if kept.len() as u64 <= limit => Ok(kept),
            Some(kept) => {
                let size = kept.len() as u64;
                incoming.kept = Some(kept);
                Err(Error::NoRoom { size, limit })
            }
            None => self.next(&mut incoming.receiver, limit),
        }
    }

    /// Receives the next message of at most `limit` bytes; a longer one stays where it is.
    fn next(&self, receiver: &mut Receiver, limit: u64) -> Result<Vec<u8>> {
        receiver.set_limit(limit);
        let message = loop {
            match receiver.next() {
                Ok(Some(message)) => break Ok(message),
                Ok(None) => {
                    self.wait(Interest::Read, None)?;
                }
                Err(TransportError::TooLarge { size, limit }) if limit < self.max_message => {
                    break Err(Error::NoRoom { size, limit });
                }
                Err(error) => break Err(self.failed(error)),
            }
        };
        receiver.set_limit(self.max_message);
        message
    }

    fn wait(&self, interest: Interest, timeout: Option<Duration>) -> Result<bool> {
        let ready = poll::wait_one(&self.socket, interest, timeout);
        ready.map(poll::Ready::any).map_err(|error| Error::io("waiting for a connection", error))
    }

    /// This process's halves.
    fn halves(&self) -> Result<Arc<Halves>> {
        let mut halves = self.halves.lock();
        if !halves.stamp.is_current() {
            // Inherited: what the parent's threads did with its buffers and locks at the fork is nothing to this process.
            if let Some(twin) = &self.twin {
                twin.use_here()?;
            }
            let connection = transport::Connection::sharing(self.socket.clone()).map_err(|error| self.failed(error))?;
            *halves = Halves::new(connection, self.max_message);
        }
        if let Some(twin) = &self.twin {
            twin.check()?;
        }
        Ok(Arc::clone(&halves))
    }

    fn failed(&self, error: TransportError) -> Error {
        let peer = "the other side";
        match error {
            TransportError::Closed | TransportError::Truncated => Error::Closed { peer: peer.to_owned() },
            error => error.at(peer),
        }
    }
}

fn connect(address: &Address, deadline: Instant) -> Result<transport::Connection> {
    transport::connect(address, deadline).map_err(|error| error.at(address))
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Waitable for Connection {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn is_ready(&self) -> bool {
        let Ok(halves) = self.halves() else { return true };
        let incoming = halves.incoming.lock();
        incoming.kept.is_some() || incoming.receiver.is_ready()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("fd", &self.socket).finish_non_exhaustive()
    }
}
