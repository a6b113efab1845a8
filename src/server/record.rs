//! What a server knows of one client: its leases, its connections, what is uncertain between them.
//!
//! A record begins with the client's control stream, or with its parent's word that it forks; it ends with the client, whichever sign of that
//! comes first: the control stream's end, the process's, the lifeline's. Ending gives everything back, once.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::core::Core;
use super::delivery::{Deliveries, Undone};
use super::notices::NoticeStream;
use super::session::Session;
use super::watch::Watched;
use crate::error::Result;
use crate::object::Heir;
use crate::object::answer::PutBack;
use crate::object::entry::Entry;
use crate::object::lease::Leases;
use crate::object::panics;
use crate::object::parked::Parked;
use crate::protocol::notice::Count;
use crate::protocol::{ClientId, ConnectionId, ObjectId, TicketId};
use crate::sys::sync::Mutex;

/// User code that a change has called for: destructors, the putting back of what never arrived, what methods do about callers that are gone. To be run
/// outside of all locks.
#[derive(Default)]
#[must_use = "settle it outside of locks"]
pub(super) struct Aftermath {
    pub(super) let_go: Vec<Arc<Entry>>,
    pub(super) put_backs: Vec<PutBack>,
    /// What would have put back what did arrive: to be dropped.
    pub(super) arrived: Vec<PutBack>,
    /// Calls that nobody waits for any more.
    pub(super) given_up: Vec<Arc<Parked>>,
    /// A client that has ended.
    pub(super) ended: Option<(Arc<Core>, Arc<Record>)>,
}

impl Aftermath {
    pub(super) fn settle(self) {
        drop((self.let_go, self.arrived));
        self.put_backs.into_iter().for_each(panics::quietly);
        for parked in self.given_up {
            parked.cancel();
        }
        if let Some((core, record)) = self.ended {
            core.end_client(&record, "its parent says that it has ended");
        }
    }
}

/// How many heirs a client may have before it is looked which of them are gone.
const MIN_HEIRS: usize = 16;

#[derive(Default)]
struct State {
    leases: Leases,
    sessions: Vec<Weak<Session>>,
    control: Option<Arc<NoticeStream>>,
    /// Replies on broken connections whose arrival the client has not spoken of yet.
    doubtful: FxHashMap<ConnectionId, Deliveries>,
    /// What the control thread watches for this client's sake.
    watched: Vec<u64>,
    /// Who wants to know of the client's end.
    heirs: Vec<Weak<dyn Heir>>,
    /// How many heirs there may be before those that are gone are looked for.
    heirs_limit: usize,
    /// Forked children that the client watches for the server, since no lifelines could come from it.
    wards: Vec<Weak<Record>>,
    /// Whether a forked child has said itself what it holds.
    confirmed: bool,
    ended: bool,
}

/// One client.
pub(super) struct Record {
    id: ClientId,
    /// How many notices have been taken in from its control stream, and settled.
    notices: AtomicU64,
    state: Mutex<State>,
    /// Sessions with a call that came before the notices it depends on, and how many those are.
    stalled: Mutex<Vec<(u64, Arc<Session>)>>,
}

impl Record {
    /// A client with these references.
    pub(super) fn new(id: ClientId, leases: Leases) -> Arc<Self> {
        Arc::new(Self {
            id,
            notices: AtomicU64::new(0),
            state: Mutex::new(State { leases, ..State::default() }),
            stalled: Mutex::new(Vec::new()),
        })
    }

    pub(super) fn id(&self) -> ClientId {
        self.id
    }

    /// Attaches the control stream; `None` where the client has one already, or is gone. What was watched until now, lifelines, is to be let go: the client closes
    /// them, and lives by its control stream from here on.
    pub(super) fn attach(&self, control: &Arc<NoticeStream>) -> Option<Vec<u64>> {
        let mut state = self.state.lock();
        if state.ended || state.control.is_some() {
            return None;
        }
        state.control = Some(Arc::clone(control));
        Some(std::mem::take(&mut state.watched))
    }

    pub(super) fn control(&self) -> Option<Arc<NoticeStream>> {
        self.state.lock().control.clone()
    }

    /// Notes what is watched for the client's sake; false where it is gone.
    pub(super) fn watches(&self, key: u64) -> bool {
        let mut state = self.state.lock();
        if !state.ended {
            state.watched.push(key);
        }
        !state.ended
    }

