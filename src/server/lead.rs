//! What the leader does: wait for frames on all authenticated connections, and run them, one at a time.
//!
//! Connections take [turns](super::turn): one whose frames lie in memory is served up to [`TURN`] of them in a row, then goes to the end of the queue. Replies to frames of
//! one turn leave together at its end, which saves most of the system calls of clients that send ahead: so long as the leader goes on
//! at once. Before it waits, waits for a lock's owner, or has run one call for a tick, what was left goes out ([`Streams::uncork`]).
//!
//! The lead's own state is locked while the leader looks for work, never while it runs any: a thread that takes over finds the queue as it was left.
//!
//! Connections with shared memory are *polled* while they are active; one without a call for [`COLD`] is left to its doorbell, which is its socket. Where more clients are
//! active than there are processors, one of them calls for a while and the others wait for their turns: so the one that was served last is looked at again beside each
//! other one, and a call costs a glance at two of them, not at all. Polling takes no system call, so while there are frames in memory the sockets are looked at only now and then ([`Lead::interval`]).
//!
//! How the leader waits when nothing is there is [`Wait`]'s.

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
#[cfg(feature = "python")]
use super::heap::Heap;
use super::notices::NoticeStream;
use super::session::Session;
use super::turn::{TURN, Turn};
use crate::error::{Error, Result};
use crate::sys::sync::Mutex;
use crate::sys::{buffer, cpu};
use crate::transport::{Glance, Hints, TransportError, Wait, WaitPolicy};

/// How long a connection with shared memory is polled after its last call: polling it costs some nanoseconds, ringing its doorbell microseconds.
const COLD: Duration = Duration::from_millis(1);
/// And for how many rounds of turns at least, where its client has to wait for one.
const ROUNDS: u32 = 3;
/// How often the sockets are looked at beside polling, while nothing comes by them.
const SOCKETS: Duration = Duration::from_micros(50);
/// How long an idle leader keeps memory for large frames, in milliseconds: having it taken from the system again costs more than copying into it.
const KEEPING: u16 = 1000;
/// After how many frames out of shared memory the clock is looked at.
const FRAMES: u32 = 32;

/// After how many glances in vain the receiver itself is asked, which tells the client of the room that there is again.
const GLANCES: u32 = 8;

thread_local! {
    /// The session whose turn it is on this thread, if it goes on after the present frame: an address, compared and never used.
    static HAS_TURN: Cell<*const Session> = const { Cell::new(ptr::null()) };
}

/// Whether this thread is about to handle another frame of that session's, so that a reply can wait for the next one.
#[inline]
pub(super) fn has_turn(session: &Session) -> bool {
    ptr::eq(HAS_TURN.get(), session)
}

/// A frame is about to be handled; another one of that session's comes next, if of any.
#[inline]
pub(super) fn begins_turn(session: Option<&Session>) {
    HAS_TURN.set(session.map_or(ptr::null(), ptr::from_ref));
}

/// This thread does not go on at once: replies no longer wait.
#[inline]
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
    /// Of a Python client.
    #[cfg(feature = "python")]
    Python(Arc<super::python::Session>),
}

impl Stream {
    fn place(&self) -> &Place {
        match self {
            Self::Data(session) => session.place(),
            Self::Control(notices) => notices.place(),
            #[cfg(feature = "python")]
            Self::Python(session) => session.place(),
        }
    }

    fn with_fd<R>(&self, use_it: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        match self {
            Self::Data(session) => session.with_fd(use_it),
            Self::Control(notices) => notices.with_fd(use_it),
            #[cfg(feature = "python")]
            Self::Python(session) => session.with_fd(use_it),
        }
    }
}

/// Where a connection stands with the leader.
pub(super) struct Place {
    /// Its key among the streams; [`NOWHERE`] before and after.
    key: AtomicUsize,
    /// Whether it is in the queue.
    queued: AtomicBool,
    /// Whether the leader polls its shared memory.
    polled: AtomicBool,
}

impl Place {
    /// Whether the leader looks at it without being told.
    pub(super) fn is_polled(&self) -> bool {
        // Pairs with the stores in `Lead::warm` and `Lead::cool`. Where the leader lets go of it at this moment, it looks once more for what is kept.
        self.polled.load(Ordering::SeqCst)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.key.load(Ordering::Relaxed) == NOWHERE
    }
}

