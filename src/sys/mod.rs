//! The operating system: what the crate needs of it, each thing once.
//!
//! The lowest layer. Nothing here knows of managers, frames or keys; everything above reaches the system through it.
//! All `unsafe` of the crate but the ring's stands here.
//!
//! Two rules hold throughout:
//!
//! - **A forked child may run this code.** So nothing here waits on a lock that another thread may have held when the
//!   process was forked: the locks are std's ([`sync`]), those that a child uses stand behind the gate ([`fork`]), and
//!   whatever belongs to one process carries a [`fork::Stamp`].
//! - **Waiting is interruptible by time only.** `EINTR` is never passed on; a deadline that is given holds.

pub mod backtrace;
pub mod buffer;
pub mod bytes;
pub mod cpu;
pub mod fork;
pub mod heap;
pub mod image;
pub mod journal;
pub mod lifeline;
pub mod memory;
pub mod panic;
pub mod pidfd;
pub mod poll;
pub mod process;
pub mod shared;
pub mod slot;
pub mod socket;
pub mod sync;
pub mod thread;
