//! One connection of a Python client: a first message and its answer, or proxy calls until it ends.
//!
//! A client waits for the answer to one request before it sends the next. What comes all the same lies in a queue, so that answers keep their order. A call may take several steps
//! ([`Step`]): each native call is answered through [`Replier::reply`], from whatever thread has the answer, and that thread takes the next step.

mod calls;
mod first;
mod told;

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::super::core::{Admission, Core};
use super::super::heap::Heap;
use super::super::lead::{Place, Stream};
use super::super::record::Record;
use super::super::timers::{Due, TimerKey};
use super::message::{self, Kind, Outgoing, Request};
use super::peers::Holder;
use crate::error::Error;
use crate::handshake::PythonPeer;
use crate::object::answer::{PutBack, Replier};
use crate::object::entry::Entry;
use crate::object::face::{Face, Native, Then};
use crate::object::parked::Parked;
use crate::object::{Answer, Heir, panics};
use crate::protocol::carriage::Carried;
use crate::protocol::limits::MAX_BACKLOG;
use crate::protocol::{ClientId, RequestId, ThreadNumber};
use crate::sys::sync::Mutex;
use crate::sys::thread;
use crate::transport::{Progress, Receiver, Sender, TransportError};

/// How many requests may lie in the queue before no more are read.
const QUEUE: usize = 16;

struct Outbound {
    sender: Sender,
    closed: bool,
    /// The connection ends when all is sent.
    last: bool,
}

/// What the present native call is for.
struct Pending {
    request: RequestId,
    purpose: Purpose,
    parked: Option<Arc<Parked>>,
    timer: Option<TimerKey>,
}

