//! Functions that have a name in every process.

use std::any::TypeId;
use std::cell::RefCell;

use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;

use crate::datum::Datum;
use crate::error::Error;
use crate::object::Raised;
use crate::object::raised::Raising;
use crate::object::registration::signature;
use crate::pool::PoolError;
use crate::types::element::Element;

/// A function that can be named to a server's pool: its name, and its types. Written by [`#[multiproc::task]`](macro@crate::task).
///
/// A program that only calls a task, and does not have it, declares it without a body: `#[multiproc::task] fn square(n: u64) -> u64;`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no task",
    note = "a task is a function with `#[multiproc::task]` on it, and is named as a type: `pool.apply::<square>((3,))`"
)]
pub trait Task: 'static {
    /// What it is called between processes.
    const NAME: &'static str;
    /// What its parameters are called.
    const PARAMETERS: &'static [&'static str];
    /// Its arguments, a tuple.
    type Arguments: Datum;
    /// What it returns.
    type Output: Datum;
}

/// A task whose function is in this program, so that its workers can run it.
#[diagnostic::on_unimplemented(
    message = "the task `{Self}` has no body in this program, so that no worker of it could run the task",
    note = "register it where its function is: `#[multiproc::task] fn name(…) -> … {{ … }}`"
)]
pub trait RunTask: Task {
    /// Runs it.
    fn run(arguments: Self::Arguments) -> Self::Output;

    /// What becomes of its `Err`s in the calls of Python's clients; `None` for a task whose result is no `Result`.
    #[doc(hidden)]
    fn errors() -> Option<TaskErrors> {
        None
    }
}

/// What the errors of a task are to Python's clients, who have no `Result`s: exceptions.
#[derive(Debug, Clone, Default)]
pub struct TaskErrors(Option<Raising>);

impl TaskErrors {
    /// They are those that are named for an `E`.
    #[must_use]
    pub fn raising<E: DeserializeOwned + 'static>(self, raised: fn(&E) -> Raised) -> Self {
        Self(Some(Raising::of(raised)))
    }

    /// What is in the `Ok` of a result, or the failure that its `Err` is.
    pub(super) fn open(&self, result: &Element) -> Result<Element, PoolError> {
        match result.read::<Result<Element, Element>>() {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let raised = self.0.as_ref().and_then(|raising| raising.raised(error.bytes()));
                Err(PoolError::Failed { error: error.to_string(), raised })
            }
            Err(error) => Err(Error::unserializable::<Result<Element, Element>>(error).into()),
        }
    }
}

/// The arguments of a task that takes one: what can be mapped over items.
#[diagnostic::on_unimplemented(
    message = "`map` and `imap` give each item as a task's only argument, but this one takes `{Self}`",
    note = "give tuples of arguments to `starmap` or `starimap`"
)]
pub trait OneArgument: Datum {
    /// The argument.
    type Argument: Datum;
}

impl<A: Datum> OneArgument for (A,) {
    type Argument = A;
}

thread_local! {
    /// Computed once per thread and task: a table for all threads would need a lock that a forked child may find held.
    static SIGNATURES: RefCell<FxHashMap<TypeId, u32>> = RefCell::default();
}

/// The structural hash of a task's types.
pub(super) fn signature_of<T: Task>() -> u32 {
    let id = TypeId::of::<T>();
    if let Some(known) = SIGNATURES.with_borrow(|known| known.get(&id).copied()) {
        return known;
    }
    let computed = signature::<T::Arguments, T::Output>();
    SIGNATURES.with_borrow_mut(|known| known.insert(id, computed));
    computed
}
