//! The list itself, in the server.
//!
//! Two kinds of cells can be updated: the element at an index, and the whole list.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, Serializer};

use super::ListProxy;
use crate::codec::{Value, value};
use crate::error::{Error, Result};
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Failure, Invocation, Outcome, Referent};
use crate::sys::sync::Mutex;
use crate::types::element::{Each, Element, elements};
use crate::types::encodes::Slot;
use crate::types::entries::canonical;
use crate::types::sequence::{Index, SequenceError, Slice};
use crate::types::update::{self, Cells, Change, Fetched, Turns, Updated};

/// How many elements an iterator is given at once.
const BATCH: usize = 256;
/// How many bytes of them a reply holds at most, but for the last one.
const BATCH_BYTES: usize = 256 << 10;

/// The referent of a [`ListProxy`]: elements of any types.
pub struct List {
    inner: Arc<Inner>,
}

pub(in crate::types) struct Inner {
    state: Mutex<State>,
    turns: Turns<Self>,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// The last write, and the version of the list as a whole.
    last: u64,
}

struct Item {
    value: Element,
    /// Which write put it there.
    version: u64,
}

impl State {
    /// Something is written: an element's version, and the list's.
    fn written(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Elements, as what they are in this list from now on.
    fn items(&mut self, values: Vec<Element>) -> impl Iterator<Item = Item> + use<> {
        let first = self.last + 1;
        self.last += values.len() as u64;
        values.into_iter().zip(first..).map(|(value, version)| Item { value, version })
    }

    /// Makes room for more, if there is memory for it.
    fn reserve(&mut self, more: usize) -> Result<(), SequenceError> {
        let length = self.items.len().saturating_add(more);
        self.items.try_reserve(more).map_err(|_| SequenceError::TooLong { length })
    }

    fn position(&self, wanted: &Element, places: impl Iterator<Item = usize>) -> Result<Option<usize>, Failure> {
        let wanted = canonical(wanted)?;
        for place in places {
            if canonical(&self.items[place].value)? == wanted {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn remove(&mut self, place: usize) -> Option<Item> {
        self.written();
        self.items.remove(place)
    }

    /// Sorts as Python does, or leaves all as it is where that can't be done.
    fn sort(&mut self, descending: bool) -> Result<(), SequenceError> {
        let mut comparable = true;
        let former: Vec<u64> = self.items.iter().map(|item| item.version).collect();
        self.items.make_contiguous().sort_by(|a, b| {
            let (a, b) = if descending { (b, a) } else { (a, b) };
            value::compare(a.value.bytes(), b.value.bytes(), &mut comparable).unwrap_or_else(|_| {
                comparable = false;
                std::cmp::Ordering::Equal
            })
        });
        if comparable {
            self.written();
            return Ok(());
        }
        // Versions are given out once, so they tell where each has been.
        let places: std::collections::HashMap<u64, usize> = former.into_iter().zip(0..).collect();
        self.items.make_contiguous().sort_by_key(|item| places[&item.version]);
        Err(SequenceError::NoOrder)
    }
}

/// What is updated.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::types) enum Cell {
    /// The element there.
    At(Index),
    /// All of them.
    Whole,
}

impl crate::types::reservation::Cell for Cell {}

impl Cells for Inner {
    type Cell = Cell;

    fn turns(&self) -> &Turns<Self> {
        &self.turns
    }

    fn cell(&self, name: &Element) -> Result<Cell, Failure> {
        let index: Option<Index> = name.read().map_err(Error::unserializable::<Index>)?;
        Ok(index.map_or(Cell::Whole, Cell::At))
    }

    fn fetch(&self, cell: &Cell) -> Result<Fetched> {
        let state = self.state.lock();
        let Cell::At(index) = cell else {
            let whole = Element::of(&Each(state.items.iter().map(|item| &item.value)));
            return Ok(Slot(Some((state.last, whole.map_err(Error::unserializable::<List>)?))));
        };
        let item = index.within(state.items.len()).map(|place| &state.items[place]);
        Ok(Slot(item.map(|item| (item.version, item.value.clone()))))
    }

    fn replace(&self, cell: &Cell, change: Change, may: impl FnOnce() -> bool) -> Result<bool> {
        // There is no removing by an update.
        let (Some(version), Some(new)) = (change.version, change.new) else { return Ok(false) };
        let Cell::At(index) = cell else {
            let new: Vec<Element> = new.read().map_err(Error::unserializable::<List>)?;
            let mut state = self.state.lock();
            if state.last != version || !may() {
                return Ok(false);
            }
            let items = state.items(new).collect();
            let former = std::mem::replace(&mut state.items, items);
            drop(state);
            drop(former);
            return Ok(true);
        };
        let mut state = self.state.lock();
        let place = index.within(state.items.len()).filter(|&place| state.items[place].version == version);
        let Some(place) = place.filter(|_| may()) else { return Ok(false) };
        let version = state.written();
        let former = std::mem::replace(&mut state.items[place], Item { value: new, version });
        drop(state);
        drop(former);
        Ok(true)
    }
}

/// Makes a change that may be refused, and answers; what is left over is dropped outside of the lock.
fn answer<R: Serialize, L>(call: &mut Invocation<'_>, done: Result<(R, L), SequenceError>) -> Outcome {
    match done {
        Ok((result, leftovers)) => {
            let outcome = call.answer(&result);
            drop(leftovers);
            outcome
        }
        Err(error) => call.answer_result::<(), _>(&Err(error)),
    }
}

impl List {
    fn of(values: Vec<Element>) -> Self {
        let mut state = State::default();
        state.items = state.items(values).collect();
        Self { inner: Arc::new_cyclic(|me| Inner { state: Mutex::new(state), turns: Turns::new(me.clone()) }) }
    }

    fn get(&self, call: &mut Invocation<'_>) -> Outcome {
        let (index,) = call.arguments::<(Index,)>()?;
        let state = self.inner.state.lock();
        call.answer(&Slot(index.within(state.items.len()).map(|place| &state.items[place].value)))
    }

    fn slice(&self, call: &mut Invocation<'_>) -> Outcome {
        let (slice,) = call.arguments::<(Slice,)>()?;
        let state = self.inner.state.lock();
        match slice.within(state.items.len()) {
            Ok(places) => call.answer(&Each(places.iter().map(|place| &state.items[place].value))),
            Err(error) => call.answer_result::<(), _>(&Err(error)),
        }
    }

    fn set(&self, call: &mut Invocation<'_>) -> Outcome {
        let (index, value) = elements::<(Index, Element)>(call)?;
        let mut state = self.inner.state.lock();
        let done = index.require(state.items.len()).map(|place| {
            let version = state.written();
            let former = std::mem::replace(&mut state.items[place], Item { value, version });
            (former.value, ())
        });
        drop(state);
        answer(call, done)
    }

    /// As [`set`](Self::set), for who does not ask what was there.
    fn assign(&self, call: &mut Invocation<'_>) -> Outcome {
        let (index, value) = elements::<(Index, Element)>(call)?;
        let mut state = self.inner.state.lock();
        let done = index.require(state.items.len()).map(|place| {
            let version = state.written();
            ((), std::mem::replace(&mut state.items[place], Item { value, version }))
        });
        drop(state);
        answer(call, done)
    }

    fn set_slice(&self, call: &mut Invocation<'_>) -> Outcome {
        let (slice, values) = elements::<(Slice, Vec<Element>)>(call)?;
        let mut state = self.inner.state.lock();
        let done = Self::put(&mut state, slice, values);
        drop(state);
        answer(call, done)
    }

    fn put(state: &mut State, slice: Slice, values: Vec<Element>) -> Result<((), VecDeque<Item>), SequenceError> {
        let places = slice.within(state.items.len())?;
        if let Some(range) = places.contiguous() {
            state.reserve(values.len())?;
            let behind = state.items.split_off(range.end);
            let former = state.items.split_off(range.start);
            let new = state.items(values);
            state.items.extend(new);
            state.items.extend(behind);
            return Ok(((), former));
        }
        if places.len() != values.len() {
            return Err(SequenceError::SliceLength { given: values.len(), places: places.len() });
        }
        let new = state.items(values);
        let former = places.iter().zip(new).map(|(place, item)| std::mem::replace(&mut state.items[place], item));
        Ok(((), former.collect()))
    }

    fn delete_slice(&self, call: &mut Invocation<'_>) -> Outcome {
        let (slice,) = call.arguments::<(Slice,)>()?;
        let mut state = self.inner.state.lock();
        let done = slice.within(state.items.len()).map(|places| {
            state.written();
            let mut doomed = places.ascending().peekable();
            let (mut kept, mut former) = (VecDeque::with_capacity(state.items.len()), Vec::with_capacity(places.len()));
            for (place, item) in std::mem::take(&mut state.items).into_iter().enumerate() {
                match doomed.next_if_eq(&place) {
                    Some(_) => former.push(item),
                    None => kept.push_back(item),
                }
            }
            state.items = kept;
            ((), former)
        });
        drop(state);
        answer(call, done)
    }

    fn push(&self, call: &mut Invocation<'_>) -> Outcome {
        let (value,) = elements::<(Element,)>(call)?;
        let mut state = self.inner.state.lock();
        let version = state.written();
        state.items.push_back(Item { value, version });
        drop(state);
        call.answer(&())
    }

    fn extend(&self, call: &mut Invocation<'_>) -> Outcome {
        let (values,) = elements::<(Vec<Element>,)>(call)?;
        self.append(call, values)
    }

    /// Takes over the elements of another object.
    fn extend_from(&self, call: &mut Invocation<'_>) -> Outcome {
        let (other,) = elements::<(Element,)>(call)?;
        self.append(call, other.contents()?)
    }

    fn append(&self, call: &mut Invocation<'_>, values: Vec<Element>) -> Outcome {
        let mut state = self.inner.state.lock();
        let done = state.reserve(values.len()).map(|()| {
            let new = state.items(values);
            state.items.extend(new);
            ((), ())
        });
        drop(state);
        answer(call, done)
    }

    fn insert(&self, call: &mut Invocation<'_>) -> Outcome {
        let (index, value) = elements::<(Index, Element)>(call)?;
        let mut state = self.inner.state.lock();
        let version = state.written();
        let place = index.clamped(state.items.len());
        state.items.insert(place, Item { value, version });
        drop(state);
        call.answer(&())
    }

    /// Takes the element at an index out, the last one without.
    fn pop(&self, call: &mut Invocation<'_>) -> Outcome {
        let (index,) = call.arguments::<(Index,)>()?;
        let mut state = self.inner.state.lock();
        let place = index.within(state.items.len());
        let popped = place.and_then(|place| state.remove(place).map(|item| (place, item.value)));
        drop(state);
        let Some((place, value)) = popped else { return call.answer(&Slot(None::<()>)) };
        let answered = call.answer(&Slot(Some(&value)))?;
        let inner = Arc::downgrade(&self.inner);
        call.put_back_by(move || {
            let Some(inner) = inner.upgrade() else { return };
            let mut state = inner.state.lock();
            let place = place.min(state.items.len());
            let version = state.written();
            state.items.insert(place, Item { value, version });
        });
        Ok(answered)
    }

    fn remove_value(&self, call: &mut Invocation<'_>) -> Outcome {
        let (value,) = call.arguments::<(Element,)>()?;
        let mut state = self.inner.state.lock();
        let place = state.position(&value, 0..state.items.len())?;
        let removed = place.and_then(|place| state.remove(place));
        drop(state);
        call.answer(&removed.is_some())
    }

    fn index_of(&self, call: &mut Invocation<'_>) -> Outcome {
        let (value, slice) = call.arguments::<(Element, Slice)>()?;
        let state = self.inner.state.lock();
        let found = match slice.within(state.items.len()) {
            Ok(places) => Ok(state.position(&value, places.iter())?),
            Err(error) => Err(error),
        };
        drop(state);
        call.answer_result(&found)
    }

    fn count(&self, call: &mut Invocation<'_>) -> Outcome {
        let (value,) = call.arguments::<(Element,)>()?;
        let wanted = canonical(&value)?;
        let mut count = 0;
        let state = self.inner.state.lock();
        for item in &state.items {
            count += usize::from(canonical(&item.value)? == wanted);
        }
        drop(state);
        call.answer(&count)
    }

    fn reverse(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let mut state = self.inner.state.lock();
        state.written();
        state.items.make_contiguous().reverse();
        drop(state);
        call.answer(&())
    }

    fn sort(&self, call: &mut Invocation<'_>) -> Outcome {
        let (descending,) = call.arguments::<(bool,)>()?;
        let done = self.inner.state.lock().sort(descending);
        call.answer_result(&done)
    }

    /// Makes the list so many times what it is.
    fn repeat(&self, call: &mut Invocation<'_>) -> Outcome {
        let (times,) = call.arguments::<(usize,)>()?;
        let mut state = self.inner.state.lock();
        let length = state.items.len();
        let done = if times == 0 {
            state.written();
            Ok(((), std::mem::take(&mut state.items)))
        } else {
            state.reserve(length.saturating_mul(times - 1)).map(|()| {
                for place in (0..length).cycle().take(length * (times - 1)) {
                    let item = Item { value: state.items[place].value.clone(), version: state.written() };
                    state.items.push_back(item);
                }
                ((), VecDeque::new())
            })
        };
        drop(state);
        answer(call, done)
    }

    /// The elements, and behind them those of something else.
    fn concatenate(&self, call: &mut Invocation<'_>) -> Outcome {
        let (other,) = call.arguments::<(Element,)>()?;
        let other: Vec<Element> = other.contents()?;
        let state = self.inner.state.lock();
        call.answer(&Each(state.items.iter().map(|item| &item.value).chain(&other)))
    }

    fn len(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let length = self.inner.state.lock().items.len();
        call.answer(&length)
    }

    fn clear(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let mut state = self.inner.state.lock();
        state.written();
        let former = std::mem::take(&mut state.items);
        drop(state);
        drop(former);
        call.answer(&())
    }

    /// The elements from an index on, as many as fit into one reply well.
    fn batch(&self, call: &mut Invocation<'_>) -> Outcome {
        let (from,) = call.arguments::<(usize,)>()?;
        let state = self.inner.state.lock();
        let mut bytes = 0;
        let fits = |item: &&Item| {
            let fits = bytes <= BATCH_BYTES;
            bytes += item.value.bytes().len();
            fits
        };
        let batch: Vec<_> =
            state.items.iter().skip(from).take(BATCH).take_while(fits).map(|item| &item.value).collect();
        call.answer(&batch)
    }

    fn equals(&self, call: &mut Invocation<'_>) -> Outcome {
        let (other,) = call.arguments::<(Element,)>()?;
        // Rust's arrays are sent as tuples are, and what is no sequence equals none.
        let Ok(others) = other.value()?.read::<Vec<Element>>() else { return call.answer(&false) };
        let state = self.inner.state.lock();
        let mut equal = state.items.len() == others.len();
        for (item, other) in state.items.iter().zip(&others) {
            equal = equal && canonical(&item.value)? == canonical(other)?;
        }
        drop(state);
        call.answer(&equal)
    }
}

impl Default for List {
    /// An empty list.
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "List({self})")
    }
}

/// As Python prints a list: `[1, 'a']`.
impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.state.lock();
        f.write_str("[")?;
        for (place, item) in state.items.iter().enumerate() {
            let separator = if place > 0 { ", " } else { "" };
            write!(f, "{separator}{}", item.value)?;
        }
        f.write_str("]")
    }
}

