//! Who waits for whom, among calls between the referents of one server.
//!
//! A call from outside starts a chain; a call that its method makes on another referent of this server goes on with it. A call that has to wait for a
//! busy object first looks whether the object is busy, directly or through other waits, for the call itself: that wait would
//! never end, and is refused with `WouldDeadlock` instead. The record is touched only when a call inside the server has to wait.
//!
//! Invariants: the check and the record of a wait are one step; a chain waits for at most one gate at a time.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHashMap;

use super::call::Caller;
use crate::protocol::ThreadNumber;
use crate::sys::sync::Mutex;
use crate::sys::thread;

/// Names a chain; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainId(pub u64);

/// A chain of calls, as seen by its innermost one.
#[derive(Debug, Clone, Copy)]
pub struct Chain {
    /// Its name.
    pub id: ChainId,
    /// How many calls are on it.
    pub depth: u32,
}

/// How many names a thread takes at once: one at a time would have all threads write to the same word for each call.
const BLOCK: u64 = 1 << 10;

static NEXT: AtomicU64 = AtomicU64::new(BLOCK);

thread_local! {
    /// The next name that this thread gives. A multiple of [`BLOCK`] where it has none left.
    static NAME: Cell<u64> = const { Cell::new(0) };
    static CURRENT: Cell<Option<(Chain, Caller)>> = const { Cell::new(None) };
}

impl Chain {
    /// A new chain, for a call from outside.
    pub fn start() -> Self {
        let mut name = NAME.get();
        if name.is_multiple_of(BLOCK) {
            // Pairs with nothing: only the number's uniqueness counts. The first of each block is left out.
            name = NEXT.fetch_add(BLOCK, Ordering::Relaxed) + 1;
        }
        NAME.set(name + 1);
        Self { id: ChainId(name), depth: 1 }
    }

    /// The chain of the method that runs on this thread, one call longer; or a new one where none runs. With the caller on whose behalf it runs.
    pub fn extend() -> (Self, Caller) {
        match CURRENT.get() {
            Some((chain, caller)) => (Self { depth: chain.depth + 1, ..chain }, caller),
            None => (Self::start(), Caller { client: None, thread: ThreadNumber(thread::number()) }),
        }
    }

    /// Whether a method runs on this thread.
    pub fn is_running() -> bool {
        CURRENT.get().is_some()
    }

    /// Runs a method as the innermost call of this chain.
    pub fn run<R>(self, caller: Caller, method: impl FnOnce() -> R) -> R {
        struct Restore(Option<(Chain, Caller)>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let _restore = Restore(CURRENT.replace(Some((self, caller))));
        method()
    }
}

/// Something that chains are inside of: an object's gate.
pub trait Occupied: Send + Sync {
    /// The chains inside.
    fn inside(&self) -> Vec<ChainId>;
}

/// Which chain waits for which gate.
#[derive(Default)]
pub struct Waits {
    waiting: Mutex<FxHashMap<ChainId, Arc<dyn Occupied>>>,
}

impl Waits {
    /// Records that `chain` waits for `gate`, unless that would never end. Ends with the returned guard.
    pub fn wait(&self, chain: ChainId, gate: Arc<dyn Occupied>) -> Option<WaitGuard<'_>> {
        let mut waiting = self.waiting.lock();
        let mut seen = vec![chain];
        let mut unseen = gate.inside();
        while let Some(next) = unseen.pop() {
            if next == chain {
                return None;
            }
            if seen.contains(&next) {
                continue;
            }
            seen.push(next);
            if let Some(gate) = waiting.get(&next) {
                unseen.extend(gate.inside());
            }
        }
        waiting.insert(chain, gate);
        Some(WaitGuard { waits: self, chain })
    }
}

/// A recorded wait.
pub struct WaitGuard<'a> {
    waits: &'a Waits,
    chain: ChainId,
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.waits.waiting.lock().remove(&self.chain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Held(Vec<u64>);

    impl Occupied for Held {
        fn inside(&self) -> Vec<ChainId> {
            self.0.iter().copied().map(ChainId).collect()
        }
    }

    #[test]
    fn a_circle_of_any_length_is_found_and_a_line_is_not() {
        let waits = Waits::default();
        let held = |chains: &[u64]| Arc::new(Held(chains.to_vec()));
        assert!(waits.wait(ChainId(1), held(&[1])).is_none(), "a chain that waits for itself");
        let first = waits.wait(ChainId(1), held(&[7, 2])).expect("2 waits for nobody");
        let _second = waits.wait(ChainId(2), held(&[3])).expect("3 waits for nobody");
        assert!(waits.wait(ChainId(3), held(&[1])).is_none(), "3 -> 1 -> 2 -> 3");
        drop(first);
        assert!(waits.wait(ChainId(3), held(&[1])).is_some(), "1 waits no more");
    }
}
