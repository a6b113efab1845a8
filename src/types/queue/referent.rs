//! The queues as a server keeps them.

use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, Serializer};

use super::core::Core;
use super::order::{Entry, Fifo, Lifo, Order, Ranked};
use super::proxy::{JoinableQueueProxy, LifoQueueProxy, PriorityQueueProxy, QueueProxy};
use crate::codec::Value;
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Failure, Invocation, Outcome, Referent};
use crate::types::element::elements;

/// What is called, in every kind of queue.
impl<O: Order> Core<O> {
    fn filled(call: &mut Invocation<'_>) -> Result<Arc<Self>, Failure> {
        let (entries,) = elements::<(Vec<O::Entry>,)>(call)?;
        let queue = Self::new(0);
        queue.fill(entries);
        Ok(queue)
    }

    fn put_one(&self, call: &mut Invocation<'_>, blocking: bool) -> Outcome {
        let (entry,) = elements::<(O::Entry,)>(call)?;
        self.accept(call, vec![entry], false, blocking)
    }

    fn put_many(&self, call: &mut Invocation<'_>) -> Outcome {
        let (entries,) = elements::<(Vec<O::Entry>,)>(call)?;
        self.accept(call, entries, true, true)
    }

    fn get_one(&self, call: &mut Invocation<'_>, blocking: bool) -> Outcome {
        let () = call.arguments()?;
        self.get(call, None, blocking)
    }

    fn get_many(&self, call: &mut Invocation<'_>) -> Outcome {
        let (max,) = call.arguments::<(usize,)>()?;
        if max == 0 {
            return call.answer::<[(); 0]>(&[]);
        }
        self.get(call, Some(max), true)
    }

    fn write(&self, typeid: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{typeid}([")?;
        for (place, entry) in self.entries().iter().enumerate() {
            f.write_str(if place > 0 { ", " } else { "" })?;
            entry.write(f)?;
        }
        f.write_str("])")
    }
}

macro_rules! queue {
    ($(#[$attribute:meta])* $name:ident, $order:ident, $typeid:literal, $proxy:ty) => {
        $(#[$attribute])*
        pub struct $name {
            core: Arc<Core<$order>>,
        }

        impl $name {
            /// An empty queue that holds `maxsize` items at most; 0 for any number.
            pub fn new(maxsize: usize) -> Self {
                Self { core: Core::new(maxsize) }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        /// What it holds, in the order in which it would leave.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.core.write($typeid, f)
            }
        }

        /// What it holds, as a list, in the order in which it would leave.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.core.entries().serialize(serializer)
            }
        }

        impl Referent for $name {
            type Proxy = $proxy;
            type Store = Bare<Self>;
            const TYPEID: &'static str = $typeid;

            fn methods(table: &mut Methods<Self>) {
                table.dynamic_constructor("new", &["maxsize"], |call| Ok(Self::new(call.arguments::<(usize,)>()?.0)));
                table.dynamic_constructor("filled", &["items"], |call| Ok(Self { core: Core::filled(call)? }));
                table.dynamic("put", &["item"], |this, call| this.core.put_one(call, true));
                table.dynamic("try_put", &["item"], |this, call| this.core.put_one(call, false));
                table.dynamic("put_many", &["items"], |this, call| this.core.put_many(call));
                table.dynamic("get", &[], |this, call| this.core.get_one(call, true));
                table.dynamic("try_get", &[], |this, call| this.core.get_one(call, false));
                table.dynamic("get_many", &["max"], |this, call| this.core.get_many(call));
                table.dynamic("len", &[], |this, call| {
                    let () = call.arguments()?;
                    call.answer(&this.core.len())
                });
                table.dynamic("is_full", &[], |this, call| {
                    let () = call.arguments()?;
                    call.answer(&this.core.is_full())
                });
                table.dynamic("maxsize", &[], |this, call| {
                    let () = call.arguments()?;
                    call.answer(&this.core.maxsize())
                });
                table.dynamic("waiting", &[], |this, call| {
                    let () = call.arguments()?;
                    call.answer(&this.core.waiting())
                });
                table.dynamic("task_done", &["items"], |this, call| {
                    let (items,) = call.arguments()?;
                    this.core.done(call, items, false)
                });
                #[cfg(feature = "python")]
                table.dynamic("early_done", &["items"], |this, call| {
                    let (items,) = call.arguments()?;
                    this.core.done(call, items, true)
                });
                table.dynamic("join", &[], |this, call| {
                    let () = call.arguments()?;
                    this.core.join(call)
                });
                table.dynamic("shutdown", &["immediate"], |this, call| {
                    let (immediate,) = call.arguments()?;
                    this.core.shut_down(immediate);
                    call.answer(&())
                });
                table.dynamic("is_shut_down", &[], |this, call| {
                    let () = call.arguments()?;
                    call.answer(&this.core.is_shut_down())
                });
                table.display();
                table.value();
            }
        }
    };
}

queue! {
    /// The referent of a [`QueueProxy`]: first in, first out.
    ///
    /// A program that is a server registers one of its own, for others to ask for by name:
    ///
    /// ```
    /// use multiproc::types::{Queue, QueueProxy};
    /// use multiproc::{BaseManager, Registration, Shared};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let queue = Shared::new(Queue::new(0));
    /// let registration = Registration::<Queue>::new("get_queue").callable(move || queue.clone());
    /// let manager = BaseManager::builder().register_with(registration).start()?;
    ///
    /// // Usually in other programs, which connect to the server:
    /// let queue: QueueProxy<String> = manager.create_as("get_queue", ())?;
    /// queue.put("hello")?;
    /// let same: QueueProxy<String> = manager.create_as("get_queue", ())?;
    /// assert_eq!(same.get()?, "hello");
    /// # manager.shutdown()
    /// # }
    /// ```
    Queue, Fifo, "Queue", QueueProxy<Value>
}

queue! {
    /// The referent of a [`LifoQueueProxy`]: last in, first out.
    LifoQueue, Lifo, "LifoQueue", LifoQueueProxy<Value>
}

queue! {
    /// The referent of a [`PriorityQueueProxy`]: the lowest priority number first.
    PriorityQueue, Ranked, "PriorityQueue", PriorityQueueProxy<Value>
}

queue! {
    /// The referent of a [`JoinableQueueProxy`]: first in, first out.
    JoinableQueue, Fifo, "JoinableQueue", JoinableQueueProxy<Value>
}
