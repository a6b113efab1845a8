//! What connections cost the server that nobody uses.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use multiproc::types::{CounterProxy, EventProxy};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Bench;
use crate::clients::Forked;
use crate::peers::multiproc::{Multiproc, Way};
use crate::report::Table;

/// Connections in all.
const WANTED: usize = 10_000;
/// Connections of one client process: as many as it keeps.
const EACH: usize = 64;
/// Calls in a row on a connection that is to be hot: more than it takes to be given shared memory.
const HOT: usize = 50;

/// What is common to a run's client processes.
struct Stage {
    counter: CounterProxy,
    ready: CounterProxy,
    ends: EventProxy,
}

impl Bench {
    /// What 10,000 connections that are not used cost.
    pub(super) fn parked(&mut self) -> Result<()> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        let count = WANTED.min((hard as usize).saturating_sub(500)) / EACH;
        let mut table = Table::new(
            "Parked connections",
            "Server memory, bytes for each connection: its private pages, and its share of those that it shares. A connection that was hot has had its calls by shared memory.",
            &["", "connections", "bytes each", "shared memory still mapped"],
        );
        let mut gates = Vec::new();
        for (name, hot) in [("never hot", false), ("hot once", true)] {
            let ring = Multiproc::start(Way::Ring)?;
            let pid = ring.pid()?;
            // What the first client costs once, or the first of anything, is not a connection's.
            let each = park(&ring, 2, hot)?;
            let before = memory(pid)?;
            let parked = park(&ring, count, hot)?;
            // Long enough for all of them to have grown cold.
            std::thread::sleep(Duration::from_millis(2500));
            let after = memory(pid)?;
            let bytes = after.saturating_sub(before) as f64 / (count * EACH) as f64;
            let mapped = fs::read_to_string(format!("/proc/{pid}/maps"))?;
            let mapped = mapped.lines().filter(|line| line.contains("multiproc-ring")).count();
            table.row([name.into(), (count * EACH).to_string(), format!("{bytes:.0}"), mapped.to_string()]);
            gates.push((format!("memory per parked connection, server side, {name}, bytes"), bytes));
            for Parked { stage, clients } in [each, parked] {
                stage.ends.set()?;
                clients.into_iter().try_for_each(Forked::wait)?;
            }
        }
        self.report.tables.push(table);
        gates.into_iter().for_each(|(name, bytes)| self.gate(&name, Some(bytes), 512.0, 128.0, true));
        Ok(())
    }
}

struct Parked {
    stage: Stage,
    clients: Vec<Forked>,
}

/// Has so many client processes open their connections, one process after the other, and keep them.
fn park(ring: &Multiproc, count: usize, hot: bool) -> Result<Parked> {
    let stage = Stage {
        counter: CounterProxy::new(&ring.manager, 0)?,
        ready: CounterProxy::new(&ring.manager, 0)?,
        ends: EventProxy::new(&ring.manager)?,
    };
    let mut clients = Vec::with_capacity(count);
    for number in 1..=count {
        let gate = EventProxy::new(&ring.manager)?;
        clients.push(Forked::run(|| stage.open(&gate, hot))?);
        while stage.ready.get()? < number as i64 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(Parked { stage, clients })
}

impl Stage {
    /// A client process. A connection is made by a call for which there is no idle one: so each thread calls, and then keeps its connection busy by a call that waits.
    fn open(&self, gate: &EventProxy, hot: bool) -> Result<()> {
        std::thread::scope(|scope| {
            let mut waiting = Vec::new();
            for _ in 0..EACH {
                let (called, has_called) = std::sync::mpsc::channel();
                waiting.push(scope.spawn(move || {
                    for _ in 0..if hot { HOT } else { 1 } {
                        self.counter.add(1)?;
                    }
                    called.send(())?;
                    gate.wait()?;
                    anyhow::Ok(())
                }));
                has_called.recv().context("a thread of a client")?;
                // It is about to wait, on the connection that it has just called by.
                std::thread::sleep(Duration::from_micros(200));
            }
            gate.set()?;
            waiting.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
        })?;
        self.ready.add(1)?;
        self.ends.wait()?;
        Ok(())
    }
}

/// A process's private memory, and its proportional share of shared memory, in bytes. Pages that it has in common with its parent since the fork are not counted: how
/// many share them changes with every process.
fn memory(pid: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = |name: &str| -> Result<u64> {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)).context("a line of smaps_rollup")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    };
    Ok(1024 * (kib("Private_Clean:")? + kib("Private_Dirty:")? + kib("Pss_Shmem:")?))
}
