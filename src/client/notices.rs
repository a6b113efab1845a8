//! This process's control stream: notices leave in order, and without waiting.
//!
//! What the socket does not take is kept and sent later: with the next notice, before the next call, or by the [keeper](super::keeper). A forked child starts
//! unconnected; what it has to say before its first call (that it forked again, what it has let go of) is kept too, behind the list of what it holds.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::ledger::Ledger;
use crate::protocol::ClientId;
use crate::protocol::notice::{ControlNotice, ServerNotice};
use crate::sys::poll::{self, Interest};
use crate::transport::{Connection, Progress};

/// What calls have to know of a control stream.
#[derive(Default)]
pub(super) struct Told {
    said: AtomicU64,
    busy: AtomicBool,
}

impl Told {
    /// How many notices a request that is sent now comes after.
    pub(super) fn said(&self) -> u64 {
        // Pairs with the store in `Notices::tell`. One that was said before this call, on whichever thread, is counted; one that is being said may or may not be.
        self.said.load(Ordering::Acquire)
    }

    /// Whether the stream is to be [flushed](Notices::flush) before a call, or its answer [matters](Notices::arrived).
    pub(super) fn is_busy(&self) -> bool {
        // As above.
        self.busy.load(Ordering::Acquire)
    }
}

/// The control stream of one client.
#[derive(Default)]
pub(super) struct Notices {
    stream: Option<Connection>,
    /// Whether a keeper sees to what the socket did not take.
    kept: bool,
    /// Whether a thread is about to connect it.
    connecting: bool,
    /// How many notices were sent or kept, on this stream.
    said: u64,
    /// What is to be said at the connection, in order.
    unsaid: Vec<(ControlNotice, Option<OwnedFd>)>,
    /// A forked child says first what it holds.
    announced: bool,
    /// The near ends of the lifelines that tell the server that this process lives, until its own control stream does. A grandchild inherits those of its ancestors:
    /// as long as it is not connected, it lives by their references.
    lifelines: Vec<OwnedFd>,
    /// The far ends of the lifelines of children whose server they can't be sent to: this process watches them for it.
    wards: Vec<(ClientId, Arc<OwnedFd>)>,
    /// What the server said at its end.
    last_words: Option<String>,
    told: Arc<Told>,
}

impl Notices {
    pub(super) fn connected(stream: Connection) -> Self {
        Self { stream: Some(stream), ..Self::default() }
    }

    /// What is to be known of it without its lock.
    pub(super) fn told(&self) -> Arc<Told> {
        Arc::clone(&self.told)
    }

    /// To be called after every change of what is [told](Told).
    fn tell(&self) {
        let backlog = self.stream.as_ref().is_some_and(|stream| stream.sender.backlog() > 0);
        // Pair with the loads in `Told`.
        self.told.said.store(self.said, Ordering::Release);
        self.told.busy.store(backlog || !self.lifelines.is_empty(), Ordering::Release);
    }

    pub(super) fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether this thread is to connect it: no other is at it.
    pub(super) fn begins_to_connect(&mut self) -> bool {
        !std::mem::replace(&mut self.connecting, true)
    }

    /// The thread that was to connect it is done, with or without a stream.
    pub(super) fn has_tried_to_connect(&mut self) {
        self.connecting = false;
    }

    /// Connects a forked child: what it holds comes first.
    pub(super) fn connect(&mut self, stream: Connection, ledger: &Ledger) {
        self.stream = Some(stream);
        self.list_holdings(ledger);
        for (notice, fd) in std::mem::take(&mut self.unsaid) {
            self.send(&notice, fd);
        }
        if self.carries_fds() {
            self.arrived();
        }
        self.tell();
    }

    /// The server knows that this process lives by its stream.
    ///
    /// It does from the moment of the connection where it watches the lifelines itself, on the thread that takes connections in. Where the parent watches them, only
    /// when it has answered a call.
    pub(super) fn arrived(&mut self) {
        if self.stream.is_some() && !self.lifelines.is_empty() {
            self.lifelines.clear();
            self.tell();
        }
    }

    fn carries_fds(&self) -> bool {
        self.stream.as_ref().is_none_or(|stream| stream.peer().is_local())
    }

    /// The lifelines that this process watches.
    pub(super) fn wards(&self) -> &[(ClientId, Arc<OwnedFd>)] {
        &self.wards
    }

    /// A child has ended.
    pub(super) fn say_ended(&mut self, child: ClientId, ledger: &Ledger) -> bool {
        self.wards.retain(|&(ward, _)| ward != child);
        self.say(ControlNotice::Ended { child }, None, ledger)
    }

