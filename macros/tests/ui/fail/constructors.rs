//! Functions without `self` make a referent, or are not exposed.

#![allow(unused)]

struct Served;

#[multiproc::referent]
impl Served {
    pub fn version() -> u32 {
        1
    }

    pub fn reset() {}

    pub fn maybe() -> Option<Self> {
        None
    }

    pub fn other() -> Result<u8, String> {
        Ok(1)
    }

    #[referent(proxy)]
    pub fn proxied() -> Self {
        Served
    }

    #[referent(blocking)]
    pub fn slow() -> Self {
        Served
    }

    #[referent(skip)]
    pub fn skipped() -> u8 {
        2
    }

    fn private() -> u8 {
        3
    }
}

#[multiproc::proxy]
trait Described {
    fn version() -> u32;
}

fn main() {}
