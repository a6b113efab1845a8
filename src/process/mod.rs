//! Processes: a closure runs in a forked child, and what it returns comes back.
//!
//! Above the transport and beside the proxies: a child is a client of its own to every server that its parent knows, from the moment of
//! the fork. `sys/fork` makes the bare fork safe; this module adds what Python's `multiprocessing.Process` is: names, typed
//! results, families that end together.
//!
//! # How parent and child hang together
//! One pair of packet sockets a child. On it the child says its last word (its value, its error, its panic), and by it a
//! *daemonic* child hangs: the kernel kills it in the moment in which the parent's end is closed, and so with the parent, however that ends and
//! whatever the child does (`sys/lifeline`). The parent's end is private: no other child holds a copy of it.
//!
//! # Invariants
//! - A child never waits for its parent to listen; whoever waits for a child's end need not listen first.
//! - No child outlives its parent's end unasked: daemonic ones are killed, for others a parent that ends in order waits. (One whose parent was killed
//!   goes on to its own end, as in Python.)
//! - A child that has ended is reaped, whether anybody joins or not (`children`).
//! - In a forked child every handle of the parent's is inert.

mod builder;
mod children;
mod error;
mod fork_server;
mod handle;
mod identity;
mod report;

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use builder::{Builder, StartMethod};
pub use children::active_children;
pub(crate) use error::SignalName;
pub use error::{ProcessError, ProcessPanic};
pub use fork_server::init;
pub(crate) use fork_server::{is_there as has_fork_server, renew as renew_fork_server};
pub use handle::Handle;
pub(crate) use handle::Offspring;
pub use identity::{CurrentProcess, ParentProcess, current_process, parent_process};
pub(crate) use report::Report;

pub use crate::connection::{Waitable, wait};

use handle::Body;
use report::Message;

use crate::codec::{self, Codec};
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::sys::fork::{self, ExitStatus, PrivateFd, bequeath, generation};
use crate::sys::panic::contain;
use crate::sys::{lifeline, thread};

/// What a fallible closure may fail with: any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A child that will return a `T`.
///
/// ```
/// use multiproc::{Process, ProcessError};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let numbers: Vec<u64> = (1..=1000).collect();
/// let child = Process::spawn(|| numbers.iter().sum::<u64>())?; // a copy of `numbers`, without copying
/// assert_eq!(child.join()?, 500_500);
///
/// let child = Process::spawn(|| -> u64 { panic!("no idea") })?;
/// match child.join() {
///     Err(ProcessError::Panicked { panic, .. }) => assert_eq!(panic.message, "no idea"),
///     other => unreachable!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// Dropping it does nothing to the child: see [`Handle`], whose methods it has.
///
/// # What a child finds
/// All memory of its parent's as it was at the fork, of which its changes are its own: `total += 1` in the closure compiles, and is lost for the
/// parent. One thread, whichever others the parent had. Proxies, with references of its own; no connection to a server. The process's
/// authkey. Default signal handlers. Of its parent's `Process`es, pools and managers inert copies.
///
/// What the closure has captured is dropped twice: in the child when it has run, and in the parent right after the fork. A file that
/// was moved into it is closed in the parent; a temporary directory would be removed by both, and is better borrowed.
///
/// # What a child may do
/// Whatever does not wait for what another thread of its parent held at the fork. The allocator, stdout and stderr, and everything of
/// this crate is safe. A lock of *another* library's or the program's own may be locked for good, when another thread held it (std has one, too, that every
/// `std::thread` takes at its begin and end: a child that was forked in the moment in which another thread did that can start none of its own): that is why
/// the first fork of a process with several threads warns (by `tracing`). Fork before there are threads, or use
/// [`init`] and [`spawn_fn`](Self::spawn_fn), whose children come from a process that never had any.
///
/// It is not `unsafe` to call, since nothing of this is undefined behaviour, and a process that waits for ever can be [killed](Handle::kill).
///
/// The child ends by `_exit`: its stdout is flushed, but no destructor of the parent's runs in it, and no exit handler.
pub struct Process<T> {
    handle: Handle,
    returns: PhantomData<fn() -> T>,
}

impl Process<()> {
    /// A process with a name, a start method, or one that ends with its parent.
    #[allow(clippy::new_ret_no_self)]
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<T: Datum> Process<T> {
    /// Forks a child that runs `f` and returns what that returns.
    ///
    /// # Errors
    /// When there are no processes, file descriptors or memory left. `f` has not run then.
    pub fn spawn<F: FnOnce() -> T>(f: F) -> Result<Self> {
        Builder::new().spawn(f)
    }

    /// As [`spawn`](Self::spawn), for closures that use `?`. Their errors come back as text, in [`ProcessError::Failed`].
    ///
    /// ```
    /// use multiproc::Process;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let child = Process::try_spawn(|| Ok("17".parse::<u32>()? + "x".parse::<u32>()?))?;
    /// let error = child.join().unwrap_err();
    /// assert!(std::error::Error::source(&error).unwrap().to_string().contains("invalid digit"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub fn try_spawn<F: FnOnce() -> std::result::Result<T, BoxError>>(f: F) -> Result<Self> {
        Builder::new().try_spawn(f)
    }

    /// Runs a plain function in a child of the [fork server](crate::init), if there is one, and otherwise in a fork of this process.
    ///
    /// The function, or closure that captures nothing, is sent as its place in the program, the argument as bytes.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn); when the argument can't be sent.
    pub fn spawn_fn<A: Datum>(f: fn(A) -> T, argument: A) -> Result<Self> {
        Builder::new().spawn_fn(f, argument)
    }

