//! The queues as their users hold them.

use std::time::{Duration, Instant};

use serde::ser::{Serialize, Serializer};

use super::QueueError;
use super::referent::{JoinableQueue, LifoQueue, PriorityQueue, Queue};
use crate::datum::Datum;
use crate::error::{CallError, Error, Result};
use crate::proxy::{Maker, Proxy};
use crate::types::bulk::Received;
use crate::types::encodes::{Encodes, sent, sent_all};

/// What the calls of queues return.
type Queued<R> = Result<R, CallError<QueueError>>;

/// Makes a call that may take `timeout`; `over` where it was given up in time.
fn within<P: Proxy, R>(
    proxy: &P,
    timeout: Duration,
    over: QueueError,
    call: impl FnOnce(&P) -> Queued<R>,
) -> Queued<R> {
    match call(&proxy.with_timeout(timeout)) {
        // After a longer time the server has not said how the call ended.
        Err(CallError::System(Error::Timeout { after })) if after <= timeout => Err(CallError::Method(over)),
        result => result,
    }
}

/// An entry by reference, so that it can be sent again.
struct Again<'a, E>(&'a E);

impl<G, E: Encodes<G>> Encodes<G> for Again<'_, E> {
    fn encode<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.encode(serializer)
    }
}

/// Puts entries in as few rounds as the queue has room for; how many it took.
fn put_all<P: Proxy, G, E: Encodes<G>>(proxy: &P, entries: &[E], timeout: Option<Duration>) -> Queued<usize> {
    let begin = Instant::now();
    let mut put = 0;
    while put < entries.len() {
        let rest = entries[put..].iter().map(Again);
        let round =
            |proxy: &P| proxy.base().invoke_fallible_by_value::<_, usize, _>("put_many", &(sent_all::<G, _>(rest),));
        let result = match timeout {
            None => round(proxy),
            Some(timeout) => within(proxy, timeout.saturating_sub(begin.elapsed()), QueueError::Full, round),
        };
        match result {
            Ok(count) => put += count,
            Err(CallError::Method(_)) if put > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(put)
}

/// An item with its priority, on its way out.
struct WithPriority<E>(i64, E);

impl<T, E: Encodes<T>> Encodes<(i64, T)> for WithPriority<E> {
    fn encode<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        (self.0, sent::<T, _>(&self.1)).serialize(serializer)
    }
}

/// An item with its priority, as it was taken.
fn ranked<T>((priority, item): (i64, Received<T>)) -> (i64, T) {
    (priority, item.into_inner())
}

/// The items of a queue, as they are got one by one. Ends when the queue is shut down and empty, or after an error.
#[derive(Debug)]
pub struct QueueIter<Q> {
    queue: Option<Q>,
}

macro_rules! queue_proxy {
    ($(#[$attribute:meta])* $proxy:ident, $deferred:ident, $referent:ident, $item:ty, $taken:expr) => {
        proxy_type! {
            $(#[$attribute])*
            pub struct $proxy<T>, $deferred;
        }

        calls! {
            [T: Datum] $proxy[T], $deferred;

            /// Takes the next item; waits as long as there is none.
            ///
            /// # Errors
            /// [`QueueError::ShutDown`] when the queue is shut down and empty. An item that is no `T` is an error, and gone.
            fn get(&self) -> $item, QueueError { "get"() => $taken }

            /// Takes the next item, if there is one now.
            ///
            /// # Errors
            /// [`QueueError::Empty`], [`QueueError::ShutDown`].
            #[doc(alias = "get_nowait")]
            fn try_get(&self) -> $item, QueueError { "try_get"() => $taken }

            /// Takes up to `max` items in one message, of 256 KiB and one item at the most; waits as long as there is none.
            ///
            /// # Errors
            /// [`QueueError::ShutDown`] when the queue is shut down and empty.
            fn get_many(&self, max: usize) -> Vec<$item>, QueueError { "get_many"(max) => |items: Vec<_>| items.into_iter().map($taken).collect() }

            /// How many items there are now.
            #[doc(alias = "qsize")]
            fn len(&self) -> usize { "len"() }

            /// Whether there are as many items as may be.
            #[doc(alias = "full")]
            fn is_full(&self) -> bool { "is_full"() }

            /// How many items there may be; 0 for any number.
            fn maxsize(&self) -> usize { "maxsize"() }

            /// How many callers wait for items, and how many for room.
            fn waiting(&self) -> (usize, usize) { "waiting"() }

            /// Says that the work on an item that was taken is done. Usually said by the process that took it; one said for another process counts first for
            /// those that have ended.
            ///
            /// # Errors
            /// [`QueueError::NotTaken`] where it is said more often than items were taken.
            fn task_done(&self) -> (), QueueError { "task_done"(1) }

            /// As [`task_done`](Self::task_done) for so many items: for all, or with an error for none.
            fn tasks_done(&self, items: usize) -> (), QueueError { "task_done"(items) }

            /// Waits until the work on every item that was put is done: until [`task_done`](Self::task_done) was called as often.
            ///
            /// # Errors
            /// [`QueueError::Lost`] when all that is left undone was taken by processes that have ended. It stays undone, and every `join` says so, until
            /// somebody calls `task_done` for it.
            fn join(&self) -> (), QueueError { "join"() }

            /// Ends the queue. From now on, putting fails, also for those who wait to; getting goes on until the queue is empty, and then fails, also for those
            /// who wait to. With `immediate`, what it holds is dropped, so that getting fails now; `join` does not wait for what was dropped.
            ///
            /// An item that is on its way to a process counts as held: those who wait get it, should that process end before it has arrived.
            fn shutdown(&self, immediate: bool) -> () { "shutdown"(immediate) }

            /// Whether it is shut down.
            fn is_shut_down(&self) -> bool { "is_shut_down"() }
        }

        impl<T: Datum> $proxy<T> {
            /// Makes an empty queue in the server, which holds `maxsize` items at most; 0 for any number.
            pub fn new(manager: &impl AsRef<Maker>, maxsize: usize) -> Result<Self> {
                manager.as_ref().construct_by_value::<$referent, Self, _>("new", &(maxsize,))
            }

            /// As [`get`](Self::get), waiting for `timeout` at most.
            ///
            /// # Errors
            /// [`QueueError::Empty`], [`QueueError::ShutDown`]; [`Error::Timeout`] where the server does not answer. No item is lost by any of them.
            pub fn get_timeout(&self, timeout: Duration) -> Queued<$item> {
                within(self, timeout, QueueError::Empty, Self::get)
            }

            /// As [`get_many`](Self::get_many), waiting for `timeout` at most.
            ///
            /// # Errors
            /// As [`get_timeout`](Self::get_timeout).
            pub fn get_many_timeout(&self, max: usize, timeout: Duration) -> Queued<Vec<$item>> {
                within(self, timeout, QueueError::Empty, |queue| queue.get_many(max))
            }

            /// Whether there are no items now.
            #[doc(alias = "empty")]
            pub fn is_empty(&self) -> Result<bool> {
                Ok(self.len()? == 0)
            }

            /// As [`join`](Self::join), for `timeout` at most.
            ///
            /// # Errors
            /// As `join`; [`Error::Timeout`] where the work is not done by then.
            pub fn join_timeout(&self, timeout: Duration) -> Queued<()> {
                self.with_timeout(timeout).join()
            }

            /// The items, each taken as it is asked for, with [`get`](Self::get): until the queue is shut down and empty.
            pub fn iter(&self) -> QueueIter<Self> {
                QueueIter { queue: Some(self.clone()) }
            }
        }

        impl<T: Datum> Iterator for QueueIter<$proxy<T>> {
            type Item = Result<$item>;

            fn next(&mut self) -> Option<Self::Item> {
                match self.queue.as_ref()?.get() {
                    Ok(item) => Some(Ok(item)),
                    Err(error) => {
                        self.queue = None;
                        match error {
                            CallError::Method(QueueError::ShutDown) => None,
                            error => Some(Err(error.into())),
                        }
                    }
                }
            }
        }

        impl<T: Datum> IntoIterator for &$proxy<T> {
            type Item = Result<$item>;
            type IntoIter = QueueIter<$proxy<T>>;

            fn into_iter(self) -> Self::IntoIter {
                self.iter()
            }
        }
    };
}

/// How items are put into a queue without priorities.
macro_rules! plain_puts {
    ($proxy:ident, $deferred:ident, $referent:ident) => {
        calls! {
            [T: Datum] $proxy[T], $deferred;

            /// Puts an item; waits as long as the queue is full.
            ///
            /// # Errors
            /// [`QueueError::ShutDown`].
            fn put(&self, item: impl Encodes<T>) -> (), QueueError { "put"(sent::<T, _>(&item)) }

            /// Puts an item, if there is room now.
            ///
            /// # Errors
            /// [`QueueError::Full`], [`QueueError::ShutDown`].
            #[doc(alias = "put_nowait")]
            fn try_put(&self, item: impl Encodes<T>) -> (), QueueError { "try_put"(sent::<T, _>(&item)) }
        }

        impl<T: Datum> $proxy<T> {
            /// Makes a queue of these items in the server, of any size.
            pub fn from_iter<I>(manager: &impl AsRef<Maker>, items: I) -> Result<Self>
            where
                I: IntoIterator<Item: Encodes<T>>,
            {
                manager.as_ref().construct_by_value::<$referent, Self, _>("filled", &(sent_all::<T, _>(items),))
            }

            /// As [`put`](Self::put), waiting for `timeout` at most.
            ///
            /// # Errors
            /// [`QueueError::Full`], [`QueueError::ShutDown`]: the item was not put, and never will be. [`Error::Timeout`] where the server does not answer: then it may have been.
            pub fn put_timeout(&self, item: impl Encodes<T>, timeout: Duration) -> Queued<()> {
                within(self, timeout, QueueError::Full, |queue| queue.put(Again(&item)))
            }

            /// Puts many items, in order, in one message where there is room for all; waits as long as there is not. How many were put: fewer than all only where the
            /// queue was shut down meanwhile.
            ///
            /// # Errors
            /// [`QueueError::ShutDown`] where none was put.
            pub fn put_many<I>(&self, items: I) -> Queued<usize>
            where
                I: IntoIterator<Item: Encodes<T>>,
            {
                let items: Vec<_> = items.into_iter().collect();
                put_all::<_, T, _>(self, &items, None)
            }

            /// As [`put_many`](Self::put_many), waiting for `timeout` at most: fewer than all also where time was over.
            ///
            /// # Errors
            /// As [`put_timeout`](Self::put_timeout) where none was put.
            pub fn put_many_timeout<I>(&self, items: I, timeout: Duration) -> Queued<usize>
            where
                I: IntoIterator<Item: Encodes<T>>,
            {
                let items: Vec<_> = items.into_iter().collect();
                put_all::<_, T, _>(self, &items, Some(timeout))
            }
        }
    };
}

queue_proxy! {
    /// A queue that many processes share: first in, first out. Any number of them put items of type `T`, any number get them, each item to one of them.
    ///
    /// Who waits is served in the order in which they came, at no thread's cost in the server. Whoever dies costs the others nothing: one that waited loses its
    /// place, and an item that had left for it but not arrived returns to its place in the queue. An item that did arrive is the receiver's: what it took and had
    /// not called [`task_done`](Self::task_done) for, [`join`](Self::join) tells of.
    ///
    /// ```
    /// use multiproc::{SyncManager, types::QueueProxy};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let jobs = QueueProxy::<String>::new(&manager, 100)?;
    /// let worker = std::thread::spawn({
    ///     let jobs = jobs.clone();                   // usually in other processes
    ///     move || -> multiproc::Result<usize> {
    ///         let mut letters = 0;
    ///         for job in &jobs {                     // until the queue is shut down
    ///             letters += job?.len();
    ///             jobs.task_done()?;
    ///         }
    ///         Ok(letters)
    ///     }
    /// });
    /// jobs.put("one")?;
    /// jobs.put_many(["two", "three"])?;
    /// jobs.join()?;                                  // all done
    /// jobs.shutdown(false)?;
    /// assert_eq!(worker.join().unwrap()?, 11);
    /// # manager.shutdown()
    /// # }
    /// ```
    ///
    /// A program that is a server shares one of its own by name: see [`Queue`].
    QueueProxy, QueueDeferred, Queue, T, Received::into_inner
}

plain_puts!(QueueProxy, QueueDeferred, Queue);

queue_proxy! {
    /// A queue that many processes share: last in, first out. Otherwise as a [`QueueProxy`].
    ///
    /// ```
    /// use multiproc::{SyncManager, types::{LifoQueueProxy, QueueError}};
    /// use multiproc::CallError::Method;
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let stack = LifoQueueProxy::<u32>::new(&manager, 2)?;
    /// stack.put(1)?;
    /// stack.put(2)?;
    /// assert!(matches!(stack.try_put(3), Err(Method(QueueError::Full))));
    /// assert_eq!((stack.get()?, stack.get()?), (2, 1));
    /// assert!(matches!(stack.try_get(), Err(Method(QueueError::Empty))));
    /// # manager.shutdown()
    /// # }
    /// ```
    LifoQueueProxy, LifoQueueDeferred, LifoQueue, T, Received::into_inner
}

plain_puts!(LifoQueueProxy, LifoQueueDeferred, LifoQueue);

queue_proxy! {
    /// A queue whose items are accounted for: first in, first out, under the name that Python has for it. In all a [`QueueProxy`], which has
    /// [`task_done`](Self::task_done) and [`join`](Self::join) as well.
    ///
    /// ```
    /// use multiproc::{SyncManager, types::{JoinableQueueProxy, QueueError}};
    /// use multiproc::CallError::Method;
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let jobs = JoinableQueueProxy::<u32>::from_iter(&manager, [1, 2])?;
    /// jobs.get()?;
    /// jobs.get()?;
    /// jobs.tasks_done(2)?;
    /// jobs.join()?;
    /// assert!(matches!(jobs.task_done(), Err(Method(QueueError::NotTaken))));
    /// # manager.shutdown()
    /// # }
    /// ```
    JoinableQueueProxy, JoinableQueueDeferred, JoinableQueue, T, Received::into_inner
}

plain_puts!(JoinableQueueProxy, JoinableQueueDeferred, JoinableQueue);

queue_proxy! {
    /// A queue that many processes share, whose items leave by their priority: the lowest number first, of equal ones the first in. Otherwise as a [`QueueProxy`].
    ///
    /// ```
    /// use multiproc::{SyncManager, types::PriorityQueueProxy};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let jobs = PriorityQueueProxy::<String>::from_iter(&manager, [(5, "sweep"), (1, "extinguish")])?;
    /// jobs.put(5, "dust")?;
    /// assert_eq!(jobs.get()?, (1, "extinguish".to_owned()));
    /// assert_eq!(jobs.get()?, (5, "sweep".to_owned()));
    /// # manager.shutdown()
    /// # }
    /// ```
    PriorityQueueProxy, PriorityQueueDeferred, PriorityQueue, (i64, T), ranked
}

calls! {
    [T: Datum] PriorityQueueProxy[T], PriorityQueueDeferred;

    /// Puts an item; waits as long as the queue is full. A lower priority number leaves earlier.
    ///
    /// # Errors
    /// [`QueueError::ShutDown`].
    fn put(&self, priority: i64, item: impl Encodes<T>) -> (), QueueError { "put"((priority, sent::<T, _>(&item))) }

    /// Puts an item, if there is room now.
    ///
    /// # Errors
    /// [`QueueError::Full`], [`QueueError::ShutDown`].
    #[doc(alias = "put_nowait")]
    fn try_put(&self, priority: i64, item: impl Encodes<T>) -> (), QueueError { "try_put"((priority, sent::<T, _>(&item))) }
}

impl<T: Datum> PriorityQueueProxy<T> {
    /// Makes a queue of these items with their priorities in the server, of any size.
    pub fn from_iter<I, E>(manager: &impl AsRef<Maker>, items: I) -> Result<Self>
    where
        I: IntoIterator<Item = (i64, E)>,
        E: Encodes<T>,
    {
        let items = items.into_iter().map(|(priority, item)| WithPriority(priority, item));
        let items = sent_all::<(i64, T), _>(items);
        manager.as_ref().construct_by_value::<PriorityQueue, Self, _>("filled", &(items,))
    }

    /// As [`put`](Self::put), waiting for `timeout` at most.
    ///
    /// # Errors
    /// [`QueueError::Full`], [`QueueError::ShutDown`]: the item was not put, and never will be. [`Error::Timeout`] where the server does not answer: then it may have been.
    pub fn put_timeout(&self, priority: i64, item: impl Encodes<T>, timeout: Duration) -> Queued<()> {
        within(self, timeout, QueueError::Full, |queue| queue.put(priority, Again(&item)))
    }

    /// Puts many items with their priorities, in one message where there is room for all; waits as long as there is not. How many were put: fewer than all only
    /// where the queue was shut down meanwhile.
    ///
    /// # Errors
    /// [`QueueError::ShutDown`] where none was put.
    pub fn put_many<I, E>(&self, items: I) -> Queued<usize>
    where
        I: IntoIterator<Item = (i64, E)>,
        E: Encodes<T>,
    {
        let items: Vec<_> = items.into_iter().map(|(priority, item)| WithPriority(priority, item)).collect();
        put_all::<_, (i64, T), _>(self, &items, None)
    }

    /// As [`put_many`](Self::put_many), waiting for `timeout` at most: fewer than all also where time was over.
    ///
    /// # Errors
    /// As [`put_timeout`](Self::put_timeout) where none was put.
    pub fn put_many_timeout<I, E>(&self, items: I, timeout: Duration) -> Queued<usize>
    where
        I: IntoIterator<Item = (i64, E)>,
        E: Encodes<T>,
    {
        let items: Vec<_> = items.into_iter().map(|(priority, item)| WithPriority(priority, item)).collect();
        put_all::<_, (i64, T), _>(self, &items, Some(timeout))
    }
}
