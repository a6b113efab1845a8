//! The kernel kills a process when the one that it belongs to is gone.
//!
//! A child that waits can watch its parent's end; one that is busy can't. A thread that watches for it would do, but would make
//! every child a process with two threads, which is what this crate warns of before a fork. `PR_SET_PDEATHSIG` fires when the
//! *thread* that forked ends. So the kernel is told to signal the end of a socket: `O_ASYNC` with `F_SETSIG`
//! and `SIGKILL`. It needs no thread and no handler, reaches stopped processes and blocked signals, and takes effect
//! within the system call that closes the last copy of the other end, be it an exit.
//!
//! The other end must be a [`PrivateFd`](super::fork::PrivateFd): a copy in a sibling would keep the child alive. (A process
//! made by `_Fork` or a bare `clone`, which run no hooks, does keep it alive, for as long as it lives itself; so does one that is
//! stopped by SIGSTOP in the microseconds after its fork, until it goes on.)
//!
//! On a *socket* what is sent and received signals nothing as long as it fits; on a pipe every read by the other side would.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::poll::{self, Interest};

/// Which signal an asynchronous descriptor sends, the same on all of Linux's machines; libc does not name it for each.
const F_SETSIG: libc::c_int = 10;

/// Has the process of this pid killed when the other end of `socket` is closed. An end before that kills nobody: see [`is_cut`].
///
/// Done by the parent before the child begins: a child that did it itself could be stopped before it came so far.
///
/// # Errors
/// When it is no socket.
pub fn tie(pid: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
    let raw = socket.as_raw_fd();
    // SAFETY: sets two numbers of an open socket of our own: whom to signal, and how. No handler runs on SIGKILL.
    let set = unsafe { libc::fcntl(raw, libc::F_SETOWN, pid.cast_signed()) } == 0
        // SAFETY: as above.
        && unsafe { libc::fcntl(raw, F_SETSIG, libc::SIGKILL) } == 0;
    if !set {
        return Err(io::Error::last_os_error());
    }
    set_async(socket, true)
}

/// Whether the other end is closed.
///
/// # Errors
/// When the system refuses to look.
pub fn is_cut(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(poll::wait_one(socket, Interest::HangUp, Some(Duration::ZERO))?.hung_up)
}

/// Takes [`tie`] back.
///
/// # Errors
/// None in practice.
pub fn untie(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_async(socket, false)
}

fn set_async(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_ASYNC, on);
    fcntl(socket, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::sys::socket::{MsgFlags, recv, send};

    use super::*;
    use crate::sys::fork::{Child, ExitStatus, PrivateFd, bequeath, spawn_bound};

    /// A child that is busy for ever, having said something, and the end that it hangs by.
    fn busy(before: impl FnOnce(BorrowedFd<'_>)) -> (Child, PrivateFd) {
        let (near, far) = PrivateFd::packet_pair().unwrap();
        let (kept, ours) = ([far.number()], far.as_fd().try_clone_to_owned().unwrap());
        let child = bequeath(&kept, || {
            spawn_bound(
                |pid| tie(pid, ours.as_fd()),
                move || {
                    let far = far.release().unwrap();
                    before(far.as_fd());
                    send(far.as_raw_fd(), &[7; 1000], MsgFlags::MSG_NOSIGNAL).unwrap();
                    loop {
                        std::hint::spin_loop();
                    }
                },
            )
        });
        (child.unwrap(), near)
    }

    #[test]
    fn a_busy_process_ends_with_the_other_end_and_not_with_what_is_said() {
        let (child, near) = busy(|far| assert!(!is_cut(far).unwrap()));
        assert_eq!(recv(near.number(), &mut [0; 1000], MsgFlags::empty()), Ok(1000));
        assert_eq!(child.wait(Some(Duration::from_millis(50))).unwrap(), None);
        drop(near);
        assert_eq!(child.wait(None).unwrap(), Some(ExitStatus::Killed(libc::SIGKILL)));
    }

    #[test]
    fn it_can_be_untied() {
        let (child, near) = busy(|far| untie(far).unwrap());
        assert_eq!(recv(near.number(), &mut [0; 1000], MsgFlags::empty()), Ok(1000));
        drop(near);
        assert_eq!(child.wait(Some(Duration::from_millis(50))).unwrap(), None);
        child.signal(nix::sys::signal::Signal::SIGKILL).unwrap();
        child.wait(None).unwrap();
    }

    #[test]
    fn an_end_before_is_told() {
        let (near, far) = PrivateFd::packet_pair().unwrap();
        assert!(!is_cut(far.as_fd()).unwrap());
        drop(near);
        assert!(is_cut(far.as_fd()).unwrap());
    }
}
