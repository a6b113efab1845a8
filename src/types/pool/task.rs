//! Functions that have a name in every process.

use std::any::TypeId;
use std::cell::RefCell;

use rustc_hash::FxHashMap;

use crate::datum::Datum;
use crate::object::registration::signature;

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
