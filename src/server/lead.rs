//! What the leader does: wait for frames on all authenticated connections, and run them, one at a time.
//!
//! Connections take turns: one whose frames lie in memory is served up to [`TURN`] of them in a row, then goes to the end of the queue. Replies to frames of
//! one turn leave together at its end, which saves most of the system calls of clients that send ahead: so long as the leader goes on
//! at once. Before it waits, waits for a lock's owner, or has run one call for a tick, what was left goes out ([`Streams::uncork`]).
//!
//! The lead's own state is locked while the leader looks for work, never while it runs any: a thread that takes over finds the queue as it was left.
//!
//! Waiting: look; yield the processor for a while, since waking a sleeping one costs more than most calls; then sleep.

use std::cell::Cell;
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use slab::Slab;

use super::core::Core;
use super::notices::NoticeStream;
use super::session::Session;
use crate::error::{Error, Result};
use crate::sys::sync::Mutex;

/// How long the leader goes on looking after its last call before it sleeps: about what being woken costs.
const LINGER: Duration = Duration::from_micros(50);

/// How many frames of one connection are handled in a row. Others wait as long; but with as many replies to each system call, that is a matter of microseconds.
const TURN: u32 = 32;

thread_local! {
    /// The session whose turn it is on this thread, if it goes on after the present frame: an address, compared and never used.
    static HAS_TURN: Cell<*const Session> = const { Cell::new(ptr::null()) };
}

/// Whether this thread is about to handle another frame of that session's, so that a reply can wait for the next one.
pub(super) fn has_turn(session: &Session) -> bool {
    ptr::eq(HAS_TURN.get(), session)
}

/// This thread does not go on at once: replies no longer wait.
pub(super) fn ends_turn() {
    HAS_TURN.set(ptr::null());
}

/// An authenticated connection.
#[derive(Clone)]
pub(super) enum Stream {
    /// For calls.
    Data(Arc<Session>),
    /// For notices.
    Control(Arc<NoticeStream>),
}

impl Stream {
    fn place(&self) -> &Place {
        match self {
            Self::Data(session) => session.place(),
            Self::Control(notices) => notices.place(),
        }
    }

    fn with_fd<R>(&self, use_it: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        match self {
            Self::Data(session) => session.with_fd(use_it),
            Self::Control(notices) => notices.with_fd(use_it),
        }
    }
}

/// Where a connection stands with the leader.
pub(super) struct Place {
    /// Its key among the streams; [`NOWHERE`] before and after.
    key: AtomicUsize,
    /// Whether it is in the queue.
    queued: AtomicBool,
}

const NOWHERE: usize = usize::MAX;

impl Default for Place {
    fn default() -> Self {
        Self { key: AtomicUsize::new(NOWHERE), queued: AtomicBool::new(false) }
    }
}

struct Lead {
    queue: VecDeque<Stream>,
    events: Vec<EpollEvent>,
    /// How many frames of the first connection were taken in a row.
    taken: u32,
}

/// All authenticated connections of a server, and who is to be looked at next.
pub(super) struct Streams {
    epoll: Epoll,
    wake: EventFd,
    streams: Mutex<Slab<Stream>>,
    lead: Mutex<Lead>,
    /// Connections that somebody else than the leader wants to be looked at.
    pushed: Mutex<Vec<Stream>>,
    /// Sessions with replies that were left to the end of a turn.
    corked: Mutex<Vec<Arc<Session>>>,
    /// Whether there are any, readable without the lock.
    any_corked: AtomicBool,
}

impl Streams {
    pub(super) fn new() -> Result<Self> {
        let failed = |error: nix::Error| Error::io("making an epoll instance", error.into());
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(failed)?;
        epoll.add(&wake, EpollEvent::new(EpollFlags::EPOLLIN, NOWHERE as u64)).map_err(failed)?;
        Ok(Self {
            epoll,
            wake,
            streams: Mutex::new(Slab::new()),
            lead: Mutex::new(Lead { queue: VecDeque::new(), events: vec![EpollEvent::empty(); 64], taken: 0 }),
            pushed: Mutex::new(Vec::new()),
            corked: Mutex::new(Vec::new()),
            any_corked: AtomicBool::new(false),
        })
    }

