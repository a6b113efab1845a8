//! The handle to a list.

use std::any::TypeId;
use std::cmp::Ordering;

use serde::Serialize;

use super::iter::ListIter;
use super::referent::List;
use crate::datum::Datum;
use crate::error::{CallError, Result};
use crate::proxy::{Maker, Proxy};
use crate::types::bulk::{Received, received};
use crate::types::encodes::{Encodes, Slot, sent, sent_all};
use crate::types::sequence::{Index, SequenceError, Slice};
use crate::types::update;

proxy_type! {
    /// A list that many processes share: elements of type `T`.
    ///
    /// Places are named as in Python: `-1` is the last one ([`Index`]), and slices may have negative ends and steps ([`Slice`]). Calls block until the server has
    /// answered, and fail only as every call may ([`Error`](crate::Error)), where what comes back is no `T`, or as they say themselves.
    ///
    /// Elements may be proxies, of this server's objects: those live as long as the list holds them, or anybody else does. An element that is
    /// [popped](Self::pop) goes back to its index (or the end, where the list is shorter by then) if its taker dies before it has arrived. One that has arrived is the taker's: for work
    /// that must be done there are queues, which know what is done.
    ///
    /// ```
    /// use multiproc::{SyncManager, types::ListProxy};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let names = ListProxy::<String>::from_iter(&manager, ["grace", "ada"])?;
    /// names.push("alan")?;
    /// names.sort()?;
    /// assert_eq!(names.to_string(), "['ada', 'alan', 'grace']");
    /// assert_eq!(names.get(-1)?.as_deref(), Some("grace"));
    /// assert_eq!(names.slice(..2)?, ["ada", "alan"]);
    ///
    /// // Read, compute, write, and nobody in between:
    /// names.update(0, |name| name.to_uppercase())?;
    ///
    /// for name in &names {
    ///     println!("{}", name?);
    /// }
    /// # manager.shutdown()
    /// # }
    /// ```
    pub struct ListProxy<T>, ListDeferred;
}

