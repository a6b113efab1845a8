//! The array itself, in the server: one block of numbers, little endian.
//!
//! Whole blocks go in and out, never numbers one by one. A number's version is the number itself: an update is a function of it, and does not care who wrote it.
//! Turns at all numbers, and at the whole, which is the array's [lock](crate::types::locked), stand in one line: so who wants the whole has his turn when those before have had theirs.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::ser::{Serialize, Serializer};

use super::ArrayProxy;
use crate::codec::value::{Block, BlockKind};
use crate::error::{Error, Result};
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Failure, Invocation, Outcome, Referent};
use crate::sys::sync::{Mutex, MutexGuard};
use crate::types::element::Element;
use crate::types::encodes::Slot;
use crate::types::entries::canonical;
use crate::types::locked::{self, Lockable};
use crate::types::number::{Compute, NumberKind, Operation, no_operation, with_kind};
use crate::types::reservation::Cell;
use crate::types::sequence::{Index, Places, SequenceError, Slice};
use crate::types::update::{self, Cells, Change, Fetched, Turns, Updated};

/// The referent of an [`ArrayProxy`]: numbers of one type.
pub struct Array {
    inner: Arc<Inner>,
}

pub(in crate::types) struct Inner {
    kind: NumberKind,
    /// What Python calls the kind, of which it has several names for some.
    typecode: char,
    length: usize,
    state: Mutex<State>,
    turns: Turns<Self>,
}

pub(in crate::types) struct State {
    block: Vec<u8>,
    /// How often anything in it was written.
    writes: u64,
}

impl State {
    /// To be written to.
    fn block_mut(&mut self) -> &mut [u8] {
        self.writes += 1;
        &mut self.block
    }
}

/// What is locked, or updated. All wait in one line for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::types) enum Place {
    Whole,
    At(usize),
    /// Behind the end.
    Nowhere,
}

impl Cell for Place {
    fn line(&self) -> Self {
        Self::Whole
    }

    fn covers(&self, other: &Self) -> bool {
        *self == Self::Whole || self == other
    }
}

/// Numbers as they came, or as a block's bytes.
enum Given {
    Block(Element),
    Raw(Vec<u8>),
}

impl Given {
    /// Numbers of that kind, whatever they came as.
    fn new(numbers: Element, kind: NumberKind) -> Result<Self> {
        if Block::read(numbers.bytes()).is_some_and(|block| block.kind() == block_kind(kind)) {
            return Ok(Self::Block(numbers));
        }
        with_kind!(kind, N => {
            let numbers: Vec<N> = numbers.read().map_err(Error::unserializable::<Vec<N>>)?;
            let mut raw = Vec::with_capacity(numbers.len() * kind.width());
            numbers.into_iter().for_each(|number| number.append_le(&mut raw));
            Ok(Self::Raw(raw))
        })
    }

    fn raw(&self) -> &[u8] {
        match self {
            Self::Block(numbers) => Block::read(numbers.bytes()).map_or(&[], |block| block.raw()),
            Self::Raw(raw) => raw,
        }
    }

    fn into_raw(self) -> Vec<u8> {
        match self {
            Self::Raw(raw) => raw,
            Self::Block(_) => self.raw().to_vec(),
        }
    }
}

/// How packed lists call it.
fn block_kind(kind: NumberKind) -> BlockKind {
    with_kind!(kind, N => <N as crate::codec::value::Blocked>::KIND)
}

impl Inner {
    fn at(&self, place: usize) -> Range<usize> {
        let width = self.kind.width();
        place * width..(place + 1) * width
    }

    /// All numbers, as a value.
    fn all(&self, state: &State) -> Result<Element> {
        let block = Block::new(block_kind(self.kind), &state.block);
        Element::of(&block).map_err(Error::unserializable::<Array>)
    }

    /// What is between the ends of places that lie side by side.
    fn span(&self, range: Range<usize>) -> Range<usize> {
        range.start * self.kind.width()..range.end * self.kind.width()
    }

    fn bits(&self, raw: &[u8]) -> u64 {
        with_kind!(self.kind, N => N::read_le(raw).map_or(0, N::bits))
    }
}

impl Cells for Inner {
    type Cell = Place;

    fn turns(&self) -> &Turns<Self> {
        &self.turns
    }

    fn cell(&self, name: &Element) -> Result<Place, Failure> {
        let index: Option<Index> = name.read().map_err(Error::unserializable::<Index>)?;
        Ok(index.map_or(Place::Whole, |index| index.within(self.length).map_or(Place::Nowhere, Place::At)))
    }

    fn fetch(&self, cell: &Place) -> Result<Fetched> {
        let state = self.state.lock();
        Ok(Slot(match *cell {
            Place::Whole => Some((state.writes, self.all(&state)?)),
            Place::At(place) => {
                let raw = &state.block[self.at(place)];
                Some((self.bits(raw), self.kind.element(raw)?))
            }
            Place::Nowhere => None,
        }))
    }

