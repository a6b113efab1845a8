//! The set itself, in the server.
//!
//! What it is combined with (values that came along, or another object) is read before its lock is taken.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, Serializer};
use serde::{Deserialize, Serialize as Derived};

use super::SetProxy;
use crate::codec::Value;
use crate::error::Result;
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Failure, Invocation, Outcome, Referent};
use crate::sys::sync::Mutex;
use crate::types::element::{Canonical, Each, Element, elements};
use crate::types::encodes::Slot;
use crate::types::entries::{Entries, Entry, Key, canonical};

/// The referent of a [`SetProxy`]: elements of any types.
#[derive(Default)]
pub struct Set {
    state: Arc<Mutex<Entries<()>>>,
}

/// How two sets are combined.
#[derive(Debug, Clone, Copy, Derived, Deserialize)]
pub(super) enum Combine {
    /// What is in either.
    Union,
    /// What is in both.
    Intersection,
    /// What is in this one alone.
    Difference,
    /// What is in one of them.
    SymmetricDifference,
}

/// How a set stands to another.
#[derive(Debug, Clone, Copy, Derived, Deserialize)]
pub(super) enum Relation {
    /// They are equal.
    Equals,
    /// All of this one are in the other.
    Subset,
    /// All of the other are in this one.
    Superset,
    /// None is in both.
    Disjoint,
}

fn keys(values: Vec<Element>) -> Result<Vec<Key>, Failure> {
    values.into_iter().map(Key::new).collect()
}

/// The other keys, each once.
fn distinct(others: &[Key]) -> impl Iterator<Item = &Key> {
    let mut seen = HashSet::new();
    others.iter().filter(move |key| seen.insert(&key.canonical))
}

fn combined<'a>(state: &'a Entries<()>, with: Combine, others: &'a [Key]) -> Result<Vec<&'a Element>, Failure> {
    let theirs: HashSet<&Canonical> = others.iter().map(|key| &key.canonical).collect();
    let mut result = Vec::new();
    for entry in state.iter() {
        let keep = match with {
            Combine::Union => true,
            Combine::Intersection => theirs.contains(&canonical(&entry.key)?),
            Combine::Difference | Combine::SymmetricDifference => !theirs.contains(&canonical(&entry.key)?),
        };
        if keep {
            result.push(&entry.key);
        }
    }
    if matches!(with, Combine::Union | Combine::SymmetricDifference) {
        result.extend(distinct(others).filter(|key| !state.contains(&key.canonical)).map(|key| &key.element));
    }
    Ok(result)
}

/// Combines in place; what is not needed any more, to be dropped outside of the lock.
fn combine(state: &mut Entries<()>, with: Combine, others: &[Key]) -> Vec<Entry<()>> {
    match with {
        Combine::Union => others.iter().filter_map(|key| state.insert(key.clone(), ())).collect(),
        Combine::Difference => others.iter().filter_map(|key| state.remove(&key.canonical)).collect(),
        Combine::Intersection => {
            let theirs: HashSet<&Canonical> = others.iter().map(|key| &key.canonical).collect();
            let doomed: Vec<Canonical> = state.canonicals().filter(|own| !theirs.contains(own)).cloned().collect();
            doomed.iter().filter_map(|own| state.remove(own)).collect()
        }
        Combine::SymmetricDifference => {
            let change = |key: &Key| match state.contains(&key.canonical) {
                true => state.remove(&key.canonical),
                false => state.insert(key.clone(), ()),
            };
            distinct(others).filter_map(change).collect()
        }
    }
}

/// An element that was taken out has not arrived.
fn put_back(state: &Mutex<Entries<()>>, element: Element) {
    // It had one when it was inserted.
    let Ok(key) = Key::new(element) else { return };
    let superfluous = state.lock().insert(key, ());
    drop(superfluous);
}

fn stands(state: &Entries<()>, how: Relation, others: &[Key]) -> bool {
    let theirs: HashSet<&Canonical> = others.iter().map(|key| &key.canonical).collect();
    let common = theirs.iter().filter(|key| state.contains(key)).count();
    match how {
        Relation::Equals => common == state.len() && common == theirs.len(),
        Relation::Subset => common == state.len(),
        Relation::Superset => common == theirs.len(),
        Relation::Disjoint => common == 0,
    }
}

