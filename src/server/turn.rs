//! One turn of a data connection: its requests run one after the other, as long as they lie in memory.
//!
//! Below the leader, who has read the first frame, and above the objects. What a call needs is kept from one to the next: the memory that its frame was read into, its place on
//! the stack, and the object that was called last. So a call that runs at once costs no lock but those of the connection's two halves, no reference counted up or down, and no memory.
//!
//! Invariants: frames are read one at a time, and run before the next is read, so that a thread that loses the lead holds up nobody's; what is kept of an object is
//! kept no longer than the turn, and not beyond notices that may have let go of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commands;
use super::core::Core;
use super::heap::Heap;
use super::lead;
use super::session::Session;
use crate::codec::Codec;
use crate::error::{Error, Result};
use crate::object::answer::Replier;
use crate::object::chain::Chain;
use crate::object::entry::Entry;
use crate::object::{Call, Caller};
use crate::protocol::ObjectId;
use crate::protocol::request::{REQUEST, Request};
use crate::sys::buffer;

/// How many frames of one connection are handled in a row. Others wait as long; but with as many replies to each system call, or to each look whether their reader sleeps, that is a matter of
/// microseconds.
pub(super) const TURN: u32 = 32;

/// A turn.
pub(super) struct Turn {
    session: Arc<Session>,
    /// The present frame, if it is not the call's.
    frame: Vec<u8>,
    /// The call that runs; what the last one left, for the next. Gone where that had to wait.
    call: Option<Call>,
    /// The object that was called last.
    target: Option<Arc<Entry>>,
}

impl Turn {
    /// Begins with a frame that was read.
    pub(super) fn new(session: Arc<Session>, frame: Vec<u8>) -> Self {
        Self { session, frame, call: None, target: None }
    }

    /// Handles the frame, and those that lie behind it in shared memory if there are `more`; how many they were. Ends early where this thread loses the lead.
    pub(super) fn run(mut self, mut more: bool, core: &Arc<Core>) -> u32 {
        let mut count = 1;
        loop {
            lead::begins_turn(more.then_some(&*self.session));
            self.handle(core);
            lead::ends_turn();
            if !more || !core.crew.leads() || core.ends() {
                break;
            }
            // What is wrong with it is found by who reads next.
            let Some(another) = self.session.read_on(&mut self.frame) else { break };
            count += 1;
            more = another && count < TURN;
        }
        core.streams.uncork();
        count
    }

    /// Handles one frame; with `more`, another one of the connection's comes next.
    pub(super) fn run_one(mut self, more: bool, core: &Arc<Core>) {
        lead::begins_turn(more.then_some(&*self.session));
        self.handle(core);
        lead::ends_turn();
        if !more {
            core.streams.uncork();
        }
    }

    /// Takes a frame in; one that breaks the protocol ends the connection.
    fn handle(&mut self, core: &Arc<Core>) {
        Heap::passed(core, self.frame.len());
        let taken = if self.frame.first() == Some(&REQUEST) {
            self.arrive(core)
        } else {
            self.session.notice(&self.frame, core)
        };
        if let Err(error) = taken {
            tracing::warn!(client = %self.session.record().id(), %error, "a client broke the protocol");
            self.session.close(core);
        }
    }

    /// Reads a request and makes its call, unless it has to wait for notices.
    #[inline]
    fn arrive(&mut self, core: &Arc<Core>) -> Result<()> {
        let request = Request::read(&self.frame)?;
        let head = request.head;
        if head.acknowledged > 0 {
            self.session.settle_told();
        }
        if head.after > self.session.record().notices() {
            self.target = None;
            if !self.session.catch_up(head.after, core) {
                self.session.hold(head.after, std::mem::take(&mut self.frame), core);
                return Ok(());
            }
        }
        let codec = Codec::from_byte(head.codec).ok_or_else(|| Error::protocol("an unknown codec"))?;
        let (mut carried, mut refusal) = (Vec::new(), None);
        if request.tokens.len() > 0 {
            match self.session.carry(&request, core) {
                Ok(tokens) => carried = tokens,
                Err(error) => refusal = Some(error),
            }
        }
        // All of it lies inside the frame that it was read from.
        let range = |part: &[u8]| {
            let start = part.as_ptr() as usize - self.frame.as_ptr() as usize;
            start..start + part.len()
        };
        let (name, payload) = (range(request.method.as_bytes()), range(request.payload));
        let call = self.call.get_or_insert_with(|| Call::of(Arc::clone(&self.session) as Arc<dyn Replier>));
        call.frame = std::mem::take(&mut self.frame);
        (call.name, call.payload, call.codec, call.signature) = (name, payload, codec, head.signature);
        call.caller = Caller { client: Some(self.session.record().id()), thread: head.thread };
        call.chain = Chain::start();
        call.deadline = match head.timeout_ms {
            0 => None,
            timeout => Some(Instant::now() + Duration::from_millis(timeout.into())),
        };
        call.request = head.request;
        if !carried.is_empty() {
            call.carried = carried;
        }
        match refusal {
            None => self.call(head.object, core),
            Some(error) => call.refuse(&error),
        }
        if let Some(call) = &mut self.call {
            self.frame = call.reset();
        }
        Ok(())
    }

    /// Makes the call.
    #[inline]
    fn call(&mut self, object: ObjectId, core: &Arc<Core>) {
        core.count_call();
        if object == ObjectId::SERVER {
            self.target = None;
            if let Some(call) = self.call.take() {
                if call.name().contains("::") { core.table.create(call) } else { commands::run(call, core) }
            }
            return;
        }
        if self.target.as_ref().is_none_or(|target| target.id() != object) {
            // Before the next is looked for: its end may be what the next call looks at.
            self.target = None;
            match core.table.find(object) {
                Ok(entry) => self.target = Some(entry),
                Err(error) => return self.call.iter_mut().for_each(|call| call.refuse(&error)),
            }
        }
        if let Some(target) = &self.target {
            target.dispatch(&mut self.call, &core.table, false);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        buffer::give(std::mem::take(&mut self.frame));
    }
}
