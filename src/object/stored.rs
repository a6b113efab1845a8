//! A referent in its store, behind its gate: here calls run.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use super::answer::{Answer, Failure};
use super::call::Call;
use super::chain::{Chain, ChainId};
use super::class::Class;
use super::entry::Entry;
use super::gate::{Gate, Mode};
use super::host::Host;
use super::invocation::{Invocation, Memory, Target};
use super::methods::Body;
use super::panics;
use super::referent::Referent;
use super::store::{Admits, Store};
use super::table::Table;
use crate::error::Error;
use crate::sys::sync::Mutex;

/// A referent of any type, as the table keeps it.
pub(super) trait Object: Any + Send + Sync {
    /// Runs the call of `entry`, which is this object's, now, and answers it; or takes it out, to be run in its turn.
    ///
    /// `may_block` says that this thread may run a method that blocks.
    fn enter(&self, entry: &Arc<Entry>, call: &mut Option<Call>, table: &Arc<Table>, may_block: bool);

    /// Runs, on a thread that may block, a call that has been let in before.
    fn resume(&self, entry: &Arc<Entry>, call: Call, table: &Arc<Table>);

    /// The chains of calls inside.
    fn inside(&self) -> Vec<ChainId>;

    /// Forgets queued calls that nobody waits for any more.
    fn withdraw_unwanted(&self);
}

/// A referent with what governs access to it.
struct Stored<T: Referent> {
    store: T::Store,
    gate: Gate<Call>,
}

/// A call's method, looked up.
struct Method<'a, T> {
    body: &'a Body<T>,
    mode: Mode,
    target: Target<'a>,
    blocking: bool,
}

impl<T: Referent> Stored<T> {
    fn new(referent: T) -> Self {
        Self { store: T::Store::new(referent), gate: Gate::default() }
    }

    /// Runs the call now, or keeps it for its turn.
    #[inline]
    fn enter(&self, entry: &Arc<Entry>, call: &mut Option<Call>, table: &Arc<Table>, may_block: bool) {
        if T::Store::ADMITS == Admits::All {
            return self.run_one(entry, call, table, may_block, |_| {});
        }
        let Some(described) = call else { return };
        let chain = described.chain.id;
        let Some(mode) = self.method(entry.class(), described.method).map(|method| method.mode) else {
            return described.refuse(&Error::protocol("a method that the object's class does not have"));
        };
        let admitted = self.gate.enter(mode, chain, call, |call| {
            call.entry = Some(Arc::clone(entry));
            call.park();
        });
        if admitted {
            self.run(entry, call, table, may_block);
        }
    }

    fn mode(&self, mode: Mode) -> Mode {
        if T::Store::ADMITS == Admits::One { Mode::Exclusive } else { mode }
    }

    fn method<'a>(&self, class: &'a Class, method: usize) -> Option<Method<'a, T>> {
        let slot = class.slot(method)?;
        let body = class.bodies::<T>()?.get(method)?;
        let target =
            Target { typeid: class.typeid(), name: slot.info.name, parameters: slot.info.parameters, slot: Some(slot) };
        Some(Method { body, mode: self.mode(slot.info.mode), target, blocking: slot.info.blocking })
    }

    /// Runs a call that has been let in, and then those that its end lets in.
    ///
    /// Where a method waits on this thread for the first, the others go to a worker: they may need what that method holds, which goes on only when this returns.
    fn run(&self, entry: &Arc<Entry>, first: &mut Option<Call>, table: &Arc<Table>, may_block: bool) {
        let nested = Chain::is_running();
        let mut admitted = VecDeque::new();
        self.run_one(entry, first, table, may_block, |call| admitted.push_back(call));
        while let Some(mut call) = admitted.pop_front() {
            // What has waited says of which entry it is.
            let Some(entry) = call.entry.take() else { continue };
            // Only the first call was this thread's own; the others must not make it block.
            if nested {
                let chain = call.chain.id;
                self.offload(call, &entry, table, || self.gate.leave(chain, |call| admitted.push_back(call)));
            } else {
                self.run_one(&entry, &mut Some(call), table, false, |call| admitted.push_back(call));
            }
        }
    }

    #[inline]
    fn run_one(
        &self,
        entry: &Arc<Entry>,
        slot: &mut Option<Call>,
        table: &Arc<Table>,
        may_block: bool,
        admit: impl FnMut(Call),
    ) {
        let Some(call) = slot else { return };
        let chain = call.chain.id;
        let leave = || {
            if T::Store::ADMITS != Admits::All {
                self.gate.leave(chain, admit);
            }
        };
        if !call.is_wanted() {
            return leave();
        }
        let Some(method) = self.method(entry.class(), call.method) else {
            leave();
            return call.refuse(&Error::protocol("a method that the object's class does not have"));
        };
        if method.blocking && !may_block {
            if let Some(call) = slot.take() {
                self.offload(call, entry, table, leave);
            }
            return;
        }
        let answer = self.invoke(entry, call, method, table);
        leave();
        if let Some(answer) = answer {
            call.answer(answer);
        }
    }

    /// Gives a call that may block to a worker. It stays inside the gate.
    fn offload(&self, mut call: Call, entry: &Arc<Entry>, table: &Arc<Table>, leave: impl FnOnce()) {
        // Whoever waits can be told of a refusal, a cancellation or a timeout while the worker is busy.
        call.park();
        let slot = Arc::new(Mutex::new(Some(call)));
        let job = {
            let (slot, entry, table) = (Arc::clone(&slot), Arc::clone(entry), Arc::clone(table));
            Box::new(move || {
                let call = slot.lock().take();
                if let Some(call) = call {
                    entry.object().resume(&entry, call, &table);
                }
            })
        };
        if let Err(error) = table.host().offload(job) {
            leave();
            let call = slot.lock().take();
            if let Some(mut call) = call {
                call.refuse(&error);
            }
        }
    }

    /// Runs the method; `None` where it will answer later.
    fn invoke(&self, entry: &Arc<Entry>, call: &mut Call, method: Method<'_, T>, table: &Arc<Table>) -> Option<Answer> {
        let Method { body, target, .. } = method;
        let memory = Memory::of(call);
        let (chain, caller) = (call.chain, call.caller);
        let mut invocation = Invocation::new(call, Some(entry), &memory, table, target);
        let outcome = UserCode::run(&**table.host(), || {
            chain.run(caller, || {
                panics::caught(|| match body {
                    Body::Shared(method) => Some(self.store.shared(|this| method(this, &mut invocation))),
                    Body::Exclusive(method) => self.store.exclusive(|this| method(this, &mut invocation)),
                })
            })
        });
        let answer = match outcome {
            Ok(Some(Ok(_) | Err(Failure::Method(_)))) => invocation.into_answer(),
            Ok(Some(Err(Failure::System(error)))) => Some(Answer::refused(&error)),
            Ok(None) => Some(Answer::refused(&Error::Registration {
                typeid: target.typeid.to_owned(),
                reason: format!("{:?} takes &mut self, but its type is kept in a `Bare` store", target.name),
            })),
            Err(panic) => Some(Answer::refused(&Error::Panicked(panics::told(panic, target.typeid, target.name)))),
        };
        call.frame = memory.give_up();
        answer
    }
}

