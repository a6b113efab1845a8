//! What this process holds of one server's objects: how many references it was granted, and how many proxies live on them.
//!
//! When the last proxy of an object is dropped, all grants counted so far are given back at once, by their number, and the account is closed. A grant that is
//! still on its way is not in that number, so the server keeps the object for it; it opens a new account when it is read.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use crate::protocol::ObjectId;
use crate::protocol::notice::Count;

#[derive(Default)]
struct Account {
    references: u64,
    proxies: u64,
}

/// The counts of one process for one server.
#[derive(Default)]
pub(super) struct Ledger {
    accounts: FxHashMap<ObjectId, Account>,
}

impl Ledger {
    /// Counts a reference that was read in a frame, and a proxy on it.
    pub(super) fn grant(&mut self, object: ObjectId) {
        let account = self.accounts.entry(object).or_default();
        account.references += 1;
        account.proxies += 1;
    }

    /// A proxy is dropped; what to give back if it was the last.
    pub(super) fn release(&mut self, object: ObjectId) -> Option<Count> {
        let Entry::Occupied(mut account) = self.accounts.entry(object) else { return None };
        account.get_mut().proxies = account.get().proxies.saturating_sub(1);
        (account.get().proxies == 0).then(|| Count { object, references: account.remove().references })
    }

    /// What is held, and by how many references.
    pub(super) fn held(&self) -> Vec<Count> {
        let held = self.accounts.iter();
        held.map(|(&object, account)| Count { object, references: account.references }).collect()
    }

    /// Whether nothing is held.
    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_proxy_gives_back_what_was_read_and_no_more() {
        let mut ledger = Ledger::default();
        let object = ObjectId(7);
        ledger.grant(object);
        ledger.grant(object);
        assert_eq!(ledger.release(object), None);
        assert_eq!(ledger.release(object), Some(Count { object, references: 2 }));
        assert!(ledger.is_empty());
        // A third grant was on its way meanwhile.
        ledger.grant(object);
        assert_eq!(ledger.held(), [Count { object, references: 1 }]);
        assert_eq!(ledger.release(object), Some(Count { object, references: 1 }));
        assert_eq!(ledger.release(object), None);
    }
}
