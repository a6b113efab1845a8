//! A hand-written proxy is a struct around one `BaseProxy`.

#![allow(unused)]

use multiproc::BaseProxy;

#[derive(multiproc::Proxy)]
struct Baseless {
    count: u8,
}

#[derive(multiproc::Proxy)]
struct Double(BaseProxy, BaseProxy);

#[derive(multiproc::Proxy)]
#[proxy(exposed("get", "get", "get it"), method_to_typeid(child = "Two Words", child = "Child"))]
#[proxy(no(Display, Copy), display)]
struct Flags(BaseProxy);

#[derive(multiproc::Proxy)]
#[proxy]
struct Bare(BaseProxy);

fn main() {}
