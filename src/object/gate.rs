//! The queue of one object: which calls may run now, in the order in which they came.
//!
//! Nobody ever waits on an object's lock. A call that can't run yet lies here; the end of a call lets in the next: one `&mut self` call, or all
//! `&self` calls up to the next `&mut self` one, so that neither kind starves the other. A `&self` call whose own chain of callers is
//! already inside is let in past the queue, since the others in it wait for that chain.
//!
//! Invariant: at any time, either one exclusive call is inside, or any number of shared ones.

use std::collections::VecDeque;

use super::chain::ChainId;
use crate::sys::sync::Mutex;

/// What a call needs of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `&self`.
    Shared,
    /// `&mut self`.
    Exclusive,
}

struct Waiting<C> {
    mode: Mode,
    chain: ChainId,
    call: C,
}

struct State<C> {
    /// The chains that are inside.
    inside: Vec<ChainId>,
    /// How they are.
    mode: Mode,
    queue: VecDeque<Waiting<C>>,
}

/// The gate of one object, for calls of type `C`.
pub struct Gate<C> {
    state: Mutex<State<C>>,
}

impl<C> Default for Gate<C> {
    fn default() -> Self {
        Self { state: Mutex::new(State { inside: Vec::new(), mode: Mode::Shared, queue: VecDeque::new() }) }
    }
}

impl<C> Gate<C> {
    /// Lets the call in: true; or takes it out of its place and keeps it, after `queueing` has prepared it for the wait.
    pub fn enter(&self, mode: Mode, chain: ChainId, call: &mut Option<C>, queueing: impl FnOnce(&mut C)) -> bool {
        let mut state = self.state.lock();
        let free = match mode {
            _ if state.inside.is_empty() => state.queue.is_empty(),
            Mode::Shared => state.mode == Mode::Shared && (state.queue.is_empty() || state.inside.contains(&chain)),
            Mode::Exclusive => false,
        };
        if free {
            state.mode = mode;
            state.inside.push(chain);
        } else if let Some(mut call) = call.take() {
            queueing(&mut call);
            state.queue.push_back(Waiting { mode, chain, call });
        }
        free
    }

    /// Lets a call out, and those in whose turn it is; they are handed to `admit` with the gate unlocked again.
    pub fn leave(&self, chain: ChainId, mut admit: impl FnMut(C)) {
        let mut admitted = Vec::new();
        {
            let mut state = self.state.lock();
            if let Some(place) = state.inside.iter().position(|&inside| inside == chain) {
                state.inside.swap_remove(place);
            }
            while let Some(next) = state.queue.front() {
                if !(state.inside.is_empty() || next.mode == Mode::Shared && state.mode == Mode::Shared) {
                    break;
                }
                let Some(next) = state.queue.pop_front() else { break };
                state.mode = next.mode;
                state.inside.push(next.chain);
                admitted.push(next.call);
            }
        }
        admitted.drain(..).for_each(&mut admit);
    }

    /// The chains that a newcomer has to wait for.
    pub fn inside(&self) -> Vec<ChainId> {
        self.state.lock().inside.clone()
    }

    /// Takes queued calls out again; those that `unwanted` says so of.
    pub fn withdraw(&self, mut unwanted: impl FnMut(&C) -> bool) -> Vec<C> {
        let mut state = self.state.lock();
        let mut withdrawn = Vec::new();
        let queue = std::mem::take(&mut state.queue);
        for waiting in queue {
            if unwanted(&waiting.call) {
                withdrawn.push(waiting.call);
            } else {
                state.queue.push_back(waiting);
            }
        }
        withdrawn
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn readers_share_and_a_writer_is_alone_and_in_its_turn() {
        let gate = Gate::default();
        let enter = |mode, chain, call| {
            let mut call = Some(call);
            gate.enter(mode, ChainId(chain), &mut call, |_| {}).then_some(call).flatten()
        };
        assert_eq!(enter(Mode::Shared, 1, 'a'), Some('a'));
        assert_eq!(enter(Mode::Shared, 2, 'b'), Some('b'));
        assert_eq!(enter(Mode::Exclusive, 3, 'c'), None);
        assert_eq!(enter(Mode::Shared, 4, 'd'), None, "a reader must not overtake a waiting writer");
        assert_eq!(
            enter(Mode::Shared, 1, 'e'),
            Some('e'),
            "a nested reader of a chain inside can't wait for the writer"
        );
        let mut admitted = Vec::new();
        gate.leave(ChainId(1), |call| admitted.push(call));
        gate.leave(ChainId(1), |call| admitted.push(call));
        assert!(admitted.is_empty());
        gate.leave(ChainId(2), |call| admitted.push(call));
        assert_eq!(admitted, ['c']);
        gate.leave(ChainId(3), |call| admitted.push(call));
        assert_eq!(admitted, ['c', 'd']);
    }

    proptest! {
        /// Whatever comes and goes in whatever order: exclusion holds, nobody is forgotten, and each mode keeps its order.
        #[test]
        fn exclusion_and_order_hold(steps in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<prop::sample::Index>()), 1..200)) {
            let gate = Gate::default();
            let mut running: Vec<(u64, Mode)> = Vec::new();
            let mut started = Vec::new();
            let mut number = 0;
            let check = |running: &[(u64, Mode)]| {
                let writers = running.iter().filter(|(_, mode)| *mode == Mode::Exclusive).count();
                assert!(writers == 0 || running.len() == 1, "{running:?}");
            };
            for (arrive, exclusive, which) in steps {
                if arrive || running.is_empty() {
                    number += 1;
                    let mode = if exclusive { Mode::Exclusive } else { Mode::Shared };
                    if gate.enter(mode, ChainId(number), &mut Some((number, mode)), |_| {}) {
                        started.push(number);
                        running.push((number, mode));
                    }
                } else {
                    let (left, _) = running.swap_remove(which.index(running.len()));
                    gate.leave(ChainId(left), |call: (u64, Mode)| {
                        started.push(call.0);
                        running.push(call);
                    });
                }
                check(&running);
            }
            while let Some((left, _)) = running.pop() {
                gate.leave(ChainId(left), |call| {
                    started.push(call.0);
                    running.push(call);
                });
                check(&running);
            }
            prop_assert_eq!(started, (1..=number).collect::<Vec<_>>());
        }
    }
}
