//! Iterators over what an object held when they were made: what `__iter__` answers, and an `IteratorProxy` goes on with.

use std::vec::IntoIter;

use super::super::element::{Element, elements};
use super::{found, no_method};
use crate::codec::Value;
use crate::codec::value::parts::{self, Kind};
use crate::object::face::{self, Arguments, Creation, Exception, Face, Step};
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Invocation, Outcome, Referent};
use crate::sys::sync::Mutex;
use crate::types::encodes::Slot;

/// The elements that are left.
#[derive(Default)]
pub(super) struct Iterator {
    left: Mutex<IntoIter<Element>>,
}

impl Iterator {
    fn next(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let next = self.left.lock().next();
        call.answer(&Slot(next))
    }

    /// Takes the elements in, once: they come by a call, so that proxies among them are this object's own.
    fn fill(&self, call: &mut Invocation<'_>) -> Outcome {
        let (all,) = elements::<(Vec<Element>,)>(call)?;
        let former = std::mem::replace(&mut *self.left.lock(), all.into_iter());
        drop(former);
        call.answer(&())
    }
}

impl Referent for Iterator {
    type Proxy = crate::types::DictProxy<Value, Value>;
    type Store = Bare<Self>;
    const TYPEID: &'static str = "Iterator";

    fn methods(table: &mut Methods<Self>) {
        table.dynamic("next", &[], Self::next);
        table.dynamic("fill", &["elements"], Self::fill);
    }
}

/// Answers with an iterator over these.
pub(super) fn over(elements: Vec<Vec<u8>>) -> Step {
    let list = parts::container(Kind::List, elements.iter());
    Step::Make(face::make(Iterator::default()), Some(("fill", parts::positional([&list].into_iter()))))
}

pub(super) struct IteratorFace;

impl Face for IteratorFace {
    fn proxytype(&self) -> &'static str {
        "IteratorProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        &["__next__"]
    }

    fn create(&self, _: Arguments) -> Result<Creation, Step> {
        Err(Step::type_error("iterators are made by the objects that they go over"))
    }

    fn call(&self, method: &str, _: Arguments) -> Step {
        match method {
            "__next__" => Step::call_then::<&[u8]>("next", &[], |next| {
                found(next, || Step::Raise(Exception::of("builtins", "StopIteration", Vec::new())))
            }),
            other => no_method(other),
        }
    }
}
