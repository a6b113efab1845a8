//! A call that waits: queued at its object's gate, or kept by its method for later.
//!
//! Several may want to end it: the method that answers, the clock, the caller who gives up, the caller's death. Exactly one of them gets to.

use crate::sys::sync::Mutex;

/// Run when the wait ends without the method's answer.
pub type OnCancel = Box<dyn FnOnce() + Send>;

enum State {
    Waiting(Option<OnCancel>),
    Closed,
}

/// The state of one waiting call.
pub struct Parked {
    state: Mutex<State>,
}

impl Default for Parked {
    fn default() -> Self {
        Self { state: Mutex::new(State::Waiting(None)) }
    }
}

impl Parked {
    /// Ends the wait for the answering side: true for the one caller that may answer.
    pub fn close(&self) -> bool {
        matches!(std::mem::replace(&mut *self.state.lock(), State::Closed), State::Waiting(_))
    }

    /// Ends the wait for the giving-up side: true for the one caller that may answer; the method's own cancellation has been run.
    pub fn cancel(&self) -> bool {
        let former = std::mem::replace(&mut *self.state.lock(), State::Closed);
        match former {
            State::Waiting(hook) => {
                if let Some(hook) = hook {
                    super::panics::quietly(hook);
                }
                true
            }
            State::Closed => false,
        }
    }

    /// Whether nobody has ended it yet.
    pub fn is_waiting(&self) -> bool {
        matches!(*self.state.lock(), State::Waiting(_))
    }

    /// Sets what is run if the call is given up; at once if it was already.
    pub fn on_cancel(&self, hook: OnCancel) {
        let mut state = self.state.lock();
        match &mut *state {
            State::Waiting(slot) => *slot = Some(hook),
            State::Closed => {
                drop(state);
                super::panics::quietly(hook);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn one_of_many_ends_the_wait() {
        for _ in 0..200 {
            let parked = Arc::new(Parked::default());
            let cancelled = Arc::new(AtomicUsize::new(0));
            let ended = AtomicUsize::new(0);
            let count = Arc::clone(&cancelled);
            parked.on_cancel(Box::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            }));
            std::thread::scope(|scope| {
                for number in 0..4 {
                    let (parked, ended) = (&parked, &ended);
                    scope.spawn(move || {
                        let won = if number % 2 == 0 { parked.close() } else { parked.cancel() };
                        ended.fetch_add(usize::from(won), Ordering::Relaxed);
                    });
                }
            });
            assert_eq!(ended.load(Ordering::Relaxed), 1);
            assert!(cancelled.load(Ordering::Relaxed) <= 1);
        }
    }

    #[test]
    fn a_hook_that_comes_too_late_runs_at_once() {
        let parked = Parked::default();
        assert!(parked.cancel());
        let ran = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ran);
        parked.on_cancel(Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        assert_eq!(ran.load(Ordering::Relaxed), 1);
    }
}
