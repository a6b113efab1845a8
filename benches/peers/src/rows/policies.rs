//! What each waiting policy gives, and takes.

use std::time::Duration;

use anyhow::Result;
use multiproc::WaitPolicy;

use super::{Bench, summary};
use crate::calm::runs;
use crate::clients::{measure, measure_rested};
use crate::peers::multiproc::{Multiproc, Way};
use crate::report::Table;

/// A rest between calls that the server's looking outlasts by one policy only.
const REST: Duration = Duration::from_micros(300);

impl Bench {
    /// A row for each.
    pub(super) fn policies(&mut self) -> Result<()> {
        let (time, repeats) = (self.settings.time, self.settings.repeats.min(3));
        let mut table = Table::new(
            "Policies of waiting",
            "Server and clients by the same `WaitPolicy`. Microseconds, and calls a second; the last column is the p50 of calls with a rest of 300 µs before each.",
            &["", "1 client, p50", "p99", "calls/s", "8 clients, calls/s", "after a rest, p50"],
        );
        let policies = [
            ("`Balanced` (default)", WaitPolicy::Balanced),
            ("`LowLatency`", WaitPolicy::LowLatency),
            ("`PowerSave`", WaitPolicy::PowerSave),
        ];
        for (name, policy) in policies {
            let peer = Multiproc::start_by(Way::Ring, policy)?;
            let one = summary(&runs(repeats, || measure(1, time, |_| peer.client()))?).0;
            let eight = summary(&runs(repeats, || measure(8, time, |_| peer.client()))?).0;
            let rested = summary(&runs(repeats, || measure_rested(1, time / 2, REST, |_| peer.client()))?).0;
            table.row([
                name.to_owned(),
                format!("{:.2}", one.p50),
                format!("{:.2}", one.p99),
                format!("{:.0}", one.rate),
                format!("{:.0}", eight.rate),
                format!("{:.2}", rested.p50),
            ]);
        }
        self.report.tables.push(table);
        Ok(())
    }
}
