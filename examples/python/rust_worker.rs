//! A Rust worker on a manager that Python started: `manager.py` beside this file. Argument: the manager's socket.

use std::env;

use multiproc::BaseManager;
use multiproc::types::{DictProxy, JoinableQueueProxy};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let socket = env::args().nth(1).ok_or("usage: rust_worker SOCKET")?;
    let builder = BaseManager::builder().python(true).address(format!("unix:{socket}"));
    let manager = builder.authkey(env::var("SHARED_KEY")?).connect()?;
    let jobs: JoinableQueueProxy<Option<u64>> = manager.create_as("get_jobs", ())?;
    let results: DictProxy<u64, Vec<u64>> = manager.create_as("get_results", ())?;
    while let Some(number) = jobs.get()? {
        results.insert(number, (1..=number).filter(|factor| number % factor == 0).collect::<Vec<_>>())?;
        jobs.task_done()?;
    }
    jobs.task_done()?;
    Ok(())
}
