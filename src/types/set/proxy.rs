//! The handle to a set.

use std::collections::{BTreeSet, HashSet};

use serde::ser::{Serialize, Serializer};

use super::referent::{Combine, Relation, Set};
use crate::datum::Datum;
use crate::error::Result;
use crate::proxy::{Maker, Proxy};
use crate::types::batches::Batches;
use crate::types::bulk::received;
use crate::types::encodes::{Encodes, Slot, sent, sent_all};

proxy_type! {
    /// A set that many processes share: elements of type `T`, each once, in the order of their first insertion.
    ///
    /// Elements are equal by Python's rules (`1`, `1.0` and `true` are one), proxies if they are of one object. Calls block until the server has answered, and fail only as every call may
    /// ([`Error`](crate::Error)), or where what comes back is no `T`. Proxies in it keep their objects alive, as in every container.
    ///
    /// What a set is combined or compared with ([`SetOperand`]) is another set of the same server, which does not leave it, or a collection of this process.
    ///
    /// ```
    /// use std::collections::HashSet;
    /// use multiproc::{SyncManager, types::SetProxy};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let seen = SetProxy::<String>::from_iter(&manager, ["a", "b"])?;
    /// assert!(seen.insert("c")?);
    /// assert!(!seen.insert("a")?, "it was there");
    /// assert_eq!(seen.to_string(), "{'a', 'b', 'c'}");
    ///
    /// let other = SetProxy::<String>::from_iter(&manager, ["c", "d"])?;
    /// assert_eq!(seen.difference(&other)?, ["a", "b"]);
    /// seen.union_with(&other)?;                              // in the server
    /// assert!(seen.is_superset(&other)?);
    ///
    /// let copy: HashSet<String> = seen.to_set()?;
    /// assert_eq!(copy.len(), 4);
    /// # manager.shutdown()
    /// # }
    /// ```
    pub struct SetProxy<T>, SetDeferred;
}

/// What a set may be combined or compared with: a [`SetProxy`] of the same server, or a collection of elements.
pub trait SetOperand<T> {
    #[doc(hidden)]
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
}

impl<T: Datum> SetOperand<T> for SetProxy<T> {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}

macro_rules! set_operands {
    ($([$($bounds:tt)*] $operand:ty;)*) => {$(
        impl<T: Datum $($bounds)*> SetOperand<T> for $operand {
            fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                sent_all::<T, _>(self).serialize(serializer)
            }
        }
    )*};
}

set_operands! {
    [, H] HashSet<T, H>;
    [] BTreeSet<T>;
    [] Vec<T>;
    [] [T];
    [, const N: usize] [T; N];
}

/// An operand on its way out.
struct Operand<'a, T, O: ?Sized>(&'a O, std::marker::PhantomData<fn() -> T>);

fn operand<T, O: SetOperand<T> + ?Sized>(operand: &O) -> Operand<'_, T, O> {
    Operand(operand, std::marker::PhantomData)
}

impl<T, O: SetOperand<T> + ?Sized> Serialize for Operand<'_, T, O> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.encode(serializer)
    }
}

