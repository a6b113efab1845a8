//! The server process that a manager started: how it begins, and how it ends, whatever happens.
//!
//! A socketpair joins starter and server: first the server's word that it accepts (or why not), then the starter's orders. The server ends with its starter's *process*, which
//! it watches by a pidfd; the socketpair's end alone would not do, since forked children of the starter hold copies of it.
//!
//! Invariant: only the process that started the server ends it; a forked child's copy does nothing.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::address::Address;
use crate::authkey::set_authkey;
use crate::codec::{self, Codec};
use crate::error::{Error, Result};
use crate::object::registry::Registry;
use crate::process;
use crate::server::{DETACH, SHUTDOWN, Server, Settings, Starter};
use crate::sys::fork::{self, Child, Stamp};
use crate::sys::pidfd::PidFd;
use crate::sys::process::{OF_TERMINALS, ignore};
use crate::transport;

/// The server's first word.
#[derive(Serialize, Deserialize)]
enum Word {
    Accepts { address: String },
    Failed(Error),
}

/// Runs in the child before it serves.
pub(super) type Initializer = Box<dyn FnOnce() -> Result<(), Box<dyn std::error::Error + Send + Sync>>>;

/// A server process.
pub(super) struct ServerProcess {
    child: Child,
    orders: UnixStream,
    address: Address,
    /// The directory of a private socket, removed with the process.
    directory: Option<TempDir>,
    stamp: Stamp,
    shutdown_timeout: Duration,
    over: bool,
}

/// Where a server is to be started.
pub(super) enum Place {
    /// At this address.
    At(Address),
    /// At a fresh socket in this private directory.
    Private(TempDir),
}

impl Place {
    /// A private directory, if no address is given.
    pub(super) fn new(address: Option<Address>) -> Result<Self> {
        match address {
            Some(address) => Ok(Self::At(address)),
            None => Ok(Self::Private(private_directory()?)),
        }
    }

    pub(super) fn address(&self) -> Address {
        match self {
            Self::At(address) => address.clone(),
            Self::Private(directory) => Address::Unix(directory.path().join("socket")),
        }
    }
}

/// The longest directory in which a socket's path is sure to be short enough: an address has room for 107 bytes.
const MAX_DIRECTORY: usize = 107 - "/multiproc-XXXXXX/socket".len();

/// A directory that only this user can enter: where `TMPDIR` says, or in `/tmp` where that would be too long for a socket's path.
fn private_directory() -> Result<TempDir> {
    let parent = std::env::temp_dir();
    let parent = if parent.as_os_str().len() <= MAX_DIRECTORY { parent } else { "/tmp".into() };
    // Without being told, tempfile leaves the mode to the umask, which lets others in.
    let private = Permissions::from_mode(0o700);
    let made = tempfile::Builder::new().prefix("multiproc-").permissions(private).tempdir_in(&parent);
    made.map_err(|error| Error::io(format!("making a private directory in {}", parent.display()), error))
}

impl ServerProcess {
    /// Forks a server; returns it, and where it accepts, once it does.
    pub(super) fn start(
        registry: Registry,
        place: Place,
        settings: Settings,
        initializer: Option<Initializer>,
        has_tasks: bool,
    ) -> Result<(Self, Address)> {
        let (orders, childs) = UnixStream::pair().map_err(|error| Error::io("making a socketpair", error))?;
        let myself =
            PidFd::open(std::process::id()).map_err(|error| Error::io("opening this process's pidfd", error))?;
        let threaded = fork::thread_count() > 1;
        let address = place.address();
        let own = address.clone();
        let private = match &place {
            Place::At(_) => None,
            Place::Private(directory) => Some(directory.path().to_owned()),
        };
        let shutdown_timeout = settings.shutdown_timeout;
        // All that the closure owns is the child's; here it is dropped, so that the child's death shows as the end of the stream.
        let child = fork::spawn(move || {
            let starter = Starter { process: myself, orders: childs.into(), threaded };
            let code = run(registry, &own, settings, initializer, has_tasks, starter);
            if let Some(private) = private {
                // The starter may have been killed, or have let go. Its own removal, if it comes, finds nothing left to do.
                let _ = std::fs::remove_dir(private);
            }
            code
        });
        let child = child.map_err(|error| Error::io("forking the server", error))?;
        let directory = match place {
            Place::At(_) => None,
            Place::Private(directory) => Some(directory),
        };
        let stamp = Stamp::now();
        let mut started = Self { child, orders, address, directory, stamp, shutdown_timeout, over: false };
        started.address = started.await_word()?;
        let address = started.address.clone();
        Ok((started, address))
    }

