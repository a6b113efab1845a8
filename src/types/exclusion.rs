//! One owner at a time: what a [`Lock`](super::Lock), an [`RLock`](super::RLock) and a [`Condition`](super::Condition) are made of.
//!
//! An owner is a thread of a client; or, where a method of the server's own objects locks, the chain of calls that the method runs in. A lock of a client that ends goes
//! to the next in the line, who is told that it was abandoned; so does the lock of a thread that ends, whose process says so ([`held`](super::held)). A method
//! in the server runs to its end, whatever becomes of the client that it runs for, so that its lock stays with it.
//!
//! # Invariants
//! - Each holding has a number of its own, never used again. What was on its way and never arrived is taken back by that number, and so can't take another holding away.
//! - The lock is handed to the first in the line in the step that frees it: nobody gets in between.
//! - Who leaves the line without the lock is told so by his `lost`, exactly once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};

use super::waiters::Waiters;
use super::watched::Watched;
use crate::error::Error;
use crate::object::chain::ChainId;
use crate::object::{Caller, Failure, Heir, Invocation, Outcome, Responder};
use crate::protocol::ClientId;
use crate::sys::sync::Mutex;

/// The lock is not held by who wants to give it up, or to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("this thread does not own the lock")]
pub struct NotOwned;

/// What an acquirer is answered: the holding's number, and whether the lock was abandoned; `None` where it would have had to wait and did not want to.
pub(super) type Grant = Option<(u64, bool)>;

/// Run, outside of locks, when a waiter has not got the lock.
pub(super) type Lost = Box<dyn FnOnce() + Send>;

/// Who may own a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A thread, of a client or of the server's own process.
    Thread(Caller),
    /// A method of an object in the server, with the methods that it calls.
    Chain(ChainId),
}

impl Owner {
    /// Who calls.
    pub(super) fn of(call: &Invocation<'_>) -> Self {
        match call.nested_in() {
            Some(chain) => Self::Chain(chain),
            None => Self::Thread(call.caller()),
        }
    }

    fn is_of(&self, client: ClientId) -> bool {
        matches!(self, Self::Thread(Caller { client: Some(own), .. }) if *own == client)
    }
}

/// A holding of the lock.
struct Hold {
    number: u64,
    owner: Owner,
    /// How many times it has to be given up; 1 where the lock is not reentrant.
    levels: u64,
}

/// What is to become of the lock when it is a waiter's turn.
#[derive(Clone, Copy)]
struct Claim {
    owner: Owner,
    /// The holding that is taken up again; 0 for a new one.
    hold: u64,
    levels: u64,
}

struct Waiting {
    claim: Claim,
    responder: Responder<Grant>,
    lost: Option<Lost>,
}

impl Waiting {
    /// Has left the line without the lock.
    fn lose(self) {
        if let Some(lost) = self.lost {
            lost();
        }
    }
}

#[derive(Default)]
struct State {
    hold: Option<Hold>,
    /// Whether the next owner is to be told that the lock was abandoned.
    abandoned: bool,
    waiters: Waiters<Waiting>,
    /// Whether a thread hands the lock over right now. It looks again when it has.
    delivering: bool,
}

impl State {
    /// Takes the lock, if that needs no wait.
    fn take(&mut self, claim: Claim, reentrant: bool) -> Option<(u64, bool)> {
        match &mut self.hold {
            None if self.waiters.is_empty() => Some(self.hold_for(claim)),
            Some(hold) if reentrant && hold.owner == claim.owner => {
                hold.levels += claim.levels;
                Some((hold.number, false))
            }
            _ => None,
        }
    }

    fn hold_for(&mut self, Claim { owner, hold, levels }: Claim) -> (u64, bool) {
        static LAST: AtomicU64 = AtomicU64::new(0);
        // Pairs with nothing: only the number's uniqueness counts.
        let number = if hold > 0 { hold } else { LAST.fetch_add(1, Ordering::Relaxed) + 1 };
        self.hold = Some(Hold { number, owner, levels });
        (number, std::mem::take(&mut self.abandoned))
    }

    /// Gives up that many levels of a holding; false where there is none like it.
    fn give_up(&mut self, levels: u64, is_it: impl FnOnce(&Hold) -> bool) -> bool {
        let Some(hold) = self.hold.as_mut().filter(|hold| is_it(hold)) else { return false };
        hold.levels = hold.levels.saturating_sub(levels);
        if hold.levels == 0 {
            self.hold = None;
        }
        true
    }
}

