//! What calls cost: latency and rate on each transport beside a bare socketpair and bare shared memory, many calls in one round trip, objects made and dropped, a server's life, and large values beside memcpy.
//!
//! All contestants take turns within a round, so that what disturbs one disturbs all, and what counts are the medians of rounds. Before and after each round
//! every processor is probed: where somebody else held one for longer than [`DISTURBED`] the round is discarded, and tried again as often as there is time.
//! What follows a `/` is a ratio, which says more than the times do: those belong to a machine and its mood.
//!
//! `cargo bench --bench calls` runs all of it, in about a minute; words after `--` choose sections (`latency`, `ahead`, `objects`, `lifetime`, `payload`). Without
//! `--bench`, as under `cargo test`, one short round shows that everything works.

#![allow(unsafe_code)] // for the page that the bare ping-pong shares with a forked process

use std::hint::{black_box, spin_loop};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use multiproc::{BaseManager, Builder, Proxy, Result};

/// Answers what it is asked, and takes and gives bytes.
struct Echo {
    bytes: Vec<u8>,
}

#[multiproc::referent]
impl Echo {
    /// One that can give as many bytes.
    pub fn new(length: usize) -> Self {
        Self { bytes: vec![7; length] }
    }

    /// The same bytes back.
    pub fn echo(&self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }

    /// Takes bytes, and tells how many.
    pub fn put(&self, bytes: &[u8]) -> usize {
        black_box(bytes).len()
    }

    /// Gives as many bytes.
    pub fn get(&self, length: usize) -> &[u8] {
        &self.bytes[..length]
    }
}

/// For how long a processor may be held by others in a calm window.
const DISTURBED: Duration = Duration::from_micros(500);
/// For how long each processor is looked at.
const PROBE: Duration = Duration::from_millis(5);
/// The environment variable that makes this program the other end of the ping-pong: the size of a message in bytes.
const PONG: &str = "MULTIPROC_BENCH_PONG";

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    attempts: usize,
    calls: usize,
    lives: usize,
    largest: usize,
}

const FULL: Effort = Effort { rounds: 9, attempts: 25, calls: 2_000, lives: 9, largest: 64 << 20 };
const SHORT: Effort = Effort { rounds: 1, attempts: 1, calls: 20, lives: 1, largest: 64 << 10 };

/// The longest time for which a processor was not to be had.
fn longest_gap() -> Duration {
    let probe = || {
        let start = Instant::now();
        let (mut last, mut longest) = (start, Duration::ZERO);
        while last - start < PROBE {
            let now = Instant::now();
            longest = longest.max(now - last);
            last = now;
        }
        longest
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let probes: Vec<_> = (0..processors).map(|_| scope.spawn(probe)).collect();
        probes.into_iter().map(|probe| probe.join().expect("a probe")).max().unwrap_or_default()
    })
}

/// Runs rounds until enough were calm. Where too few were, the least disturbed fill up, and it is said so.
fn calm_rounds<T>(effort: Effort, mut round: impl FnMut(usize) -> Result<T>) -> Result<Vec<T>> {
    let (mut done, mut calm) = (Vec::new(), 0);
    for attempt in 0..effort.attempts {
        let before = longest_gap();
        let outcome = round(attempt)?;
        let gap = before.max(longest_gap());
        calm += usize::from(gap <= DISTURBED);
        done.push((gap, outcome));
        if calm == effort.rounds {
            break;
        }
    }
    let attempts = done.len();
    done.sort_by_key(|&(gap, _)| gap);
    done.truncate(effort.rounds);
    let worst = done.last().map(|&(gap, _)| gap).unwrap_or_default();
    let note = if calm < effort.rounds { "; READ WITH CARE: others were at work" } else { "" };
    println!("  ({calm} of {attempts} rounds calm, {} counted, longest gap {worst:.1?}{note})", done.len());
    Ok(done.into_iter().map(|(_, outcome)| outcome).collect())
}

