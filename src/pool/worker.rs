//! The child's side of a pool: takes chunks, runs them, says what came of them.
//!
//! A worker is one process with one thread. It notes each result in its journal, where the pool finds it should the worker be
//! killed, and sends the notes when a chunk is done or the journal is full: tiny tasks cost no system call each.

use std::any::Any;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::time::Instant;

use nix::sys::signal::Signal;
use rustc_hash::FxHasher;
use serde::Serialize;

use super::chunk::{self, Order, Word};
use super::error::Failure;
use super::initializer::Initializer;
use super::job::PATIENCE;
use super::task::{self, Run, Task};
use crate::codec::{self, Codec};
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::process::Report;
use crate::sys::buffer;
use crate::sys::image::{self, Location, NotFound};
use crate::sys::journal::Journal;
use crate::sys::panic::contain;
use crate::sys::poll::{self, Interest};
use crate::sys::process;
use crate::transport::{Connection, Progress, TransportError};

/// What a worker has.
pub struct Worker {
    connection: Connection,
    journal: Journal,
    /// States that tasks keep from one item to the next, by what made them.
    states: HashMap<(u64, u64), Box<dyn Any>, BuildHasherDefault<FxHasher>>,
    chunk: Taken,
    /// A result's bytes, before they are noted.
    scratch: Vec<u8>,
    /// Why nothing more can be said: the pool is gone.
    cut: bool,
}

/// The chunk that runs.
struct Taken {
    work: u64,
    task: Option<Task>,
    count: usize,
    frame: Vec<u8>,
    /// The next item, and where in the frame it begins.
    index: usize,
    place: usize,
    /// Where in the frame the next item would begin is not known.
    lost: bool,
}

/// A worker's life. Returns when it is told to stop, or when its pool is gone.
pub fn serve(connection: Connection, journal: Journal, initializer: Option<&Initializer>) -> Report {
    // A ^C at the terminal reaches every process of the program; what becomes of the workers is for the pool to say.
    process::ignore(&[Signal::SIGINT]);
    let chunk = Taken { work: 0, task: None, count: 0, frame: Vec::new(), index: 0, place: 0, lost: false };
    let states = HashMap::default();
    let mut worker = Worker { connection, journal, states, chunk, scratch: Vec::new(), cut: false };
    if let Some(initializer) = initializer
        && let Err(panic) = contain(|| initializer.run())
    {
        panic.print();
        worker.say(&Word::Unfit(panic.into()), &[]);
        return Report::of_value(&());
    }
    worker.say(&Word::Ready, &[]);
    while !worker.cut {
        let Ok(frame) = worker.next() else { break };
        match chunk::split::<Order>(&frame) {
            Ok((Order::Run { work, count, task }, place)) => {
                worker.chunk = Taken { work, task: Some(task), count, frame, index: 0, place, lost: false };
                worker.run();
            }
            Ok((Order::Stop, _)) | Err(_) => break,
        }
    }
    Report::of_value(&())
}