    /// The server's first word. Waits for as long as the initializer takes.
    fn await_word(&mut self) -> Result<Address> {
        let mut length = [0; 4];
        let read = self.orders.read_exact(&mut length).and_then(|()| {
            let mut word = vec![0; u32::from_le_bytes(length) as usize];
            self.orders.read_exact(&mut word).map(|()| word)
        });
        let Ok(word) = read else {
            let status = self.child.wait(None).ok().flatten();
            let status = status.map_or_else(String::new, |status| format!(": {status}"));
            return Err(Error::Start { reason: format!("its process ended before it served{status}") });
        };
        match codec::decode(Codec::Bincode, &word) {
            Ok(Word::Accepts { address }) => Ok(address.parse()?),
            Ok(Word::Failed(error)) => {
                let _ = self.child.wait(None);
                Err(error)
            }
            Err(error) => Err(Error::protocol(format!("the server's first word can't be read: {error}"))),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Whether this process may end the server.
    pub(super) fn is_own(&self) -> bool {
        self.stamp.is_current()
    }

    /// Waits for the server's end; false if it still runs after `timeout`.
    pub(super) fn join(&self, timeout: Option<Duration>) -> Result<bool> {
        let status = self.child.wait(timeout).map_err(|error| Error::io("waiting for the server", error))?;
        Ok(status.is_some())
    }

    /// Ends the server: asks, waits, terminates, waits, kills.
    pub(super) fn shutdown(&mut self) -> Result<()> {
        if self.over || !self.is_own() {
            return Ok(());
        }
        // A server that is gone, or too busy to be asked, is dealt with below.
        let _ = self.orders.write(&[SHUTDOWN]);
        // The server itself waits as long for methods that run: it needs a little more.
        let patience = self.shutdown_timeout + Duration::from_millis(250);
        let ended =
            self.join(Some(patience))? || (self.signal(Signal::SIGTERM) && self.join(Some(self.shutdown_timeout))?);
        if !ended {
            self.signal(Signal::SIGKILL);
            self.join(None)?;
            // It could not do so itself.
            transport::remove_left(&self.address);
        }
        self.over = true;
        self.directory.take();
        Ok(())
    }

    /// True, as what follows is to be done in any case.
    fn signal(&self, signal: Signal) -> bool {
        tracing::warn!(pid = self.pid(), %signal, "the server does not end; it is sent a signal");
        // A process that has ended meanwhile is what is wanted.
        let _ = self.child.signal(signal);
        true
    }

    /// Lets the server live on without this process.
    pub(super) fn detach(mut self) -> Result<()> {
        self.over = true;
        if let Some(directory) = self.directory.take() {
            // The server removes it at its end.
            let _ = directory.keep();
        }
        self.orders.write_all(&[DETACH]).map_err(|error| Error::io("detaching the server", error))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if !self.is_own() {
            // The directory belongs to the process that made it.
            if let Some(directory) = self.directory.take() {
                let _ = directory.keep();
            }
            return;
        }
        if let Err(error) = self.shutdown() {
            tracing::warn!(%error, "the server could not be shut down");
        }
    }
}

impl std::fmt::Debug for ServerProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerProcess").field("pid", &self.pid()).field("over", &self.over).finish_non_exhaustive()
    }
}

/// The child's life.
fn run(
    registry: Registry,
    address: &Address,
    settings: Settings,
    initializer: Option<Initializer>,
    has_tasks: bool,
    starter: Starter,
) -> i32 {
    let begun = begin(registry, address, settings, initializer, has_tasks);
    let word = match &begun {
        Ok(server) => Word::Accepts { address: server.address().to_string() },
        Err(error) => Word::Failed(error.clone()),
    };
    if say(&starter.orders, &word).is_err() {
        return 1;
    }
    match begun.and_then(|server| server.serve_for(starter)) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn begin(
    registry: Registry,
    address: &Address,
    settings: Settings,
    initializer: Option<Initializer>,
    has_tasks: bool,
) -> Result<Server> {
    // Ctrl-C at the terminal reaches the whole group; the starter decides what becomes of its server.
    ignore(&OF_TERMINALS);
    if let Some(initializer) = initializer {
        initializer().map_err(|error| Error::Start { reason: format!("the initializer failed: {error}") })?;
    }
    if has_tasks {
        // While there is one thread, and no socket that a worker would hold a copy of. Workers are clients of this server.
        set_authkey(settings.authkey.clone());
        process::renew_fork_server()?;
    }
    Server::bind(registry, address, settings)
}

fn say(orders: &OwnedFd, word: &Word) -> std::io::Result<()> {
    let mut payload = Vec::new();
    codec::encode(Codec::Bincode, word, &mut payload).map_err(std::io::Error::other)?;
    let mut frame = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    frame.extend(payload);
    let mut stream = UnixStream::from(orders.try_clone()?);
    stream.write_all(&frame)
}
