//! What is measured, row by row.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::calm::{Runs, median, processors, runs};
use crate::clients::{Call, Figures, Forked, measure, measure_rested};
use crate::peers::iceoryx::Iceoryx;
use crate::peers::ipc_channel::IpcChannel;
use crate::peers::multiproc::{Multiproc, Way};
use crate::peers::python;
use crate::peers::redis::Redis;
use crate::peers::remoc::Remoc;
use crate::peers::tarpc::Tarpc;
use crate::report::{Gate, Report, Table};
use crate::yardstick;

pub struct Settings {
    /// How many calm runs a figure is the median of.
    pub repeats: usize,
    /// How long one run takes.
    pub time: Duration,
    /// The one row to run, if not all.
    pub only: Option<String>,
}

/// Everything that is measured, and what several rows refer to.
struct Bench {
    settings: Settings,
    report: Report,
    redis: Option<Redis>,
    socket: Option<Figures>,
    memory: Option<Figures>,
    python: Option<f64>,
    redis_at_8: Option<f64>,
    redis_pipelined: Option<f64>,
}

pub fn run(settings: Settings) -> Result<Report> {
    let mut bench = Bench {
        settings,
        report: Report::default(),
        redis: Redis::start()?,
        socket: None,
        memory: None,
        python: None,
        redis_at_8: None,
        redis_pipelined: None,
    };
    bench.machine()?;
    type Row = fn(&mut Bench) -> Result<()>;
    let rows: [(&str, Row); 11] = [
        ("yardsticks", Bench::yardsticks),
        ("one", Bench::one),
        ("many", Bench::many),
        ("pipelined", Bench::pipelined),
        ("types", Bench::types),
        ("values", Bench::values),
        ("objects", Bench::objects),
        ("parked", Bench::parked),
        ("idle", Bench::idle),
        ("first", Bench::first),
        ("hogs", Bench::hogs),
    ];
    for (name, row) in rows {
        let wanted = bench.settings.only.as_deref().is_none_or(|only| only == name || name == "yardsticks");
        if wanted {
            println!("{name}");
            row(&mut bench)?;
        }
    }
    Ok(bench.report)
}

/// The median of each figure, and the range of the first.
fn summary(runs: &Runs<Figures>) -> (Figures, String) {
    let of = |which: fn(&Figures) -> f64| median(runs.calm.iter().map(which).collect());
    let figures = Figures {
        rate: of(|run| run.rate),
        p50: of(|run| run.p50),
        p99: of(|run| run.p99),
        p999: of(|run| run.p999),
        fairness: of(|run| run.fairness),
    };
    let p50s = || runs.calm.iter().map(|run| run.p50);
    let (least, most) = (p50s().fold(f64::INFINITY, f64::min), p50s().fold(0.0, f64::max));
    (figures, format!("{least:.2}–{most:.2}"))
}

impl Bench {
    fn repeat(&self, measure: impl FnMut() -> Result<Figures>) -> Result<(Figures, String)> {
        Ok(summary(&runs(self.settings.repeats, measure)?))
    }

    fn gate(&mut self, what: &str, ratio: Option<f64>, gate: f64, aim: f64, at_most: bool) {
        match ratio {
            Some(ratio) => self.report.gates.push(Gate { what: what.into(), ratio, gate, aim, at_most }),
            None => self.report.remarks.push(format!("not compared, since a peer is missing: {what}")),
        }
    }

    fn machine(&mut self) -> Result<()> {
        let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = model
            .lines()
            .find_map(|line| line.strip_prefix("model name\t: "))
            .unwrap_or("unknown processor")
            .to_owned();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let remarks = &mut self.report.remarks;
        remarks.push(format!("{} processors ({model}), Linux {}", processors().len(), kernel.trim()));
        remarks.push(match python::version() {
            Some(version) => version,
            None => "python3 is missing: its rows are left out".into(),
        });
        if self.redis.is_none() {
            remarks.push("redis-server is missing: its rows are left out".into());
            println!("redis-server is missing: its rows are left out");
        }
        Ok(())
    }

    fn yardsticks(&mut self) -> Result<()> {
        let time = self.settings.time;
        self.socket = Some(self.repeat(|| yardstick::socket(time, Duration::ZERO))?.0);
        self.memory = Some(self.repeat(|| yardstick::memory(time))?.0);
        Ok(())
    }

