//! Calls that are put together, sent together, and answered together.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;

use super::target::Target;
use super::{BaseProxy, DeferredBase, Proxy, Resolve};
use crate::client::{Client, Pipeline};
use crate::error::{Error, Result};
use crate::protocol::ServerId;

/// Where the calls of a [batch](crate::BaseManager::batch) are put together.
pub struct Batch {
    /// Whose objects may be called.
    server: ServerId,
    address: Arc<str>,
    /// `None` for a server of Python's, whose protocol has no batches: its calls are made one by one.
    pipeline: Option<(Arc<Client>, Arc<Pipeline>)>,
    /// Its order is one thread's.
    not_sync: PhantomData<Cell<()>>,
}

impl Batch {
    /// Makes a batch, and gets all its results.
    pub(crate) fn run<R: Resolve>(target: &Target, compose: impl FnOnce(&Self) -> R) -> Result<R::Output> {
        let pipeline = match target {
            Target::Own(client) => Some((Arc::clone(client), client.batch()?)),
            #[cfg(feature = "python")]
            Target::Python(_) => None,
        };
        let (server, address) = (target.server(), Arc::clone(target.address()));
        let batch = Self { server, address, pipeline, not_sync: PhantomData };
        let output = compose(&batch).resolve();
        if let Some((client, pipeline)) = &batch.pipeline {
            pipeline.finish(client);
        }
        Ok(output)
    }

    /// The deferred twin of `proxy`, whose calls become part of this batch.
    ///
    /// A call of a proxy of another manager is an error, which is found in that call's place among the results.
    pub fn on<P: Proxy>(&self, proxy: &P) -> P::Deferred<'_> {
        DeferredBase::in_batch(proxy.base().clone(), self).into()
    }

    pub(super) fn pipeline(&self) -> Option<(&Arc<Client>, &Arc<Pipeline>)> {
        self.pipeline.as_ref().map(|(client, pipeline)| (client, pipeline))
    }

    /// A batch goes to one server.
    pub(super) fn check(&self, proxy: &BaseProxy) -> Result<()> {
        let theirs = proxy.token_ref();
        if theirs.server == self.server {
            return Ok(());
        }
        let (theirs, ours) = (&theirs.address, &self.address);
        Err(Error::State {
            what: format!(
                "a batch goes to one server, and this proxy's object lives in another: at {theirs}, not at {ours}"
            ),
        })
    }
}
