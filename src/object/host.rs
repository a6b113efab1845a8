//! What objects need of the threads that run them.

use std::sync::Weak;
use std::time::Instant;

use crate::error::Result;
use crate::protocol::ClientId;

/// An object that keeps something for its clients (a lock, a permit, a place in a barrier) and takes it back when one of them ends.
pub trait Heir: Send + Sync {
    /// The client has ended, in whatever way. Comes once per client, on a thread of the server's, after what never arrived there has been put back; must not
    /// wait.
    fn client_ended(&self, client: ClientId);
}

/// The threads of a server, as its objects see them.
///
/// Contract: `offload` runs each accepted job exactly once, on a thread that may block; `begin` and `end` come in pairs on one thread and may nest;
/// after `about_to_block` the server goes on serving other calls while this thread waits.
pub trait Host: Send + Sync {
    /// Hands `job` to a thread that may block. Refused with `Overloaded` when as many are blocked as may be.
    fn offload(&self, job: Box<dyn FnOnce() + Send>) -> Result<()>;

    /// User code begins on this thread: if it runs long, others must be served meanwhile.
    fn begin(&self);

    /// User code has ended on this thread.
    fn end(&self);

    /// This thread is about to wait for another call. Refused with `Overloaded` when no other thread could serve meanwhile.
    fn about_to_block(&self) -> Result<()>;

    /// Something will have to be done at an earlier time than was known.
    fn timers_changed(&self);

    /// Tells `heir` when the client ends, if it still lives then; false where the client has ended already, and nothing will be told.
    fn at_client_end(&self, client: ClientId, heir: Weak<dyn Heir>) -> bool;

    /// Runs `job`, which must not wait, at that time or soon after.
    fn at(&self, time: Instant, job: Box<dyn FnOnce() + Send>);
}
