//! Waiting for file descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

/// What to wait for. The other side's end and errors are always told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, or the other side's end.
    Read,
    /// Room to write.
    Write,
    /// Either.
    ReadWrite,
    /// Only the other side's end.
    HangUp,
}

impl Interest {
    fn flags(self) -> PollFlags {
        match self {
            Self::Read => PollFlags::POLLIN,
            Self::Write => PollFlags::POLLOUT,
            Self::ReadWrite => PollFlags::POLLIN | PollFlags::POLLOUT,
            Self::HangUp => PollFlags::empty(),
        }
    }
}

/// What a file descriptor is ready for; nothing, if the time ran out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready {
    /// A read will not wait.
    pub readable: bool,
    /// A write will not wait.
    pub writable: bool,
    /// The other side is gone, or the descriptor has failed. There may still be something to read.
    pub hung_up: bool,
}

impl Ready {
    /// Whether it is ready for anything at all.
    pub fn any(self) -> bool {
        self.readable || self.writable || self.hung_up
    }

    fn from_flags(flags: PollFlags) -> Self {
        let end = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        Self {
            readable: flags.contains(PollFlags::POLLIN),
            writable: flags.contains(PollFlags::POLLOUT),
            hung_up: flags.intersects(end),
        }
    }
}

/// Waits until one of `fds` is ready or `timeout` has passed (`None`: without limit), and says what each is ready for.
///
/// A signal does not end the wait: it goes on with the time that is left.
///
/// # Errors
/// When the system refuses, as it does without memory.
pub fn wait(fds: &[(BorrowedFd<'_>, Interest)], timeout: Option<Duration>) -> io::Result<Vec<Ready>> {
    let mut polled: Vec<_> = fds.iter().map(|(fd, interest)| PollFd::new(*fd, interest.flags())).collect();
    wait_polled(&mut polled, timeout)?;
    Ok(polled.iter().map(readiness).collect())
}

/// As [`wait`], for a number of descriptors that is known: without taking memory.
///
/// # Errors
/// As [`wait`].
pub fn wait_each<const N: usize>(
    fds: [(BorrowedFd<'_>, Interest); N],
    timeout: Option<Duration>,
) -> io::Result<[Ready; N]> {
    let mut polled = fds.map(|(fd, interest)| PollFd::new(fd, interest.flags()));
    wait_polled(&mut polled, timeout)?;
    Ok(polled.each_ref().map(readiness))
}

/// As [`wait`], for one descriptor.
///
/// # Errors
/// As [`wait`].
pub fn wait_one(fd: impl AsFd, interest: Interest, timeout: Option<Duration>) -> io::Result<Ready> {
    let mut polled = [PollFd::new(fd.as_fd(), interest.flags())];
    wait_polled(&mut polled, timeout)?;
    Ok(readiness(&polled[0]))
}

fn wait_polled(polled: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    // A time too far away to be told is no limit.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map(|deadline| TimeSpec::from_duration(deadline.saturating_duration_since(Instant::now())));
        match ppoll(polled, left, None) {
            Ok(_) => return Ok(()),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn readiness(polled: &PollFd<'_>) -> Ready {
    polled.revents().map_or_else(Ready::default, Ready::from_flags)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    const NOW: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn readiness_is_told_for_each_descriptor() {
        let (near, mut far) = UnixStream::pair().unwrap();
        assert_eq!(wait_one(&near, Interest::Read, NOW).unwrap(), Ready::default());
        assert!(wait_one(&near, Interest::Write, NOW).unwrap().writable);
        far.write_all(b"x").unwrap();
        let both = [(far.as_fd(), Interest::Read), (near.as_fd(), Interest::Read)];
        let ready = wait(&both, None).unwrap();
        assert_eq!((ready[0].any(), ready[1].readable), (false, true));
        assert_eq!(wait_each(both, None).unwrap()[..], ready);
        drop(far);
        assert!(wait_one(&near, Interest::HangUp, None).unwrap().hung_up);
    }

    #[test]
    fn a_time_beyond_the_clock_is_no_limit() {
        let (near, far) = UnixStream::pair().unwrap();
        drop(far);
        assert!(wait_one(&near, Interest::Read, Some(Duration::MAX)).unwrap().any());
    }
}
