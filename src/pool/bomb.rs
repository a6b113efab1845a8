//! Keeps a pool from being made again by its own workers, and they by theirs.
//!
//! A function that makes a pool and runs itself on it would fill the machine with processes before anybody could stop it. So each
//! worker knows where in the source the pools were made that it works for, and refuses to make another there.

use std::panic::Location;

use crate::error::{Error, Result};
use crate::sys::fork::ForkMutex;

/// Where the pools were made that this process works for, in the order of their nesting.
pub type Lineage = Vec<String>;

static LINEAGE: ForkMutex<Lineage> = ForkMutex::new(Vec::new());

/// Makes this process a worker of those pools.
pub fn enter(lineage: Lineage) {
    *LINEAGE.lock() = lineage;
}

/// The lineage of the workers of a pool that is made here, unless it is one that this process works for.
pub fn extend(here: &'static Location<'static>) -> Result<Lineage> {
    let mut lineage = LINEAGE.lock().clone();
    let here = here.to_string();
    if lineage.contains(&here) {
        let what = format!(
            "a worker of the pool that is made at {here} makes that pool again, whose workers would do the same without end; \
             make the pool outside of its own tasks"
        );
        return Err(Error::State { what });
    }
    lineage.push(here);
    Ok(lineage)
}
