//! Whoever documents what he writes has everything documented: what is generated brings its own words, and takes over his.

#![deny(warnings, missing_docs)]

/// A counter.
#[derive(Default)]
pub struct Counter(u64);

#[multiproc::referent]
impl Counter {
    /// Begins at 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one. See [`Self::private`], which the proxy has not.
    #[must_use = "the number is what it is for"]
    pub fn next(&mut self) -> u64 {
        self.0 += self.private();
        self.0
    }

    /// The last one.
    #[deprecated(since = "0.1.0", note = "count yourself")]
    #[referent(name = "getLast")]
    pub fn last(&self) -> u64 {
        self.0
    }

    fn private(&self) -> u64 {
        1
    }
}

/// What is known of a counter elsewhere.
#[multiproc::proxy(typeid = "Counter")]
pub trait Described {
    fn undocumented(&self);
}

/// A proxy of its own.
#[derive(multiproc::Proxy)]
pub struct Handle(multiproc::BaseProxy);

/// Nothing is called here: `deny(warnings)` looks at what was generated.
fn main() {}
