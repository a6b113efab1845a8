//! Which clients an object wants to outlive, and what it needs for that when no call is there to give it.

use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;

use crate::error::Error;
use crate::object::host::Host;
use crate::object::{Failure, Heir, Invocation};
use crate::protocol::ClientId;
use crate::sys::sync::Mutex;

/// The clients of whose end an object is told, each asked for once.
#[derive(Default)]
pub(super) struct Watched {
    clients: Mutex<FxHashSet<ClientId>>,
    host: OnceLock<Arc<dyn Host>>,
}

impl Watched {
    /// Has `heir` told when the caller's process ends. An error where it has ended already: nothing may be kept for it.
    pub(super) fn watch<H: Heir + 'static>(&self, call: &Invocation<'_>, heir: &Arc<H>) -> Result<(), Failure> {
        self.host.get_or_init(|| Arc::clone(call.host()));
        // The server's own code has no end but the server's.
        let Some(client) = call.caller().client else { return Ok(()) };
        let mut clients = self.clients.lock();
        if !clients.insert(client) {
            return Ok(());
        }
        let heir: Weak<H> = Arc::downgrade(heir);
        if call.host().at_client_end(client, heir) {
            return Ok(());
        }
        clients.remove(&client);
        Err(Failure::System(Error::Cancelled))
    }

    /// Runs `job`, which must not wait, after that time. Only after [`watch`](Self::watch), which every call that leads here begins with.
    pub(super) fn after(&self, time: Duration, job: impl FnOnce() + Send + 'static) {
        if let Some(host) = self.host.get() {
            host.at(Instant::now() + time, Box::new(job));
        }
    }

    /// The client has ended.
    pub(super) fn forget(&self, client: ClientId) {
        self.clients.lock().remove(&client);
    }
}
