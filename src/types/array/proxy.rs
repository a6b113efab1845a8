//! The handle to an array.

use std::time::Duration;

use super::guard::ArrayGuard;
use super::referent::Array;
use crate::error::{CallError, Result};
use crate::proxy::{Maker, Proxy};
use crate::types::bulk::Received;
use crate::types::encodes::{Encodes, Slot, sent};
use crate::types::locked::Locked;
use crate::types::number::{Integer, Number, Operation};
use crate::types::sequence::{Index, SequenceError, Slice};
use crate::types::update;

proxy_type! {
    /// Numbers of one type that many processes share, as many as there were at first: Python's `Array`.
    ///
    /// Places are named as in Python: `-1` is the last one ([`Index`]), and slices may have negative ends and steps ([`Slice`]). The server keeps one block of memory, and slices
    /// travel as one. Reading never waits for others; all that writes waits while somebody has the [lock](Self::lock), in the order of coming. Calls block until the server has
    /// answered, and fail only as every call may ([`Error`](crate::Error)), or as they say themselves.
    ///
    /// ```
    /// use multiproc::{SyncManager, types::ArrayProxy};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let loads = ArrayProxy::<f64>::zeroed(&manager, 4)?;
    /// loads.set(-1, 2.5)?;
    /// loads.fetch_add(0, 1.0)?;
    /// loads.set_slice(1..3, &[7.0, 8.0])?;
    /// assert_eq!(loads.to_vec()?, [1.0, 7.0, 8.0, 2.5]);
    /// assert_eq!(loads.slice(..2)?, [1.0, 7.0]);
    /// loads.update(1, |load| load * 2.0)?;
    /// assert_eq!(loads.to_string(), "array('d', [1.0, 14.0, 8.0, 2.5])");
    /// let mut all = loads.lock()?;                       // nobody else writes
    /// all.reverse();
    /// all.unlock()?;                                     // or drop it
    /// assert_eq!(loads.get(0)?, Some(2.5));
    /// # manager.shutdown()
    /// # }
    /// ```
    pub struct ArrayProxy<T>, ArrayDeferred;
}

calls! {
    [T: Number] ArrayProxy[T], ArrayDeferred;

    /// The number at an index; `None` where there is no such place.
    #[doc(alias = "__getitem__")]
    fn get(&self, index: impl Into<Index>) -> Option<T> { "get"(index.into()) => Slot::into_inner }

    /// Sets the number at an index; the former one back. An error where there is no such place.
    #[doc(alias = "__setitem__")]
    fn set(&self, index: impl Into<Index>, number: T) -> T, SequenceError { "set"(index.into(), number) }

    /// The numbers of a slice, in its order.
    #[doc(alias = "__getitem__")]
    fn slice(&self, slice: impl Into<Slice>) -> Vec<T>, SequenceError { "slice"(slice.into()) => Received::into_inner }

    /// Sets the numbers of a slice, each by one.
    #[doc(alias = "__setitem__")]
    fn set_slice(&self, slice: impl Into<Slice>, numbers: impl Encodes<Vec<T>>) -> (), SequenceError { "set_slice"(slice.into(), sent::<Vec<T>, _>(&numbers)) }

    /// Sets all numbers to one.
    fn fill(&self, number: T) -> () { "fill"(number) }

    /// Adds to the number at an index, and returns what it was before. Ints wrap around, as atomics do.
    fn fetch_add(&self, index: impl Into<Index>, n: T) -> T, SequenceError { "compute"(index.into(), Operation::Add, n) }

    /// Subtracts from the number at an index, and returns what it was before. Ints wrap around, as atomics do.
    fn fetch_sub(&self, index: impl Into<Index>, n: T) -> T, SequenceError { "compute"(index.into(), Operation::Sub, n) }

    /// Sets the number at an index to the greater one of it and `n`, and returns what it was before.
    fn fetch_max(&self, index: impl Into<Index>, n: T) -> T, SequenceError { "compute"(index.into(), Operation::Max, n) }

    /// Sets the number at an index to the lesser one of it and `n`, and returns what it was before.
    fn fetch_min(&self, index: impl Into<Index>, n: T) -> T, SequenceError { "compute"(index.into(), Operation::Min, n) }

    /// Sets the number at an index to `new` if it is `expected`. `Ok` with the former number where it was, `Err` with the one there is where it was not.
    fn compare_exchange(&self, index: impl Into<Index>, expected: T, new: T) -> std::result::Result<T, T>, SequenceError {
        "compare_exchange"(index.into(), expected, new) => |(exchanged, number): (bool, T)| if exchanged { Ok(number) } else { Err(number) }
    }

    /// How many numbers there are.
    #[doc(alias = "__len__")]
    fn len(&self) -> usize { "len"() }

    /// All numbers.
    fn to_vec(&self) -> Vec<T> { "slice"(Slice::default()) => Received::into_inner }
}

