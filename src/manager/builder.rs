//! What a manager is made of.

use std::any::TypeId;
use std::marker::PhantomData;
use std::time::Duration;

use super::base::BaseManager;
use super::process::{Initializer, Place, ServerProcess};
use crate::address::Address;
use crate::authkey::{Authkey, authkey};
#[cfg(feature = "python")]
use crate::client::python;
use crate::client::{Client, Route};
#[cfg(feature = "python")]
use crate::error::Cause;
use crate::error::{Error, Result};
#[cfg(feature = "python")]
use crate::handshake::HandshakeError;
use crate::object::registry::Registry;
use crate::object::{Referent, Registration};
use crate::process;
use crate::protocol::limits;
use crate::proxy::{Proxy, Typeids};
use crate::server::{Server, Settings};
use crate::transport::{self, WaitPolicy};
use crate::types::{RunTask, Tasks};

/// Describes a manager: what is registered, where it serves, with which key. Made by [`BaseManager::builder`].
///
/// Nothing in it fails; what is wrong with a registration or an address is told by [`start`](Self::start), [`connect`](Self::connect) or
/// [`server`](Self::server). A function that returns a `Builder` with everything registered is what a subclass of a manager is in Python.
///
/// ```
/// use std::time::Duration;
/// use multiproc::{BaseManager, Builder};
/// # #[derive(Default)] pub struct Counter { count: u64 }
/// # #[multiproc::referent]
/// # impl Counter {
/// #     pub fn new() -> Self { Self::default() }
/// # }
///
/// fn manager() -> Builder {
///     BaseManager::builder().register::<Counter>().shutdown_timeout(Duration::from_secs(2))
/// }
///
/// # fn main() -> multiproc::Result<()> {
/// let manager = manager().start()?;
/// assert!(manager.pid().is_some());
/// # manager.shutdown()
/// # }
/// ```
#[must_use = "a builder does nothing before `start`, `connect` or `server`"]
pub struct Builder<M = BaseManager> {
    registry: Registry,
    typeids: Typeids,
    tasks: Tasks,
    address: Option<Address>,
    authkey: Option<Authkey>,
    settings: Box<dyn FnOnce(&mut Settings)>,
    handshake_time: Duration,
    initializer: Option<Initializer>,
    ring: bool,
    wait: WaitPolicy,
    /// The first thing that went wrong.
    problem: Option<Error>,
    manager: PhantomData<fn() -> M>,
}

impl<M> Builder<M> {
    pub(super) fn new() -> Self {
        Self {
            registry: Registry::default(),
            typeids: Typeids::default(),
            tasks: Tasks::default(),
            address: None,
            authkey: None,
            settings: Box::new(|_| {}),
            handshake_time: limits::HANDSHAKE_TIME,
            initializer: None,
            ring: true,
            wait: WaitPolicy::default(),
            problem: None,
            manager: PhantomData,
        }
    }

    /// Where the server is or will be: an [`Address`], its text (`unix:PATH`, `unix:@NAME`, `tcp:HOST:PORT`), or a pair of host and port. Port 0 takes a free one.
    ///
    /// Without an address a started server gets a fresh socket in a directory that only this user can enter.
    pub fn address<A>(mut self, address: A) -> Self
    where
        A: TryInto<Address>,
        A::Error: Into<Error>,
    {
        match address.try_into() {
            Ok(address) => self.address = Some(address),
            Err(error) => self.fail(error.into()),
        }
        self
    }

    /// The secret that both sides must know. Default: this process's ([`authkey`](crate::authkey())), random at its start and inherited by its forked children.
    pub fn authkey<K>(mut self, key: K) -> Self
    where
        K: TryInto<Authkey>,
        K::Error: Into<Error>,
    {
        match key.try_into() {
            Ok(key) => self.authkey = Some(key),
            Err(error) => self.fail(error.into()),
        }
        self
    }

    /// Registers `T` under its typeid, with all its constructors and methods.
    pub fn register<T: Referent>(self) -> Self
    where
        T::Proxy: Proxy,
    {
        self.register_with(Registration::<T>::new(T::TYPEID))
    }

