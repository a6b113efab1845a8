//! The connections to one server of Python's.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::super::Route;
use super::exception::Exception;
use super::message::{self, Reply, Request};
use crate::address::Address;
use crate::error::{Error, RemoteError, Result};
use crate::handshake::{self, HandshakeError};
use crate::protocol::ServerId;
use crate::protocol::limits::MAX_FRAME;
use crate::sys::fork::{ForkMutex, Stamp};
use crate::sys::poll::{self, Interest};
use crate::sys::thread;
use crate::transport::{self, Connection, Progress, TransportError};

/// How long [`Link::settle`] looks away while references are given back.
const GLANCE: Duration = Duration::from_millis(1);

/// The way to one server.
pub struct Link {
    route: Route,
    address: Arc<str>,
    /// Stands for the server in this process's tokens; Python's servers have no id.
    server: ServerId,
    /// Connections that take calls, by the threads that made them: a server of Python's has a thread for each, which is what owns an `RLock`.
    resting: ForkMutex<Resting>,
    returned: ForkMutex<Returned>,
}

struct Resting {
    stamp: Stamp,
    connections: HashMap<u64, Connection>,
}

/// References to be given back.
struct Returned {
    stamp: Stamp,
    idents: Vec<String>,
    /// Whether a thread does so.
    runs: bool,
    /// How many have been.
    done: u64,
}

impl Returned {
    /// Those of this process: a forked child gives back nothing of its parent's.
    fn own(&mut self) -> &mut Self {
        if !self.stamp.is_current() {
            *self = Self { stamp: Stamp::now(), idents: Vec::new(), runs: false, done: 0 };
        }
        self
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.address)
    }
}

impl Link {
    /// Sees that there is a server of Python's at `route`, with the same key. Blocks until it has answered, at most the route's `handshake_time`.
    pub fn connect(route: Route) -> Result<Arc<Self>> {
        let stamp = Stamp::now();
        let link = Arc::new(Self {
            address: route.address.to_string().into(),
            route,
            server: ServerId::random(),
            resting: ForkMutex::new(Resting { stamp, connections: HashMap::new() }),
            returned: ForkMutex::new(Returned { stamp, idents: Vec::new(), runs: false, done: 0 }),
        });
        link.ping()?;
        Ok(link)
    }

    /// Where the server is reached.
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// The same, as what it is.
    pub(super) fn place(&self) -> &Address {
        &self.route.address
    }

    /// What stands for the server in tokens.
    pub fn server(&self) -> ServerId {
        self.server
    }

    fn open(&self, deadline: Option<Instant>) -> Result<Connection> {
        let handshake = Instant::now() + self.route.handshake_time;
        let deadline = deadline.map_or(handshake, |deadline| deadline.min(handshake));
        let connection = transport::connect(&self.route.address, deadline).map_err(|error| error.at(&self.address))?;
        let authenticated = handshake::authenticate_at_python(connection, &self.route.authkey, deadline);
        let mut connection = authenticated.map_err(|error| match error {
            // It was there a moment ago.
            HandshakeError::Closed => TransportError::Closed.at(&self.address),
            error => error.with(&self.route.address),
        })?;
        connection.receiver.set_limit(MAX_FRAME);
        Ok(connection)
    }

    /// A connection that takes calls.
    fn open_for_calls(self: &Arc<Self>, deadline: Option<Instant>) -> Result<Connection> {
        let mut connection = self.open(deadline)?;
        let name = message::text(&format!("{}|{}", std::process::id(), thread::number()));
        let accept = Request { arguments: &[&name], ..Request::plain("accept_connection") };
        let frame = self.exchange(&mut connection, &accept.pickle(self)?, deadline)?;
        settled(Reply::read(&frame, self)?)?;
        Ok(connection)
    }

