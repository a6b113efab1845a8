//! Client processes: forked, started together, and measured one call at a time.

use std::num::NonZero;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use crate::histogram::Histogram;

/// Memory that forked children share, zeroed.
pub struct Shared<T> {
    at: NonNull<T>,
}

impl<T> Shared<T> {
    /// `T` must be fine when all its bytes are zero.
    pub fn zeroed() -> Result<Self> {
        let size = NonZero::new(size_of::<T>()).context("a size")?;
        // SAFETY: a fresh mapping of the size of a `T`, whose bytes are zero.
        let at =
            unsafe { mmap_anonymous(None, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED)? };
        Ok(Self { at: at.cast() })
    }

    pub fn get(&self) -> &T {
        // SAFETY: mapped until the drop.
        unsafe { self.at.as_ref() }
    }

    /// Only one process may use it so.
    #[expect(clippy::mut_from_ref)]
    pub fn get_mut(&self) -> &mut T {
        // SAFETY: mapped until the drop; each client writes to its own, and the parent reads after the clients' end.
        unsafe { &mut *self.at.as_ptr() }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's.
        let _ = unsafe { munmap(self.at.cast(), size_of::<T>()) };
    }
}

/// A forked process that is ended with its handle.
pub struct Forked(Pid);

impl Forked {
    /// Runs `f` in a child, which ends with it.
    pub fn run(f: impl FnOnce() -> Result<()>) -> Result<Self> {
        // SAFETY: the parent has one thread at each fork, or the child keeps to what the crate allows.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self(child)),
            ForkResult::Child => {
                let code = match f() {
                    Ok(()) => 0,
                    Err(error) => {
                        eprintln!("in a child: {error:#}");
                        1
                    }
                };
                // SAFETY: leaves at once.
                unsafe { libc::_exit(code) }
            }
        }
    }

    pub fn pid(&self) -> Pid {
        self.0
    }

    /// Waits for its end until then; afterwards it is killed.
    pub fn wait_until(self, deadline: Instant) -> Result<()> {
        while Instant::now() < deadline {
            if waitpid(self.0, Some(WaitPidFlag::WNOHANG))? != WaitStatus::StillAlive {
                std::mem::forget(self);
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("a child did not end in time")
    }

    /// Waits for its end.
    pub fn wait(self) -> Result<()> {
        let status = waitpid(self.0, None)?;
        std::mem::forget(self);
        match status {
            WaitStatus::Exited(_, 0) => Ok(()),
            other => bail!("a client ended by {other:?}"),
        }
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

/// What the clients of one run did.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Calls a second, of all clients.
    pub rate: f64,
    /// Of a round trip, in microseconds.
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    /// The slowest client's calls beside the fastest one's.
    pub fairness: f64,
}

struct Start {
    ready: AtomicU32,
    go: AtomicU32,
}

/// A client's call: one round trip, and how many calls it was.
pub type Call = Box<dyn FnMut() -> Result<u64>>;

/// Forks `count` clients, each of which connects and then calls for `time`.
pub fn measure(count: usize, time: Duration, connect: impl Fn(usize) -> Result<Call>) -> Result<Figures> {
    measure_rested(count, time, Duration::ZERO, connect)
}

/// As [`measure`], with a rest before each call, which is not counted.
pub fn measure_rested(
    count: usize,
    time: Duration,
    rest: Duration,
    connect: impl Fn(usize) -> Result<Call>,
) -> Result<Figures> {
    let start = Shared::<Start>::zeroed()?;
    let histograms = (0..count).map(|_| Shared::<Histogram>::zeroed()).collect::<Result<Vec<_>>>()?;
    let clients = histograms
        .iter()
        .enumerate()
        .map(|(number, histogram)| {
            Forked::run(|| {
                let mut call = connect(number)?;
                let warm = Instant::now();
                while warm.elapsed() < Duration::from_millis(100) {
                    call()?;
                }
                start.get().ready.fetch_add(1, Ordering::SeqCst);
                while start.get().go.load(Ordering::SeqCst) == 0 {
                    std::thread::sleep(Duration::from_micros(200));
                }
                let histogram = histogram.get_mut();
                let begin = Instant::now();
                let mut last = begin;
                while last - begin < time {
                    if !rest.is_zero() {
                        std::thread::sleep(rest);
                        last = Instant::now();
                    }
                    let calls = call()?;
                    let now = Instant::now();
                    histogram.record((now - last).as_nanos() as u64, calls);
                    last = now;
                }
                Ok(())
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let patience = Instant::now();
    while start.get().ready.load(Ordering::SeqCst) < count as u32 {
        if patience.elapsed() > Duration::from_secs(60) {
            bail!("the clients did not get ready");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    start.get().go.store(1, Ordering::SeqCst);
    clients.into_iter().try_for_each(Forked::wait)?;
    let mut all = Histogram::new();
    histograms.iter().for_each(|histogram| all.add(histogram.get()));
    let calls = histograms.iter().map(|histogram| histogram.get().calls());
    let (least, most) = (calls.clone().min().unwrap_or(0), calls.max().unwrap_or(0));
    Ok(Figures {
        rate: all.calls() as f64 / time.as_secs_f64(),
        p50: all.quantile(0.5),
        p99: all.quantile(0.99),
        p999: all.quantile(0.999),
        fairness: least as f64 / most.max(1) as f64,
    })
}