enum Purpose {
    /// A step of a call.
    Step { target: Target, then: Then },
    /// The value of an object among the arguments, whose proxies are `carried`.
    Read { carried: Vec<Carried>, then: Read },
    /// A new object of a type with this face, which its creator gets a reference to.
    Create(Option<&'static dyn Face>),
}

/// What becomes of a value that was read; the proxies in it stand behind those that were carried before.
type Read = Box<dyn FnOnce(&Arc<Session>, Native, Vec<Carried>, &Arc<Core>) + Send>;

/// What is called.
#[derive(Clone)]
struct Target {
    entry: Arc<Entry>,
    /// The proxies among the arguments.
    carried: Vec<Carried>,
    /// How many steps it has taken.
    steps: u32,
}

#[derive(Default)]
struct State {
    /// Whether the first message has been answered by "go on".
    accepted: bool,
    busy: bool,
    pending: Option<Pending>,
    last_request: u64,
    queue: VecDeque<Vec<u8>>,
    reading: bool,
    /// Puts back what the last reply moved; until the client asks for something else, it may not have read it.
    uncertain: Option<PutBack>,
}

/// One connection.
pub(in crate::server) struct Session {
    me: Weak<Self>,
    core: Weak<Core>,
    holder: Holder,
    /// Who calls: the process, or this connection where its process is unknown.
    caller: Arc<Record>,
    /// CPython's server has a thread for each connection, which is what owns an `RLock` there.
    thread: ThreadNumber,
    place: Place,
    /// The second number of the Python whose server this is to be like.
    minor: u8,
    inbound: Mutex<Receiver>,
    outbound: Mutex<Outbound>,
    state: Mutex<State>,
    _admission: Admission,
}

impl Session {
    pub(super) fn new(core: &Arc<Core>, holder: Holder, peer: PythonPeer, admission: Admission) -> Arc<Self> {
        let PythonPeer { connection, old } = peer;
        let caller = if holder.is_process {
            Arc::clone(&holder.references)
        } else {
            let record = Record::new(ClientId::random(), crate::object::lease::Leases::default());
            core.clients().insert(record.id(), Arc::clone(&record));
            record
        };
        let told = core.settings.python.and_then(|python| python.minor);
        let session = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            core: Arc::downgrade(core),
            holder,
            caller,
            thread: ThreadNumber(thread::unique()),
            place: Place::default(),
            minor: told.unwrap_or(if old { 11 } else { 13 }),
            inbound: Mutex::new(connection.receiver),
            outbound: Mutex::new(Outbound { sender: connection.sender, closed: false, last: false }),
            state: Mutex::new(State { reading: true, ..State::default() }),
            _admission: admission,
        });
        let heir: Weak<Self> = Arc::downgrade(&session);
        // A process that has ended meanwhile shows on the socket as well.
        let _ = session.caller.at_end(heir);
        session
    }

    pub(in crate::server) fn place(&self) -> &Place {
        &self.place
    }

    pub(in crate::server) fn with_fd<R>(&self, use_it: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        use_it(self.outbound.lock().sender.fd())
    }

    /// The next frame; and whether another is in memory already. Only the leader reads.
    pub(in crate::server) fn next(&self) -> std::result::Result<Option<(Vec<u8>, bool)>, TransportError> {
        if !self.state.lock().reading {
            return Ok(None);
        }
        let mut inbound = self.inbound.lock();
        let frame = inbound.next()?;
        if frame.is_none() {
            inbound.park();
        }
        Ok(frame.map(|frame| (frame, inbound.is_ready())))
    }

    /// Takes a request in.
    pub(in crate::server) fn handle(self: &Arc<Self>, frame: Vec<u8>, core: &Arc<Core>) {
        {
            let mut state = self.state.lock();
            if state.busy {
                state.queue.push_back(frame);
                if state.queue.len() >= QUEUE {
                    state.reading = false;
                    drop(state);
                    self.watch(core);
                }
                return;
            }
            state.busy = true;
        }
        self.run(frame, core);
    }

    /// Runs a request, and those that lie behind it, until one is not answered at once.
    fn run(self: &Arc<Self>, frame: Vec<u8>, core: &Arc<Core>) {
        let arrived = self.state.lock().uncertain.take();
        drop(arrived);
        if frame.is_empty() {
            return self.close(core);
        }
        let accepted = self.state.lock().accepted;
        core.count_call();
        match Request::read(frame, &core.table) {
            Ok(request) if accepted => self.call(request, core),
            Ok(request) => self.first(request, core),
            Err(error) => self
                .answer(core, &message::text(Kind::Traceback, &told::traceback("UnpicklingError", &error.to_string()))),
        }
    }

    /// The present request is answered: the next one, if it is there.
    fn go_on(self: &Arc<Self>, core: &Arc<Core>) {
        let (next, resumed) = {
            let mut state = self.state.lock();
            let next = state.queue.pop_front();
            state.busy = next.is_some();
            let resumed = !state.reading && state.queue.len() < QUEUE;
            state.reading |= resumed;
            (next, resumed)
        };
        if resumed {
            self.watch(core);
            core.streams.push(Stream::Python(Arc::clone(self)));
        }
        if let Some(frame) = next {
            self.run(frame, core);
        }
    }

    fn watch(&self, core: &Core) {
        let reading = self.state.lock().reading;
        let outbound = self.outbound.lock();
        core.streams.interest(&self.place, outbound.sender.fd(), reading, outbound.sender.backlog() > 0);
    }

    fn answer(self: &Arc<Self>, core: &Arc<Core>, answer: &[u8]) {
        let _: bool = self.send(core, answer.to_vec().into(), false);
        self.go_on(core);
    }

    /// Answers with something that goes back if the client never reads it.
    fn answer_moving(self: &Arc<Self>, core: &Arc<Core>, answer: Outgoing, put_back: Option<PutBack>) {
        // Known before it is sent: the client may ask for the next thing, or end, the moment that it has this.
        self.state.lock().uncertain = put_back;
        if !self.send(core, answer, false)
            && let Some(put_back) = self.state.lock().uncertain.take()
        {
            panics::quietly(put_back);
        }
        self.go_on(core);
    }

    /// Answers, and ends the connection.
    fn answer_last(self: &Arc<Self>, core: &Arc<Core>, answer: &[u8]) {
        let _: bool = self.send(core, answer.to_vec().into(), true);
    }

    /// False where the connection has ended.
    fn send(self: &Arc<Self>, core: &Arc<Core>, answer: Outgoing, last: bool) -> bool {
        Heap::passed(core, answer.len());
        let Outgoing { head, mut body, skip, tail } = answer;
        let mut outbound = self.outbound.lock();
        if outbound.closed {
            return false;
        }
        outbound.last = last;
        let sent = outbound.sender.send_behind(&head, &mut body, skip, &tail);
        let (over, shelved) = match sent {
            Ok(Progress::Done) => (last, false),
            Ok(Progress::Pending) => (false, outbound.sender.backlog() > MAX_BACKLOG),
            // A broken connection is noticed, and settled, where it is read.
            Err(_) => (false, false),
        };
        let pending = matches!(sent, Ok(Progress::Pending));
        drop(outbound);
        if shelved {
            self.state.lock().reading = false;
        }
        if pending {
            self.watch(core);
        }
        if over {
            self.close(core);
        }
        true
    }

    /// Sends what was kept; called when the socket takes something again.
    pub(in crate::server) fn flush(self: &Arc<Self>, core: &Arc<Core>) {
        let over = {
            let mut outbound = self.outbound.lock();
            let done = match outbound.sender.flush() {
                Ok(Progress::Done) => true,
                Ok(Progress::Pending) => false,
                Err(_) => {
                    outbound.sender.shutdown();
                    true
                }
            };
            done && outbound.last
        };
        if over {
            // Here the lead is locked: what follows must not run under it.
            let (me, core) = (Arc::clone(self), Arc::clone(core));
            let host = Arc::clone(core.table.host());
            host.at(Instant::now(), Box::new(move || me.close(&core)));
            return;
        }
        let resumed = {
            let mut state = self.state.lock();
            let resumed =
                !state.reading && state.queue.len() < QUEUE && self.outbound.lock().sender.backlog() <= MAX_BACKLOG / 2;
            state.reading |= resumed;
            resumed
        };
        self.watch(core);
        if resumed {
            core.streams.push(Stream::Python(Arc::clone(self)));
        }
    }

    /// Ends the connection: what waits is given up, and what the client has not read is put back.
    pub(in crate::server) fn close(self: &Arc<Self>, core: &Arc<Core>) {
        // How the connection has ended shows only to who reads it, and the process's end may be seen first.
        let was_reset = {
            let mut inbound = self.inbound.lock();
            let asked_again = std::iter::from_fn(|| inbound.next().ok().flatten()).take(QUEUE).count() > 0;
            inbound.was_reset() && !asked_again
        };
        {
            let mut outbound = self.outbound.lock();
            if std::mem::replace(&mut outbound.closed, true) {
                return;
            }
            core.streams.remove(&self.place, outbound.sender.fd());
            outbound.sender.shutdown();
        }
        let pending = {
            let mut state = self.state.lock();
            state.queue.clear();
            state.pending.take()
        };
        if let Some(Pending { parked, timer, .. }) = pending {
            if let Some(timer) = timer {
                core.timers.unset(timer);
            }
            if let Some(parked) = parked {
                parked.cancel();
            }
        }
        // A connection that ended with the last reply unread says so by a reset.
        if was_reset {
            let uncertain = self.state.lock().uncertain.take();
            if let Some(put_back) = uncertain {
                panics::quietly(put_back);
            }
        }
        if !self.holder.is_process {
            core.end_client(&self.caller, "its connection has ended");
        }
    }

    /// The native call is over: what it was for.
    fn conclude(&self, request: RequestId, core: &Core) -> Option<Purpose> {
        let pending = {
            let mut state = self.state.lock();
            state.pending.take_if(|pending| pending.request == request)?
        };
        if let Some(timer) = pending.timer {
            core.timers.unset(timer);
        }
        Some(pending.purpose)
    }
}

