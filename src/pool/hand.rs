//! A worker, as its pool sees it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::sys::signal::Signal;

use super::PoolError;
use super::bomb::{self, Lineage};
use super::builder::Settings;
use super::chunk::{self, Chunk, Order, Word};
use super::initializer::{Function, Initializer};
use super::job::{Arrival, Outcome};
use super::worker;
use crate::error::{Error, Result};
use crate::process::{self, Offspring, Report, StartMethod};
use crate::sys::fork::PrivateFd;
use crate::sys::journal::Journal;
use crate::transport::{Connection, Descriptor, Progress};

/// A worker and what it was given.
pub struct Hand {
    pub child: Arc<Offspring>,
    connection: Connection,
    journal: Journal,
    /// What it runs, and what waits there behind that.
    given: VecDeque<Given>,
    /// How many tasks it was given in all.
    tasks: usize,
    /// It has said that it has begun.
    pub ready: bool,
    /// It was told to stop.
    pub stopping: bool,
    /// It can't be heard any more.
    cut: bool,
}

/// A worker's life.
fn begin(lineage: Lineage, socket: OwnedFd, journal: OwnedFd, initializer: Option<&Initializer>) -> Report {
    bomb::enter(lineage);
    match (Connection::new(socket), Journal::open(journal)) {
        (Ok(connection), Ok(journal)) => worker::serve(connection, journal, initializer),
        _ => Report::of_value(&()),
    }
}

/// That of one which the fork server has forked.
fn begin_served((lineage, function): (Lineage, Option<Function>), fds: Vec<OwnedFd>) -> Report {
    let mut fds = fds.into_iter();
    let initializer = function.map(Initializer::Function);
    match (fds.next(), fds.next()) {
        (Some(socket), Some(journal)) => begin(lineage, socket, journal, initializer.as_ref()),
        _ => Report::of_value(&()),
    }
}

/// A chunk at a worker.
struct Given {
    work: u64,
    chunk: Chunk,
    /// Of how many of its items it is known what became of them.
    settled: usize,
}

/// What a worker's word changes for its pool.
pub enum News {
    /// Something of a job's.
    Nothing,
    /// A chunk is finished.
    Finished(Chunk),
    /// It has begun.
    Ready,
    /// It can't begin.
    Unfit(String),
}

impl Hand {
    /// Forks a worker.
    pub fn new(settings: &Settings, number: u64) -> Result<Self> {
        let failed = |error| Error::io("making a worker", error);
        let (near, far) = PrivateFd::stream_pair().map_err(failed)?;
        let (journal, writers) = Journal::create().map_err(failed)?;
        let writers = PrivateFd::new(writers);
        let name = Some(format!("{}-{number}", settings.name));
        let lineage = settings.lineage.clone();
        let child = match settings.method {
            StartMethod::ForkServer => {
                let function = match &settings.initializer {
                    Some(Initializer::Function(function)) => Some(function.clone()),
                    _ => None,
                };
                let argument = (lineage, function);
                process::launch_served(name, Some(true), begin_served, &argument, &[far.as_fd(), writers.as_fd()])?
            }
            _ => {
                let keep = [far.number(), writers.number()];
                let initializer = settings.initializer.clone();
                process::launch(name, Some(true), &keep, move || match (far.release(), writers.release()) {
                    (Some(far), Some(writers)) => begin(lineage, far, writers, initializer.as_ref()),
                    _ => Report::of_value(&()),
                })?
            }
        };
        let connection = Connection::sharing(near).map_err(|error| error.at("a worker"))?;
        let (given, tasks) = (VecDeque::new(), 0);
        Ok(Self { child, connection, journal, given, tasks, ready: false, stopping: false, cut: false })
    }

    /// Its name and id.
    pub fn name(&self) -> String {
        format!("the worker {} ({})", self.child.name(), self.child.id())
    }

    pub fn descriptor(&self) -> Descriptor {
        self.connection.share()
    }

    pub fn has_backlog(&self) -> bool {
        self.connection.sender.backlog() > 0
    }

    pub fn is_idle(&self) -> bool {
        self.given.is_empty() && !self.stopping
    }

    /// Whether a chunk may wait there behind the one that runs.
    pub fn has_room(&self) -> bool {
        !self.stopping && self.given.len() == 1 && self.given.iter().all(|given| given.chunk.job.is_brief())
    }

