//! What the shared types do in a second, beside the same operations through Python's `multiprocessing.managers`, and through Redis on a unix socket where it has the like.
//!
//! All take turns within a round; what counts are the medians of rounds, and the ratios behind a `/`, which say more than the rates do: those belong to a machine and its mood. Python's
//! side is `types.py`, beside this file; Redis is the system's `redis-server`, started here on a socket of its own, with nothing written to disk. What is missing is skipped, and said so.
//!
//! `cargo bench --bench types` runs all of it, in less than two minutes; words after `--` choose sections (`locks`, `semaphores`, `events`, `conditions`, `barriers`, `queues`,
//! `containers`, `payload`). Without `--bench`, as under `cargo test`, one short round shows that everything works.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use multiproc::types::{BarrierProxy, ConditionProxy, EventProxy, LockProxy, RLockProxy, SemaphoreProxy};
use multiproc::{Process, Result, SyncManager};
use redis::{Connection, RedisResult, cmd};
use redis_server::Redis;

#[path = "support/containers.rs"]
mod containers;
#[path = "support/queues.rs"]
mod queues;
#[path = "support/redis.rs"]
mod redis_server;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    calls: usize,
}

const FULL: Effort = Effort { rounds: 7, calls: 1_000 };
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

/// What Redis does instead of an operation.
type ByRedis<'a> = &'a dyn Fn(&mut Connection) -> RedisResult<()>;

/// What is needed to compare operations.
struct Contest {
    manager: SyncManager,
    effort: Effort,
    python: Option<Python>,
    redis: Option<Redis>,
}

impl Contest {
    fn title(&self, title: &str) {
        println!("{title:38} {:>10}   {:>10} / ratio   {:>10} / ratio", "ours, k/s", "Python", "Redis");
    }

    /// Our operation, Python's of that name, and Redis's.
    fn compare(
        &mut self,
        what: &str,
        theirs: &str,
        command: ByRedis<'_>,
        ours: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        self.compare_many(1, what, theirs, Some(command), ours)
    }

    /// Our operation, and Python's of that name, where Redis has nothing like it.
    fn compare_with_python(&mut self, what: &str, theirs: &str, ours: impl FnMut() -> Result<()>) -> Result<()> {
        self.compare_many(1, what, theirs, None, ours)
    }

    /// Operations that each do something so many times.
    fn compare_many(
        &mut self,
        times: usize,
        what: &str,
        theirs: &str,
        command: Option<ByRedis<'_>>,
        mut ours: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let Effort { rounds, calls } = self.effort;
        let calls = calls.div_ceil(times);
        let rate = |seconds: f64| (calls * times) as f64 / seconds / 1e3;
        let (mut own, mut python, mut redis) = (Vec::new(), Vec::new(), Vec::new());
        // The first calls wake what sleeps.
        for _ in 0..calls.div_ceil(10) {
            ours()?;
        }
        for _ in 0..rounds {
            let begin = Instant::now();
            for _ in 0..calls {
                ours()?;
            }
            own.push(rate(begin.elapsed().as_secs_f64()));
            python.extend(self.python.as_mut().and_then(|python| python.seconds(theirs, calls)).map(rate));
            if let (Some(server), Some(command)) = (&mut self.redis, command) {
                let begin = Instant::now();
                for _ in 0..calls {
                    command(&mut server.connection).expect("a command of Redis's");
                }
                redis.push(rate(begin.elapsed().as_secs_f64()));
            }
        }
        let own = median(own).unwrap_or_default();
        let beside = |rates: Vec<f64>| match median(rates) {
            Some(other) => format!("{other:10.1} / {:<5.2}", own / other),
            None => format!("{:>10}        ", "-"),
        };
        println!("  {what:36} {own:10.1}   {}   {}", beside(python), beside(redis));
        Ok(())
    }
}

/// The usual way to lock by Redis: a key that is there, with an end for the case that its owner dies.
fn lock_by_redis(redis: &mut Connection) -> RedisResult<()> {
    cmd("SET").arg("lock").arg(1).arg("NX").arg("PX").arg(30_000).exec(redis)?;
    cmd("DEL").arg("lock").exec(redis)
}

fn locks(contest: &mut Contest) -> Result<()> {
    contest.title("locks");
    let (lock, reentrant) = (LockProxy::new(&contest.manager)?, RLockProxy::new(&contest.manager)?);
    contest.compare("Lock: lock, unlock", "lock", &lock_by_redis, || lock.lock().map(drop))?;
    contest.compare("RLock: lock, unlock", "rlock", &lock_by_redis, || reentrant.lock().map(drop))
}

fn semaphores(contest: &mut Contest) -> Result<()> {
    contest.title("semaphores");
    let semaphore = SemaphoreProxy::new(&contest.manager, 2)?;
    contest.compare_with_python("Semaphore: acquire, release", "semaphore", || semaphore.acquire().map(drop))
}

fn events(contest: &mut Contest) -> Result<()> {
    contest.title("events");
    let event = EventProxy::new(&contest.manager)?;
    contest.compare("Event: set", "event_set", &|redis| cmd("SET").arg("event").arg(1).exec(redis), || event.set())?;
    contest.compare("Event: is_set", "event_is_set", &|redis| cmd("EXISTS").arg("event").exec(redis), || {
        event.is_set().map(drop)
    })
}

fn conditions(contest: &mut Contest) -> Result<()> {
    contest.title("conditions");
    let condition = ConditionProxy::new(&contest.manager)?;
    contest.compare_with_python("Condition: lock, notify_all, unlock", "condition_notify", || {
        let _guard = condition.lock()?;
        Ok(condition.notify_all().map(drop)?)
    })
}

fn barriers(contest: &mut Contest) -> Result<()> {
    contest.title("barriers");
    let barrier = BarrierProxy::new(&contest.manager, 2)?;
    let theirs = barrier.clone();
    let other = Process::spawn(move || while theirs.wait().is_ok() {})?;
    contest.compare_with_python("Barrier of two processes: wait", "barrier", || Ok(barrier.wait().map(drop)?))?;
    barrier.abort()?;
    other.join().expect("the other party");
    Ok(())
}

type Section = (&'static str, fn(&mut Contest) -> Result<()>);

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let effort = if arguments.iter().any(|argument| argument == "--bench") { FULL } else { SHORT };
    let wanted: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let sections: [Section; 8] = [
        ("locks", locks),
        ("semaphores", semaphores),
        ("events", events),
        ("conditions", conditions),
        ("barriers", barriers),
        ("queues", queues::queues),
        ("containers", containers::containers),
        ("payload", containers::payload),
    ];
    // Forked first: the others would not know what to do with our threads and descriptors.
    let manager = SyncManager::start()?;
    let mut contest = Contest { manager, effort, python: Python::start(), redis: Redis::start() };
    for (name, section) in sections {
        if wanted.is_empty() || wanted.iter().any(|word| *word == name) {
            section(&mut contest)?;
        }
    }
    drop((contest.python, contest.redis));
    contest.manager.shutdown()
}
