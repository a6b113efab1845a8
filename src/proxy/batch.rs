//! Calls that are put together, sent together, and answered together.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;

use super::{BaseProxy, DeferredBase, Proxy, Resolve};
use crate::client::{Client, Pipeline};
use crate::error::{Error, Result};

/// Where the calls of a [batch](crate::BaseManager::batch) are put together.
pub struct Batch {
    client: Arc<Client>,
    pipeline: Arc<Pipeline>,
    /// Its order is one thread's.
    not_sync: PhantomData<Cell<()>>,
}

impl Batch {
    /// Makes a batch, and gets all its results.
    pub(crate) fn run<R: Resolve>(client: &Arc<Client>, compose: impl FnOnce(&Self) -> R) -> Result<R::Output> {
        let batch = Self { client: Arc::clone(client), pipeline: client.batch()?, not_sync: PhantomData };
        let output = compose(&batch).resolve();
        batch.pipeline.finish(client);
        Ok(output)
    }

    /// The deferred twin of `proxy`, whose calls become part of this batch.
    ///
    /// A call of a proxy of another manager is an error, which is found in that call's place among the results.
    pub fn on<P: Proxy>(&self, proxy: &P) -> P::Deferred<'_> {
        DeferredBase::in_batch(proxy.base().clone(), self).into()
    }

    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(super) fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// A batch goes to one server.
    pub(super) fn check(&self, proxy: &BaseProxy) -> Result<()> {
        let (theirs, ours) = (proxy.token_ref(), &self.client);
        if theirs.server == ours.server() {
            return Ok(());
        }
        let (theirs, ours) = (&theirs.address, ours.address());
        Err(Error::State {
            what: format!(
                "a batch goes to one server, and this proxy's object lives in another: at {theirs}, not at {ours}"
            ),
        })
    }
}
