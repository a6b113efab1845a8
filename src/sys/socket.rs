//! Sockets: receiving into memory that is not filled with zeros first, and fds that come along.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};

/// The most fds that one receive takes; the kernel closes what a peer sends beyond.
pub const MAX_FDS: usize = 8;

/// Room for one control message with [`MAX_FDS`] fds; 16 bytes are its header on every Linux.
#[repr(C, align(8))]
struct Control([MaybeUninit<u8>; 16 + MAX_FDS * size_of::<RawFd>()]);

/// Receives at most `at_most` bytes, without waiting, and appends them to `buffer`, which grows as needed. 0 is the
/// end.
///
/// With `fds`, fds that came along are appended to it, close-on-exec; without, the kernel drops them.
///
/// # Errors
/// `WouldBlock` when nothing is there; else what the socket has met. Interruptions are not passed on.
pub fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    at_most: usize,
    fds: Option<&mut Vec<OwnedFd>>,
) -> io::Result<usize> {
    buffer.reserve(at_most);
    let room = buffer.spare_capacity_mut();
    let mut part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: at_most.min(room.len()) };
    let mut control = Control([MaybeUninit::uninit(); _]);
    // SAFETY: all zeros is a msghdr: no name, no parts, no control.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if fds.is_some() {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = size_of::<Control>() as _;
    }
    let received = loop {
        // SAFETY: the part is spare memory of `buffer` and the control memory our own; both outlive the call.
        let got =
            unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC) };
        match usize::try_from(got) {
            Ok(got) => break got,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    };
    // SAFETY: the kernel has written this many bytes after the present end, within the capacity.
    unsafe { buffer.set_len(buffer.len() + received) };
    if let Some(fds) = fds {
        take_fds(&message, fds);
    }
    Ok(received)
}

/// Sends one byte whose arrival is all that matters, without waiting. Where the socket is full, enough of them are on their way; where it has ended,
/// nobody is there to be told.
pub fn nudge(socket: BorrowedFd<'_>) {
    let byte = 0_u8;
    // SAFETY: reads one byte of ours.
    unsafe { libc::send(socket.as_raw_fd(), (&raw const byte).cast(), 1, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
}

/// Takes in what has come and forgets it, without waiting, nor without end where the other side never stops; false at the stream's end.
pub fn discard(socket: BorrowedFd<'_>) -> bool {
    let mut bytes = [MaybeUninit::<u8>::uninit(); 256];
    for _ in 0..16 {
        // SAFETY: the kernel writes into our own memory, which nobody reads.
        let got = unsafe { libc::recv(socket.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT) };
        match usize::try_from(got) {
            Ok(0) => return false,
            Ok(got) if got < bytes.len() => return true,
            Ok(_) => {}
            Err(_) => match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => {}
                kind => return kind == io::ErrorKind::WouldBlock,
            },
        }
    }
    true
}

/// Takes possession of the fds in a received message.
fn take_fds(message: &libc::msghdr, fds: &mut Vec<OwnedFd>) {
    // SAFETY: the kernel has filled the header and its control memory; both are alive.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !control.is_null() {
        // SAFETY: not null, so it points to a whole header in the control memory.
        let header = unsafe { ptr::read(control) };
        if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: computes with the size of a header only.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = (header.cmsg_len as usize).saturating_sub(head) / size_of::<RawFd>();
            // SAFETY: the data follows the header.
            let data = unsafe { libc::CMSG_DATA(control) }.cast::<RawFd>();
            for index in 0..count {
                // SAFETY: `count` fds fit into the message's length.
                let place = unsafe { data.add(index) };
                // SAFETY: the kernel has written an fd there, which need not be aligned.
                let fd = unsafe { ptr::read_unaligned(place) };
                // SAFETY: the kernel has just made this fd for us, and nobody else knows it.
                fds.push(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
        // SAFETY: the header and the present message are the kernel's.
        control = unsafe { libc::CMSG_NXTHDR(message, control) };
    }
}

/// Sends one packet, with fds beside it; waits only if the other side has left earlier ones unread.
///
/// # Errors
/// When the other side is gone, or what the system says. Interruptions are not passed on.
pub fn send_packet(socket: BorrowedFd<'_>, parts: &[&[u8]], fds: &[RawFd]) -> io::Result<()> {
    let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let rights = [ControlMessage::ScmRights(fds)];
    let control = if fds.is_empty() { &[][..] } else { &rights[..] };
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &slices, control, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(_) => return Ok(()),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Puts a dead end in the place of an open descriptor: its number stays taken, what it stood for is let go in this process.
///
/// # Errors
/// When there is no descriptor left.
pub fn bury(socket: BorrowedFd<'_>) -> io::Result<()> {
    let (dead, _) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
    loop {
        // SAFETY: both are open; the number that is given another meaning stays open and whoever owns it goes on owning it.
        if unsafe { libc::dup3(dead.as_raw_fd(), socket.as_raw_fd(), libc::O_CLOEXEC) } >= 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => {}
            error => return Err(error),
        }
    }
}

/// Two joined stream sockets, close-on-exec, which forked children inherit.
///
/// # Errors
/// When there is no descriptor left.
pub fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::sys::poll::{self, Interest};

    #[test]
    fn nudges_wake_and_are_forgotten_and_never_wait() {
        let (near, far) = UnixStream::pair().unwrap();
        assert!(discard(far.as_fd()));
        // Far more than the socket takes.
        (0..100_000).for_each(|_| nudge(near.as_fd()));
        let readable = || poll::wait_one(&far, Interest::Read, Some(std::time::Duration::ZERO)).unwrap().any();
        assert!(readable());
        while readable() {
            assert!(discard(far.as_fd()));
        }
        nudge(near.as_fd());
        drop(near);
        assert!(discard(far.as_fd()));
        assert!(!discard(far.as_fd()), "the end is behind the last nudge");
        nudge(far.as_fd());
    }
}
