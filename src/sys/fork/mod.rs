//! Forking a process that has threads, so that the child works.
//!
//! A fork copies one thread and the memory of all. Whatever another thread held at that moment, the child holds for
//! ever: a lock, half an update, a full stdout buffer. Each part of this module removes one of these dangers:
//!
//! | part | what it is for |
//! | --- | --- |
//! | [`gate`](ForkMutex) | no lock of this crate is held at a fork, whoever forks |
//! | [`hooks`](at_fork) | what the crate does before and after any `fork(2)`, a user's own included |
//! | [`generation`] | tells an inherited thing from one's own, without a system call |
//! | [`spawn`] | the crate's own forks: clean signals, contained panics |
//! | [`stdio`] | stdout and stderr over a fork; what to do where they were inherited locked |
//! | [`Child`] | the parent's handle to such a child, by pidfd |
//! | [`PrivateFd`] | file descriptors that forked children find closed |
//!
//! The gate is one reader-writer lock for the whole process. A critical section of the client library holds it shared,
//! a fork holds it exclusively, from before the hooks of `prepare` to after those of `parent` or `child`.
//!
//! # Rules for critical sections
//! Under a [`ForkGuard`] a thread waits for nothing but another `ForkMutex`: no I/O, no channel, no condition, no
//! printing (stdout is locked *before* the gate, because `println!("{proxy}")` takes them in that order), no user code.
//!
//! # What is not covered
//! `_Fork` and a bare `clone` run no hooks, so the gate may be shut in the child. The generation is right even there.

mod child;
mod gate;
mod generation;
mod hooks;
mod private;
mod spawn;
mod stdio;
#[cfg(test)]
mod tests;

pub use child::{Child, ExitStatus};
pub use gate::{ForkGuard, ForkMutex};
pub use generation::{Stamp, generation};
pub use hooks::{Hooks, at_fork};
pub use private::{PrivateFd, bequeath};
pub use spawn::{spawn, spawn_bound};

use std::fs;
use std::os::unix::fs::MetadataExt;

/// The number of threads of this process, as the kernel counts them; 1 where `/proc` is not mounted.
pub fn thread_count() -> usize {
    // A directory has two links and one for each directory in it, and here each thread is one: no list need be read.
    let links = fs::metadata("/proc/self/task").map_or(0, |task| task.nlink());
    usize::try_from(links.saturating_sub(2)).unwrap_or(1).max(1)
}
