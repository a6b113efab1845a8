//! Sends notices that the socket did not take at once, when nobody else does.
//!
//! A proxy's drop never waits; if the server is busy for so long that its socket is full, what was dropped would otherwise stay unsaid until the next
//! call. The thread lives only as long as there is something to send.

use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Client;
use crate::sys::poll::{self, Interest};
use crate::sys::thread;

/// How long one wait for the socket lasts, before it is looked whether the client still lives.
const PATIENCE: Duration = Duration::from_millis(250);

/// Sees to it that what was kept, if anything, is sent. One keeper is enough.
pub(super) fn keep(client: &Arc<Client>) {
    if !client.state().notices.needs_keeper() {
        return;
    }
    let weak = Arc::downgrade(client);
    if let Err(error) = thread::spawn("multiproc-keeper", move || flush(&weak)) {
        // The next call tries again.
        client.state().notices.is_not_kept();
        tracing::debug!(%error, "no thread to be had for notices");
    }
}

fn flush(client: &Weak<Client>) {
    loop {
        let socket = {
            let Some(client) = client.upgrade() else { return };
            let mut state = client.state();
            let socket = if state.notices.flush() { None } else { state.notices.fd() };
            if socket.is_none() {
                state.notices.is_not_kept();
            }
            socket
        };
        let Some(socket) = socket else { return };
        // An error comes of a lack of memory, and passes.
        let _ = poll::wait(&[(socket.as_fd(), Interest::Write)], Some(PATIENCE));
    }
}
