//! What is to happen at a certain time, all on the control thread.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Instant;

use super::record::Record;
use super::session::Session;
use crate::protocol::RequestId;
use crate::sys::sync::Mutex;

/// What is due.
pub(super) enum Due {
    /// A stranger's time is over.
    Stranger(u64),
    /// A waiting call's time is over.
    Call(Weak<Session>, RequestId),
    /// A forked child that nobody watches has not said that it lives.
    Orphan(Weak<Record>),
    /// A connection with shared memory has been silent for a while, or has not.
    Cool(Weak<Session>),
    /// Connections may be accepted again.
    Accept,
    /// Something that an object wants to be done.
    Job(Box<dyn FnOnce() + Send>),
}

/// Names a timer, so that it can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimerKey(Instant, u64);

#[derive(Default)]
struct State {
    due: BTreeMap<TimerKey, Due>,
    next: u64,
}

/// The timers of a server.
#[derive(Default)]
pub(super) struct Timers {
    state: Mutex<State>,
}

impl Timers {
    /// Sets a timer; true if it is now the first, and the control thread must be told.
    pub(super) fn set(&self, at: Instant, due: Due) -> (TimerKey, bool) {
        let mut state = self.state.lock();
        state.next += 1;
        let key = TimerKey(at, state.next);
        state.due.insert(key, due);
        (key, state.due.first_key_value().is_some_and(|(&first, _)| first == key))
    }

    /// Takes a timer back.
    pub(super) fn unset(&self, key: TimerKey) {
        drop(self.state.lock().due.remove(&key));
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.state.lock().due.first_key_value().map(|(key, _)| key.0)
    }

    /// Takes one that is due.
    pub(super) fn take(&self, now: Instant) -> Option<Due> {
        let mut state = self.state.lock();
        let first = state.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}
