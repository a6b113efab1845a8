//! Large values.

use anyhow::Result;

use super::Bench;
use crate::calm::{median, range, runs};
use crate::peers::multiproc::{Multiproc, Way};
use crate::report::Table;
use crate::yardstick;

impl Bench {
    /// Large values.
    pub(super) fn values(&mut self) -> Result<()> {
        let mut table = Table::new(
            "Large values",
            "GiB/s: to the server, where the method looks at them where they arrived; from it, as a value of the caller's own in fresh memory.",
            &["size", "memcpy, reused memory", "to the server", "share", "range", "from the server"],
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
            let shares: Vec<_> = measured.calm.iter().map(|run| run.1 / run.0).collect();
            let spread = range(&shares);
            let share = median(shares);
            if size >= 1 << 20 {
                worst = worst.min(share);
            }
            let [memcpy, there, share, back] = [memcpy, there, share, back].map(|figure| format!("{figure:.2}"));
            table.row([name.to_owned(), memcpy, there, share, spread, back]);
        }
        self.report.tables.push(table);
        self.gate("values ≥ 1 MiB into reused memory, against memcpy", Some(worst), 0.5, 0.8, false);
        Ok(())
    }
}