/// Tells the host that user code runs, also when it panics.
pub(super) struct UserCode<'a>(&'a dyn Host);

impl<'a> UserCode<'a> {
    pub(super) fn run<R>(host: &'a dyn Host, code: impl FnOnce() -> R) -> R {
        host.begin();
        let _end = Self(host);
        code()
    }
}

impl Drop for UserCode<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A referent that can be handed out more than once: every proxy that is made of it is a proxy of the same object.
///
/// What a registered callable or a `#[referent(proxy)]` method returns for an object that exists already, such as Python's `get_queue` idiom's queue.
/// It stays in memory as long as a `Shared` or a proxy of it exists.
///
/// ```
/// use multiproc::{BaseManager, Proxy, Registration, Shared};
///
/// pub struct Log { lines: Vec<String> }
///
/// #[multiproc::referent]
/// impl Log {
///     pub fn append(&mut self, line: String) { self.lines.push(line); }
///     pub fn len(&self) -> usize { self.lines.len() }
/// }
///
/// # fn main() -> multiproc::Result<()> {
/// let log = Shared::new(Log { lines: Vec::new() });
/// let registration = Registration::<Log>::new("get_log").callable(move || log.clone());
/// let manager = BaseManager::builder().register_with(registration).start()?;
/// let a: LogProxy = manager.create_as("get_log", ())?;
/// let b: LogProxy = manager.create_as("get_log", ())?;
/// a.append("one".into())?;
/// assert_eq!(b.len()?, 1);
/// assert_eq!(a, b);
/// # manager.shutdown()
/// # }
/// ```
pub struct Shared<T: Referent>(Arc<SharedInner<T>>);

struct SharedInner<T: Referent> {
    stored: Stored<T>,
    /// Under which names servers know it at present.
    entries: Mutex<Vec<(Arc<Class>, Weak<Entry>)>>,
}

impl<T: Referent> Shared<T> {
    /// Takes the referent in.
    pub fn new(referent: T) -> Self {
        Self(Arc::new(SharedInner { stored: Stored::new(referent), entries: Mutex::new(Vec::new()) }))
    }

    /// The object's entry in `table`, made if it has none.
    pub(super) fn entry(self, table: &Arc<Table>, class: &Arc<Class>) -> Arc<Entry> {
        let mut entries = self.0.entries.lock();
        // A class belongs to one table, so that it tells the table too.
        let known =
            entries.iter().filter(|(known, _)| Arc::ptr_eq(known, class)).find_map(|(_, entry)| entry.upgrade());
        known.unwrap_or_else(|| {
            let entry = table.insert(class, Arc::clone(&self.0) as Arc<dyn Object>);
            entries.retain(|(_, entry)| entry.strong_count() > 0);
            entries.push((Arc::clone(class), Arc::downgrade(&entry)));
            entry
        })
    }
}

impl<T: Referent> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Referent> std::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared<{}>", std::any::type_name::<T>())
    }
}

impl<T: Referent> Object for SharedInner<T> {
    fn enter(&self, entry: &Arc<Entry>, call: &mut Option<Call>, table: &Arc<Table>, may_block: bool) {
        self.stored.enter(entry, call, table, may_block);
    }

    fn resume(&self, entry: &Arc<Entry>, call: Call, table: &Arc<Table>) {
        self.stored.run(entry, &mut Some(call), table, true);
    }

    fn inside(&self) -> Vec<ChainId> {
        self.stored.gate.inside()
    }

    fn withdraw_unwanted(&self) {
        drop(self.stored.gate.withdraw(|call| !call.is_wanted()));
    }
}