fn quantile(samples: &mut [f64], quantile: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[((samples.len() - 1) as f64 * quantile).round() as usize]
}

fn median(samples: impl IntoIterator<Item = f64>) -> f64 {
    quantile(&mut samples.into_iter().collect::<Vec<_>>(), 0.5)
}

/// The other end of the ping-pong, in a process of its own.
struct Pong {
    stream: UnixStream,
    process: Child,
    message: Vec<u8>,
}

impl Pong {
    fn new(size: usize) -> std::io::Result<Self> {
        let (stream, far) = UnixStream::pair()?;
        let program = std::env::current_exe()?;
        let process =
            Command::new(program).env(PONG, size.to_string()).stdin(Stdio::from(OwnedFd::from(far))).spawn()?;
        Ok(Self { stream, process, message: vec![7; size] })
    }

    fn call(&mut self) -> std::io::Result<()> {
        self.stream.write_all(&self.message)?;
        self.stream.read_exact(&mut self.message)
    }
}

impl Drop for Pong {
    fn drop(&mut self) {
        // The end of the stream is its end.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        let _ = self.process.wait();
    }
}

/// Sends everything back, until the stream ends.
fn pong(size: usize) -> std::io::Result<()> {
    let mut stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut message = vec![0; size];
    while stream.read_exact(&mut message).is_ok() {
        stream.write_all(&message)?;
    }
    Ok(())
}

/// Two processes that bounce a number through one cache line each way, and do nothing else: what no call through shared memory can be faster than.
///
/// The other process sleeps on a stream between the rounds, so that it disturbs no other contestant.
struct Bounce {
    lines: NonNull<Lines>,
    stream: UnixStream,
    process: nix::unistd::Pid,
    number: u64,
}

#[repr(C, align(128))]
struct Line(AtomicU64);

#[repr(C)]
struct Lines {
    there: Line,
    back: Line,
}

/// Sent instead of a number when a round is over.
const REST: u64 = u64::MAX;

/// Waits until the line holds something else than `last`. Yields where the other process does not seem to run.
fn changed(line: &Line, last: u64) -> u64 {
    let mut looks = 0_u32;
    loop {
        let now = line.0.load(Ordering::Acquire);
        if now != last {
            return now;
        }
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(1 << 12) { thread::yield_now() } else { spin_loop() }
    }
}

