//! What the control thread watches: one epoll instance, and what each descriptor in it is for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::sys::signalfd::SignalFd;
use nix::sys::timerfd::TimerFd;
use rustc_hash::FxHashMap;

use super::arrival::Arrival;
use super::record::Record;
use crate::error::{Error, Result};
use crate::sys::pidfd::PidFd;
use crate::sys::sync::Mutex;

/// Something that the control thread watches.
pub(super) enum Watched {
    /// The listening socket; its owner is the core.
    Listener,
    /// Written when the control thread is to look around.
    Wake(Arc<EventFd>),
    /// SIGTERM.
    Signals(SignalFd),
    /// Goes off while the leader is awake, to see whether it is stuck in a call.
    Tick(Arc<TimerFd>),
    /// The starter's process.
    Starter(PidFd),
    /// The starter's orders.
    Orders(OwnedFd),
    /// A client's process.
    Process(PidFd, Weak<Record>),
    /// The far end is in a forked child, and ends with it.
    Lifeline(OwnedFd, Weak<Record>),
    /// A connection that has not proved itself yet.
    Arrival(Box<Arrival>),
}

impl Watched {
    fn fd<'a>(&'a self, listener: BorrowedFd<'a>) -> BorrowedFd<'a> {
        match self {
            Self::Listener => listener,
            Self::Wake(fd) => fd.as_fd(),
            Self::Signals(fd) => fd.as_fd(),
            Self::Tick(fd) => fd.as_fd(),
            Self::Starter(process) | Self::Process(process, _) => process.as_fd(),
            Self::Orders(fd) | Self::Lifeline(fd, _) => fd.as_fd(),
            Self::Arrival(arrival) => arrival.fd(),
        }
    }
}

/// The watched descriptors.
pub(super) struct Watches {
    epoll: Epoll,
    watched: Mutex<Known>,
}

/// By keys that are never used again: an event that was fetched before its descriptor was let go must find nothing, not another's.
#[derive(Default)]
struct Known {
    watched: FxHashMap<u64, Arc<Watched>>,
    next: u64,
}

impl Watches {
    pub(super) fn new() -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|error| Error::io("making an epoll instance", error.into()))?;
        Ok(Self { epoll, watched: Mutex::new(Known::default()) })
    }

    /// Watches; the key names it from now on.
    pub(super) fn add(&self, watched: Watched, listener: BorrowedFd<'_>) -> Result<u64> {
        let watched = Arc::new(watched);
        let key = {
            let mut known = self.watched.lock();
            known.next += 1;
            let key = known.next;
            known.watched.insert(key, Arc::clone(&watched));
            key
        };
        let event = EpollEvent::new(EpollFlags::EPOLLIN, key);
        if let Err(error) = self.epoll.add(watched.fd(listener), event) {
            self.watched.lock().watched.remove(&key);
            return Err(Error::io("watching a descriptor", error.into()));
        }
        Ok(key)
    }

    /// What the key names.
    pub(super) fn get(&self, key: u64) -> Option<Arc<Watched>> {
        self.watched.lock().watched.get(&key).cloned()
    }

    /// Stops watching.
    pub(super) fn remove(&self, key: u64, listener: BorrowedFd<'_>) -> Option<Arc<Watched>> {
        let watched = self.watched.lock().watched.remove(&key)?;
        // Not left to the close: a forked child may hold a copy of the descriptor, which keeps it in the set.
        let _ = self.epoll.delete(watched.fd(listener));
        Some(watched)
    }

    /// Waits for events; their keys.
    pub(super) fn wait(&self, events: &mut [EpollEvent], timeout: EpollTimeout) -> usize {
        // The only error that can come is EINTR, after which the caller looks around and waits again.
        self.epoll.wait(events, timeout).unwrap_or(0)
    }

    /// Lets go of everything.
    pub(super) fn clear(&self) {
        let watched = std::mem::take(&mut self.watched.lock().watched);
        drop(watched);
    }
}