    /// Registers `T` under another typeid; needed for generic types, one registration for each instantiation.
    pub fn register_as<T: Referent>(self, typeid: &str) -> Self
    where
        T::Proxy: Proxy,
    {
        self.register_with(Registration::<T>::new(typeid))
    }

    /// Registers as the [`Registration`] says: another callable, fewer methods, no constructor.
    pub fn register_with<T: Referent>(mut self, registration: Registration<T>) -> Self
    where
        T::Proxy: Proxy,
    {
        let registration = registration.proxytype::<T::Proxy>();
        self.typeids.entry(TypeId::of::<T>()).or_default().push(registration.typeid().to_owned());
        let added = registration.into_class().and_then(|class| self.registry.add(class));
        if let Err(error) = added {
            self.fail(error);
        }
        self
    }

    /// Registers a task: a function that the pools of this server know by its name. See [`types::PoolProxy`](crate::types::PoolProxy).
    ///
    /// A started server with tasks sets a process aside before it has threads, and a [`server`](Self::server) in this process calls [`init`](crate::init()): from there
    /// the workers of its pools are forked.
    pub fn task<T: RunTask>(mut self) -> Self {
        if let Err(error) = self.tasks.add::<T>() {
            self.fail(error);
        }
        self
    }

    /// How long [`shutdown`](BaseManager::shutdown) waits after asking the server to end, and again after SIGTERM, before SIGKILL (default: 1 s). The server
    /// itself waits as long for methods that still run.
    pub fn shutdown_timeout(self, timeout: Duration) -> Self {
        self.set(move |settings| settings.shutdown_timeout = timeout)
    }

    /// Runs `initializer` in the server's process before it serves. Its error is `start`'s.
    ///
    /// It runs in a forked child: of the starter's threads only one is there, and locks that others held stay held.
    pub fn initializer<E>(mut self, initializer: impl FnOnce() -> Result<(), E> + 'static) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.initializer = Some(Box::new(move || initializer().map_err(Into::into)));
        self
    }

    /// The largest message in bytes, in either direction (default: 1 GiB): a limit there must be, since its length is the other side's word.
    pub fn max_frame(self, bytes: u64) -> Self {
        self.set(move |settings| settings.max_frame = bytes)
    }

    /// How long a handshake may take (default: 10 s), so that a silent stranger holds a slot no longer.
    pub fn handshake_time(mut self, time: Duration) -> Self {
        self.handshake_time = time;
        self.set(move |settings| settings.handshake_time = time)
    }

    /// How many connections the server holds at once (default: 16,384), each of which costs it a descriptor; further peers are told that it is busy.
    pub fn max_connections(self, connections: usize) -> Self {
        self.set(move |settings| settings.max_connections = connections)
    }

    /// How many methods may block at the same time (default: 256), each of which holds a thread; further calls of such methods fail with
    /// [`Error::Overloaded`].
    pub fn max_workers(self, workers: usize) -> Self {
        self.set(move |settings| settings.max_workers = workers)
    }

    /// How long an object lives on for a proxy that was serialized for another way than a call, after the sender's last proxy of it (default: 60 s).
    pub fn ticket_time(self, time: Duration) -> Self {
        self.set(move |settings| settings.ticket_time = time)
    }

    /// Whether connections on this machine may go through shared memory, once calls come fast (default: yes). Either side can say no; so can the environment variable
    /// `MULTIPROC_RING`, set to `0` or `off`. Where shared memory is not to be had, connections stay on their sockets, as they do over tcp; nothing but speed depends on it.
    pub fn ring(mut self, ring: bool) -> Self {
        self.ring = ring;
        self
    }

    /// How many connections of the server may have shared memory at once (default: 1,024), each of which takes 36 KiB, and up to 1 MiB more where it carries large messages;
    /// others stay on their sockets, as do those without a call for a second.
    pub fn max_rings(self, rings: usize) -> Self {
        self.set(move |settings| settings.max_rings = rings)
    }

