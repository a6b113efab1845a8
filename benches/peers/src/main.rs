//! multiproc beside its peers, all in one run: see `ci/bench`.

mod calm;
mod clients;
mod histogram;
mod peers;
mod report;
mod rows;
mod yardstick;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A directory of this run's own, for sockets.
fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("multiproc-peers-{}-{name}", std::process::id()))
}

fn wait_for_file(path: &Path) -> Result<()> {
    let begin = Instant::now();
    while !path.exists() {
        if begin.elapsed() > Duration::from_secs(10) {
            bail!("{} did not appear", path.display());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut settings = rows::Settings { repeats: 5, time: Duration::from_millis(800), only: None };
    let mut write = None;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => (settings.repeats, settings.time) = (1, Duration::from_millis(200)),
            "--only" => settings.only = Some(words.next().context("--only wants a row's name")?),
            "--write" => write = Some(PathBuf::from(words.next().context("--write wants a directory")?)),
            other => bail!("{other:?} is not understood; there are --quick, --only ROW, --write DIRECTORY"),
        }
    }
    let report = rows::run(settings)?;
    let text = report.markdown();
    match write {
        Some(directory) => {
            std::fs::write(directory.join("performance.md"), &text)?;
            report.chart(&directory.join("performance.svg"))?;
        }
        None => println!("{text}"),
    }
    Ok(())
}
