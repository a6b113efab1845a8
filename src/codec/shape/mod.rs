//! What a type reads in bincode, as one number: how two programs find out whether they mean the same type.
//!
//! bincode writes contents and nothing about them, so that an `i32` 5 reads as a `u64` 10 without any error. A [`Shape`] is found by
//! running a type's own `Deserialize` against a tracer that notes what is asked for and answers with something
//! harmless, as often as it takes to see every variant of every enum. Field and variant names count, types' own names
//! do not: a type that was copied into another program and renamed has the same shape.
//!
//! # Invariants
//! - A shape depends on nothing but the type's definition: not on the process, the build, or addresses.
//! - Every type has one. Recursive types are followed until they repeat; a type that refuses everything the tracer has to
//!   offer is known by what it asked for up to then.
//!
//! Tracing takes microseconds to milliseconds: callers keep the result.

mod definition;
mod tracer;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt;

use serde::de::DeserializeOwned;

use self::definition::Catalogue;
use self::tracer::trace;

thread_local! {
    static TRACING: Cell<bool> = const { Cell::new(false) };
}

/// What a type reads, as a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape(u64);

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shape({:016x})", self.0)
    }
}

/// The shape of a type.
pub fn shape<T: DeserializeOwned>() -> Shape {
    let _tracing = Tracing::begin();
    let mut catalogue = Catalogue::default();
    let root = trace::<T>(&mut catalogue);
    Shape(catalogue.hash(&root))
}

/// The shapes of a method's arguments (a tuple) and result in one number, which is never 0.
pub fn signature<A: DeserializeOwned, R: DeserializeOwned>() -> u32 {
    let both = definition::fold([shape::<A>().0, shape::<R>().0]);
    let folded = (both ^ both >> 32) as u32;
    folded.max(1)
}

/// Whether this thread is finding out a type's shape: a proxy that is deserialized meanwhile gets an index of 0 that means
/// nothing, and must answer with a proxy to nothing, not with an error, so that what comes after it is seen too.
pub fn is_tracing() -> bool {
    TRACING.get()
}

/// For as long as it lives, this thread is tracing.
struct Tracing {
    before: bool,
}

impl Tracing {
    fn begin() -> Self {
        Self { before: TRACING.replace(true) }
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        TRACING.set(self.before);
    }
}
