//! Who wakes whom.
//!
//! Each side has one word, *asleep*. A side that wants to sleep [raises](settle) it, then looks once more for anything that it waits for (frames, or room
//! for its own), and sleeps only if there is nothing. A side that has published anything (a frame, or room) looks at the other's word
//! [afterwards](must_ring), and rings if it is raised. Between the two steps of each stands a full fence, so that at least one of both
//! sees what the other did: no wake-up is lost. Who rings lowers the word, so that a sleeper is rung for once.
//!
//! A sleeper may [leave](leave) the memory for good, by changing the raised word to another that nobody lowers. That and the lowering exclude each other: whoever has
//! published something while the sleeper slept either wakes it, or learns that nobody will ever look there.
//!
//! `model.rs` runs this code through every order of steps that the memory model allows (`ci/loom`).

use std::sync::atomic::Ordering;

/// A word that both sides can reach; a trait, so that the model can put its own in.
pub(super) trait Word {
    fn load(&self, order: Ordering) -> u32;
    fn store(&self, value: u32, order: Ordering);
    fn exchange(&self, from: u32, to: u32, order: Ordering) -> Result<u32, u32>;
    fn fence(order: Ordering);
}

impl Word for std::sync::atomic::AtomicU32 {
    fn load(&self, order: Ordering) -> u32 {
        self.load(order)
    }

    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }

    fn exchange(&self, from: u32, to: u32, order: Ordering) -> Result<u32, u32> {
        self.compare_exchange(from, to, order, Ordering::Acquire)
    }

    fn fence(order: Ordering) {
        std::sync::atomic::fence(order);
    }
}

/// The word of a side that looks for itself.
const AWAKE: u32 = 0;
/// Of one that wants to be rung for.
const ASLEEP: u32 = 1;
/// Of one that will never look again.
const LEFT: u32 = 2;

/// What is to be done after something was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bell {
    /// The other side looks for itself.
    Silent,
    /// It sleeps, and is this side's to be woken.
    Rings,
    /// It has left: nobody will read what was published since it fell asleep.
    Nobodys,
}

/// Prepares to sleep: true if `is_quiet` finds nothing to be done, with the word raised; then the other side rings at whatever it publishes from now on.
pub(super) fn settle<W: Word>(asleep: &W, is_quiet: impl FnOnce() -> bool) -> bool {
    // Pairs with the exchange in `bell`.
    asleep.store(ASLEEP, Ordering::Relaxed);
    // Pairs with the fence in `bell`: either that side sees the word raised, or this one sees what was published.
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

/// A sleeper leaves for good; false where it has been rung for, and so has something to look at.
pub(super) fn leave<W: Word>(asleep: &W) -> bool {
    // Pairs with the loads and the exchange in `bell` and `has_left`: who sees that this side has left sees all that it had done before.
    asleep.exchange(ASLEEP, LEFT, Ordering::Release).is_ok()
}

/// Whether the other side has left for good.
pub(super) fn has_left<W: Word>(asleep: &W) -> bool {
    // Pairs with the exchange in `leave`.
    asleep.load(Ordering::Acquire) == LEFT
}

/// After publishing: what is to be done for the other side.
pub(super) fn bell<W: Word>(asleep: &W) -> Bell {
    // Pairs with the fence in `settle`.
    W::fence(Ordering::SeqCst);
    match asleep.load(Ordering::Relaxed) {
        AWAKE => Bell::Silent,
        // Pairs with the exchange in `leave`.
        _ => match asleep.exchange(ASLEEP, AWAKE, Ordering::Relaxed) {
            Ok(_) => Bell::Rings,
            Err(LEFT) => Bell::Nobodys,
            Err(_) => Bell::Silent,
        },
    }
}