impl Bounce {
    fn new() -> std::io::Result<Self> {
        use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
        let size = std::num::NonZeroUsize::new(size_of::<Lines>()).expect("not zero");
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping of zeros, which are a `Lines`.
        let lines: NonNull<Lines> = unsafe { mmap_anonymous(None, size, access, MapFlags::MAP_SHARED) }?.cast();
        let (stream, mut far) = UnixStream::pair()?;
        // SAFETY: the child touches the shared lines and its stream only, and leaves by `_exit`.
        match unsafe { nix::unistd::fork() }? {
            nix::unistd::ForkResult::Parent { child } => Ok(Self { lines, stream, process: child, number: 0 }),
            nix::unistd::ForkResult::Child => {
                drop(stream);
                // SAFETY: mapped above, and never unmapped in this process.
                let lines = unsafe { lines.as_ref() };
                let mut last = 0;
                while far.read_exact(&mut [0]).is_ok() {
                    loop {
                        let number = changed(&lines.there, last);
                        last = number;
                        lines.back.0.store(number, Ordering::Release);
                        if number == REST {
                            break;
                        }
                    }
                }
                // SAFETY: ends this process without the parent's exit handlers.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// Wakes the other process up for a round.
    fn begin(&mut self) -> std::io::Result<()> {
        self.stream.write_all(&[1])
    }

    fn call(&mut self) {
        self.number += 1;
        // SAFETY: mapped as long as this lives.
        let lines = unsafe { self.lines.as_ref() };
        let last = lines.back.0.load(Ordering::Relaxed);
        lines.there.0.store(self.number, Ordering::Release);
        black_box(changed(&lines.back, last));
    }

    /// Sends it to sleep again.
    fn end(&mut self) {
        // SAFETY: mapped as long as this lives.
        let lines = unsafe { self.lines.as_ref() };
        let last = lines.back.0.load(Ordering::Relaxed);
        lines.there.0.store(REST, Ordering::Release);
        changed(&lines.back, last);
    }
}

impl Drop for Bounce {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        let _ = nix::sys::wait::waitpid(self.process, None);
    }
}

/// What one contestant did in one round.
#[derive(Clone, Copy)]
struct Figures {
    p50: f64,
    p99: f64,
    /// Thousands of calls in a second.
    rate: f64,
}

fn figures(calls: usize, mut call: impl FnMut() -> Result<()>) -> Result<Figures> {
    // The first calls wake what sleeps.
    for _ in 0..calls / 10 {
        call()?;
    }
    let mut samples = Vec::with_capacity(calls);
    let start = Instant::now();
    for _ in 0..calls {
        let begin = Instant::now();
        call()?;
        samples.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    let rate = calls as f64 / start.elapsed().as_secs_f64() / 1e3;
    Ok(Figures { p50: quantile(&mut samples, 0.5), p99: quantile(&mut samples, 0.99), rate })
}

fn io(error: std::io::Error) -> multiproc::Error {
    multiproc::Error::io("the ping-pong", error)
}

fn manager() -> Builder {
    BaseManager::builder().register::<Echo>()
}

/// A server for each transport.
fn managers() -> Result<Vec<(&'static str, BaseManager)>> {
    let name = format!("unix:@multiproc-bench-{}", std::process::id());
    Ok(vec![
        ("unix", manager().start()?),
        ("unix, sockets", manager().ring(false).start()?),
        ("abstract", manager().address(name.as_str()).start()?),
        ("tcp", manager().address("tcp:127.0.0.1:0").start()?),
    ])
}

fn latency(effort: Effort) -> Result<()> {
    let managers = managers()?;
    let proxies: Vec<_> = managers.iter().map(|(_, manager)| EchoProxy::new(manager, 0)).collect::<Result<_>>()?;
    for size in [32, 1024] {
        println!("one client, {size} bytes there and back, µs");
        let mut pong = Pong::new(size).map_err(io)?;
        let mut bounce = Bounce::new().map_err(io)?;
        let message = vec![7; size];
        let contestants = proxies.len() + 2;
        let rounds = calm_rounds(effort, |attempt| {
            let mut round = vec![None; contestants];
            for turn in 0..contestants {
                let who = (attempt + turn) % contestants;
                round[who] = Some(match who.checked_sub(2) {
                    None if who == 0 => figures(effort.calls, || pong.call().map_err(io))?,
                    None => {
                        bounce.begin().map_err(io)?;
                        let figures = figures(effort.calls, || {
                            bounce.call();
                            Ok(())
                        });
                        bounce.end();
                        figures?
                    }
                    Some(proxy) => figures(effort.calls, || proxies[proxy].echo(&message).map(drop))?,
                });
            }
            Ok(round.into_iter().flatten().collect::<Vec<_>>())
        })?;
        println!(
            "  {:14} {:>8} {:>8} {:>10}    ratios to the socketpair: p50, p99, rate; to bare shared memory: p50",
            "", "p50", "p99", "k calls/s"
        );
        let names = ["socketpair", "shared memory"].into_iter().chain(managers.iter().map(|&(name, _)| name));
        for (who, name) in names.enumerate() {
            let of = |part: fn(Figures) -> f64| median(rounds.iter().map(|round| part(round[who])));
            let ratio = |part: fn(Figures) -> f64| median(rounds.iter().map(|round| part(round[who]) / part(round[0])));
            println!(
                "  {name:14} {:8.2} {:8.2} {:10.1}    / {:.2}  {:.2}  {:.2}  / {:.1}",
                of(|f| f.p50),
                of(|f| f.p99),
                of(|f| f.rate),
                ratio(|f| f.p50),
                ratio(|f| f.p99),
                ratio(|f| f.rate),
                median(rounds.iter().map(|round| round[who].p50 / round[1].p50)),
            );
        }
    }
    drop(proxies);
    managers.into_iter().try_for_each(|(_, manager)| manager.shutdown())
}

/// Calls that are sent ahead, as batches and as deferred calls, beside single ones.
fn ahead(effort: Effort) -> Result<()> {
    const SIZE: usize = 32;
    println!("one client, {SIZE} bytes there and back, calls sent ahead, k calls/s");
    let manager = manager().start()?;
    let proxy = EchoProxy::new(&manager, 0)?;
    let mut pong = Pong::new(SIZE).map_err(io)?;
    let message = vec![7; SIZE];
    // How often `many` calls can be made in a second, as thousands of calls.
    let rate = |many: usize, calls: &mut dyn FnMut() -> Result<()>| -> Result<f64> {
        let times = (effort.calls / many).max(4);
        for _ in 0..times.div_ceil(10) {
            calls()?;
        }
        let start = Instant::now();
        for _ in 0..times {
            calls()?;
        }
        Ok((times * many) as f64 / start.elapsed().as_secs_f64() / 1e3)
    };
    let batch = |many: usize| -> Result<()> {
        let echoes = manager.batch(|b| {
            let on = b.on(&proxy);
            (0..many).map(|_| on.echo(&message)).collect::<Vec<_>>()
        })?;
        echoes.into_iter().try_for_each(|echo| echo.map(drop))
    };
    let deferred = |many: usize| -> Result<()> {
        let calls: Vec<_> = (0..many).map(|_| proxy.defer().echo(&message)).collect();
        calls.into_iter().try_for_each(|call| call.wait().map(drop))
    };
    let names = ["socketpair", "single", "batch 16", "batch 128", "deferred 16", "deferred 128"];
    let rounds = calm_rounds(effort, |attempt| {
        let mut round = [0.0; 6];
        for turn in 0..round.len() {
            let who = (attempt + turn) % round.len();
            round[who] = match who {
                0 => rate(1, &mut || pong.call().map_err(io))?,
                1 => rate(1, &mut || proxy.echo(&message).map(drop))?,
                2 => rate(16, &mut || batch(16))?,
                3 => rate(128, &mut || batch(128))?,
                4 => rate(16, &mut || deferred(16))?,
                _ => rate(128, &mut || deferred(128))?,
            };
        }
        Ok(round)
    })?;
    println!("  {:12} {:>10}    / socketpair  / single", "", "k calls/s");
    for (who, name) in names.iter().enumerate() {
        let ratio = |to: usize| median(rounds.iter().map(|round| round[who] / round[to]));
        let rate = median(rounds.iter().map(|round| round[who]));
        println!("  {name:12} {rate:10.1}    / {:<10.2}  / {:.2}", ratio(0), ratio(1));
    }
    drop(proxy);
    manager.shutdown()
}

fn objects(effort: Effort) -> Result<()> {
    println!("an object made, its proxy dropped, beside a call, µs");
    let manager = manager().start()?;
    let proxy = EchoProxy::new(&manager, 0)?;
    let rounds = calm_rounds(effort, |_| {
        let call = figures(effort.calls, || proxy.put(&[]).map(drop))?;
        let made = figures(effort.calls, || EchoProxy::new(&manager, 0).map(drop))?;
        Ok((call, made))
    })?;
    let of = |part: fn(&(Figures, Figures)) -> f64| median(rounds.iter().map(part));
    println!("  call        p50 {:8.2}   p99 {:8.2}", of(|r| r.0.p50), of(|r| r.0.p99));
    println!(
        "  make + drop p50 {:8.2}   p99 {:8.2}   / {:.2} calls",
        of(|r| r.1.p50),
        of(|r| r.1.p99),
        of(|r| r.1.p50 / r.0.p50)
    );
    drop(proxy);
    manager.shutdown()
}

fn lifetime(effort: Effort) -> Result<()> {
    println!("a server's life, ms");
    let rounds = calm_rounds(effort, |_| {
        let mut lives = Vec::new();
        for _ in 0..effort.lives {
            let begin = Instant::now();
            let manager = manager().start()?;
            let started = begin.elapsed();
            let begin = Instant::now();
            manager.shutdown()?;
            lives.push((started.as_secs_f64() * 1e3, begin.elapsed().as_secs_f64() * 1e3));
        }
        Ok((median(lives.iter().map(|life| life.0)), median(lives.iter().map(|life| life.1))))
    })?;
    println!("  start    {:7.3}", median(rounds.iter().map(|round| round.0)));
    println!("  shutdown {:7.3}", median(rounds.iter().map(|round| round.1)));
    Ok(())
}

fn payload(effort: Effort) -> Result<()> {
    const GIB: f64 = (1_u64 << 30) as f64;
    println!(
        "byte values, GiB/s (put: to the server; get: from it; memcpy: into memory that is there), and put / memcpy"
    );
    let managers = managers()?;
    let make = |(_, manager): &(_, BaseManager)| EchoProxy::new(manager, effort.largest);
    let proxies: Vec<_> = managers.iter().map(make).collect::<Result<_>>()?;
    let mut sizes: Vec<usize> =
        std::iter::successors(Some(64), |size| Some(size * 16)).take_while(|&size| size <= effort.largest).collect();
    if sizes.last() != Some(&effort.largest) {
        sizes.push(effort.largest);
    }
    let effort = Effort { rounds: effort.rounds.min(5), attempts: effort.attempts.min(8), ..effort };
    for size in sizes {
        let source = vec![7_u8; size];
        let mut target = vec![0_u8; size];
        let speed = |bytes: usize, limit: usize, once: &mut dyn FnMut() -> Result<()>| -> Result<f64> {
            let times = (bytes / size).clamp(1, limit);
            once()?;
            let start = Instant::now();
            for _ in 0..times {
                once()?;
            }
            Ok((times * size) as f64 / start.elapsed().as_secs_f64() / GIB)
        };
        println!("{size} bytes");
        let rounds = calm_rounds(effort, |_| {
            let mut round = vec![speed(256 << 20, 100_000, &mut || {
                black_box(&mut target).copy_from_slice(black_box(&source));
                Ok(())
            })?];
            let limit = effort.calls.min(500);
            for proxy in &proxies {
                let put = speed(effort.largest * 2, limit, &mut || proxy.put(&source).map(drop))?;
                round.push(put);
                round.push(speed(effort.largest * 2, limit, &mut || {
                    proxy.get(size).map(|bytes| drop(black_box(bytes)))
                })?);
            }
            Ok(round)
        })?;
        let of = |which: usize| median(rounds.iter().map(|round| round[which]));
        print!("  memcpy {:7.2}", of(0));
        for (index, (name, _)) in managers.iter().enumerate() {
            let ratio = median(rounds.iter().map(|round| round[1 + 2 * index] / round[0]));
            print!("   {name} put {:6.3} get {:6.3} / {ratio:.4}", of(1 + 2 * index), of(2 + 2 * index));
        }
        println!();
    }
    drop(proxies);
    managers.into_iter().try_for_each(|(_, manager)| manager.shutdown())
}

type Section = (&'static str, fn(Effort) -> Result<()>);

fn main() -> Result<()> {
    if let Some(size) = std::env::var(PONG).ok().and_then(|size| size.parse().ok()) {
        return pong(size).map_err(io);
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let effort = if arguments.iter().any(|argument| argument == "--bench") { FULL } else { SHORT };
    let wanted: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let sections: [Section; 5] =
        [("latency", latency), ("ahead", ahead), ("objects", objects), ("lifetime", lifetime), ("payload", payload)];
    for (name, section) in sections {
        if wanted.is_empty() || wanted.iter().any(|word| *word == name) {
            section(effort)?;
        }
    }
    Ok(())
}
