//! A number that many processes count on.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Serialize, Serializer};

use crate::error::Result;
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Outcome, Referent};
use crate::proxy::Maker;

/// The referent of a [`CounterProxy`].
#[derive(Debug, Default)]
pub struct Counter {
    value: AtomicI64,
}

impl Counter {
    /// A counter that starts at `value`.
    pub fn new(value: i64) -> Self {
        Self { value: AtomicI64::new(value) }
    }

    // All of them pair with nothing: only the number counts, and it is never used to guard anything else.

    fn get(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }

    fn add(&self, n: i64) -> i64 {
        self.value.fetch_add(n, Ordering::Relaxed).wrapping_add(n)
    }

    fn swap(&self, value: i64) -> i64 {
        self.value.swap(value, Ordering::Relaxed)
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl Serialize for Counter {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl Referent for Counter {
    type Proxy = CounterProxy;
    type Store = Bare<Self>;
    const TYPEID: &'static str = "Counter";

    fn methods(table: &mut Methods<Self>) {
        table.dynamic_constructor("new", &["value"], |call| Ok(Self::new(call.arguments::<(i64,)>()?.0)));
        table.dynamic("get", &[], |this, call| -> Outcome {
            let () = call.arguments()?;
            call.answer(&this.get())
        });
        table.dynamic("add", &["n"], |this, call| {
            let (n,) = call.arguments()?;
            call.answer(&this.add(n))
        });
        table.dynamic("swap", &["value"], |this, call| {
            let (value,) = call.arguments()?;
            call.answer(&this.swap(value))
        });
        table.display();
        table.value();
    }
}

proxy_type! {
    /// A number that many processes count on: what people reach for a `Value` and a lock for, in one call each.
    ///
    /// Calls block until the server has answered, and fail only as every call may ([`Error`](crate::Error)).
    ///
    /// ```
    /// use multiproc::{SyncManager, types::CounterProxy};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let done = CounterProxy::new(&manager, 0)?;
    /// let other = done.clone();                      // usually in another process
    /// other.add(2)?;
    /// assert_eq!(done.add(3)?, 5);
    /// assert_eq!(done.get()?, 5);
    /// # manager.shutdown()
    /// # }
    /// ```
    pub struct CounterProxy, CounterDeferred;
}

impl CounterProxy {
    /// Makes a counter in the server.
    pub fn new(manager: &impl AsRef<Maker>, value: i64) -> Result<Self> {
        manager.as_ref().construct_by_value::<Counter, Self, _>("new", &(value,))
    }
}

calls! {
    [] CounterProxy[], CounterDeferred;

    /// The number.
    fn get(&self) -> i64 { "get"() }

    /// Adds `n`, which may be negative, and returns the sum. Wraps around at the ends of `i64`, as atomics do.
    fn add(&self, n: i64) -> i64 { "add"(n) }

    /// Sets the number, and returns the former one.
    fn swap(&self, value: i64) -> i64 { "swap"(value) }
}
