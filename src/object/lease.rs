//! What one client holds: how many references to each object it was granted and has not given back.
//!
//! Every token in a reply is one grant, counted here when the reply is sent and by the client when it reads the frame. The client gives back by number what it has
//! counted, so a grant that is still on its way is never given back by accident: it keeps the lease until it has been read too, or is revoked because it never was.

use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::entry::Entry;
use crate::protocol::ObjectId;
use crate::protocol::notice::Count;

#[derive(Clone)]
struct Lease {
    references: u64,
    /// Keeps the object alive.
    entry: Arc<Entry>,
}

/// The references of one client.
///
/// Objects that are let go are *returned*, to be dropped by the caller outside of whatever lock guards the leases.
#[derive(Default)]
pub struct Leases {
    leases: FxHashMap<ObjectId, Lease>,
}

impl Leases {
    /// Counts so many references more.
    pub fn grant(&mut self, entry: &Arc<Entry>, references: u64) {
        let lease = self.leases.entry(entry.id()).or_insert_with(|| Lease { references: 0, entry: Arc::clone(entry) });
        lease.references = lease.references.saturating_add(references);
    }

    /// References were given back, or were granted in a reply that never arrived. The object, if they were the last.
    #[must_use = "drop it outside of locks"]
    pub fn release(&mut self, count: Count) -> Option<Arc<Entry>> {
        let Slot::Occupied(mut lease) = self.leases.entry(count.object) else { return None };
        // More than were granted would be a lie; the lease ends, no more.
        lease.get_mut().references = lease.get().references.saturating_sub(count.references);
        (lease.get().references == 0).then(|| lease.remove().entry)
    }

    /// What a forked child starts with: the same references.
    pub fn copy(&self) -> Self {
        Self { leases: self.leases.clone() }
    }

    /// A forked child has said what it holds of what it was given. The rest (grants that were on their way to its parent) is let go.
    #[must_use = "drop it outside of locks"]
    pub fn confirm(&mut self, held: &[Count]) -> Vec<Arc<Entry>> {
        let mut former = std::mem::take(&mut self.leases);
        for count in held.iter().filter(|count| count.references > 0) {
            if let Some(lease) = former.remove(&count.object) {
                self.leases.insert(count.object, Lease { references: count.references, ..lease });
            }
        }
        former.into_values().map(|lease| lease.entry).collect()
    }

    /// How many references to this object the client holds.
    pub fn count(&self, object: ObjectId) -> u64 {
        self.leases.get(&object).map_or(0, |lease| lease.references)
    }

    /// Ends all leases.
    #[must_use = "drop it outside of locks"]
    pub fn end(&mut self) -> Vec<Arc<Entry>> {
        self.leases.drain().map(|(_, lease)| lease.entry).collect()
    }
}
