//! Why a task has no result.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::object::Raised;
use crate::process::{ProcessPanic, SignalName};
use crate::sys::fork::ExitStatus;

/// Why a task, or a whole call of a pool, has no result.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PoolError {
    /// The task panicked. Its worker goes on.
    #[error("the task panicked: {}", .0.message)]
    Panicked(ProcessPanic),
    /// The worker that ran the task ended: killed by a person or for want of memory (SIGKILL), after a stack overflow
    /// (SIGSEGV), by `abort` (SIGABRT), by `exit`. It has been replaced.
    #[error("{worker} {} while it ran the task", How(.ending))]
    WorkerDied {
        /// The worker's name and id.
        worker: String,
        /// How it ended.
        ending: WorkerEnd,
    },
    /// The time that was allowed ran out. The task may still run.
    #[error("no result within {after:?}; the task may still run")]
    Timeout {
        /// The time allowed.
        after: Duration,
    },
    /// The pool takes no more tasks.
    #[error("the pool was closed and takes no more tasks")]
    Closed,
    /// The pool was terminated, or dropped, before the task was done.
    #[error("the pool was terminated before the task was done")]
    Terminated,
    /// The pool's initializer panicked in a worker, or ended it: no worker can be had.
    #[error("the pool's workers can't begin: {reason}")]
    Initializer {
        /// What happened.
        reason: String,
    },
    /// A server's pool knows no task of that name.
    #[error("the server has no task {task:?}; it has {registered:?}")]
    NoSuchTask {
        /// The name.
        task: String,
        /// Those that it has.
        registered: Vec<String>,
    },
    /// The server's task of that name takes or returns other types than this program thinks.
    #[error("the argument or result types of the task {task:?} are not the server's; build both from one definition")]
    TaskTypes {
        /// The name.
        task: String,
    },
    /// The task returned an `Err`, in a call that a Python program made: there the result is what is in the `Ok`, and this is an exception. A Rust program's call gets the `Result` as its result.
    #[error("the task failed: {error}")]
    Failed {
        /// The error, as text.
        error: String,
        /// The exception that its author named.
        raised: Option<Raised>,
    },
    /// The system's: arguments that can't be sent, a function that can't be found, a pool in a process that only inherited it.
    #[error(transparent)]
    System(#[from] Error),
}

impl PoolError {
    /// The number of the signal that killed the task's worker, if one did.
    pub fn signal(&self) -> Option<i32> {
        match self {
            Self::WorkerDied { ending: WorkerEnd::Killed(signal), .. } => Some(*signal),
            _ => None,
        }
    }
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WorkerEnd {
    /// By the signal of this number.
    Killed(i32),
    /// By itself, with this code.
    Exited(i32),
    /// Somebody else in this program has been told how.
    Unknown,
}

impl From<ExitStatus> for WorkerEnd {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Killed(signal) => Self::Killed(signal),
            ExitStatus::Exited(code) => Self::Exited(code),
            ExitStatus::Unknown => Self::Unknown,
        }
    }
}

/// An end in a sentence.
struct How<'a>(&'a WorkerEnd);

impl fmt::Display for How<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            WorkerEnd::Killed(signal) => write!(f, "was killed by {}", SignalName(signal)),
            WorkerEnd::Exited(code) => write!(f, "left with code {code}"),
            WorkerEnd::Unknown => f.write_str("ended"),
        }
    }
}

/// What a worker says of a task without a result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Failure {
    Panicked(ProcessPanic),
    System(Error),
}

impl From<Failure> for PoolError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Panicked(panic) => Self::Panicked(panic),
            Failure::System(error) => Self::System(error),
        }
    }
}
