//! The live objects of one server.
//!
//! The table itself keeps nothing alive: it holds weak references, and an entry takes itself out when its last holder lets go. Its lock is held for
//! single look-ups and changes, never while a referent runs or is dropped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::call::Call;
use super::chain::Waits;
use super::class::Class;
use super::entry::Entry;
use super::host::Host;
use super::invocation::{Invocation, Memory, Reference, Target};
use super::registry::Registry;
use super::stored::{Object, UserCode};
use super::ticket::Tickets;
use super::{Answer, Failure, panics};
use crate::codec::Codec;
use crate::error::{Error, Result};
use crate::protocol::reply::Status;
use crate::protocol::{ClientId, ObjectId, ServerId, TicketId, Token};
use crate::sys::sync::{Mutex, MutexGuard, RwLock};

/// The object table of one server.
pub struct Table {
    server: ServerId,
    address: OnceLock<Arc<str>>,
    registry: Registry,
    host: Arc<dyn Host>,
    entries: RwLock<FxHashMap<ObjectId, Weak<Entry>>>,
    next: AtomicU64,
    waits: Waits,
    tickets: Mutex<Tickets>,
    next_ticket: AtomicU64,
}

impl Table {
    /// An empty table.
    pub fn new(server: ServerId, registry: Registry, host: Arc<dyn Host>) -> Arc<Self> {
        Arc::new(Self {
            server,
            address: OnceLock::new(),
            registry,
            host,
            entries: RwLock::new(FxHashMap::default()),
            next: AtomicU64::new(ObjectId::SERVER.0 + 1),
            waits: Waits::default(),
            tickets: Mutex::new(Tickets::default()),
            next_ticket: AtomicU64::new(1),
        })
    }

    /// Which server's it is.
    pub fn server(&self) -> ServerId {
        self.server
    }

    /// Says where the server is reached; tokens made from now on tell it.
    pub fn set_address(&self, address: &str) {
        // A server has one address for its life; a second call changes nothing.
        let _ = self.address.set(address.into());
    }

    /// The registered types.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The threads that calls run on.
    pub fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    /// Which chains of calls wait inside the server.
    pub fn waits(&self) -> &Waits {
        &self.waits
    }

    /// The references in transit.
    pub fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock()
    }

    /// A ticket of the server's own, for an object that its code sends elsewhere.
    pub(super) fn issue(&self, entry: Arc<Entry>) -> TicketId {
        // Pairs with nothing: only the number's uniqueness counts. No client has the server's id.
        let number = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        let id = TicketId { client: ClientId(self.server.0), number };
        self.tickets.lock().issue(id, entry, Some(Instant::now()));
        self.host.timers_changed();
        id
    }

    /// A token of this server's.
    pub fn token(&self, object: ObjectId, typeid: &Arc<str>) -> Token {
        let address = self.address.get().cloned().unwrap_or_else(|| "".into());
        Token { server: self.server, object, typeid: Arc::clone(typeid), address }
    }

    /// The live object of that number.
    pub fn find(&self, id: ObjectId) -> Result<Arc<Entry>> {
        self.entries.read().get(&id).and_then(Weak::upgrade).ok_or(Error::NoSuchObject { object: id.0 })
    }

    /// How many objects live.
    pub fn len(&self) -> usize {
        self.entries.read().len()
    }

    /// All live objects, in the order of their numbers.
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        let mut entries: Vec<_> = self.entries.read().values().filter_map(Weak::upgrade).collect();
        entries.sort_unstable_by_key(|entry| entry.id());
        entries
    }

    pub(super) fn insert(self: &Arc<Self>, class: &Arc<Class>, object: Arc<dyn Object>) -> Arc<Entry> {
        // Pairs with nothing: only the number's uniqueness counts.
        let id = ObjectId(self.next.fetch_add(1, Ordering::Relaxed));
        let entry = Entry::new(id, class, self, object);
        self.entries.write().insert(id, Arc::downgrade(&entry));
        entry
    }

    pub(super) fn remove(&self, id: ObjectId) {
        self.entries.write().remove(&id);
    }

    /// Runs a constructor, named `typeid::constructor` (`typeid::` for the first), and answers with the new object's proxy.
    pub fn create(self: &Arc<Self>, mut call: Call) {
        match self.try_create(&mut call) {
            Ok(answer) => call.answer(answer),
            Err(error) => call.refuse(&error),
        }
    }

    fn try_create(self: &Arc<Self>, call: &mut Call) -> Result<Answer> {
        let memory = Memory::of(call);
        let name = memory.get(call.name.clone()).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default();
        let (typeid, constructor) =
            name.split_once("::").ok_or_else(|| Error::protocol("a constructor without a type"))?;
        let class = self.registry.get(typeid)?;
        let signature = (call.codec == Codec::Bincode).then_some(call.signature);
        let maker = class.maker(constructor, signature)?;
        let name = maker.name.unwrap_or(constructor);
        let target = Target { typeid, name, parameters: maker.parameters, slot: None };
        let (chain, caller, codec) = (call.chain, call.caller, call.codec);
        let mut invocation = Invocation::new(call, None, &memory, self, target);
        let made = UserCode::run(&*self.host, || {
            chain.run(caller, || panics::caught(|| (maker.make)(&mut invocation, self, &class)))
        });
        match made {
            Ok(Ok(entry)) => Ok(Answer::encode(codec, Status::Returned, &Reference(&entry), Vec::new())),
            Ok(Err(Failure::System(error))) => Err(error),
            Ok(Err(Failure::Method(_))) => {
                invocation.into_answer().ok_or_else(|| Error::protocol("a constructor failed without a word"))
            }
            Err(panic) => Err(Error::Panicked(panics::told(panic, typeid, name))),
        }
    }
}
