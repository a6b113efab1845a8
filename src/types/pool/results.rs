//! Results that are given out one after the other: what `imap` and `imap_unordered` return.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::result::{element, flat};
use super::task::TaskErrors;
use super::tasks::Outcome;
use crate::datum::Datum;
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Invocation, Outcome as Answer, Referent, Responder};
use crate::pool::{Cancel, PoolError};
use crate::proxy::Proxy;
use crate::sys::sync::Mutex;
use crate::types::batches::{BATCH, BATCH_BYTES, Batches};
use crate::types::bulk::Received;
use crate::types::element::Element;
use crate::types::encodes::Slot;
use crate::types::waiters::Waiters;

/// A result, or why there is none.
type Item = Result<Element, PoolError>;

/// The referent of a [`PoolResultsProxy`].
pub struct PoolResults {
    line: Arc<Line>,
    cancel: Option<Cancel>,
}

/// What has come, and who waits for it.
struct Line {
    ordered: bool,
    total: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What nobody has yet, by its place: the item's, or that of its coming.
    items: BTreeMap<u64, Item>,
    /// How many have come.
    come: u64,
    /// Up to which place all have been given out at least once.
    next: u64,
    /// How many have been given out and not returned.
    given: u64,
    waiters: Waiters<Waiter>,
}

/// One who waits.
enum Waiter {
    /// For so many at the most.
    Batch(usize, Responder<Vec<Item>>),
    /// For one.
    One(Responder<Slot<Element>, PoolError>),
}

/// Items on their way to somebody, with their places.
type Load = Vec<(u64, Item)>;

impl Line {
    /// Takes the next items out, up to `max`; none where there is none yet, and at the end.
    fn take(&self, state: &mut State, max: usize) -> Load {
        let mut load = Load::new();
        let mut bytes = 0;
        while load.len() < max
            && bytes < BATCH_BYTES
            && let Some(first) = state.items.first_entry().filter(|first| !self.ordered || *first.key() <= state.next)
        {
            let (place, item) = first.remove_entry();
            bytes += item.as_ref().map_or(0, |element| element.bytes().len());
            state.next = state.next.max(place + 1);
            state.given += 1;
            load.push((place, item));
        }
        load
    }

    /// Gives what there is to those who wait.
    fn serve(self: &Arc<Self>) {
        loop {
            let (waiter, load) = {
                let mut state = self.state.lock();
                let Some((_, first)) = state.waiters.first() else { return };
                let max = match first {
                    Waiter::Batch(max, _) => *max,
                    Waiter::One(_) => 1,
                };
                let over = state.given == self.total;
                let load = self.take(&mut state, max);
                if load.is_empty() && !over {
                    return;
                }
                (state.waiters.pop(), load)
            };
            if let Some(waiter) = waiter {
                self.answer(waiter, load);
            }
        }
    }

    /// What is not received returns to its place.
    fn answer(self: &Arc<Self>, waiter: Waiter, load: Load) {
        let line = Arc::clone(self);
        let returned = load.clone();
        let put_back = move || {
            let mut state = line.state.lock();
            state.given -= returned.len() as u64;
            state.items.extend(returned);
            drop(state);
            line.serve();
        };
        let mut items = load.into_iter().map(|(_, item)| item);
        match waiter {
            Waiter::Batch(_, responder) if items.len() == 0 => responder.respond(&Vec::new()),
            Waiter::Batch(_, responder) => responder.respond_or_put_back(&items.collect(), put_back),
            Waiter::One(responder) => match items.next() {
                None => responder.respond(&Slot(None)),
                Some(Ok(element)) => responder.respond_or_put_back(&Slot(Some(element)), put_back),
                Some(Err(error)) => responder.fail(&error),
            },
        }
    }

    /// Takes in what is done.
    fn arrive(self: &Arc<Self>, results: Vec<(usize, Result<Outcome, PoolError>)>, errors: Option<&TaskErrors>) {
        // Under no lock: proxies in a result may have to be fetched.
        let items: Vec<_> = results
            .into_iter()
            .map(|(place, result)| (place as u64, result.and_then(|outcome| element(outcome, errors))))
            .collect();
        {
            let mut state = self.state.lock();
            for (place, item) in items {
                let place = if self.ordered { place } else { state.come };
                state.come += 1;
                state.items.insert(place, item);
            }
        }
        self.serve();
    }

    fn stand(self: &Arc<Self>, waiter: Waiter) {
        let place = self.state.lock().waiters.place();
        let line = Arc::downgrade(self);
        let leave = move || {
            let waiter = line.upgrade().and_then(|line| line.state.lock().waiters.leave(place));
            drop(waiter);
        };
        match &waiter {
            Waiter::Batch(_, responder) => responder.on_cancel(leave),
            Waiter::One(responder) => responder.on_cancel(leave),
        }
        {
            let mut state = self.state.lock();
            let wanted = match &waiter {
                Waiter::Batch(_, responder) => responder.is_wanted(),
                Waiter::One(responder) => responder.is_wanted(),
            };
            // One that is given up from here on is taken out by the hook, which waits for the lock on the state.
            if wanted {
                state.waiters.stand(place, waiter);
            }
        }
        self.serve();
    }
}