    /// One client of each.
    fn one(&mut self) -> Result<()> {
        let time = self.settings.time;
        let mut table = Table::new(
            "One client",
            "A counter in another process, one more per call; microseconds.",
            &["", "p50", "range", "p99", "p99.9", "calls/s"],
        );
        let mut add = |bench: &mut Self, name: &str, (figures, range): (Figures, String)| {
            let Figures { rate, p50, p99, p999, .. } = figures;
            let cells = [p50, p99, p999].map(|figure| format!("{figure:.2}"));
            let [p50, p99, p999] = cells;
            table.row([name.to_owned(), p50, range, p99, p999, format!("{rate:.0}")]);
            bench.report.bars.push((name.to_owned(), rate));
        };
        let (socket, memory) = (self.socket.context("a yardstick")?, self.memory.context("a yardstick")?);
        add(self, "bare shared memory, both sides spinning", (memory, "–".into()));
        add(self, "bare unix socket", (socket, "–".into()));
        let mut own = None;
        for (name, way) in
            [("multiproc", Way::Ring), ("multiproc, unix socket", Way::Socket), ("multiproc, tcp", Way::Tcp)]
        {
            let peer = Multiproc::start(way)?;
            let measured = self.repeat(|| measure(1, time, |_| peer.client()))?;
            if way == Way::Ring {
                own = Some(measured.0);
            }
            add(self, name, measured);
        }
        let own = own.context("our own figure")?;
        let iceoryx = Iceoryx::start()?;
        let measured = self.repeat(|| measure(1, time, |_| iceoryx.client()))?;
        add(self, "iceoryx2 request-response, polling", measured);
        drop(iceoryx);
        let tarpc = Tarpc::start()?;
        let measured = self.repeat(|| measure(1, time, |_| tarpc.client()))?;
        add(self, "tarpc, unix socket", measured);
        drop(tarpc);
        let remoc = Remoc::start()?;
        let measured = self.repeat(|| measure(1, time, |_| remoc.client()))?;
        add(self, "remoc, unix socket", measured);
        drop(remoc);
        let measured = self.repeat(|| measure(1, time, |_| IpcChannel::client()))?;
        add(self, "ipc-channel", measured);
        if let Some(redis) = self.redis.take() {
            let measured = self.repeat(|| measure(1, time, |_| redis.client()))?;
            add(self, "Redis INCR, redis-rs, unix socket", measured);
            self.redis = Some(redis);
        }
        if python::version().is_some() {
            let measured = self.repeat(|| python_figures("add", 1, time))?;
            self.python = Some(measured.0.p50);
            add(self, "CPython's manager", measured);
        }
        self.report.tables.push(table);
        self.gate("one client, p50, against bare shared-memory ping-pong", Some(own.p50 / memory.p50), 10.0, 5.0, true);
        let python = self.python.map(|python| own.p50 / python);
        self.gate("one client, p50, against CPython's manager call", python, 1.0 / 80.0, 1.0 / 150.0, true);
        Ok(())
    }

    fn redis_benchmark(&self, clients: usize, pipelined: usize) -> Result<Option<f64>> {
        let Some(redis) = &self.redis else { return Ok(None) };
        let rates = runs(self.settings.repeats.min(3), || redis.benchmark(clients, pipelined))?;
        Ok(Some(median(rates.calm)))
    }

