//! A semaphore's permits in the server, and the line before them.
//!
//! # Invariants
//! - The first in the line is served first, also where one behind him needs fewer permits.
//! - Free permits, those with a guard and those without add up to the bound of a [`BoundedSemaphore`](super::BoundedSemaphore).

use std::sync::{Arc, Weak};

use rustc_hash::FxHashMap;

use super::OverRelease;
use crate::error::Error;
use crate::object::{Failure, Heir, Invocation, Outcome, Responder};
use crate::protocol::ClientId;
use crate::sys::sync::Mutex;
use crate::types::waiters::Waiters;
use crate::types::watched::Watched;

/// Whose permits they are: a client's, or (`None`) the server's own objects'.
pub(super) type Holder = Option<ClientId>;

struct Waiting {
    count: u64,
    holder: Holder,
    responder: Responder<bool>,
}

#[derive(Default)]
struct State {
    free: u64,
    /// Permits that guards hold.
    held: FxHashMap<Holder, u64>,
    waiters: Waiters<Waiting>,
    /// Whether a thread hands permits out right now. It looks again when it has.
    delivering: bool,
}

impl State {
    fn take(&mut self, count: u64, holder: Holder) {
        if count > 0 {
            self.free -= count;
            *self.held.entry(holder).or_default() += count;
        }
    }

    /// Takes permits from their holder; false where it does not have as many.
    fn take_from(&mut self, count: u64, holder: Holder) -> bool {
        let Some(held) = self.held.get_mut(&holder).filter(|held| **held >= count) else { return false };
        *held -= count;
        if *held == 0 {
            self.held.remove(&holder);
        }
        true
    }

    fn add(&mut self, count: u64) {
        self.free = self.free.saturating_add(count);
    }
}

/// Permits, and the line before them.
pub(super) struct Permits {
    typeid: &'static str,
    bound: Option<u64>,
    state: Mutex<State>,
    watched: Watched,
    me: Weak<Self>,
}

impl Permits {
    pub(super) fn new(typeid: &'static str, free: u64, bound: Option<u64>) -> Arc<Self> {
        let state = Mutex::new(State { free, ..State::default() });
        Arc::new_cyclic(|me| Self { typeid, bound, state, watched: Watched::default(), me: me.clone() })
    }

    pub(super) fn holder(call: &Invocation<'_>) -> Holder {
        if call.nested_in().is_some() { None } else { call.caller().client }
    }

    pub(super) fn acquire(self: &Arc<Self>, call: &mut Invocation<'_>) -> Outcome {
        let (count, blocking) = call.arguments::<(u64, bool)>()?;
        if let Some(bound) = self.bound.filter(|&bound| bound < count) {
            let reason = format!("{count} permits at once, of {bound} that there are at all");
            let (typeid, method) = (self.typeid.to_owned(), "acquire".to_owned());
            return Err(Failure::System(Error::Arguments { typeid, method, reason }));
        }
        let holder = Self::holder(call);
        if holder.is_some() {
            self.watched.watch(call, self)?;
        }
        let place = {
            let mut state = self.state.lock();
            if state.waiters.is_empty() && state.free >= count {
                state.take(count, holder);
                drop(state);
                return call.answer_or_put_back(&true, self.put_back(count, holder));
            }
            state.waiters.place()
        };
        if !blocking {
            return call.answer(&false);
        }
        let responder = call.responder();
        let me = Arc::downgrade(self);
        responder.on_cancel(move || {
            let Some(permits) = me.upgrade() else { return };
            let waiting = permits.state.lock().waiters.leave(place);
            drop(waiting);
            // Who stands behind him may need less.
            permits.deliver();
        });
        let waiting = Waiting { count, holder, responder };
        let gone = {
            let mut state = self.state.lock();
            // One that is given up from here on is taken out by the hook, which waits for the lock on the state.
            if waiting.responder.is_wanted() {
                state.waiters.stand(place, waiting);
                None
            } else {
                Some(waiting)
            }
        };
        drop(gone);
        self.deliver();
        Ok(call.answered_later())
    }

    /// Hands permits to those who are first, as far as there are any.
    fn deliver(self: &Arc<Self>) {
        loop {
            let (Waiting { count, holder, responder }, wanted) = {
                let mut state = self.state.lock();
                let suffices = state.waiters.first().is_some_and(|(_, first)| first.count <= state.free);
                if state.delivering || !suffices {
                    return;
                }
                let Some(first) = state.waiters.pop() else { return };
                let wanted = first.responder.is_wanted();
                if wanted {
                    state.take(first.count, first.holder);
                    state.delivering = true;
                }
                (first, wanted)
            };
            if wanted {
                responder.respond_or_put_back(&true, self.put_back(count, holder));
                self.state.lock().delivering = false;
            }
        }
    }

    /// What takes back permits that have not arrived.
    fn put_back(self: &Arc<Self>, count: u64, holder: Holder) -> impl FnOnce() + Send + 'static {
        let me = Arc::downgrade(self);
        move || {
            if let Some(permits) = me.upgrade() {
                permits.give_back(count, holder);
            }
        }
    }

    pub(super) fn give_back(self: &Arc<Self>, count: u64, holder: Holder) -> bool {
        let given = {
            let mut state = self.state.lock();
            let given = state.take_from(count, holder);
            if given {
                state.add(count);
            }
            given
        };
        self.deliver();
        given
    }

    /// Takes permits from their holder, and leaves them to nobody; false where it does not have as many.
    pub(super) fn forget(&self, count: u64, holder: Holder) -> bool {
        self.state.lock().take_from(count, holder)
    }

    pub(super) fn free(&self) -> u64 {
        self.state.lock().free
    }

    /// Adds permits that no guard holds.
    pub(super) fn release(self: &Arc<Self>, count: u64) -> Result<(), OverRelease> {
        {
            let mut state = self.state.lock();
            let guarded: u64 = state.held.values().sum();
            let outstanding = self.bound.map_or(u64::MAX, |bound| bound.saturating_sub(state.free + guarded));
            if count > outstanding {
                return Err(OverRelease { released: count, outstanding });
            }
            state.add(count);
        }
        self.deliver();
        Ok(())
    }

    /// Releases permits whoever has them, as anybody may in Python: the caller's own, then others', then those that nobody has.
    #[cfg(feature = "python")]
    pub(super) fn release_any(self: &Arc<Self>, count: u64, holder: Holder) -> Result<(), OverRelease> {
        {
            let mut state = self.state.lock();
            let outstanding = self.bound.map_or(u64::MAX, |bound| bound.saturating_sub(state.free));
            if count > outstanding {
                return Err(OverRelease { released: count, outstanding });
            }
            let mut left = count;
            let holders: Vec<_> = std::iter::once(holder).chain(state.held.keys().copied()).collect();
            for holder in holders {
                let taken = state.held.get(&holder).copied().unwrap_or_default().min(left);
                if taken > 0 && state.take_from(taken, holder) {
                    left -= taken;
                }
            }
            state.add(count);
        }
        self.deliver();
        Ok(())
    }

    pub(super) fn describe(&self) -> String {
        let state = self.state.lock();
        let of = self.bound.map_or_else(String::new, |bound| format!(" of {bound}"));
        format!("<{}: {}{of} free, {} waiting>", self.typeid, state.free, state.waiters.len())
    }
}

impl Heir for Permits {
    fn client_ended(&self, client: ClientId) {
        self.watched.forget(client);
        {
            let mut state = self.state.lock();
            let held = state.held.remove(&Some(client)).unwrap_or_default();
            state.add(held);
        }
        if let Some(me) = self.me.upgrade() {
            me.deliver();
        }
    }
}