impl PoolResults {
    /// Waits for the results of `total` items: in their order, or in that of their coming. The second part takes in what is done; what the items name is `kept` as long as any is not. `errors` open
    /// results for one who has no `Result`s.
    pub(super) fn new(
        ordered: bool,
        total: usize,
        kept: Vec<Element>,
        errors: Option<TaskErrors>,
    ) -> (Self, super::tasks::Arrived) {
        let line = Arc::new(Line { ordered, total: total as u64, state: Mutex::default() });
        let own = Arc::clone(&line);
        let kept = Mutex::new(kept);
        let arrived = move |results| {
            own.arrive(results, errors.as_ref());
            if own.state.lock().come == own.total {
                let kept = std::mem::take(&mut *kept.lock());
                drop(kept);
            }
        };
        (Self { line, cancel: None }, Box::new(arrived))
    }

    /// What no worker has begun is left undone when nobody holds this any more.
    pub(super) fn cancelled_by(self, cancel: Cancel) -> Self {
        let mut this = self;
        this.cancel = Some(cancel);
        this
    }

    fn next_batch(&self, call: &mut Invocation<'_>) -> Answer {
        let (max,) = call.arguments::<(usize,)>()?;
        let waiter = Waiter::Batch(max.max(1), call.responder());
        self.line.stand(waiter);
        Ok(call.answered_later())
    }

    fn next(&self, call: &mut Invocation<'_>) -> Answer {
        let () = call.arguments()?;
        let waiter = Waiter::One(call.responder());
        self.line.stand(waiter);
        Ok(call.answered_later())
    }
}

impl Drop for PoolResults {
    fn drop(&mut self) {
        if let Some(cancel) = &self.cancel {
            cancel.cancel();
        }
    }
}

impl fmt::Debug for PoolResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolResults").field("total", &self.line.total).finish_non_exhaustive()
    }
}

impl Referent for PoolResults {
    type Proxy = PoolResultsProxy<()>;
    type Store = Bare<Self>;
    const TYPEID: &'static str = "Iterator";

    fn methods(table: &mut Methods<Self>) {
        table.dynamic("next_batch", &["max"], Self::next_batch);
        table.dynamic("next", &[], Self::next);
    }
}

proxy_type! {
    /// Results of a server's pool, in the order of their items or of their coming: what [`PoolProxy::imap`](super::PoolProxy::imap) and
    /// [`imap_unordered`](super::PoolProxy::imap_unordered) return.
    ///
    /// Its holders share it: each result goes to one of them. Results that were on their way to a process that was killed go to the next one that asks. With its last proxy
    /// what no worker has begun is left undone.
    pub struct PoolResultsProxy<T>, PoolResultsDeferred;
}

impl<T: Datum> PoolResultsProxy<T> {
    /// The next results, up to `max` and 256 KiB and one, each with its own failure; waits for the first of them. None at the end.
    ///
    /// # Errors
    /// As every call.
    pub fn next_batch(&self, max: usize) -> Result<Vec<Result<T, PoolError>>, PoolError> {
        let batch = self.base().invoke_by_value::<_, Vec<Result<Received<T>, PoolError>>>("next_batch", &(max,))?;
        Ok(batch.into_iter().map(|item| item.map(Received::into_inner)).collect())
    }

    /// The next result; waits for it. `None` at the end.
    ///
    /// # Errors
    /// Why this one item has no result.
    #[doc(alias = "__next__")]
    pub fn next_item(&self) -> Result<Option<T>, PoolError> {
        flat(self.base().invoke_fallible_by_value::<_, Slot<T>, PoolError>("next", &())).map(Slot::into_inner)
    }

    /// The results, fetched in batches of up to 256 that are there. What was fetched and not looked at is lost with the iteration.
    ///
    /// An item's failure is told in its place, and the others go on; it ends after an error of the system's.
    #[doc(alias = "__iter__")]
    pub fn iter(&self) -> PoolResultsItems<T> {
        PoolResultsItems { proxy: self.clone(), batches: Batches::new() }
    }
}

/// The results of a [`PoolResultsProxy`], as [`iter`](PoolResultsProxy::iter) gives them.
#[derive(Debug)]
pub struct PoolResultsItems<T> {
    proxy: PoolResultsProxy<T>,
    batches: Batches<Result<T, PoolError>>,
}

impl<T: Datum> Iterator for PoolResultsItems<T> {
    type Item = Result<T, PoolError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { proxy, batches } = self;
        batches.next(|| proxy.next_batch(BATCH)).map(Result::flatten)
    }
}

impl<T: Datum> IntoIterator for &PoolResultsProxy<T> {
    type Item = Result<T, PoolError>;
    type IntoIter = PoolResultsItems<T>;

    fn into_iter(self) -> PoolResultsItems<T> {
        self.iter()
    }
}

impl<T: Datum> IntoIterator for PoolResultsProxy<T> {
    type Item = Result<T, PoolError>;
    type IntoIter = PoolResultsItems<T>;

    fn into_iter(self) -> PoolResultsItems<T> {
        self.iter()
    }
}