    fn replace(&self, cell: &Place, change: Change, may: impl FnOnce() -> bool) -> Result<bool> {
        let (Some(version), Some(new)) = (change.version, change.new) else { return Ok(false) };
        match *cell {
            Place::Whole => {
                let new = Given::new(new, self.kind)?.into_raw();
                if new.len() != self.length * self.kind.width() {
                    let reason = format!("an array of {} numbers keeps its length", self.length);
                    return Err(Error::Arguments { typeid: "Array".to_owned(), method: "commit".to_owned(), reason });
                }
                let mut state = self.state.lock();
                let replaces = state.writes == version && may();
                if replaces {
                    *state = State { block: new, writes: version + 1 };
                }
                Ok(replaces)
            }
            Place::At(place) => {
                let new = self.kind.raw(&new)?;
                let mut state = self.state.lock();
                let replaces = self.bits(&state.block[self.at(place)]) == version && may();
                if replaces {
                    state.block_mut()[self.at(place)].copy_from_slice(&new);
                }
                Ok(replaces)
            }
            Place::Nowhere => Ok(false),
        }
    }
}

impl Lockable for Inner {
    const WHOLE: Place = Place::Whole;
    type State = State;

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Array {
    fn of(kind: NumberKind, block: Vec<u8>) -> Self {
        Self::typed(kind, kind.typecode(), block)
    }

    fn typed(kind: NumberKind, typecode: char, block: Vec<u8>) -> Self {
        let length = block.len() / kind.width();
        let state = Mutex::new(State { block, writes: 0 });
        Self { inner: Arc::new_cyclic(|me| Inner { kind, typecode, length, state, turns: Turns::new(me.clone()) }) }
    }

    fn get(&self, call: &mut Invocation<'_>) -> Outcome {
        let (index,) = call.arguments::<(Index,)>()?;
        let inner = &self.inner;
        let number =
            index.within(inner.length).map(|place| inner.kind.element(&inner.state.lock().block[inner.at(place)]));
        call.answer(&Slot(number.transpose()?))
    }

    fn set(&self, call: &mut Invocation<'_>) -> Outcome {
        let (index, value) = call.arguments::<(Index, Element)>()?;
        let kind = self.inner.kind;
        let new = kind.raw(&value)?;
        let at = match index.require(self.inner.length) {
            Ok(place) => self.inner.at(place),
            Err(error) => return call.answer_result::<(), _>(&Err(error)),
        };
        locked::write(self, call, move |state| {
            let raw = &mut state.block_mut()[at];
            let former = kind.element(raw)?;
            raw.copy_from_slice(&new);
            Ok((former, ()))
        })
    }

    fn slice(&self, call: &mut Invocation<'_>) -> Outcome {
        let (slice,) = call.arguments::<(Slice,)>()?;
        let inner = &self.inner;
        let places = match slice.within(inner.length) {
            Ok(places) => places,
            Err(error) => return call.answer_result::<(), _>(&Err(error)),
        };
        let state = inner.state.lock();
        let answer = |call: &mut Invocation<'_>, raw: &[u8]| call.answer(&Block::new(block_kind(inner.kind), raw));
        match places.contiguous() {
            Some(range) => answer(call, &state.block[inner.span(range)]),
            None => {
                let picked = places.iter().flat_map(|place| state.block[inner.at(place)].iter().copied());
                let picked: Vec<u8> = picked.collect();
                drop(state);
                answer(call, &picked)
            }
        }
    }

    fn set_slice(&self, call: &mut Invocation<'_>) -> Outcome {
        let (slice, numbers) = call.arguments::<(Slice, Element)>()?;
        let inner = &self.inner;
        let numbers = Given::new(numbers, inner.kind)?;
        let given = numbers.raw().len() / inner.kind.width();
        let fitting = |places: Places| match places.len() {
            length if length == given => Ok(places),
            places => Err(SequenceError::SliceLength { given, places }),
        };
        let places = match slice.within(inner.length).and_then(fitting) {
            Ok(places) => places,
            Err(error) => return call.answer_result::<(), _>(&Err(error)),
        };
        let (width, contiguous) = (inner.kind.width(), places.contiguous().map(|range| inner.span(range)));
        locked::write(self, call, move |state| {
            let block = state.block_mut();
            match contiguous {
                Some(span) => block[span].copy_from_slice(numbers.raw()),
                None => {
                    for (place, number) in places.iter().zip(numbers.raw().chunks_exact(width)) {
                        block[place * width..][..width].copy_from_slice(number);
                    }
                }
            }
            Ok(((), numbers))
        })
    }

    fn fill(&self, call: &mut Invocation<'_>) -> Outcome {
        let (value,) = call.arguments::<(Element,)>()?;
        let new = self.inner.kind.raw(&value)?;
        locked::write(self, call, move |state| {
            state.block_mut().chunks_exact_mut(new.len()).for_each(|number| number.copy_from_slice(&new));
            Ok(((), ()))
        })
    }

    /// Computes in place; the former number back.
    fn compute(&self, call: &mut Invocation<'_>) -> Outcome {
        let (index, operation, operand) = call.arguments::<(Index, Operation, Element)>()?;
        let at = match index.require(self.inner.length) {
            Ok(place) => self.inner.at(place),
            Err(error) => return call.answer_result::<(), _>(&Err(error)),
        };
        with_kind!(self.inner.kind, N => {
            let operand = operand.read::<N>().map_err(Error::unserializable::<N>)?;
            locked::write(self, call, move |state| {
                let raw = &mut state.block_mut()[at];
                let former = N::read_le(raw).unwrap_or_default();
                former.compute(operation, operand).ok_or_else(|| no_operation(operation))?.overwrite_le(raw);
                Ok((former, ()))
            })
        })
    }

    fn compare_exchange(&self, call: &mut Invocation<'_>) -> Outcome {
        let (index, expected, new) = call.arguments::<(Index, Element, Element)>()?;
        let at = match index.require(self.inner.length) {
            Ok(place) => self.inner.at(place),
            Err(error) => return call.answer_result::<(), _>(&Err(error)),
        };
        with_kind!(self.inner.kind, N => {
            let read = |element: &Element| element.read::<N>().map_err(Error::unserializable::<N>);
            let (expected, new) = (read(&expected)?, read(&new)?);
            locked::write(self, call, move |state| {
                let raw = &mut state.block_mut()[at];
                let there = N::read_le(raw).unwrap_or_default();
                let equal = there == expected;
                if equal {
                    new.overwrite_le(raw);
                }
                Ok(((equal, there), ()))
            })
        })
    }

    fn len(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        call.answer(&self.inner.length)
    }

    fn equals(&self, call: &mut Invocation<'_>) -> Outcome {
        let (other,) = call.arguments::<(Element,)>()?;
        // What is no sequence equals none.
        let Ok(others) = other.value()?.read::<Vec<Element>>() else { return call.answer(&false) };
        let own = Element::of(self).map_err(Error::unserializable::<Self>)?.contents()?;
        let mut equal = own.len() == others.len();
        for (number, other) in own.iter().zip(&others) {
            equal = equal && canonical(number)? == canonical(other)?;
        }
        call.answer(&equal)
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_string().fmt(f)
    }
}

/// As Python prints an array: `array('d', [1.0, 2.0])`.
impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.inner;
        write!(f, "array('{}'", inner.typecode)?;
        let state = inner.state.lock();
        for (place, raw) in state.block.chunks_exact(inner.kind.width()).enumerate() {
            let separator = if place > 0 { ", " } else { ", [" };
            let number = inner.kind.element(raw).map_err(|_| fmt::Error)?;
            write!(f, "{separator}{number}")?;
        }
        f.write_str(if state.block.is_empty() { ")" } else { "])" })
    }
}

