//! Whether the host lets this machine's processors run: it takes them away for milliseconds at times, which no counter tells.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
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
}

/// How long a whole run of the benchmark waits for calm moments: what is left to be measured afterwards is taken as it comes.
const PATIENCE: Duration = Duration::from_secs(450);

static BEGUN: OnceLock<Instant> = OnceLock::new();
/// How many runs were calm, how many were left out because they were not, and how many count though they were not.
static CALM: AtomicUsize = AtomicUsize::new(0);
static DISTURBED: AtomicUsize = AtomicUsize::new(0);
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Of this run so far: how many runs were calm, how many were left out since they were not, and how many count though they were not.
pub fn tally() -> [usize; 3] {
    [&CALM, &DISTURBED, &TAKEN].map(|count| count.load(Ordering::Relaxed))
}

/// Runs `measure` until `wanted` runs were calm, or twice as many were tried; where none was calm, the disturbed ones count.
pub fn runs<T>(wanted: usize, mut measure: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<Runs<T>> {
    let begun = *BEGUN.get_or_init(Instant::now);
    let (mut kept, mut others) = (Vec::new(), Vec::new());
    while kept.len() < wanted && kept.len() + others.len() < 2 * wanted {
        let late = begun.elapsed() > PATIENCE && !(kept.is_empty() && others.is_empty());
        if late {
            break;
        }
        let before = calm();
        let run = measure()?;
        if before && calm() { kept.push(run) } else { others.push(run) }
    }
    CALM.fetch_add(kept.len(), Ordering::Relaxed);
    if kept.is_empty() {
        TAKEN.fetch_add(others.len(), Ordering::Relaxed);
        return Ok(Runs { calm: others });
    }
    DISTURBED.fetch_add(others.len(), Ordering::Relaxed);
    Ok(Runs { calm: kept })
}

/// The middle one.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    if figures.is_empty() { f64::NAN } else { figures[figures.len() / 2] }
}

/// From the least to the most, as text.
pub fn range(figures: &[f64]) -> String {
    let (least, most) =
        (figures.iter().copied().fold(f64::INFINITY, f64::min), figures.iter().copied().fold(0.0, f64::max));
    format!("{least:.2}–{most:.2}")
}
