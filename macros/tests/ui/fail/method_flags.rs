//! Flags of a method: unknown, where they mean nothing, on what is not exposed.

#![allow(unused)]

struct Served;

#[multiproc::referent]
impl Served {
    #[referent]
    pub fn bare(&self) {}

    #[referent(nmae = "getName")]
    pub fn misspelt(&self) {}

    #[referent(name = getName)]
    pub fn unquoted(&self) {}

    #[referent(name = "one")]
    #[referent(name = "two")]
    pub fn twice(&self) {}

    #[referent(error = text)]
    pub fn infallible(&self) {}

    #[referent(name = "hidden")]
    fn private(&self) {}

    #[referent(blocking)]
    pub(crate) fn restricted(&self) {}

    #[cfg_attr(all(), referent(skip))]
    pub fn conditional(&self) {}
}

#[multiproc::proxy]
trait Described {
    #[proxy(skip)]
    fn skipped(&self);
}

fn main() {}