const NOWHERE: usize = usize::MAX;

impl Default for Place {
    fn default() -> Self {
        Self { key: AtomicUsize::new(NOWHERE), queued: AtomicBool::new(false), polled: AtomicBool::new(false) }
    }
}

struct Lead {
    queue: VecDeque<Stream>,
    events: Vec<EpollEvent>,
    /// How many frames of the first connection were taken in a row.
    taken: u32,
    /// The connections whose shared memory is polled.
    rings: Vec<Polled>,
    /// Whose turn it is, and who was served last.
    turn: usize,
    hot: usize,
    /// Whether they come before the queue, the next time.
    polled_first: bool,
    wait: Wait,
    /// What the client that was served last has told of itself.
    peer: Option<Hints>,
    /// When the sockets were looked at last, and when something came by them.
    looked: Instant,
    heard: Instant,
    /// How many frames were taken since.
    frames: u32,
}

/// A connection whose shared memory is polled.
struct Polled {
    session: Arc<Session>,
    glance: Glance,
    /// How many glances at it were in vain since its last frame.
    glances: u32,
    /// When it was last seen to have had a frame, and whether it has had one since.
    last: Instant,
    hit: bool,
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
    pub(super) fn new(policy: WaitPolicy) -> Result<Self> {
        let failed = |error: nix::Error| Error::io("making an epoll instance", error.into());
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(failed)?;
        epoll.add(&wake, EpollEvent::new(EpollFlags::EPOLLIN, NOWHERE as u64)).map_err(failed)?;
        Ok(Self {
            epoll,
            wake,
            streams: Mutex::new(Slab::new()),
            lead: Mutex::new(Lead::new(policy)),
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
    pub(super) fn uncork(&self) {
        // Pairs with the stores in `cork` and below. One that is missed here is seen by its own thread, which left it.
        if !self.any_corked.load(Ordering::Acquire) {
            return;
        }
        let sessions = {
            let mut corked = self.corked.lock();
            self.any_corked.store(false, Ordering::Release);
            std::mem::take(&mut *corked)
        };
        sessions.iter().for_each(|session| session.uncork());
    }

    /// Lets go of all connections.
    pub(super) fn clear(&self) -> Vec<Stream> {
        self.corked.lock().clear();
        self.pushed.lock().clear();
        {
            let mut lead = self.lead.lock();
            lead.queue.clear();
            lead.rings.clear();
        }
        self.streams.lock().iter().map(|(_, stream)| stream.clone()).collect()
    }

    /// The next frame, of whichever connection's turn it is, and whether that turn goes on after it; `None` when something else is to be looked at.
    /// `served` is how many frames its last turn had.
    fn next(&self, served: u32, core: &Arc<Core>) -> Option<(Stream, Vec<u8>, bool)> {
        let mut lead = self.lead.lock();
        lead.frames += served;
        loop {
            if lead.frames >= FRAMES {
                self.look(&mut lead, Instant::now(), core);
            }
            // Sockets and shared memory take turns.
            lead.polled_first = !lead.polled_first;
            let found = match lead.polled_first {
                true => lead.next_polled(core).or_else(|| lead.next_queued(self, core)),
                false => lead.next_queued(self, core).or_else(|| lead.next_polled(core)),
            };
            match found {
                Some(Ok(found)) => return Some(found),
                Some(Err((stream, error))) => {
                    drop(lead);
                    end(&stream, core, &error);
                    return None;
                }
                None => self.idle(&mut lead, core),
            }
            if core.ends() || !core.crew.leads() {
                return None;
            }
        }
    }

    /// Looks at the sockets, if it is time; true if anything came by them.
    fn look(&self, lead: &mut Lead, now: Instant, core: &Arc<Core>) -> bool {
        lead.frames = 0;
        if now - lead.looked < lead.interval(now) {
            return false;
        }
        lead.looked = now;
        lead.cool(now, core);
        // An error is EINTR, after which it is looked again.
        let count = self.epoll.wait(&mut lead.events, EpollTimeout::ZERO).unwrap_or(0);
        self.hear(lead, count, core);
        count > 0
    }

    /// Nothing is there to be done: waits for a moment, or until something is.
    fn idle(&self, lead: &mut Lead, core: &Arc<Core>) {
        let hints = lead.hints();
        if lead.wait.glances(hints) {
            return;
        }
        let now = Instant::now();
        if self.look(lead, now, core) || lead.wait.goes_on_at(hints, now) {
            return;
        }
        if !lead.settle(core) {
            lead.wait.over();
            return;
        }
        core.crew.sleeps();
        let timeout = if buffer::holds_large() { EpollTimeout::from(KEEPING) } else { EpollTimeout::NONE };
        let count = self.epoll.wait(&mut lead.events, timeout).unwrap_or(0);
        if count == 0 {
            buffer::trim();
        }
        lead.looked = Instant::now();
        core.crew.wakes();
        self.hear(lead, count, core);
    }

    /// Takes in what the sockets say.
    fn hear(&self, lead: &mut Lead, count: usize, core: &Arc<Core>) {
        if count > 0 {
            lead.wait.over();
        }
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
                    #[cfg(feature = "python")]
                    Stream::Python(session) => session.flush(core),
                }
            }
            if flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
                let ended = flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
                match &stream {
                    Stream::Data(session) if session.is_upgraded() => session.heed(ended),
                    _ => lead.heard = lead.looked,
                }
                lead.queue(stream);
            }
        }
    }
}

