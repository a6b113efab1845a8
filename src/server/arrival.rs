//! A connection that has not proved itself yet.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::core::{Admission, Core};
use super::lead::Stream;
use super::notices;
use super::session::Session;
use super::timers::TimerKey;
use crate::error::{Error, Result};
use crate::handshake::{Arrived, Authenticated, Pending, Refusal, Role, Welcome};
use crate::sys::sync::Mutex;
use crate::transport::{Connection, Descriptor};

struct State {
    /// Taken when the handshake is over.
    pending: Option<(Pending, Admission)>,
    timer: Option<TimerKey>,
}

/// One stranger. Costs a slot and at most 4 KiB, for as long as a handshake may take.
pub(super) struct Arrival {
    /// The handshake's own is behind the lock. No copy: where descriptors run out, a connection that was accepted must not end for want of another.
    fd: Descriptor,
    state: Mutex<State>,
}

/// How an arrival stands.
pub(super) enum Progress {
    /// More is to come.
    Waits,
    /// It is over, one way or the other.
    Over,
}

impl Arrival {
    /// Greets a new connection.
    pub(super) fn new(core: &Core, connection: Connection, admission: Admission) -> Result<Self> {
        let fd = connection.share();
        let welcome = Welcome { server: core.table.server(), max_frame: core.settings.max_frame };
        #[cfg_attr(not(feature = "python"), allow(unused_mut))]
        let mut pending = Pending::new(connection, &core.settings.authkey, welcome)?;
        #[cfg(feature = "python")]
        if core.settings.python.is_some() {
            pending.allow_python();
        }
        Ok(Self { fd, state: Mutex::new(State { pending: Some((pending, admission)), timer: None }) })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn set_timer(&self, timer: TimerKey) {
        self.state.lock().timer = Some(timer);
    }

    /// Goes on with the handshake, as far as what has come allows.
    pub(super) fn advance(&self, core: &Arc<Core>) -> Progress {
        let mut state = self.state.lock();
        let Some((mut pending, admission)) = state.pending.take() else { return Progress::Over };
        match pending.arrive() {
            Ok(None) => {
                state.pending = Some((pending, admission));
                return Progress::Waits;
            }
            #[cfg(feature = "python")]
            Ok(Some(Arrived::Python(peer))) => {
                if let Err(error) = super::python::begin(core, peer, admission) {
                    tracing::warn!(%error, "a Python client could not be admitted");
                }
            }
            Ok(Some(Arrived::Native(authenticated))) => {
                if let Err(error) = admit(core, authenticated, admission) {
                    tracing::warn!(%error, "a client could not be admitted");
                }
            }
            Err(error) => tracing::warn!(peer = %pending.peer(), %error, "a peer was refused"),
        }
        if let Some(timer) = state.timer.take() {
            core.timers.unset(timer);
        }
        Progress::Over
    }

    /// Its time is over.
    pub(super) fn expire(&self) {
        let pending = self.state.lock().pending.take();
        if let Some((pending, _)) = pending {
            tracing::warn!(peer = %pending.peer(), "a peer was refused: it did not prove itself in time");
            pending.refuse(&Refusal::TooLate);
        }
    }
}

/// Takes in a client's stream that has proved itself.
fn admit(core: &Arc<Core>, authenticated: Authenticated, admission: Admission) -> Result<()> {
    let (connection, hello, _) = authenticated.into_parts();
    let Connection { mut receiver, sender } = connection;
    receiver.set_limit(core.settings.max_frame);
    match hello.role {
        Role::Control => notices::begin(core, hello.client, receiver, sender, admission),
        Role::Data => {
            let record = core
                .client(hello.client)
                .ok_or_else(|| Error::protocol("a data connection of a client without a control stream"))?;
            let session = Session::new(record, hello.connection, receiver, sender, admission);
            if !session.record().add_session(&session) {
                return Err(Error::protocol("a data connection of a client that is gone"));
            }
            core.streams.add(Stream::Data(session))
        }
    }
}
