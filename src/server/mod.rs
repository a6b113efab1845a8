//! The process that owns the objects: accepts clients, runs their calls, gives back what dead ones held.
//!
//! | thread | does | file |
//! | --- | --- | --- |
//! | control | accepts, shakes hands, watches processes, timers, signals, the leader | [`control`] |
//! | leader (one at a time) | waits for requests on all authenticated connections, runs the calls | [`lead`] |
//! | workers | methods that may block; take over the lead when a call runs long | [`crew`] |
//!
//! A connection without calls costs no thread. Everything that the threads share hangs on one [`core::Core`]; what is known of a client on its
//! [`record::Record`]; a data connection is a [`session::Session`], whose requests run in [turns](turn), a client's control stream a
//! [`notices::NoticeStream`].
//!
//! Lock order, outermost first: the lead; a gate; a session's outbound half; a client's record; the tickets; timers and watches. User code
//! runs, and objects are dropped, under none of them.

pub mod settings;

mod arrival;
mod commands;
mod control;
mod core;
mod crew;
mod delivery;
mod heap;
mod lead;
mod notices;
#[cfg(feature = "python")]
mod python;
mod record;
mod session;
mod timers;
mod turn;
mod watch;

use std::os::fd::OwnedFd;
use std::sync::Arc;

pub use control::{DETACH, SHUTDOWN};
pub use settings::Settings;

use self::core::Core;
use crate::address::Address;
use crate::error::Result;
use crate::object::registry::Registry;
use crate::sys::pidfd::PidFd;
use crate::sys::{heap as process_heap, process};
use crate::transport::Listener;

/// A server that serves in the current process.
///
/// Made by [`Builder::server`](crate::Builder::server): the program becomes the server that others connect to.
///
/// ```
/// # use multiproc::{BaseManager, Proxy};
/// # #[derive(Default)] pub struct Counter { count: u64 }
/// # #[multiproc::referent]
/// # impl Counter {
/// #     pub fn new() -> Self { Self::default() }
/// #     pub fn add(&mut self, n: u64) -> u64 { self.count += n; self.count }
/// # }
/// # fn main() -> multiproc::Result<()> {
/// let server = BaseManager::builder().register::<Counter>().server()?;
/// let address = server.address().clone();
/// let serving = std::thread::spawn(move || server.serve_forever());
///
/// // Usually in another program:
/// let manager = BaseManager::builder().address(address).connect()?;
/// assert_eq!(CounterProxy::new(&manager)?.add(1)?, 1);
/// manager.shutdown()?;
/// serving.join().unwrap()
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a server serves nobody before `serve_forever`"]
pub struct Server {
    core: Arc<Core>,
}

/// What a forked server has of its starter.
pub struct Starter {
    /// Ends when the starter's process ends.
    pub process: PidFd,
    /// Brings the starter's orders.
    pub orders: OwnedFd,
    /// Whether it had other threads at the fork, whose locks are lost.
    pub threaded: bool,
}

impl Server {
    /// Binds the address; clients can connect from now on, and are served by [`serve_forever`](Self::serve_forever).
    pub(crate) fn bind(registry: Registry, address: &Address, settings: Settings) -> Result<Self> {
        let listener = Listener::bind(address).map_err(|error| error.at(address))?;
        Ok(Self { core: Core::new(registry, listener, settings)? })
    }

    /// Where clients reach it; a port of 0 has become the real one.
    pub fn address(&self) -> &Address {
        self.core.address()
    }

    /// A handle with which another thread ends [`serve_forever`](Self::serve_forever).
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle { core: Arc::downgrade(&self.core) }
    }

    /// Serves until a client's [`shutdown`](crate::BaseManager::shutdown), or the [stop handle](Self::stop_handle), ends it. Blocks as long.
    ///
    /// The calling thread becomes the server's control thread. At the end connections are closed, objects dropped, the socket file removed, and the
    /// server's threads ended; a thread that is still inside a method is waited for as long as the builder's `shutdown_timeout` says, then left alone.
    ///
    /// Called from the program's main thread, it also has the C library's heap keep freed memory for large values, all threads in one heap (`mallopt`), unless the environment says otherwise; what was not
    /// needed for a second is given back.
    pub fn serve_forever(self) -> Result<()> {
        if process::is_main_thread() {
            process_heap::keep();
        }
        control::run(&self.core, None)
    }

    /// As [`serve_forever`](Self::serve_forever), in a forked child: ends with its starter, too, and in order at SIGTERM.
    pub(crate) fn serve_for(self, starter: Starter) -> Result<()> {
        process_heap::keep();
        control::run(&self.core, Some(starter))
    }
}

/// Ends a [`Server`] of this process from another thread.
#[derive(Debug, Clone)]
pub struct StopHandle {
    core: std::sync::Weak<Core>,
}

impl StopHandle {
    /// Asks the server to end in order, and returns at once.
    pub fn stop(&self) {
        if let Some(core) = self.core.upgrade() {
            core.stop("stopped by its program");
        }
    }
}
