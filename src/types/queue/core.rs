//! What all queues do, whatever their order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use rustc_hash::FxHashMap;

use super::QueueError;
use super::consequences::{Consequences, Delivery, Getter, Putter};
use super::order::{Entry, Item, Order};
use super::parcel::{Load, Parcel};
use crate::error::Error;
use crate::object::{Failure, Heir, Invocation, Outcome, Responder};
use crate::protocol::ClientId;
use crate::sys::sync::{Mutex, MutexGuard};
use crate::types::batches::BATCH_BYTES;
use crate::types::waiters::Waiters;

struct State<O: Order> {
    items: O,
    /// The last place given out.
    last: u64,
    getters: Waiters<Getter<O::Entry>>,
    putters: Waiters<Putter<O::Entry>>,
    joiners: Waiters<Responder<(), QueueError>>,
    shut: bool,
    /// Whether items that return are dropped.
    drained: bool,
    /// Items that were put and not said to be done.
    unfinished: u64,
    /// Those of them that were taken by processes that have ended.
    lost: u64,
    /// Those of them that a process has taken, for each process that the queue will hear the end of.
    taken: FxHashMap<ClientId, u64>,
    /// Whether a thread carries consequences out: what comes up meanwhile is left to it. (An answer that can't be sent puts its item back, which may lead to the next answer;
    /// as many of them as there are waiters must not nest.)
    carrying: bool,
    outbox: VecDeque<Consequences<O>>,
}

/// A queue.
pub(super) struct Core<O: Order> {
    me: Weak<Self>,
    /// How many items it may hold; 0 for any number.
    maxsize: usize,
    state: Mutex<State<O>>,
    /// How many parcels are on their way. Changed without the lock when one arrives.
    on_way: AtomicUsize,
    /// Whether those who wait for items will wait for parcels only: set once, by a shutdown.
    ends: AtomicBool,
}

