//! The fork server: a process that never has more than one thread, forked early, which forks children for those that have.
//!
//! A child of a process with threads inherits whatever those held locked; a child of this one inherits nothing but what the program
//! was at [`init`]. For that it can't be given a closure, only a plain function and arguments: a place in the program's image
//! (`sys/image`) and bytes.
//!
//! # Who talks to whom
//! All processes that descend from the one that called `init` share one packet socket to the server; a request is one packet, with the far end of the child's own socket
//! beside it. On that the server answers `Born` (with the child's pidfd), and at the child's end `Ended`, since only it can wait for the child. The child's own word comes between
//! the two, on the same socket, and by it a daemonic child hangs, exactly as one that was forked directly.
//!
//! The server is killed with the process that called `init`, by a lifeline of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::handle::{Body, Offspring};
use super::identity::Birth;
use super::report::{Message, Report, receive_value, send};
use super::{children, identity, live};
use crate::authkey::{Authkey, authkey, set_authkey};
use crate::codec::{self, Codec};
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::sys::fork::{self, Child, ForkMutex, PrivateFd, bequeath};
use crate::sys::image::{self, Function, Location, NotFound};
use crate::sys::pidfd::PidFd;
use crate::sys::poll::{self, Interest};
use crate::sys::{lifeline, process};

/// The server that this process and its children use.
static SERVER: ForkMutex<Option<Arc<Server>>> = ForkMutex::new(None);

struct Server {
    requests: OwnedFd,
    /// What the server hangs by, and its process: the starter's alone.
    _lifeline: PrivateFd,
    _process: Child,
}

/// A child to be forked.
#[derive(Deserialize)]
struct Request {
    birth: Birth,
    run: Location,
    call: Call,
    #[serde(with = "serde_bytes")]
    authkey: Vec<u8>,
}

/// [`Request`], as it is sent.
#[derive(Serialize)]
struct Asked<'a> {
    birth: Birth,
    run: Location,
    call: &'a Call,
    #[serde(with = "serde_bytes")]
    authkey: &'a [u8],
}

/// A function and its argument.
#[derive(Serialize, Deserialize)]
struct Call {
    function: Location,
    #[serde(with = "serde_bytes")]
    argument: Vec<u8>,
    /// What came beside the request.
    #[serde(skip)]
    fds: Vec<OwnedFd>,
}

/// Starts the fork server, from which [`Process::spawn_fn`](crate::Process::spawn_fn) takes its children. To be called first thing in `main`, while the
/// program has one thread: what children inherit is the program as it is now. Further calls do nothing.
///
/// ```
/// use multiproc::Process;
///
/// fn length(text: String) -> usize { text.len() }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     multiproc::init()?;
///     // … threads, runtimes, whatever the program does …
///     let child = Process::spawn_fn(length, "four".to_owned())?;
///     assert_eq!(child.join()?, 4);
///     Ok(())
/// }
/// ```
///
/// # Errors
/// When there are no processes or file descriptors left.
pub fn init() -> Result<()> {
    if is_there() { Ok(()) } else { renew() }
}

/// Starts one for this process and its children, also where there is one that an ancestor has started: what their children find is to be the program as it is now, and
/// they are not to end with that ancestor.
pub(crate) fn renew() -> Result<()> {
    let threads = fork::thread_count();
    if threads > 1 {
        tracing::warn!(
            threads,
            "multiproc::init() is called with {threads} threads alive: call it first thing in main"
        );
    }
    let failed = |error| Error::io("starting the fork server", error);
    let (requests, theirs) = PrivateFd::packet_pair().map_err(failed)?;
    let (near, far) = PrivateFd::packet_pair().map_err(failed)?;
    let tied = |pid| lifeline::tie(pid, far.as_fd());
    let keep = [theirs.number(), far.number()];
    let theirs = std::cell::RefCell::new(Some(theirs));
    let server = bequeath(&keep, || {
        fork::spawn_bound(tied, || match theirs.take().and_then(PrivateFd::release) {
            Some(requests) => serve(requests),
            None => 1,
        })
    });
    let process = server.map_err(failed)?;
    let requests = requests.release().ok_or_else(|| failed(io::ErrorKind::Other.into()))?;
    let server = Arc::new(Server { requests, _lifeline: near, _process: process });
    let former = SERVER.lock().replace(server);
    drop(former);
    Ok(())
}

/// Whether there is one.
pub(crate) fn is_there() -> bool {
    SERVER.lock().is_some()
}

/// Has a child forked by the server that runs `f`.
pub(super) fn request<A: Datum, T: Datum>(birth: Birth, f: fn(A) -> T, argument: &A) -> Result<Arc<Offspring>> {
    fn run<A: Datum, T: Datum>(mut call: Call) -> Report {
        call.run::<A, fn(A) -> T>(|f, argument, _| Report::of_value(&f(argument)))
    }
    let call = Call::new(located(image::locate(f))?, argument)?;
    request_call(birth, located(image::locate(run::<A, T> as fn(Call) -> Report))?, &call, &[])
}

