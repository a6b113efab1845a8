//! Calls that are sent ahead: many under way on one connection, each answer fetched by its [`Handle`].
//!
//! A client has one pipeline for all deferred calls, and each batch has one of its own as long as it lasts. Answers come in any order. Whoever waits for one takes the
//! connection's receiver, and reads for everybody until his own answer is there ([`reader`]); others who wait meanwhile sleep until they are told, and the next
//! of them takes over. Where somebody must read and no thread waits (a task was polled, a handle was dropped, the socket did not take all), a helper
//! thread does ([`pump`]).
//!
//! Invariants
//! - The lock is held for bookkeeping and I/O that does not wait; nobody sleeps, wakes, drops a reference, or runs foreign code under it. A fork finds it at rest.
//! - The receiver is in its place, or with one reader, who puts it back whatever happens, and then sees to it that the next one reads, if any must.
//! - Only a reader finds that the connection is broken: what fails to be sent fails to be answered.
//! - What a call names lives until the call is answered, whether or not its handle does.
//! - Everything belongs to the process that made it: in a forked child handles say so, and touch nothing.

mod calls;
mod handle;
mod numbered;
mod pump;
mod reader;

use std::sync::{Arc, OnceLock, Weak};
use std::thread::Thread;
use std::time::Instant;

use nix::sys::eventfd::{EfdFlags, EventFd};

use self::calls::{Aftermath, Calls};
pub use self::handle::Handle;
use self::pump::Pump;
use self::reader::Reader;
use super::pool::Link;
use super::tally::Tally;
use super::upgrade::Upgrade;
use super::{Client, RemoteReference, Request, Returned, State as ClientState, keeper};
use crate::error::{Error, Result};
use crate::protocol::notice::{ControlNotice, DataNotice};
use crate::protocol::reply::ReplyHead;
use crate::sys::bytes::LARGE;
use crate::sys::fork::{ForkGuard, ForkMutex, Stamp};
use crate::transport::{Connection, Progress, Receiver, Sender, Wait};

/// How many bytes may be kept for a socket that takes no more before who sends must wait.
const ROOM: usize = 1 << 20;

/// One connection with many calls under way.
pub struct Pipeline {
    client: Weak<Client>,
    stamp: Stamp,
    state: ForkMutex<State>,
    /// Wakes a reader that sleeps; made when the first one does.
    bell: OnceLock<Option<EventFd>>,
}

struct State {
    /// `None` once the connection was given back.
    line: Option<Line>,
    /// In its place unless somebody reads.
    receiver: Option<Receiver>,
    /// How readers wait.
    wait: Wait,
    /// With the reader while somebody reads.
    spare: Option<Box<Spare>>,
    calls: Calls,
    /// Whether small frames are kept until they are asked for: those of a batch that is still being put together.
    gathers: bool,
    /// Whether the reader sleeps.
    asleep: bool,
    pump: Pump,
    /// Threads that wait for room to send.
    crowd: Vec<Thread>,
    broken: Option<Error>,
}

/// The connection, but for its receiver.
struct Line {
    sender: Sender,
    tally: Tally,
    upgrade: Upgrade,
    /// The head of the frame that is being written; kept for its memory.
    head: Vec<u8>,
}

/// What is used again from one reader to the next, and from one batch to the next.
#[derive(Default)]
pub(super) struct Spare {
    /// The frame that is being read.
    pub(super) frame: Vec<u8>,
    /// What was read, and not taken in yet.
    replies: Vec<(ReplyHead, Returned)>,
    aftermath: Aftermath,
    /// Of a batch that is over: none, and the memory for others.
    calls: Calls,
}

/// What is to be done for a pipeline by whoever changed it, without its lock.
#[must_use]
enum Errand {
    Nothing,
    Ring,
    Unpark(Thread),
    Spawn,
}

impl Client {
    /// The pipeline of this client's deferred calls. Connects it at the first, which may take up to 10 s.
    pub fn pipeline(self: &Arc<Self>) -> Result<Arc<Pipeline>> {
        self.check_own()?;
        if let Some(pipeline) = &self.state().pipeline {
            return Ok(Arc::clone(pipeline));
        }
        let made = Arc::new(Pipeline::new(self, self.take_link(None)?.0, false));
        let mut state = self.state();
        // Another thread may have been as fast; then ours is dropped, but not under the lock.
        let pipeline = Arc::clone(state.pipeline.get_or_insert_with(|| Arc::clone(&made)));
        drop(state);
        Ok(pipeline)
    }

    /// A pipeline for one batch, which gathers small calls until the first is waited for.
    pub fn batch(self: &Arc<Self>) -> Result<Arc<Pipeline>> {
        self.check_own()?;
        Ok(Arc::new(Pipeline::new(self, self.take_link(None)?.0, true)))
    }
}

