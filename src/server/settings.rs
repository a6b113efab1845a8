//! What a server is told: key and limits.

use std::time::Duration;

use crate::authkey::Authkey;
use crate::protocol::limits;
use crate::transport::WaitPolicy;

/// A server's settings. Each limit states its default, its unit and its reason where it is set, on the builder.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What peers must know.
    pub authkey: Authkey,
    /// The largest frame in bytes.
    pub max_frame: u64,
    /// How long a handshake may take.
    pub handshake_time: Duration,
    /// How many connections there may be, those that shake hands included.
    pub max_connections: usize,
    /// How many methods may block at the same time.
    pub max_workers: usize,
    /// How long a token in transit keeps its object after the sender's last reference.
    pub ticket_time: Duration,
    /// How long a stopping server waits for methods that still run.
    pub shutdown_timeout: Duration,
    /// How Python's clients are served, if they are.
    #[cfg(feature = "python")]
    pub python: Option<PythonSettings>,
    /// How many connections may have shared memory; 0 for none.
    pub max_rings: usize,
    /// How the server waits for calls.
    pub wait: WaitPolicy,
}

/// How Python's clients are served.
#[cfg(feature = "python")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PythonSettings {
    /// How long an object lives on after its last reference by a Python process.
    pub grace: Duration,
    /// The second number of the version whose server this one is like; `None` for the client's own, as far as it shows.
    pub minor: Option<u8>,
}

#[cfg(feature = "python")]
impl Default for PythonSettings {
    fn default() -> Self {
        Self { grace: limits::PYTHON_GRACE, minor: None }
    }
}

impl Settings {
    /// The defaults, with this key.
    pub fn new(authkey: Authkey) -> Self {
        Self {
            authkey,
            max_frame: limits::MAX_FRAME,
            handshake_time: limits::HANDSHAKE_TIME,
            max_connections: limits::MAX_CONNECTIONS,
            max_workers: 256,
            ticket_time: limits::TICKET_TIME,
            shutdown_timeout: Duration::from_secs(1),
            #[cfg(feature = "python")]
            python: None,
            max_rings: limits::MAX_RINGS,
            wait: WaitPolicy::default(),
        }
    }
}
