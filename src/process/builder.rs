//! How a process is to be started.

use super::report::Report;
use super::{BoxError, Process, children, fork_server, identity, launch};
use crate::datum::Datum;
use crate::error::{Error, Result};

/// Where a child is forked from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartMethod {
    /// This process: the child begins with all of its memory.
    Fork,
    /// The process that [`init`](crate::init) has forked while the program had one thread: the child begins with what the program was then, and runs
    /// a plain function.
    ForkServer,
}

/// A process to be started: by a name, or to end with this one.
///
/// ```
/// use std::{thread::sleep, time::Duration};
/// use multiproc::Process;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let idler = Process::builder().name("idler").daemon(true).spawn(|| sleep(Duration::from_secs(3600)))?;
/// assert_eq!(idler.name(), "idler");
/// idler.terminate()?;
/// assert!(idler.join().unwrap_err().to_string().ends_with("was killed by SIGTERM before it returned"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Builder {
    name: Option<String>,
    daemon: Option<bool>,
    method: Option<StartMethod>,
}

impl Builder {
    /// One with Python's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What it is called, in errors and by [`current_process`](super::current_process). `Process-1` and so on by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Whether it ends with this process: killed with SIGKILL in the moment in which this one is gone, terminated by SIGTERM when this one ends in
    /// order. Children of daemonic processes are daemonic by default, others are not.
    pub fn daemon(mut self, daemon: bool) -> Self {
        self.daemon = Some(daemon);
        self
    }

    /// Where it is forked from. If nothing is said, closures run in forks of this process, and functions
    /// ([`spawn_fn`](Self::spawn_fn)) in children of the fork server, where there is one.
    pub fn start_method(mut self, method: StartMethod) -> Self {
        self.method = Some(method);
        self
    }

    /// As [`Process::spawn`].
    ///
    /// # Errors
    /// As [`Process::spawn`].
    pub fn spawn<T: Datum, F: FnOnce() -> T>(self, f: F) -> Result<Process<T>> {
        self.forks_here()?;
        launch(self.name, self.daemon, &[], || Report::of_value(&f())).map(Process::new)
    }

    /// As [`Process::try_spawn`].
    ///
    /// # Errors
    /// As [`Process::spawn`].
    pub fn try_spawn<T: Datum, F: FnOnce() -> std::result::Result<T, BoxError>>(self, f: F) -> Result<Process<T>> {
        self.forks_here()?;
        let body = || match f() {
            Ok(value) => Report::of_value(&value),
            Err(error) => Report::of_error(&*error),
        };
        launch(self.name, self.daemon, &[], body).map(Process::new)
    }

    /// As [`Process::spawn_fn`].
    ///
    /// # Errors
    /// As [`Process::spawn_fn`]; [`Error::State`] when the fork server is asked for and there is none.
    pub fn spawn_fn<A: Datum, T: Datum>(self, f: fn(A) -> T, argument: A) -> Result<Process<T>> {
        let served = match self.method {
            Some(method) => method == StartMethod::ForkServer,
            None => fork_server::is_there(),
        };
        if !served {
            return launch(self.name, self.daemon, &[], || Report::of_value(&f(argument))).map(Process::new);
        }
        children::prepare()?;
        children::reap();
        let birth = identity::next_child(self.name, self.daemon);
        fork_server::request(birth, f, &argument).map(Process::new)
    }

    fn forks_here(&self) -> Result<()> {
        if self.method != Some(StartMethod::ForkServer) {
            return Ok(());
        }
        let what =
            "a closure can't be sent to the fork server; use spawn_fn with a function and its argument".to_owned();
        Err(Error::State { what })
    }
}