impl Pipeline {
    fn new(client: &Arc<Client>, link: Box<Link>, gathers: bool) -> Self {
        let Link { stream, tally, upgrade, wait, head, mut spare } = *link;
        let calls = std::mem::take(&mut spare.calls);
        Self {
            client: Arc::downgrade(client),
            stamp: Stamp::now(),
            state: ForkMutex::new(State {
                line: Some(Line { sender: stream.sender, tally, upgrade, head }),
                receiver: Some(stream.receiver),
                wait,
                spare: Some(spare),
                calls,
                gathers,
                asleep: false,
                pump: Pump::default(),
                crowd: Vec::new(),
                broken: None,
            }),
            bell: OnceLock::new(),
        }
    }

    fn state(&self) -> ForkGuard<'_, State> {
        self.state.lock()
    }

    /// Sends a call, or gathers it. Waits only where the server takes nothing in: until less than 1 MiB is kept for it.
    ///
    /// # Errors
    /// For a call that can't be sent at all, or a connection that is known to be broken.
    ///
    /// `target` is what the call goes to.
    pub fn submit(
        self: &Arc<Self>,
        client: &Arc<Client>,
        request: &mut Request<'_>,
        target: &Arc<RemoteReference>,
    ) -> Result<Handle> {
        let tokens = request.tokens(client)?;
        client.flush_notices();
        let after = client.told.said();
        let mut state = self.state();
        let State { line, calls, gathers, broken, .. } = &mut *state;
        let (line, cancels) = match (line, broken) {
            (Some(line), None) => (line, !*gathers),
            (_, broken) => {
                let over = || Error::State { what: "this batch is over".to_owned() };
                let error = broken.clone().unwrap_or_else(over);
                drop(state);
                return Err(error);
            }
        };
        // A connection that is broken is found so by whoever reads.
        let _ = line.upgrade.call(request.size(), &mut line.sender);
        let id = line.tally.next_request();
        request.write_head(id, after, line.tally.acknowledge(), &mut line.head);
        calls.begin(id, request.timeout);
        // A connection that is broken is found so by whoever reads.
        let _ = if *gathers && request.payload.len() < LARGE {
            match tokens.as_slice() {
                [] => line.sender.enqueue(&[&line.head, request.payload]),
                tokens => line.sender.enqueue(&[&line.head, tokens, request.payload]),
            }
        } else {
            request.send(&line.head, &tokens, &mut line.sender)
        };
        let backlog = line.sender.backlog();
        let is_full = backlog > ROOM || backlog > 0 && !*gathers;
        drop(state);
        let handle = Handle::new(self, id, cancels, Arc::clone(target));
        if is_full {
            self.make_room(client);
        }
        Ok(handle)
    }

    /// Sees to it that what the socket did not take is sent, and waits while that is too much.
    fn make_room(self: &Arc<Self>, client: &Arc<Client>) {
        loop {
            let mut state = self.state();
            if state.backlog() <= ROOM || state.broken.is_some() {
                let errand = state.errand();
                drop(state);
                return self.run(errand, client);
            }
            if let Some(receiver) = state.receiver.take() {
                drop(state);
                // Replies are read meanwhile, or the server would stop reading requests.
                Reader::new(self, client, receiver).read_until(None, |state| state.backlog() <= ROOM / 2);
                continue;
            }
            state.crowd.push(std::thread::current());
            let errand = state.errand();
            drop(state);
            self.run(errand, client);
            std::thread::park();
        }
    }

    /// Waits until every call has been answered, whether or not its handle was dropped, and gives the connection back to the client's pool.
    pub fn finish(self: &Arc<Self>, client: &Arc<Client>) {
        loop {
            let mut state = self.state();
            state.send_gathered();
            // Where a handle was given to another thread that waits now, the rest is that thread's.
            let Some(receiver) = state.receiver.take() else { return };
            if state.calls.are_over() {
                let settled = state.line.take_if(|line| line.sender.backlog() == 0 && line.tally.is_settled());
                let Some(Line { sender, tally, upgrade, head }) = settled.filter(|_| state.broken.is_none()) else {
                    state.receiver = Some(receiver);
                    return;
                };
                let (wait, mut spare) = (state.wait.clone(), state.spare.take().unwrap_or_default());
                // Answers that their handles have not fetched stay here.
                if state.calls.are_forgotten() {
                    spare.calls = std::mem::take(&mut state.calls);
                }
                drop(state);
                let link = Link { stream: Connection { receiver, sender }, tally, upgrade, wait, head, spare };
                return drop(client.keep_link(Box::new(link)));
            }
            drop(state);
            Reader::new(self, client, receiver).read_until(None, |state| state.calls.are_over());
        }
    }

    /// Does what is to be done.
    fn run(self: &Arc<Self>, errand: Errand, client: &Arc<Client>) {
        match errand {
            Errand::Nothing => {}
            Errand::Ring => self.ring(),
            Errand::Unpark(thread) => thread.unpark(),
            Errand::Spawn => pump::spawn(self, client),
        }
    }

    fn bell(&self) -> Option<&EventFd> {
        self.bell
            .get_or_init(|| {
                let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
                bell.inspect_err(|error| tracing::warn!(%error, "no descriptor to wake a reader with")).ok()
            })
            .as_ref()
    }

    /// Wakes the reader.
    fn ring(&self) {
        // A full counter wakes as well.
        let _ = self.bell().map(|bell| bell.write(1));
    }

    /// No further answer will come: fails what was not answered, and tells the server how far its replies were read.
    fn break_off(self: &Arc<Self>, client: &Arc<Client>, error: Error) {
        let mut aftermath = Aftermath::default();
        let lost = {
            let mut state = self.state();
            let State { line, calls, crowd, broken, .. } = &mut *state;
            calls.fail(&error, &mut aftermath);
            aftermath.threads.append(crowd);
            broken.get_or_insert(error);
            line.take()
        };
        let former = client.state().pipeline.take_if(|pipeline| Arc::ptr_eq(pipeline, self));
        drop(former);
        if let Some(line) = lost {
            line.say_lost(client);
        }
        aftermath.settle();
    }
}