calls! {
    [T: Integer] ArrayProxy[T], ArrayDeferred;

    /// Keeps the bits that are set in `n`, too, and returns what the number was before.
    fn fetch_and(&self, index: impl Into<Index>, n: T) -> T, SequenceError { "compute"(index.into(), Operation::And, n) }

    /// Sets the bits that are set in `n`, and returns what the number was before.
    fn fetch_or(&self, index: impl Into<Index>, n: T) -> T, SequenceError { "compute"(index.into(), Operation::Or, n) }

    /// Turns the bits round that are set in `n`, and returns what the number was before.
    fn fetch_xor(&self, index: impl Into<Index>, n: T) -> T, SequenceError { "compute"(index.into(), Operation::Xor, n) }
}

impl<T: Number> ArrayProxy<T> {
    /// Makes an array of these numbers in the server.
    pub fn new(manager: &impl AsRef<Maker>, numbers: impl Encodes<Vec<T>>) -> Result<Self> {
        let arguments = (T::KIND, sent::<Vec<T>, _>(&numbers));
        manager.as_ref().construct_by_value::<Array, Self, _>("new", &arguments)
    }

    /// Makes an array of these numbers in the server.
    pub fn from_iter(manager: &impl AsRef<Maker>, numbers: impl IntoIterator<Item = T>) -> Result<Self> {
        Self::new(manager, numbers.into_iter().collect::<Vec<T>>())
    }

    /// Makes an array of so many zeros in the server.
    pub fn zeroed(manager: &impl AsRef<Maker>, length: usize) -> Result<Self>
    where
        T: Default,
    {
        Self::new(manager, vec![T::default(); length])
    }

    /// Whether the numbers equal those of another array or list, or of anything that is sent as a list, one by one: `1` and `1.0` do.
    #[doc(alias = "__eq__")]
    pub fn equals(&self, other: &impl serde::Serialize) -> Result<bool> {
        self.base().invoke_by_value("equals", &(other,))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Locks the array: nobody else writes any of it until the guard, a slice of its numbers, is dropped or [unlocked](ArrayGuard::unlock). Waits for those who have it or came before;
    /// as long as it takes, or as the proxy's [timeout](Proxy::with_timeout) says.
    ///
    /// All numbers come here, and go back if they may have changed. The lock of a process that ends, in whatever way, goes to the next, who [is told](ArrayGuard::was_abandoned); the
    /// array is what it was before. A thread that writes the array by its proxy while it has the guard waits for itself.
    #[doc(alias = "get_lock")]
    pub fn lock(&self) -> Result<ArrayGuard<T>> {
        Locked::new(self.base()).map(ArrayGuard)
    }

    /// As [`lock`](Self::lock), or `None` after that time.
    pub fn try_lock_for(&self, timeout: Duration) -> Result<Option<ArrayGuard<T>>> {
        Ok(Locked::within(self.base(), timeout)?.map(ArrayGuard))
    }

    /// Changes the number at an index by a function of it, with nobody's change in between; returns the new one. An error where there is no such place.
    ///
    /// `change` runs in this process, and runs again where somebody else was faster: it must depend on nothing but what it is given. After 8 times it gets a turn of its own, in the
    /// order in which callers came to that and to the [lock](Self::lock), of at most 1 s. What can be done by `fetch_add` and the like takes one call instead.
    pub fn update(
        &self,
        index: impl Into<Index>,
        mut change: impl FnMut(T) -> T,
    ) -> Result<T, CallError<SequenceError>> {
        let index = index.into();
        let new = update::update(self.base(), &index, |number| number.map(|number| Some(change(number))))?;
        match new.flatten() {
            Some(new) => Ok(new),
            None => Err(CallError::Method(index.missing(self.len()?))),
        }
    }
}
