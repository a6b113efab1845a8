//! Places in a sequence, as Python names them: indices that count from the end when they are negative, and slices with steps.

use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use serde::{Deserialize, Serialize};

/// A place in a list or array: `0` is the first, `-1` the last.
///
/// Made of any int; one that no sequence is long enough for is out of range.
///
/// ```
/// # use multiproc::{SyncManager, types::ListProxy};
/// # fn main() -> multiproc::Result<()> {
/// # let manager = SyncManager::start()?;
/// let list = ListProxy::<char>::from_iter(&manager, "abc".chars())?;
/// assert_eq!(list.get(0)?, Some('a'));
/// assert_eq!(list.get(-1)?, Some('c'));
/// assert_eq!(list.get(3)?, None);
/// # manager.shutdown()
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Index(i64);

macro_rules! index_from {
    ($($int:ty)*) => {$(
        impl From<$int> for Index {
            fn from(index: $int) -> Self {
                // What does not fit is far outside of everything, on the side that it is on.
                #[allow(unused_comparisons, clippy::allow_attributes, reason = "of unsigned ints, too")]
                Self(i64::try_from(index).unwrap_or(if index < 0 { i64::MIN } else { i64::MAX }))
            }
        }
    )*};
}

index_from! { i8 i16 i32 i64 isize u8 u16 u32 u64 usize }

impl Index {
    /// Where that is in a sequence of that length, if there is such a place.
    pub(super) fn within(self, length: usize) -> Option<usize> {
        let from_start = if self.0 < 0 { self.0.checked_add(i64::try_from(length).ok()?)? } else { self.0 };
        usize::try_from(from_start).ok().filter(|&index| index < length)
    }

    /// As [`within`](Self::within), or the error that says so.
    pub(super) fn require(self, length: usize) -> Result<usize, SequenceError> {
        self.within(length).ok_or_else(|| self.missing(length))
    }

    /// The error of an index that there is not.
    pub(super) fn missing(self, length: usize) -> SequenceError {
        SequenceError::OutOfRange { index: self.0, length }
    }

    /// Between which elements of a sequence of that length that is; at an end, if it is beyond.
    pub(super) fn clamped(self, length: usize) -> usize {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let from_start = if self.0 < 0 { self.0.saturating_add(length) } else { self.0 };
        usize::try_from(from_start.clamp(0, length)).unwrap_or_default()
    }
}

/// Several places in a list or array: a range, whose ends may be negative and beyond the sequence's, with a step.
///
/// Made of any range of ints, of a tuple of start and stop (`(1, -1)` is all but the first and the last; clippy takes `1..-1` for a slip), of one of start, stop and step, and
/// by [`step`](Self::step). What it means is what it means in Python.
///
/// ```
/// # use multiproc::{SyncManager, types::{ListProxy, Slice}};
/// # fn main() -> multiproc::Result<()> {
/// # let manager = SyncManager::start()?;
/// let list = ListProxy::<u8>::from_iter(&manager, 0..6)?;
/// assert_eq!(list.slice((1, -1))?, [1, 2, 3, 4]);                  // l[1:-1]
/// assert_eq!(list.slice(-2..)?, [4, 5]);                           // l[-2:]
/// assert_eq!(list.slice(Slice::from(..).step(-2))?, [5, 3, 1]);    // l[::-2]
/// assert_eq!(list.slice((4, 1, -1))?, [4, 3, 2]);                  // l[4:1:-1]
/// # manager.shutdown()
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Slice {
    start: Option<i64>,
    stop: Option<i64>,
    step: Option<i64>,
}

impl Slice {
    /// Python's `start:stop`, where `None` is an end of the sequence.
    pub fn new(start: Option<Index>, stop: Option<Index>) -> Self {
        Self { start: start.map(|index| index.0), stop: stop.map(|index| index.0), step: None }
    }

    /// Every how-manieth place, from the end to the start where it is negative. A step of 0 is an error of the call that it is used in.
    #[must_use]
    pub fn step(self, step: isize) -> Self {
        Self { step: Some(Index::from(step).0), ..self }
    }

    fn of(start: Bound<Index>, stop: Bound<Index>) -> Self {
        let start = match start {
            Bound::Included(index) | Bound::Excluded(index) => Some(index.0),
            Bound::Unbounded => None,
        };
        let stop = match stop {
            Bound::Excluded(index) => Some(index.0),
            // Behind the last place is the end.
            Bound::Included(Index(-1)) | Bound::Unbounded => None,
            Bound::Included(index) => Some(index.0.saturating_add(1)),
        };
        Self { start, stop, step: None }
    }

    /// Start, stop and step, as Python's `slice` has them.
    #[cfg(feature = "python")]
    pub(super) fn ends(self) -> [Option<i64>; 3] {
        [self.start, self.stop, self.step]
    }

    /// The places that it means in a sequence of that length.
    pub(super) fn within(self, length: usize) -> Result<Places, SequenceError> {
        let step = self.step.unwrap_or(1);
        if step == 0 {
            return Err(SequenceError::StepZero);
        }
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        // Backwards, the ends are the last place and the one before the first.
        let (least, greatest) = if step > 0 { (0, length) } else { (-1, length - 1) };
        let place = |index: i64| {
            let index = if index < 0 { index.saturating_add(length) } else { index };
            index.clamp(least, greatest)
        };
        let (first, last) = if step > 0 { (least, greatest) } else { (greatest, least) };
        let start = self.start.map_or(first, place);
        let stop = self.stop.map_or(last, place);
        let span = if step > 0 { stop - start } else { start - stop };
        let count = if span <= 0 { 0 } else { (span - 1) as u64 / step.unsigned_abs() + 1 };
        Ok(Places { start, step, count: usize::try_from(count).unwrap_or_default() })
    }
}

