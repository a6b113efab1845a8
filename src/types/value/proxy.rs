//! The handle to a value.

use std::time::Duration;

use super::guard::ValueGuard;
use super::referent::SharedValue;
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::proxy::{Maker, Proxy};
use crate::types::bulk::Received;
use crate::types::encodes::{Encodes, sent};
use crate::types::locked::Locked;
use crate::types::number::{Integer, Number, Operation};
use crate::types::update;

proxy_type! {
    /// One value of type `T` that many processes share, with a lock of its own: what `Arc<Mutex<T>>` is among threads.
    ///
    /// [`get`](Self::get) never waits for others. All that writes ([`set`](Self::set), [`update`](Self::update), [`fetch_add`](Self::fetch_add), …) waits while somebody has the
    /// [lock](Self::lock), in the order of coming. Calls block until the server has answered, and fail only as every call may ([`Error`](crate::Error)), or where what
    /// comes back is no `T`.
    ///
    /// ```
    /// use multiproc::{SyncManager, types::ValueProxy};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let best = ValueProxy::<(f64, String)>::new(&manager, (0.0, String::new()))?;
    /// let mut guard = best.lock()?;
    /// if guard.0 < 0.9 {
    ///     *guard = (0.9, "a better one".into());
    /// }
    /// guard.unlock()?;                               // or drop it
    /// assert_eq!(best.get()?.0, 0.9);
    ///
    /// let count = ValueProxy::new(&manager, 40_u32)?;
    /// assert_eq!(count.fetch_add(2)?, 40);           // in one call
    /// count.update(|n| n * 2)?;                      // by any function
    /// assert_eq!(count.compare_exchange(84, 0)?, Ok(84));
    /// # manager.shutdown()
    /// # }
    /// ```
    pub struct ValueProxy<T>, ValueDeferred;
}

calls! {
    [T: Datum] ValueProxy[T], ValueDeferred;

    /// The value; while somebody has the lock the one that was there before.
    fn get(&self) -> T { "get"() => Received::into_inner }

    /// Sets the value.
    fn set(&self, value: impl Encodes<T>) -> () { "set"(sent::<T, _>(&value)) }

    /// Sets the value, and returns the former one.
    fn swap(&self, value: impl Encodes<T>) -> T { "swap"(sent::<T, _>(&value)) => Received::into_inner }

    /// Sets the value to `new` if it equals `expected`, by Python's rules. `Ok` with the former value where it did, `Err` with the value there is where it did not.
    fn compare_exchange(&self, expected: impl Encodes<T>, new: impl Encodes<T>) -> std::result::Result<T, T> {
        "compare_exchange"(sent::<T, _>(&expected), sent::<T, _>(&new)) => exchanged
    }
}

fn exchanged<T>((exchanged, value): (bool, Received<T>)) -> std::result::Result<T, T> {
    if exchanged { Ok(value.into_inner()) } else { Err(value.into_inner()) }
}

calls! {
    [T: Number] ValueProxy[T], ValueDeferred;

    /// Adds to the number, and returns what it was before. Ints wrap around, as atomics do.
    fn fetch_add(&self, n: T) -> T { "compute"(T::KIND, Operation::Add, n) }

    /// Subtracts from the number, and returns what it was before. Ints wrap around, as atomics do.
    fn fetch_sub(&self, n: T) -> T { "compute"(T::KIND, Operation::Sub, n) }

    /// Sets the number to the greater one of it and `n`, and returns what it was before.
    fn fetch_max(&self, n: T) -> T { "compute"(T::KIND, Operation::Max, n) }

    /// Sets the number to the lesser one of it and `n`, and returns what it was before.
    fn fetch_min(&self, n: T) -> T { "compute"(T::KIND, Operation::Min, n) }
}

calls! {
    [T: Integer] ValueProxy[T], ValueDeferred;

    /// Keeps the bits that are set in `n`, too, and returns what the number was before.
    fn fetch_and(&self, n: T) -> T { "compute"(T::KIND, Operation::And, n) }

    /// Sets the bits that are set in `n`, and returns what the number was before.
    fn fetch_or(&self, n: T) -> T { "compute"(T::KIND, Operation::Or, n) }

    /// Turns the bits round that are set in `n`, and returns what the number was before.
    fn fetch_xor(&self, n: T) -> T { "compute"(T::KIND, Operation::Xor, n) }
}

impl<T: Datum> ValueProxy<T> {
    /// Makes a value in the server.
    pub fn new(manager: &impl AsRef<Maker>, value: impl Encodes<T>) -> Result<Self> {
        manager.as_ref().construct_by_value::<SharedValue, Self, _>("new", &(sent::<T, _>(&value),))
    }

    /// Locks the value: nobody else writes it until the guard is dropped or [unlocked](ValueGuard::unlock). Waits for those who have it or came before; as long as it takes, or as the
    /// proxy's [timeout](Proxy::with_timeout) says.
    ///
    /// The lock of a process that ends, in whatever way, goes to the next, who [is told](ValueGuard::was_abandoned); its value is what it was before. A thread that writes
    /// the value by its proxy while it has the guard waits for itself.
    #[doc(alias = "get_lock")]
    pub fn lock(&self) -> Result<ValueGuard<T>> {
        Locked::new(self.base()).map(ValueGuard)
    }

    /// As [`lock`](Self::lock), or `None` after that time.
    pub fn try_lock_for(&self, timeout: Duration) -> Result<Option<ValueGuard<T>>> {
        Ok(Locked::within(self.base(), timeout)?.map(ValueGuard))
    }

    /// Changes the value by a function of it, with nobody's change in between; returns the new one.
    ///
    /// `change` runs in this process, and runs again where somebody else was faster: it must depend on nothing but what it is given. After 8 times it gets the lock, in the
    /// order in which callers came to that, for at most 1 s. For functions that do more there is [`lock`](Self::lock).
    pub fn update(&self, mut change: impl FnMut(T) -> T) -> Result<T> {
        let new = update::update(self.base(), &(), |value| value.map(|value| Some(change(value))))?;
        new.flatten().ok_or_else(|| Error::Protocol { reason: "no value".into() })
    }
}
