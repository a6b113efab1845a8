//! Where connections come in.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;

use nix::sys::socket::{Backlog, listen};

use super::unix::SocketFile;
use super::{Connection, TransportError, tcp, unix};
use crate::address::Address;

/// A bound address.
///
/// Dropping it removes the socket file that it made, if this is the process that made it and the file is still the
/// same.
#[derive(Debug)]
pub struct Listener {
    // Declared, and so dropped, before the socket: while the file exists somebody listens, or else another server
    // could take the address over and lose its own file to this removal.
    _file: Option<SocketFile>,
    socket: Accepting,
    address: Address,
}

#[derive(Debug)]
enum Accepting {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Binds `address` and listens. The socket file of a server that has died is replaced; that of a living one, and
    /// any other file, never. Who may connect to a unix socket is decided by the directory it is in, which is the
    /// caller's.
    ///
    /// # Errors
    /// [`TransportError::InUse`], [`TransportError::NotASocket`], or what the system says.
    pub fn bind(address: &Address) -> Result<Self, TransportError> {
        address.check()?;
        let (socket, file, real) = match address {
            Address::Unix(path) => {
                let (socket, file) = unix::bind(address, path)?;
                (Accepting::Unix(socket), Some(file), address.clone())
            }
            Address::Abstract(name) => (Accepting::Unix(unix::bind_abstract(address, name)?), None, address.clone()),
            Address::Tcp { host, port } => {
                let (socket, real) = tcp::bind(address, (host, *port))?;
                (Accepting::Tcp(socket), None, real)
            }
        };
        let listener = Self { _file: file, socket, address: real };
        listener.prepare().map_err(|error| TransportError::io(format!("listening at {address}"), error))?;
        Ok(listener)
    }

    fn prepare(&self) -> io::Result<()> {
        match &self.socket {
            Accepting::Unix(socket) => socket.set_nonblocking(true)?,
            Accepting::Tcp(socket) => socket.set_nonblocking(true)?,
        }
        // std asks for a short queue; a crowd of clients that start together shall not be turned away.
        Ok(listen(&self.fd(), Backlog::MAXCONN)?)
    }

    /// The next connection; `None` when nobody waits. Does not wait itself.
    ///
    /// # Errors
    /// [`TransportError::OutOfFds`]: the one who waits still waits, so that a poll will say "readable" at once again;
    /// do something else for a while.
    pub fn accept(&self) -> Result<Option<Connection>, TransportError> {
        loop {
            let accepted = match &self.socket {
                Accepting::Unix(socket) => socket.accept().map(|(socket, _)| OwnedFd::from(socket)),
                Accepting::Tcp(socket) => socket.accept().map(|(socket, _)| OwnedFd::from(socket)),
            };
            match accepted {
                // One that has ended meanwhile can't be looked at any more, and is no connection.
                Ok(socket) => match Connection::new(socket) {
                    Ok(connection) => return Ok(Some(connection)),
                    Err(error) => tracing::debug!(%error, "a connection ended before it was accepted"),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                        return Err(TransportError::OutOfFds(error));
                    }
                    // Errors of the one connection (accept(2) lists them), not of this socket.
                    Some(
                        libc::ECONNABORTED
                        | libc::EPROTO
                        | libc::EPERM
                        | libc::ENETDOWN
                        | libc::ENOPROTOOPT
                        | libc::EHOSTDOWN
                        | libc::ENONET
                        | libc::EHOSTUNREACH
                        | libc::ENETUNREACH,
                    ) => {}
                    _ => return Err(TransportError::io(format!("accepting at {}", self.address), error)),
                },
            }
        }
    }

    /// Where it really listens: the port that the system chose for port 0, the number of a host's name.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What to poll: readable means that somebody waits.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Accepting::Unix(socket) => socket.as_fd(),
            Accepting::Tcp(socket) => socket.as_fd(),
        }
    }
}