calls! {
    [T: Datum] ListProxy[T], ListDeferred;

    /// The element at an index; `None` where there is no such place.
    #[doc(alias = "__getitem__")]
    fn get(&self, index: impl Into<Index>) -> Option<T> { "get"(index.into()) => Slot::into_inner }

    /// The elements of a slice, in its order.
    #[doc(alias = "__getitem__")]
    fn slice(&self, slice: impl Into<Slice>) -> Vec<T>, SequenceError { "slice"(slice.into()) => received }

    /// Sets the element at an index; the former one back. An error where there is no such place.
    #[doc(alias = "__setitem__")]
    fn set(&self, index: impl Into<Index>, value: impl Encodes<T>) -> T, SequenceError { "set"(index.into(), sent::<T, _>(&value)) => Received::into_inner }

    /// Removes the elements of a slice.
    #[doc(alias = "__delitem__")]
    fn delete_slice(&self, slice: impl Into<Slice>) -> (), SequenceError { "delete_slice"(slice.into()) }

    /// Appends an element.
    #[doc(alias = "append")]
    fn push(&self, value: impl Encodes<T>) -> () { "push"(sent::<T, _>(&value)) }

    /// Inserts an element before an index; at an end of the list, if the index is beyond it.
    fn insert(&self, index: impl Into<Index>, value: impl Encodes<T>) -> () { "insert"(index.into(), sent::<T, _>(&value)) }

    /// Takes the last element out; `None` where the list is empty.
    fn pop(&self) -> Option<T> { "pop"(Index::from(-1)) => Slot::into_inner }

    /// Takes the element at an index out; `None` where there is no such place.
    #[doc(alias = "__delitem__")]
    fn pop_at(&self, index: impl Into<Index>) -> Option<T> { "pop"(index.into()) => Slot::into_inner }

    /// Removes the first element that equals a value; whether there was one.
    #[doc(alias = "remove")]
    fn remove_value(&self, value: impl Encodes<T>) -> bool { "remove_value"(sent::<T, _>(&value)) }

    /// The index of the first element that equals a value. Values are equal by Python's rules, proxies if they are of one object.
    #[doc(alias = "index")]
    fn index_of(&self, value: impl Encodes<T>) -> Option<usize> { "index_of"(sent::<T, _>(&value), Slice::default()) }

    /// As [`index_of`](Self::index_of), of the elements in a slice.
    #[doc(alias = "index")]
    fn index_of_within(&self, value: impl Encodes<T>, slice: impl Into<Slice>) -> Option<usize>, SequenceError { "index_of"(sent::<T, _>(&value), slice.into()) }

    /// How many elements equal a value.
    fn count(&self, value: impl Encodes<T>) -> usize { "count"(sent::<T, _>(&value)) }

    /// Whether an element equals a value.
    #[doc(alias = "__contains__")]
    fn contains(&self, value: impl Encodes<T>) -> bool { "index_of"(sent::<T, _>(&value), Slice::default()) => |index: Option<usize>| index.is_some() }

    /// Turns the list round.
    fn reverse(&self) -> () { "reverse"() }

    /// Sorts in the server, by Python's order of values, which keeps equal ones as they are: numbers by their worth (NaN last), strs by their characters, bytes by their bytes,
    /// tuples and lists by what differs first. An error, and nothing sorted, where elements have no such order: structs, enums with contents, `None`, proxies, and
    /// values of different kinds. An enum's unit variants are strs here: their names.
    #[doc(alias = "sort")]
    fn sort_by_value(&self, descending: bool) -> (), SequenceError { "sort"(descending) }

    /// Makes the list as many times what it is: `l *= times`. An error where there is no memory for that.
    #[doc(alias = "__imul__")]
    fn repeat(&self, times: usize) -> (), SequenceError { "repeat"(times) }

    /// How many elements there are.
    #[doc(alias = "__len__")]
    fn len(&self) -> usize { "len"() }

    /// Removes all elements.
    fn clear(&self) -> () { "clear"() }

    /// A copy, in one message. [`iter`](Self::iter) takes the elements bit by bit.
    #[doc(alias = "copy")]
    fn to_vec(&self) -> Vec<T> { "slice"(Slice::default()) => received }
}

impl<T: Datum> ListProxy<T> {
    /// Makes an empty list in the server.
    pub fn new(manager: &impl AsRef<Maker>) -> Result<Self> {
        Self::from_iter(manager, [] as [&T; 0])
    }