/// As [`request`], of a function that also gets these descriptors, and says itself what it reports.
pub(super) fn request_with_fds<A: Datum>(
    birth: Birth,
    f: fn(A, Vec<OwnedFd>) -> Report,
    argument: &A,
    fds: &[BorrowedFd<'_>],
) -> Result<Arc<Offspring>> {
    fn run<A: Datum>(mut call: Call) -> Report {
        call.run::<A, fn(A, Vec<OwnedFd>) -> Report>(|f, argument, fds| f(argument, fds))
    }
    let call = Call::new(located(image::locate(f))?, argument)?;
    request_call(birth, located(image::locate(run::<A> as fn(Call) -> Report))?, &call, fds)
}

fn located(location: Result<Location, NotFound>) -> Result<Location> {
    location.map_err(|error| Error::State { what: format!("the function can't be sent to the fork server: {error}") })
}

impl Call {
    fn new<A: Datum>(function: Location, argument: &A) -> Result<Self> {
        let mut bytes = Vec::new();
        codec::encode(Codec::Bincode, argument, &mut bytes).map_err(Error::unserializable::<A>)?;
        Ok(Self { function, argument: bytes, fds: Vec::new() })
    }

    /// The child's part: finds the function and the argument.
    fn run<A: Datum, F: Function>(&mut self, call: impl FnOnce(F, A, Vec<OwnedFd>) -> Report) -> Report {
        let f = match image::find::<F>(&self.function) {
            Ok(f) => f,
            Err(error) => return Report::Unserializable(Error::State { what: error.to_string() }),
        };
        match codec::decode(Codec::Bincode, &self.argument) {
            Ok(argument) => call(f, argument, std::mem::take(&mut self.fds)),
            Err(error) => Report::Unserializable(Error::unserializable::<A>(error)),
        }
    }
}

fn request_call(birth: Birth, run: Location, call: &Call, extra: &[BorrowedFd<'_>]) -> Result<Arc<Offspring>> {
    let server = SERVER.lock().clone();
    let server = server.ok_or_else(|| Error::State {
        what: "there is no fork server; call multiproc::init() first thing in main".to_owned(),
    })?;
    let name = birth.name.clone();
    let failed = |error| Error::io(format!("having the fork server fork {name}"), error);
    let key = authkey().as_bytes().to_vec();
    let daemon = birth.daemon;
    let (near, far) = PrivateFd::packet_pair().map_err(failed)?;
    let me = PidFd::open(std::process::id()).map_err(failed)?;
    let request = Asked { birth, run, call, authkey: &key };
    let fds: Vec<_> = [far.as_fd(), me.as_fd()].into_iter().chain(extra.iter().copied()).collect();
    let gone = || Error::State {
        what: "the fork server is gone; it ends with the process that called multiproc::init()".to_owned(),
    };
    send(server.requests.as_fd(), &request, &fds).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => gone(),
        _ => failed(error),
    })?;
    drop(fds);
    drop(far);
    poll::wait_one(&near, Interest::Read, None).map_err(failed)?;
    match Message::receive(near.as_fd()) {
        Ok((Message::Born { pid }, mut fds)) if !fds.is_empty() => {
            let pidfd = PidFd::received(fds.remove(0), pid).into_private();
            let child = Arc::new(Offspring::new(name, daemon, Body::Served(pidfd), near));
            children::add(Arc::clone(&child));
            Ok(child)
        }
        Ok((Message::NotBorn { reason }, _)) => Err(failed(io::Error::other(reason))),
        Ok(_) => Err(failed(io::Error::other("no file descriptor is left"))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(gone()),
        Err(error) => Err(failed(error)),
    }
}

/// The server's life. It is killed by its lifeline, or ends when nobody can ask it any more.
fn serve(requests: OwnedFd) -> i32 {
    let requests = PrivateFd::new(requests);
    // What a terminal sends reaches the whole program; the server goes when its starter has gone. Its children heed what the program did.
    let ignored = process::ignore(&process::OF_TERMINALS);
    let mut children: Vec<(Child, PrivateFd)> = Vec::new();
    loop {
        let mut fds = vec![(requests.as_fd(), Interest::Read)];
        fds.extend(children.iter().map(|(child, _)| (child.pidfd().as_fd(), Interest::Read)));
        let Ok(ready) = poll::wait(&fds, None) else { return 1 };
        let asked = ready[0].any();
        children.retain(|(child, socket)| match child.wait(Some(Duration::ZERO)) {
            Ok(Some(status)) => {
                // Whoever asked for it may be gone.
                let _ = Message::Ended(status.into()).send(socket.as_fd(), &[]);
                false
            }
            _ => true,
        });
        if asked {
            match receive_value::<Request>(requests.as_fd()) {
                Ok((request, fds)) => children.extend(deliver(request, fds, &ignored)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return 0,
                // One bad request is not the server's end; its sender sees that its socket is closed.
                Err(_) => {}
            }
        }
    }
}

/// Forks the child that is asked for, and tells of it.
fn deliver(request: Request, fds: Vec<OwnedFd>, ignored: &[Signal]) -> Option<(Child, PrivateFd)> {
    let mut fds = fds.into_iter();
    let (far, parent) = (PrivateFd::new(fds.next()?), fds.next()?);
    let Request { birth, run, mut call, authkey } = request;
    call.fds = fds.collect();
    // Before the child begins: its own word must not come first.
    let announce = |pid| {
        if birth.daemon {
            lifeline::tie(pid, far.as_fd())?;
        }
        // A requester that is gone has no child, but the child is there.
        let _ = Message::Born { pid }.send(far.as_fd(), &[PidFd::open(pid)?.as_fd()]);
        Ok(())
    };
    let (number, life) = ([far.number()], birth.clone());
    let far_end = far.as_fd();
    let forked = bequeath(&number, || {
        fork::spawn_bound(announce, || {
            process::heed(ignored);
            if let Ok(key) = Authkey::try_from(authkey) {
                set_authkey(key);
            }
            identity::assume(life, Some(parent));
            live(birth.daemon, far_end, || match image::find::<fn(Call) -> Report>(&run) {
                Ok(run) => run(call),
                Err(error) => Report::Unserializable(Error::State { what: error.to_string() }),
            })
        })
    });
    match forked {
        Ok(child) => Some((child, far)),
        Err(error) => {
            let _ = Message::NotBorn { reason: error.to_string() }.send(far.as_fd(), &[]);
            None
        }
    }
}
