//! The server's side of one data connection: requests in, replies out, in whatever order they are answered.
//!
//! Requests are read by the leader; replies are sent by whoever has them, without ever waiting: what the socket does not take is kept, and beyond
//! [`MAX_BACKLOG`] no further requests are read until the client has caught up.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::core::{Admission, Core, RingAdmission};
use super::delivery::Deliveries;
use super::heap::{self, Heap};
use super::lead::{self, Place, Stream};
use super::record::{Aftermath, Record};
use super::timers::{Due, TimerKey};
use crate::error::{Error, Result};
use crate::object::answer::{PutBack, Replier};
use crate::object::entry::Entry;
use crate::object::parked::Parked;
use crate::object::{Answer, panics};
use crate::protocol::carriage::Carried;
use crate::protocol::limits::MAX_BACKLOG;
use crate::protocol::notice::{DataNotice, LinkNotice};
use crate::protocol::reply::ReplyHead;
use crate::protocol::request::{REQUEST, Request, RequestHead};
use crate::protocol::token::WireToken;
use crate::protocol::{ConnectionId, RequestId, Token};
use crate::sys::buffer;
use crate::sys::bytes::{Bytes, LARGE};
use crate::sys::sync::Mutex;
use crate::transport::{Glance, Hints, Progress, Receiver, Ring, Sender, TransportError};

/// How long after its last call a connection's shared memory is given up: making it again costs some 100 µs, and 100 µs more for each MiB of large messages.
const COOLING: Duration = Duration::from_secs(1);

/// How many frames of a connection that ends are still looked at: more than any socket or ring holds.
const MAX_LAST_WORDS: u32 = 1 << 16;

struct Outbound {
    sender: Sender,
    deliveries: Deliveries,
    /// Whether the leader knows that replies lie here that were left to the end of this connection's turn.
    corked: bool,
    /// Shared memory that the client has been offered, and then what counts it.
    offered: Option<Box<Ring>>,
    ring: Option<RingAdmission>,
    /// Whether it has been told that there was none to be offered: once is enough.
    told: bool,
    closed: bool,
}

/// A call that has to wait for so many notices.
struct Held {
    after: u64,
    frame: Vec<u8>,
}

struct Pending {
    parked: Arc<Parked>,
    timer: Option<TimerKey>,
}

/// Things that replies moved.
#[derive(Default)]
struct Told {
    /// Nobody wants them: to be put back.
    declined: Vec<PutBack>,
    /// They need not be put back any more.
    arrived: Vec<PutBack>,
}

/// A frame out of shared memory, and what the client told of itself beside it.
pub(super) type Polled = (Vec<u8>, Option<Hints>);

/// One data connection.
pub(super) struct Session {
    me: Weak<Self>,
    record: Arc<Record>,
    connection: ConnectionId,
    place: Place,
    inbound: Mutex<Receiver>,
    /// Held while the connection is closed and what follows from that is settled.
    closing: Mutex<()>,
    /// A call that has to wait for so many notices.
    held: Mutex<Option<Box<Held>>>,
    /// Whether there is one, readable without the lock.
    holds: AtomicBool,
    /// No requests are read: the client does not read its replies.
    shelved: AtomicBool,
    /// Whether frames go through shared memory, which the leader then polls.
    upgraded: AtomicBool,
    /// Whether a timer is set that looks after the shared memory.
    cooling: AtomicBool,
    /// Whether replies are kept until there is room for them in shared memory.
    backlogged: AtomicBool,
    outbound: Mutex<Outbound>,
    /// Calls that are not answered yet. Without memory while there are none.
    pending: Mutex<Option<Box<FxHashMap<RequestId, Pending>>>>,
    /// What the client has said of things that replies moved to it, until that is acted on outside of locks.
    told: Mutex<Option<Box<Told>>>,
    admission: Admission,
}

// There may be thousands of them, nearly all silent: with what the allocator adds, 256 bytes each. What only a busy one needs is boxed.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Session>() <= 232);