    /// How callers wait for answers, and a server for calls, before they sleep: what processor time may be spent on speed.
    ///
    /// ```
    /// # use multiproc::{BaseManager, WaitPolicy};
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = BaseManager::builder().wait_policy(WaitPolicy::PowerSave).start()?;
    /// # manager.shutdown()
    /// # }
    /// ```
    pub fn wait_policy(mut self, policy: WaitPolicy) -> Self {
        self.wait = policy;
        self.set(move |settings| settings.wait = policy)
    }

    /// Lets clients of CPython's `multiprocessing.managers` in, of 3.8 and later (default: no). `SyncManager(address=…, authkey=…).connect()` works as with a server of Python's own.
    ///
    /// Clients up to 3.11 prove themselves by an HMAC of MD5, which is why it must be asked for. What they send is data to the server: nothing in it is ever executed or imported.
    ///
    /// [`connect`](Self::connect) takes a server of CPython's as well then, as a Python program started it. Proxies of the shared types work there as far as Python's types can do what they ask, `#[multiproc::proxy]` traits
    /// describe the program's own classes, and [`BaseProxy`](crate::BaseProxy)s call anything by Python's names:
    ///
    /// ```no_run
    /// use multiproc::SyncManager;
    /// use multiproc::types::{DictProxy, QueueProxy};
    ///
    /// /// In Python: `Manager.register('Account', Account)`
    /// #[multiproc::proxy(typeid = "Account")]
    /// pub trait Account {
    ///     fn new(owner: &str) -> Self;
    ///     fn deposit(&self, amount: i64) -> i64;
    /// }
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::builder().python(true).address("unix:/tmp/shared").authkey("secret").connect()?;
    /// let squares = DictProxy::<u32, u32>::new(&manager)?;
    /// squares.insert(7, 49)?;
    /// let jobs: QueueProxy<String> = manager.create_as("get_jobs", ())?;
    /// let account = AccountProxy::new(&manager, "ada")?;
    /// account.deposit(jobs.get()?.len() as i64)?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "python")]
    pub fn python(self, allowed: bool) -> Self {
        self.set(move |settings| settings.python = allowed.then(Default::default))
    }

    /// The second number of the Python whose server this one is like, where versions differ: 11 for 3.11. Default: the client's own, as far as that shows. After [`python`](Self::python).
    #[cfg(feature = "python")]
    pub fn python_version(self, minor: u8) -> Self {
        self.set(move |settings| {
            if let Some(python) = &mut settings.python {
                python.minor = Some(minor);
            }
        })
    }

    /// How long an object lives on after its last reference by a Python process (default: 10 s), since a proxy that was sent elsewhere is given up by its sender before it has
    /// arrived. After [`python`](Self::python).
    #[cfg(feature = "python")]
    pub fn python_grace(self, time: Duration) -> Self {
        self.set(move |settings| {
            if let Some(python) = &mut settings.python {
                python.grace = time;
            }
        })
    }

    fn set(mut self, set: impl FnOnce(&mut Settings) + 'static) -> Self {
        let former = self.settings;
        self.settings = Box::new(move |settings| {
            former(settings);
            set(settings);
        });
        self
    }

    fn fail(&mut self, error: Error) {
        self.problem.get_or_insert(error);
    }

    fn checked(self) -> Result<Described> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        self.registry.check()?;
        let has_tasks = !self.tasks.is_empty();
        #[cfg(feature = "python")]
        let registry = {
            let mut registry = self.registry;
            registry.set_faces(crate::types::python::faces());
            registry
        };
        #[cfg(not(feature = "python"))]
        let registry = self.registry;
        let mut registry = registry;
        registry.attach(self.tasks);
        let mut settings = Settings::new(self.authkey.unwrap_or_else(authkey));
        (self.settings)(&mut settings);
        let ring = self.ring && transport::ring::is_allowed();
        if !ring {
            settings.max_rings = 0;
        }
        Ok(Described {
            ring,
            wait: self.wait,
            registry,
            typeids: self.typeids,
            address: self.address,
            settings,
            handshake_time: self.handshake_time,
            initializer: self.initializer,
            has_tasks,
        })
    }

    /// Becomes a server in this process; see [`Server`].
    ///
    /// # Errors
    /// What is wrong with a registration or the address; an address in use.
    pub fn server(self) -> Result<Server> {
        let Described { registry, address, settings, initializer, has_tasks, .. } = self.checked()?;
        let address = match address {
            Some(address) => address,
            None => private_abstract_address(),
        };
        if let Some(initializer) = initializer {
            initializer().map_err(|error| Error::Start { reason: format!("the initializer failed: {error}") })?;
        }
        if has_tasks {
            process::init()?;
        }
        Server::bind(registry, &address, settings)
    }
}