    /// Many client processes at once.
    fn many(&mut self) -> Result<()> {
        let time = self.settings.time;
        let mut table = Table::new(
            "Many clients",
            "Calls a second of all client processes together, p50 and p99.9 in microseconds, and the slowest client's calls beside the fastest one's. \
             redis-benchmark is one process with so many connections.",
            &["clients", "calls/s", "p50", "p99.9", "fairness", "unix socket", "CPython's manager", "redis-benchmark"],
        );
        let (ring, socket) = (Multiproc::start(Way::Ring)?, Multiproc::start(Way::Socket)?);
        let mut by_count = Vec::new();
        for count in [1, 2, 4, 8, 32, 128] {
            let own = self.repeat(|| measure(count, time, |_| ring.client()))?.0;
            let by_socket = self.repeat(|| measure(count, time, |_| socket.client()))?.0;
            let python = match count {
                1 | 8 if python::version().is_some() => {
                    format!("{:.0}", self.repeat(|| python_figures("add", count, time))?.0.rate)
                }
                _ => "".into(),
            };
            let redis = self.redis_benchmark(count, 1)?;
            if count == 8 {
                self.redis_at_8 = redis;
            }
            table.row([
                count.to_string(),
                format!("{:.0}", own.rate),
                format!("{:.2}", own.p50),
                format!("{:.0}", own.p999),
                format!("{:.2}", own.fairness),
                format!("{:.0}", by_socket.rate),
                python,
                redis.map_or("".into(), |rate| format!("{rate:.0}")),
            ]);
            by_count.push((count, own));
        }
        self.report.tables.push(table);
        for (count, gate, aim) in [(1, 12.0, 20.0), (8, 12.0, 20.0), (32, 9.0, 16.0)] {
            let own = by_count.iter().find(|(clients, _)| *clients == count).map(|(_, figures)| figures.rate);
            let ratio = own.zip(self.redis_at_8).map(|(own, redis)| own / redis);
            self.gate(
                &format!("calls/s at {count} clients against Redis at 8 (redis-benchmark)"),
                ratio,
                gate,
                aim,
                false,
            );
        }
        for (count, figures) in by_count.iter().filter(|(count, _)| matches!(count, 8 | 32)) {
            self.gate(&format!("fairness at {count} clients"), Some(figures.fairness), 0.6, 0.8, false);
        }
        Ok(())
    }

    /// Calls in batches.
    fn pipelined(&mut self) -> Result<()> {
        let time = self.settings.time;
        let mut table = Table::new(
            "Pipelined",
            "Calls a second, sent by so many at a time.",
            &["clients", "by 16", "by 128", "redis-benchmark -P 16", "redis-benchmark -P 128"],
        );
        let ring = Multiproc::start(Way::Ring)?;
        let mut own_at_8 = None;
        for count in [1, 8, 32] {
            let by_16 = self.repeat(|| measure(count, time, |_| ring.batch_client(16)))?.0.rate;
            let by_128 = self.repeat(|| measure(count, time, |_| ring.batch_client(128)))?.0.rate;
            let (redis_16, redis_128) = (self.redis_benchmark(count, 16)?, self.redis_benchmark(count, 128)?);
            if count == 8 {
                (own_at_8, self.redis_pipelined) = (Some(by_16), redis_16);
            }
            let told = |rate: Option<f64>| rate.map_or("".into(), |rate| format!("{rate:.0}"));
            table.row([
                count.to_string(),
                format!("{by_16:.0}"),
                format!("{by_128:.0}"),
                told(redis_16),
                told(redis_128),
            ]);
        }
        self.report.tables.push(table);
        let ratio = own_at_8.zip(self.redis_pipelined).map(|(own, redis)| own / redis);
        self.gate("pipelined by 16 at 8 clients, against redis-benchmark -P 16", ratio, 1.7, 2.5, false);
        Ok(())
    }

    /// A dict and a queue.
    fn types(&mut self) -> Result<()> {
        let time = self.settings.time;
        let mut table = Table::new(
            "A dict and a queue",
            "Operations a second: set and get in turn by 8 clients on one dict; puts and gets by 4 producers and 4 consumers on one queue of at most 1,000 items.",
            &["", "multiproc", "Redis (redis-rs)", "CPython's manager"],
        );
        let ring = Multiproc::start(Way::Ring)?;
        let told = |rate: Option<f64>| rate.map_or("".into(), |rate| format!("{rate:.0}"));
        let dict = ring.dict()?;
        let own = self.repeat(|| measure(8, time, |number| Multiproc::dict_client(&dict, number)))?.0.rate;
        let redis = match &self.redis {
            Some(redis) => Some(self.repeat(|| measure(8, time, |number| redis.dict_client(number)))?.0.rate),
            None => None,
        };
        let python = self.python_rate("dict", 8, time)?;
        table.row(["dict".into(), format!("{own:.0}"), told(redis), told(python)]);
        let queue = ring.queue()?;
        let own = self.repeat(|| measure(8, time, |number| Multiproc::queue_client(&queue, number)))?.0.rate;
        let redis = match &self.redis {
            Some(redis) => Some(self.repeat(|| measure(8, time, |number| redis.queue_client(number)))?.0.rate),
            None => None,
        };
        let python = self.python_rate("queue", 8, time)?;
        table.row(["queue".into(), format!("{own:.0}"), told(redis), told(python)]);
        self.report.tables.push(table);
        Ok(())
    }

