//! A pool that a server owns: any process gives it tasks, by their names, and fetches the results.
//!
//! On a call's way this is a referent like the others; behind it stand a [`Pool`](crate::Pool) of worker processes, and the tasks that were registered with the manager
//! ([`Builder::task`](crate::Builder::task)). A function can't be sent to a server, which may be another program's; its name can.
//!
//! # The way of a task
//! A [`PoolProxy`]'s call, with the arguments as a value → the server finds the task by its name, compares the types → a `parcel`, in which the arguments go on to a worker as bytes that the
//! server never decodes → the worker, which knows the types, since it runs the program that registered the task → a parcel with the result → an element in the server, which answers whoever waits.
//!
//! The workers are forked from a process that the server forked before it had threads, and hang by the server: they end with it, however it ends.
//!
//! # Invariants
//! - No thread of the server's waits for a worker: who waits for a result, for the next of many, or for the pool's end is answered by the pool's own thread.
//! - What arguments name lives until the task is done, and what a result names as long as the result does.
//! - Items of an iterator that did not reach their receiver go to the next who asks.

mod parcel;
mod proxy;
mod referent;
mod result;
mod results;
mod task;
mod tasks;

pub use self::proxy::{PoolBuilder, PoolDeferred, PoolProxy};
pub use self::referent::SharedPool;
pub use self::result::{AsyncResultDeferred, AsyncResultProxy, SharedResult};
pub use self::results::{PoolResults, PoolResultsDeferred, PoolResultsItems, PoolResultsProxy};
pub use self::task::{OneArgument, RunTask, Task, TaskErrors};
pub(crate) use self::tasks::Tasks;
