//! Where connections come in.

use std::time::{Duration, Instant};

use super::Connection;
use super::wait::Waitable;
use crate::address::Address;
use crate::authkey::Authkey;
use crate::error::{Error, Result};
use crate::handshake::{Pending, Refusal, Welcome};
use crate::protocol::ServerId;
use crate::protocol::limits::{HANDSHAKE_TIME, MAX_FRAME};
use crate::sys::fork::ForkMutex;
use crate::sys::poll::{self, Interest};
use crate::transport;

/// How many callers may be in the middle of their handshakes; more wait in the system's queue.
const MAX_PENDING: usize = 64;

/// A bound address at which connections are accepted. Dropping it removes the socket file that it made.
///
/// ```
/// use std::thread;
/// use multiproc::{Authkey, Connection, Listener};
///
/// # fn main() -> multiproc::Result<()> {
/// let key = Authkey::random();
/// let listener = Listener::bind_with("tcp:localhost:0", key.clone())?;
/// let address = listener.address().clone();
/// let caller = thread::spawn(move || Connection::connect_with(address, &key)?.send("hello"));
/// assert_eq!(listener.accept()?.recv::<String>()?, "hello");
/// caller.join().unwrap()
/// # }
/// ```
#[derive(Debug)]
pub struct Listener {
    listener: transport::Listener,
    key: Option<Authkey>,
    welcome: Welcome,
    /// Callers that have not proved themselves yet, each with the time until which it may. Taken out by who waits.
    pending: ForkMutex<Vec<(Pending, Instant)>>,
}

impl Listener {
    /// Binds an address at which everybody is accepted who can reach it.
    ///
    /// Without a key whoever connects is believed: use it where the directory of the socket lets in nobody else.
    ///
    /// # Errors
    /// When the address is bad or in use.
    pub fn bind<A>(address: A) -> Result<Self>
    where
        A: TryInto<Address>,
        A::Error: Into<Error>,
    {
        Self::new(address.try_into().map_err(Into::into)?, None)
    }

    /// Binds an address at which those are accepted who know the key, and to whom it proves that it knows it itself.
    ///
    /// # Errors
    /// When the address is bad or in use.
    pub fn bind_with<A>(address: A, key: Authkey) -> Result<Self>
    where
        A: TryInto<Address>,
        A::Error: Into<Error>,
    {
        Self::new(address.try_into().map_err(Into::into)?, Some(key))
    }

    fn new(address: Address, key: Option<Authkey>) -> Result<Self> {
        let listener = transport::Listener::bind(&address).map_err(|error| error.at(&address))?;
        let welcome = Welcome { server: ServerId::random(), max_frame: u64::MAX };
        Ok(Self { listener, key, welcome, pending: ForkMutex::default() })
    }

    /// Where it listens: with the port that the system chose for port 0.
    pub fn address(&self) -> &Address {
        self.listener.address()
    }

    /// The next connection. Waits for it without limit. Callers that are slow to prove themselves keep nobody else waiting, and have
    /// 10 s.
    ///
    /// # Errors
    /// [`Error::Authentication`] for a caller that does not know the key, which has been told; the next call accepts others.
    pub fn accept(&self) -> Result<Connection> {
        loop {
            if let Some(connection) = self.accept_timeout(None)? {
                return Ok(connection);
            }
        }
    }

    /// As [`accept`](Self::accept), for `timeout` at the most (`None`: without limit).
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn accept_timeout(&self, timeout: Option<Duration>) -> Result<Option<Connection>> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut pending = std::mem::take(&mut *self.pending.lock());
        let accepted = self.accept_until(deadline, &mut pending);
        self.pending.lock().append(&mut pending);
        accepted
    }

    fn accept_until(
        &self,
        deadline: Option<Instant>,
        pending: &mut Vec<(Pending, Instant)>,
    ) -> Result<Option<Connection>> {
        loop {
            let room = pending.len() < MAX_PENDING;
            if let Some(connection) = if room { self.next()? } else { None } {
                let Some(key) = &self.key else { return Ok(Some(Connection::new(connection, MAX_FRAME, None))) };
                // One that has gone already is no caller.
                pending.extend(
                    Pending::new(connection, key, self.welcome).map(|new| (new, Instant::now() + HANDSHAKE_TIME)),
                );
                continue;
            }
            for index in (0..pending.len()).rev() {
                match pending[index].0.advance() {
                    Ok(None) => {}
                    Ok(Some(authenticated)) => {
                        pending.swap_remove(index);
                        let (connection, _, welcome) = authenticated.into_parts();
                        return Ok(Some(Connection::new(connection, welcome.max_frame, None)));
                    }
                    Err(error) => {
                        let (refused, _) = pending.swap_remove(index);
                        return Err(error.with(refused.peer()));
                    }
                }
            }
            let now = Instant::now();
            while let Some(late) = pending.iter().position(|(_, limit)| *limit <= now) {
                pending.swap_remove(late).0.refuse(&Refusal::TooLate);
            }
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(None);
            }
            let until = pending.iter().map(|(_, limit)| *limit).chain(deadline).min();
            let mut fds: Vec<_> =
                pending.iter().filter_map(|(pending, _)| Some((pending.fd()?, Interest::Read))).collect();
            if room {
                fds.push((self.listener.fd(), Interest::Read));
            }
            let left = until.map(|until| until.saturating_duration_since(now));
            poll::wait(&fds, left).map_err(|error| Error::io("waiting for a connection", error))?;
        }
    }

    fn next(&self) -> Result<Option<transport::Connection>> {
        self.listener.accept().map_err(|error| error.at(self.address()))
    }
}

impl Waitable for Listener {
    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        Some(self.listener.fd())
    }
}