impl<O: Order> Core<O> {
    pub(super) fn new(maxsize: usize) -> Arc<Self> {
        let state = State {
            items: O::default(),
            last: 0,
            getters: Waiters::default(),
            putters: Waiters::default(),
            joiners: Waiters::default(),
            shut: false,
            drained: false,
            unfinished: 0,
            lost: 0,
            taken: FxHashMap::default(),
            carrying: false,
            outbox: VecDeque::new(),
        };
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            maxsize,
            state: Mutex::new(state),
            on_way: AtomicUsize::new(0),
            ends: AtomicBool::new(false),
        })
    }

    /// Puts entries into a queue that nobody knows yet.
    pub(super) fn fill(&self, mut entries: Vec<O::Entry>) {
        self.put(&mut self.state.lock(), &mut entries);
    }

    pub(super) fn maxsize(&self) -> usize {
        self.maxsize
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().items.len()
    }

    /// How many wait to get, and how many to put.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.getters.len(), state.putters.len())
    }

    pub(super) fn is_full(&self) -> bool {
        self.room(&self.state.lock()) == 0
    }

    /// What it holds, in the order in which it would leave.
    pub(super) fn entries(&self) -> Vec<O::Entry> {
        self.state.lock().items.entries()
    }

    /// How many items may be put. (What has returned may stand above the limit.)
    fn room(&self, state: &State<O>) -> usize {
        if self.maxsize == 0 { usize::MAX } else { self.maxsize.saturating_sub(state.items.len()) }
    }

    /// The state, to take items out for a caller: of whose end the queue is going to hear.
    fn lock_for(&self, call: &Invocation<'_>) -> Result<MutexGuard<'_, State<O>>, Failure> {
        let mut state = self.state.lock();
        // The server's own code has no end but the server's.
        let Some(client) = call.caller().client.filter(|client| !state.taken.contains_key(client)) else {
            return Ok(state);
        };
        // Before it is asked for: an end that comes at once must find it.
        state.taken.insert(client, 0);
        drop(state);
        let heir: Weak<Self> = self.me.clone();
        let lives = call.host().at_client_end(client, heir);
        let mut state = self.state.lock();
        if lives {
            return Ok(state);
        }
        state.taken.remove(&client);
        Err(Failure::System(Error::Cancelled))
    }

    /// Takes items for a caller, one or up to `max` of them.
    fn take(
        &self,
        state: &mut State<O>,
        client: Option<ClientId>,
        max: Option<usize>,
    ) -> Option<(Parcel<O>, Load<O::Entry>)> {
        let first = state.items.take()?;
        let load = match max {
            None => Load::One(first),
            Some(max) => {
                let mut bytes = first.entry.element().bytes().len();
                let mut items = vec![first];
                while items.len() < max && bytes < BATCH_BYTES {
                    let Some(item) = state.items.take() else { break };
                    bytes += item.entry.element().bytes().len();
                    items.push(item);
                }
                Load::Many(items)
            }
        };
        if let Some(taken) = client.and_then(|client| state.taken.get_mut(&client)) {
            *taken += load.len() as u64;
        }
        // Pairs with the subtractions in `arrived` and `take_back`.
        self.on_way.fetch_add(1, Ordering::SeqCst);
        Some((Parcel::new(self.me.clone(), client, load.clone()), load))
    }

    /// Puts as many of the entries as there is room for; how many.
    fn put(&self, state: &mut State<O>, entries: &mut Vec<O::Entry>) -> usize {
        let count = self.room(state).min(entries.len());
        for entry in entries.drain(..count) {
            state.last += 1;
            state.items.insert(Item { place: state.last, entry });
        }
        state.unfinished += count as u64;
        count
    }

    /// Serves those who wait, as far as that can be, and opens the lock.
    fn serve<'a>(&'a self, mut state: MutexGuard<'a, State<O>>) {
        let mut consequences = self.consequences(&mut state);
        if consequences.are_none() {
            return;
        }
        if state.carrying {
            state.outbox.push_back(consequences);
            return;
        }
        state.carrying = true;
        let mut dropped = Vec::new();
        loop {
            drop(state);
            // No destructor of another object may come between here and the end.
            dropped.extend(consequences.carry_out());
            state = self.state.lock();
            match state.outbox.pop_front() {
                Some(next) => consequences = next,
                None => break,
            }
        }
        state.carrying = false;
        drop(state);
        drop(dropped);
    }

    fn consequences(&self, state: &mut State<O>) -> Consequences<O> {
        let mut consequences = Consequences::default();
        if state.shut {
            consequences.refused.extend(state.putters.take());
        }
        loop {
            let mut moved = false;
            while state.items.len() > 0 {
                let Some(mut getter) = state.getters.pop() else { break };
                // Whoever gave up meanwhile waits for the lock, to leave the line.
                if !getter.responder.claim() {
                    consequences.gone.getters.push(getter);
                } else if let Some((parcel, load)) = self.take(state, getter.client, getter.max) {
                    consequences.deliveries.push(Delivery { responder: getter.responder, load, parcel });
                    moved = true;
                }
            }
            while self.room(state) > 0 {
                let Some(mut putter) = state.putters.pop() else { break };
                if putter.responder.claim() {
                    let count = self.put(state, &mut putter.entries);
                    // The rest of many is its sender's to put again.
                    let Putter { entries, many, responder } = putter;
                    consequences.puts.push((responder, many.then_some(count)));
                    consequences.rest.extend(entries);
                    moved = true;
                } else {
                    consequences.gone.putters.push(putter);
                }
            }
            if !moved {
                break;
            }
        }
        // While something is on its way it may yet return.
        if state.shut && state.items.len() == 0 && self.on_way.load(Ordering::SeqCst) == 0 {
            consequences.ended.extend(state.getters.take().map(|getter| getter.responder));
        }
        if state.unfinished == state.lost {
            consequences.joined.extend(state.joiners.take());
            consequences.lost = state.lost;
        }
        consequences
    }

    /// Changes the state, and does what follows from that.
    fn change<R>(&self, change: impl FnOnce(&mut State<O>) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state);
        self.serve(state);
        result
    }

    /// A parcel has arrived.
    pub(super) fn arrived(&self) {
        // Pairs with the addition in `take`. In one order with the flag: either this sees that the queue ends, or the shutdown sees that nothing is on its way.
        if self.on_way.fetch_sub(1, Ordering::SeqCst) == 1 && self.ends.load(Ordering::SeqCst) {
            self.change(|_| {});
        }
    }

    /// A parcel returns.
    pub(super) fn take_back(&self, receiver: Option<ClientId>, load: Load<O::Entry>) {
        let count = load.len() as u64;
        let dropped = self.change(|state| {
            if let Some(taken) = receiver.and_then(|client| state.taken.get_mut(&client)) {
                *taken = taken.saturating_sub(count);
            }
            self.on_way.fetch_sub(1, Ordering::SeqCst);
            let items = load.into_items();
            if state.drained {
                state.unfinished = state.unfinished.saturating_sub(count);
                return items;
            }
            items.into_iter().for_each(|item| state.items.insert(item));
            Vec::new()
        });
        drop(dropped);
    }

    /// Answers a call by items: at once, or later where it is `blocking`.
    pub(super) fn get(&self, call: &mut Invocation<'_>, max: Option<usize>, blocking: bool) -> Outcome {
        let client = call.caller().client;
        let mut state = self.lock_for(call)?;
        if let Some((parcel, load)) = self.take(&mut state, client, max) {
            self.serve(state);
            return call.answer_or_put_back(&load, move || parcel.put_back());
        }
        if state.shut && self.on_way.load(Ordering::SeqCst) == 0 {
            drop(state);
            return call.answer_result(&Err::<(), _>(QueueError::ShutDown));
        }
        if !blocking {
            drop(state);
            return call.answer_result(&Err::<(), _>(QueueError::Empty));
        }
        let place = state.getters.place();
        drop(state);
        let responder = call.responder();
        self.at_cancel(&responder, move |state| state.getters.leave(place));
        let mut getter = Some(Getter { client, max, responder });
        self.change(|state| {
            if let Some(getter) = getter.take_if(|getter| getter.responder.is_wanted()) {
                state.getters.stand(place, getter);
            }
        });
        Ok(call.answered_later())
    }

    /// Takes entries in: at once, or when there is room, where it is `blocking`. Of `many`, as many as there is room for, at least one.
    pub(super) fn accept(
        &self,
        call: &mut Invocation<'_>,
        mut entries: Vec<O::Entry>,
        many: bool,
        blocking: bool,
    ) -> Outcome {
        let mut state = self.state.lock();
        if state.shut {
            drop(state);
            return call.answer_result(&Err::<(), _>(QueueError::ShutDown));
        }
        if entries.is_empty() || (state.putters.is_empty() && self.room(&state) > 0) {
            let count = self.put(&mut state, &mut entries);
            self.serve(state);
            return call.answer(&many.then_some(count));
        }
        if !blocking {
            drop(state);
            return call.answer_result(&Err::<(), _>(QueueError::Full));
        }
        let place = state.putters.place();
        drop(state);
        let responder = call.responder();
        self.at_cancel(&responder, move |state| state.putters.leave(place));
        let mut putter = Some(Putter { entries, many, responder });
        self.change(|state| {
            if let Some(putter) = putter.take_if(|putter| putter.responder.is_wanted()) {
                state.putters.stand(place, putter);
            }
        });
        Ok(call.answered_later())
    }

    /// Has `leave` take a waiter out of its line as soon as it gives up; what it takes out is dropped outside of the lock.
    fn at_cancel<T, L: Send + 'static>(
        &self,
        responder: &Responder<T, QueueError>,
        leave: impl FnOnce(&mut State<O>) -> L + Send + 'static,
    ) {
        let me = self.me.clone();
        responder.on_cancel(move || {
            if let Some(queue) = me.upgrade() {
                let left = leave(&mut queue.state.lock());
                drop(left);
            }
        });
    }

    /// The caller, or somebody in its place, is done with items that were taken; or, where it is `early`, as in Python, with such as still lie here.
    pub(super) fn done(&self, call: &mut Invocation<'_>, count: u64, early: bool) -> Outcome {
        let client = call.caller().client;
        let result = self.change(|state| {
            let here = if early { 0 } else { state.items.len() as u64 };
            if count > state.unfinished.saturating_sub(here) {
                return Err(QueueError::NotTaken);
            }
            state.unfinished -= count;
            let mut left = count;
            let mut deduct = |number: &mut u64| {
                let deducted = left.min(*number);
                *number -= deducted;
                left -= deducted;
            };
            if let Some(taken) = client.and_then(|client| state.taken.get_mut(&client)) {
                deduct(taken);
            }
            // What others took: first for those who can't any more.
            deduct(&mut state.lost);
            state.taken.values_mut().for_each(deduct);
            Ok(())
        });
        call.answer_result(&result)
    }

    /// Answers when every item that was put is done, or can't be any more.
    pub(super) fn join(&self, call: &mut Invocation<'_>) -> Outcome {
        let mut state = self.state.lock();
        if state.unfinished == state.lost {
            let lost = state.lost;
            drop(state);
            return call.answer_result(&if lost == 0 { Ok(()) } else { Err(QueueError::Lost { items: lost }) });
        }
        let place = state.joiners.place();
        drop(state);
        let responder = call.responder();
        self.at_cancel(&responder, move |state| state.joiners.leave(place));
        let mut joiner = Some(responder);
        self.change(|state| {
            if let Some(joiner) = joiner.take_if(|joiner| joiner.is_wanted()) {
                state.joiners.stand(place, joiner);
            }
        });
        Ok(call.answered_later())
    }

    /// Ends the queue: nothing can be put any more, and nothing got once it is empty. At once, where it is `immediate`: what it holds is dropped.
    pub(super) fn shut_down(&self, immediate: bool) {
        let dropped = self.change(|state| {
            state.shut = true;
            // Pairs with the load in `arrived`.
            self.ends.store(true, Ordering::SeqCst);
            if !immediate {
                return O::default();
            }
            state.drained = true;
            state.unfinished = state.unfinished.saturating_sub(state.items.len() as u64);
            std::mem::take(&mut state.items)
        });
        drop(dropped);
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.state.lock().shut
    }
}

impl<O: Order> Heir for Core<O> {
    fn client_ended(&self, client: ClientId) {
        self.change(|state| state.lost += state.taken.remove(&client).unwrap_or(0));
    }
}