macro_rules! slice_from {
    ($($range:ident($this:ident) => $start:expr, $stop:expr;)*) => {$(
        impl<I: Into<Index> + Clone> From<$range<I>> for Slice {
            fn from($this: $range<I>) -> Self {
                Self::of($start, $stop)
            }
        }
    )*};
}

slice_from! {
    Range(range) => Bound::Included(range.start.into()), Bound::Excluded(range.end.into());
    RangeFrom(range) => Bound::Included(range.start.into()), Bound::Unbounded;
    RangeTo(range) => Bound::Unbounded, Bound::Excluded(range.end.into());
    RangeInclusive(range) => Bound::Included(range.start().clone().into()), Bound::Included(range.end().clone().into());
    RangeToInclusive(range) => Bound::Unbounded, Bound::Included(range.end.into());
}

/// Start and stop.
impl<I: Into<Index>, J: Into<Index>> From<(I, J)> for Slice {
    fn from((start, stop): (I, J)) -> Self {
        Self::new(Some(start.into()), Some(stop.into()))
    }
}

/// Start, stop and step.
impl<I: Into<Index>, J: Into<Index>> From<(I, J, isize)> for Slice {
    fn from((start, stop, step): (I, J, isize)) -> Self {
        Self::from((start, stop)).step(step)
    }
}

impl From<RangeFull> for Slice {
    fn from(_: RangeFull) -> Self {
        Self::default()
    }
}

/// Places that there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    start: i64,
    step: i64,
    count: usize,
}

impl Places {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The places in the slice's order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        let Self { start, step, count } = *self;
        (0..count as i64).map(move |n| (start + n * step) as usize)
    }

    /// The same places in the sequence's order.
    pub(super) fn ascending(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        let Self { start, step, count } = *self;
        let first = if step > 0 { start } else { start + (count as i64 - 1) * step };
        (0..count).map(move |n| first as usize + n * step.unsigned_abs() as usize)
    }

    /// As a range, where nothing lies between them, and they go upwards; also where there are none: before `start` then.
    pub(super) fn contiguous(&self) -> Option<Range<usize>> {
        (self.step == 1).then(|| self.start as usize..self.start as usize + self.count)
    }
}

/// What may be wrong with a place in a list or array, or with what is to be done there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SequenceError {
    /// There is no such place.
    #[error("the index {index} is out of range: there are {length} elements")]
    OutOfRange {
        /// What was asked for.
        index: i64,
        /// How many there are.
        length: usize,
    },
    /// A slice with a step of 0.
    #[error("a slice's step can't be 0")]
    StepZero,
    /// Of a slice with a step, or of an array's, each element is replaced by one.
    #[error("{given} elements can't be put into the {places} places of this slice")]
    SliceLength {
        /// How many were given.
        given: usize,
        /// How many places there are.
        places: usize,
    },
    /// The elements have no order among each other.
    #[error(
        "the elements can't be sorted: not all of them have an order, such as numbers, strs, bytes, and tuples and lists of those have among their own"
    )]
    NoOrder,
    /// There is no memory for so many elements.
    #[error("there is no room for {length} elements")]
    TooLong {
        /// How many there would be.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(slice: impl Into<Slice>, length: usize) -> Vec<usize> {
        let places = slice.into().within(length).unwrap();
        let mut sorted: Vec<_> = places.iter().collect();
        let found = sorted.clone();
        sorted.sort_unstable();
        assert_eq!(places.ascending().collect::<Vec<_>>(), sorted);
        if let Some(range) = places.contiguous() {
            assert_eq!(range.collect::<Vec<_>>(), found);
        }
        found
    }

    /// As `slice.indices` of Python says.
    #[test]
    fn slices_mean_what_they_mean_in_python() {
        assert_eq!(places(.., 3), [0, 1, 2]);
        assert_eq!(places((1, -1), 5), [1, 2, 3]);
        assert_eq!(places(-2..100, 5), [3, 4]);
        assert_eq!(places(-100..2, 5), [0, 1]);
        assert!(places((3, 1), 5).is_empty());
        assert_eq!(places((-3)..=-1, 4), [1, 2, 3]);
        assert_eq!(places(..=1, 4), [0, 1]);
        assert_eq!(places(Slice::from(..).step(-1), 3), [2, 1, 0]);
        assert_eq!(places(Slice::from(..).step(2), 5), [0, 2, 4]);
        assert_eq!(places((-1, -6, -2), 5), [4, 2, 0]);
        assert_eq!(places((100, 0, -3), 5), [4, 1]);
        assert_eq!(places(Slice::from(..).step(isize::MIN), 5), [4]);
        assert_eq!(places(Slice::from(..).step(isize::MAX), 5), [0]);
        assert!(places((5, 2), 5).is_empty());
        assert!(places(.., 0).is_empty());
        assert_eq!(Slice::from(..).step(0).within(3).unwrap_err(), SequenceError::StepZero);
    }

    #[test]
    fn indices_count_from_either_end() {
        assert_eq!([0, 2, -1, -3].map(|index| Index::from(index).within(3)), [Some(0), Some(2), Some(2), Some(0)]);
        assert_eq!([3, -4].map(|index| Index::from(index).within(3)), [None; 2]);
        assert_eq!([usize::MAX, 5].map(|index| Index::from(index).within(3)), [None; 2]);
        assert_eq!([-9, -1, 1, 9].map(|index| Index::from(index).clamped(3)), [0, 2, 1, 3]);
    }
}
