//! Unix sockets: in the file system, and by abstract names.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, socket};

use super::TransportError;
use crate::address::Address;
use crate::sys::fork::Stamp;

/// How long a server waits for another that is binding in the same directory. That takes microseconds, but a busy machine may stop it in between.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// The longest pause between two tries, of a lock or of a full queue.
const PAUSE: Duration = Duration::from_millis(10);

/// A socket file that this process made.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    stamp: Stamp,
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)?, stamp: Stamp::now() })
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.stamp.is_current() && identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds a path, in place of a dead server's socket file if one is there.
pub(super) fn bind(address: &Address, path: &Path) -> Result<(UnixListener, SocketFile), TransportError> {
    let failed = |error| TransportError::io(format!("binding {address}"), error);
    // Two servers that find the same dead file must not both replace it: the second would remove the first's.
    let _alone = lock_directory(path).map_err(failed)?;
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_dead(address, path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    };
    let listener = listener.map_err(failed)?;
    let file = SocketFile::new(path).map_err(failed)?;
    Ok((listener, file))
}

/// Keeps other servers of this kind from binding in the directory; `None` where it may not even be read.
fn lock_directory(path: &Path) -> io::Result<Option<Flock<File>>> {
    let Some(Ok(mut directory)) = path.parent().map(File::open) else { return Ok(None) };
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) if Instant::now() >= deadline => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "another process keeps its directory locked"));
            }
            Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) => {
                std::thread::sleep(PAUSE);
                directory = back;
            }
            Err((_, error)) => return Err(error.into()),
        }
    }
}

/// Removes the socket file of a server that is no more.
fn remove_dead(address: &Address, path: &Path) -> Result<(), TransportError> {
    let failed = |error| TransportError::io(format!("looking whether anybody listens at {address}"), error);
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(TransportError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    match try_connect(address).map_err(failed)? {
        Err(Errno::ECONNREFUSED) => fs::remove_file(path).map_err(failed),
        Err(Errno::ENOENT) => Ok(()),
        // It answers, its queue is full, it is of another kind or another user: in any case somebody's.
        _ => Err(TransportError::InUse { address: address.clone() }),
    }
}

/// Removes what a server has left that could not do so itself: the socket file, if nobody listens there.
pub fn remove_left(address: &Address) {
    if let Address::Unix(path) = address
        && let Ok(_alone) = lock_directory(path)
    {
        let _ = remove_dead(address, path);
    }
}

/// Binds an abstract name.
pub(super) fn bind_abstract(address: &Address, name: &[u8]) -> Result<UnixListener, TransportError> {
    SocketAddr::from_abstract_name(name).and_then(|name| UnixListener::bind_addr(&name)).map_err(|error| {
        match error.kind() {
            io::ErrorKind::AddrInUse => TransportError::InUse { address: address.clone() },
            _ => TransportError::io(format!("binding {address}"), error),
        }
    })
}

/// Connects; while the other side's queue is full, tries again until the deadline.
pub(super) fn connect(address: &Address, deadline: Instant) -> Result<OwnedFd, TransportError> {
    let start = Instant::now();
    let failed = |error: io::Error| match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => TransportError::OutOfFds(error),
        _ => TransportError::io(format!("connecting to {address}"), error),
    };
    let mut pause = Duration::from_millis(1);
    loop {
        match try_connect(address).map_err(failed)? {
            Ok(socket) => return Ok(socket),
            Err(Errno::ECONNREFUSED | Errno::ENOENT | Errno::ENOTDIR) => {
                return Err(TransportError::NobodyListens { address: address.clone() });
            }
            Err(Errno::EAGAIN) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(TransportError::TimedOut { address: address.clone(), after: start.elapsed() });
                }
                std::thread::sleep(pause.min(left));
                pause = PAUSE.min(pause * 2);
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// One try, without waiting: what the other side says, if this side has a socket to try with.
fn try_connect(address: &Address) -> io::Result<Result<OwnedFd, Errno>> {
    let name = match address {
        Address::Unix(path) => UnixAddr::new(path)?,
        Address::Abstract(name) => UnixAddr::new_abstract(name)?,
        Address::Tcp { .. } => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    Ok(socket::connect(socket.as_raw_fd(), &name).map(|()| socket))
}
