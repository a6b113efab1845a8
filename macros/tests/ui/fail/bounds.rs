//! What a flag asks of the type is told at the flag, and what a type lacks at the type.

use std::cell::Cell;

struct Shown;

#[multiproc::referent(display)]
impl Shown {}

struct Alone(Cell<u8>);

#[multiproc::referent]
impl Alone {}

#[derive(Debug)]
struct Wordless;

struct Failing;

#[multiproc::referent]
impl Failing {
    #[referent(error = text)]
    pub fn fail(&self) -> Result<u8, Wordless> {
        Err(Wordless)
    }
}

fn main() {}
