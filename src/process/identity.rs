//! Who this process is among those of its program: names, numbers, and the parent.
//!
//! Names are Python's: `MainProcess`, its children `Process-1`, `Process-2`, and theirs `Process-1:2`. A child made by a raw
//! `fork(2)` passes for its parent, as in Python.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::unistd::getppid;
use serde::{Deserialize, Serialize};

use crate::connection::Waitable;
use crate::error::{Error, Result};
use crate::sys::fork::ForkMutex;
use crate::sys::pidfd::PidFd;
use crate::sys::poll::{self, Interest};

/// What a child is told of itself before it begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Birth {
    pub name: String,
    pub numbers: Vec<u32>,
    pub daemon: bool,
    pub parent_name: String,
    pub parent: u32,
}

/// This process.
struct Own {
    name: String,
    /// Its number among its parent's children, behind its parent's.
    numbers: Vec<u32>,
    daemon: bool,
    /// How many children it has had.
    children: u32,
    parent: Option<Parent>,
}

struct Parent {
    name: String,
    pid: u32,
    /// Known where the parent is not the process that forked.
    process: Option<OwnedFd>,
}

static OWN: ForkMutex<Own> =
    ForkMutex::new(Own { name: String::new(), numbers: Vec::new(), daemon: false, children: 0, parent: None });

impl Own {
    fn name(&self) -> String {
        if self.numbers.is_empty() { "MainProcess".to_owned() } else { self.name.clone() }
    }
}

/// Counts a child, and names it where nobody has.
pub(super) fn next_child(name: Option<String>, daemon: Option<bool>) -> Birth {
    let mut own = OWN.lock();
    own.children += 1;
    let numbers: Vec<_> = own.numbers.iter().copied().chain([own.children]).collect();
    let joined = || numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(":");
    let name = name.unwrap_or_else(|| format!("Process-{}", joined()));
    Birth { name, daemon: daemon.unwrap_or(own.daemon), parent_name: own.name(), parent: std::process::id(), numbers }
}

/// Makes this process the one that was born so. `process` is its parent's pidfd, where another process has forked it.
pub(super) fn assume(birth: Birth, process: Option<OwnedFd>) {
    let Birth { name, numbers, daemon, parent_name, parent } = birth;
    let parent = Parent { name: parent_name, pid: parent, process };
    let former = std::mem::replace(&mut *OWN.lock(), Own { name, numbers, daemon, children: 0, parent: Some(parent) });
    drop(former);
}

/// This process, as it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentProcess {
    name: String,
    id: u32,
    daemon: bool,
}

impl CurrentProcess {
    /// `MainProcess`, or the name it was given, or `Process-1` for the first child of the main process, `Process-1:2` for that
    /// one's second.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[doc(alias = "pid")]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether it ends with its parent.
    pub fn is_daemon(&self) -> bool {
        self.daemon
    }
}

/// This process.
///
/// ```
/// use multiproc::Process;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(multiproc::current_process().name(), "MainProcess");
/// let child = Process::spawn(|| multiproc::current_process().name().to_owned())?;
/// assert_eq!(child.join()?, "Process-1");
/// # Ok(())
/// # }
/// ```
pub fn current_process() -> CurrentProcess {
    let own = OWN.lock();
    CurrentProcess { name: own.name(), id: std::process::id(), daemon: own.daemon }
}

/// The process that started this one; `None` in the main process, and in those that something else has started.
///
/// # Errors
/// When no file descriptor is left.
pub fn parent_process() -> Result<Option<ParentProcess>> {
    let own = OWN.lock();
    let Some(parent) = &own.parent else { return Ok(None) };
    let failed = |error| Error::io("opening the parent's pidfd", error);
    let is_forker = || u32::try_from(getppid().as_raw()) == Ok(parent.pid);
    let process = match &parent.process {
        Some(process) => Some(PidFd::received(process.try_clone().map_err(failed)?, parent.pid)),
        None if is_forker() => match PidFd::open(parent.pid) {
            // It may have ended between the two looks, and the number may be another's.
            Ok(process) => is_forker().then_some(process),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => None,
            Err(error) => return Err(failed(error)),
        },
        None => None,
    };
    Ok(Some(ParentProcess { name: parent.name.clone(), id: parent.pid, process }))
}

/// The process that started this one.
#[derive(Debug)]
pub struct ParentProcess {
    name: String,
    id: u32,
    /// `None` when it had ended before anybody asked.
    process: Option<PidFd>,
}

impl ParentProcess {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, which is another's some time after its end.
    #[doc(alias = "pid")]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.has_ended())
    }

    /// Waits for its end, for `timeout` at the most (`None`: without limit); whether it has ended.
    ///
    /// # Errors
    /// When the system refuses to wait.
    #[doc(alias = "join")]
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool> {
        let Some(process) = &self.process else { return Ok(true) };
        let ready = poll::wait_one(process, Interest::Read, timeout);
        ready.map(|ready| ready.any()).map_err(|error| Error::io("waiting for the parent", error))
    }
}

impl Waitable for ParentProcess {
    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.process.as_ref().map(std::os::fd::AsFd::as_fd)
    }
}
