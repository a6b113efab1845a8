//! A Rust worker on a manager that Python started: `manager.py` beside this file says which objects. Arguments: the socket, the queue's id, the dict's id.

use std::env;

use multiproc::python::PythonManager;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [socket, jobs, results] = &arguments[..] else {
        return Err("usage: rust_worker SOCKET QUEUE DICT".into());
    };
    let manager = PythonManager::connect(format!("unix:{socket}"), env::var("SHARED_KEY")?)?;
    let (jobs, results) = (manager.object("Queue", jobs)?, manager.object("dict", results)?);
    while let Some(number) = jobs.call_method::<Option<u64>>("get", ())? {
        let factors: Vec<u64> = (1..=number).filter(|factor| number % factor == 0).collect();
        results.call_method::<()>("__setitem__", (number, factors))?;
        jobs.call_method::<()>("task_done", ())?;
    }
    jobs.call_method::<()>("task_done", ())?;
    Ok(())
}