    fn python_rate(&self, what: &str, clients: usize, time: Duration) -> Result<Option<f64>> {
        if python::version().is_none() {
            return Ok(None);
        }
        Ok(Some(self.repeat(|| python_figures(what, clients, time))?.0.rate))
    }

    /// Large values.
    fn values(&mut self) -> Result<()> {
        let mut table = Table::new(
            "Large values",
            "GiB/s: to the server, where the method looks at them where they arrived; from it, as a value of the caller's own in fresh memory.",
            &["size", "memcpy, reused memory", "to the server", "share", "from the server"],
        );
        let ring = Multiproc::start(Way::Ring)?;
        let mut worst = f64::INFINITY;
        for (name, size) in [("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("16 MiB", 16 << 20), ("256 MiB", 256 << 20)] {
            let measured = runs(self.settings.repeats.min(3), || {
                let memcpy = yardstick::memcpy(size);
                let (there, back) = ring.values(size)?;
                Ok((memcpy, there, back))
            })?;
            let of = |which: fn(&(f64, f64, f64)) -> f64| median(measured.calm.iter().map(which).collect());
            let (memcpy, there, back) = (of(|run| run.0), of(|run| run.1), of(|run| run.2));
            if size >= 1 << 20 {
                worst = worst.min(there / memcpy);
            }
            let cells = [memcpy, there, there / memcpy, back].map(|figure| format!("{figure:.2}"));
            table.row(std::iter::once(name.to_owned()).chain(cells));
        }
        self.report.tables.push(table);
        self.gate("values ≥ 1 MiB into reused memory, against memcpy", Some(worst), 0.5, 0.8, false);
        Ok(())
    }

    /// Making, dropping, connecting.
    fn objects(&mut self) -> Result<()> {
        let time = self.settings.time;
        let mut table = Table::new("Objects and connections", "Microseconds, p50.", &["", "multiproc", "in calls"]);
        let ring = Multiproc::start(Way::Ring)?;
        let call = self.repeat(|| measure(1, time, |_| ring.client()))?.0.p50;
        let made = self.repeat(|| measure(1, time, |_| ring.make_and_drop()))?.0.p50;
        table.row(["make and drop an object".into(), format!("{made:.2}"), format!("{:.1}", made / call)]);
        let address = ring.manager.address().to_owned();
        let connect = self
            .repeat(|| {
                measure(1, time, |_| {
                    let address = address.clone();
                    let call: Call = Box::new(move || {
                        drop(::multiproc::SyncManager::builder().address(address.as_str()).connect()?);
                        Ok(1)
                    });
                    Ok(call)
                })
            })?
            .0
            .p50;
        table.row(["connect and part".into(), format!("{connect:.2}"), format!("{:.1}", connect / call)]);
        self.report.tables.push(table);
        Ok(())
    }

    /// What 10,000 connections that are not used cost.
    fn parked(&mut self) -> Result<()> {
        const EACH: usize = 64;
        let wanted = 10_000;
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        let most = (hard as usize).saturating_sub(500);
        let count = wanted.min(most) / EACH;
        let ring = Multiproc::start(Way::Ring)?;
        let pid = ring.pid()?;
        let event = ring.event()?;
        let before = private_memory(pid)?;
        // Each connection is made by a call that waits; when all may go on, all are parked.
        let ready = ::multiproc::types::CounterProxy::new(&ring.manager, 0)?;
        let ends = ring.event()?;
        let clients = (0..count)
            .map(|_| {
                Forked::run(|| {
                    std::thread::scope(|scope| {
                        for _ in 0..EACH {
                            scope.spawn(|| event.wait());
                        }
                    });
                    ready.add(1)?;
                    ends.wait()?;
                    Ok(())
                })
            })
            .collect::<Result<Vec<_>>>()?;
        std::thread::sleep(Duration::from_secs(2));
        event.set()?;
        while ready.get()? < count as i64 {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(1500));
        let after = private_memory(pid)?;
        ends.set()?;
        clients.into_iter().try_for_each(Forked::wait)?;
        let each = after.saturating_sub(before) as f64 / (count * EACH) as f64;
        let mut table = Table::new(
            "Parked connections",
            "Server memory, its processes' own and its share of what is shared.",
            &["connections", "bytes each"],
        );
        table.row([(count * EACH).to_string(), format!("{each:.0}")]);
        self.report.tables.push(table);
        self.gate("memory per parked connection, server side, bytes", Some(each), 512.0, 128.0, true);
        Ok(())
    }

    /// What a server without calls uses of the processor.
    fn idle(&mut self) -> Result<()> {
        let ring = Multiproc::start(Way::Ring)?;
        let clients: Vec<Call> = (0..4).map(|_| ring.client()).collect::<Result<_>>()?;
        for mut client in clients {
            for _ in 0..2000 {
                client()?;
            }
        }
        std::thread::sleep(Duration::from_millis(300));
        let (pid, own) = (ring.pid()?, std::process::id());
        let begin = (processor_time(pid)?, processor_time(own)?, Instant::now());
        std::thread::sleep(Duration::from_secs(5));
        let server = (processor_time(pid)? - begin.0) as f64 / begin.2.elapsed().as_nanos() as f64;
        let mut table =
            Table::new("Idle", "Share of a processor over 5 s without calls, after thousands.", &["", "share"]);
        table.row(["server".into(), format!("{server:.6}")]);
        self.report.tables.push(table);
        self.gate("CPU use, everything idle (share of a processor)", Some(server), 0.0001, 0.0, true);
        Ok(())
    }

    /// The first call after a rest.
    fn first(&mut self) -> Result<()> {
        let mut table = Table::new(
            "The first call after a rest",
            "Microseconds, p50; a bare unix socket rests as long.",
            &["rest", "multiproc", "bare unix socket", "ratio"],
        );
        let ring = Multiproc::start(Way::Ring)?;
        let mut gate = None;
        for (name, rest, time) in [("10 ms", 10, 1500), ("1 s", 1000, 6000)] {
            let (rest, time) = (Duration::from_millis(rest), Duration::from_millis(time));
            let repeats = self.settings.repeats.min(3);
            let own = summary(&runs(repeats, || measure_rested(1, time, rest, |_| ring.client()))?).0.p50;
            let bare = summary(&runs(repeats, || yardstick::socket(time, rest))?).0.p50;
            gate.get_or_insert(own / bare);
            table.row([name.into(), format!("{own:.1}"), format!("{bare:.1}"), format!("{:.2}", own / bare)]);
        }
        self.report.tables.push(table);
        self.gate("first call after 10 ms of idleness, against bare unix socket ping-pong", gate, 1.0, 0.7, true);
        Ok(())
    }

    /// With others who want all processors.
    fn hogs(&mut self) -> Result<()> {
        let time = self.settings.time;
        let mut table = Table::new(
            "Beside busy strangers",
            "As many processes that only compute as there are processors.",
            &["clients", "calls/s", "p50", "p99.9", "bare unix socket, calls/s"],
        );
        let ring = Multiproc::start(Way::Ring)?;
        let hogs = processors()
            .iter()
            .map(|_| {
                Forked::run(|| {
                    loop {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect::<Result<Vec<_>>>()?;
        for count in [1, 8] {
            let measured: Vec<_> = (0..3).map(|_| measure(count, time, |_| ring.client())).collect::<Result<_>>()?;
            let own = summary(&Runs { calm: measured, disturbed: 0 }).0;
            let bare =
                if count == 1 { format!("{:.0}", yardstick::socket(time, Duration::ZERO)?.rate) } else { "".into() };
            table.row([
                count.to_string(),
                format!("{:.0}", own.rate),
                format!("{:.2}", own.p50),
                format!("{:.0}", own.p999),
                bare,
            ]);
        }
        drop(hogs);
        self.report.tables.push(table);
        Ok(())
    }
}

fn python_figures(what: &str, clients: usize, time: Duration) -> Result<Figures> {
    let python::PythonFigures { p50, p99, p999, rate, fairness } = python::run(what, clients, time.as_secs_f64())?;
    Ok(Figures { rate, p50, p99, p999, fairness })
}

/// A process's proportional share of memory, in bytes.
fn private_memory(pid: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("Pss")?;
    let kib: u64 = pss.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// Nanoseconds that a process's threads have run.
fn processor_time(pid: u32) -> Result<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        total += text.split_whitespace().next().context("schedstat")?.parse::<u64>()?;
    }
    Ok(total)
}
