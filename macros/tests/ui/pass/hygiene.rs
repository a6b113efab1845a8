//! Generated code relies on no import, no prelude, and no name of the user's.

#![no_implicit_prelude]

/// Names that generated code might have meant.
pub enum Option {}
pub enum Result {}
pub struct String;
pub struct Vec;
pub struct PhantomData;
pub trait Clone {}
pub trait Proxy {}
pub trait Referent {}

pub struct Held {
    call: u8,
}

#[::multiproc::referent(typeid = "Held")]
impl Held {
    pub fn new(manager: u8, call: u8, value: u8) -> Self {
        Held { call: manager + call + value }
    }

    pub fn open(table: ::std::option::Option<&str>) -> ::std::result::Result<Self, u8> {
        match table {
            ::std::option::Option::Some(_) => ::std::result::Result::Ok(Held { call: 1 }),
            ::std::option::Option::None => ::std::result::Result::Err(2),
        }
    }

    pub fn methods(&self, this: u8, call: u8, responder: u8, base: u8, signatures: u8) -> u8 {
        self.call + this + call + responder + base + signatures
    }

    pub fn base(&mut self, value: ::std::vec::Vec<u8>, bytes: &[u8]) -> ::std::vec::Vec<u8> {
        [&value, bytes].concat()
    }

    pub fn signatures(&self) -> &str {
        "signatures"
    }

    pub fn marker(&self, error: ::std::option::Option<&[u8]>) -> ::std::option::Option<&[u8]> {
        match error {
            ::std::option::Option::Some(_) => ::std::option::Option::Some(b"some"),
            ::std::option::Option::None => ::std::option::Option::None,
        }
    }

    pub fn later(&self, value: u8, reply: ::multiproc::Responder<::std::vec::Vec<u8>>) {
        reply.respond(&[value].to_vec());
    }

    #[referent(proxy)]
    pub fn child(&self, value: u8) -> ::std::result::Result<Held, u8> {
        ::std::result::Result::Ok(Held { call: value })
    }
}

#[::multiproc::proxy(typeid = "Held", proxy = HeldElsewhere)]
pub trait Described {
    fn new(manager: u8, call: u8, value: u8) -> Self;
    fn signatures(&self) -> &str;
}

#[derive(::multiproc::Proxy)]
pub struct Handwritten {
    base: ::multiproc::BaseProxy,
    state: u8,
}

fn main() {
    let manager = ::multiproc::BaseManager::builder().register::<Held>().start().unwrap();
    let held = HeldProxy::new(&manager, 1, 2, 3).unwrap();
    ::std::assert_eq!(held.methods(1, 1, 1, 1, 1).unwrap(), 11);
    ::std::assert_eq!(held.base(b"a".to_vec(), b"b").unwrap(), b"ab");
    ::std::assert_eq!(held.signatures().unwrap(), "signatures");
    ::std::assert_eq!(held.marker(::std::option::Option::Some(b"")).unwrap().unwrap(), b"some");
    ::std::assert_eq!(held.later(5).unwrap(), [5]);
    ::std::assert_eq!(held.child(9).unwrap().methods(0, 0, 0, 0, 0).unwrap(), 9);
    ::std::assert!(HeldProxy::open(&manager, ::std::option::Option::None).is_err());
    ::std::assert_eq!(HeldElsewhere::new(&manager, 1, 1, 1).unwrap().signatures().unwrap(), "signatures");
    let base = ::std::clone::Clone::clone(::multiproc::Proxy::base(&held));
    let by_hand = <Handwritten as ::multiproc::Proxy>::from_base(base);
    ::std::assert_eq!(by_hand.state, 0);
    manager.shutdown().unwrap();
}
