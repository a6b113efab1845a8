//! What is measured, row by row.

mod parked;
mod policies;
mod rest;
mod types;
mod values;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::calm::{Runs, median, processors, range, runs, tally};
use crate::clients::{Figures, measure};
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
    socket: Option<Measured>,
    memory: Option<Measured>,
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
    let rows: [(&str, Row); 12] = [
        ("yardsticks", Bench::yardsticks),
        ("one", Bench::one),
        ("many", Bench::many),
        ("pipelined", Bench::pipelined),
        ("policies", Bench::policies),
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
    let [calm, disturbed, taken] = tally();
    bench.report.remarks.push(format!(
        "{calm} runs were calm; {disturbed} were not, and were left out; {taken} were not, and count since no calm moment was found for their figure"
    ));
    Ok(bench.report)
}

/// The medians of some runs, and the range of their first figure.
type Measured = (Figures, String);

/// The median of each figure, and the range of the first.
fn summary(runs: &Runs<Figures>) -> Measured {
    let of = |which: fn(&Figures) -> f64| median(runs.calm.iter().map(which).collect());
    let figures = Figures {
        rate: of(|run| run.rate),
        p50: of(|run| run.p50),
        p99: of(|run| run.p99),
        p999: of(|run| run.p999),
        fairness: of(|run| run.fairness),
    };
    (figures, range(&runs.calm.iter().map(|run| run.p50).collect::<Vec<_>>()))
}

impl Bench {
    fn repeat(&self, measure: impl FnMut() -> Result<Figures>) -> Result<Measured> {
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
        self.socket = Some(self.repeat(|| yardstick::socket(time, Duration::ZERO))?);
        self.memory = Some(self.repeat(|| yardstick::memory(time))?);
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
        let mut add = |bench: &mut Self, name: &str, (figures, range): Measured| {
            let Figures { rate, p50, p99, p999, .. } = figures;
            let cells = [p50, p99, p999].map(|figure| format!("{figure:.2}"));
            let [p50, p99, p999] = cells;
            table.row([name.to_owned(), p50, range, p99, p999, format!("{rate:.0}")]);
            bench.report.bars.push((name.to_owned(), rate));
        };
        let yardsticks = (self.memory.clone(), self.socket.clone());
        let (memory, socket) = (yardsticks.0.context("a yardstick")?, yardsticks.1.context("a yardstick")?);
        let memory_p50 = memory.0.p50;
        add(self, "bare shared memory, both sides spinning", memory);
        add(self, "bare unix socket", socket);
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
        self.gate("one client, p50, against bare shared-memory ping-pong", Some(own.p50 / memory_p50), 10.0, 5.0, true);
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
}

fn python_figures(what: &str, clients: usize, time: Duration) -> Result<Figures> {
    let python::PythonFigures { p50, p99, p999, rate, fairness } = python::run(what, clients, time.as_secs_f64())?;
    Ok(Figures { rate, p50, p99, p999, fairness })
}
