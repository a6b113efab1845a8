//! The client's side: one [`Client`] per process and server, under all proxies of that server.
//!
//! On a call's way it stands between the proxy and the transport: [`call`] takes a connection out of the [`pool`], sends the request, waits for its
//! reply, and counts the references in it into the [`ledger`]. Calls that are sent ahead share a [`pipeline`]. Everything about references goes to the server on one ordered stream
//! ([`notices`]): what is given back, what a fork copies, what is on its way elsewhere. A fork makes the child a client of its own
//! ([`forking`]).
//!
//! Invariants: the state's lock is held for bookkeeping and sends that don't wait, never while anything waits; no lock of this layer is held at a
//! fork; what the ledger says was given back has been handed to the notice stream, in the same order.

pub mod call;
mod forking;
mod keeper;
mod ledger;
mod lifelines;
mod notices;
mod pipeline;
mod pool;
#[cfg(feature = "python")]
pub mod python;
pub mod reference;
mod tally;
mod upgrade;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

pub use call::{Request, Returned, Streamed, Write};
pub use pipeline::{Handle, Pipeline};
pub use reference::RemoteReference;

use self::ledger::Ledger;
use self::notices::{Notices, Told};
use self::pool::{Link, Pool};
use self::tally::Tally;
use self::upgrade::Upgrade;
use crate::address::Address;
use crate::authkey::{Authkey, authkey};
use crate::error::{Cause, Error, Result};
use crate::handshake::{self, Hello, Role};
use crate::protocol::limits::HANDSHAKE_TIME;
use crate::protocol::{ClientId, ConnectionId, ServerId};
use crate::sys::fork::{ForkGuard, ForkMutex};
use crate::sys::pidfd::PidFd;
use crate::sys::poll::{self, Interest, Ready};
use crate::sys::slot::Slot;
use crate::transport::{self, TransportError, Wait, WaitPolicy};

/// How long a thread looks away while another makes the process's first contact with a server.
const FIRST_CONTACT: Duration = Duration::from_millis(1);
/// How long the signs of a server's death may come after the first: its sockets and its process end one after the other, and a busy machine may stop it in between.
const LAST_SIGN: Duration = Duration::from_secs(1);

/// How a server is reached.
#[derive(Debug, Clone)]
pub struct Route {
    /// Where.
    pub address: Address,
    /// With which key.
    pub authkey: Authkey,
    /// How long connecting and shaking hands may take.
    pub handshake_time: Duration,
    /// Whether connections may change over to shared memory.
    pub ring: bool,
    /// How callers wait.
    pub wait: WaitPolicy,
}

/// This process as a client of one server.
pub struct Client {
    server: ServerId,
    route: Route,
    address: Arc<str>,
    max_frame: u64,
    /// Ends when the server's process ends; unknown for a server on another machine.
    process: Option<PidFd>,
    /// The data connection that was used last, while it is idle.
    hot: Slot<Link>,
    /// What calls have to know of the control stream, readable without the state's lock.
    told: Arc<Told>,
    /// The fork generation of the state, readable without its lock.
    generation: AtomicU64,
    state: ForkMutex<State>,
}

/// What a fork copies, and the child then makes its own.
struct State {
    id: ClientId,
    ledger: Ledger,
    notices: Notices,
    pool: Pool,
    /// Of the deferred calls; connected at the first.
    pipeline: Option<Arc<Pipeline>>,
    next_connection: u64,
    next_ticket: u64,
    /// Whether a thread watches forked children.
    watching: bool,
    /// Why the server can't be reached any more.
    gone: Option<String>,
    /// Whether it was told why there is no shared memory.
    told: bool,
}

/// All clients of this process, so that a server that is met again is known, and a fork finds them.
static CLIENTS: ForkMutex<Vec<Weak<Client>>> = ForkMutex::new(Vec::new());

/// The living clients.
fn clients() -> Vec<Arc<Client>> {
    CLIENTS.lock().iter().filter_map(Weak::upgrade).collect()
}

impl Client {
    /// Connects to the server at `route`, unless this process is its client already.
    ///
    /// Blocks until the server has answered, at most the route's `handshake_time`.
    pub fn connect(route: Route) -> Result<Arc<Self>> {
        forking::install();
        let id = ClientId::random();
        let deadline = Instant::now() + route.handshake_time;
        let (connection, welcome) = shake_hands(&route, id, Role::Control, ConnectionId(0), deadline)?;
        if let Some(known) = Self::known(welcome.server) {
            return Ok(known);
        }
        let process = connection.sender.peer().pidfd();
        let notices = Notices::connected(connection);
        let client = Arc::new(Self {
            hot: Slot::default(),
            told: notices.told(),
            server: welcome.server,
            address: route.address.to_string().into(),
            route,
            max_frame: welcome.max_frame,
            process,
            generation: AtomicU64::new(crate::sys::fork::generation()),
            state: ForkMutex::new(State {
                id,
                ledger: Ledger::default(),
                notices,
                pool: Pool::default(),
                pipeline: None,
                next_connection: 1,
                next_ticket: 1,
                watching: false,
                gone: None,
                told: false,
            }),
        });
        let mut clients = CLIENTS.lock();
        clients.retain(|client| client.strong_count() > 0);
        // Another thread may have been as fast; then ours says good-bye by being dropped.
        let known = clients.iter().filter_map(Weak::upgrade).find(|known| known.is_usable_for(client.server));
        if let Some(known) = known {
            drop(clients);
            return Ok(known);
        }
        clients.push(Arc::downgrade(&client));
        Ok(client)
    }

