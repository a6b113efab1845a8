//! A result that is on its way, and stays in the server until nobody wants it any more.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::task::TaskErrors;
use super::tasks::Outcome;
use crate::datum::Datum;
use crate::error::{CallError, Error};
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Invocation, Outcome as Answer, Referent, Responder};
use crate::pool::{AsyncResult, Cancel, PoolError};
use crate::proxy::Proxy;
use crate::sys::sync::Mutex;
use crate::types::bulk::Received;
use crate::types::element::Element;
use crate::types::waiters::Waiters;

/// The referent of an [`AsyncResultProxy`].
pub struct SharedResult {
    state: Arc<Mutex<State>>,
    cancel: Cancel,
}

#[derive(Default)]
struct State {
    reply: Option<Arc<Reply>>,
    waiters: Waiters<Waiter>,
}

/// What came of it.
type Reply = Result<Results, PoolError>;

/// What is answered: one result, or a list.
enum Results {
    One(Element),
    Many(Vec<Element>),
}

impl Serialize for Results {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(element) => element.serialize(serializer),
            Self::Many(elements) => elements.serialize(serializer),
        }
    }
}

/// One who waits.
enum Waiter {
    /// For the result.
    Get(Responder<Results, PoolError>),
    /// For there to be one.
    Wait(Responder<()>),
}

impl Waiter {
    fn answer(self, reply: &Reply) {
        match (self, reply) {
            (Self::Get(responder), Ok(results)) => responder.respond(results),
            (Self::Get(responder), Err(error)) => responder.fail(error),
            (Self::Wait(responder), _) => responder.respond(&()),
        }
    }

    fn is_wanted(&self) -> bool {
        match self {
            Self::Get(responder) => responder.is_wanted(),
            Self::Wait(responder) => responder.is_wanted(),
        }
    }

    fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) {
        match self {
            Self::Get(responder) => responder.on_cancel(hook),
            Self::Wait(responder) => responder.on_cancel(hook),
        }
    }
}

impl SharedResult {
    /// Takes in what a pool works on; `one` says that it is one result and not a list of them. What the tasks' arguments name is `kept` until they are done. `errors` open results
    /// for one who has no `Result`s.
    pub(super) fn new(
        result: AsyncResult<Vec<Outcome>>,
        one: bool,
        kept: Vec<Element>,
        errors: Option<TaskErrors>,
    ) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (own, cancel) = (Arc::clone(&state), result.canceller());
        let _ = result.on_ready(move |outcomes| {
            let reply = Arc::new(reply(outcomes, one, errors.as_ref()));
            let waiters = {
                let mut state = own.lock();
                state.reply = Some(Arc::clone(&reply));
                state.waiters.take()
            };
            waiters.for_each(|waiter| waiter.answer(&reply));
            drop(kept);
        });
        Self { state, cancel }
    }

    /// Leaves undone what no worker has begun, when the one caller who waits does so no more.
    pub(super) fn canceller(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Answers a call with the result, when it is there; `given_up` runs if the caller does not wait for it.
    pub(super) fn get(&self, call: &mut Invocation<'_>, given_up: impl FnOnce() + Send + 'static) -> Answer {
        let waiter = Waiter::Get(call.responder());
        self.stand(waiter, given_up);
        Ok(call.answered_later())
    }

    fn stand(&self, waiter: Waiter, given_up: impl FnOnce() + Send + 'static) {
        let place = self.state.lock().waiters.place();
        let state = Arc::downgrade(&self.state);
        waiter.on_cancel(move || {
            let waiter = state.upgrade().and_then(|state| state.lock().waiters.leave(place));
            drop(waiter);
            given_up();
        });
        let mut state = self.state.lock();
        // One that is given up from here on is taken out by the hook, which waits for the lock on the state.
        match state.reply.clone() {
            Some(reply) => {
                drop(state);
                waiter.answer(&reply);
            }
            None if waiter.is_wanted() => state.waiters.stand(place, waiter),
            None => drop(state),
        }
    }

    fn reply(&self) -> Option<Arc<Reply>> {
        self.state.lock().reply.clone()
    }
}

