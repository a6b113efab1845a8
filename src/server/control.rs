//! The control thread: everything that is not a call.
//!
//! It sleeps in one epoll instance, with a time limit where a timer runs. It never runs user code but the destructors of objects that a dead client was the last to
//! hold.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use nix::sys::epoll::{EpollEvent, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::Starter;
use super::arrival::{Arrival, Progress};
use super::core::Core;
use super::lead::Stream;
use super::notices;
use super::record::Record;
use super::timers::Due;
use super::watch::Watched;
use crate::error::{Error, Result};
use crate::handshake::{Pending, Refusal, Welcome};
use crate::object::panics;
use crate::transport::{Listener, TransportError};

/// How long accepting rests when the process has no descriptors left.
const REST: Duration = Duration::from_millis(100);

/// The starter's order to end.
pub const SHUTDOWN: u8 = b'S';
/// The starter's order to live on without it.
pub const DETACH: u8 = b'D';

/// Serves until the server ends.
pub(super) fn run(core: &Arc<Core>, starter: Option<Starter>) -> Result<()> {
    let mut control = Control { core: Arc::clone(core), listener: None, starter: None };
    let served = control.begin(starter).map(|()| control.serve());
    control.end();
    served
}

struct Control {
    core: Arc<Core>,
    /// The listening socket's key while connections are accepted.
    listener: Option<u64>,
    /// The keys of the starter's process and orders.
    starter: Option<(u64, u64)>,
}