    /// The client of that server, if this process has one.
    pub fn known(server: ServerId) -> Option<Arc<Self>> {
        clients().into_iter().find(|client| client.is_usable_for(server))
    }

    fn is_usable_for(&self, server: ServerId) -> bool {
        self.server == server && self.state.lock().gone.is_none()
    }

    /// The client of a server that a token names: the one there is, or a new one with this process's key.
    pub fn reach(server: ServerId, address: &str) -> Result<Arc<Self>> {
        if let Some(known) = Self::known(server) {
            return Ok(known);
        }
        let route = Route {
            address: address.parse()?,
            authkey: authkey(),
            handshake_time: HANDSHAKE_TIME,
            ring: transport::ring::is_allowed(),
            wait: WaitPolicy::default(),
        };
        let client = Self::connect(route)?;
        if client.server == server {
            return Ok(client);
        }
        Err(Error::ServerGone {
            address: address.to_owned(),
            reason: "another server has taken its address; its objects are gone".into(),
        })
    }

    /// Which server it is.
    pub fn server(&self) -> ServerId {
        self.server
    }

    /// Where the server is reached.
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// Whether this process is what the state says it is. False after a `_Fork` or a bare `clone`, of which this crate hears nothing.
    fn is_own(&self) -> bool {
        // Pairs with the store in the fork hooks, on the same thread.
        self.generation.load(Ordering::Relaxed) == crate::sys::fork::generation()
    }

    fn check_own(&self) -> Result<()> {
        if self.is_own() {
            return Ok(());
        }
        let what = "this process was made by `_Fork` or a bare `clone`, which tell nobody; use `fork`";
        Err(Error::State { what: what.to_owned() })
    }

