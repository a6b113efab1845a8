//! What happens when nothing is called, or others want the processors.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Bench, summary};
use crate::calm::{Runs, processors, runs};
use crate::clients::{Call, Forked, measure, measure_rested};
use crate::peers::multiproc::{Multiproc, Way};
use crate::report::Table;
use crate::yardstick;

impl Bench {
    /// What a server and its clients use of the processor without calls.
    pub(super) fn idle(&mut self) -> Result<()> {
        const TIME: Duration = Duration::from_secs(5);
        let ring = Multiproc::start(Way::Ring)?;
        // Clients that have called, and go on living: by shared memory, and with a call that waits.
        let (event, called) = (ring.event()?, ring.event()?);
        let clients = (0..4)
            .map(|number| {
                Forked::run(|| {
                    let mut call: Call = ring.client()?;
                    for _ in 0..2000 {
                        call()?;
                    }
                    if number == 3 {
                        called.set()?;
                    }
                    event.wait()?;
                    Ok(())
                })
            })
            .collect::<Result<Vec<_>>>()?;
        called.wait()?;
        // What has been hot cools down within a second or two.
        std::thread::sleep(Duration::from_millis(2500));
        let pid = ring.pid()?;
        let used = || -> Result<(u64, u64)> {
            let clients = clients.iter().map(|client| processor_time(client.pid().as_raw().unsigned_abs()));
            Ok((processor_time(pid)?, clients.sum::<Result<u64>>()?))
        };
        let before = used()?;
        std::thread::sleep(TIME);
        let after = used()?;
        let share = |nanos: u64| nanos as f64 / TIME.as_nanos() as f64;
        let (server, own) = (share(after.0 - before.0), share(after.1 - before.1));
        event.set()?;
        clients.into_iter().try_for_each(Forked::wait)?;
        let mut table = Table::new(
            "Idle",
            "Share of a processor over 5 s without calls, after thousands: a server, and its four clients, each of which waits for an event.",
            &["", "share"],
        );
        table.row(["server".into(), format!("{server:.6}")]);
        table.row(["clients".into(), format!("{own:.6}")]);
        self.report.tables.push(table);
        self.gate("CPU use, everything idle (share of a processor)", Some(server + own), 0.0, 0.0, true);
        Ok(())
    }

    /// The first call after a rest.
    pub(super) fn first(&mut self) -> Result<()> {
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
    pub(super) fn hogs(&mut self) -> Result<()> {
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
            let own = summary(&Runs { calm: measured }).0;
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

/// Nanoseconds that a process's threads have run.
fn processor_time(pid: u32) -> Result<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        total += text.split_whitespace().next().context("schedstat")?.parse::<u64>()?;
    }
    Ok(total)
}
