//! A live object of a server: its name, its class, and the way in for calls.
//!
//! Whoever keeps an object alive holds its entry: a lease, a call, a ticket, a proxy inside the server. When the last lets go, the object
//! leaves the table and is dropped.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};

use super::call::Call;
use super::chain::{ChainId, Occupied};
use super::class::Class;
use super::panics;
use super::stored::{Object, UserCode};
use super::table::Table;
use crate::codec::Codec;
use crate::error::Error;
use crate::protocol::carriage::Keep;
use crate::protocol::{ObjectId, ServerId, TicketId, Token};

/// A live object.
pub struct Entry {
    id: ObjectId,
    class: Arc<Class>,
    table: Weak<Table>,
    /// `None` only while the entry is dropped.
    object: Option<Arc<dyn Object>>,
}

impl Entry {
    pub(super) fn new(id: ObjectId, class: &Arc<Class>, table: &Arc<Table>, object: Arc<dyn Object>) -> Arc<Self> {
        Arc::new(Self { id, class: Arc::clone(class), table: Arc::downgrade(table), object: Some(object) })
    }

    /// Its number, never used again.
    #[inline]
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Its registered type.
    pub fn class(&self) -> &Arc<Class> {
        &self.class
    }

    /// The table that it is in; `None` after the server's end.
    pub fn table(&self) -> Option<Arc<Table>> {
        self.table.upgrade()
    }

    #[inline]
    pub(super) fn object(&self) -> &dyn Object {
        // Set in `new`, taken in `drop`: nobody can hold a reference by then.
        self.object.as_deref().unwrap_or(&Absent)
    }

    /// What names it between processes.
    pub fn token(&self) -> Token {
        match self.table() {
            Some(table) => table.token(self.id, self.class.typeid()),
            None => Token {
                server: ServerId([0; 16]),
                object: self.id,
                typeid: Arc::clone(self.class.typeid()),
                address: "".into(),
            },
        }
    }

    /// Runs the call that `call` describes now, and answers it; or takes it out, to be run in its turn. `table` is this object's.
    #[inline]
    pub fn dispatch(self: &Arc<Self>, call: &mut Option<Call>, table: &Arc<Table>, may_block: bool) {
        let Some(described) = call else { return };
        let signature = (described.codec == Codec::Bincode).then_some(described.signature);
        match self.class.find(described.name_bytes(), signature) {
            Ok(method) => described.method = method,
            Err(error) => return described.refuse(&error),
        }
        self.object().enter(self, call, table, may_block);
    }

    /// Forgets queued calls that nobody waits for any more.
    pub fn withdraw_unwanted(&self) {
        self.object().withdraw_unwanted();
    }
}

impl Occupied for Entry {
    fn inside(&self) -> Vec<ChainId> {
        self.object().inside()
    }
}

impl Keep for Entry {
    fn issue(self: Arc<Self>) -> Option<TicketId> {
        let table = self.table()?;
        Some(table.issue(self))
    }
}

thread_local! {
    /// What this thread has yet to drop, while it drops something.
    static DOOMED: RefCell<Option<VecDeque<Doomed>>> = const { RefCell::new(None) };
}

/// An object that nobody can reach any more.
struct Doomed {
    object: Arc<dyn Object>,
    table: Option<Arc<Table>>,
}

impl Doomed {
    /// Drops it now; or, where its holder is being dropped on this thread, after that: a chain of objects may be longer than a stack is deep.
    fn drop_in_turn(self) {
        let mut first = Some(self);
        let queued = DOOMED.try_with(|doomed| match &mut *doomed.borrow_mut() {
            Some(doomed) => doomed.extend(first.take()),
            none => *none = Some(VecDeque::new()),
        });
        let Some(first) = first else { return };
        first.drop_now();
        // A thread that ends has no queue any more.
        if queued.is_err() {
            return;
        }
        while let Some(next) = DOOMED.with(|doomed| {
            let mut doomed = doomed.borrow_mut();
            let next = doomed.as_mut().and_then(VecDeque::pop_front);
            if next.is_none() {
                *doomed = None;
            }
            next
        }) {
            next.drop_now();
        }
    }

    fn drop_now(self) {
        let Self { object, table } = self;
        match table {
            Some(table) => UserCode::run(&**table.host(), || panics::quietly(|| drop(object))),
            None => panics::quietly(|| drop(object)),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let table = self.table.upgrade();
        if let Some(table) = &table {
            table.remove(self.id);
        }
        if let Some(object) = self.object.take() {
            Doomed { object, table }.drop_in_turn();
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} object {}", self.class.typeid(), self.id)
    }
}

/// Stands where an object has been.
struct Absent;

impl Object for Absent {
    fn enter(&self, _: &Arc<Entry>, call: &mut Option<Call>, _: &Arc<Table>, _: bool) {
        call.iter_mut().for_each(|call| call.refuse(&Error::protocol("a call on an object that is being dropped")));
    }

    fn resume(&self, entry: &Arc<Entry>, call: Call, table: &Arc<Table>) {
        self.enter(entry, &mut Some(call), table, true);
    }

    fn inside(&self) -> Vec<ChainId> {
        Vec::new()
    }

    fn withdraw_unwanted(&self) {}
}