impl Control {
    fn begin(&mut self, starter: Option<Starter>) -> Result<()> {
        let core = &self.core;
        core.watch(Watched::Wake(core.wake_event()))?;
        core.watch(Watched::Tick(core.crew.timer()))?;
        let quiet = starter.as_ref().is_some_and(|starter| starter.threaded);
        if let Some(Starter { process, orders, .. }) = starter {
            let mut terminate = SigSet::empty();
            terminate.add(Signal::SIGTERM);
            terminate.thread_block().map_err(|error| Error::io("blocking SIGTERM", error.into()))?;
            let signals = SignalFd::with_flags(&terminate, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
                .map_err(|error| Error::io("watching for SIGTERM", error.into()))?;
            core.watch(Watched::Signals(signals))?;
            let process = core.watch(Watched::Starter(process))?;
            self.starter = Some((process, core.watch(Watched::Orders(orders))?));
        }
        self.listener = Some(core.watch(Watched::Listener)?);
        // A subscriber inherited from a program with threads may wait for a lock that one of them held at the fork.
        core.crew.start(core, quiet)
    }

    fn serve(&mut self) {
        let mut events = [EpollEvent::empty(); 64];
        while !self.core.ends() {
            let next = [self.core.timers.next(), self.core.table.tickets().next_lapse()].into_iter().flatten().min();
            let timeout = next.map_or(EpollTimeout::NONE, |next| {
                let left = next.saturating_duration_since(Instant::now());
                // Up, or it would wake too early and look again at once.
                let millis = left.as_micros().div_ceil(1000).min(u128::from(u16::MAX));
                EpollTimeout::from(u16::try_from(millis).unwrap_or(u16::MAX))
            });
            let count = self.core.watches.wait(&mut events, timeout);
            for event in &events[..count] {
                self.look(event.data());
            }
            self.run_timers();
        }
    }

    fn look(&mut self, key: u64) {
        let core = Arc::clone(&self.core);
        // Removed in the same round, perhaps.
        let Some(watched) = core.watches.get(key) else { return };
        match &*watched {
            Watched::Listener => self.accept(),
            Watched::Wake(event) => drop(event.read()),
            Watched::Tick(_) => core.crew.tick(),
            Watched::Signals(signals) => {
                let _ = signals.read_signal();
                core.stop("it was terminated by SIGTERM");
            }
            Watched::Starter(_) => core.stop("the process that started it has ended"),
            Watched::Orders(orders) => self.obey(orders),
            Watched::Process(_, record) => self.ended(key, record, "its process has ended"),
            Watched::Lifeline(_, record) => {
                // Its last holder may be a grandchild that has just connected, and said what it holds by these references, on a stream of its own.
                let clients: Vec<_> = core.clients().values().cloned().collect();
                clients.iter().filter_map(|client| client.control()).for_each(|control| control.take_in(&core));
                self.ended(key, record, "its lifeline has ended");
            }
            Watched::Arrival(arrival) => {
                if let Progress::Over = arrival.advance(&core) {
                    core.unwatch(key);
                }
            }
        }
    }

    fn ended(&self, key: u64, record: &Weak<Record>, why: &str) {
        match record.upgrade() {
            Some(record) => {
                // Its death may be seen before its last words: that it forked, that a token is on its way.
                if let Some(control) = record.control() {
                    control.take_in(&self.core);
                }
                self.core.end_client(&record, why);
            }
            None => drop(self.core.unwatch(key)),
        }
        self.core.unwatch(key);
    }

    fn obey(&mut self, orders: &OwnedFd) {
        let mut order = [0];
        match nix::unistd::read(orders, &mut order) {
            Ok(1) if order[0] == DETACH => {
                if let Some((process, orders)) = self.starter.take() {
                    self.core.unwatch(process);
                    self.core.unwatch(orders);
                }
            }
            Ok(1) if order[0] == SHUTDOWN => self.core.stop("its manager was shut down or dropped"),
            Ok(0) => self.core.stop("the process that started it has let go of it"),
            _ => {}
        }
    }

    fn accept(&mut self) {
        let Some(listener) = self.core.listener() else { return };
        loop {
            match listener.accept() {
                Ok(Some(connection)) => match self.core.admit() {
                    Some(admission) => {
                        if let Err(error) = self.arrive(connection, admission) {
                            tracing::warn!(%error, "a connection could not be accepted");
                        }
                    }
                    None => {
                        tracing::warn!(limit = self.core.settings.max_connections, "too many connections");
                        self.turn_away(connection);
                    }
                },
                Ok(None) => return,
                Err(error) => return self.rest(&listener, &error),
            }
        }
    }

    /// Tells a peer that there are too many already.
    fn turn_away(&self, connection: crate::transport::Connection) {
        let settings = &self.core.settings;
        let welcome = Welcome { server: self.core.table.server(), max_frame: settings.max_frame };
        // A peer that has gone meanwhile need not be told.
        if let Ok(pending) = Pending::new(connection, &settings.authkey, welcome) {
            let reason = format!("the server has {} connections, as many as it may have", settings.max_connections);
            pending.refuse(&Refusal::Busy(reason));
        }
    }

    /// Without descriptors accepting would fail, and be tried again, without end.
    fn rest(&mut self, _: &Listener, error: &TransportError) {
        tracing::warn!(%error, "accepting rests for a moment");
        if let Some(key) = self.listener.take() {
            if let (Some(watched), Some(listener)) = (self.core.watches.get(key), self.core.listener()) {
                drop(watched);
                self.core.watches.remove(key, listener.fd());
            }
            self.core.at(Instant::now() + REST, Due::Accept);
        }
    }

    fn arrive(&self, connection: crate::transport::Connection, admission: super::core::Admission) -> Result<()> {
        let core = &self.core;
        let arrival = Arrival::new(core, connection, admission)?;
        let key = core.watch(Watched::Arrival(Box::new(arrival)))?;
        let timer = core.at(Instant::now() + core.settings.handshake_time, Due::Stranger(key));
        if let Some(watched) = core.watches.get(key)
            && let Watched::Arrival(arrival) = &*watched
        {
            arrival.set_timer(timer);
        }
        Ok(())
    }

    fn run_timers(&mut self) {
        while let Some(due) = self.core.timers.take(Instant::now()) {
            match due {
                Due::Stranger(key) => {
                    if let Some(watched) = self.core.watches.get(key)
                        && let Watched::Arrival(arrival) = &*watched
                    {
                        // What came in time counts, though the server has not looked before.
                        if let Progress::Waits = arrival.advance(&self.core) {
                            arrival.expire();
                        }
                        self.core.unwatch(key);
                    }
                }
                Due::Cool(session) => {
                    if let Some(session) = session.upgrade() {
                        session.cool();
                    }
                }
                Due::Call(session, request) => {
                    if let Some(session) = session.upgrade() {
                        session.cancel(request, &Error::Timeout { after: Duration::ZERO });
                    }
                }
                Due::Orphan(record) => {
                    if let Some(record) = record.upgrade()
                        && record.control().is_none()
                    {
                        self.core.end_client(&record, "nobody watches it, and it has not spoken in time");
                    }
                }
                Due::Accept => {
                    if self.listener.is_none() {
                        self.listener = self.core.watch(Watched::Listener).ok();
                        self.accept();
                    }
                }
                Due::Job(job) => panics::quietly(job),
            }
        }
        notices::drop_lapsed(&self.core);
    }

    /// Ends everything in order.
    fn end(&mut self) {
        let core = &self.core;
        let reason = core.reason();
        core.stop(&reason);
        core.close_listener();
        let clients: Vec<_> = core.clients().values().cloned().collect();
        for client in &clients {
            if let Some(control) = client.control() {
                control.say_ending(&reason);
            }
        }
        core.crew.stop(core.settings.shutdown_timeout);
        for client in &clients {
            core.end_client(client, "the server ends");
        }
        for stream in core.streams.clear() {
            match stream {
                Stream::Data(session) => session.close(core),
                Stream::Control(notices) => notices.close(core),
                #[cfg(feature = "python")]
                Stream::Python(session) => session.close(core),
            }
        }
        #[cfg(feature = "python")]
        core.python.end();
        let tickets = core.table.tickets().end();
        drop(tickets);
        core.watches.clear();
        tracing::debug!(%reason, wake = ?core.as_fd(), "the server has ended");
    }
}