impl Worker {
    /// The next order; waits for it.
    fn next(&mut self) -> Result<Vec<u8>, TransportError> {
        let mut begun = None;
        loop {
            if let Some(frame) = self.connection.receiver.next()? {
                return Ok(frame);
            }
            if begun.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
                std::thread::yield_now();
            } else {
                self.wait(Interest::Read)?;
            }
        }
    }

    fn wait(&self, interest: Interest) -> Result<(), TransportError> {
        let what = || "waiting for the pool".to_owned();
        let waited = poll::wait_one(self.connection.fd(), interest, None);
        waited.map(drop).map_err(|source| TransportError::Io { what: what(), source })
    }

    /// Says something; waits while the pool does not listen.
    fn say<T: Serialize>(&mut self, word: &T, bytes: &[u8]) {
        let Ok(head) = chunk::head(word) else { return };
        let said = self.connection.sender.send(&[&head, bytes]);
        self.finish(said);
    }

    fn finish(&mut self, mut said: Result<Progress, TransportError>) {
        loop {
            match said {
                Ok(Progress::Done) => return,
                Ok(Progress::Pending) => match self.wait(Interest::Write) {
                    Ok(()) => said = self.connection.sender.flush(),
                    Err(error) => said = Err(error),
                },
                Err(_) => {
                    self.cut = true;
                    return;
                }
            }
        }
    }

    /// Runs the chunk.
    fn run(&mut self) {
        let begun = Instant::now();
        self.journal.begin(self.chunk.work, 0);
        match image::find::<Run>(&self.task().run) {
            Ok(run) => (run.0)(self, ()),
            Err(error) => self.refuse(&error),
        }
        self.send_notes();
        let nanoseconds = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.say(&Word::Done { work: self.chunk.work, nanoseconds }, &[]);
        let frame = std::mem::take(&mut self.chunk.frame);
        buffer::give(frame);
    }

    /// The task of the chunk that runs.
    pub fn task(&self) -> &Task {
        self.chunk.task.as_ref().expect("a chunk is taken before it runs")
    }

    /// Fails all items that are left: their function can't be found.
    pub fn refuse(&mut self, error: &NotFound) {
        while self.chunk.index < self.chunk.count {
            self.fail(Failure::System(task::not_found(error)));
        }
    }

    /// Runs a function over all items.
    pub fn run_items<A: Datum, R: Datum>(&mut self, call: impl Fn(A) -> R) {
        while self.chunk.index < self.chunk.count {
            // Around the loop, not around each item: most items don't panic.
            let run = contain(|| {
                while self.chunk.index < self.chunk.count {
                    let item = self.decode::<A>()?;
                    self.note(&call(item))?;
                }
                Ok(())
            });
            match run {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.fail(Failure::System(error)),
                Err(panic) => self.fail(Failure::Panicked(panic.into())),
            }
        }
    }

    /// Runs a function over all items that changes a state, which is made if this worker has none yet, or if the function panicked.
    pub fn run_items_on<S: 'static, A: Datum, R: Datum>(&mut self, make: fn() -> S, call: fn(&mut S, A) -> R) {
        let Some(key) = self.task().make.as_ref().map(Location::key) else { return };
        while self.chunk.index < self.chunk.count {
            let run = contain(|| {
                let kept = self.states.remove(&key).and_then(|kept| kept.downcast::<S>().ok());
                let mut state = kept.unwrap_or_else(|| Box::new(make()));
                let run = loop {
                    if self.chunk.index == self.chunk.count {
                        break Ok(());
                    }
                    let done = self.decode::<A>().and_then(|item| self.note(&call(&mut state, item)));
                    if done.is_err() {
                        break done;
                    }
                };
                self.states.insert(key, state);
                run
            });
            match run {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.fail(Failure::System(error)),
                Err(panic) => self.fail(Failure::Panicked(panic.into())),
            }
        }
    }

    #[inline]
    fn decode<A: Datum>(&mut self) -> Result<A> {
        // Until it is read: if reading fails, nobody knows where the next one begins.
        self.chunk.lost = true;
        let bytes = self.chunk.frame.get(self.chunk.place..).unwrap_or_default();
        let (item, used) = codec::decode_next(bytes).map_err(Error::unserializable::<A>)?;
        self.chunk.place += used;
        self.chunk.lost = false;
        Ok(item)
    }

    #[inline]
    fn note<R: Datum>(&mut self, result: &R) -> Result<()> {
        self.scratch.clear();
        codec::encode(Codec::Bincode, result, &mut self.scratch).map_err(Error::unserializable::<R>)?;
        if !self.journal.note(&self.scratch) {
            self.send_notes();
            if !self.journal.note(&self.scratch) {
                // Larger than the journal.
                let word = Word::Results { work: self.chunk.work, first: self.chunk.index, count: 1 };
                let result = std::mem::take(&mut self.scratch);
                self.say(&word, &result);
                self.journal.begin(self.chunk.work, self.chunk.index + 1);
            }
        }
        self.chunk.index += 1;
        Ok(())
    }

    /// Sends what is noted, and begins the journal anew from the present item.
    fn send_notes(&mut self) {
        let (work, index) = (self.chunk.work, self.chunk.index);
        let (count, bytes) = self.journal.noted();
        if count > 0 {
            let word = Word::Results { work, first: index - count, count };
            let Ok(head) = chunk::head(&word) else { return };
            let said = self.connection.sender.send(&[&head, bytes]);
            self.finish(said);
        }
        self.journal.begin(work, index);
    }

    /// The present item has no result; nor have those after it, if it can't be told where they begin.
    fn fail(&mut self, failure: Failure) {
        self.send_notes();
        let last = if self.chunk.lost { self.chunk.count } else { self.chunk.index + 1 };
        while self.chunk.index < last {
            self.say(&Word::Failed { work: self.chunk.work, index: self.chunk.index, failure: failure.clone() }, &[]);
            self.chunk.index += 1;
        }
        self.journal.begin(self.chunk.work, self.chunk.index);
    }
}
