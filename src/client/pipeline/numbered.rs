//! Things by their numbers, which rise by one: a look-up is an index.
//!
//! The newest lie in a row, of which the front is let go of as it empties. What stays while a thousand others come and go moves aside, so that one call that nobody fetches
//! does not keep room for all that were made after it.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

/// How long the row may be.
const ROW: usize = 1 << 10;

/// Things by their numbers.
pub(super) struct Numbered<T> {
    /// The number of the first in the row.
    first: u64,
    row: VecDeque<Option<T>>,
    aside: FxHashMap<u64, T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { first: 0, row: VecDeque::new(), aside: FxHashMap::default() }
    }
}

impl<T> Numbered<T> {
    /// Takes in the thing of a new number: mostly the one behind the last.
    pub(super) fn insert(&mut self, number: u64, thing: T) {
        if self.row.is_empty() {
            self.first = number;
        }
        if number != self.first + self.row.len() as u64 {
            self.aside.insert(number, thing);
            return;
        }
        self.row.push_back(Some(thing));
        if self.row.len() > ROW {
            if let Some(old) = self.row.pop_front().flatten() {
                self.aside.insert(self.first, old);
            }
            self.first += 1;
            self.let_go();
        }
    }

    /// Lets go of the places in front that are empty.
    #[inline]
    fn let_go(&mut self) {
        while self.row.pop_front_if(|place| place.is_none()).is_some() {
            self.first += 1;
        }
    }

    #[inline]
    fn place(&self, number: u64) -> Option<usize> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (place < self.row.len()).then_some(place)
    }

    #[inline]
    pub(super) fn get(&self, number: u64) -> Option<&T> {
        match self.place(number).and_then(|place| self.row[place].as_ref()) {
            None if !self.aside.is_empty() => self.aside.get(&number),
            found => found,
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        match self.place(number) {
            Some(place) if self.row[place].is_some() => self.row[place].as_mut(),
            _ if self.aside.is_empty() => None,
            _ => self.aside.get_mut(&number),
        }
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<T> {
        self.remove_if(number, |_| true)
    }

    /// Takes the thing of that number out, if there is one and it is `right`.
    #[inline]
    pub(super) fn remove_if(&mut self, number: u64, right: impl FnOnce(&T) -> bool) -> Option<T> {
        let Some(place) = self.place(number).filter(|&place| self.row[place].is_some()) else {
            return if self.aside.is_empty() { None } else { self.remove_aside(number, right) };
        };
        if !self.row[place].as_ref().is_some_and(right) {
            return None;
        }
        if place > 0 {
            return self.row[place].take();
        }
        let found = self.row.pop_front().flatten();
        self.first += 1;
        self.let_go();
        found
    }

    #[cold]
    fn remove_aside(&mut self, number: u64, right: impl FnOnce(&T) -> bool) -> Option<T> {
        self.aside.get(&number).is_some_and(right).then(|| self.aside.remove(&number)).flatten()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.row.is_empty() && self.aside.is_empty()
    }

    /// All of them, with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let row = (self.first..).zip(&self.row).filter_map(|(number, thing)| Some((number, thing.as_ref()?)));
        row.chain(self.aside.iter().map(|(&number, thing)| (number, thing)))
    }

    /// All of them.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.row.iter_mut().flatten().chain(self.aside.values_mut())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever comes and goes: as a map would.
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0_u8..4, any::<prop::sample::Index>()), 1..400)) {
            let (mut numbered, mut model, mut next) = (Numbered::default(), BTreeMap::new(), 1);
            for (step, which) in steps {
                if step < 2 {
                    // Many at once now and then, so that some move aside.
                    for _ in 0..=which.index(ROW / 4) {
                        numbered.insert(next, next * 2);
                        model.insert(next, next * 2);
                        next += 1 + u64::from(step == 1 && next % 97 == 0);
                    }
                } else {
                    let number = which.index(next as usize + 2) as u64;
                    prop_assert_eq!(numbered.get(number), model.get(&number));
                    prop_assert_eq!(numbered.get_mut(number), model.get_mut(&number));
                    prop_assert_eq!(numbered.remove(number), model.remove(&number));
                    if step == 3 {
                        let before = which.index(next as usize) as u64;
                        let old: Vec<_> = model.range(..before).map(|(&number, _)| number).collect();
                        old.iter().for_each(|number| assert_eq!(numbered.remove(*number), model.remove(number)));
                    }
                }
                prop_assert_eq!(numbered.values_mut().count(), model.len());
            }
            let left: BTreeMap<_, _> = numbered.iter().map(|(number, thing)| (number, *thing)).collect();
            prop_assert_eq!(left, model);
        }
    }

    #[test]
    fn one_that_stays_keeps_no_room_for_those_that_went() {
        let mut numbered = Numbered::default();
        numbered.insert(1, ());
        for number in 2..100 * ROW as u64 {
            numbered.insert(number, ());
            assert_eq!(numbered.remove(number), Some(()));
        }
        assert!(numbered.row.len() <= ROW + 1 && numbered.aside.len() == 1);
        assert_eq!(numbered.remove(1), Some(()));
    }
}
