//! Whole programs, seen from outside: what is left when they end in order, are interrupted, or are killed at any moment.
//!
//! A binary of its own, without the harness: it starts itself again as the program to be watched, which begins with one thread, as programs do. The
//! watcher knows the members of a family by a mark in their environment, which forks inherit.

mod common;
#[path = "common/counter.rs"]
mod counter;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use common::{LIMIT, within};
use counter::{Counter, CounterProxy};
use multiproc::types::PoolProxy;
use multiproc::{BaseManager, Pool, Process, SyncManager};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

const ROLE: &str = "MULTIPROC_TEST_FAMILY";
const MARK: &str = "MULTIPROC_TEST_MARK";

/// A program under watch.
struct Family {
    program: Child,
    mark: String,
    directory: tempfile::TempDir,
}

impl Family {
    fn start(role: &str) -> Self {
        Self::start_as(role, |command| {
            command.process_group(0).stdin(Stdio::null());
        })
    }

    fn start_as(role: &str, how: impl FnOnce(&mut Command)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mark = format!("{MARK}={}", directory.path().display());
        let mut command = Command::new(env::current_exe().unwrap());
        command.env(ROLE, role).env(MARK, directory.path()).env("TMPDIR", directory.path());
        how(&mut command);
        let errors = if role == "busy threads" { Stdio::piped() } else { Stdio::inherit() };
        command.stdout(Stdio::piped()).stderr(errors);
        Self { program: command.spawn().unwrap(), mark, directory }
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.program.id().cast_signed())
    }

    /// Waits until the program says that it has come so far.
    fn await_word(&mut self) {
        let mut line = String::new();
        BufReader::new(self.program.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
    }

    /// The members that live.
    fn members(&self) -> Vec<i32> {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let marked = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == self.mark.as_bytes())
        };
        pids.filter(marked).collect()
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Checks that nothing is left: no process, and nothing in the temporary directory.
    fn is_gone(&self, how: &str) {
        let begun = Instant::now();
        let gone = within(LIMIT, || self.members().is_empty());
        for pid in self.members() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        assert!(gone, "{how}: some outlived it");
        let files = || fs::read_dir(self.path()).unwrap().flatten().map(|file| file.file_name()).collect::<Vec<_>>();
        assert!(within(LIMIT, || files().is_empty()), "{how}: {:?} is left", files());
        println!("{how}: nothing is left, after {:.0?}", begun.elapsed());
    }
}

/// Everything that there is, at work: a manager, a pool, daemons, a daemon's daemon.
fn large_family() {
    let manager = BaseManager::builder().register::<Counter>().start().unwrap();
    let counter = CounterProxy::new(&manager).unwrap();
    let busy = |()| loop {
        std::hint::spin_loop();
    };
    let pool = Pool::new(3).unwrap();
    let _tasks: Vec<_> = (0..2).map(|_| pool.apply_async::<(), ()>(busy, ()).unwrap()).collect();
    let _daemon: Process<()> = Process::builder()
        .daemon(true)
        .spawn(|| {
            let _inner: Process<()> = Process::spawn(|| busy(())).unwrap();
            loop {
                counter.add(1).unwrap();
            }
        })
        .unwrap();
    println!("ready");
    loop {
        // Forks at all times, so that the killing finds some half done.
        let _ = Process::builder().daemon(true).spawn(|| counter.add(1).unwrap()).unwrap().join();
    }
}

fn an_orderly_end() {
    let path = env::var(MARK).unwrap();
    let slow = Process::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        let own = Process::spawn(|| thread::sleep(Duration::from_millis(200))).unwrap();
        drop(own);
        fs::write(format!("{path}/written"), "by a child that was waited for").unwrap();
    });
    drop(slow.unwrap());
    let _daemon: Process<()> = Process::builder()
        .daemon(true)
        .spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        })
        .unwrap();
    println!("ready");
}

fn an_interrupted_map() {
    let pool = Pool::new(2).unwrap();
    println!("ready");
    let _ = pool.map(|ms: u64| thread::sleep(Duration::from_millis(ms)), vec![1; 1_000_000]);
}

#[multiproc::task]
fn lingers(seconds: u64) {
    thread::sleep(Duration::from_secs(seconds));
}

/// Everything that there is, in the foreground of a terminal.
fn at_a_terminal() {
    let manager = SyncManager::builder().task::<lingers>().start().unwrap();
    let theirs = PoolProxy::new(&manager, 2).unwrap();
    let _lingering = theirs.map_async::<lingers>([1000; 4]).unwrap();
    let _child: Process<()> = Process::spawn(|| thread::sleep(Duration::from_secs(1000))).unwrap();
    let _daemon: Process<()> =
        Process::builder().daemon(true).spawn(|| thread::sleep(Duration::from_secs(1000))).unwrap();
    let pool = Pool::new(2).unwrap();
    println!("ready");
    let _ = pool.map(|ms: u64| thread::sleep(Duration::from_millis(ms)), vec![1; 1_000_000]);
}

