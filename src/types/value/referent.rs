//! The value itself, in the server.
//!
//! It is one cell, and so the whole of what is [locked](crate::types::locked).

use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, Serializer};

use super::ValueProxy;
use crate::codec::Value;
use crate::error::{Error, Result};
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Failure, Invocation, Outcome, Referent};
use crate::sys::sync::{Mutex, MutexGuard};
use crate::types::element::{Canonical, Element, elements};
use crate::types::encodes::Slot;
use crate::types::entries::canonical;
use crate::types::locked::{self, Lockable};
use crate::types::number::{NumberKind, Operation};
use crate::types::update::{self, Cells, Change, Fetched, Turns, Updated};

/// The referent of a [`ValueProxy`]: one value of any type.
pub struct SharedValue {
    inner: Arc<Inner>,
}

pub(in crate::types) struct Inner {
    /// What a Python program said of the value's type, which means nothing.
    #[cfg_attr(not(feature = "python"), allow(dead_code, reason = "only they ask"))]
    typecode: Option<Element>,
    state: Mutex<State>,
    turns: Turns<Self>,
}

pub(in crate::types) struct State {
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

    fn canonical(&self) -> Result<Canonical> {
        self.value.canonical().map_err(Error::unserializable::<Element>)
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

impl Lockable for Inner {
    const WHOLE: () = ();
    type State = State;

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl SharedValue {
    fn of(value: Element, typecode: Option<Element>) -> Self {
        let state = Mutex::new(State { value, version: 0 });
        Self { inner: Arc::new_cyclic(|me| Inner { typecode, state, turns: Turns::new(me.clone()) }) }
    }

    fn get(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let state = self.inner.state.lock();
        call.answer(&state.value)
    }

    fn set(&self, call: &mut Invocation<'_>) -> Outcome {
        let (value,) = elements::<(Element,)>(call)?;
        locked::write(self, call, |state| Ok(((), state.set(value))))
    }

    fn swap(&self, call: &mut Invocation<'_>) -> Outcome {
        let (value,) = elements::<(Element,)>(call)?;
        locked::write(self, call, |state| Ok((state.set(value), ())))
    }

    fn compare_exchange(&self, call: &mut Invocation<'_>) -> Outcome {
        let (expected, new) = elements::<(Element, Element)>(call)?;
        let expected = canonical(&expected)?;
        locked::write(self, call, move |state| {
            let equal = state.canonical()? == expected;
            Ok(if equal { ((true, state.set(new)), None) } else { ((false, state.value.clone()), Some(new)) })
        })
    }

    fn compute(&self, call: &mut Invocation<'_>) -> Outcome {
        let (kind, operation, operand) = call.arguments::<(NumberKind, Operation, Element)>()?;
        let operand = kind.raw(&operand)?;
        locked::write(self, call, move |state| {
            let new = kind.compute(operation, &state.value, &operand)?;
            Ok((state.set(new), ()))
        })
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
        table.dynamic_constructor("new", &["value"], |call| Ok(Self::of(elements::<(Element,)>(call)?.0, None)));
        #[cfg(feature = "python")]
        table.dynamic_constructor("typed", &["typecode", "value"], |call| {
            let (typecode, value) = elements::<(Element, Element)>(call)?;
            Ok(Self::of(value, Some(typecode)))
        });
        #[cfg(feature = "python")]
        table.dynamic("typed", &[], |this, call| {
            let () = call.arguments()?;
            call.answer(&(Slot(this.inner.typecode.as_ref()), &this.inner.state.lock().value))
        });
        table.dynamic("get", &[], Self::get);
        table.dynamic("set", &["value"], Self::set);
        table.dynamic("swap", &["value"], Self::swap);
        table.dynamic("compare_exchange", &["expected", "new"], Self::compare_exchange);
        table.dynamic("compute", &["kind", "operation", "operand"], Self::compute);
        update::list(table);
        locked::list(table);
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
