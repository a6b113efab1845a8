//! A responder is the last parameter of a method that returns nothing.

#![allow(unused)]

use multiproc::Responder;

struct Served;

#[multiproc::referent]
impl Served {
    pub fn first(&self, reply: Responder<u8>, number: u8) {}

    pub fn both(&self, one: Responder<u8>, two: Responder<u8>) {}

    pub fn returns(&self, reply: Responder<u8>) -> u8 {
        1
    }

    pub fn borrowed(&self, reply: Responder<&str>) {}

    pub fn result(&self, reply: Responder<Result<u8, String>>) {}

    #[referent(proxy)]
    pub fn proxied(&self, reply: Responder<u8>) {}

    #[referent(error = text)]
    pub fn text(&self, reply: Responder<u8, std::io::Error>) {}

    pub fn new(reply: Responder<u8>) {}
}

#[multiproc::proxy]
trait Described {
    fn later(&self, reply: Responder<u8>);
}

fn main() {}
