//! Whether the host lets this machine's processors run: it takes them away for milliseconds at times, which no counter tells.

use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// How long each processor is watched.
const WATCH: Duration = Duration::from_millis(15);
/// The longest time that a calm processor does not run a program that wants it.
const GAP: Duration = Duration::from_millis(1);

/// The processors that this process may use.
pub fn processors() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false)).collect()
}

/// Runs this thread on one processor only.
pub fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    let _ = set.set(cpu);
    let _ = sched_setaffinity(Pid::from_raw(0), &set);
}

/// Whether all processors are there, now.
pub fn calm() -> bool {
    std::thread::scope(|scope| {
        let watches: Vec<_> = processors()
            .into_iter()
            .map(|cpu| {
                scope.spawn(move || {
                    pin(cpu);
                    let begin = Instant::now();
                    let (mut last, mut worst) = (begin, Duration::ZERO);
                    while begin.elapsed() < WATCH {
                        let now = Instant::now();
                        worst = worst.max(now - last);
                        last = now;
                    }
                    worst < GAP
                })
            })
            .collect();
        watches.into_iter().all(|watch| watch.join().unwrap_or(false))
    })
}

/// Figures of several runs.
#[derive(Debug, Clone)]
pub struct Runs<T> {
    pub calm: Vec<T>,
    pub disturbed: usize,
}

/// Runs `measure` until `wanted` runs were calm, or three times as many were tried; where none was calm, the disturbed ones count.
pub fn runs<T>(wanted: usize, mut measure: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<Runs<T>> {
    let (mut kept, mut others) = (Vec::new(), Vec::new());
    for _ in 0..3 * wanted {
        let before = calm();
        let run = measure()?;
        if before && calm() {
            kept.push(run)
        } else {
            others.push(run)
        }
        if kept.len() == wanted {
            break;
        }
    }
    let disturbed = others.len();
    Ok(Runs { calm: if kept.is_empty() { others } else { kept }, disturbed })
}

/// The middle one.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    if figures.is_empty() { f64::NAN } else { figures[figures.len() / 2] }
}