    /// Whether it may run so many tasks more.
    pub fn may_take(&self, tasks: usize, limit: Option<usize>) -> bool {
        self.tasks == 0 || limit.is_none_or(|limit| self.tasks + tasks <= limit)
    }

    /// Gives it a chunk.
    pub fn give(&mut self, work: u64, chunk: Chunk) {
        let order = Order::Run { work, count: chunk.len(), task: chunk.task };
        // What can't be said to one that has just died is seen to when its end is seen.
        if let Ok(head) = chunk::head(&order) {
            let _ = self.connection.sender.send(&[&head, &chunk.items]);
        }
        self.tasks += chunk.len();
        self.given.push_back(Given { work, chunk, settled: 0 });
    }

    /// Tells it to end when it has done what it was given.
    pub fn stop(&mut self) {
        self.stopping = true;
        if let Ok(head) = chunk::head(&Order::Stop) {
            let _ = self.connection.sender.send(&[&head]);
        }
    }

    /// Sends what did not fit.
    pub fn flush(&mut self) {
        let _: Result<Progress, _> = self.connection.sender.flush();
    }

    /// The next news from it. Does not wait; `None` when there are none.
    pub fn hear(&mut self) -> Option<News> {
        let frame = match self.connection.receiver.next() {
            Ok(frame) => frame?,
            // One that can't be heard any more is at its end, or is brought to it: its pool waits for its process.
            Err(_) => {
                self.cut_off();
                return None;
            }
        };
        let Ok((word, begin)) = chunk::split::<Word>(&frame) else {
            self.cut_off();
            return None;
        };
        let settled = match &word {
            Word::Ready => {
                self.ready = true;
                return Some(News::Ready);
            }
            Word::Unfit(panic) => return Some(News::Unfit(format!("the initializer panicked: {}", panic.message))),
            Word::Done { work, nanoseconds } => {
                let given = self.given.pop_front_if(|given| given.work == *work)?;
                given.chunk.job.learn(given.chunk.len(), *nanoseconds);
                return Some(News::Finished(given.chunk));
            }
            Word::Results { work, count, .. } => (*work, *count),
            Word::Failed { work, .. } => (*work, 1),
        };
        if let Some(given) = self.given.front_mut().filter(|given| given.work == settled.0) {
            given.settled += settled.1;
            if let Some(arrival) = Arrival::of(word, given.chunk.base, frame, begin) {
                given.chunk.job.arrive(arrival);
            }
        }
        Some(News::Nothing)
    }

    /// Kills a worker that says nothing, or nonsense.
    fn cut_off(&mut self) {
        if !std::mem::replace(&mut self.cut, true) {
            let _ = self.child.signal(Signal::SIGKILL);
        }
    }

    /// What is to be run again after its end, and the chunks that are finished by it: what its journal has is told, and of what
    /// it was running one item has failed by `error`, or is tried again, up to `retries` times.
    pub fn settle(mut self, error: &PoolError, retries: u32) -> (Vec<Chunk>, Vec<Chunk>) {
        let (mut again, mut finished) = (Vec::new(), Vec::new());
        let left = self.journal.left();
        for mut given in self.given.drain(..) {
            if given.work != left.work {
                // Not begun.
                again.push(given.chunk);
                continue;
            }
            let (job, base, all) = (Arc::clone(&given.chunk.job), given.chunk.base, given.chunk.len());
            if left.first == given.settled && left.count > 0 {
                let outcome = Outcome::Results(left.bytes.clone(), 0);
                job.arrive(Arrival { first: base + left.first, count: left.count, outcome });
                given.settled += left.count;
            }
            let at = given.settled;
            let mut pieces = Vec::new();
            if at < all {
                if given.chunk.attempts < retries {
                    let attempts = given.chunk.attempts + 1;
                    pieces.push(Chunk { attempts, ..given.chunk.part(at..at + 1) });
                } else {
                    job.arrive(Arrival { first: base + at, count: 1, outcome: Outcome::Failed(error.clone()) });
                }
                if at + 1 < all {
                    pieces.push(given.chunk.part(at + 1..all));
                }
            }
            // The pieces take the place of the whole.
            job.lock().open += pieces.len();
            again.append(&mut pieces);
            finished.push(given.chunk);
        }
        (again, finished)
    }
}
