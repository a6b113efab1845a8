//! What objects need of the threads that run them.

use crate::error::Result;

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
}