calls! {
    [T: Datum] SetProxy[T], SetDeferred;

    /// Inserts an element; whether it was not there before.
    #[doc(alias = "add")]
    fn insert(&self, value: impl Encodes<T>) -> bool { "insert"(sent::<T, _>(&value)) }

    /// Removes an element; whether it was there.
    #[doc(alias = "discard")]
    fn remove(&self, value: impl Encodes<T>) -> bool { "remove"(sent::<T, _>(&value)) }

    /// Whether an element is there.
    #[doc(alias = "__contains__")]
    fn contains(&self, value: impl Encodes<T>) -> bool { "contains"(sent::<T, _>(&value)) }

    /// Takes out the element that was inserted last; `None` where the set is empty. One whose taker dies before it has arrived is put back.
    fn pop(&self) -> Option<T> { "pop"() => Slot::into_inner }

    /// How many elements there are.
    #[doc(alias = "__len__")]
    fn len(&self) -> usize { "len"() }

    /// Removes all elements.
    fn clear(&self) -> () { "clear"() }

    /// All elements, in order, in one message. [`iter`](Self::iter) takes them bit by bit.
    #[doc(alias = "copy")]
    fn to_vec(&self) -> Vec<T> { "to_vec"() => received }

    /// What is in either of two sets: these in their order, then the others.
    #[doc(alias = "__or__")]
    fn union(&self, other: &(impl SetOperand<T> + ?Sized)) -> Vec<T> { "combined"(Combine::Union, operand(other)) => received }

    /// What is in both.
    #[doc(alias = "__and__")]
    fn intersection(&self, other: &(impl SetOperand<T> + ?Sized)) -> Vec<T> { "combined"(Combine::Intersection, operand(other)) => received }

    /// What is in this set and not in the other.
    #[doc(alias = "__sub__")]
    fn difference(&self, other: &(impl SetOperand<T> + ?Sized)) -> Vec<T> { "combined"(Combine::Difference, operand(other)) => received }

    /// What is in one of the sets and not in both.
    #[doc(alias = "__xor__")]
    fn symmetric_difference(&self, other: &(impl SetOperand<T> + ?Sized)) -> Vec<T> { "combined"(Combine::SymmetricDifference, operand(other)) => received }

    /// Inserts what is in the other.
    #[doc(alias = "update")]
    #[doc(alias = "__ior__")]
    fn union_with(&self, other: &(impl SetOperand<T> + ?Sized)) -> () { "combine"(Combine::Union, operand(other)) }

    /// Removes what is not in the other.
    #[doc(alias = "intersection_update")]
    #[doc(alias = "__iand__")]
    fn intersect_with(&self, other: &(impl SetOperand<T> + ?Sized)) -> () { "combine"(Combine::Intersection, operand(other)) }

    /// Removes what is in the other.
    #[doc(alias = "difference_update")]
    #[doc(alias = "__isub__")]
    fn subtract(&self, other: &(impl SetOperand<T> + ?Sized)) -> () { "combine"(Combine::Difference, operand(other)) }

    /// Removes what is in both, and inserts what is in the other alone.
    #[doc(alias = "symmetric_difference_update")]
    #[doc(alias = "__ixor__")]
    fn symmetric_difference_with(&self, other: &(impl SetOperand<T> + ?Sized)) -> () { "combine"(Combine::SymmetricDifference, operand(other)) }

    /// Whether all elements are in the other.
    #[doc(alias = "issubset")]
    fn is_subset(&self, other: &(impl SetOperand<T> + ?Sized)) -> bool { "stands"(Relation::Subset, operand(other)) }

    /// Whether all elements of the other are here.
    #[doc(alias = "issuperset")]
    fn is_superset(&self, other: &(impl SetOperand<T> + ?Sized)) -> bool { "stands"(Relation::Superset, operand(other)) }

    /// Whether no element is in both.
    #[doc(alias = "isdisjoint")]
    fn is_disjoint(&self, other: &(impl SetOperand<T> + ?Sized)) -> bool { "stands"(Relation::Disjoint, operand(other)) }

    /// Whether the same elements are in both, in whichever order.
    #[doc(alias = "__eq__")]
    fn equals(&self, other: &(impl SetOperand<T> + ?Sized)) -> bool { "stands"(Relation::Equals, operand(other)) }
}

impl<T: Datum> SetProxy<T> {
    /// Makes an empty set in the server.
    pub fn new(manager: &impl AsRef<Maker>) -> Result<Self> {
        Self::from_iter(manager, [] as [&T; 0])
    }

    /// Makes a set of these elements in the server.
    pub fn from_iter<I>(manager: &impl AsRef<Maker>, elements: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: Encodes<T>,
    {
        manager.as_ref().construct_by_value::<Set, Self, _>("new", &(sent_all::<T, _>(elements),))
    }

    /// Inserts many elements in one call.
    #[doc(alias = "update")]
    pub fn extend<I>(&self, elements: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: Encodes<T>,
    {
        self.base().invoke_by_value("combine", &(Combine::Union, sent_all::<T, _>(elements)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// A copy, as whatever set can be made of the elements.
    pub fn to_set<C: FromIterator<T>>(&self) -> Result<C> {
        Ok(self.to_vec()?.into_iter().collect())
    }

    /// The elements, in order, fetched in batches of up to 256 elements or 256 KiB. What others insert or remove meanwhile is seen as far as the iterator has not
    /// come by; no element that stays is missed or seen twice. After an error it ends.
    #[doc(alias = "__iter__")]
    pub fn iter(&self) -> SetIter<T> {
        SetIter { set: self.clone(), after: 0, batches: Batches::new() }
    }
}

/// The elements of a [`SetProxy`], as [`iter`](SetProxy::iter) gives them.
#[derive(Debug)]
pub struct SetIter<T> {
    set: SetProxy<T>,
    /// The place of the last element that was fetched.
    after: u64,
    batches: Batches<T>,
}

impl<T: Datum> Iterator for SetIter<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { set, after, batches } = self;
        batches.next(|| {
            let (last, elements) = set.base().invoke_by_value("batch", &(*after,))?;
            *after = last;
            Ok(received(elements))
        })
    }
}

impl<T: Datum> IntoIterator for &SetProxy<T> {
    type Item = Result<T>;
    type IntoIter = SetIter<T>;

    fn into_iter(self) -> SetIter<T> {
        self.iter()
    }
}
