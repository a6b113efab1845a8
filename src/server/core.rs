//! What the threads of one server share.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use nix::sys::eventfd::{EfdFlags, EventFd};
use rustc_hash::FxHashMap;

use super::crew::{Crew, CrewHost};
use super::heap::Heap;
use super::lead::Streams;
use super::record::Record;
use super::settings::Settings;
use super::timers::{Due, TimerKey, Timers};
use super::watch::{Watched, Watches};
use crate::address::Address;
use crate::error::{Error, Result};
use crate::object::host::Host;
use crate::object::local;
use crate::object::registry::Registry;
use crate::object::table::Table;
use crate::protocol::{ClientId, ServerId};
use crate::sys::sync::{Mutex, MutexGuard};
use crate::transport::Listener;

/// One server.
pub(super) struct Core {
    pub(super) table: Arc<Table>,
    pub(super) settings: Settings,
    pub(super) crew: Arc<Crew>,
    pub(super) streams: Streams,
    pub(super) watches: Watches,
    pub(super) timers: Timers,
    address: Address,
    /// Taken at the end, so that nobody can connect to a server that no longer answers.
    listener: Mutex<Option<Arc<Listener>>>,
    clients: Mutex<FxHashMap<ClientId, Arc<Record>>>,
    connections: AtomicUsize,
    /// How many calls have come. Counted by the leader, of whom there is one.
    calls: AtomicU64,
    pub(super) begun: Instant,
    rings: Arc<AtomicUsize>,
    #[cfg(feature = "python")]
    pub(super) python: super::python::Peers,
    pub(super) heap: Heap,
    wake: Arc<EventFd>,
    ending: Mutex<Option<String>>,
    ends: AtomicBool,
}

impl Core {
    pub(super) fn new(registry: Registry, listener: Listener, settings: Settings) -> Result<Arc<Self>> {
        let crew = Crew::new(settings.max_workers)?;
        let host: Arc<dyn Host> = Arc::new(CrewHost(Arc::clone(&crew)));
        let table = Table::new(ServerId::random(), registry, host);
        let address = listener.address().clone();
        table.set_address(&address.to_string());
        table.tickets().set_time(settings.ticket_time);
        local::announce(&table);
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|error| Error::io("making an event descriptor", error.into()))?;
        let streams = Streams::new(settings.wait)?;
        Ok(Arc::new(Self {
            table,
            settings,
            crew,
            streams,
            watches: Watches::new()?,
            timers: Timers::default(),
            address,
            listener: Mutex::new(Some(Arc::new(listener))),
            clients: Mutex::new(FxHashMap::default()),
            connections: AtomicUsize::new(0),
            calls: AtomicU64::new(0),
            begun: Instant::now(),
            rings: Arc::default(),
            #[cfg(feature = "python")]
            python: super::python::Peers::default(),
            heap: Heap::default(),
            wake: Arc::new(wake),
            ending: Mutex::new(None),
            ends: AtomicBool::new(false),
        }))
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The listening socket, until the server ends.
    pub(super) fn listener(&self) -> Option<Arc<Listener>> {
        self.listener.lock().clone()
    }

    /// Closes the listening socket and removes its file.
    pub(super) fn close_listener(&self) {
        let listener = self.listener.lock().take();
        drop(listener);
    }

    /// The event descriptor that wakes the control thread.
    pub(super) fn wake_event(&self) -> Arc<EventFd> {
        Arc::clone(&self.wake)
    }

    /// Has the control thread look around.
    pub(super) fn wake_control(&self) {
        // A full counter wakes as well.
        let _ = self.wake.write(1);
    }

    /// Watches a descriptor on the control thread.
    pub(super) fn watch(&self, watched: Watched) -> Result<u64> {
        let listener = self.listener();
        let fd = listener.as_ref().map_or(self.wake.as_fd(), |listener| listener.fd());
        self.watches.add(watched, fd)
    }

    /// Stops watching.
    pub(super) fn unwatch(&self, key: u64) -> Option<Arc<Watched>> {
        self.watches.remove(key, self.wake.as_fd())
    }

    /// Sets a timer.
    pub(super) fn at(&self, at: Instant, due: Due) -> TimerKey {
        let (key, first) = self.timers.set(at, due);
        if first {
            self.wake_control();
        }
        key
    }

    /// Asks the server to end, for `reason`; the first reason counts.
    pub(super) fn stop(&self, reason: &str) {
        self.ending.lock().get_or_insert_with(|| reason.to_owned());
        // Pairs with the load in `ends`.
        self.ends.store(true, Ordering::Release);
        self.wake_control();
        self.streams.wake();
    }

    /// Whether the server ends.
    pub(super) fn ends(&self) -> bool {
        // Pairs with the store in `stop`.
        self.ends.load(Ordering::Acquire)
    }

    /// Why it ends.
    pub(super) fn reason(&self) -> String {
        self.ending.lock().clone().unwrap_or_else(|| "it has ended".to_owned())
    }

    /// Counts a call. By the leader alone, so that it need not be one step: a locked one would cost each call as much as its look-up.
    #[inline]
    pub(super) fn count_call(&self) {
        // Pairs with nothing: only the number counts.
        self.calls.store(self.calls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// How many calls have come.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts a connection in; `None` when there are as many as may be.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Admission> {
        let max = self.settings.max_connections;
        // Pairs with nothing: only the number counts.
        let admitted =
            self.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < max).then(|| now + 1));
        admitted.ok().map(|_| Admission(Arc::clone(self)))
    }

    /// Counts a connection with shared memory in; `None` when there are as many as may be.
    pub(super) fn admit_ring(&self) -> Option<RingAdmission> {
        let max = self.settings.max_rings;
        // Pairs with nothing: only the number counts.
        let admitted =
            self.rings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < max).then(|| now + 1));
        admitted.ok().map(|_| RingAdmission(Arc::clone(&self.rings)))
    }

    /// All clients.
    pub(super) fn clients(&self) -> MutexGuard<'_, FxHashMap<ClientId, Arc<Record>>> {
        self.clients.lock()
    }

    /// What is known of a client.
    pub(super) fn client(&self, id: ClientId) -> Option<Arc<Record>> {
        self.clients.lock().get(&id).cloned()
    }

    /// A forked child that was watched by its parent is watched by nobody any more: it has as long as a ticket to say that it lives.
    pub(super) fn orphaned(&self, child: Weak<Record>) {
        if child.upgrade().is_some_and(|child| child.control().is_none()) {
            self.at(Instant::now() + self.settings.ticket_time, Due::Orphan(child));
        }
    }

    /// A client is gone: gives back all that it held.
    pub(super) fn end_client(self: &Arc<Self>, record: &Arc<Record>, why: &str) {
        let known = self.clients.lock().remove(&record.id());
        if known.is_some() {
            tracing::debug!(client = %record.id(), why, "a client is gone");
        }
        record.end(self);
        Heap::let_go(self);
        self.table.tickets().sender_ended(record.id(), Instant::now());
        self.wake_control();
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("address", &self.address)
            .field("server", &self.table.server())
            .finish_non_exhaustive()
    }
}

/// One of the connections that a server may have.
pub(super) struct Admission(Arc<Core>);

impl Admission {
    /// The server that has admitted it.
    pub(super) fn core(&self) -> &Arc<Core> {
        &self.0
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One of the connections that may have shared memory.
pub(super) struct RingAdmission(Arc<AtomicUsize>);

impl Drop for RingAdmission {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Borrows the descriptor that stands in for the listener once that is closed.
impl AsFd for Core {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