/// Exits without dropping anything, with all workers busy.
fn an_exit_with_a_pool() {
    static POOL: OnceLock<Pool> = OnceLock::new();
    let pool = POOL.get_or_init(|| Pool::new(3).unwrap());
    let tasks = pool.map_async(|seconds: u64| thread::sleep(Duration::from_secs(seconds)), [1000; 100]).unwrap();
    std::mem::forget(tasks);
    println!("ready");
    std::process::exit(0);
}

/// Fifty threads that lock, allocate and log, and a fork every so often whose child does the same.
fn busy_threads() {
    static STOP: AtomicBool = AtomicBool::new(false);
    static LOCK: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    let manager = BaseManager::builder().register::<Counter>().start().unwrap();
    let counter = CounterProxy::new(&manager).unwrap();
    println!("ready");
    let log = |number: usize, round: u64| eprintln!("thread {number}, round {round}");
    let threads: Vec<_> = (0..50)
        .map(|number| {
            let counter = counter.clone();
            thread::spawn(move || {
                let mut round = 0;
                while !STOP.load(Ordering::Relaxed) {
                    round += 1;
                    LOCK.lock().unwrap().push(round);
                    drop(counter.clone());
                    std::hint::black_box(vec![round; 1 + round as usize % 3000]);
                    match number % 10 {
                        0 => log(number, round),
                        1 => drop(counter.add(0)),
                        2 => LOCK.lock().unwrap().clear(),
                        _ => thread::sleep(Duration::from_millis(1)),
                    }
                }
            })
        })
        .collect();
    for round in 0..1000_u64 {
        let child = Process::spawn(|| {
            log(0, round);
            let text = format!("{:?}", vec![round; 100]);
            if round % 10 == 0 {
                counter.add(1).unwrap();
            }
            text.len()
        });
        let length = child.unwrap().join_timeout(Duration::from_secs(60)).unwrap();
        assert!(length.is_some(), "the child of round {round} hangs");
    }
    STOP.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(counter.add(0).unwrap(), 100);
}

fn watch() {
    let mut family = Family::start("orderly end");
    let begun = Instant::now();
    assert!(family.program.wait().unwrap().success());
    assert!(begun.elapsed() >= Duration::from_millis(500), "children that are no daemons are waited for, and theirs");
    fs::remove_file(family.path().join("written")).expect("a child was waited for");
    family.is_gone("an orderly end");

    let mut family = Family::start("interrupted map");
    family.await_word();
    thread::sleep(Duration::from_millis(100));
    killpg(family.group(), Signal::SIGINT).unwrap();
    assert_eq!(family.program.wait().unwrap().signal(), Some(2));
    family.is_gone("an interrupt");

    // A person's ^C goes to every process in the foreground at once.
    let (mut person, side) = common::terminal().unwrap();
    let mut family = Family::start_as("at a terminal", |command| {
        common::take_terminal(command.stdin(side));
    });
    family.await_word();
    thread::sleep(Duration::from_millis(100));
    person.write_all(b"\x03").unwrap();
    assert_eq!(family.program.wait().unwrap().signal(), Some(2));
    family.is_gone("a ^C at a terminal");

    let mut family = Family::start("exit with a pool");
    assert!(family.program.wait().unwrap().success());
    family.is_gone("an exit with a pool at work");

    let mut random = 7_u64;
    for round in 0..12 {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let mut family = Family::start("large family");
        if round % 2 == 0 {
            family.await_word();
        }
        let delay = Duration::from_micros(random >> 46);
        thread::sleep(delay);
        family.program.kill().unwrap();
        family.program.wait().unwrap();
        family.is_gone(&format!(
            "SIGKILL {delay:.0?} {}",
            if round % 2 == 0 { "into its work" } else { "after its start" }
        ));
    }

    let begun = Instant::now();
    let mut family = Family::start("busy threads");
    let mut errors = family.program.stderr.take().unwrap();
    let mut said = Vec::new();
    errors.read_to_end(&mut said).unwrap();
    let status = family.program.wait().unwrap();
    // What the threads log is of no interest unless it fails.
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&said[said.len().saturating_sub(2000)..]));
    family.is_gone("1000 forks with 50 busy threads");
    println!("they took {:.1?}", begun.elapsed());
}

fn main() {
    // Whoever runs the tests in the background may have them ignore it, which would be inherited.
    common::heed_sigint();
    match env::var(ROLE).as_deref() {
        Ok("large family") => large_family(),
        Ok("orderly end") => an_orderly_end(),
        Ok("interrupted map") => an_interrupted_map(),
        Ok("at a terminal") => at_a_terminal(),
        Ok("exit with a pool") => an_exit_with_a_pool(),
        Ok("busy threads") => busy_threads(),
        _ => watch(),
    }
}
