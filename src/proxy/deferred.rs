//! The result of a call that is under way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::BaseProxy;
use super::answered::{About, Answered};
use crate::client::Handle;
use crate::error::{Error, Result};

/// What is made of the answer.
type Finish<T, E> = Box<dyn FnOnce(About<'_>, Result<Answered>) -> Result<T, E> + Send>;

/// How far a call is.
pub(super) enum Call {
    /// It was answered, or could not be made, before anybody asked. Apart, since most calls are sent.
    Over(Box<(BaseProxy, Result<Answered>)>),
    UnderWay {
        handle: Handle,
        timeout: Option<Duration>,
    },
}

/// The result of a call that was sent and is not waited for yet, as a method of a proxy's [deferred twin](crate::Proxy::defer) returns it.
///
/// [`wait`](Self::wait) blocks until the answer is there. As a [`Future`] it works with any executor: whoever reads answers next wakes its task, a small thread of this
/// crate if nobody else does.
///
/// Dropping it gives the call up: what has not begun does not begin, a waiting call ends, and what its answer would have moved (a queue's item) stays where it was. A method
/// that runs is not interrupted. [`detach`](Self::detach) lets the call go on without it. (In a [batch](crate::BaseManager::batch) all calls are made, those whose handles
/// were dropped too.)
///
/// Calls on one object take effect in the order in which one thread made them; on several, too, except where one has to wait. A call keeps its object and its
/// arguments alive until it is answered. It belongs to the process that made it: in a forked child waiting for it is an error.
///
/// ```
/// # use multiproc::{BaseManager, Proxy};
/// # pub struct Counter { count: u64 }
/// # #[multiproc::referent]
/// # impl Counter {
/// #     pub fn new() -> Self { Self { count: 0 } }
/// #     pub fn add(&mut self, n: u64) -> u64 { self.count += n; self.count }
/// # }
/// # fn main() -> multiproc::Result<()> {
/// # let manager = BaseManager::builder().register::<Counter>().start()?;
/// let counter = CounterProxy::new(&manager)?;
/// let later: Vec<_> = (1..=4).map(|n| counter.defer().add(n)).collect();
/// let sums: Result<Vec<u64>, _> = later.into_iter().map(|call| call.wait()).collect();
/// assert_eq!(sums?, [1, 3, 6, 10]);
/// # manager.shutdown()
/// # }
/// ```
#[must_use = "a call is given up when its `Deferred` is dropped: `wait` for it, or `detach` it"]
pub struct Deferred<T, E = Error> {
    /// Gone when it was handed out.
    call: Option<Call>,
    finish: Option<Finish<T, E>>,
}

impl<T, E> Deferred<T, E> {
    pub(super) fn new(
        call: Call,
        finish: impl FnOnce(About<'_>, Result<Answered>) -> Result<T, E> + Send + 'static,
    ) -> Self {
        Self { call: Some(call), finish: Some(Box::new(finish)) }
    }

    /// Waits for the answer: as long as it takes, or as the proxy's [timeout](crate::Proxy::with_timeout) says, counted from when the call was sent. Ends within 1 s of
    /// the server's death.
    ///
    /// # Panics
    /// For a future that has been ready already.
    pub fn wait(mut self) -> Result<T, E> {
        match self.call.take() {
            Some(Call::UnderWay { mut handle, timeout }) => {
                let answered = handle.wait().map(Answered::Remote);
                self.finish(About { token: handle.target().token(), timeout }, answered)
            }
            Some(Call::Over(over)) => self.finish(over.0.about(), over.1),
            None => panic!("{HANDED_OUT}"),
        }
    }

    /// Whether the answer is there, as far as anybody has read: [`wait`](Self::wait) will not block then.
    pub fn is_answered(&self) -> bool {
        match &self.call {
            Some(Call::UnderWay { handle, .. }) => handle.is_answered(),
            _ => true,
        }
    }

    /// Lets the call go on, and drops its answer when it comes. Its errors are lost, and what it would move stays where it was.
    pub fn detach(mut self) {
        if let Some(Call::UnderWay { handle, .. }) = self.call.take() {
            handle.detach();
        }
    }

    /// The same call, with another result made of its result, when it is there.
    pub fn then<U, F>(self, make: impl FnOnce(Result<T, E>) -> Result<U, F> + Send + 'static) -> Deferred<U, F>
    where
        T: 'static,
        E: 'static,
    {
        let Self { call, finish } = self;
        let finish =
            finish.map(|finish| -> Finish<U, F> { Box::new(move |about, answered| make(finish(about, answered))) });
        Deferred { call, finish }
    }

    /// The same call, with something else made of what it returns.
    ///
    /// ```
    /// # use multiproc::{BaseManager, Proxy};
    /// # fn main() -> multiproc::Result<()> {
    /// # pub struct Words;
    /// # #[multiproc::referent]
    /// # impl Words { pub fn new() -> Self { Self } pub fn all(&self) -> Vec<String> { vec!["one".into(), "two".into()] } }
    /// # let manager = BaseManager::builder().register::<Words>().start()?;
    /// # let words = WordsProxy::new(&manager)?;
    /// let count = words.defer().all().map(|words| words.len());
    /// assert_eq!(count.wait()?, 2);
    /// # manager.shutdown()
    /// # }
    /// ```
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

    fn finish(&mut self, about: About<'_>, answered: Result<Answered>) -> Result<T, E> {
        let finish = self.finish.take().expect(HANDED_OUT);
        finish(about, answered)
    }
}

const HANDED_OUT: &str = "a call's result is handed out once";

/// Becomes ready with what [`wait`](Deferred::wait) would return.
///
/// # Panics
/// When polled again after it was ready.
impl<T, E> Future for Deferred<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = match &mut self.call {
            Some(Call::UnderWay { handle, .. }) => match handle.poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => Some(answer.map(Answered::Remote)),
            },
            _ => None,
        };
        Poll::Ready(match (self.call.take(), answered) {
            (Some(Call::UnderWay { handle, timeout }), Some(answered)) => {
                self.finish(About { token: handle.target().token(), timeout }, answered)
            }
            (Some(Call::Over(over)), _) => self.finish(over.0.about(), over.1),
            _ => panic!("{HANDED_OUT}"),
        })
    }
}

impl<T, E> fmt::Debug for Deferred<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = match &self.call {
            Some(Call::UnderWay { handle, .. }) => handle.target().token(),
            Some(Call::Over(over)) => over.0.token_ref(),
            None => return f.write_str("<deferred call, handed out>"),
        };
        write!(f, "<deferred call of {token:?}>")
    }
}
