//! What processes and pools cost: a child's life beside a bare fork and waitpid, a pool's `map` beside Python's own pool and beside rayon, which shares
//! memory and so is the bound, and what a worker takes of the machine's memory.
//!
//! Contestants take turns, but for Python's, which has a process of its own; what counts are the medians of rounds. What follows a `/` is a ratio, which says more than the
//! times do: those belong to a machine and its mood.
//!
//! `cargo bench --bench process` runs all of it, in about half a minute. Without `--bench`, as under `cargo test`, one short round shows that everything works.

use std::fs;
use std::hint::{black_box, spin_loop};
use std::process::Command;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use multiproc::{Pool, Process};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use rayon::prelude::*;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    lives: usize,
    tiny: u64,
    long: usize,
}

const FULL: Effort = Effort { rounds: 7, lives: 100, tiny: 1_000_000, long: 10_000 };
const SHORT: Effort = Effort { rounds: 1, lives: 3, tiny: 1_000, long: 10 };

/// How long the long tasks take.
const LONG: u64 = 100;

fn square(n: u64) -> u64 {
    n * n
}

fn busy(microseconds: u64) -> u64 {
    let end = Instant::now() + Duration::from_micros(microseconds);
    while Instant::now() < end {
        spin_loop();
    }
    microseconds
}

fn timed<R>(f: impl FnOnce() -> R) -> f64 {
    let start = Instant::now();
    black_box(f());
    start.elapsed().as_secs_f64()
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

#[allow(unsafe_code)]
fn bare_life() {
    // SAFETY: the child does nothing but end.
    match unsafe { fork() }.expect("fork") {
        // SAFETY: ends this process, which has nothing to tidy up.
        ForkResult::Child => unsafe { libc::_exit(0) },
        ForkResult::Parent { child } => drop(waitpid(child, None)),
    }
}

fn lives(effort: Effort) -> Outcome<f64> {
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..effort.lives * effort.rounds {
        bare.push(timed(bare_life));
        ours.push(timed(|| Process::spawn(|| 9_u64).map(|child| child.join().expect("a value"))));
    }
    let (bare, ours) = (median(&mut bare), median(&mut ours));
    println!("a child's life");
    println!("  fork, _exit, waitpid       {:8.1} µs", bare * 1e6);
    println!("  Process::spawn, join       {:8.1} µs  / {:.2}", ours * 1e6, ours / bare);
    Ok(ours)
}

/// The private memory of a process, in KiB: what it costs beyond what it shares with its parent.
fn memory(pid: u32) -> Outcome<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| {
        rollup.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<f64>().ok())
    };
    Ok(field("Private_Clean:").unwrap_or(0.0) + field("Private_Dirty:").unwrap_or(0.0))
}

/// A row: ours, and its ratios to others.
fn row(name: &str, seconds: f64, items: f64, others: &[(&str, Option<f64>)]) {
    print!("  {name:26} {:8.1} ms  {:8.3} µs each", seconds * 1e3, seconds / items * 1e6);
    for (other, theirs) in others {
        if let Some(theirs) = theirs {
            print!("  / {:.2} of {other}", seconds / theirs);
        }
    }
    println!();
}

/// What Python's pool takes: medians by section; `None` where there is no Python.
fn python(effort: Effort, workers: usize) -> Option<Vec<(String, f64)>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/pool.py");
    let arguments = [workers, effort.rounds, usize::try_from(effort.tiny).ok()?, effort.long];
    let ran = Command::new("python3").arg(script).args(arguments.map(|number| number.to_string())).output();
    let output = match ran {
        Ok(output) if output.status.success() => output,
        other => {
            println!("\n!! PYTHON'S POOL IS LEFT OUT: python3 is not there, or failed: {other:?}\n");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let section = |line: &str| {
        let (name, numbers) = line.split_once(' ')?;
        let mut numbers: Vec<f64> = numbers.split(' ').filter_map(|number| number.parse().ok()).collect();
        Some((name.to_owned(), median(&mut numbers)))
    };
    Some(text.lines().filter_map(section).collect())
}

fn main() -> Outcome<()> {
    let effort = if std::env::args().any(|argument| argument == "--bench") { FULL } else { SHORT };
    let workers = available_parallelism().map_or(1, usize::from);
    // The forks come first, from a process with one thread.
    let life = lives(effort)?;
    let pool = Pool::new(workers)?;
    pool.map(square, 0..100)?;
    let idle = memory(pool.worker_ids()[0])?;
    let threads = rayon::ThreadPoolBuilder::new().num_threads(workers).build()?;
    let (mut tiny, mut tiny_rayon, mut tiny_loop, mut long, mut long_rayon) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..effort.rounds {
        tiny.push(timed(|| pool.map(square, 0..effort.tiny).expect("results")));
        tiny_rayon.push(timed(|| threads.install(|| (0..effort.tiny).into_par_iter().map(square).collect::<Vec<_>>())));
        tiny_loop.push(timed(|| (0..effort.tiny).map(|n| black_box(square as fn(u64) -> u64)(n)).collect::<Vec<_>>()));
        long.push(timed(|| pool.map(busy, vec![LONG; effort.long]).expect("results")));
        long_rayon
            .push(timed(|| threads.install(|| vec![LONG; effort.long].into_par_iter().map(busy).collect::<Vec<_>>())));
    }
    let mut apply: Vec<_> =
        (0..50 * effort.rounds).map(|_| timed(|| pool.apply(square, 3).expect("a result"))).collect();
    let used = memory(pool.worker_ids()[0])?;
    drop(pool);
    let python = python(effort, workers);
    let of = |name: &str| python.as_ref()?.iter().find(|(section, _)| section == name).map(|(_, seconds)| *seconds);
    if let Some(theirs) = of("life") {
        println!("  Python's Process           {:8.1} µs  (ours / {:.3} of it)", theirs * 1e6, life / theirs);
    }
    println!("map of {} tiny tasks, {workers} workers", effort.tiny);
    let (rayon, plain) = (median(&mut tiny_rayon), median(&mut tiny_loop));
    row("a plain loop", plain, effort.tiny as f64, &[]);
    row("rayon", rayon, effort.tiny as f64, &[]);
    let others = [("Python's", of("tiny")), ("rayon's", Some(rayon)), ("the loop's", Some(plain))];
    row("Pool::map", median(&mut tiny), effort.tiny as f64, &others);
    println!("map of {} tasks of {LONG} µs, {workers} workers", effort.long);
    let rayon = median(&mut long_rayon);
    row("rayon", rayon, effort.long as f64, &[]);
    row("Pool::map", median(&mut long), effort.long as f64, &[("Python's", of("long")), ("rayon's", Some(rayon))]);
    println!("one task, there and back");
    row("Pool::apply", median(&mut apply), 1.0, &[("Python's", of("apply"))]);
    println!("memory of a worker's own");
    print!("  {idle:.0} KiB at first, {used:.0} KiB after all this");
    println!("{}", of("memory").map_or(String::new(), |theirs| format!("; Python's {theirs:.0} KiB")));
    Ok(())
}
