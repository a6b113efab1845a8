//! `#[referent(proxy)]` needs a referent to make a proxy of.

#![allow(unused)]

struct Child;

struct Served(Vec<Child>);

#[multiproc::referent]
impl Served {
    #[referent(proxy)]
    pub fn reference(&self) -> &Child {
        &self.0[0]
    }

    #[referent(proxy)]
    pub fn optional(&self) -> Option<Child> {
        None
    }

    #[referent(proxy)]
    pub fn many(&self) -> Result<Vec<Child>, String> {
        Ok(vec![])
    }

    #[referent(proxy)]
    pub fn nothing(&self) {}
}

fn main() {}
