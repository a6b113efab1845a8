//! The children of this process: who lives, who must be reaped, and what becomes of them at the end.
//!
//! A child that has ended is reaped by whoever looks first: one who waits for it, the next spawn, [`active_children`], or, when its
//! last handle is dropped while it runs, the *reaper*: a thread that is there only while such children are. So nobody needs to
//! join for there to be no zombies.
//!
//! At the end of the program, and of each child, daemonic children are terminated (and killed, if that does not help within 1 s), then the
//! others are waited for.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::Signal;

use super::handle::{Handle, Offspring};
use crate::error::{Error, Result};
use crate::sys::fork::{ForkMutex, Hooks, PrivateFd, at_fork, generation};
use crate::sys::poll::{self, Interest};
use crate::sys::{process, thread};

/// How long a daemonic child may take to heed SIGTERM at its parent's end.
const PATIENCE: Duration = Duration::from_secs(1);

/// The children that have not been reaped.
static LIVING: ForkMutex<Vec<Arc<Offspring>>> = ForkMutex::new(Vec::new());

/// Those that nobody has a handle of any more, and the thread that waits for them.
static REAPER: ForkMutex<Reaper> = ForkMutex::new(Reaper { abandoned: Vec::new(), wake: None });

struct Reaper {
    abandoned: Vec<Arc<Offspring>>,
    /// Wakes the thread; `None` when there is none.
    wake: Option<Arc<PrivateFd>>,
}

/// The generation that is at its end, and the one that has its exit handler.
static ENDING: AtomicU64 = AtomicU64::new(0);
static PREPARED: AtomicU64 = AtomicU64::new(0);

/// Made ready before the first child: what forks and exits do.
pub(super) fn prepare() -> Result<()> {
    if ENDING.load(Ordering::Relaxed) == generation() {
        return Err(Error::State { what: "this process is at its end and starts no others".to_owned() });
    }
    // The exit handler is inherited by forked children: one is enough for the whole line.
    if PREPARED.swap(1, Ordering::Relaxed) == 0 {
        at_fork(Hooks { prepare: nothing, parent: nothing, child: forget_all });
        process::at_exit(finish_at_exit);
    }
    Ok(())
}

fn nothing() {}

/// A forked child has none of its parent's children.
fn forget_all() {
    let living = std::mem::take(&mut *LIVING.lock());
    let reaper = std::mem::replace(&mut *REAPER.lock(), Reaper { abandoned: Vec::new(), wake: None });
    drop((living, reaper.abandoned, reaper.wake));
}

/// Takes in a child that was born.
pub(super) fn add(child: Arc<Offspring>) {
    LIVING.lock().push(child);
}

/// Drops one that was reaped.
pub(super) fn forget(child: &Arc<Offspring>) {
    LIVING.lock().retain(|living| !Arc::ptr_eq(living, child));
}

fn living() -> Vec<Arc<Offspring>> {
    LIVING.lock().clone()
}

/// Reaps those that have ended. Does not wait.
pub(super) fn reap() {
    let living = living();
    if living.is_empty() {
        return;
    }
    let fds: Vec<_> = living.iter().map(|child| (child.watched(), Interest::Read)).collect();
    let Ok(ready) = poll::wait(&fds, Some(Duration::ZERO)) else { return };
    for (child, _) in living.iter().zip(ready).filter(|(_, ready)| ready.any()) {
        if !matches!(child.wait(Some(Duration::ZERO)), Ok(None)) {
            forget(child);
        }
    }
}

/// The last handle of a child is gone.
pub(super) fn abandon(child: &Arc<Offspring>) {
    let listed = LIVING.lock().iter().any(|living| Arc::ptr_eq(living, child));
    if !listed {
        return;
    }
    if !matches!(child.wait(Some(Duration::ZERO)), Ok(None)) {
        forget(child);
        return;
    }
    let mut reaper = REAPER.lock();
    reaper.abandoned.push(Arc::clone(child));
    match &reaper.wake {
        Some(wake) => {
            let _ = nix::unistd::write(&**wake, &1_u64.to_ne_bytes());
        }
        None => {
            // Without a thread the next spawn, or the end, will reap it.
            let Ok(event) = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK) else { return };
            reaper.wake = Some(Arc::new(PrivateFd::new(event.into())));
            drop(reaper);
            if thread::spawn("multiproc-reaper", reap_abandoned).is_err() {
                REAPER.lock().wake = None;
            }
        }
    }
}

/// The reaper's life: until all that are abandoned have ended.
fn reap_abandoned() {
    loop {
        let (abandoned, wake) = {
            let mut reaper = REAPER.lock();
            if reaper.abandoned.is_empty() {
                reaper.wake = None;
            }
            let Some(wake) = reaper.wake.clone() else { return };
            (reaper.abandoned.clone(), wake)
        };
        let mut fds: Vec<_> = abandoned.iter().map(|child| (child.watched(), Interest::Read)).collect();
        fds.push(((*wake).as_fd(), Interest::Read));
        // Without memory for a poll there is nothing to be done but to wait.
        if poll::wait(&fds, None).is_err() {
            std::thread::sleep(PATIENCE);
        }
        let _ = nix::unistd::read(&*wake, &mut [0; 8]);
        for child in &abandoned {
            if !matches!(child.wait(Some(Duration::ZERO)), Ok(None)) {
                forget(child);
                REAPER.lock().abandoned.retain(|abandoned| !Arc::ptr_eq(abandoned, child));
            }
        }
    }
}

/// The children of this process that still run. Reaps those that don't.
///
/// ```
/// use multiproc::Process;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (near, far) = multiproc::pipe()?;
/// let child = Process::spawn(move || far.recv::<()>().is_ok())?;
/// assert!(multiproc::active_children().iter().any(|active| active.id() == child.id()));
/// near.send(&())?;
/// child.join()?;
/// # Ok(())
/// # }
/// ```
pub fn active_children() -> Vec<Handle> {
    reap();
    living().into_iter().map(Handle::new).collect()
}

extern "C" fn finish_at_exit() {
    ENDING.store(generation(), Ordering::Relaxed);
    // A panic must not cross into libc.
    let _ = crate::sys::panic::contain(finish);
}

/// Ends the daemonic children and waits for the others: what a process does before it leaves.
pub(super) fn finish() {
    let (daemons, others): (Vec<_>, Vec<_>) = living().into_iter().partition(|child| child.is_daemon());
    for daemon in &daemons {
        let _ = daemon.signal(Signal::SIGTERM);
    }
    let deadline = Instant::now() + PATIENCE;
    for daemon in &daemons {
        let left = deadline.saturating_duration_since(Instant::now());
        if matches!(daemon.wait(Some(left)), Ok(None)) {
            let _ = daemon.signal(Signal::SIGKILL);
            let _ = daemon.wait(None);
        }
        forget(daemon);
    }
    for child in others {
        let _ = child.wait(None);
        forget(&child);
    }
}
