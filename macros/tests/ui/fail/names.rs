//! Names that nobody could say, and two things of one name.

#![allow(unused)]

struct Served;

#[multiproc::referent]
impl Served {
    pub fn get(&self) {}

    #[referent(name = "get")]
    pub fn fetch(&self) {}

    #[referent(name = "")]
    pub fn empty(&self) {}

    #[referent(name = "get name")]
    pub fn spaced(&self) {}

    #[referent(name = "#GETVALUE")]
    pub fn special(&self) {}

    #[referent(name = "r#type")]
    pub fn raw(&self) {}

    #[referent(name = "_")]
    pub fn underscore(&self) {}

    #[referent(name = "class")]
    pub fn keyword(&self) {}
}

struct Shown;

#[multiproc::referent(display)]
impl Shown {
    #[referent(name = "__str__")]
    pub fn text(&self) -> String {
        String::new()
    }
}

#[multiproc::proxy]
trait Described {
    fn one(&self);
    #[proxy(name = "one")]
    fn two(&self);
}

fn main() {}
