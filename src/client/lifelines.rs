//! Watches forked children for a server that can't do so itself, since no descriptors can be sent to it: over tcp.
//!
//! A thread of its own, as long as there are any, and as long as the client.

use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Client, State, keeper};
use crate::sys::poll::{self, Interest};
use crate::sys::thread;

/// How long one look lasts: after so long children that came meanwhile are looked at, too, and the end of the client is noticed.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sees to it that the children that are to be watched are.
pub(super) fn watch(client: &Arc<Client>) {
    {
        let mut state = client.state();
        if state.notices.wards().is_empty() || std::mem::replace(&mut state.watching, true) {
            return;
        }
    }
    let weak = Arc::downgrade(client);
    if let Err(error) = thread::spawn("multiproc-lifelines", move || look(&weak)) {
        client.state().watching = false;
        tracing::warn!(%error, "no thread to be had: what forked children hold is given back after this process's end only");
    }
}

fn look(client: &Weak<Client>) {
    loop {
        let wards = {
            let Some(client) = client.upgrade() else { return };
            let mut state = client.state();
            let wards = state.notices.wards().to_vec();
            if wards.is_empty() || state.gone.is_some() {
                state.watching = false;
                return;
            }
            wards
        };
        let fds: Vec<_> = wards.iter().map(|(_, lifeline)| (lifeline.as_fd(), Interest::HangUp)).collect();
        let Ok(ready) = poll::wait(&fds, Some(PATIENCE)) else { return };
        let Some(client) = client.upgrade() else { return };
        let ended = wards.iter().zip(ready).filter(|(_, ready)| ready.any());
        for ((child, _), _) in ended {
            let mut state = client.state();
            let State { notices, ledger, .. } = &mut *state;
            let sent = notices.say_ended(*child, ledger);
            drop(state);
            if !sent {
                keeper::keep(&client);
            }
        }
    }
}
