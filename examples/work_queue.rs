//! A work queue: one process finds work, a few others do it, and a worker that dies costs nothing but the time to do its job again.
//!
//! Counts the words of files: `cargo run --example work_queue -- README.md src/*.rs`, or of this crate's sources without arguments. Kill a worker while it runs
//! (its pid is printed) to see that the sum stays the same.

use std::collections::HashMap;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;
use std::{fs, io};

use multiproc::types::{DictProxy, JoinableQueueProxy, QueueError};
use multiproc::{CallError, Error, Process, SyncManager};

/// A file's words, or why they could not be counted.
type Outcome = Result<u64, String>;

/// What the workers share with their parent: handles to objects in the manager's server, which a forked child may simply use.
#[derive(Clone)]
struct Desk {
    jobs: JoinableQueueProxy<String>,
    /// By file: doing a job twice does no harm.
    done: DictProxy<String, Outcome>,
}

impl Desk {
    /// Works until the queue is shut down; how many jobs that were.
    fn work(&self) -> u32 {
        eprintln!("worker {} begins", std::process::id());
        let mut jobs = 0;
        for file in &self.jobs {
            let worked = file.and_then(|file| {
                let outcome = fs::read_to_string(&file).map(|text| text.split_whitespace().count() as u64);
                self.done.insert(file, outcome.map_err(|error| error.to_string()))?;
                // Only now: should this process die before, the parent is told.
                self.jobs.task_done()?;
                Ok(())
            });
            if let Err(error) = worked {
                eprintln!("worker {} ends: {error}", std::process::id());
                break;
            }
            jobs += 1;
        }
        jobs
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut files)?;
    }
    let workers = available_parallelism().map_or(2, usize::from).max(2);

    let manager = SyncManager::start()?;
    let desk = Desk { jobs: JoinableQueueProxy::from_iter(&manager, &files)?, done: DictProxy::new(&manager)? };
    let hire = || {
        let desk = desk.clone();
        Process::spawn(move || desk.work())
    };
    let mut staff = (0..workers).map(|_| hire()).collect::<multiproc::Result<Vec<_>>>()?;

    let outcomes: HashMap<String, Outcome> = loop {
        match desk.jobs.join_timeout(Duration::from_secs(1)) {
            Ok(()) => break desk.done.to_map()?,
            Err(CallError::System(Error::Timeout { .. })) => {}
            // All that is left undone was taken by workers that have died.
            Err(CallError::Method(QueueError::Lost { items })) => {
                eprintln!("{items} job(s) died with their workers, and are done again");
                let done: HashMap<String, Outcome> = desk.done.to_map()?;
                desk.jobs.put_many(files.iter().filter(|&file| !done.contains_key(file)))?;
                desk.jobs.tasks_done(usize::try_from(items)?)?;
            }
            Err(error) => return Err(error.into()),
        }
        for worker in staff.iter_mut().filter(|worker| !worker.is_alive()) {
            eprintln!("worker {} has died; another takes its place", worker.id());
            *worker = hire()?;
        }
    };
    desk.jobs.shutdown(false)?;

    for worker in staff {
        match worker.join() {
            Ok(jobs) => eprintln!("a worker did {jobs} jobs"),
            Err(error) => eprintln!("a worker ended early: {error}"),
        }
    }
    for (file, outcome) in &outcomes {
        if let Err(error) = outcome {
            eprintln!("{file}: {error}");
        }
    }
    let words: u64 = outcomes.values().flatten().sum();
    println!("{words} words in {} files", outcomes.values().filter(|outcome| outcome.is_ok()).count());
    manager.shutdown()?;
    Ok(())
}

/// The Rust files below a directory.
fn sources(directory: &Path, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.extend(path.to_str().map(str::to_owned));
        }
    }
    Ok(())
}
