//! Clients of CPython's `multiprocessing.managers`, served as its own server serves them.
//!
//! They stand beside the native ones: the same objects, the same threads, the same gates. What differs ends in this module: requests and replies are pickles
//! ([`message`]), a connection begins with a first message and carries one call at a time ([`session`]), references are counted by `incref` and `decref` on short connections of their
//! own ([`peers`]). What a type looks like from Python is the type's own matter: its [`Face`](crate::object::face::Face).

mod message;
mod peers;
mod session;

use std::sync::Arc;

pub(super) use self::peers::Peers;
pub(super) use self::session::Session;
use super::core::{Admission, Core};
use super::lead::Stream;
use crate::error::Result;
use crate::handshake::PythonPeer;

/// Takes in a connection of a Python client.
pub(super) fn begin(core: &Arc<Core>, peer: PythonPeer, admission: Admission) -> Result<()> {
    let holder = core.python.holder(core, &peer.connection)?;
    let session = Session::new(core, holder, peer, admission);
    core.streams.add(Stream::Python(session))
}
