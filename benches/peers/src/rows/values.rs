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
            "GiB/s: two bare processes, one of which copies into shared memory while the other copies out of it; to the server, where the method looks at them where they arrived; from it, as a value of the caller's own in fresh memory.",
            &[
                "size",
                "memcpy, reused memory",
                "two bare processes",
                "to the server",
                "share of memcpy",
                "range",
                "share of bare",
                "from the server",
            ],
        );
        let ring = Multiproc::start(Way::Ring)?;
        let mut worst = f64::INFINITY;
        for (name, size) in [("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("16 MiB", 16 << 20), ("256 MiB", 256 << 20)] {
            let measured = runs(self.settings.repeats.min(3), || {
                let (memcpy, bare) = (yardstick::memcpy(size), yardstick::across(size)?);
                let (there, back) = ring.values(size)?;
                Ok([memcpy, bare, there, back])
            })?;
            let of = |which: usize| median(measured.calm.iter().map(|run| run[which]).collect());
            let shares_of = |which: usize| measured.calm.iter().map(|run| run[2] / run[which]).collect::<Vec<_>>();
            let shares = shares_of(0);
            let spread = range(&shares);
            let share = median(shares);
            if size >= 1 << 20 {
                worst = worst.min(share);
            }
            let figures = [of(0), of(1), of(2), share, median(shares_of(1)), of(3)];
            let [memcpy, bare, there, share, of_bare, back] = figures.map(|figure| format!("{figure:.2}"));
            table.row([name.to_owned(), memcpy, bare, there, share, spread, of_bare, back]);
        }
        self.report.tables.push(table);
        self.gate("values ≥ 1 MiB into reused memory, against memcpy", Some(worst), 0.5, 0.8, false);
        Ok(())
    }
}
