//! Those who do the same: a counter in another process, and a client that adds to it.

pub mod iceoryx;
pub mod ipc_channel;
pub mod multiproc;
pub mod python;
pub mod redis;
pub mod remoc;
pub mod tarpc;
