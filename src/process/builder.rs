//! How a process is to be started.

use super::report::Report;
use super::{BoxError, Process, launch};
use crate::datum::Datum;
use crate::error::Result;

/// Where a child is forked from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum StartMethod {
    /// This process: the child begins with all of its memory. The default.
    #[default]
    Fork,
}

/// A process to be started: by a name, or to end with this one.
///
/// ```
/// use multiproc::Process;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let idler = Process::builder().name("idler").daemon(true).spawn(std::thread::park)?;
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
    method: StartMethod,
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

    /// Where it is forked from.
    pub fn start_method(mut self, method: StartMethod) -> Self {
        self.method = method;
        self
    }

    /// As [`Process::spawn`].
    ///
    /// # Errors
    /// As [`Process::spawn`].
    pub fn spawn<T: Datum, F: FnOnce() -> T>(self, f: F) -> Result<Process<T>> {
        launch(self.name, self.daemon, &[], || Report::of_value(&f())).map(Process::new)
    }

    /// As [`Process::try_spawn`].
    ///
    /// # Errors
    /// As [`Process::spawn`].
    pub fn try_spawn<T: Datum, F: FnOnce() -> std::result::Result<T, BoxError>>(self, f: F) -> Result<Process<T>> {
        let body = || match f() {
            Ok(value) => Report::of_value(&value),
            Err(error) => Report::of_error(&*error),
        };
        launch(self.name, self.daemon, &[], body).map(Process::new)
    }
}
