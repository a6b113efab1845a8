//! Tcp: for other machines.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, SockFlag, SockType, SockaddrStorage, getpeername, getsockname, getsockopt, socket, sockopt,
};

use super::TransportError;
use crate::address::Address;
use crate::sys::poll::{self, Interest};

/// Binds the first of the host's addresses that can be; returns it with its real port.
pub(super) fn bind(address: &Address, host: (&String, u16)) -> Result<(TcpListener, Address), TransportError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => TransportError::InUse { address: address.clone() },
        _ => TransportError::io(format!("binding {address}"), error),
    };
    let places = resolve(address, host)?;
    // std sets SO_REUSEADDR, so that a server can be started again while connections of the last linger.
    let listener = TcpListener::bind(&places[..]).map_err(failed)?;
    let real = listener.local_addr().map_err(failed)?;
    Ok((listener, real.into()))
}

/// Connects to the first of the host's addresses that answers; each gets an equal share of the time that is left.
pub(super) fn connect(address: &Address, host: (&String, u16), deadline: Instant) -> Result<OwnedFd, TransportError> {
    let start = Instant::now();
    let places = resolve(address, host)?;
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for (tried, place) in places.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let shares = u32::try_from(places.len() - tried).unwrap_or(u32::MAX);
        match connect_one(*place, left / shares) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(match (failure.kind(), failure.raw_os_error()) {
        (io::ErrorKind::ConnectionRefused, _) => TransportError::NobodyListens { address: address.clone() },
        (io::ErrorKind::TimedOut, _) => TransportError::TimedOut { address: address.clone(), after: start.elapsed() },
        (_, Some(libc::EMFILE | libc::ENFILE)) => TransportError::OutOfFds(failure),
        _ => TransportError::io(format!("connecting to {address}"), failure),
    })
}

fn resolve(address: &Address, (host, port): (&String, u16)) -> Result<Vec<SocketAddr>, TransportError> {
    let failed = |error| TransportError::io(format!("looking up the host of {address}"), error);
    let places: Vec<_> = (host.as_str(), port).to_socket_addrs().map_err(failed)?.collect();
    if places.is_empty() { Err(failed(io::ErrorKind::NotFound.into())) } else { Ok(places) }
}

fn connect_one(place: SocketAddr, limit: Duration) -> io::Result<OwnedFd> {
    let family = if place.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, None)?;
    match socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(place)) {
        Ok(()) => {}
        // An interrupted connect goes on by itself, as one in progress does.
        Err(Errno::EINPROGRESS | Errno::EINTR) => {
            if !poll::wait_one(&socket, Interest::Write, Some(limit))?.any() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match getsockopt(&socket, sockopt::SocketError)? {
                0 => {}
                error => return Err(io::Error::from_raw_os_error(error)),
            }
        }
        Err(error) => return Err(error.into()),
    }
    // A try of a free port among those that the system hands out can meet itself.
    let near: SockaddrStorage = getsockname(socket.as_raw_fd())?;
    let far: SockaddrStorage = getpeername(socket.as_raw_fd())?;
    if near == far { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(socket) }
}
