//! What a fork does to the clients of a process.
//!
//! Before the fork each tells its server, without waiting, that a child will come, by which id, and how to see its end (a lifeline). On the same stream travels
//! all that the parent gives back, so the server copies the references at exactly this point: the parent may drop its proxies the moment after. In the
//! child each client becomes another one, with the same ledger and no connections.
//!
//! A failed fork, an exec and the child's death all show as the end of the lifeline.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::{Client, State, clients, lifelines};
use crate::authkey;
use crate::protocol::ClientId;
use crate::sys::fork::{self, ForkMutex, Hooks};

/// A client's preparation for the fork that is under way.
struct Prepared {
    client: Arc<Client>,
    /// The child's id and the near end of its lifeline, where the server was told.
    child: Option<(ClientId, OwnedFd)>,
}

/// The fork that is under way: there is at most one, since a fork holds the gate.
static PREPARED: ForkMutex<Vec<Prepared>> = ForkMutex::new(Vec::new());

/// Has the hooks run at every fork from now on.
pub(super) fn install() {
    authkey::inherit();
    fork::at_fork(Hooks { prepare, parent, child });
}

fn prepare() {
    let prepared = clients().into_iter().filter(|client| client.is_own()).map(|client| {
        let child = announce(&client);
        Prepared { client, child }
    });
    let prepared: Vec<_> = prepared.collect();
    *PREPARED.lock() = prepared;
}

/// Tells the server of the child.
fn announce(client: &Client) -> Option<(ClientId, OwnedFd)> {
    let mut state = client.state();
    if state.gone.is_some() || state.ledger.is_empty() {
        return None;
    }
    // Without descriptors for a lifeline the child has no references; it will say so itself.
    let (near, far) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).ok()?;
    let child = ClientId::random();
    let State { notices, ledger, .. } = &mut *state;
    notices.say_fork(child, far, ledger);
    Some((child, near))
}

fn parent() {
    let prepared = std::mem::take(&mut *PREPARED.lock());
    for Prepared { client, child } in prepared {
        // The near end is the child's now.
        drop(child);
        client.state().notices.forget_ended_children();
        lifelines::watch(&client);
    }
}

fn child() {
    for Prepared { client, child } in std::mem::take(&mut *PREPARED.lock()) {
        let dropped = {
            let mut state = client.state();
            let (id, lifeline) = child.map_or((ClientId::random(), None), |(id, near)| (id, Some(near)));
            state.id = id;
            state.watching = false;
            state.notices.become_childs(lifeline);
            (std::mem::take(&mut state.pool), state.pipeline.take(), client.hot.take())
        };
        // Pairs with the load in `is_own`, on this thread, the only one.
        client.generation.store(fork::generation(), Ordering::Relaxed);
        // Deferred calls held references, which are the child's own to let go of.
        drop(dropped);
    }
}
