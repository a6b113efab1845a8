//! Who wakes whom.
//!
//! Each side has one word, *asleep*. A side that wants to sleep [raises](settle) it, then looks once more for anything that it waits for (frames, or room
//! for its own), and sleeps only if there is nothing. A side that has published anything (a frame, or room) looks at the other's word
//! [afterwards](must_ring), and rings if it is raised. Between the two steps of each stands a full fence, so that at least one of both
//! sees what the other did: no wake-up is lost. Who rings lowers the word, so that a sleeper is rung for once.
//!
//! `model.rs` runs this code through every order of steps that the memory model allows (`ci/loom`).

use std::sync::atomic::Ordering;

/// A word that both sides can reach; a trait, so that the model can put its own in.
pub(super) trait Word {
    fn load(&self, order: Ordering) -> u32;
    fn store(&self, value: u32, order: Ordering);
    fn swap(&self, value: u32, order: Ordering) -> u32;
    fn fence(order: Ordering);
}

impl Word for std::sync::atomic::AtomicU32 {
    fn load(&self, order: Ordering) -> u32 {
        self.load(order)
    }

    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }

    fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.swap(value, order)
    }

    fn fence(order: Ordering) {
        std::sync::atomic::fence(order);
    }
}

/// The word of a side that looks for itself.
const AWAKE: u32 = 0;
/// Of one that wants to be rung for.
const ASLEEP: u32 = 1;
/// Prepares to sleep: true if `is_quiet` finds nothing to be done, with the word raised; then the other side rings at whatever it publishes from now on.
pub(super) fn settle<W: Word>(asleep: &W, is_quiet: impl FnOnce() -> bool) -> bool {
    // Pairs with the swap in `must_ring`.
    asleep.store(ASLEEP, Ordering::Relaxed);
    // Pairs with the fence in `must_ring`: either that side sees the word raised, or this one sees what was published.
    W::fence(Ordering::SeqCst);
    if is_quiet() {
        return true;
    }
    asleep.store(AWAKE, Ordering::Relaxed);
    false
}

/// The sleeper is awake again.
pub(super) fn rise<W: Word>(asleep: &W) {
    asleep.store(AWAKE, Ordering::Relaxed);
}

/// After publishing: whether the other side sleeps, and is this side's to be woken.
pub(super) fn must_ring<W: Word>(asleep: &W) -> bool {
    // Pairs with the fence in `settle`.
    W::fence(Ordering::SeqCst);
    asleep.load(Ordering::Relaxed) != AWAKE && asleep.swap(AWAKE, Ordering::Relaxed) != AWAKE
}