impl Line {
    /// Tells the server how far its replies were read: what lies behind never arrived.
    fn say_lost(self, client: &Arc<Client>) {
        let lost = ControlNotice::Lost { connection: self.tally.connection, replies: self.tally.replies };
        let sent = {
            let mut state = client.state();
            let ClientState { notices, ledger, .. } = &mut *state;
            notices.say(lost, None, ledger)
        };
        if !sent {
            keeper::keep(client);
        }
    }
}

impl State {
    /// How many bytes the socket has not taken, or are gathered.
    fn backlog(&self) -> usize {
        self.line.as_ref().map_or(0, |line| line.sender.backlog())
    }

    /// Whether something is to be sent that the socket did not take.
    fn sends(&self) -> bool {
        !self.gathers && self.backlog() > 0
    }

    /// Sends what was gathered, and gathers no more.
    fn send_gathered(&mut self) {
        if std::mem::replace(&mut self.gathers, false) {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if let Some(line) = self.line.as_mut().filter(|line| line.sender.has_more()) {
            // A connection that is broken is found so by whoever reads.
            let _: Result<Progress, _> = line.sender.flush();
        }
    }

    /// Says something beside the calls. What the socket does not take goes out when somebody reads next, or with the next call.
    fn say(&mut self, notice: DataNotice) {
        let Some(line) = &mut self.line else { return };
        let mut frame = Vec::new();
        notice.write(&mut frame);
        let _: Result<Progress, _> = line.sender.send(&[&frame]);
    }

    /// The item that a reply moved has found its owner.
    fn take(&mut self, moved: Option<u64>) {
        if let (Some(reply), Some(line)) = (moved, &mut self.line) {
            line.tally.take(reply);
            let replies = line.tally.acknowledge();
            self.say(DataNotice::Acknowledge { replies });
        }
    }

    /// The item that a reply moved is to be put back.
    fn decline(&mut self, moved: Option<u64>) {
        if let (Some(reply), Some(line)) = (moved, &mut self.line) {
            line.tally.take(reply);
            self.say(DataNotice::Decline { reply });
        }
    }

    /// Takes a reply in.
    #[inline]
    fn take_in(&mut self, head: &ReplyHead, returned: Returned, aftermath: &mut Aftermath) {
        let Some(line) = &mut self.line else { return aftermath.drop(returned) };
        let number = line.tally.read(!returned.carried.is_empty(), head.moves);
        let moved = head.moves.then_some(number);
        if !self.calls.answer(head.request, returned, moved, aftermath) {
            self.decline(moved);
        }
    }

    /// Who has to be told that there is something to do: somebody must read, or the reader has more to do than it knows.
    #[inline]
    fn errand(&mut self) -> Errand {
        let rests = self.receiver.is_some() && self.crowd.is_empty() && self.calls.need_nobody();
        if rests && (self.gathers || self.backlog() == 0) { Errand::Nothing } else { self.errand_now() }
    }

    fn errand_now(&mut self) -> Errand {
        if self.broken.is_some() {
            return Errand::Nothing;
        }
        let sends = self.sends();
        if self.receiver.is_none() {
            let ring = self.asleep && (sends || self.calls.next_deadline().is_some());
            return if ring { Errand::Ring } else { Errand::Nothing };
        }
        if let Some(thread) = self.calls.next_follower() {
            return Errand::Unpark(thread);
        }
        if let Some(thread) = self.crowd.pop() {
            return Errand::Unpark(thread);
        }
        if sends || self.calls.are_helpless() { self.pump.wake() } else { Errand::Nothing }
    }

    /// What a reader waits for at the most.
    fn next_deadline(&self, own: Option<Instant>) -> Option<Instant> {
        match (own, self.calls.next_deadline()) {
            (Some(own), Some(next)) => Some(own.min(next)),
            (own, next) => own.or(next),
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // A client that is gone has nothing left in doubt.
        if let Some(client) = self.client.upgrade()
            && self.stamp.is_current()
            && let Some(line) = self.state().line.take()
        {
            line.say_lost(&client);
        }
    }
}
