//! The list itself, in the server: its methods.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, Serializer};

use super::ListProxy;
use super::state::{Inner, Item, State};
use crate::codec::Value;
use crate::error::Result;
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Invocation, Outcome, Referent};
use crate::types::batches::{BATCH, BATCH_BYTES};
use crate::types::element::{Each, Element, elements};
use crate::types::encodes::Slot;
use crate::types::entries::canonical;
use crate::types::sequence::{Index, SequenceError, Slice};
use crate::types::update::{self, Updated};

/// The referent of a [`ListProxy`]: elements of any types.
pub struct List {
    inner: Arc<Inner>,
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
        Self { inner: Inner::of(values) }
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