impl Serialize for Array {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        Block::new(block_kind(self.inner.kind), &self.inner.state.lock().block).serialize(serializer)
    }
}

impl Referent for Array {
    type Proxy = ArrayProxy<f64>;
    type Store = Bare<Self>;
    const TYPEID: &'static str = "Array";

    fn methods(table: &mut Methods<Self>) {
        table.dynamic_constructor("new", &["kind", "numbers"], |call| {
            let (kind, numbers) = call.arguments::<(NumberKind, Element)>()?;
            Ok(Self::of(kind, Given::new(numbers, kind)?.into_raw()))
        });
        #[cfg(feature = "python")]
        table.dynamic_constructor("typed", &["typecode", "kind", "numbers"], |call| {
            let (typecode, kind, numbers) = call.arguments::<(char, NumberKind, Element)>()?;
            Ok(Self::typed(kind, typecode, Given::new(numbers, kind)?.into_raw()))
        });
        #[cfg(feature = "python")]
        table.dynamic("typecode", &[], |this, call| {
            let () = call.arguments()?;
            call.answer(&this.inner.typecode)
        });
        table.dynamic("get", &["index"], Self::get);
        table.dynamic("set", &["index", "value"], Self::set);
        table.dynamic("slice", &["slice"], Self::slice);
        table.dynamic("set_slice", &["slice", "numbers"], Self::set_slice);
        table.dynamic("fill", &["value"], Self::fill);
        table.dynamic("compute", &["index", "operation", "operand"], Self::compute);
        table.dynamic("compare_exchange", &["index", "expected", "new"], Self::compare_exchange);
        table.dynamic("len", &[], Self::len);
        table.dynamic("equals", &["other"], Self::equals);
        update::list(table);
        locked::list(table);
        table.display();
        table.value();
    }
}

impl Updated for Array {
    type Cells = Inner;

    fn cells(&self) -> &Arc<Inner> {
        &self.inner
    }
}
