//! Processes by file descriptor: pollable, and never confused with a later process of the same pid.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::socket::{getsockopt, sockopt};

use super::fork::PrivateFd;
use super::poll::{self, Interest};

/// A process, held by a pidfd. The fd is readable once the process has ended (its last thread, not its first).
#[derive(Debug)]
pub struct PidFd<F = OwnedFd> {
    fd: F,
    pid: u32,
}

impl PidFd {
    /// The process that has this pid now.
    ///
    /// # Errors
    /// `ESRCH` when there is none, `EMFILE` when this process has no fd left.
    pub fn open(pid: u32) -> io::Result<Self> {
        // SAFETY: the call takes two integers and touches no memory of this process.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
        match RawFd::try_from(fd) {
            // SAFETY: the kernel has just made this fd for us, close-on-exec, and nobody else knows it.
            Ok(fd) if fd >= 0 => Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, pid }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The process at the other end of a unix socket: the one that connected, listened, or made the socket pair.
    ///
    /// `None` for sockets of other families, for a process that has ended already, and for one that has no pid here
    /// (another pid namespace). The end of the connection is then all that tells of its death. Of a *pair*, both ends
    /// name the process that made it.
    pub fn of_peer(socket: BorrowedFd<'_>) -> Option<Self> {
        let pid =
            u32::try_from(getsockopt(&socket, sockopt::PeerCredentials).ok()?.pid()).ok().filter(|pid| *pid != 0)?;
        match getsockopt(&socket, sockopt::PeerPidfd) {
            Ok(fd) => Some(Self { fd, pid }),
            // Kernels before 6.5. The pid may be used again by now, if the peer has ended; then its connection's end
            // tells of it, as it does for all other answers.
            Err(nix::Error::ENOPROTOOPT) => Self::open(pid).ok(),
            Err(_) => None,
        }
    }

    /// Takes over the pidfd of the process that had this pid.
    pub fn received(fd: OwnedFd, pid: u32) -> Self {
        Self { fd, pid }
    }

    /// The same, which forked children of this process find closed.
    pub fn into_private(self) -> PidFd<PrivateFd> {
        PidFd { fd: PrivateFd::new(self.fd), pid: self.pid }
    }
}

impl<F: AsFd> PidFd<F> {
    /// The process id. Once the process is reaped the number may name another.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal to exactly this process.
    ///
    /// # Errors
    /// `ESRCH` when it has ended and was reaped, `EPERM` when it is not ours to signal.
    pub fn send_signal(&self, signal: Signal) -> io::Result<()> {
        let info = std::ptr::null::<libc::siginfo_t>();
        let fd = self.fd.as_fd().as_raw_fd();
        // SAFETY: the fd is open, and a null siginfo is what the call defines as "as kill(2) does".
        match unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal as libc::c_int, info, 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Whether the process has ended; a zombie has.
    pub fn has_ended(&self) -> bool {
        poll::wait_one(&self.fd, Interest::Read, Some(Duration::ZERO)).is_ok_and(|ready| ready.any())
    }
}

impl<F: AsFd> AsFd for PidFd<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::sys::fork::spawn;

    #[test]
    fn a_process_is_found_by_its_pid_and_by_its_socket() {
        let me = PidFd::open(std::process::id()).unwrap();
        assert!(!me.has_ended());
        let (near, _far) = UnixStream::pair().unwrap();
        let maker = PidFd::of_peer(near.as_fd()).unwrap();
        assert_eq!(maker.pid(), me.pid());
        assert!(!maker.has_ended());
        let tcp = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        assert!(PidFd::of_peer(tcp.as_fd()).is_none());
    }

    #[test]
    fn the_end_is_seen_before_and_after_the_reaping() {
        let child = spawn(|| 0).unwrap();
        let pidfd = PidFd::open(child.pid()).unwrap();
        poll::wait_one(&pidfd, Interest::Read, None).unwrap();
        assert!(pidfd.has_ended());
        child.wait(None).unwrap();
        assert!(pidfd.has_ended());
        assert_eq!(pidfd.send_signal(Signal::SIGTERM).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
