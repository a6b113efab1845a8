//! Queues: items go from those who put to those who get, each to one of them.
//!
//! The four kinds have one [core](core::Core), which knows who waits, what is on its way and what is unfinished; they differ in the [order](order::Order) in which
//! items leave. An item that leaves is a [parcel](parcel::Parcel) until its receiver's process has taken it in; if that never happens it returns to its place.
//!
//! # Invariants
//! - An item is in exactly one place: with a putter that waits, in the queue, in a parcel, or with a process that has acknowledged it.
//! - Somebody waits to get only while the queue is empty, to put only while it is full. Each kind is served in the order in which it came.
//! - A putter whose wait ends by its own doing (time over, given up, dead) has put nothing: its call is *claimed* before its item enters the queue, and can then
//!   end in no other way than by the word that it has.

mod consequences;
mod core;
mod order;
mod parcel;
mod proxy;
mod referent;

use serde::{Deserialize, Serialize};

pub use self::proxy::{
    JoinableQueueDeferred, JoinableQueueProxy, LifoQueueDeferred, LifoQueueProxy, PriorityQueueDeferred,
    PriorityQueueProxy, QueueDeferred, QueueIter, QueueProxy,
};
pub use self::referent::{JoinableQueue, LifoQueue, PriorityQueue, Queue};

/// What a queue answers instead of what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum QueueError {
    /// It holds as many items as it may, and did for as long as the call could wait: nothing was put.
    #[error("the queue is full")]
    Full,
    /// It holds no item, and held none for as long as the call could wait: nothing was taken.
    #[error("the queue is empty")]
    Empty,
    /// It was shut down: nothing can be put any more, and what could be got has been.
    #[error("the queue is shut down")]
    ShutDown,
    /// Processes that have ended took so many items without saying that they were done with them. All other items are done.
    #[error(
        "{items} item(s) were taken by processes that ended before they were done with them; call `task_done` for each that has been seen to"
    )]
    Lost {
        /// How many.
        items: u64,
    },
    /// More items were said to be done than have been taken.
    #[error("`task_done` was called more often than items were taken")]
    NotTaken,
}