    /// Wakes the leader.
    pub(super) fn wake(&self) {
        // A full counter wakes as well.
        let _ = self.wake.write(1);
    }

    /// Takes a connection in.
    pub(super) fn add(&self, stream: Stream) -> Result<()> {
        let key = self.streams.lock().insert(stream.clone());
        // Pairs with nothing: events for the key come only after it is in the set.
        stream.place().key.store(key, Ordering::Relaxed);
        let added = stream.with_fd(|fd| self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, key as u64)));
        if let Err(error) = added {
            self.streams.lock().try_remove(key);
            return Err(Error::io("watching a connection", error.into()));
        }
        // What came with the handshake's last frame lies in memory, where no event tells of it.
        self.push(stream);
        Ok(())
    }

    /// Lets a connection go.
    pub(super) fn remove(&self, place: &Place, fd: BorrowedFd<'_>) {
        let key = place.key.swap(NOWHERE, Ordering::Relaxed);
        if key != NOWHERE {
            let _ = self.epoll.delete(fd);
            let stream = self.streams.lock().try_remove(key);
            drop(stream);
        }
    }

    /// Sets what is waited for.
    pub(super) fn interest(&self, place: &Place, fd: BorrowedFd<'_>, reading: bool, writing: bool) {
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, reading);
        flags.set(EpollFlags::EPOLLOUT, writing);
        // A hang-up is told also to whoever does not read at present: once, not without end.
        flags.set(EpollFlags::EPOLLONESHOT, !reading);
        let key = place.key.load(Ordering::Relaxed);
        if key != NOWHERE {
            // Fails only for a connection that is being removed.
            let _ = self.epoll.modify(fd, &mut EpollEvent::new(flags, key as u64));
        }
    }

    /// Has the leader look at a connection.
    pub(super) fn push(&self, stream: Stream) {
        self.pushed.lock().push(stream);
        self.wake();
    }

    /// Replies of that session were left to the end of its turn.
    pub(super) fn cork(&self, session: Arc<Session>) {
        let mut corked = self.corked.lock();
        corked.push(session);
        // Pairs with the load in `uncork`.
        self.any_corked.store(true, Ordering::Release);
    }

    /// Sends all that was left to the end of a turn, whoever's it is.
    pub(super) fn uncork(&self, core: &Core) {
        // Pairs with the stores in `cork` and below. One that is missed here is seen by its own thread, which left it.
        if !self.any_corked.load(Ordering::Acquire) {
            return;
        }
        let sessions = {
            let mut corked = self.corked.lock();
            self.any_corked.store(false, Ordering::Release);
            std::mem::take(&mut *corked)
        };
        sessions.iter().for_each(|session| session.uncork(core));
    }

    /// Lets go of all connections.
    pub(super) fn clear(&self) -> Vec<Stream> {
        self.corked.lock().clear();
        self.pushed.lock().clear();
        self.lead.lock().queue.clear();
        self.streams.lock().iter().map(|(_, stream)| stream.clone()).collect()
    }

    /// The next frame, of whichever connection's turn it is, and whether that turn goes on after it; `None` when something else is to be looked at.
    fn next(&self, core: &Arc<Core>) -> Option<(Stream, Vec<u8>, bool)> {
        let mut lead = self.lead.lock();
        let mut idle_since = None;
        loop {
            if let Some(stream) = lead.queue.pop_front() {
                stream.place().queued.store(false, Ordering::Relaxed);
                match stream_next(&stream, core) {
                    Ok(Some((frame, more))) => {
                        let goes_on = more && lead.taken + 1 < TURN;
                        lead.taken = if goes_on { lead.taken + 1 } else { 0 };
                        if goes_on {
                            lead.queue_first(stream.clone());
                        } else if more {
                            lead.queue(stream.clone());
                        }
                        return Some((stream, frame, goes_on));
                    }
                    Ok(None) => {
                        lead.taken = 0;
                        self.uncork(core);
                        continue;
                    }
                    Err(error) => {
                        lead.taken = 0;
                        drop(lead);
                        end(&stream, core, &error);
                        return None;
                    }
                }
            }
            self.poll(&mut lead, core, &mut idle_since);
            if core.ends() || !core.crew.leads() {
                return None;
            }
        }
    }

    /// Fills the queue, waiting if there is nothing.
    fn poll(&self, lead: &mut Lead, core: &Arc<Core>, idle_since: &mut Option<Instant>) {
        // An error is EINTR, after which it is looked again.
        let mut count = self.epoll.wait(&mut lead.events, EpollTimeout::ZERO).unwrap_or(0);
        if count == 0 {
            let since = *idle_since.get_or_insert_with(Instant::now);
            if since.elapsed() < LINGER {
                std::thread::yield_now();
                return;
            }
            core.crew.sleeps();
            count = self.epoll.wait(&mut lead.events, EpollTimeout::NONE).unwrap_or(0);
            core.crew.wakes();
        }
        *idle_since = None;
        for index in 0..count {
            let (key, flags) = (lead.events[index].data() as usize, lead.events[index].events());
            if key == NOWHERE {
                let _ = self.wake.read();
                let pushed = std::mem::take(&mut *self.pushed.lock());
                pushed.into_iter().for_each(|stream| lead.queue(stream));
                continue;
            }
            let Some(stream) = self.streams.lock().get(key).cloned() else { continue };
            if flags.contains(EpollFlags::EPOLLOUT) {
                match &stream {
                    Stream::Data(session) => session.flush(core),
                    Stream::Control(notices) => notices.flush(core),
                }
            }
            if flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
                lead.queue(stream);
            }
        }
    }
}

