//! The limits of the wire, with their reasons.

use std::time::Duration;

/// The largest frame, by default: 1 GiB.
///
/// A limit there must be, since the length of a frame is the peer's word; a value that large is better placed in shared memory.
pub const MAX_FRAME: u64 = 1 << 30;

/// How long a handshake may take: 10 s, far beyond what a loaded machine needs, short enough to free the slot of a silent stranger.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How many connections a server holds at once, by default: 16,384, below what most systems allow in open files.
pub const MAX_CONNECTIONS: usize = 16_384;

/// How many connections of a server have shared memory at once, by default: 1,024. Each takes 36 KiB, and up to 2 MiB more where large messages went through it.
pub const MAX_RINGS: usize = 1024;

/// The most bytes of replies that a session keeps for a client that does not read: 4 MiB. Beyond it the server reads no further requests of that
/// connection until the client has caught up, so that a slow reader costs the server a bounded amount.
pub const MAX_BACKLOG: usize = 4 << 20;

/// How long an object lives on for a token that was sent by other means than a call, after the sender's last proxy: 60 s.
pub const TICKET_TIME: Duration = Duration::from_secs(60);

/// How long an object lives on after its last reference by a Python process: 10 s. CPython's clients drop a proxy that they have sent elsewhere without knowing whether it has arrived.
#[cfg(feature = "python")]
pub const PYTHON_GRACE: Duration = Duration::from_secs(10);

/// The most method calls that one call may nest inside the server: 64, well before a thread's stack ends.
pub const MAX_DEPTH: u32 = 64;
