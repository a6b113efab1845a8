//! What the shared types do in a second, beside the same operations through Python's `multiprocessing.managers`, and for the containers through Redis on a unix socket.
//!
//! Both take turns within a round; what counts are the medians of rounds, and the ratio behind a `/`, which says more than the rates do: those belong to a machine and its mood. Python's
//! side is `types.py`, beside this file; without a python3 only our own rates are told.
//!
//! `cargo bench --bench types` runs all of it; words after `--` choose sections (`locks`, `semaphores`, `events`, `barriers`,
//! `containers`, `payload`). Without `--bench`, as under `cargo test`, one
//! short round shows that everything works.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use multiproc::types::{BarrierProxy, EventProxy, LockProxy, RLockProxy, SemaphoreProxy};
use multiproc::{Process, Result, SyncManager};

#[path = "support/containers.rs"]
mod containers;
#[path = "support/redis.rs"]
mod redis_server;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    calls: usize,
}

const FULL: Effort = Effort { rounds: 9, calls: 2_000 };
const SHORT: Effort = Effort { rounds: 1, calls: 20 };

/// Python's managers, in a process that does as it is told.
struct Python {
    process: Child,
    orders: Option<ChildStdin>,
    times: BufReader<ChildStdout>,
}

impl Python {
    /// `None`, and a word on that, where there is no python3.
    fn start() -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/types.py");
        let spawned = Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = spawned.inspect_err(|error| println!("SKIPPED: Python's side: python3: {error}")).ok()?;
        let (orders, times) = (process.stdin.take(), BufReader::new(process.stdout.take()?));
        let mut python = Self { process, orders, times };
        // Its manager has to start first.
        if python.seconds("lock", 1).is_none() {
            println!("SKIPPED: Python's side: python3 can't run {script}");
            return None;
        }
        Some(python)
    }

    /// How long that many calls take.
    fn seconds(&mut self, operation: &str, calls: usize) -> Option<f64> {
        writeln!(self.orders.as_mut()?, "{operation} {calls}").ok()?;
        let mut line = String::new();
        self.times.read_line(&mut line).ok()?;
        line.trim().parse().ok()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // The end of its orders is its end.
        self.orders = None;
        let _ = self.process.wait();
    }
}

fn median(mut samples: Vec<f64>) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
}

/// What is needed to compare operations.
struct Contest {
    manager: SyncManager,
    effort: Effort,
    python: Option<Python>,
}

impl Contest {
    fn title(&self, title: &str) {
        println!("{title:34} {:>12} {:>12}    ratio", "k/s", "Python, k/s");
    }

    /// Our operation, and Python's of that name.
    fn compare(&mut self, what: &str, theirs: &str, mut ours: impl FnMut() -> Result<()>) -> Result<()> {
        let Effort { rounds, calls } = self.effort;
        let (mut own, mut python) = (Vec::new(), Vec::new());
        // The first calls wake what sleeps.
        for _ in 0..calls / 10 {
            ours()?;
        }
        for _ in 0..rounds {
            let begin = Instant::now();
            for _ in 0..calls {
                ours()?;
            }
            own.push(calls as f64 / begin.elapsed().as_secs_f64() / 1e3);
            let seconds = self.python.as_mut().and_then(|python| python.seconds(theirs, calls));
            python.extend(seconds.map(|seconds| calls as f64 / seconds / 1e3));
        }
        match (median(own), median(python)) {
            (Some(own), Some(python)) => println!("  {what:32} {own:12.1} {python:12.1}    / {:.2}", own / python),
            (Some(own), None) => println!("  {what:32} {own:12.1}"),
            (None, _) => {}
        }
        Ok(())
    }
}

fn locks(contest: &mut Contest) -> Result<()> {
    contest.title("locks");
    let (lock, reentrant) = (LockProxy::new(&contest.manager)?, RLockProxy::new(&contest.manager)?);
    contest.compare("Lock: lock, unlock", "lock", || lock.lock().map(drop))?;
    contest.compare("RLock: lock, unlock", "rlock", || reentrant.lock().map(drop))
}

fn semaphores(contest: &mut Contest) -> Result<()> {
    contest.title("semaphores");
    let semaphore = SemaphoreProxy::new(&contest.manager, 2)?;
    contest.compare("Semaphore: acquire, release", "semaphore", || semaphore.acquire().map(drop))
}

fn events(contest: &mut Contest) -> Result<()> {
    contest.title("events");
    let event = EventProxy::new(&contest.manager)?;
    contest.compare("Event: set", "event_set", || event.set())?;
    contest.compare("Event: is_set", "event_is_set", || event.is_set().map(drop))
}

fn barriers(contest: &mut Contest) -> Result<()> {
    contest.title("barriers");
    let barrier = BarrierProxy::new(&contest.manager, 2)?;
    let theirs = barrier.clone();
    let other = Process::spawn(move || while theirs.wait().is_ok() {})?;
    contest.compare("Barrier of two processes: wait", "barrier", || Ok(barrier.wait().map(drop)?))?;
    barrier.abort()?;
    other.join().expect("the other party");
    Ok(())
}

type Section = (&'static str, fn(&mut Contest) -> Result<()>);

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let effort = if arguments.iter().any(|argument| argument == "--bench") { FULL } else { SHORT };
    let wanted: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let sections: [Section; 6] = [
        ("locks", locks),
        ("semaphores", semaphores),
        ("events", events),
        ("barriers", barriers),
        ("containers", containers::containers),
        ("payload", containers::payload),
    ];
    let mut contest = Contest { manager: SyncManager::start()?, effort, python: Python::start() };
    for (name, section) in sections {
        if wanted.is_empty() || wanted.iter().any(|word| *word == name) {
            section(&mut contest)?;
        }
    }
    drop(contest.python);
    contest.manager.shutdown()
}