impl Serialize for List {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let state = self.inner.state.lock();
        serializer.collect_seq(state.items.iter().map(|item| &item.value))
    }
}

impl Referent for List {
    type Proxy = ListProxy<Value>;
    type Store = Bare<Self>;
    const TYPEID: &'static str = "list";

    fn methods(table: &mut Methods<Self>) {
        table.dynamic_constructor("new", &["items"], |call| Ok(Self::of(elements::<(Vec<Element>,)>(call)?.0)));
        table.dynamic("get", &["index"], Self::get);
        table.dynamic("slice", &["slice"], Self::slice);
        table.dynamic("set", &["index", "value"], Self::set);
        table.dynamic("assign", &["index", "value"], Self::assign);
        table.dynamic("set_slice", &["slice", "values"], Self::set_slice);
        table.dynamic("delete_slice", &["slice"], Self::delete_slice);
        table.dynamic("push", &["value"], Self::push);
        table.dynamic("extend", &["values"], Self::extend);
        table.dynamic("extend_from", &["other"], Self::extend_from);
        table.dynamic("insert", &["index", "value"], Self::insert);
        table.dynamic("pop", &["index"], Self::pop);
        table.dynamic("remove_value", &["value"], Self::remove_value);
        table.dynamic("index_of", &["value", "slice"], Self::index_of);
        table.dynamic("count", &["value"], Self::count);
        table.dynamic("reverse", &[], Self::reverse);
        table.dynamic("sort", &["descending"], Self::sort);
        table.dynamic("repeat", &["times"], Self::repeat);
        table.dynamic("concatenate", &["other"], Self::concatenate);
        table.dynamic("len", &[], Self::len);
        table.dynamic("clear", &[], Self::clear);
        table.dynamic("batch", &["from"], Self::batch);
        table.dynamic("equals", &["other"], Self::equals);
        update::list(table);
        table.display();
        table.value();
    }
}

impl Updated for List {
    type Cells = Inner;

    fn cells(&self) -> &Arc<Inner> {
        &self.inner
    }
}