    /// The value that the child returned. Waits for its end without limit.
    ///
    /// A proxy in the value is good for 60 s after the child's end.
    ///
    /// # Errors
    /// How it ended instead.
    pub fn join(self) -> Result<T, ProcessError> {
        match self.handle.ended(None)? {
            Some(status) => self.value(status),
            None => Err(self.lost()),
        }
    }

    /// As [`join`](Self::join), for `timeout` at the most; `None` when the time ran out.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_timeout(&self, timeout: Duration) -> Result<Option<T>, ProcessError> {
        self.handle.ended(Some(timeout))?.map(|status| self.value(status)).transpose()
    }

    /// Lets go of a child that has ended. Dropping it does the same, for others too.
    ///
    /// # Errors
    /// [`Error::State`] when it still runs.
    pub fn close(self) -> Result<()> {
        if self.is_alive() {
            let what = format!("{} still runs; join it or kill it before it is closed", self.handle);
            return Err(Error::State { what });
        }
        Ok(())
    }

    /// A handle without the type.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    fn new(child: Arc<Offspring>) -> Self {
        Self { handle: Handle::new(child), returns: PhantomData }
    }

    fn value(&self, status: ExitStatus) -> Result<T, ProcessError> {
        let process = || self.handle.to_string();
        match (self.handle.child().report(), status) {
            (Some(Report::Value(bytes)), _) => {
                Ok(codec::decode(Codec::Bincode, &bytes).map_err(Error::unserializable::<T>)?)
            }
            (Some(Report::Failed(error)), _) => Err(ProcessError::Failed { process: process(), error }),
            (Some(Report::Panicked(panic)), _) => Err(ProcessError::Panicked { process: process(), panic }),
            (Some(Report::Unserializable(error)), _) => Err(error.into()),
            (None, ExitStatus::Killed(signal)) => Err(ProcessError::Killed { process: process(), signal }),
            (None, ExitStatus::Exited(code)) => Err(ProcessError::Exited { process: process(), code }),
            (None, ExitStatus::Unknown) => Err(self.lost()),
        }
    }

    fn lost(&self) -> ProcessError {
        ProcessError::Lost { process: self.handle.to_string() }
    }
}

impl<T> Deref for Process<T> {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl<T> Waitable for Process<T> {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.sentinel())
    }
}

impl<T> fmt::Debug for Process<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name()).field("id", &self.id()).finish_non_exhaustive()
    }
}

/// Forks a child that runs `body`, and keeps the private descriptors of these numbers.
pub(crate) fn launch(
    name: Option<String>,
    daemon: Option<bool>,
    keep: &[RawFd],
    body: impl FnOnce() -> Report,
) -> Result<Arc<Offspring>> {
    children::prepare()?;
    children::reap();
    warn_of_threads();
    let (near, far) = PrivateFd::packet_pair().map_err(|error| Error::io("making a child's socket", error))?;
    let birth = identity::next_child(name, daemon);
    let (name, daemon) = (birth.name.clone(), birth.daemon);
    let keep: Vec<_> = keep.iter().copied().chain([far.number()]).collect();
    // The child takes its end; the parent uses its copy until it has tied the child to it.
    let far = RefCell::new(Some(far));
    let tie = |pid| match &*far.borrow() {
        Some(far) if daemon => lifeline::tie(pid, far.as_fd()),
        _ => Ok(()),
    };
    let forked = bequeath(&keep, || {
        fork::spawn_bound(tie, || match far.take().and_then(PrivateFd::release) {
            Some(far) => {
                let daemon = birth.daemon;
                identity::assume(birth, None);
                live(daemon, far.as_fd(), body)
            }
            None => 1,
        })
    });
    drop(far);
    let child = forked.map_err(|error| Error::io(format!("forking {name}"), error))?;
    let child = Arc::new(Offspring::new(name, daemon, Body::Own(child), near));
    children::add(Arc::clone(&child));
    Ok(child)
}

/// Has the fork server fork a child that runs `f`, which gets these descriptors.
pub(crate) fn launch_served<A: Datum>(
    name: Option<String>,
    daemon: Option<bool>,
    f: fn(A, Vec<OwnedFd>) -> Report,
    argument: &A,
    fds: &[BorrowedFd<'_>],
) -> Result<Arc<Offspring>> {
    children::prepare()?;
    children::reap();
    fork_server::request_with_fds(identity::next_child(name, daemon), f, argument, fds)
}

/// A child's life, once it knows who it is; returns its exit code.
fn live(daemon: bool, socket: BorrowedFd<'_>, body: impl FnOnce() -> Report) -> i32 {
    if daemon && !matches!(lifeline::is_cut(socket), Ok(false)) {
        return 1;
    }
    let report = run(body);
    children::finish();
    if daemon {
        let _ = lifeline::untie(socket);
    }
    // A parent that is gone is told nothing.
    let _ = Message::Report(report.clone()).send(socket, &[]);
    report.code()
}

/// Runs a child's body; a panic is printed, as any thread's would be, and reported.
fn run(body: impl FnOnce() -> Report) -> Report {
    contain(body).unwrap_or_else(|panic| {
        panic.print();
        Report::Panicked(panic.into())
    })
}

/// Tells once, before a process with several threads is forked, what that may lead to.
fn warn_of_threads() {
    static WARNED: AtomicU64 = AtomicU64::new(0);
    if WARNED.load(Ordering::Relaxed) == generation() {
        return;
    }
    let threads = fork::thread_count().saturating_sub(thread::own_count());
    if threads > 1 && WARNED.swap(generation(), Ordering::Relaxed) != generation() {
        tracing::warn!(
            threads,
            "a process with {threads} threads is forked: what other threads hold locked stays locked in the child. Fork before there \
             are threads, or call multiproc::init() first thing in main and use Process::spawn_fn, whose children come from a process \
             with one thread"
        );
    }
}
