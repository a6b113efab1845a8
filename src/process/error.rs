//! Why a process gave no value.

use std::fmt;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::error::{Error, RemoteError};

/// Why [`join`](super::Process::join) has no value to return.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// It panicked.
    #[error("{process} panicked{}: {}", At(&.panic.place), .panic.message)]
    Panicked {
        /// Its name and id.
        process: String,
        /// What it said.
        panic: ProcessPanic,
    },
    /// The closure of [`try_spawn`](super::Process::try_spawn) returned an error.
    #[error("{process} failed")]
    Failed {
        /// Its name and id.
        process: String,
        /// The error, as text.
        #[source]
        error: RemoteError,
    },
    /// A signal ended it before it returned: SIGKILL by a person or for want of memory, SIGSEGV after a stack overflow, SIGABRT by
    /// `abort`, SIGTERM by [`terminate`](super::Handle::terminate).
    #[error("{process} was killed by {} before it returned", SignalName(*.signal))]
    Killed {
        /// Its name and id.
        process: String,
        /// The signal's number.
        signal: i32,
    },
    /// It ended itself by an exit code, without returning.
    #[error("{process} left with code {code} before it returned")]
    Exited {
        /// Its name and id.
        process: String,
        /// The code.
        code: i32,
    },
    /// It ended without a value, and how is not known: somebody else in this program waited for it (a `waitpid(-1)`, an ignored
    /// `SIGCHLD`), or the fork server is gone.
    #[error("{process} ended before it returned; how, somebody else in this program has been told")]
    Lost {
        /// Its name and id.
        process: String,
    },
    /// The system's: a value that can't be sent, a handle in a process that only inherited it.
    #[error(transparent)]
    System(#[from] Error),
}

impl ProcessError {
    /// The number of the signal that ended it, if one did.
    pub fn signal(&self) -> Option<i32> {
        match self {
            Self::Killed { signal, .. } => Some(*signal),
            _ => None,
        }
    }
}

/// What a process said when it panicked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPanic {
    /// What `panic!` was given.
    pub message: String,
    /// `file:line:column`; `None` when another panic hook was in the way.
    pub place: Option<String>,
    /// One frame a line; empty when another panic hook was in the way.
    pub backtrace: String,
}

impl From<crate::sys::panic::Panic> for ProcessPanic {
    fn from(panic: crate::sys::panic::Panic) -> Self {
        Self { message: panic.message, place: panic.place, backtrace: panic.backtrace }
    }
}

/// A place in a sentence, where it is known.
struct At<'a>(&'a Option<String>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(place) => write!(f, " at {place}"),
            None => Ok(()),
        }
    }
}

/// A signal by its name, where it has one.
pub(crate) struct SignalName(pub(crate) i32);

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Signal::try_from(self.0) {
            Ok(known) => f.write_str(known.as_str()),
            Err(_) => write!(f, "signal {}", self.0),
        }
    }
}
