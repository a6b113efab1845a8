//! Who holds what, of Python's processes.
//!
//! CPython's server only counts; whose reference it is nobody knows, and those of a killed process stay for ever. Here each process is a client like any other, found by its pid as the kernel tells it
//! of every unix connection, and ends with it. Over tcp nobody can tell the processes apart: their references are those of their *host*, and stay until they are given back.
//!
//! A reference may be given back before it has arrived where it was sent: CPython's clients do that. So what Python let go of last lives on for a while ([`Peers::linger`]).

use std::sync::{Arc, Weak};
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::super::core::Core;
use super::super::heap::Heap;
use super::super::record::Record;
use super::super::timers::Due;
use super::super::watch::Watched;
use crate::error::Result;
use crate::object::entry::Entry;
use crate::object::lease::Leases;
use crate::protocol::notice::Count;
use crate::protocol::{ClientId, ObjectId};
use crate::sys::sync::Mutex;
use crate::transport::Connection;

/// Whose a connection is.
#[derive(Clone)]
pub(super) struct Holder {
    /// Who holds the references.
    pub(super) references: Arc<Record>,
    /// Whether there is a process behind it whose end shows.
    pub(super) is_process: bool,
}

/// What a server knows of Python's clients.
#[derive(Default)]
pub(in crate::server) struct Peers {
    /// By pid.
    processes: Mutex<FxHashMap<u32, Weak<Record>>>,
    hosts: Mutex<Option<Arc<Record>>>,
    lingering: Mutex<Lingering>,
}

#[derive(Default)]
struct Lingering {
    entries: FxHashMap<ObjectId, (Arc<Entry>, u64)>,
    last: u64,
}

impl Peers {
    /// The holder that a connection belongs to.
    pub(super) fn holder(&self, core: &Arc<Core>, connection: &Connection) -> Result<Holder> {
        let Some(process) = connection.peer().pidfd() else {
            let mut hosts = self.hosts.lock();
            let references = hosts.get_or_insert_with(|| admit(core));
            return Ok(Holder { references: Arc::clone(references), is_process: false });
        };
        let mut processes = self.processes.lock();
        let known = processes.get(&process.pid()).and_then(Weak::upgrade);
        // A pid may be another process's by now.
        let known = known.filter(|record| core.client(record.id()).is_some());
        if let Some(references) = known {
            return Ok(Holder { references, is_process: true });
        }
        let record = admit(core);
        processes.retain(|_, record| record.strong_count() > 0);
        processes.insert(process.pid(), Arc::downgrade(&record));
        drop(processes);
        let key = core.watch(Watched::Process(process, Arc::downgrade(&record)))?;
        if !record.watches(key) {
            core.unwatch(key);
        }
        Ok(Holder { references: record, is_process: true })
    }

    /// Keeps objects alive for as long as the settings say.
    pub(super) fn linger(core: &Arc<Core>, entries: Vec<Arc<Entry>>) {
        let Some(settings) = core.settings.python else { return };
        for entry in entries {
            let id = entry.id();
            let number = {
                let mut lingering = core.python.lingering.lock();
                lingering.last += 1;
                let number = lingering.last;
                // Dropped nowhere else than at its time: the same entry is put back in its place.
                lingering.entries.insert(id, (entry, number));
                number
            };
            let weak = Arc::downgrade(core);
            let over = move || {
                let Some(core) = weak.upgrade() else { return };
                let over = {
                    let mut lingering = core.python.lingering.lock();
                    match lingering.entries.get(&id) {
                        Some((_, last)) if *last == number => lingering.entries.remove(&id),
                        _ => None,
                    }
                };
                drop(over);
                Heap::let_go(&core);
            };
            core.at(Instant::now() + settings.grace, Due::Job(Box::new(over)));
        }
    }

    /// How many objects live by nothing but that.
    pub(super) fn only_lingering(&self) -> Vec<ObjectId> {
        let lingering = self.lingering.lock();
        let alone = lingering.entries.values().filter(|(entry, _)| Arc::strong_count(entry) == 1);
        alone.map(|(entry, _)| entry.id()).collect()
    }

    /// Lets go of everything.
    pub(in crate::server) fn end(&self) {
        let hosts = self.hosts.lock().take();
        let lingering = std::mem::take(&mut self.lingering.lock().entries);
        drop((hosts, lingering));
    }
}

/// A new client.
fn admit(core: &Core) -> Arc<Record> {
    let record = Record::new(ClientId::random(), Leases::default());
    core.clients().insert(record.id(), Arc::clone(&record));
    record
}

impl Holder {
    /// Takes a reference.
    pub(super) fn grant(&self, entry: &Arc<Entry>) {
        self.references.grant(std::iter::once(entry));
    }

    /// Gives one back; false where nobody holds any. One that another process holds is not this one's to give: it goes with its holder.
    pub(super) fn release(&self, core: &Arc<Core>, object: ObjectId) -> bool {
        if self.references.count(object) == 0 {
            let clients: Vec<_> = core.clients().values().cloned().collect();
            return clients.iter().any(|client| client.count(object) > 0);
        }
        let mut aftermath = self.references.release(&[Count { object, references: 1 }], core);
        Peers::linger(core, std::mem::take(&mut aftermath.let_go));
        aftermath.settle();
        true
    }
}
