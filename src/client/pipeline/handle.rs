//! One call that is under way, and the right to its answer.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::super::call::FAREWELL;
use super::super::{RemoteReference, Returned};
use super::calls::{Aftermath, Dropped, Fetched, Waiter};
use super::reader::Reader;
use super::{Errand, Pipeline, State};
use crate::error::{Error, Result};
use crate::protocol::RequestId;
use crate::protocol::carriage::Carried;
use crate::protocol::notice::DataNotice;
use crate::sys::fork::ForkGuard;

/// A call under way. Dropping it gives the call up: what has not begun does not begin, and what its answer moves is put back.
pub struct Handle {
    pipeline: Arc<Pipeline>,
    request: RequestId,
    /// What the call goes to; and the proxies among its arguments.
    target: Arc<RemoteReference>,
    carried: Vec<Carried>,
    /// Whether the call is given up with its handle; one of a batch is not.
    cancels: bool,
    /// Whether the answer was handed out.
    done: bool,
}

impl Handle {
    pub(super) fn new(
        pipeline: &Arc<Pipeline>,
        request: RequestId,
        cancels: bool,
        target: Arc<RemoteReference>,
    ) -> Self {
        Self { pipeline: Arc::clone(pipeline), request, target, carried: Vec::new(), cancels, done: false }
    }

    /// Keeps the proxies among the call's arguments, too, until it is answered.
    #[inline]
    pub fn keep(&mut self, carried: Vec<Carried>) {
        if !carried.is_empty() {
            self.carried = carried;
        }
    }

    /// What the call goes to.
    pub fn target(&self) -> &Arc<RemoteReference> {
        &self.target
    }

    /// Waits for the answer, at most as long as the call's timeout says, which is counted from when it was sent. Ends within 1 s of the server's death.
    pub fn wait(&mut self) -> Result<Returned> {
        self.check_own()?;
        loop {
            let mut state = self.pipeline.state();
            state.send_gathered();
            let deadline = match state.calls.fetch(self.request) {
                Fetched::Over(returned, moved) => {
                    state.take(moved);
                    self.let_read(state);
                    self.done = true;
                    return Ok(returned);
                }
                Fetched::Failed(error) => {
                    self.let_read(state);
                    self.done = true;
                    return Err(error);
                }
                Fetched::UnderWay(deadline) => deadline,
            };
            let Some(client) = self.pipeline.client.upgrade() else { return Err(Error::Cancelled) };
            if let Some(receiver) = state.receiver.take() {
                drop(state);
                let request = self.request;
                let reader = Reader::new(&self.pipeline, &client, receiver);
                reader.read_until(deadline, |state| state.calls.is_over(request));
                if let Some(error) = self.give_up_at(deadline) {
                    return Err(error);
                }
                continue;
            }
            let mut aftermath = Aftermath::default();
            let myself = Waiter::Thread(std::thread::current());
            state.calls.set_waiter(self.request, myself, &mut aftermath);
            self.let_read(state);
            aftermath.settle();
            match deadline {
                None => std::thread::park(),
                Some(deadline) => {
                    std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
                    if let Some(error) = self.give_up_at(Some(deadline)) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// The answer, if it is there; else the task is woken when it is.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Returned>> {
        if let Err(error) = self.check_own() {
            return Poll::Ready(Err(error));
        }
        let mut has_read = false;
        loop {
            // Foreign code, as is its drop.
            let waker = context.waker().clone();
            let mut aftermath = Aftermath::default();
            let mut state = self.pipeline.state();
            state.send_gathered();
            let deadline = match state.calls.fetch(self.request) {
                Fetched::Over(returned, moved) => {
                    state.take(moved);
                    self.let_read(state);
                    self.done = true;
                    return Poll::Ready(Ok(returned));
                }
                Fetched::Failed(error) => {
                    self.let_read(state);
                    self.done = true;
                    return Poll::Ready(Err(error));
                }
                Fetched::UnderWay(deadline) => deadline,
            };
            let Some(client) = self.pipeline.client.upgrade() else { return Poll::Ready(Err(Error::Cancelled)) };
            if !has_read && let Some(receiver) = state.receiver.take() {
                drop(state);
                let request = self.request;
                let reader = Reader::new(&self.pipeline, &client, receiver);
                reader.read_until(Some(Instant::now()), |state| state.calls.is_over(request));
                has_read = true;
                continue;
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                drop(state);
                if let Some(error) = self.give_up_at(deadline) {
                    return Poll::Ready(Err(error));
                }
                continue;
            }
            state.calls.set_waiter(self.request, Waiter::Task(waker), &mut aftermath);
            self.let_read(state);
            aftermath.settle();
            return Poll::Pending;
        }
    }

    /// Whether the answer is there.
    pub fn is_answered(&self) -> bool {
        self.pipeline.stamp.is_current() && self.pipeline.state().calls.is_over(self.request)
    }

    /// Lets the call go on, and its answer be dropped when it comes.
    pub fn detach(mut self) {
        self.cancels = false;
    }

    fn check_own(&self) -> Result<()> {
        if self.pipeline.stamp.is_current() {
            return Ok(());
        }
        let what = "this call was made before the fork, and its answer goes to the process that made it; make it again";
        Err(Error::State { what: what.to_owned() })
    }

    /// Sees to it that somebody reads, if anybody must: this thread, which may have been woken for that, no longer does.
    #[inline]
    fn let_read(&self, mut state: ForkGuard<'_, State>) {
        let errand = state.errand();
        drop(state);
        // A client that is gone has nothing under way.
        if !matches!(errand, Errand::Nothing)
            && let Some(client) = self.pipeline.client.upgrade()
        {
            self.pipeline.run(errand, &client);
        }
    }

    /// At the deadline the server is asked for a last word; at the end of the time for that, the call is over.
    fn give_up_at(&mut self, deadline: Option<Instant>) -> Option<Error> {
        let now = Instant::now();
        if deadline.is_none_or(|deadline| deadline > now) {
            return None;
        }
        let mut state = self.pipeline.state();
        if state.calls.is_over(self.request) {
            return None;
        }
        let after = state.calls.timeout(self.request);
        if state.calls.give_up(self.request, now + FAREWELL) {
            state.say(DataNotice::Cancel { request: self.request });
            return None;
        }
        // A late answer is read by whoever reads then, and dropped.
        self.cancels = false;
        Some(Error::Timeout { after })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.done || !self.pipeline.stamp.is_current() {
            return;
        }
        let mut aftermath = Aftermath::default();
        let mut state = self.pipeline.state();
        let kept = (Arc::clone(&self.target), std::mem::take(&mut self.carried));
        match state.calls.drop_handle(self.request, kept, &mut aftermath) {
            Dropped::Over(moved) => state.decline(moved),
            Dropped::UnderWay if self.cancels => state.say(DataNotice::Cancel { request: self.request }),
            Dropped::UnderWay => {}
        }
        // Of a batch that is still gathered, the end of the batch reads all.
        if !state.gathers {
            self.let_read(state);
        } else {
            drop(state);
        }
        aftermath.settle();
    }
}
