//! What users hold: handles to referents, usable from any process.
//!
//! A [`BaseProxy`] knows its object and how to call it: through this process's [`Client`](crate::client::Client) of the object's server, or straight through the
//! object table when it is used inside that server. Typed proxies (generated, or written by hand) wrap one and add types.
//!
//! An object may also be one of a server of Python's; then a call becomes one of CPython's protocol, by Python's own names or by what a shared type's methods come to there
//! ([`client::python`](crate::client::python)).
//!
//! A call waits for its answer, or does not: [`Proxy::defer`] gives a proxy's *deferred twin*, whose methods return a [`Deferred`] at once.
//!
//! | file | holds |
//! | --- | --- |
//! | [`base`] | [`BaseProxy`]: the object, and calls that wait |
//! | [`deferred_base`] | [`DeferredBase`]: the same calls, sent and not waited for |
//! | [`deferred`] | [`Deferred`]: the result of a call that is under way |
//! | [`maker`] | [`Maker`]: what a constructor of a proxy needs of a manager |
//! | [`batch`], [`resolve`] | calls that are sent together, and what becomes of them |
//! | [`target`] | what a manager talks to: a server of this crate, or of Python's |
//! | [`written`] | a call before it is made |
//! | [`answered`] | an answer, whichever way it came, and what it means |
//! | [`travel`] | proxies as serde values: in a call, and on other ways |

mod answered;
mod base;
mod batch;
mod deferred;
mod deferred_base;
mod maker;
mod resolve;
mod target;
mod travel;
mod written;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::base::BaseProxy;
pub use self::batch::Batch;
pub use self::deferred::Deferred;
pub use self::deferred_base::DeferredBase;
pub use self::maker::Maker;
pub(crate) use self::maker::Typeids;
pub use self::resolve::Resolve;
#[cfg(feature = "python")]
pub(crate) use self::target::Target;
pub(crate) use self::travel::received;
use crate::error::Result;
use crate::object::Referent;
use crate::object::registration::Registration;
use crate::protocol::Token;

/// What every typed proxy is and can do.
///
/// Implemented by the macros; by hand with `#[derive(multiproc::Proxy)]` on a struct around a [`BaseProxy`].
pub trait Proxy: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The methods that a registration with this proxytype exposes, unless it says otherwise; `None` for all.
    const EXPOSED: Option<&'static [&'static str]> = None;
    /// Under which typeids the results of methods are registered, unless the registration says otherwise.
    const METHOD_TO_TYPEID: &'static [(&'static str, &'static str)] = &[];

    /// The proxy's deferred twin: the same methods, each returning a [`Deferred`] instead of waiting. [`DeferredBase`] itself, for a proxy that has none of its own.
    type Deferred<'b>: From<DeferredBase<'b>>;

    /// A typed proxy around an untyped one.
    fn from_base(base: BaseProxy) -> Self;

    /// The untyped proxy inside.
    fn base(&self) -> &BaseProxy;

    /// The registered name of the referent's type.
    fn typeid(&self) -> &str {
        self.base().token_ref().typeid()
    }

    /// What names the referent between processes.
    fn token(&self) -> Token {
        self.base().token_ref().clone()
    }

    /// The referent's text, computed in the server: what its `Display` writes, where its type was registered with `display`, else a description.
    /// (`Display` of a proxy is the same, but can't fail.)
    #[doc(alias = "__str__")]
    fn text(&self) -> Result<String> {
        self.base().remote_text()
    }

    /// A copy of the referent, where its type was registered with `value`; else an error that names the type.
    #[doc(alias = "_getvalue")]
    fn to_value<V: DeserializeOwned>(&self) -> Result<V> {
        self.base().remote_value()
    }

    /// The same proxy, whose calls fail with [`Error::Timeout`](crate::Error::Timeout) when they take longer. The server stops waiting then, too; a method that runs is not interrupted.
    #[must_use]
    fn with_timeout(&self, timeout: Duration) -> Self {
        let base = BaseProxy { timeout: Some(timeout), ..self.base().clone() };
        Self::from_base(base)
    }

    /// The proxy's deferred twin: its methods send their calls, and return a [`Deferred`] at once.
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
    /// let (one, other) = (counter.defer().add(1), counter.defer().add(2));
    /// // … something else, while the server works …
    /// assert_eq!((one.wait()?, other.wait()?), (1, 3));
    /// # manager.shutdown()
    /// # }
    /// ```
    fn defer(&self) -> Self::Deferred<'static> {
        DeferredBase::new(self.base().clone()).into()
    }
}

impl<T: Referent> Registration<T> {
    /// Registers with the proxy type `P`: its `EXPOSED` and `METHOD_TO_TYPEID` count where this registration does not say otherwise.
    #[must_use]
    pub fn proxytype<P: Proxy>(self) -> Self {
        self.default_exposure(P::EXPOSED, P::METHOD_TO_TYPEID)
    }
}