impl Session {
    pub(super) fn new(
        record: Arc<Record>,
        connection: ConnectionId,
        receiver: Receiver,
        sender: Sender,
        admission: Admission,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            record,
            connection,
            place: Place::default(),
            inbound: Mutex::new(receiver),
            closing: Mutex::new(()),
            held: Mutex::new(None),
            holds: AtomicBool::new(false),
            shelved: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            cooling: AtomicBool::new(false),
            backlogged: AtomicBool::new(false),
            outbound: Mutex::new(Outbound {
                sender,
                deliveries: Deliveries::default(),
                corked: false,
                offered: None,
                ring: None,
                told: false,
                closed: false,
            }),
            pending: Mutex::default(),
            told: Mutex::default(),
            admission,
        })
    }

    fn core(&self) -> &Arc<Core> {
        self.admission.core()
    }

    pub(super) fn connection(&self) -> ConnectionId {
        self.connection
    }

    pub(super) fn record(&self) -> &Arc<Record> {
        &self.record
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Lends the descriptor.
    pub(super) fn with_fd<R>(&self, use_it: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        use_it(self.outbound.lock().sender.fd())
    }

    /// The next frame; and whether another is in memory already. Only the leader reads.
    pub(super) fn next(&self, core: &Core) -> Result<Option<(Vec<u8>, bool)>, TransportError> {
        let held = self.held.lock().take();
        if let Some(held) = held {
            if held.after > self.record.notices() {
                *self.held.lock() = Some(held);
                return self.deaf();
            }
            let Held { frame, .. } = *held;
            self.holds.store(false, Ordering::Release);
            self.watch(&self.outbound.lock(), core);
            // What came behind it may lie in memory.
            return Ok(Some((frame, true)));
        }
        if self.is_shelved() {
            return self.deaf();
        }
        let mut inbound = self.inbound.lock();
        let mut frame = inbound.next()?;
        if !inbound.is_upgraded()
            && frame.as_ref().is_some_and(|frame| DataNotice::read(frame) == Ok(DataNotice::Leaves))
        {
            self.follow(&mut inbound)?;
            frame = inbound.next()?;
        }
        if let Some(frame) = &frame {
            self.acknowledge(frame);
        }
        let more = inbound.is_ready();
        if !more && !inbound.is_upgraded() {
            // At once, and not when it is looked for more: most connections that have called do not call again for long.
            inbound.park();
        }
        Ok(frame.map(|frame| (frame, more)))
    }

    /// Nothing is read at present; but of shared memory's end no other event will tell.
    fn deaf(&self) -> Result<Option<(Vec<u8>, bool)>, TransportError> {
        if self.is_upgraded() && self.inbound.lock().has_ended() { Err(TransportError::Closed) } else { Ok(None) }
    }

    /// Offers the client shared memory, if there is any to be had; else everything stays as it is.
    fn offer(&self, core: &Core) {
        let mut outbound = self.outbound.lock();
        if outbound.closed || outbound.ring.is_some() {
            return;
        }
        let client = self.record.id();
        let told = std::mem::replace(&mut outbound.told, true);
        let Some(admission) = core.admit_ring() else {
            if !told {
                tracing::debug!(%client, limit = core.settings.max_rings, "no more shared memory: a connection stays on its socket");
            }
            return;
        };
        match Ring::create() {
            Ok((ring, fd)) => {
                outbound.told = false;
                (outbound.offered, outbound.ring) = (Some(Box::new(ring)), Some(admission));
                let sent = outbound.sender.send_with_fd(&[LinkNotice::Offer.frame()], fd);
                self.after_sending(&outbound, sent);
            }
            Err(error) if !told => {
                tracing::debug!(%client, %error, "no shared memory: a connection stays on its socket");
            }
            Err(_) => {}
        }
    }

    /// The client has left the socket for the shared memory: so does this side.
    fn follow(&self, inbound: &mut Receiver) -> Result<(), TransportError> {
        let mut outbound = self.outbound.lock();
        let Some(ring) = outbound.offered.take() else {
            return Err(TransportError::Scribbled { what: "a change to memory that was not offered" });
        };
        let Ring { outgoing, incoming } = *ring;
        // What the socket does not take is sent before the ring's frames are: the sender sees to the order.
        let _: Progress = outbound.sender.send(&[LinkNotice::Leaves.frame()])?;
        outbound.sender.upgrade(outgoing);
        inbound.upgrade(incoming);
        // Pairs with the loads in `is_upgraded`.
        self.upgraded.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether frames come through shared memory, so that the leader has to look there.
    pub(super) fn is_upgraded(&self) -> bool {
        // Pairs with the store in `follow`.
        self.upgraded.load(Ordering::Acquire)
    }

    /// A way to look whether a frame has come through shared memory.
    pub(super) fn glance(&self) -> Option<Glance> {
        self.inbound.lock().glance()
    }

    /// Whether [`poll`](Self::poll) has something to do that a glance at the shared memory does not show.
    #[inline]
    pub(super) fn needs_attention(&self) -> bool {
        // As in `poll`.
        self.backlogged.load(Ordering::Acquire)
            || self.holds.load(Ordering::Acquire)
            || self.is_shelved()
            || self.place.is_gone()
    }

    /// The next frame out of shared memory, and what the client tells of itself; what is kept goes out first, as far as there is room. `hints` are told to the client.
    pub(super) fn poll(&self, hints: Hints, core: &Core) -> Result<Option<Polled>, TransportError> {
        // Pairs with the store in `after_sending`.
        if self.backlogged.load(Ordering::Acquire) {
            self.flush_ring();
        }
        // Pairs with the stores in `hold` and `next`, on threads that lead.
        if self.holds.load(Ordering::Acquire) || self.is_shelved() {
            return Ok(self.next(core)?.map(|(frame, _)| (frame, None)));
        }
        let mut inbound = self.inbound.lock();
        let Some(frame) = inbound.next()? else { return Ok(None) };
        self.acknowledge(&frame);
        inbound.tell(hints);
        Ok(Some((frame, inbound.hints())))
    }

    /// Goes on with a turn: reads the next frame out of shared memory, and tells whether another lies behind it; `None` where there is none, or something else is to be seen to first.
    #[inline]
    pub(super) fn read_on(&self, frame: &mut Vec<u8>) -> Option<bool> {
        if self.needs_attention() {
            return None;
        }
        let mut inbound = self.inbound.lock();
        if !inbound.read(frame).ok()? {
            return None;
        }
        self.acknowledge(frame);
        Some(inbound.is_ready())
    }

    /// The socket of a connection with shared memory was readable: the doorbell; or it has `ended`.
    pub(super) fn heed(&self, ended: bool) {
        self.inbound.lock().heed(ended);
    }

    /// Prepares for the leader to look at this connection no more until its doorbell rings; false if there is something to be done first.
    pub(super) fn settle(&self) -> bool {
        let deaf = self.is_shelved() || self.held.lock().is_some();
        {
            let mut inbound = self.inbound.lock();
            if deaf {
                inbound.settle_deaf();
            } else if !inbound.settle() {
                return false;
            }
            inbound.park();
        }
        if self.backlogged.load(Ordering::Acquire) {
            // Room that was made before the doorbell was asked for.
            self.flush_ring();
        }
        // Reading again, where that was the obstacle.
        !deaf || self.is_shelved() || self.held.lock().is_some()
    }

    /// The leader has left the connection to its doorbell: in a while its memory is looked after.
    pub(super) fn is_left(&self, core: &Core) {
        // Pairs with the store in `cool`.
        if !self.cooling.swap(true, Ordering::Relaxed) {
            core.at(Instant::now() + COOLING, Due::Cool(self.me.clone()));
        }
    }

    /// Gives the shared memory back that holds nothing, unless the connection has become active again.
    pub(super) fn cool(&self) {
        self.cooling.store(false, Ordering::Relaxed);
        // Where the leader takes it up at this moment, it waits for the locks; where it has done, it leaves it again.
        if self.place.is_polled() || self.is_shelved() || self.held.lock().is_some() {
            return;
        }
        self.inbound.lock().cool();
        let mut outbound = self.outbound.lock();
        outbound.sender.cool();
        outbound.deliveries.park();
    }

    fn flush_ring(&self) {
        let mut outbound = self.outbound.lock();
        match outbound.sender.flush() {
            Ok(Progress::Pending) => {}
            Ok(Progress::Done) => self.backlogged.store(false, Ordering::Release),
            Err(_) => {
                // Noticed, and settled, where it is read.
                outbound.sender.shutdown();
                self.backlogged.store(false, Ordering::Release);
                self.shelved.store(false, Ordering::Release);
            }
        }
        if outbound.sender.backlog() <= MAX_BACKLOG / 2 {
            self.shelved.store(false, Ordering::Release);
        }
    }

    /// Takes in what a frame says of the replies that its sender has read. Under the inbound half's lock, so that `close` misses none that was taken out.
    #[inline]
    fn acknowledge(&self, frame: &[u8]) {
        if frame.first() != Some(&REQUEST) || RequestHead::acknowledged_in(frame) > 0 {
            self.acknowledge_all(frame);
        }
    }

    fn acknowledge_all(&self, frame: &[u8]) {
        let replies = match frame.first() {
            Some(&REQUEST) => RequestHead::acknowledged_in(frame),
            _ => match DataNotice::read(frame) {
                Ok(DataNotice::Acknowledge { replies }) => replies,
                Ok(DataNotice::Decline { reply }) => {
                    let declined = self.outbound.lock().deliveries.decline(reply);
                    self.told.lock().get_or_insert_default().declined.extend(declined);
                    0
                }
                _ => 0,
            },
        };
        if replies > 0 {
            let arrived = self.outbound.lock().deliveries.acknowledge(replies);
            if !arrived.is_empty() {
                self.told.lock().get_or_insert_default().arrived.extend(arrived);
            }
        }
    }

    /// Acts on what was read of things that replies moved.
    pub(super) fn settle_told(&self) {
        let Some(told) = self.told.lock().take() else { return };
        let Told { declined, arrived } = *told;
        declined.into_iter().for_each(panics::quietly);
        drop(arrived);
    }

    /// Whether requests are left unread because replies are.
    pub(super) fn is_shelved(&self) -> bool {
        // Pairs with the stores in `after_sending` and `flush`, which are followed by a change of what is polled for.
        self.shelved.load(Ordering::Acquire)
    }

    /// Takes in what is no request.
    pub(super) fn notice(&self, frame: &[u8], core: &Arc<Core>) -> Result<()> {
        match DataNotice::read(frame)? {
            // Taken in where it was read.
            DataNotice::Acknowledge { .. } | DataNotice::Decline { .. } => self.settle_told(),
            DataNotice::Cancel { request } => self.cancel(request, &Error::Cancelled),
            DataNotice::Wish => self.offer(core),
            DataNotice::Declines => {
                let mut outbound = self.outbound.lock();
                if outbound.offered.take().is_some() {
                    outbound.ring = None;
                }
            }
            DataNotice::Leaves => return Err(Error::protocol("a client that has left the socket left it again")),
        }
        Ok(())
    }

    /// Keeps a call, and with it all that the connection brings later, until the client's notices up to that number have been settled: they are on their way on
    /// another connection, or another thread has not done with them.
    pub(super) fn hold(self: &Arc<Self>, after: u64, frame: Vec<u8>, core: &Core) {
        *self.held.lock() = Some(Box::new(Held { after, frame }));
        self.holds.store(true, Ordering::Release);
        self.watch(&self.outbound.lock(), core);
        self.record.stall(after, Arc::clone(self));
        // Whoever settled the last of them may have looked for the stalled before this one was among them.
        for session in self.record.take_stalled() {
            core.streams.push(Stream::Data(session));
        }
    }

    /// Says what the connection is waited for: requests, where any are taken now; room for what was kept, where anything was.
    fn watch(&self, outbound: &Outbound, core: &Core) {
        // On the socket of a connection with shared memory there is only the doorbell to be heard.
        let reading = self.is_upgraded() || !self.is_shelved() && self.held.lock().is_none();
        core.streams.interest(&self.place, outbound.sender.fd(), reading, outbound.sender.awaits_socket());
    }

    /// Takes in the client's notices up to that number; false where they have not all come.
    pub(super) fn catch_up(&self, after: u64, core: &Arc<Core>) -> bool {
        if let Some(control) = self.record.control() {
            control.take_in(core);
        }
        self.record.notices() >= after
    }

    /// The proxies beside the arguments, each pinned.
    pub(super) fn carry(&self, request: &Request<'_>, core: &Core) -> Result<Vec<Carried>> {
        let carry = |token| match token {
            WireToken::Own { object, .. } => {
                let entry = core.table.find(object)?;
                Ok(Carried { token: entry.token(), ticket: None, keep: Some(entry) })
            }
            WireToken::Foreign { server, object, typeid, address, ticket } => Ok(Carried {
                token: Token { server, object, typeid: typeid.into(), address: address.into() },
                ticket,
                keep: None,
            }),
        };
        request.tokens.clone().map(carry).collect()
    }

    /// Ends a parked call with `error`, if it has not been answered.
    pub(super) fn cancel(&self, request: RequestId, error: &Error) {
        let pending = self.forget(request);
        if pending.is_some_and(|pending| pending.parked.cancel()) {
            self.reply(request, Answer::refused(error));
        }
    }

    fn forget(&self, request: RequestId) -> Option<Pending> {
        let pending = {
            let mut all = self.pending.lock();
            let pending = all.as_mut()?.remove(&request);
            all.take_if(|all| all.is_empty());
            pending?
        };
        if let Some(timer) = pending.timer {
            self.core().timers.unset(timer);
        }
        Some(pending)
    }

    /// Sends what was kept; called when the socket takes something again.
    pub(super) fn flush(self: &Arc<Self>, core: &Arc<Core>) {
        let mut outbound = self.outbound.lock();
        if outbound.sender.flush().is_err() {
            // Noticed, and settled, where it is read: here the lead is locked.
            outbound.sender.shutdown();
            self.shelved.store(false, Ordering::Release);
        }
        let resumed = outbound.sender.backlog() <= MAX_BACKLOG / 2 && self.shelved.swap(false, Ordering::AcqRel);
        self.watch(&outbound, core);
        drop(outbound);
        if resumed {
            // Frames may lie in memory that no event will tell of.
            core.streams.push(Stream::Data(Arc::clone(self)));
        }
    }

    /// Ends the connection: waiting calls are given up, and what may not have arrived is the record's to settle.
    ///
    /// Returns when that is done, whoever does it: a client's end is told to those who keep something for it only after what never arrived has been put back.
    pub(super) fn close(&self, core: &Arc<Core>) {
        let _closing = self.closing.lock();
        self.end(core).settle();
    }

    /// As [`close`](Self::close), where a lock is held that the aftermath must not run under.
    pub(super) fn end(&self, core: &Core) -> Aftermath {
        // The client may have said that it has something, and died before that was read.
        {
            let mut inbound = self.inbound.lock();
            // What one that is still alive goes on saying is not waited for.
            for _ in 0..MAX_LAST_WORDS {
                let Ok(Some(frame)) = inbound.next() else { break };
                self.acknowledge(&frame);
            }
        }
        let Told { declined, arrived } = *self.told.lock().take().unwrap_or_default();
        let deliveries = {
            let mut outbound = self.outbound.lock();
            if std::mem::replace(&mut outbound.closed, true) {
                return Aftermath { put_backs: declined, arrived, ..Aftermath::default() };
            }
            core.streams.remove(&self.place, outbound.sender.fd());
            outbound.sender.shutdown();
            (outbound.offered, outbound.ring) = (None, None);
            std::mem::take(&mut outbound.deliveries)
        };
        let mut aftermath = self.record.doubt(self.connection, deliveries, core);
        aftermath.put_backs.extend(declined);
        aftermath.arrived.extend(arrived);
        let pending = *self.pending.lock().take().unwrap_or_default();
        for Pending { parked, timer } in pending.into_values() {
            if let Some(timer) = timer {
                core.timers.unset(timer);
            }
            aftermath.given_up.push(parked);
        }
        aftermath
    }

    /// Sends the replies that were left to the end of the connection's turn.
    pub(super) fn uncork(&self) {
        let mut outbound = self.outbound.lock();
        outbound.corked = false;
        if !outbound.closed && outbound.sender.has_more() {
            let sent = outbound.sender.flush();
            self.after_sending(&outbound, sent);
        }
    }

    /// What the socket did not take goes out when it is writable again; if that is much, no further requests are read until then.
    #[inline]
    fn after_sending(&self, outbound: &Outbound, sent: Result<Progress, TransportError>) {
        if matches!(sent, Ok(Progress::Pending)) {
            let core = self.core();
            if outbound.sender.backlog() > MAX_BACKLOG {
                self.shelved.store(true, Ordering::Release);
            }
            if !self.is_upgraded() || outbound.sender.awaits_socket() {
                self.watch(outbound, core);
            }
            if self.is_upgraded() {
                // Pairs with the loads in `poll` and `settle`. The leader is told where it does not look by itself.
                self.backlogged.store(true, Ordering::Release);
                if !self.place.is_polled()
                    && let Some(me) = self.me.upgrade()
                {
                    core.streams.push(Stream::Data(me));
                }
            }
        }
    }

    /// Writes a reply, or says why it can't be sent.
    fn send(&self, request: RequestId, answer: Answer) -> Result<(), Unsent> {
        let Answer { status, mut payload, body, carried, put_back } = answer;
        let mut outbound = self.outbound.lock();
        if outbound.closed {
            return Err(Unsent { put_back, too_large: None });
        }
        let limit = self.core().settings.max_frame;
        let length = payload.len() + body.as_ref().map_or(0, |body| body.len());
        let tokens = u16::try_from(carried.len()).unwrap_or(u16::MAX);
        let fixed = ReplyHead { request, status, moves: put_back.is_some() }.bytes(tokens);
        let is_plain = carried.is_empty() && body.is_none() && length < LARGE;
        if is_plain && (fixed.len() + length) as u64 <= limit {
            outbound.deliveries.send(Vec::new(), put_back);
            self.send_small(&mut outbound, &[&fixed, &payload]);
            drop(outbound);
            buffer::give(payload);
            return Ok(());
        }
        let server = self.core().table.server();
        let mut head = buffer::take();
        head.extend_from_slice(&fixed);
        carried.iter().for_each(|carried| carried.write(server, &mut head));
        let size = (head.len() + length) as u64;
        if size > limit || carried.len() > usize::from(u16::MAX) {
            buffer::give(head);
            return Err(Unsent { put_back, too_large: Some((size, limit)) });
        }
        // Granted before the client can possibly have read the frame, and before `carried` lets go.
        let entries = carried.iter().filter(|carried| carried.token.server == server);
        let entries: Vec<_> = entries.filter_map(Carried::kept::<Entry>).collect();
        let grants = self.record.grant(entries.iter());
        outbound.deliveries.send(grants, put_back);
        if let Some(body) = body {
            head.extend_from_slice(&payload);
            let sent = outbound.sender.send_body(&head, &mut body.into());
            self.after_sending(&outbound, sent);
        } else if payload.len() >= LARGE {
            let mut body = std::mem::take(&mut payload).into();
            let sent = outbound.sender.send_body(&head, &mut body);
            self.after_sending(&outbound, sent);
            if let Bytes::Own(rest) = body {
                payload = rest;
            }
        } else {
            self.send_small(&mut outbound, &[&head, &payload]);
        }
        drop(outbound);
        buffer::give(head);
        buffer::give(payload);
        // A broken connection is noticed, and settled, where it is read.
        Ok(())
    }

    /// Sends a reply, at once or at the end of the connection's turn.
    #[inline]
    fn send_small(&self, outbound: &mut Outbound, parts: &[&[u8]]) {
        if !lead::has_turn(self) {
            let sent = outbound.sender.send(parts);
            return self.after_sending(outbound, sent);
        }
        let _: Result<Progress, TransportError> = outbound.sender.enqueue(parts);
        if !std::mem::replace(&mut outbound.corked, true)
            && let Some(me) = self.me.upgrade()
        {
            self.core().streams.cork(me);
        }
    }
}

/// A reply that was not sent.
struct Unsent {
    put_back: Option<PutBack>,
    /// Its size, and the limit.
    too_large: Option<(u64, u64)>,
}

impl Replier for Session {
    fn reply(&self, request: RequestId, answer: Answer) {
        let size = answer.payload.len();
        if size >= heap::LARGE {
            Heap::passed(self.core(), size);
        }
        if let Err(Unsent { put_back, too_large }) = self.send(request, answer) {
            if let Some(put_back) = put_back {
                panics::quietly(put_back);
            }
            if let Some((size, limit)) = too_large {
                let error = Error::FrameTooLarge { size, limit };
                // An error is small: it fits.
                let _ = self.send(request, Answer::refused(&error));
            }
        }
    }

    fn takes_bodies(&self) -> bool {
        true
    }

    fn park(&self, request: RequestId, parked: Arc<Parked>, deadline: Option<Instant>) {
        let mut pending = self.pending.lock();
        let timer = deadline.map(|deadline| self.core().at(deadline, Due::Call(self.me.clone(), request)));
        pending.get_or_insert_default().insert(request, Pending { parked, timer });
        drop(pending);
        // A connection that was closed meanwhile has given up all the calls that it knew of, and knew nothing of this one.
        if self.outbound.lock().closed
            && let Some(late) = self.forget(request)
        {
            late.parked.cancel();
        }
    }

    fn unpark(&self, request: RequestId) {
        drop(self.forget(request));
    }
}