    /// Makes a list of these elements in the server.
    pub fn from_iter<I>(manager: &impl AsRef<Maker>, elements: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: Encodes<T>,
    {
        manager.as_ref().construct_by_value::<List, Self, _>("new", &(sent_all::<T, _>(elements),))
    }

    /// Appends many elements in one call: nobody's come in between.
    #[doc(alias = "__iadd__")]
    pub fn extend<I>(&self, elements: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: Encodes<T>,
    {
        self.base().invoke_by_value("extend", &(sent_all::<T, _>(elements),))
    }

    /// Appends what another list holds, in the server.
    #[doc(alias = "__iadd__")]
    pub fn extend_from(&self, other: &Self) -> Result<()> {
        self.base().invoke_by_value("extend_from", &(other,))
    }

    /// The elements of this list, and behind them those of another, or of anything that is sent as a list: `l + other`. The list stays as it is.
    #[doc(alias = "__add__")]
    pub fn concatenate(&self, other: &impl Serialize) -> Result<Vec<T>> {
        self.base().invoke_by_value("concatenate", &(other,)).map(received)
    }

    /// Replaces the elements of a slice by others: by as many as there are, where the slice has no step; else by as many as it has places.
    #[doc(alias = "__setitem__")]
    pub fn set_slice<I>(&self, slice: impl Into<Slice>, elements: I) -> Result<(), CallError<SequenceError>>
    where
        I: IntoIterator,
        I::Item: Encodes<T>,
    {
        self.base().invoke_fallible_by_value("set_slice", &(slice.into(), sent_all::<T, _>(elements)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The elements, in order, fetched in batches of up to 256 elements or 256 KiB. As Python's, the iterator goes by index: it sees what others append or set before it has come by; where
    /// they insert or take out before its place, an element comes twice or is missed. After an error it ends. [`to_vec`](Self::to_vec) is of one moment.
    #[doc(alias = "__iter__")]
    pub fn iter(&self) -> ListIter<T> {
        ListIter::new(self.clone())
    }

    /// Whether the elements equal those of another list, or of anything that is sent as a list, one by one.
    #[doc(alias = "__eq__")]
    pub fn equals(&self, other: &impl Serialize) -> Result<bool> {
        self.base().invoke_by_value("equals", &(other,))
    }

    /// Changes the element at an index by a function of it, with nobody's change in between; returns the new one. An error where there is no such place.
    ///
    /// `change` runs in this process, and runs again where somebody else was faster (or the element is at another index meanwhile): it must depend on nothing but what it
    /// is given. After 8 times it gets a turn of its own, in the order in which callers came to that, of at most 1 s.
    pub fn update(
        &self,
        index: impl Into<Index>,
        mut change: impl FnMut(T) -> T,
    ) -> Result<T, CallError<SequenceError>> {
        let index = index.into();
        let new = update::update(self.base(), &Some(index), |value| value.map(|value| Some(change(value))))?;
        match new.flatten() {
            Some(new) => Ok(new),
            None => Err(CallError::Method(index.missing(self.len()?))),
        }
    }

    /// Changes the whole list by a function of it, with nobody's change in between; returns how long it is then.
    ///
    /// All elements travel both ways, and `change` runs again as with [`update`](Self::update), whenever anything in the list was written meanwhile: for lists that are
    /// rarely written.
    pub fn update_all(&self, mut change: impl FnMut(&mut Vec<T>)) -> Result<usize> {
        let new = update::update(self.base(), &None::<Index>, |elements: Option<Vec<T>>| {
            let mut elements = elements.unwrap_or_default();
            change(&mut elements);
            Some(Some(elements))
        })?;
        Ok(new.flatten().map_or(0, |elements| elements.len()))
    }

    /// Sorts by the elements' own order, and keeps equal ones as they are.
    ///
    /// Ints, `bool`, `char` and `String` are sorted in the server, in one call. Of other types only the program knows the order: the list comes here, is sorted, and
    /// goes back as [`update_all`](Self::update_all) says. For floats, or for Python's order of values of any types, see [`sort_by`](Self::sort_by) and
    /// [`sort_by_value`](Self::sort_by_value).
    pub fn sort(&self) -> Result<()>
    where
        T: Ord,
    {
        if is_plain::<T>() {
            return Ok(self.sort_by_value(false)?);
        }
        self.sort_by(T::cmp)
    }

    /// Sorts by a comparison, in this process; as [`update_all`](Self::update_all).
    ///
    /// ```
    /// # use multiproc::{SyncManager, types::ListProxy};
    /// # fn main() -> multiproc::Result<()> {
    /// # let manager = SyncManager::start()?;
    /// let list = ListProxy::<f64>::from_iter(&manager, [1.5, -2.0])?;
    /// list.sort_by(f64::total_cmp)?;
    /// assert_eq!(list.to_vec()?, [-2.0, 1.5]);
    /// # manager.shutdown()
    /// # }
    /// ```
    pub fn sort_by(&self, mut compare: impl FnMut(&T, &T) -> Ordering) -> Result<()> {
        self.update_all(|elements| elements.sort_by(&mut compare)).map(drop)
    }

    /// Sorts by a key, in this process; as [`update_all`](Self::update_all).
    #[doc(alias = "sort")]
    pub fn sort_by_key<K: Ord>(&self, mut key: impl FnMut(&T) -> K) -> Result<()> {
        self.update_all(|elements| elements.sort_by_key(&mut key)).map(drop)
    }
}

/// Whether Rust's order of a type is Python's.
fn is_plain<T: 'static>() -> bool {
    macro_rules! is_one_of {
        ($($plain:ty)*) => { [$(TypeId::of::<$plain>()),*].contains(&TypeId::of::<T>()) };
    }
    is_one_of! { bool i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize char String }
}
