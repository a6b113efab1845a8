//! File descriptors that a fork does not hand on.
//!
//! Close-on-exec guards against programs, not against forks: every child holds a copy of all that its parent had open. For most
//! descriptors that costs a number; for one whose *end* means something (a lifeline, the channel of a worker) it costs the
//! meaning, since the end is seen only when the last copy is closed, and a copy in a sibling may live on for hours.
//!
//! So those are kept in a table, and the first thing that a forked child does is to close them, but for those that were made
//! for this very child ([`bequeath`]).
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::generation::Stamp;
use super::{ForkMutex, Hooks, at_fork};

/// The private descriptors of this process.
static OPEN: ForkMutex<BTreeSet<RawFd>> = ForkMutex::new(BTreeSet::new());

thread_local! {
    /// Those that the child of the fork at hand shall keep.
    static BEQUEATHED: RefCell<Vec<RawFd>> = const { RefCell::new(Vec::new()) };
}

/// A descriptor of this process alone: forked children find it closed, and dropping their copy of this does nothing.
#[derive(Debug)]
pub struct PrivateFd {
    fd: ManuallyDrop<OwnedFd>,
    stamp: Stamp,
}

impl PrivateFd {
    /// Takes a descriptor over. One that is made while another thread forks should be born private; see [`pair`](Self::pair).
    pub fn new(fd: OwnedFd) -> Self {
        at_fork(Hooks { prepare: nothing, parent: nothing, child: close_inherited });
        let mut open = OPEN.lock();
        open.insert(fd.as_raw_fd());
        Self { fd: ManuallyDrop::new(fd), stamp: Stamp::now() }
    }

    /// Two joined sockets that keep the bounds of what is sent; no fork comes between their birth and their being private.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn packet_pair() -> io::Result<(Self, Self)> {
        Self::pair(SockType::SeqPacket)
    }

    /// Two joined stream sockets, born private.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn stream_pair() -> io::Result<(Self, Self)> {
        Self::pair(SockType::Stream)
    }

    fn pair(kind: SockType) -> io::Result<(Self, Self)> {
        at_fork(Hooks { prepare: nothing, parent: nothing, child: close_inherited });
        // The lock holds forks off; the call does not wait.
        let mut open = OPEN.lock();
        let (near, far) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?;
        open.extend([near.as_raw_fd(), far.as_raw_fd()]);
        let private = |fd| Self { fd: ManuallyDrop::new(fd), stamp: Stamp::now() };
        Ok((private(near), private(far)))
    }

    /// The number under which it can be [bequeathed](bequeath).
    pub fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// The descriptor, from now on as inheritable as any; in a child to which it was bequeathed, the child's.
    ///
    /// `None` in a process in which it is closed.
    pub fn release(self) -> Option<OwnedFd> {
        let this = ManuallyDrop::new(self);
        let mut open = OPEN.lock();
        let number = this.fd.as_raw_fd();
        let own = if this.stamp.is_current() {
            open.remove(&number)
        } else {
            BEQUEATHED.with_borrow_mut(|kept| {
                let place = kept.iter().position(|kept| *kept == number);
                place.map(|place| kept.swap_remove(place)).is_some()
            })
        };
        // SAFETY: it was in a table of what is open here and nobody else's, and is out of it now; `this` is never dropped.
        own.then(|| unsafe { OwnedFd::from_raw_fd(number) })
    }
}

impl AsFd for PrivateFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for PrivateFd {
    fn drop(&mut self) {
        // Closed under the lock: a number in the table is always this descriptor's.
        let mut open = OPEN.lock();
        if self.stamp.is_current() && open.remove(&self.fd.as_raw_fd()) {
            // SAFETY: dropped once, here; `self` is not used again.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        }
    }
}

/// Runs `fork`, which forks on this thread; its child finds the descriptors of these [numbers](PrivateFd::number) open, to be
/// [released](PrivateFd::release).
pub fn bequeath<R>(numbers: &[RawFd], fork: impl FnOnce() -> R) -> R {
    BEQUEATHED.with_borrow_mut(|kept| kept.extend(numbers));
    let result = fork();
    BEQUEATHED.with_borrow_mut(Vec::clear);
    result
}

fn nothing() {}

fn close_inherited() {
    let open = std::mem::take(&mut *OPEN.lock());
    BEQUEATHED.with_borrow(|kept| {
        for number in open.iter().filter(|number| !kept.contains(number)) {
            // SAFETY: it was open and private at the fork, so this process's copy is used by nobody: those who would use or
            // close it look at their stamp first.
            unsafe { libc::close(*number) };
        }
    });
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{MsgFlags, recv, send};

    use super::*;
    use crate::sys::fork::{ExitStatus, spawn};
    use crate::sys::poll::{self, Interest};

    #[test]
    fn a_child_keeps_what_was_bequeathed_to_it_and_nothing_else() {
        let (near, far) = PrivateFd::packet_pair().unwrap();
        let (other, others) = PrivateFd::packet_pair().unwrap();
        let numbers = [near.number(), other.number(), others.number()];
        let kept = [far.number()];
        let child = bequeath(&kept, || {
            spawn(move || {
                // SAFETY: asks only.
                let is_open = |number: &RawFd| unsafe { libc::fcntl(*number, libc::F_GETFD) } >= 0;
                // The numbers may have been given out again, but not this early.
                if numbers.iter().any(is_open) || others.release().is_some() {
                    return 1;
                }
                let Some(far) = far.release() else { return 2 };
                send(far.as_raw_fd(), b"kept", MsgFlags::MSG_NOSIGNAL).map_or(3, |_| 0)
            })
        });
        let child = child.unwrap();
        assert_eq!(child.wait(None).unwrap(), Some(ExitStatus::Exited(0)));
        let mut said = [0; 8];
        assert_eq!(recv(near.number(), &mut said, MsgFlags::empty()), Ok(4));
        assert_eq!(recv(near.number(), &mut said, MsgFlags::empty()), Ok(0), "no copy of the far end is left");
    }

    #[test]
    fn the_end_is_seen_though_a_sibling_lives() {
        let (near, far) = PrivateFd::packet_pair().unwrap();
        let (wait, go) = std::io::pipe().unwrap();
        let sibling = spawn(move || {
            drop(go);
            let _ = poll::wait_one(&wait, Interest::Read, None);
            0
        });
        // `go` was dropped with the closure in this process, so the sibling ends by itself.
        drop(far);
        assert!(poll::wait_one(&near, Interest::Read, None).unwrap().any());
        assert_eq!(sibling.unwrap().wait(None).unwrap(), Some(ExitStatus::Exited(0)));
    }
}
