//! What a list holds, and how it is updated: the element at an index, or the whole list, are the cells of it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::List;
use crate::codec::value;
use crate::error::{Error, Result};
use crate::object::Failure;
use crate::sys::sync::Mutex;
use crate::types::element::{Each, Element};
use crate::types::encodes::Slot;
use crate::types::entries::canonical;
use crate::types::sequence::{Index, SequenceError};
use crate::types::update::{Cells, Change, Fetched, Turns};

/// A list's elements, and who has a turn at them.
pub(in crate::types) struct Inner {
    pub(super) state: Mutex<State>,
    turns: Turns<Self>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) items: VecDeque<Item>,
    /// The last write, and the version of the list as a whole.
    last: u64,
}

pub(super) struct Item {
    pub(super) value: Element,
    /// Which write put it there.
    pub(super) version: u64,
}

impl State {
    /// Something is written: an element's version, and the list's.
    pub(super) fn written(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Elements, as what they are in this list from now on.
    pub(super) fn items(&mut self, values: Vec<Element>) -> impl Iterator<Item = Item> + use<> {
        let first = self.last + 1;
        self.last += values.len() as u64;
        values.into_iter().zip(first..).map(|(value, version)| Item { value, version })
    }

    /// Makes room for more, if there is memory for it.
    pub(super) fn reserve(&mut self, more: usize) -> Result<(), SequenceError> {
        let length = self.items.len().saturating_add(more);
        self.items.try_reserve(more).map_err(|_| SequenceError::TooLong { length })
    }

    pub(super) fn position(
        &self,
        wanted: &Element,
        places: impl Iterator<Item = usize>,
    ) -> Result<Option<usize>, Failure> {
        let wanted = canonical(wanted)?;
        for place in places {
            if canonical(&self.items[place].value)? == wanted {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<Item> {
        self.written();
        self.items.remove(place)
    }

    /// Sorts as Python does, or leaves all as it is where that can't be done.
    pub(super) fn sort(&mut self, descending: bool) -> Result<(), SequenceError> {
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

impl Inner {
    pub(super) fn of(values: Vec<Element>) -> Arc<Self> {
        let mut state = State::default();
        state.items = state.items(values).collect();
        Arc::new_cyclic(|me| Self { state: Mutex::new(state), turns: Turns::new(me.clone()) })
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