    /// A forked child is seen to live by this lifeline until its control stream is there. Where that is there already, or the child is gone, the lifeline ends, or has
    /// ended, at that, and nothing is watched.
    pub(super) fn lives_by(self: &Arc<Self>, lifeline: OwnedFd, core: &Core) -> Result<()> {
        // Under one lock, which `attach` takes too: a child that has just connected lets go of its lifeline, and must not be taken for dead when that is seen.
        let mut state = self.state.lock();
        if !state.ended && state.control.is_none() {
            state.watched.push(core.watch(Watched::Lifeline(lifeline, Arc::downgrade(self)))?);
        }
        Ok(())
    }

    /// Tells `heir` of the client's end; false where the client is gone already.
    pub(super) fn at_end(&self, heir: Weak<dyn Heir>) -> bool {
        let mut state = self.state.lock();
        if state.ended {
            return false;
        }
        if state.heirs.len() >= state.heirs_limit {
            // Doubling, so that looking through all of them costs each newcomer nothing on average.
            state.heirs.retain(|heir| heir.strong_count() > 0);
            state.heirs_limit = (2 * state.heirs.len()).max(MIN_HEIRS);
        }
        state.heirs.push(heir);
        true
    }

    /// The client watches this child of its for the server; false where the client is gone.
    pub(super) fn wards(&self, child: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        if !state.ended {
            state.wards.retain(|ward| ward.strong_count() > 0);
            state.wards.push(Arc::downgrade(child));
        }
        !state.ended
    }

    /// Adds a data connection; false where the client is gone.
    pub(super) fn add_session(&self, session: &Arc<Session>) -> bool {
        let mut state = self.state.lock();
        if state.ended {
            return false;
        }
        state.sessions.retain(|session| session.strong_count() > 0);
        state.sessions.push(Arc::downgrade(session));
        true
    }

    /// How many notices have been taken in, and settled.
    pub(super) fn notices(&self) -> u64 {
        // Pairs with the store in `noticed`; the leases themselves are under the lock.
        self.notices.load(Ordering::Acquire)
    }

    /// So many notices have been taken in and settled. Called under the control stream's lock, so that the number only grows.
    pub(super) fn noticed(&self, settled: u64) {
        // Pairs with the load in `notices`.
        self.notices.store(settled, Ordering::Release);
    }

    /// Keeps a session whose next call has to wait for so many notices.
    pub(super) fn stall(&self, after: u64, session: Arc<Session>) {
        self.stalled.lock().push((after, session));
    }

    /// The sessions whose calls need wait no longer.
    pub(super) fn take_stalled(&self) -> Vec<Arc<Session>> {
        let mut stalled = self.stalled.lock();
        // Looked at under the lock: whoever stalls one looks again after it, so that one of both sees the last notice.
        let settled = self.notices();
        stalled.extract_if(.., |(after, _)| *after <= settled).map(|(_, session)| session).collect()
    }

