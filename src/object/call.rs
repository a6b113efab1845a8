//! One call, on its way to its method: owned, so that it can wait in a queue.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::answer::{Answer, Replier};
use super::chain::{Chain, ChainId};
use super::entry::Entry;
use super::parked::Parked;
use crate::codec::Codec;
use crate::error::Error;
use crate::protocol::carriage::Carried;
use crate::protocol::{ClientId, RequestId, ThreadNumber};

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The process; `None` for the server's own threads.
    pub client: Option<ClientId>,
    /// The thread in that process.
    pub thread: ThreadNumber,
}

/// One call of a method or constructor.
pub struct Call {
    /// The frame that it came in, or what a caller inside the server wrote.
    pub frame: Vec<u8>,
    /// Where the method's name stands in the frame.
    pub name: Range<usize>,
    /// Where the arguments stand in the frame.
    pub payload: Range<usize>,
    /// How they are written.
    pub codec: Codec,
    /// The caller's idea of the method's types; 0 for none.
    pub signature: u32,
    /// The proxies among the arguments, each pinned until the call is answered.
    pub carried: Vec<Carried>,
    /// Who calls.
    pub caller: Caller,
    /// The calls that wait for this one.
    pub chain: Chain,
    /// When the caller gives up.
    pub deadline: Option<Instant>,
    /// What the answer is sent for.
    pub request: RequestId,
    /// Where the answer goes.
    pub replier: Arc<dyn Replier>,
    /// The state of the wait, once it is one.
    pub parked: Option<Arc<Parked>>,
    /// The target, pinned while the call waits in its queue; whoever runs it has it beside.
    pub entry: Option<Arc<Entry>>,
    /// The method's place in its type's list.
    pub method: usize,
}

impl Call {
    /// One that has nothing of its own yet, with answers to go there.
    pub fn of(replier: Arc<dyn Replier>) -> Self {
        Self {
            frame: Vec::new(),
            name: 0..0,
            payload: 0..0,
            codec: Codec::Bincode,
            signature: 0,
            carried: Vec::new(),
            caller: Caller { client: None, thread: ThreadNumber(0) },
            chain: Chain { id: ChainId(0), depth: 1 },
            deadline: None,
            request: RequestId(0),
            replier,
            parked: None,
            entry: None,
            method: 0,
        }
    }

    /// Lets go of all that was this call's alone, for the next to take its place; gives the frame's memory back.
    #[inline]
    pub fn reset(&mut self) -> Vec<u8> {
        if !self.carried.is_empty() {
            self.carried.clear();
        }
        if self.parked.is_some() {
            self.parked = None;
        }
        std::mem::take(&mut self.frame)
    }

    /// The method's name.
    pub fn name(&self) -> &str {
        self.frame.get(self.name.clone()).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
    }

    /// Makes the call one that waits, if it is not yet.
    pub fn park(&mut self) -> &Arc<Parked> {
        let Self { parked, replier, request, deadline, frame, .. } = self;
        parked.get_or_insert_with(|| {
            // It may take a while.
            frame.shrink_to_fit();
            let parked = Arc::new(Parked::default());
            replier.park(*request, Arc::clone(&parked), *deadline);
            parked
        })
    }

    /// Whether its caller still waits for it.
    pub fn is_wanted(&self) -> bool {
        self.parked.as_ref().is_none_or(|parked| parked.is_waiting())
    }

    /// The method's name, as it came.
    #[inline]
    pub fn name_bytes(&self) -> &[u8] {
        self.frame.get(self.name.clone()).unwrap_or_default()
    }

    /// Sends the answer, unless the caller has given up. Comes once.
    #[inline]
    pub fn answer(&mut self, answer: Answer) {
        match self.parked.take() {
            Some(parked) => conclude(&*self.replier, self.request, &parked, answer),
            None => self.replier.reply(self.request, answer),
        }
    }

    /// Answers with a system error.
    pub fn refuse(&mut self, error: &Error) {
        self.answer(Answer::refused(error));
    }
}

/// Answers a parked call, if nobody else has ended it; what the answer moves is put back otherwise.
pub(super) fn conclude(replier: &dyn Replier, request: RequestId, parked: &Parked, mut answer: Answer) {
    if parked.close() {
        send(replier, request, answer);
    } else if let Some(put_back) = answer.put_back.take() {
        put_back();
    }
}

/// Answers a parked call that the caller of this has ended.
pub(super) fn send(replier: &dyn Replier, request: RequestId, answer: Answer) {
    replier.unpark(request);
    replier.reply(request, answer);
}
