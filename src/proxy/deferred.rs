//! The result of a call that is under way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::BaseProxy;
use super::answered::Answered;
use crate::error::{Error, Result};

/// What is made of the answer.
type Finish<T, E> = Box<dyn FnOnce(&BaseProxy, Result<Answered>) -> Result<T, E> + Send>;

/// The result of a call that was sent and is not waited for yet, as a method of a proxy's [deferred twin](crate::Proxy::defer) returns it.
///
/// [`wait`](Self::wait) blocks until the answer is there; as a [`Future`] it works with any executor.
#[must_use = "a call whose `Deferred` is dropped is given up; `wait` for it"]
pub struct Deferred<T, E = Error> {
    proxy: BaseProxy,
    answered: Result<Answered>,
    finish: Option<Finish<T, E>>,
}

impl<T, E> Deferred<T, E> {
    pub(super) fn new(
        proxy: BaseProxy,
        answered: Result<Answered>,
        finish: impl FnOnce(&BaseProxy, Result<Answered>) -> Result<T, E> + Send + 'static,
    ) -> Self {
        Self { proxy, answered, finish: Some(Box::new(finish)) }
    }

    /// Waits for the answer: as long as it takes, or as the proxy's [timeout](crate::Proxy::with_timeout) says, counted from when the call was sent. Ends within 1 s of
    /// the server's death.
    pub fn wait(self) -> Result<T, E> {
        let Self { proxy, answered, finish } = self;
        match finish {
            Some(finish) => finish(&proxy, answered),
            None => unreachable!("a future that is done has been moved out of"),
        }
    }

    /// The same call, with another result made of its result, when it is there.
    pub fn then<U, F>(self, make: impl FnOnce(Result<T, E>) -> Result<U, F> + Send + 'static) -> Deferred<U, F>
    where
        T: 'static,
        E: 'static,
    {
        let Self { proxy, answered, finish } = self;
        let finish =
            finish.map(|finish| -> Finish<U, F> { Box::new(move |proxy, answered| make(finish(proxy, answered))) });
        Deferred { proxy, answered, finish }
    }

    /// The same call, with something else made of what it returns.
    pub fn map<U>(self, make: impl FnOnce(T) -> U + Send + 'static) -> Deferred<U, E>
    where
        T: 'static,
        E: 'static,
    {
        self.then(|result| result.map(make))
    }

    /// The same call, with another error.
    pub fn map_err<F>(self, make: impl FnOnce(E) -> F + Send + 'static) -> Deferred<T, F>
    where
        T: 'static,
        E: 'static,
    {
        self.then(|result| result.map_err(make))
    }
}

/// # Panics
/// When polled again after it was ready.
impl<T, E> Future for Deferred<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let finish = self.finish.take().expect("a future is not polled again after it was ready");
        let answered = std::mem::replace(&mut self.answered, Err(Error::Cancelled));
        Poll::Ready(finish(&self.proxy, answered))
    }
}

impl<T, E> fmt::Debug for Deferred<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<deferred call of {:?}>", self.proxy)
    }
}
