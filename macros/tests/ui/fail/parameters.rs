//! Parameters that can't be sent, decoded or named.

#![allow(unused)]

use std::collections::HashMap;

struct View<'a>(&'a str);

struct Served;

#[multiproc::referent]
impl Served {
    pub fn change(&self, list: &mut Vec<u8>) {}

    pub fn implicit(&self, text: impl AsRef<str>) {}

    pub fn object(&self, text: &dyn ToString, boxed: Box<dyn Fn() -> u8>) {}

    pub fn function(&self, f: fn(u8) -> u8) {}

    pub fn pointer(&self, p: *const u8) {}

    pub fn forever(&self, text: &'static str) {}

    pub fn nested(&self, all: Vec<&Served>, map: HashMap<&str, &u8>, slices: &[&[u8]]) {}

    pub fn view(&self, view: View<'_>) {}

    pub fn patterns(&self, (a, b): (u8, u8), _: u8) {}

    pub fn configured(&self, #[cfg(all())] a: u8) {}

    #[rustfmt::skip]
    pub fn seventeen(
        &self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8, m: u8, n: u8, o: u8, p: u8,
        q: u8,
    ) {
    }
}

#[multiproc::proxy]
trait Described {
    fn change(&self, list: &mut Vec<u8>);
}

fn main() {}