    fn state(&self) -> ForkGuard<'_, State> {
        self.state.lock()
    }

    /// Says that the server is gone: further calls fail at once, with this reason.
    pub fn forget_server(&self, reason: &str) {
        if !self.is_own() {
            return;
        }
        let dropped = {
            let mut state = self.state();
            state.gone.get_or_insert_with(|| reason.to_owned());
            let State { notices, pool, pipeline, .. } = &mut *state;
            (std::mem::take(notices), std::mem::take(pool), pipeline.take(), self.hot.take())
        };
        drop(dropped);
    }

    /// The error for a server that does not answer any more, with the best reason known.
    fn gone(&self, what_happened: &str) -> Error {
        let mut state = self.state();
        let last_words = state.notices.last_words();
        let reason = state.gone.get_or_insert_with(|| last_words.unwrap_or_else(|| what_happened.to_owned())).clone();
        Error::ServerGone { address: self.address.to_string(), reason }
    }

    /// Waits until the server's process, or this client's control stream, has ended; false if neither has after `timeout`.
    pub fn await_server(&self, timeout: Option<Duration>) -> Result<bool> {
        let socket = self.state().notices.fd();
        let mut signs: Vec<_> = self.process.iter().map(|process| (process.as_fd(), Interest::Read)).collect();
        signs.extend(socket.as_ref().map(|socket| (socket.as_fd(), Interest::HangUp)));
        if signs.is_empty() {
            return Ok(true);
        }
        let ready = poll::wait(&signs, timeout).map_err(|error| Error::io("waiting for the server", error))?;
        Ok(ready.into_iter().any(Ready::any))
    }

    /// The error for a data connection that broke: the server is gone, unless it shows within a moment that it is not.
    fn gone_or_lost(&self, error: &TransportError) -> Error {
        let socket = self.state().notices.fd();
        let mut signs: Vec<_> = self.process.iter().map(|process| (process.as_fd(), Interest::Read)).collect();
        signs.extend(socket.as_ref().map(|socket| (socket.as_fd(), Interest::Read)));
        let ready = poll::wait(&signs, Some(LAST_SIGN)).unwrap_or_default();
        if ready.into_iter().any(Ready::any) || signs.is_empty() {
            return self.gone(&error.to_string());
        }
        let what = format!("the connection to the server at {} broke; the call may have had its effect", self.address);
        Error::Io { what, cause: Cause::new(std::io::Error::other(error.to_string())) }
    }

    /// Sees to it that the control stream is connected: in a forked child it is not, at first.
    fn ensure_notices(self: &Arc<Self>, deadline: Instant) -> Result<()> {
        let begin = Instant::now();
        let id = loop {
            let mut state = self.state();
            if let Some(reason) = &state.gone {
                return Err(Error::ServerGone { address: self.address.to_string(), reason: reason.clone() });
            }
            if state.notices.is_connected() {
                return Ok(());
            }
            if state.notices.begins_to_connect() {
                break state.id;
            }
            drop(state);
            // Another thread is at it: of two streams the server would refuse one, which may be the one that is kept here.
            if Instant::now() >= deadline {
                return Err(Error::Timeout { after: begin.elapsed() });
            }
            std::thread::sleep(FIRST_CONTACT);
        };
        let connected = self.connect_notices(id, deadline);
        self.state().notices.has_tried_to_connect();
        connected?;
        // The list of what a forked child holds may be more than the socket takes at once.
        keeper::keep(self);
        lifelines::watch(self);
        Ok(())
    }

    fn connect_notices(&self, id: ClientId, deadline: Instant) -> Result<()> {
        let shaken = shake_hands(&self.route, id, Role::Control, ConnectionId(0), deadline);
        let (connection, welcome) = shaken.map_err(|error| self.unreachable(error))?;
        if welcome.server != self.server {
            return Err(self.gone("another server has taken its address"));
        }
        let mut state = self.state();
        let State { notices, ledger, .. } = &mut *state;
        notices.connect(connection, ledger);
        Ok(())
    }

    /// A data connection, new.
    fn open(self: &Arc<Self>, deadline: Instant) -> Result<Box<Link>> {
        self.ensure_notices(deadline)?;
        let (id, connection) = {
            let mut state = self.state();
            state.next_connection += 1;
            (state.id, ConnectionId(state.next_connection))
        };
        let shaken = shake_hands(&self.route, id, Role::Data, connection, deadline);
        let (stream, welcome) = shaken.map_err(|error| self.unreachable(error))?;
        if welcome.server != self.server {
            return Err(self.gone("another server has taken its address"));
        }
        let missing = match (self.route.ring, &self.process) {
            (false, _) => Some("it is switched off"),
            // Nobody could tell that it is dead and not busy.
            (true, None) => Some("the server's process can't be watched"),
            (true, Some(_)) => None,
        };
        if let Some(reason) = missing.filter(|_| stream.peer().is_local())
            && !std::mem::replace(&mut self.state().told, true)
        {
            tracing::debug!(address = %self.address, reason, "no shared memory: connections stay on their sockets");
        }
        let upgrade = Upgrade::new(missing.is_none() && stream.peer().is_local());
        Ok(Box::new(Link::new(Tally::new(connection), stream, upgrade, Wait::new(self.route.wait))))
    }

    /// Keeps a connection for the next call; gives it back, to be dropped without locks, where there are enough.
    #[must_use = "drop it without locks"]
    fn keep_link(&self, link: Box<Link>) -> Option<Box<Link>> {
        let link = self.hot.put(link)?;
        self.state().pool.put(link)
    }

    /// A server that nobody listens for any more is gone; other failures to connect are what they are.
    fn unreachable(&self, error: Error) -> Error {
        match error {
            Error::Io { .. } => self.gone(&error.to_string()),
            other => other,
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.is_own() {
            let me: *const Self = self;
            // The living ones keep their places; those being dropped have no strong references left.
            CLIENTS.lock().retain(|client| client.strong_count() > 0 && !std::ptr::eq(client.as_ptr(), me));
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("server", &self.server).field("address", &self.address).finish_non_exhaustive()
    }
}

/// Whether a connection has anything to be read at this moment.
fn has_come(connection: BorrowedFd<'_>) -> Result<bool> {
    let ready = poll::wait_one(connection, Interest::Read, Some(Duration::ZERO));
    Ok(ready.map_err(|error| Error::io("looking for a reply", error))?.any())
}

/// Connects and proves itself.
fn shake_hands(
    route: &Route,
    client: ClientId,
    role: Role,
    connection: ConnectionId,
    deadline: Instant,
) -> Result<(transport::Connection, crate::handshake::Welcome)> {
    let stream = transport::connect(&route.address, deadline).map_err(|error| error.at(&route.address))?;
    let hello = Hello { client, role, connection };
    let process = stream.peer().pidfd();
    let process = process.as_ref().map(AsFd::as_fd);
    let authenticated = handshake::authenticate(stream, &route.authkey, &hello, deadline, process);
    let authenticated = authenticated.map_err(|error| error.with(&route.address))?;
    let (stream, _, welcome) = authenticated.into_parts();
    Ok((stream, welcome))
}