/// A lock, and the line before it.
pub(super) struct Exclusion {
    /// The typeid of what it belongs to, for messages.
    typeid: &'static str,
    /// Whether its owner may take it again.
    reentrant: bool,
    state: Mutex<State>,
    watched: Watched,
    me: Weak<Self>,
}

impl Exclusion {
    pub(super) fn new(typeid: &'static str, reentrant: bool) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            typeid,
            reentrant,
            state: Mutex::default(),
            watched: Watched::default(),
            me: me.clone(),
        })
    }

    /// Answers a call by the lock: now, or when it is its turn; or, where it is not `blocking`, by `None`.
    pub(super) fn acquire(self: &Arc<Self>, call: &mut Invocation<'_>, blocking: bool) -> Outcome {
        self.claim(call, Claim { owner: Owner::of(call), hold: 0, levels: 1 }, blocking)
    }

    /// As [`acquire`](Self::acquire), for a holding that the caller had given up for a wait.
    pub(super) fn reacquire(self: &Arc<Self>, call: &mut Invocation<'_>, hold: u64, levels: u64) -> Outcome {
        self.claim(call, Claim { owner: Owner::of(call), hold, levels: levels.max(1) }, true)
    }

    fn claim(self: &Arc<Self>, call: &mut Invocation<'_>, claim: Claim, blocking: bool) -> Outcome {
        if let Owner::Thread(_) = claim.owner {
            self.watched.watch(call, self)?;
        }
        let holder = {
            let mut state = self.state.lock();
            if let Some((number, abandoned)) = state.take(claim, self.reentrant) {
                drop(state);
                return call
                    .answer_or_put_back(&Grant::Some((number, abandoned)), self.put_back(claim, number, abandoned));
            }
            state.hold.as_ref().map(|hold| hold.owner)
        };
        if !blocking {
            return call.answer(&Grant::None);
        }
        let waits_for_caller = holder == Some(Owner::Thread(call.caller()));
        if matches!(claim.owner, Owner::Chain(_)) && (holder == Some(claim.owner) || waits_for_caller) {
            return Err(Failure::System(self.would_deadlock()));
        }
        let responder = call.responder();
        self.queue(claim, responder, None);
        Ok(call.answered_later())
    }

    fn would_deadlock(&self) -> Error {
        Error::WouldDeadlock {
            typeid: self.typeid.to_owned(),
            reason: "the lock is held by the very caller that this call works for".to_owned(),
        }
    }

    /// Stands in the line; `lost` runs if the lock never gets to the waiter.
    fn queue(self: &Arc<Self>, claim: Claim, responder: Responder<Grant>, lost: Option<Lost>) {
        let place = self.state.lock().waiters.place();
        let me = Arc::downgrade(self);
        responder.on_cancel(move || {
            if let Some(exclusion) = me.upgrade() {
                exclusion.leave(place);
            }
        });
        let waiting = Waiting { claim, responder, lost };
        let mut state = self.state.lock();
        // One that is given up from here on is taken out by the hook, which waits for the lock on the state.
        if !waiting.responder.is_wanted() {
            drop(state);
            return waiting.lose();
        }
        state.waiters.stand(place, waiting);
        drop(state);
        self.deliver();
    }

    fn leave(self: &Arc<Self>, place: u64) {
        let waiting = self.state.lock().waiters.leave(place);
        if let Some(waiting) = waiting {
            waiting.lose();
        }
        // Who came behind him while nobody held the lock may be next.
        self.deliver();
    }

    /// Hands the lock to who is first, if it is free.
    fn deliver(self: &Arc<Self>) {
        loop {
            let (waiting, (number, abandoned)) = {
                let mut state = self.state.lock();
                if state.delivering || state.hold.is_some() {
                    return;
                }
                let Some(waiting) = state.waiters.pop() else { return };
                if !waiting.responder.is_wanted() {
                    drop(state);
                    waiting.lose();
                    continue;
                }
                state.delivering = true;
                let granted = state.hold_for(waiting.claim);
                (waiting, granted)
            };
            let Waiting { claim, responder, lost } = waiting;
            let take_back = self.put_back(claim, number, abandoned);
            responder.respond_or_put_back(&Grant::Some((number, abandoned)), move || {
                take_back();
                if let Some(lost) = lost {
                    lost();
                }
            });
            self.state.lock().delivering = false;
        }
    }

    /// What takes back a lock that has not arrived.
    fn put_back(self: &Arc<Self>, claim: Claim, number: u64, abandoned: bool) -> impl FnOnce() + Send + 'static {
        let me = Arc::downgrade(self);
        move || {
            let Some(exclusion) = me.upgrade() else { return };
            let mut state = exclusion.state.lock();
            let was = state.give_up(claim.levels, |hold| hold.number == number);
            // Nobody has heard of it.
            state.abandoned |= was && abandoned;
            drop(state);
            exclusion.deliver();
        }
    }

    /// Gives up one level of a holding; of whichever one the owner has, where `hold` is `None`.
    pub(super) fn release(self: &Arc<Self>, owner: Owner, hold: Option<u64>) -> Result<(), NotOwned> {
        let is_it = |held: &Hold| held.owner == owner && hold.is_none_or(|hold| hold == held.number);
        let was = self.state.lock().give_up(1, is_it);
        self.deliver();
        if was { Ok(()) } else { Err(NotOwned) }
    }

    /// Gives up whatever holding there is, whoever has it: in Python anybody may release a lock.
    #[cfg(feature = "python")]
    pub(super) fn release_any(self: &Arc<Self>) -> Result<(), NotOwned> {
        let was = self.state.lock().give_up(1, |_| true);
        self.deliver();
        if was { Ok(()) } else { Err(NotOwned) }
    }

    /// Gives up all levels of a holding whose thread has ended.
    pub(super) fn abandon(self: &Arc<Self>, owner: Owner, hold: u64) {
        let mut state = self.state.lock();
        let was = state.give_up(u64::MAX, |held| held.owner == owner && held.number == hold);
        state.abandoned |= was;
        drop(state);
        self.deliver();
    }

    /// What this one holds.
    pub(super) fn holding(&self, owner: Owner) -> Option<Suspended> {
        let state = self.state.lock();
        let hold = state.hold.as_ref().filter(|hold| hold.owner == owner)?;
        Some(Suspended(Claim { owner, hold: hold.number, levels: hold.levels }))
    }

    /// Gives up all of a holding for a wait.
    pub(super) fn suspend(self: &Arc<Self>, holding: Suspended) {
        self.state.lock().give_up(u64::MAX, |hold| hold.number == holding.0.hold);
        self.deliver();
    }

    /// Has the lock taken up again, and the call that `responder` answers be answered then; `lost` runs if that never arrives.
    pub(super) fn resume(self: &Arc<Self>, suspended: Suspended, responder: Responder<Grant>, lost: Lost) {
        self.queue(suspended.0, responder, Some(lost));
    }

    /// Whether anybody holds it.
    pub(super) fn is_locked(&self) -> bool {
        self.state.lock().hold.is_some()
    }

    /// As the objects that it is the lock of are printed.
    pub(super) fn describe(&self) -> String {
        let state = self.state.lock();
        match (&state.hold, state.waiters.len()) {
            (None, _) => "unlocked".to_owned(),
            (Some(Hold { levels: 1, .. }), waiting) => format!("locked, {waiting} waiting"),
            (Some(Hold { levels, .. }), waiting) => format!("locked {levels} times, {waiting} waiting"),
        }
    }
}

impl Heir for Exclusion {
    fn client_ended(&self, client: ClientId) {
        self.watched.forget(client);
        let mut state = self.state.lock();
        let was = state.give_up(u64::MAX, |hold| hold.owner.is_of(client));
        state.abandoned |= was;
        drop(state);
        if let Some(me) = self.me.upgrade() {
            me.deliver();
        }
    }
}

/// A holding that is given up for a wait.
#[derive(Clone, Copy)]
pub(super) struct Suspended(Claim);

impl Suspended {
    /// The holding's number.
    pub(super) fn number(&self) -> u64 {
        self.0.hold
    }

    /// How many times it has to be given up.
    #[cfg(feature = "python")]
    pub(super) fn levels(&self) -> u64 {
        self.0.levels
    }
}
