//! A referent stays where it is.

#![allow(unused)]

use std::rc::Rc;

struct Served;

#[multiproc::referent]
impl Served {
    pub fn consume(self) {}

    pub fn boxed(self: Box<Self>) {}

    pub fn counted(self: &Rc<Self>) {}

    pub fn fine(self: &mut Self) {}
}

#[multiproc::proxy]
trait Described {
    fn exclusive(&mut self);
    fn consume(self);
}

fn main() {}
