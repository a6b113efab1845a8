//! The way of answering a call later.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;

use super::answer::{Answer, PutBack, Replier};
use super::call::{Call, Caller, conclude, send};
use super::entry::Entry;
use super::parked::Parked;
use crate::codec::Codec;
use crate::error::Error;
use crate::protocol::RequestId;
use crate::protocol::reply::Status;

/// Answers one call, from any thread and at any time.
///
/// A method that takes a `Responder<T>` as its last parameter returns at once, and its caller waits until the responder is used. A thousand
/// waiting callers cost no thousand threads. With `Responder<T, E>` the method may also [`fail`](Self::fail), as one that returns `Result<T, E>`.
/// Dropping it unused answers with an error. After the caller has given up, or has died, answering does nothing
/// (what [`respond_or_put_back`](Self::respond_or_put_back) was given runs).
///
/// ```
/// use std::collections::VecDeque;
/// use multiproc::Responder;
///
/// /// Hands each line to the one who has waited longest.
/// #[derive(Default)]
/// pub struct Mailbox { lines: VecDeque<String>, waiting: VecDeque<Responder<String>> }
///
/// #[multiproc::referent]
/// impl Mailbox {
///     pub fn new() -> Self { Self::default() }
///
///     pub fn put(&mut self, line: String) {
///         match self.waiting.pop_front() {
///             Some(waiting) => waiting.respond(&line),
///             None => self.lines.push_back(line),
///         }
///     }
///
///     pub fn get(&mut self, responder: Responder<String>) {
///         match self.lines.pop_front() {
///             Some(line) => responder.respond(&line),
///             None => self.waiting.push_back(responder),
///         }
///     }
/// }
/// # fn main() -> multiproc::Result<()> {
/// let manager = multiproc::BaseManager::builder().register::<Mailbox>().start()?;
/// let mailbox = MailboxProxy::new(&manager)?;
/// let reader = mailbox.clone();
/// let read = std::thread::spawn(move || reader.get());
/// mailbox.put("hello".into())?;
/// assert_eq!(read.join().unwrap()?, "hello");
/// # manager.shutdown()
/// # }
/// ```
pub struct Responder<T, E = Infallible> {
    inner: Option<Inner>,
    result: PhantomData<fn(T, E)>,
}

struct Inner {
    codec: Codec,
    request: RequestId,
    caller: Caller,
    replier: Arc<dyn Replier>,
    parked: Arc<Parked>,
    /// Whether nobody but this responder can end the wait any more.
    claimed: bool,
    /// The target stays alive until the call is answered.
    _entry: Option<Arc<Entry>>,
}

impl Inner {
    fn conclude(self, answer: Answer) {
        match self.claimed {
            true => send(&*self.replier, self.request, answer),
            false => conclude(&*self.replier, self.request, &self.parked, answer),
        }
    }
}

impl<T, E> Responder<T, E> {
    pub(super) fn new(call: &mut Call, entry: Option<Arc<Entry>>) -> Self {
        let parked = Arc::clone(call.park());
        let inner = Inner {
            codec: call.codec,
            request: call.request,
            caller: call.caller,
            replier: Arc::clone(&call.replier),
            parked,
            claimed: false,
            _entry: entry,
        };
        Self { inner: Some(inner), result: PhantomData }
    }

    /// Who waits.
    pub fn caller(&self) -> Option<Caller> {
        self.inner.as_ref().map(|inner| inner.caller)
    }

    /// Whether the caller still waits. A caller that has given up, timed out or died does not.
    pub fn is_wanted(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.parked.is_waiting())
    }

    /// Ends the wait for everybody else, ahead of the answer, where something must be done in between that can't be undone: from here on the caller can't give up or
    /// time out, it is told what this responder answers. False where it has given up already.
    pub(crate) fn claim(&mut self) -> bool {
        self.inner.as_mut().is_some_and(|inner| {
            inner.claimed |= inner.parked.close();
            inner.claimed
        })
    }

    /// Runs `hook` as soon as the caller gives up, times out or dies; at once if it has already. Runs on a thread of the server's,
    /// and must not wait.
    pub fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) {
        if let Some(inner) = &self.inner {
            inner.parked.on_cancel(Box::new(hook));
        }
    }

    /// Answers with a system error, such as `Timeout`.
    pub fn refuse(mut self, error: &Error) {
        if let Some(inner) = self.inner.take() {
            inner.conclude(Answer::refused(error));
        }
    }

    fn finish<V: Serialize>(mut self, status: Status, value: &V, put_back: Option<PutBack>) {
        if let Some(inner) = self.inner.take() {
            let answer = Answer::encode_for(&*inner.replier, inner.codec, status, value, Vec::new());
            inner.conclude(Answer { put_back, ..answer });
        }
    }
}

impl<T: Serialize, E> Responder<T, E> {
    /// Answers.
    pub fn respond(self, result: &T) {
        self.finish(Status::Returned, result, None);
    }

    /// Answers with something that leaves the object by it (a queue's item, a permit). If the answer never arrives, because the caller gave up or
    /// died before its process had taken it in, `put_back` runs instead; it must not wait.
    pub fn respond_or_put_back(self, result: &T, put_back: impl FnOnce() + Send + 'static) {
        let put_back: PutBack = Box::new(put_back);
        if self.inner.is_none() {
            return put_back();
        }
        self.finish(Status::Returned, result, Some(put_back));
    }
}

impl<T, E: Serialize> Responder<T, E> {
    /// Answers with the method's own error, which arrives as that `E`.
    pub fn fail(self, error: &E) {
        self.finish(Status::Failed, error, None);
    }
}

impl<T, E> Drop for Responder<T, E> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            let reason = "the method dropped its responder without an answer".to_owned();
            inner.conclude(Answer::refused(&Error::Protocol { reason }));
        }
    }
}

impl<T, E> std::fmt::Debug for Responder<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder").field("caller", &self.caller()).field("wanted", &self.is_wanted()).finish()
    }
}
