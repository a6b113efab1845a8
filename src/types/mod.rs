//! The shared types of `multiprocessing`: each with its referent, which lives in the server, and its proxy, in one file, so that they can't drift apart.
//!
//! On a call's way a proxy here stands where a user's own would, and a referent where a user's own type would; the server knows neither. A proxy is typed by what it
//! holds (`DictProxy<String, u32>`), its referent is not: it keeps elements, values in the self-describing format, so that one dict serves programs
//! of several types and languages, and can print, compare and sort what it does not know.
//!
//! Every method is called in that format (`Methods::dynamic`), by the names that stand in the referents' lists; so a [proxy without types](crate::BaseProxy) can call them as well.
//!
//! What Python calls it, and what it is called here, stands side by side in `docs/coming-from-python.md`.
//!
//! # Invariants
//! - All referents here are stored [bare](crate::store::Bare): their methods take `&self`, and lock their own state for as long as they look at it. Under that lock
//!   nothing waits, nothing is called, and no element is dropped, since the last reference to another object may go with it.
//! - A method that has to wait keeps a [`Responder`](crate::Responder) and returns; whoever ends the wait answers. A caller that gives up or dies loses its place and nothing else.
//! - What is kept *for* a client (a lock, a permit, an item on its way) goes back when the client ends.

#[macro_use]
mod proxied;

#[cfg(feature = "python")]
mod adapters;
mod array;
mod barrier;
mod batches;
mod bulk;
mod condition;
mod counter;
mod dict;
mod element;
mod encodes;
mod entries;
mod event;
mod exclusion;
mod held;
mod iterator;
mod list;
mod lock;
mod locked;
mod namespace;
mod number;
mod pool;
#[cfg(feature = "python")]
pub(crate) mod python;
mod queue;
mod reservation;
mod semaphore;
mod sequence;
mod set;
mod update;
mod value;
mod waiters;
mod watched;

#[cfg(feature = "python")]
pub(crate) use adapters::adapter_of;
pub use array::{Array, ArrayDeferred, ArrayGuard, ArrayProxy};
pub use barrier::{Barrier, BarrierDeferred, BarrierMember, BarrierProxy, BrokenBarrierError};
pub use condition::{Condition, ConditionDeferred, ConditionLock, ConditionProxy};
pub use counter::{Counter, CounterDeferred, CounterProxy};
pub use dict::{Dict, DictDeferred, DictIter, DictProxy};
pub use encodes::Encodes;
pub use event::{Event, EventDeferred, EventProxy};
pub use exclusion::NotOwned;
pub use held::LockGuard;
pub use iterator::{Iter, IteratorDeferred, IteratorItems, IteratorProxy};
pub use list::{List, ListDeferred, ListIter, ListProxy};
pub use lock::{Lock, LockDeferred, LockProxy, RLock, RLockDeferred, RLockProxy};
pub use namespace::{Namespace, NamespaceDeferred, NamespaceProxy};
pub use number::{Integer, Number};
#[doc(hidden)]
pub use pool::TaskErrors;
pub(crate) use pool::Tasks;
pub use pool::{
    AsyncResultDeferred, AsyncResultProxy, OneArgument, PoolBuilder, PoolDeferred, PoolProxy, PoolResults,
    PoolResultsDeferred, PoolResultsItems, PoolResultsProxy, RunTask, SharedPool, SharedResult, Task,
};
pub use queue::{
    JoinableQueue, JoinableQueueDeferred, JoinableQueueProxy, LifoQueue, LifoQueueDeferred, LifoQueueProxy,
    PriorityQueue, PriorityQueueDeferred, PriorityQueueProxy, Queue, QueueDeferred, QueueError, QueueIter, QueueProxy,
};
pub use semaphore::{
    BoundedSemaphore, BoundedSemaphoreDeferred, BoundedSemaphoreProxy, OverRelease, Permit, Semaphore,
    SemaphoreDeferred, SemaphoreProxy,
};
pub use sequence::{Index, SequenceError, Slice};
pub use set::{Set, SetDeferred, SetIter, SetOperand, SetProxy};
pub use value::{SharedValue, ValueDeferred, ValueGuard, ValueProxy};

use crate::proxy::BaseProxy;

/// The base of a proxy of that name, which speaks to objects of Python's as that type does.
fn adapted(base: BaseProxy, name: &str) -> BaseProxy {
    #[cfg(feature = "python")]
    return base.adapted(|| adapter_of(name));
    #[cfg(not(feature = "python"))]
    {
        let _ = name;
        base
    }
}