    fn exchange(&self, connection: &mut Connection, request: &[u8], deadline: Option<Instant>) -> Result<Vec<u8>> {
        let begin = Instant::now();
        let failed = |error: TransportError| error.at(&self.address);
        let mut sent = connection.sender.send(&[request]).map_err(failed)?;
        loop {
            if let Some(frame) = connection.receiver.next().map_err(failed)? {
                return Ok(frame);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Error::Timeout { after: begin.elapsed() });
            }
            let interest = if sent == Progress::Pending { Interest::ReadWrite } else { Interest::Read };
            poll::wait_one(connection.fd(), interest, left)
                .map_err(|error| Error::io("waiting for an answer", error))?;
            sent = connection.sender.flush().map_err(failed)?;
        }
    }

    /// Asks the server itself, on a connection of its own, which it closes behind its answer.
    pub(super) fn ask(self: &Arc<Self>, request: &Request<'_>) -> Result<std::result::Result<Reply, Exception>> {
        let request = request.pickle(self)?;
        let frame = self.exchange(&mut self.open(None)?, &request, None)?;
        Reply::read(&frame, self)
    }

    fn ask_plainly<R: DeserializeOwned>(self: &Arc<Self>, method: &str) -> Result<R> {
        settled(self.ask(&Request::plain(method))?)?.decode()
    }

    /// Calls a method, on this thread's connection.
    pub(super) fn call(
        self: &Arc<Self>,
        request: &Request<'_>,
        deadline: Option<Instant>,
    ) -> Result<std::result::Result<Reply, Exception>> {
        let request = request.pickle(self)?;
        let mut connection = match self.take_resting() {
            Some(connection) => connection,
            None => self.open_for_calls(deadline)?,
        };
        // One that failed is not put back.
        let frame = self.exchange(&mut connection, &request, deadline)?;
        self.put_resting(connection);
        Reply::read(&frame, self)
    }

    fn take_resting(&self) -> Option<Connection> {
        let mut resting = self.resting.lock();
        if !resting.stamp.is_current() {
            // A forked child's copies are its parent's.
            *resting = Resting { stamp: Stamp::now(), connections: HashMap::new() };
        }
        resting.connections.remove(&thread::number())
    }

    fn put_resting(self: &Arc<Self>, connection: Connection) {
        // A thread that is ending already has no use for it.
        if Ending::remember(self) {
            self.resting.lock().connections.insert(thread::number(), connection);
        }
    }

    /// Asks whether the server answers.
    pub fn ping(self: &Arc<Self>) -> Result<()> {
        self.ask_plainly("dummy")
    }

    /// How many objects live in the server.
    pub fn number_of_objects(self: &Arc<Self>) -> Result<u64> {
        self.ask_plainly("number_of_objects")
    }

    /// What lives in the server, in Python's words.
    pub fn debug_info(self: &Arc<Self>) -> Result<String> {
        self.ask_plainly("debug_info")
    }

    /// Asks the server to end, and waits until it has; false where it has not after `timeout`.
    pub fn shut_down(self: &Arc<Self>, timeout: Duration) -> Result<bool> {
        let lifeline = self.open_for_calls(None)?;
        self.ask_plainly::<()>("shutdown")?;
        self.await_hang_up(&lifeline, Some(timeout))
    }

    /// Waits until the server has ended; false where it has not after `timeout`.
    pub fn await_server(self: &Arc<Self>, timeout: Option<Duration>) -> Result<bool> {
        match self.open_for_calls(None) {
            Ok(lifeline) => self.await_hang_up(&lifeline, timeout),
            Err(Error::ServerGone { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn await_hang_up(&self, lifeline: &Connection, timeout: Option<Duration>) -> Result<bool> {
        // Nothing is asked on it, so that all there is to be read is its end.
        let ready = poll::wait_one(lifeline.fd(), Interest::Read, timeout);
        Ok(ready.map_err(|error| Error::io("waiting for the server", error))?.any())
    }

    /// Has a reference given back, from a thread of its own: a drop does not wait.
    pub(super) fn give_back(self: &Arc<Self>, ident: String) {
        let begins = {
            let mut returned = self.returned.lock();
            let returned = returned.own();
            returned.idents.push(ident);
            !std::mem::replace(&mut returned.runs, true)
        };
        if !begins {
            return;
        }
        let link = Arc::clone(self);
        let give_back = move || {
            loop {
                let next = {
                    let mut returned = link.returned.lock();
                    let next = returned.idents.pop();
                    returned.runs = next.is_some();
                    next
                };
                let Some(ident) = next else { return };
                let ident = message::text(&ident);
                // A server that is gone has nothing left to be given back.
                let _ = link.ask(&Request { arguments: &[&ident], ..Request::plain("decref") });
                link.returned.lock().done += 1;
            }
        };
        if thread::spawn("multiproc-python", give_back).is_err() {
            self.returned.lock().runs = false;
        }
    }

    /// Waits until all that was dropped has been given back, as long as the server takes no longer than `patience` for each: a process that ends before has not said it.
    pub fn settle(&self, patience: Duration) {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let (done, runs) = {
                let mut returned = self.returned.lock();
                let returned = returned.own();
                (returned.done, returned.runs)
            };
            if done != last {
                (last, since) = (done, Instant::now());
            }
            if !runs || since.elapsed() >= patience {
                return;
            }
            std::thread::sleep(GLANCE);
        }
    }
}

/// What the server itself says instead of an answer, as an error.
pub(super) fn settled(asked: std::result::Result<Reply, Exception>) -> Result<Reply> {
    asked.map_err(|exception| Error::Remote(RemoteError::from(exception)))
}

/// Closes a thread's connections when the thread ends: each holds a thread of the server's.
struct Ending {
    thread: u64,
    links: Vec<Weak<Link>>,
}

thread_local! {
    static ENDING: RefCell<Ending> = const { RefCell::new(Ending { thread: 0, links: Vec::new() }) };
}

impl Ending {
    /// Notes that this thread has a connection; false where it is ending.
    fn remember(link: &Arc<Link>) -> bool {
        let note = |ending: &RefCell<Self>| {
            let mut ending = ending.borrow_mut();
            let thread = thread::number();
            if ending.thread != thread {
                // Another process's.
                *ending = Self { thread, links: Vec::new() };
            }
            if !ending.links.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(link))) {
                ending.links.retain(|known| known.strong_count() > 0);
                ending.links.push(Arc::downgrade(link));
            }
        };
        ENDING.try_with(note).is_ok()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        for link in self.links.iter().filter_map(Weak::upgrade) {
            let connection = link.resting.lock().connections.remove(&self.thread);
            drop(connection);
        }
    }
}
