//! A proxy trait is a list of methods.

#![allow(unused)]

#[multiproc::proxy]
unsafe trait Unsafe {}

#[multiproc::proxy]
trait Generic<T: Clone>: Sized
where
    T: Copy,
{
    type Item;

    const N: usize;

    fn body(&self) -> u8 {
        1
    }
}

fn main() {}