impl Replier for Session {
    fn reply(&self, request: RequestId, mut answer: Answer) {
        let (Some(me), Some(core)) = (self.me.upgrade(), self.core.upgrade()) else { return };
        let put_back = answer.put_back.take();
        let Some(purpose) = self.conclude(request, &core) else {
            if let Some(put_back) = put_back {
                panics::quietly(put_back);
            }
            return;
        };
        match purpose {
            Purpose::Create(face) => me.created(&answer, face, &core),
            Purpose::Step { target, then } => {
                me.take(then(calls::native(&mut answer)), target, &answer.carried, put_back, &core);
            }
            Purpose::Read { mut carried, then } => {
                let native = match calls::native(&mut answer) {
                    Native::Returned(held) if !answer.carried.is_empty() => {
                        let first = carried.len();
                        carried.append(&mut answer.carried);
                        calls::renumbered(&held, first).map_or_else(Native::Refused, Native::Returned)
                    }
                    other => other,
                };
                then(&me, native, carried, &core);
            }
        }
    }

    fn takes_bodies(&self) -> bool {
        true
    }

    fn park(&self, request: RequestId, parked: Arc<Parked>, deadline: Option<Instant>) {
        let Some(core) = self.core.upgrade() else { return };
        let mut state = self.state.lock();
        let Some(pending) = state.pending.as_mut().filter(|pending| pending.request == request) else { return };
        pending.parked = Some(Arc::clone(&parked));
        let me = self.me.clone();
        pending.timer = deadline.map(|deadline| {
            let late = move || {
                let Some(me) = me.upgrade() else { return };
                if parked.cancel() {
                    me.reply(request, Answer::refused(&Error::Timeout { after: std::time::Duration::ZERO }));
                }
            };
            core.at(deadline, Due::Job(Box::new(late)))
        });
    }

    fn unpark(&self, request: RequestId) {
        let Some(core) = self.core.upgrade() else { return };
        let timer = {
            let mut state = self.state.lock();
            let pending = state.pending.as_mut().filter(|pending| pending.request == request);
            pending.and_then(|pending| {
                pending.parked = None;
                pending.timer.take()
            })
        };
        if let Some(timer) = timer {
            core.timers.unset(timer);
        }
    }
}

/// The process has ended, though a copy of its socket may live on in another.
impl Heir for Session {
    fn client_ended(&self, _: ClientId) {
        if let (Some(me), Some(core)) = (self.me.upgrade(), self.core.upgrade()) {
            me.close(&core);
        }
    }
}