    /// Grants references that a reply is about to carry; the ones that were granted (none to a client that is gone).
    pub(super) fn grant<'a>(&self, entries: impl Iterator<Item = &'a Arc<Entry>>) -> Vec<ObjectId> {
        let mut entries = entries.peekable();
        if entries.peek().is_none() {
            return Vec::new();
        }
        let mut state = self.state.lock();
        if state.ended {
            return Vec::new();
        }
        entries
            .map(|entry| {
                state.leases.grant(entry, 1);
                entry.id()
            })
            .collect()
    }

    /// The client has given references back.
    pub(super) fn release(&self, counts: &[Count], core: &Core) -> Aftermath {
        let let_go = {
            let mut state = self.state.lock();
            counts.iter().filter_map(|&count| state.leases.release(count)).collect()
        };
        self.let_go(let_go, core)
    }

    /// Starts the clock of tickets for what was let go.
    fn let_go(&self, let_go: Vec<Arc<Entry>>, core: &Core) -> Aftermath {
        let aftermath = Aftermath { let_go, ..Aftermath::default() };
        let let_go = &aftermath.let_go;
        if let_go.is_empty() {
            return aftermath;
        }
        let mut tickets = core.table.tickets();
        if !tickets.is_empty() {
            let now = Instant::now();
            let_go.iter().for_each(|entry| tickets.sender_released(self.id, entry.id(), now));
            core.wake_control();
        }
        drop(tickets);
        aftermath
    }

    /// A forked child starts with these references: its parent's at the fork. What it has said itself by then is the truth.
    pub(super) fn inherit(&self, leases: Leases) {
        let unneeded = {
            let mut state = self.state.lock();
            if state.ended || state.confirmed { leases } else { std::mem::replace(&mut state.leases, leases) }
        };
        drop(unneeded);
    }

    /// A forked child has said what it holds.
    pub(super) fn confirm(&self, held: &[Count], core: &Core) -> Aftermath {
        let let_go = {
            let mut state = self.state.lock();
            state.confirmed = true;
            // Where the parent's word has not come yet, all that the child holds still lives by the parent's references.
            for count in held {
                if state.leases.count(count.object) == 0
                    && let Ok(entry) = core.table.find(count.object)
                {
                    state.leases.grant(&entry, 1);
                }
            }
            state.leases.confirm(held)
        };
        self.let_go(let_go, core)
    }

    /// The references that a forked child starts with.
    pub(super) fn copy_leases(&self) -> Leases {
        self.state.lock().leases.copy()
    }

    /// The client takes a reference by a token that came another way; the ticket is used up.
    pub(super) fn redeem(&self, object: ObjectId, ticket: Option<TicketId>, core: &Core) {
        let ticketed = ticket.and_then(|ticket| core.table.tickets().redeem(ticket));
        let entry = ticketed.filter(|entry| entry.id() == object).or_else(|| core.table.find(object).ok());
        if let Some(entry) = entry {
            self.grant(std::iter::once(&entry));
        }
    }

    /// How many references to this object the client holds.
    pub(super) fn count(&self, object: ObjectId) -> u64 {
        self.state.lock().leases.count(object)
    }

    /// A data connection has ended: what it carried last is uncertain.
    pub(super) fn doubt(&self, connection: ConnectionId, deliveries: Deliveries, core: &Core) -> Aftermath {
        let mut state = self.state.lock();
        if state.ended {
            drop(state);
            return self.undo(deliveries.undo(), core);
        }
        state.doubtful.insert(connection, deliveries);
        Aftermath::default()
    }

    /// The client has said how far it had read a broken connection.
    pub(super) fn lost(&self, connection: ConnectionId, replies: u64, core: &Arc<Core>) -> Aftermath {
        // The break may not have been noticed on this side yet.
        let sessions = self.state.lock().sessions.clone();
        let open = sessions.iter().filter_map(Weak::upgrade).find(|session| session.connection() == connection);
        let mut aftermath = open.map_or_else(Aftermath::default, |session| session.end(core));
        let Some(mut deliveries) = self.state.lock().doubtful.remove(&connection) else { return aftermath };
        aftermath.arrived.extend(deliveries.acknowledge(replies));
        let Aftermath { let_go, put_backs, .. } = self.undo(deliveries.undo(), core);
        aftermath.let_go.extend(let_go);
        aftermath.put_backs.extend(put_backs);
        aftermath
    }

    /// Takes back what never arrived.
    fn undo(&self, undone: Undone, core: &Core) -> Aftermath {
        let let_go = {
            let mut state = self.state.lock();
            let revoked = undone.grants.iter().map(|&object| Count { object, references: 1 });
            revoked.filter_map(|count| state.leases.release(count)).collect()
        };
        Aftermath { put_backs: undone.put_backs, ..self.let_go(let_go, core) }
    }

    /// The client is gone: gives back all that it held. Only the first call does anything.
    pub(super) fn end(self: &Arc<Self>, core: &Arc<Core>) {
        let (mut leases, sessions, control, doubtful, watched, heirs, wards) = {
            let mut state = self.state.lock();
            state.ended = true;
            let State { leases, sessions, control, doubtful, watched, heirs, wards, .. } = &mut *state;
            (
                std::mem::take(leases),
                std::mem::take(sessions),
                control.take(),
                std::mem::take(doubtful),
                std::mem::take(watched),
                std::mem::take(heirs),
                std::mem::take(wards),
            )
        };
        for ward in wards {
            core.orphaned(ward);
        }
        for key in watched {
            core.unwatch(key);
        }
        for session in sessions.iter().filter_map(Weak::upgrade) {
            session.close(core);
        }
        if let Some(control) = control {
            control.close(core);
        }
        for (_, deliveries) in doubtful {
            self.undo(deliveries.undo(), core).settle();
        }
        for heir in heirs.iter().filter_map(Weak::upgrade) {
            heir.client_ended(self.id);
        }
        let stalled = std::mem::take(&mut *self.stalled.lock());
        drop(stalled);
        drop(leases.end());
    }
}
