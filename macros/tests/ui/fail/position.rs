//! Each attribute has one kind of item, and says which.

#![allow(unused)]

#[multiproc::referent]
struct NotAnImpl;

#[multiproc::referent]
trait NotAnImplEither {}

struct Served;

#[multiproc::referent]
impl Clone for Served {
    fn clone(&self) -> Self {
        Served
    }
}

#[multiproc::referent]
impl (Served, Served) {}

#[multiproc::proxy]
struct NotATrait;

#[multiproc::proxy]
impl Served {}

#[multiproc::proxy]
fn nothing() {}

#[derive(multiproc::Proxy)]
enum NotAStruct {}

fn main() {}
