//! The thread that reads where somebody must and no thread waits: for tasks, for answers that are only to be given back, for bytes that the socket did not take.
//!
//! Between two such needs it sleeps for a while, then ends. It keeps the client alive only while it reads.

use std::sync::{Arc, Weak};
use std::thread::Thread;
use std::time::Duration;

use super::super::Client;
use super::reader::Reader;
use super::{Errand, Pipeline};
use crate::sys::thread;

/// How long the thread waits for something to do before it ends.
const IDLE: Duration = Duration::from_secs(1);

/// The state of a pipeline's thread.
#[derive(Default)]
pub(super) enum Pump {
    /// There is none.
    #[default]
    None,
    /// It reads, or is about to look whether it must.
    Runs,
    /// It waits to be needed.
    Waits(Thread),
}

impl Pump {
    /// It is needed: what its waker has to do.
    pub(super) fn wake(&mut self) -> Errand {
        match std::mem::replace(self, Self::Runs) {
            Self::None => Errand::Spawn,
            Self::Runs => Errand::Nothing,
            Self::Waits(thread) => Errand::Unpark(thread),
        }
    }
}

/// Starts the thread.
pub(super) fn spawn(pipeline: &Arc<Pipeline>, client: &Arc<Client>) {
    let (weak_pipeline, weak_client) = (Arc::downgrade(pipeline), Arc::downgrade(client));
    if let Err(error) = thread::spawn("multiproc-pump", move || pump(&weak_pipeline, &weak_client)) {
        tracing::warn!(%error, "no thread to be had to read replies");
        // Those who need one must do without: a task that is polled reads what has come.
        let mut aftermath = super::Aftermath::default();
        {
            let mut state = pipeline.state();
            state.pump = Pump::None;
            state.calls.wake_all(&mut aftermath);
        }
        aftermath.settle();
    }
}

fn pump(pipeline: &Weak<Pipeline>, client: &Weak<Client>) {
    while let Some(pipeline) = pipeline.upgrade()
        && let Some(client) = client.upgrade()
    {
        let needed = |state: &super::State| state.sends() || state.calls.are_helpless();
        let receiver = {
            let mut state = pipeline.state();
            let receiver = if needed(&state) { state.receiver.take() } else { None };
            if receiver.is_none() {
                // Nothing is to be done, or somebody else reads, who will say so when he leaves.
                state.pump = Pump::Waits(std::thread::current());
            }
            receiver
        };
        if let Some(receiver) = receiver {
            Reader::new(&pipeline, &client, receiver).read_until(None, |state| !needed(state));
            continue;
        }
        let weak = Arc::downgrade(&pipeline);
        drop((pipeline, client));
        std::thread::park_timeout(IDLE);
        let Some(pipeline) = weak.upgrade() else { return };
        let mut state = pipeline.state();
        if matches!(state.pump, Pump::Waits(_)) {
            state.pump = Pump::None;
            return;
        }
    }
}