impl Lead {
    fn new(policy: WaitPolicy) -> Self {
        let now = Instant::now();
        Self {
            queue: VecDeque::new(),
            events: vec![EpollEvent::empty(); 64],
            taken: 0,
            rings: Vec::new(),
            turn: 0,
            hot: 0,
            polled_first: false,
            wait: Wait::of_server(policy),
            peer: None,
            looked: now,
            heard: now,
            frames: 0,
        }
    }

    /// How long the sockets are left alone: not at all where there is nothing else to look at, or something has come by them lately.
    fn interval(&self, now: Instant) -> Duration {
        if self.rings.is_empty() || now.saturating_duration_since(self.heard) < COLD { Duration::ZERO } else { SOCKETS }
    }

    /// What waiting goes by: where the client runs that was served last, and how many are active.
    fn hints(&self) -> Option<Hints> {
        let peer = self.peer.filter(|_| !self.rings.is_empty())?;
        Some(Hints { active: self.active(), ..peer })
    }

    fn active(&self) -> u32 {
        u32::try_from(self.rings.len()).unwrap_or(u32::MAX)
    }

    /// The next frame of the connections that something has been heard of.
    fn next_queued(&mut self, streams: &Streams, core: &Arc<Core>) -> Option<Found> {
        while let Some(stream) = self.queue.pop_front() {
            stream.place().queued.store(false, Ordering::Relaxed);
            if self.warm(&stream) {
                continue;
            }
            match stream_next(&stream, core) {
                Ok(Some((frame, more))) => {
                    let more = !self.warm(&stream) && more;
                    let goes_on = more && self.taken + 1 < TURN;
                    self.taken = if goes_on { self.taken + 1 } else { 0 };
                    if goes_on {
                        self.queue_first(stream.clone());
                    } else if more {
                        self.queue(stream.clone());
                    }
                    return Some(Ok((stream, frame, goes_on)));
                }
                Ok(None) => {
                    self.warm(&stream);
                    self.taken = 0;
                    streams.uncork();
                }
                Err(error) => {
                    self.taken = 0;
                    return Some(Err((stream, error)));
                }
            }
        }
        None
    }

