//! The shared types, and what it costs to come and go.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, python_figures};
use crate::clients::{Call, measure};
use crate::peers::multiproc::{Multiproc, Way};
use crate::peers::python;
use crate::report::Table;

impl Bench {
    /// A dict and a queue.
    pub(super) fn types(&mut self) -> Result<()> {
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

    /// Making, dropping, connecting.
    pub(super) fn objects(&mut self) -> Result<()> {
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
}
