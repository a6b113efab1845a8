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
//! | [`spawn`] | the crate's own forks: clean signals, clean stdio, contained panics |
//! | [`Child`] | the parent's handle to such a child, by pidfd |
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
mod spawn;
#[cfg(test)]
mod tests;

pub use child::Child;
#[cfg(test)]
pub use child::ExitStatus;
pub use gate::{ForkGuard, ForkMutex};
pub use generation::{Stamp, generation};
pub use hooks::{Hooks, at_fork};
pub use spawn::spawn;

use std::fs;

/// The number of threads of this process, as the kernel counts them; 1 where `/proc` is not mounted.
pub fn thread_count() -> usize {
    fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}
