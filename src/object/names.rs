//! The names of a type's methods, laid out once so that each look-up compares a single one.
//!
//! A call names its method as text. When the type is registered a seed is looked for under which no two names hash to the same place; from then on a name is
//! hashed, and compared with the one that has its place.

/// How many seeds are tried before the table is made larger.
const SEEDS: u64 = 64;

/// Names, each with its place in a list.
#[derive(Debug)]
pub(super) struct Names {
    seed: u64,
    /// A power of two of them.
    slots: Vec<Option<(&'static str, usize)>>,
}

impl Names {
    /// Of a list.
    ///
    /// # Errors
    /// With a name that is in it twice.
    pub(super) fn new(list: &[&'static str]) -> Result<Self, &'static str> {
        let mut sorted = list.to_vec();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(twice[0]);
        }
        let mut size = (2 * list.len()).next_power_of_two();
        loop {
            let found = (0..SEEDS).find_map(|seed| Self::lay_out(list, seed, size));
            if let Some(found) = found {
                return Ok(found);
            }
            size *= 2;
        }
    }

    fn lay_out(list: &[&'static str], seed: u64, size: usize) -> Option<Self> {
        let mut names = Self { seed, slots: vec![None; size] };
        for (place, &name) in list.iter().enumerate() {
            let slot = names.slot(name.as_bytes());
            if names.slots[slot].replace((name, place)).is_some() {
                return None;
            }
        }
        Some(names)
    }

    /// The place of a name in the list.
    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let (own, place) = self.slots[self.slot(name)]?;
        (own.as_bytes() == name).then_some(place)
    }

    #[inline]
    fn slot(&self, name: &[u8]) -> usize {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut hash = (self.seed ^ (name.len() as u64) << 32).wrapping_mul(ODD);
        let mut mix = |word: u64| {
            hash = (hash ^ word).wrapping_mul(ODD);
            hash ^= hash >> 29;
        };
        let mut rest = name;
        while let Some((word, behind)) = rest.split_first_chunk() {
            mix(u64::from_le_bytes(*word));
            rest = behind;
        }
        mix(rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)));
        (hash >> 32) as usize & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leak(names: Vec<String>) -> Vec<&'static str> {
        names.into_iter().map(|name| &*name.leak()).collect()
    }

    #[test]
    fn a_name_that_is_listed_twice_is_told() {
        assert_eq!(Names::new(&["get", "put", "get"]).unwrap_err(), "get");
        let none = Names::new(&[]).unwrap();
        assert_eq!((none.find(b""), none.find(b"get")), (None, None));
    }

    #[test]
    fn many_names_that_differ_little_are_told_apart() {
        let names =
            leak((0..300).map(|number| format!("a_method_with_a_long_name_{number:03}_and_a_long_end")).collect());
        let found = Names::new(&names).unwrap();
        assert!(names.iter().enumerate().all(|(place, name)| found.find(name.as_bytes()) == Some(place)));
        assert_eq!(found.find(b"a_method_with_a_long_name_300_and_a_long_end"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_listed_is_found_and_nothing_else(names in proptest::collection::btree_set("[a-z_]{0,20}", 0..40), other in "[a-z_]{0,20}") {
            let listed = leak(names.iter().cloned().collect());
            let found = Names::new(&listed).unwrap();
            for (place, name) in listed.iter().enumerate() {
                prop_assert_eq!(found.find(name.as_bytes()), Some(place));
            }
            prop_assert_eq!(found.find(other.as_bytes()), listed.iter().position(|name| *name == other));
        }
    }
}
