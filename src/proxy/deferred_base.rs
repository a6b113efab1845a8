//! Calls of a proxy that are sent and not waited for.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::base::Reference;
use super::deferred::Call;
use super::written::Written;
use super::{BaseProxy, Batch, Deferred};
use crate::client::{Handle, RemoteReference, Request};
use crate::codec::Codec;
use crate::error::{CallError, Result};
use crate::sys::buffer;

/// The deferred twin of a [`BaseProxy`]: its calls return a [`Deferred`] at once.
///
/// Typed twins (generated, or written by hand) wrap one, as typed proxies wrap a `BaseProxy`.
///
/// ```
/// # use multiproc::{BaseManager, Proxy};
/// # pub struct Greeter { name: String }
/// # #[multiproc::referent]
/// # impl Greeter {
/// #     pub fn new(name: String) -> Self { Self { name } }
/// #     pub fn greet(&self, who: &str) -> String { format!("{} greets {who}", self.name) }
/// # }
/// # fn main() -> multiproc::Result<()> {
/// # let manager = BaseManager::builder().register::<Greeter>().start()?;
/// let greeter = manager.create("Greeter", ("mark",))?;
/// let greeting = greeter.defer().call_method::<String>("greet", ("you",));
/// assert_eq!(greeting.wait()?, "mark greets you");
/// # manager.shutdown()
/// # }
/// ```
pub struct DeferredBase<'b> {
    proxy: BaseProxy,
    batch: Option<&'b Batch>,
}

impl<'b> DeferredBase<'b> {
    /// For calls that are sent at once.
    pub(super) fn new(proxy: BaseProxy) -> Self {
        Self { proxy, batch: None }
    }

    /// For calls in a batch.
    pub(super) fn in_batch(proxy: BaseProxy, batch: &'b Batch) -> Self {
        Self { proxy, batch: Some(batch) }
    }

    /// The proxy whose twin this is.
    pub fn proxy(&self) -> &BaseProxy {
        &self.proxy
    }

    /// As [`BaseProxy::call_method`].
    pub fn call_method<R: DeserializeOwned + 'static>(&self, method: &str, arguments: impl Serialize) -> Deferred<R> {
        self.call_method_with(method, arguments, ())
    }

    /// As [`BaseProxy::call_method_with`].
    pub fn call_method_with<R: DeserializeOwned + 'static>(
        &self,
        method: &str,
        arguments: impl Serialize,
        keywords: impl Serialize,
    ) -> Deferred<R> {
        self.send(Codec::Value, Written::by_name(&self.proxy, method, &arguments, &keywords))
    }

    /// As [`BaseProxy::call_method_fallible`].
    pub fn call_method_fallible<R: DeserializeOwned + 'static, E: DeserializeOwned + 'static>(
        &self,
        method: &str,
        arguments: impl Serialize,
    ) -> Deferred<R, CallError<E>> {
        self.send_fallible(Codec::Value, Written::by_name(&self.proxy, method, &arguments, &()))
    }

    /// As [`BaseProxy::invoke`].
    #[doc(hidden)]
    pub fn invoke<A: Serialize + ?Sized, R: DeserializeOwned + 'static>(
        &self,
        method: &str,
        signature: u32,
        arguments: &A,
    ) -> Deferred<R> {
        let codec = self.proxy.codec();
        self.send(codec, Written::typed(codec, method, signature, arguments))
    }

    /// As [`BaseProxy::invoke_fallible`].
    #[doc(hidden)]
    pub fn invoke_fallible<A: Serialize + ?Sized, R: DeserializeOwned + 'static, E: DeserializeOwned + 'static>(
        &self,
        method: &str,
        signature: u32,
        arguments: &A,
    ) -> Deferred<R, CallError<E>> {
        let codec = self.proxy.codec();
        self.send_fallible(codec, Written::typed(codec, method, signature, arguments))
    }

    /// As [`BaseProxy::invoke_by_value`].
    #[doc(hidden)]
    pub fn invoke_by_value<A: Serialize + ?Sized, R: DeserializeOwned + 'static>(
        &self,
        method: &str,
        arguments: &A,
    ) -> Deferred<R> {
        self.send(Codec::Value, Written::by_value(method, arguments))
    }

    /// As [`BaseProxy::invoke_fallible_by_value`].
    #[doc(hidden)]
    pub fn invoke_fallible_by_value<
        A: Serialize + ?Sized,
        R: DeserializeOwned + 'static,
        E: DeserializeOwned + 'static,
    >(
        &self,
        method: &str,
        arguments: &A,
    ) -> Deferred<R, CallError<E>> {
        self.send_fallible(Codec::Value, Written::by_value(method, arguments))
    }

    fn send<R: DeserializeOwned + 'static>(&self, codec: Codec, written: Result<Written<'_>>) -> Deferred<R> {
        let call = self.submit(written);
        // A function that keeps nothing needs no memory of its own.
        match codec {
            Codec::Bincode => Deferred::new(call, |about, answered| answered?.settle(about, Codec::Bincode)),
            Codec::Value => Deferred::new(call, |about, answered| answered?.settle(about, Codec::Value)),
        }
    }

    fn send_fallible<R: DeserializeOwned + 'static, E: DeserializeOwned + 'static>(
        &self,
        codec: Codec,
        written: Result<Written<'_>>,
    ) -> Deferred<R, CallError<E>> {
        let call = self.submit(written);
        match codec {
            Codec::Bincode => Deferred::new(call, |about, answered| answered?.settle_fallible(about, Codec::Bincode)),
            Codec::Value => Deferred::new(call, |about, answered| answered?.settle_fallible(about, Codec::Value)),
        }
    }

    /// Sends the call, or puts it into the batch. Inside the server, and of an object of Python's, it is made at once, and waited for.
    fn submit(&self, written: Result<Written<'_>>) -> Call {
        let over = |answered| Call::Over(Box::new((self.proxy.clone(), answered)));
        let checked = written.and_then(|written| self.check().map(|()| written));
        match (checked, &self.proxy.reference) {
            (Err(error), _) => over(Err(error)),
            (Ok(written), Reference::Remote(reference)) => match self.send_ahead(reference, written) {
                Ok(handle) => Call::UnderWay { handle, timeout: self.proxy.timeout },
                Err(error) => over(Err(error)),
            },
            (Ok(written), _) => over(self.proxy.perform(written)),
        }
    }

    /// A batch goes to one server.
    fn check(&self) -> Result<()> {
        match self.batch {
            Some(batch) if !matches!(self.proxy.reference, Reference::Nothing(_)) => batch.check(&self.proxy),
            _ => Ok(()),
        }
    }

    fn send_ahead(&self, reference: &Arc<RemoteReference>, written: Written<'_>) -> Result<Handle> {
        let Written { method, codec, signature, mut payload, carried, .. } = written;
        let mut request = Request {
            object: reference.token().object,
            method,
            codec,
            signature,
            payload: &mut payload,
            streamed: None,
            carried: &carried,
            timeout: self.proxy.timeout,
        };
        let handle = match self.batch.and_then(Batch::pipeline) {
            Some((client, pipeline)) => pipeline.submit(client, &mut request, reference),
            None => {
                let client = reference.client();
                client.pipeline().and_then(|pipeline| pipeline.submit(client, &mut request, reference))
            }
        };
        buffer::give(payload);
        let mut handle = handle?;
        handle.keep(carried);
        Ok(handle)
    }
}