/// An abstract socket of a random name: private by the key, and without a file to be left behind.
fn private_abstract_address() -> Address {
    Address::Abstract(format!("multiproc-{}", crate::protocol::ServerId::random()).into_bytes())
}

impl<M: From<BaseManager>> Builder<M> {
    /// Forks a server process and returns a manager of it, once it accepts connections.
    ///
    /// The server ends with the manager ([`shutdown`](BaseManager::shutdown), or its drop), and in any case with this process.
    ///
    /// # Errors
    /// What is wrong with a registration or the address; the server's own error, such as an address in use or an initializer's.
    pub fn start(self) -> Result<M> {
        let Described { registry, typeids, address, settings, handshake_time, initializer, has_tasks, ring, wait } =
            self.checked()?;
        let key = settings.authkey.clone();
        let (process, address) =
            ServerProcess::start(registry, Place::new(address)?, settings, initializer, has_tasks)?;
        let client = Client::connect(Route { address, authkey: key, handshake_time, ring, wait })?;
        Ok(BaseManager::new(client, Some(process), typeids).into())
    }

    /// Connects to a server that runs.
    ///
    /// Dropping the manager only disconnects. Blocks until the server has answered, at most the handshake time.
    ///
    /// # Errors
    /// Nobody listens there; the key is another; the other side is no server of this crate's (or, after [`python(true)`](Self::python), of CPython's).
    pub fn connect(self) -> Result<M> {
        let Described { typeids, address, settings, handshake_time, ring, wait, .. } = self.checked()?;
        let address = address
            .ok_or_else(|| Error::State { what: "connect() needs to be told where: `.address(…)`".to_owned() })?;
        #[cfg(feature = "python")]
        let (python, authkey) = (settings.python.is_some(), settings.authkey);
        #[cfg(not(feature = "python"))]
        let authkey = settings.authkey;
        let route = Route { address, authkey, handshake_time, ring, wait };
        #[cfg(feature = "python")]
        if python {
            return connect_to_either(route, typeids).map(Into::into);
        }
        Ok(BaseManager::new(Client::connect(route)?, None, typeids).into())
    }
}

/// Connects to a server of this crate's, or of CPython's: both begin alike, so that one finds out by answering.
#[cfg(feature = "python")]
fn connect_to_either(route: Route, typeids: Typeids) -> Result<BaseManager> {
    match Client::connect(route.clone()) {
        Ok(client) => Ok(BaseManager::new(client, None, typeids)),
        Err(Error::Authentication { cause, .. }) if is_a_strangers(&cause) => {
            Ok(BaseManager::of_python(python::Link::connect(route)?, typeids))
        }
        Err(error) => Err(error),
    }
}

/// Whether a handshake has failed as it does with who speaks another protocol.
#[cfg(feature = "python")]
fn is_a_strangers(cause: &Cause) -> bool {
    matches!(cause.get().downcast_ref(), Some(HandshakeError::NotAServer | HandshakeError::Closed))
}

/// A builder that has been found to be right.
struct Described {
    registry: Registry,
    typeids: Typeids,
    address: Option<Address>,
    settings: Settings,
    handshake_time: Duration,
    initializer: Option<Initializer>,
    /// Whether there will be pools, whose workers must come from somewhere.
    has_tasks: bool,
    ring: bool,
    wait: WaitPolicy,
}

impl<M> std::fmt::Debug for Builder<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("address", &self.address)
            .field("problem", &self.problem)
            .finish_non_exhaustive()
    }
}