    /// Fixes what a forked child says first, as it is now.
    fn list_holdings(&mut self, ledger: &Ledger) {
        if self.announced && self.unsaid.is_empty() {
            self.unsaid.push((ControlNotice::Holds(ledger.held()), None));
        }
    }

    /// Says something; true if all of it has left. `ledger` is what is held after it.
    pub(super) fn say(&mut self, notice: ControlNotice, fd: Option<OwnedFd>, ledger: &Ledger) -> bool {
        if self.stream.is_some() {
            return self.send(&notice, fd);
        }
        // The list of what is held, made at the connection, says a release by what it lacks; it must be made before anything else is said.
        if !self.unsaid.is_empty() || !matches!(notice, ControlNotice::Release(_)) {
            self.list_holdings(ledger);
            self.unsaid.push((notice, fd));
        }
        true
    }

    /// Forgets the forks that were not spoken of yet, and whose children have ended or never were: each would keep a descriptor for as long as this process does not speak.
    pub(super) fn forget_ended_children(&mut self) {
        let ended = |lifeline: &OwnedFd| {
            poll::wait_one(lifeline, Interest::HangUp, Some(Duration::ZERO)).is_ok_and(|ready| ready.any())
        };
        self.unsaid.retain(|(notice, lifeline)| {
            !matches!(notice, ControlNotice::Fork { .. }) || !lifeline.as_ref().is_some_and(ended)
        });
    }

    fn send(&mut self, notice: &ControlNotice, fd: Option<OwnedFd>) -> bool {
        let carries_fds = self.carries_fds();
        let Some(stream) = &mut self.stream else { return true };
        let mut frame = Vec::new();
        notice.write(&mut frame);
        self.said += 1;
        let sent = match fd {
            Some(fd) if !carries_fds => {
                if let ControlNotice::Fork { child } = notice {
                    self.wards.push((*child, Arc::new(fd)));
                }
                stream.sender.send(&[&frame])
            }
            Some(fd) => stream.sender.send_with_fd(&[&frame], fd),
            None => stream.sender.send(&[&frame]),
        };
        self.tell();
        // A stream that is broken has lost its server, as the next call will find; nothing is owed to it.
        !matches!(sent, Ok(Progress::Pending))
    }

    /// Sends what was kept; true if nothing is left.
    pub(super) fn flush(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return true };
        if stream.sender.backlog() == 0 {
            return true;
        }
        let flushed = stream.sender.flush();
        self.tell();
        !matches!(flushed, Ok(Progress::Pending))
    }

    /// Whether something is kept and no [keeper](super::keeper) sees to it; the caller is to start one, or to [say that it could not](Self::is_not_kept).
    pub(super) fn needs_keeper(&mut self) -> bool {
        let left = self.stream.as_ref().is_some_and(|stream| stream.sender.backlog() > 0);
        left && !std::mem::replace(&mut self.kept, true)
    }

    /// No keeper sees to what is left, if anything.
    pub(super) fn is_not_kept(&mut self) {
        self.kept = false;
    }

    /// A copy of the stream's descriptor, to wait on.
    pub(super) fn fd(&self) -> Option<OwnedFd> {
        self.stream.as_ref()?.sender.fd().try_clone_to_owned().ok()
    }

    /// Says that this process forks. `far` goes to the server, if it can.
    pub(super) fn say_fork(&mut self, child: ClientId, far: OwnedFd, ledger: &Ledger) {
        self.say(ControlNotice::Fork { child }, Some(far), ledger);
    }

    /// Becomes the control stream of a forked child: unconnected, with the lifeline that its parent made for it.
    pub(super) fn become_childs(&mut self, lifeline: Option<OwnedFd>) {
        let connected = self.stream.take().is_some();
        if connected {
            self.lifelines.clear();
        }
        self.announced |= lifeline.is_some();
        self.lifelines.extend(lifeline);
        self.wards.clear();
        self.unsaid.clear();
        self.kept = false;
        self.said = 0;
        self.connecting = false;
        self.tell();
    }

    /// What the server said at its end, if anything.
    pub(super) fn last_words(&mut self) -> Option<String> {
        if let Some(stream) = &mut self.stream {
            while let Ok(Some(frame)) = stream.receiver.next() {
                if let Ok(ServerNotice::Ending { reason }) = ServerNotice::read(&frame) {
                    self.last_words = Some(reason);
                }
            }
        }
        self.last_words.clone()
    }
}
