//! The value itself, in the server.
//!
//! It is one cell. A [turn](crate::types::reservation) at it without a limit is its lock, and while somebody has one, writes wait for its end in the order in which they came.

use std::fmt;
use std::sync::{Arc, Weak};

use serde::ser::{Serialize, Serializer};

use super::ValueProxy;
use crate::codec::Value;
use crate::error::Result;
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Failure, Invocation, Outcome, Referent, Responder};
use crate::sys::sync::Mutex;
use crate::types::element::{Canonical, Element, elements};
use crate::types::encodes::Slot;
use crate::types::entries::canonical;
use crate::types::number::{NumberKind, Operation};
use crate::types::reservation::Write;
use crate::types::update::{self, Cells, Change, Fetched, Turns, Updated};

/// The referent of a [`ValueProxy`]: one value of any type.
pub struct SharedValue {
    inner: Arc<Inner>,
}

pub(in crate::types) struct Inner {
    state: Mutex<State>,
    turns: Turns<Self>,
}

struct State {
    value: Element,
    /// Which write it is of.
    version: u64,
}

impl State {
    /// Writes; the former value, to be dropped outside of the lock.
    fn set(&mut self, value: Element) -> Element {
        self.version += 1;
        std::mem::replace(&mut self.value, value)
    }
}

impl Cells for Inner {
    type Cell = ();

    fn turns(&self) -> &Turns<Self> {
        &self.turns
    }

    fn cell(&self, _: &Element) -> Result<(), Failure> {
        Ok(())
    }

    fn fetch(&self, (): &()) -> Result<Fetched> {
        let state = self.state.lock();
        Ok(Slot(Some((state.version, state.value.clone()))))
    }

    fn replace(&self, (): &(), change: Change, may: impl FnOnce() -> bool) -> Result<bool> {
        let Some(new) = change.new else { return Ok(false) };
        let mut state = self.state.lock();
        let replaces = change.version == Some(state.version) && may();
        // Dropped behind the lock's guard, whichever it is.
        let _former = if replaces { state.set(new) } else { new };
        drop(state);
        Ok(replaces)
    }
}

/// A write, which may have to wait.
enum Job {
    Set(Element),
    Swap(Element),
    CompareExchange(Canonical, Element),
    Compute(NumberKind, Operation, Element),
}

/// What a write answers.
enum Done {
    Nothing,
    Former(Element),
    Exchanged(bool, Element),
}

impl Serialize for Done {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => ().serialize(serializer),
            Self::Former(value) => value.serialize(serializer),
            Self::Exchanged(exchanged, value) => (exchanged, value).serialize(serializer),
        }
    }
}

impl Job {
    /// Writes; what is answered, and what is not needed any more, to be dropped outside of the lock.
    fn run(self, state: &mut State) -> Result<(Done, Option<Element>), Failure> {
        Ok(match self {
            Self::Set(value) => (Done::Nothing, Some(state.set(value))),
            Self::Swap(value) => (Done::Former(state.set(value)), None),
            Self::CompareExchange(expected, new) => {
                if canonical(&state.value)? == expected {
                    (Done::Exchanged(true, state.set(new)), None)
                } else {
                    (Done::Exchanged(false, state.value.clone()), Some(new))
                }
            }
            Self::Compute(kind, operation, operand) => {
                let new = kind.compute(operation, &state.value, &operand)?;
                (Done::Former(state.set(new)), None)
            }
        })
    }
}

/// A write that waits for the lock's release.
struct WaitingJob {
    inner: Weak<Inner>,
    job: Job,
    responder: Responder<Done>,
}

impl Write for WaitingJob {
    fn is_wanted(&self) -> bool {
        self.responder.is_wanted()
    }

    fn write(self: Box<Self>) {
        let Self { inner, job, responder } = *self;
        let Some(inner) = inner.upgrade() else { return };
        let done = job.run(&mut inner.state.lock());
        match done {
            Ok((done, _former)) => responder.respond(&done),
            Err(Failure::System(error)) => responder.refuse(&error),
            // A value has no errors of its own, and a responder dropped says that there is none.
            Err(Failure::Method(_)) => {}
        }
    }
}

impl SharedValue {
    fn of(value: Element) -> Self {
        let state = Mutex::new(State { value, version: 0 });
        Self { inner: Arc::new_cyclic(|me| Inner { state, turns: Turns::new(me.clone()) }) }
    }

    /// Writes at once, or when nobody holds the lock any more.
    fn write(&self, call: &mut Invocation<'_>, job: Job) -> Outcome {
        let inner = &self.inner;
        let mut state = inner.state.lock();
        if !inner.turns.is_held(&()) {
            let (done, former) = job.run(&mut state)?;
            drop(state);
            drop(former);
            return call.answer(&done);
        }
        drop(state);
        let responder = call.responder();
        let inner = Arc::downgrade(inner);
        self.inner.turns.write((), responder, |responder| Box::new(WaitingJob { inner, job, responder }));
        Ok(call.answered_later())
    }

    fn get(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let state = self.inner.state.lock();
        call.answer(&state.value)
    }

    fn set(&self, call: &mut Invocation<'_>) -> Outcome {
        let (value,) = elements::<(Element,)>(call)?;
        self.write(call, Job::Set(value))
    }

    fn swap(&self, call: &mut Invocation<'_>) -> Outcome {
        let (value,) = elements::<(Element,)>(call)?;
        self.write(call, Job::Swap(value))
    }

    fn compare_exchange(&self, call: &mut Invocation<'_>) -> Outcome {
        let (expected, new) = elements::<(Element, Element)>(call)?;
        self.write(call, Job::CompareExchange(canonical(&expected)?, new))
    }

    fn compute(&self, call: &mut Invocation<'_>) -> Outcome {
        let (kind, operation, operand) = call.arguments()?;
        self.write(call, Job::Compute(kind, operation, operand))
    }

    fn lock(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        self.inner.turns.reserve(call, (), None)
    }

    /// The thread that had the lock has ended.
    fn abandon(&self, call: &mut Invocation<'_>) -> Outcome {
        let (reservation,) = call.arguments()?;
        self.inner.turns.abandon(&(), reservation);
        call.answer(&())
    }
}

impl fmt::Debug for SharedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({self})")
    }
}

impl fmt::Display for SharedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.state.lock().value.fmt(f)
    }
}

impl Serialize for SharedValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.inner.state.lock().value.serialize(serializer)
    }
}

impl Referent for SharedValue {
    type Proxy = ValueProxy<Value>;
    type Store = Bare<Self>;
    const TYPEID: &'static str = "Value";

    fn methods(table: &mut Methods<Self>) {
        table.dynamic_constructor("new", &["value"], |call| Ok(Self::of(elements::<(Element,)>(call)?.0)));
        table.dynamic("get", &[], Self::get);
        table.dynamic("set", &["value"], Self::set);
        table.dynamic("swap", &["value"], Self::swap);
        table.dynamic("compare_exchange", &["expected", "new"], Self::compare_exchange);
        table.dynamic("compute", &["kind", "operation", "operand"], Self::compute);
        table.dynamic("lock", &[], Self::lock);
        table.dynamic("abandon", &["reservation"], Self::abandon);
        update::list(table);
        table.display();
        table.value();
    }
}

impl Updated for SharedValue {
    type Cells = Inner;

    fn cells(&self) -> &Arc<Inner> {
        &self.inner
    }
}
