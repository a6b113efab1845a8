//! A progress board: workers report to a shared dict how far they are, the parent draws it, and all of them stop when it says so.
//!
//! Run it with `cargo run --example progress_board`; an argument is after how many seconds the parent loses patience (`… -- 1`).

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use multiproc::types::{DictProxy, EventProxy};
use multiproc::{Process, Result, SyncManager};

const WORKERS: u64 = 4;
const STEPS: u64 = 60;

/// Does its steps, and reports after each; how many it did.
fn work(number: u64, board: &DictProxy<u64, u64>, stop: &EventProxy) -> Result<u64> {
    for step in 1..=STEPS {
        // Sleeps, but not through the parent's word.
        if stop.wait_timeout(Duration::from_millis(10 + 7 * number))? {
            return Ok(step - 1);
        }
        board.insert(number, step)?;
    }
    Ok(STEPS)
}

fn main() -> Result<()> {
    let patience =
        std::env::args().nth(1).and_then(|seconds| seconds.parse().ok()).map_or(Duration::MAX, Duration::from_secs_f64);
    let manager = SyncManager::start()?;
    let board = DictProxy::<u64, u64>::from_iter(&manager, (0..WORKERS).map(|number| (number, 0)))?;
    let stop = EventProxy::new(&manager)?;

    let mut workers: Vec<Process<u64>> = (0..WORKERS)
        .map(|number| {
            let (board, stop) = (board.clone(), stop.clone());
            Process::try_spawn(move || Ok(work(number, &board, &stop)?))
        })
        .collect::<Result<_>>()?;

    // Only the parent draws: bars are made after the forks.
    let bars = MultiProgress::new();
    let style = ProgressStyle::with_template("{prefix:10} {bar:40} {pos:>3}/{len}").expect("a template");
    let bars: Vec<ProgressBar> = (0..WORKERS)
        .map(|number| {
            bars.add(ProgressBar::new(STEPS)).with_style(style.clone()).with_prefix(format!("worker {number}"))
        })
        .collect();
    let begin = Instant::now();
    while workers.iter().any(|worker| worker.is_alive()) {
        // One call for the whole board.
        for (number, step) in board.items()? {
            bars[number as usize].set_position(step);
        }
        if begin.elapsed() > patience {
            stop.set()?;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for (number, step) in board.items()? {
        bars[number as usize].set_position(step);
    }
    bars.iter().for_each(ProgressBar::abandon);

    let done: Vec<u64> = workers.drain(..).map(|worker| worker.join().expect("a worker")).collect();
    println!("steps done: {done:?} in {:.1?}", begin.elapsed());
    manager.shutdown()
}