impl Set {
    fn insert(&self, call: &mut Invocation<'_>) -> Outcome {
        let (value,) = elements::<(Element,)>(call)?;
        let key = Key::new(value)?;
        let mut state = self.state.lock();
        // The element that is there stays, as in Python.
        let is_new = !state.contains(&key.canonical);
        if is_new {
            state.insert(key, ());
        }
        drop(state);
        call.answer(&is_new)
    }

    fn remove(&self, call: &mut Invocation<'_>) -> Outcome {
        let (value,) = call.arguments::<(Element,)>()?;
        let key = canonical(&value)?;
        let removed = self.state.lock().remove(&key);
        call.answer(&removed.is_some())
    }

    fn contains(&self, call: &mut Invocation<'_>) -> Outcome {
        let (value,) = call.arguments::<(Element,)>()?;
        let key = canonical(&value)?;
        let contains = self.state.lock().contains(&key);
        call.answer(&contains)
    }

    fn pop(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let popped = self.state.lock().pop_last();
        let Some(entry) = popped else { return call.answer(&Slot(None::<()>)) };
        let answered = call.answer(&Slot(Some(&entry.key)))?;
        let state = Arc::downgrade(&self.state);
        call.put_back_by(move || {
            if let Some(state) = state.upgrade() {
                put_back(&state, entry.key);
            }
        });
        Ok(answered)
    }

    fn len(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let length = self.state.lock().len();
        call.answer(&length)
    }

    fn clear(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let former = self.state.lock().clear();
        drop(former);
        call.answer(&())
    }

    fn to_vec(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let state = self.state.lock();
        call.answer(&Each(state.iter().map(|entry| &entry.key)))
    }

    fn batch(&self, call: &mut Invocation<'_>) -> Outcome {
        let (after,) = call.arguments::<(u64,)>()?;
        let state = self.state.lock();
        let (last, entries) = state.batch(after, |()| 0);
        call.answer(&(last, Each(entries.iter().map(|entry| &entry.key))))
    }

    fn combined(&self, call: &mut Invocation<'_>) -> Outcome {
        let (with, other) = call.arguments::<(Combine, Element)>()?;
        let others = keys(other.contents()?)?;
        let state = self.state.lock();
        let result = combined(&state, with, &others)?;
        call.answer(&result)
    }

    fn combine(&self, call: &mut Invocation<'_>) -> Outcome {
        let (with, other) = elements::<(Combine, Element)>(call)?;
        let others = keys(other.contents()?)?;
        let former = combine(&mut self.state.lock(), with, &others);
        drop(former);
        call.answer(&())
    }

    fn stands(&self, call: &mut Invocation<'_>) -> Outcome {
        let (how, other) = call.arguments::<(Relation, Element)>()?;
        let others = keys(other.contents()?)?;
        let stands = stands(&self.state.lock(), how, &others);
        call.answer(&stands)
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Set({self})")
    }
}

/// As Python prints a set: `{1, 'a'}`, `set()`.
impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        if state.len() == 0 {
            return f.write_str("set()");
        }
        f.write_str("{")?;
        for (place, entry) in state.iter().enumerate() {
            let separator = if place > 0 { ", " } else { "" };
            write!(f, "{separator}{}", entry.key)?;
        }
        f.write_str("}")
    }
}

/// As a sequence, in the order of insertion.
impl Serialize for Set {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let state = self.state.lock();
        serializer.collect_seq(state.iter().map(|entry| &entry.key))
    }
}

impl Referent for Set {
    type Proxy = SetProxy<Value>;
    type Store = Bare<Self>;
    const TYPEID: &'static str = "set";

    fn methods(table: &mut Methods<Self>) {
        table.dynamic_constructor("new", &["items"], |call| {
            let (values,) = elements::<(Vec<Element>,)>(call)?;
            let mut entries = Entries::default();
            combine(&mut entries, Combine::Union, &keys(values)?);
            Ok(Self { state: Arc::new(Mutex::new(entries)) })
        });
        table.dynamic("insert", &["value"], Self::insert);
        table.dynamic("remove", &["value"], Self::remove);
        table.dynamic("contains", &["value"], Self::contains);
        table.dynamic("pop", &[], Self::pop);
        table.dynamic("len", &[], Self::len);
        table.dynamic("clear", &[], Self::clear);
        table.dynamic("to_vec", &[], Self::to_vec);
        table.dynamic("batch", &["after"], Self::batch);
        table.dynamic("combined", &["how", "other"], Self::combined);
        table.dynamic("combine", &["how", "other"], Self::combine);
        table.dynamic("stands", &["how", "other"], Self::stands);
        table.display();
        table.value();
    }
}