/// What came of one item, as its caller gets it.
pub(super) fn element(outcome: Outcome, errors: Option<&TaskErrors>) -> Result<Element, PoolError> {
    let element = outcome.and_then(|parcel| parcel.into_element())?;
    match errors {
        None => Ok(element),
        Some(errors) => errors.open(&element),
    }
}

fn reply(outcomes: Result<Vec<Outcome>, PoolError>, one: bool, errors: Option<&TaskErrors>) -> Reply {
    let elements: Result<Vec<_>, _> = outcomes?.into_iter().map(|outcome| element(outcome, errors)).collect();
    let mut elements = elements?;
    match elements.pop() {
        Some(only) if one => Ok(Results::One(only)),
        last => {
            elements.extend(last);
            Ok(Results::Many(elements))
        }
    }
}

impl fmt::Display for SharedResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reply().as_deref() {
            None => "<AsyncResult: pending>",
            Some(Ok(_)) => "<AsyncResult: done>",
            Some(Err(_)) => "<AsyncResult: failed>",
        })
    }
}

impl fmt::Debug for SharedResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Referent for SharedResult {
    type Proxy = AsyncResultProxy<()>;
    type Store = Bare<Self>;
    const TYPEID: &'static str = "AsyncResult";

    fn methods(table: &mut Methods<Self>) {
        table.dynamic("get", &[], |this, call| {
            let () = call.arguments()?;
            this.get(call, || {})
        });
        table.dynamic("wait", &[], |this, call| {
            let () = call.arguments()?;
            if this.reply().is_some() {
                return call.answer(&());
            }
            let waiter = Waiter::Wait(call.responder());
            this.stand(waiter, || {});
            Ok(call.answered_later())
        });
        table.dynamic("ready", &[], |this, call| {
            let () = call.arguments()?;
            call.answer(&this.reply().is_some())
        });
        table.dynamic("successful", &[], |this, call| {
            let () = call.arguments()?;
            call.answer(&this.reply().map(|reply| reply.is_ok()))
        });
        table.display();
    }
}

proxy_type! {
    /// A result of a server's pool that is on its way: what [`PoolProxy::apply_async`](super::PoolProxy::apply_async) and
    /// [`map_async`](super::PoolProxy::map_async) return.
    ///
    /// It stays in the server, and can be fetched by any process, and more than once. Dropping it leaves the task to be done all the same.
    pub struct AsyncResultProxy<T>, AsyncResultDeferred;
}

calls! {
    [T: Datum] AsyncResultProxy[T], AsyncResultDeferred;

    /// Waits until it is there, as long as that takes.
    fn wait(&self) -> () { "wait"() }

    /// Whether it is there.
    #[doc(alias = "ready")]
    fn is_ready(&self) -> bool { "ready"() }

    /// Whether it is there and no failure; `None` while it is not there.
    fn successful(&self) -> Option<bool> { "successful"() }
}

impl<T: Datum> AsyncResultProxy<T> {
    /// The result. Waits for it without limit.
    ///
    /// # Errors
    /// Why there is none.
    pub fn get(&self) -> Result<T, PoolError> {
        let got = self.base().invoke_fallible_by_value::<_, Received<T>, PoolError>("get", &());
        flat(got).map(Received::into_inner)
    }

    /// As [`get`](Self::get), for `timeout` at the most.
    ///
    /// # Errors
    /// [`PoolError::Timeout`], after which it can be asked again; or why there is no result.
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, PoolError> {
        match self.with_timeout(timeout).get() {
            Err(PoolError::System(Error::Timeout { .. })) => Err(PoolError::Timeout { after: timeout }),
            other => other,
        }
    }

    /// Waits until it is there, for `timeout` at the most; whether it is.
    ///
    /// # Errors
    /// As every call.
    #[doc(alias = "wait")]
    pub fn wait_timeout(&self, timeout: Duration) -> crate::error::Result<bool> {
        match self.with_timeout(timeout).wait() {
            Ok(()) => Ok(true),
            Err(Error::Timeout { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The pool's own error and the system's are one.
pub(super) fn flat<T>(result: Result<T, CallError<PoolError>>) -> Result<T, PoolError> {
    result.map_err(|error| match error {
        CallError::Method(error) => error,
        CallError::System(error) => error.into(),
    })
}
