//! How many items go through a queue in a second, beside the same through Python's `multiprocessing.managers` and through a list in Redis on a unix socket.
//!
//! All take turns within a round; what counts are the medians of rounds, and the ratios, which say more than the rates do: those belong to a machine and its mood. Python's
//! side is `queues.py`, beside this file; Redis is the system's `redis-server`, started here on a socket of its own, with nothing written to disk. What is
//! missing is skipped, and said so.
//!
//! `cargo bench --bench queues` runs it. Without `--bench`, as under `cargo test`, one short round shows that everything works.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use multiproc::types::{PriorityQueueProxy, QueueProxy};
use multiproc::{Process, Result, SyncManager};
use redis::ConnectionLike;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    items: usize,
}

const FULL: Effort = Effort { rounds: 9, items: 2_000 };
const SHORT: Effort = Effort { rounds: 1, items: 50 };

/// How many items go in one message, where many do.
const BATCH: usize = 50;

/// Python's managers, in a process that does as it is told.
struct Python {
    process: Child,
    orders: Option<ChildStdin>,
    times: BufReader<ChildStdout>,
}

impl Python {
    /// `None`, and a word on that, where there is no python3.
    fn start() -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/queues.py");
        let spawned = Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = spawned.inspect_err(|error| println!("SKIPPED: Python's side: python3: {error}")).ok()?;
        let (orders, times) = (process.stdin.take(), BufReader::new(process.stdout.take()?));
        let mut python = Self { process, orders, times };
        // Its manager has to start first.
        if python.seconds("put_get", 1).is_none() {
            println!("SKIPPED: Python's side: python3 can't run {script}");
            return None;
        }
        Some(python)
    }

    /// How long that many items take.
    fn seconds(&mut self, operation: &str, items: usize) -> Option<f64> {
        writeln!(self.orders.as_mut()?, "{operation} {items}").ok()?;
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

/// A redis-server of this benchmark's own.
struct Redis {
    server: Child,
    connection: redis::Connection,
    url: String,
    _directory: tempfile::TempDir,
}

impl Redis {
    /// `None`, and a word on that, where there is no redis-server.
    fn start() -> Option<Self> {
        let directory = tempfile::tempdir().ok()?;
        let socket = directory.path().join("redis.sock");
        let spawned = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn();
        let mut server = spawned.inspect_err(|error| println!("SKIPPED: Redis: redis-server: {error}")).ok()?;
        let url = format!("unix://{}", socket.display());
        let Some(connection) = connect(&url, &socket) else {
            println!("SKIPPED: Redis: redis-server does not answer");
            let _ = server.kill().and_then(|()| server.wait());
            return None;
        };
        Some(Self { server, connection, url, _directory: directory })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill().and_then(|()| self.server.wait());
    }
}

/// Connects to a server that may still be starting.
fn connect(url: &str, socket: &Path) -> Option<redis::Connection> {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if socket.exists()
            && let Ok(mut connection) = redis::Client::open(url).and_then(|client| client.get_connection())
            && connection.check_connection()
        {
            return Some(connection);
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

fn put(connection: &mut redis::Connection, list: &str, items: &[usize]) {
    redis::cmd("RPUSH").arg(list).arg(items).exec(connection).expect("redis takes items");
}

fn get(connection: &mut redis::Connection, list: &str) -> usize {
    let (_, item): (String, usize) = redis::cmd("BLPOP").arg(list).arg(0).query(connection).expect("an item of redis");
    item
}

fn median(mut samples: Vec<f64>) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
}

/// What is compared with.
struct Contest {
    effort: Effort,
    python: Option<Python>,
    redis: Option<Redis>,
}

impl Contest {
    /// Our way of sending that many items, Python's of that name, and Redis's.
    fn compare(
        &mut self,
        what: &str,
        theirs: &str,
        mut ours: impl FnMut(usize) -> Result<()>,
        mut with_redis: impl FnMut(&mut redis::Connection, usize),
    ) -> Result<()> {
        let Effort { rounds, items } = self.effort;
        let rate = |seconds: f64| items as f64 / seconds / 1e3;
        let (mut own, mut python, mut redis) = (Vec::new(), Vec::new(), Vec::new());
        // The first calls wake what sleeps.
        ours(items / 10)?;
        for _ in 0..rounds {
            let begin = Instant::now();
            ours(items)?;
            own.push(rate(begin.elapsed().as_secs_f64()));
            python.extend(self.python.as_mut().and_then(|python| python.seconds(theirs, items)).map(rate));
            if let Some(server) = &mut self.redis {
                let begin = Instant::now();
                with_redis(&mut server.connection, items);
                redis.push(rate(begin.elapsed().as_secs_f64()));
            }
        }
        let own = median(own).unwrap_or_default();
        let beside = |other: Vec<f64>| match median(other) {
            Some(other) => format!("{other:10.1} /{:6.2}", own / other),
            None => format!("{:>18}", "skipped"),
        };
        println!("  {what:44} {own:10.1} {} {}", beside(python), beside(redis));
        Ok(())
    }
}

fn main() -> Result<()> {
    let effort = if std::env::args().any(|argument| argument == "--bench") { FULL } else { SHORT };
    // Forked first: the others would not know what to do with our threads and descriptors.
    let manager = SyncManager::start()?;
    let mut contest = Contest { effort, python: Python::start(), redis: Redis::start() };
    println!("queues, thousand items a second{:15} {:>10} {:>18} {:>18}", "", "ours", "Python, ratio", "Redis, ratio");

    let queue = QueueProxy::<usize>::new(&manager, 0)?;
    contest.compare(
        "put and get, one process",
        "put_get",
        |items| {
            for item in 0..items {
                queue.put(item)?;
                queue.get()?;
            }
            Ok(())
        },
        |redis, items| {
            for item in 0..items {
                put(redis, "queue", &[item]);
                get(redis, "queue");
            }
        },
    )?;

    let ranked = PriorityQueueProxy::<usize>::new(&manager, 0)?;
    contest.compare(
        "put and get by priority (they: without)",
        "put_get",
        |items| {
            for item in 0..items {
                ranked.put(item as i64 % 7, item)?;
                ranked.get()?;
            }
            Ok(())
        },
        |redis, items| {
            for item in 0..items {
                put(redis, "queue", &[item]);
                get(redis, "queue");
            }
        },
    )?;

    contest.compare(
        "fill and empty, 50 a message (Python: 1)",
        "many",
        |items| {
            let all: Vec<usize> = (0..items).collect();
            for batch in all.chunks(BATCH) {
                queue.put_many(batch)?;
            }
            let mut got = 0;
            while got < items {
                got += queue.get_many(BATCH)?.len();
            }
            Ok(())
        },
        |redis, items| {
            let all: Vec<usize> = (0..items).collect();
            all.chunks(BATCH).for_each(|batch| put(redis, "queue", batch));
            let mut got = 0;
            while got < items {
                let batch: Vec<usize> =
                    redis::cmd("LPOP").arg("queue").arg(BATCH).query(redis).expect("items of redis");
                got += batch.len();
            }
        },
    )?;

    // To another process, which sends it back: the way of a job and its result.
    let (there, back) = (QueueProxy::<usize>::new(&manager, 0)?, QueueProxy::<usize>::new(&manager, 0)?);
    let other = Process::spawn({
        let (there, back) = (there.clone(), back.clone());
        move || there.iter().all(|item| item.is_ok_and(|item| back.put(item).is_ok()))
    })?;
    let url = contest.redis.as_ref().map(|redis| redis.url.clone());
    let redis_other = url
        .map(|url| {
            Process::spawn(move || {
                let client = redis::Client::open(url).and_then(|client| client.get_connection());
                let mut connection = client.expect("the redis that was started");
                loop {
                    match get(&mut connection, "there") {
                        usize::MAX => return,
                        item => put(&mut connection, "back", &[item]),
                    }
                }
            })
        })
        .transpose()?;
    contest.compare(
        "to another process and back",
        "there_and_back",
        |items| {
            for item in 0..items {
                there.put(item)?;
                back.get()?;
            }
            Ok(())
        },
        |redis, items| {
            for item in 0..items {
                put(redis, "there", &[item]);
                get(redis, "back");
            }
        },
    )?;
    there.shutdown(false)?;
    assert!(other.join().expect("the other process"), "it failed before the queue ended");
    if let (Some(redis), Some(other)) = (&mut contest.redis, redis_other) {
        put(&mut redis.connection, "there", &[usize::MAX]);
        other.join().expect("redis's other process");
    }
    drop(contest);
    manager.shutdown()
}