impl Lead {
    fn queue(&mut self, stream: Stream) {
        if !stream.place().queued.swap(true, Ordering::Relaxed) {
            self.queue.push_back(stream);
        }
    }

    fn queue_first(&mut self, stream: Stream) {
        if !stream.place().queued.swap(true, Ordering::Relaxed) {
            self.queue.push_front(stream);
        }
    }
}

fn stream_next(stream: &Stream, core: &Core) -> Result<Option<(Vec<u8>, bool)>, crate::transport::TransportError> {
    match stream {
        Stream::Data(session) => session.next(core),
        // Notices are taken in as they are read, under a lock of their own.
        Stream::Control(_) => Ok(Some((Vec::new(), false))),
    }
}

/// A data connection can't be read any more.
fn end(stream: &Stream, core: &Arc<Core>, error: &crate::transport::TransportError) {
    if let Stream::Data(session) = stream {
        tracing::debug!(client = %session.record().id(), %error, "a data connection has ended");
        session.close(core);
    }
}

/// Leads the server until the lead passes to another thread, or the server ends.
pub(super) fn lead(core: &Arc<Core>) {
    core.crew.wakes();
    while core.crew.leads() && !core.ends() {
        match core.streams.next(core) {
            Some((Stream::Control(notices), ..)) => notices.take_in(core),
            Some((Stream::Data(session), frame, goes_on)) => {
                HAS_TURN.set(if goes_on { Arc::as_ptr(&session) } else { ptr::null() });
                if let Err(error) = session.handle(frame, core) {
                    tracing::warn!(client = %session.record().id(), %error, "a client broke the protocol");
                    session.close(core);
                }
                ends_turn();
                if !goes_on {
                    core.streams.uncork(core);
                }
            }
            None => {}
        }
    }
    core.streams.uncork(core);
}
