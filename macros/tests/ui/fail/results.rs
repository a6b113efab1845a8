//! Results that can't be sent, or whose error can't be seen.

#![allow(unused)]

use std::io;

struct Guard<'a>(&'a str);

struct Served(u8);

#[multiproc::referent]
impl Served {
    pub fn change(&mut self) -> &mut u8 {
        &mut self.0
    }

    pub fn implicit(&self) -> impl Iterator<Item = u8> {
        std::iter::once(1)
    }

    pub fn guard(&self) -> Option<Guard<'_>> {
        None
    }

    pub fn object(&self) -> Result<u8, Box<dyn std::error::Error>> {
        Ok(1)
    }

    pub fn alias(&self) -> io::Result<u8> {
        Ok(1)
    }

    pub fn opaque(&self) -> std::fmt::Result {
        Ok(())
    }

    pub fn never(&self) -> ! {
        std::process::exit(1)
    }

    pub fn pointer(&self) -> *const u8 {
        &self.0
    }

    #[referent(error = text)]
    pub fn fine(&self) -> io::Result<u8> {
        Ok(1)
    }
}

#[multiproc::proxy]
trait Described {
    fn alias(&self) -> io::Result<u8>;
}

fn main() {}
