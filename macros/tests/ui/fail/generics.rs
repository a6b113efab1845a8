//! Type parameters that say nothing of what crosses, and types that borrow.

#![allow(unused)]

struct Unbounded<T>(T);

#[multiproc::referent]
impl<T> Unbounded<T> {
    pub fn get(&self) -> &T {
        &self.0
    }
}

struct Borrowing<'a>(&'a str);

#[multiproc::referent]
impl<'a> Borrowing<'a> {
    pub fn get(&self) -> &str {
        self.0
    }
}

#[derive(multiproc::Proxy)]
struct Handle<'a> {
    base: multiproc::BaseProxy,
    name: &'a str,
}

fn main() {}