    /// The next frame out of shared memory: connections take turns.
    fn next_polled(&mut self, core: &Arc<Core>) -> Option<Found> {
        let hints = Hints { cpu: cpu::current(), active: self.active() };
        for _ in 0..self.rings.len() {
            if self.turn >= self.rings.len() {
                self.turn = 0;
            }
            let turn = self.turn;
            self.turn += 1;
            let found = self.poll(turn, hints, core);
            if found.is_some() {
                return found;
            }
            if self.hot != turn {
                let found = self.poll(self.hot, hints, core);
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    /// The next frame of one connection.
    #[inline]
    fn poll(&mut self, place: usize, hints: Hints, core: &Arc<Core>) -> Option<Found> {
        let ring = self.rings.get_mut(place)?;
        if !ring.glance.is_ready() && !ring.session.needs_attention() {
            ring.glances += 1;
            if ring.glances != GLANCES {
                return None;
            }
        }
        if ring.session.place().is_gone() {
            self.rings.swap_remove(place);
            return None;
        }
        match ring.session.poll(hints, core) {
            Ok(Some((frame, peer))) => {
                (ring.hit, ring.glances) = (true, 0);
                let goes_on = ring.glance.is_ready();
                self.hot = place;
                self.peer = peer.or(self.peer);
                self.wait.over();
                Some(Ok((Stream::Data(Arc::clone(&ring.session)), frame, goes_on)))
            }
            Ok(None) => None,
            Err(error) => {
                let ring = self.rings.swap_remove(place);
                Some(Err((Stream::Data(ring.session), error)))
            }
        }
    }

    /// Polls a connection from now on, if it has shared memory; whether it has.
    fn warm(&mut self, stream: &Stream) -> bool {
        let Stream::Data(session) = stream else { return false };
        if !session.is_upgraded() {
            return false;
        }
        if !session.place().polled.swap(true, Ordering::SeqCst) {
            // A receiver whose process is another one has none, and no leader.
            let Some(glance) = session.glance() else { return true };
            self.rings.push(Polled { session: Arc::clone(session), glance, glances: 0, last: self.looked, hit: true });
        }
        true
    }

    /// Leaves those to their doorbells that have had no frame for a while.
    fn cool(&mut self, now: Instant, core: &Core) {
        let cold = COLD.max(self.wait.round(self.active()) * ROUNDS);
        self.rings.retain_mut(|ring| {
            if std::mem::take(&mut ring.hit) {
                ring.last = now;
            }
            now.saturating_duration_since(ring.last) < cold || !ring.settle(core)
        });
    }

    /// Leaves all to their doorbells; false if one of them has something to say first.
    fn settle(&mut self, core: &Core) -> bool {
        self.rings.retain(|ring| !ring.settle(core));
        self.rings.is_empty()
    }

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

impl Polled {
    /// Leaves the connection to its doorbell; false if it has something to say first.
    fn settle(&self, core: &Core) -> bool {
        let polled = &self.session.place().polled;
        // Pairs with the load in `is_polled`: who keeps a reply after this tells the leader of it, what was kept before is seen by `settle`.
        polled.store(false, Ordering::SeqCst);
        if self.session.place().is_gone() {
            return true;
        }
        if self.session.settle() {
            self.session.is_left(core);
            return true;
        }
        polled.store(true, Ordering::SeqCst);
        false
    }
}

/// A frame, with whose it is and whether that connection's turn goes on; or a connection that has ended.
type Found = std::result::Result<(Stream, Vec<u8>, bool), (Stream, TransportError)>;

fn stream_next(stream: &Stream, core: &Core) -> std::result::Result<Option<(Vec<u8>, bool)>, TransportError> {
    match stream {
        Stream::Data(session) => session.next(core),
        // Notices are taken in as they are read, under a lock of their own.
        Stream::Control(_) => Ok(Some((Vec::new(), false))),
        #[cfg(feature = "python")]
        Stream::Python(session) => session.next(),
    }
}

/// A data connection can't be read any more.
fn end(stream: &Stream, core: &Arc<Core>, error: &TransportError) {
    #[cfg(feature = "python")]
    if let Stream::Python(session) = stream {
        session.close(core);
    }
    if let Stream::Data(session) = stream {
        tracing::debug!(client = %session.record().id(), %error, "a data connection has ended");
        session.close(core);
    }
}

/// Leads the server until the lead passes to another thread, or the server ends.
pub(super) fn lead(core: &Arc<Core>) {
    core.crew.wakes();
    buffer::keep_all(true);
    let mut served = 0;
    while core.crew.leads() && !core.ends() {
        let next = core.streams.next(std::mem::replace(&mut served, 1), core);
        match next {
            Some((Stream::Control(notices), ..)) => notices.take_in(core),
            #[cfg(feature = "python")]
            Some((Stream::Python(session), frame, _)) => {
                Heap::passed(core, frame.len());
                session.handle(frame, core);
            }
            Some((Stream::Data(session), frame, goes_on)) if session.is_upgraded() => {
                served = Turn::new(session, frame).run(goes_on, core);
            }
            Some((Stream::Data(session), frame, goes_on)) => Turn::new(session, frame).run_one(goes_on, core),
            None => {
                served = 0;
                core.streams.uncork();
            }
        }
    }
    buffer::keep_all(false);
    buffer::trim();
    core.streams.uncork();
}
