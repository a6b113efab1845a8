//! Methods that answer later, from a thread of their own.

use std::thread;

use multiproc::{BaseManager, CallError, Responder};

struct Later;

#[multiproc::referent]
impl Later {
    pub fn new() -> Self {
        Self
    }

    pub fn double(&self, number: u32, reply: Responder<u32>) {
        thread::spawn(move || reply.respond(&(number * 2)));
    }

    pub fn checked(&mut self, number: u32, reply: Responder<Vec<u8>, String>) -> () {
        thread::spawn(move || match u8::try_from(number) {
            Ok(number) => reply.respond(&vec![number]),
            Err(error) => reply.fail(&error.to_string()),
        });
    }

    pub fn nothing(&self, reply: multiproc::Responder<()>) {
        reply.respond(&());
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = BaseManager::builder().register::<Later>().start()?;
    let later = LaterProxy::new(&manager)?;
    assert_eq!(later.double(21)?, 42);
    assert_eq!(later.checked(7)?, [7]);
    assert!(matches!(later.checked(300), Err(CallError::Method(text)) if text.contains("out of range")));
    later.nothing()?;
    manager.shutdown()?;
    Ok(())
}
