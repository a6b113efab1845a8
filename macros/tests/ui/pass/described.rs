//! A proxy trait beside the referent that it describes: the same text gives the same signatures, so every call works.

#![deny(missing_docs)]

use std::path::Path;

use multiproc::{BaseManager, CallError};

struct Store {
    bytes: Vec<u8>,
}

#[multiproc::referent]
impl Store {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }
    pub fn open(path: &Path) -> Result<Self, String> {
        Err(path.display().to_string())
    }
    #[referent(error = text)]
    pub fn parse(text: &str) -> Result<Self, std::num::ParseIntError> {
        Ok(Self { bytes: vec![text.parse()?] })
    }
    #[referent(name = "getBytes")]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    pub fn find(&self, wanted: &[u8], among: Option<&[String]>) -> Result<Option<&[u8]>, &'static str> {
        among.map(|_| self.bytes.strip_prefix(wanted)).ok_or("nowhere")
    }
    #[referent(proxy)]
    pub fn child(&self, name: Option<&str>) -> Result<Store, String> {
        name.map(|name| Self::new(name.into())).ok_or("nameless".to_owned())
    }
    #[referent(codec = value)]
    pub fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
    }
    pub fn wait(&self, reply: multiproc::Responder<Vec<u8>>) {
        reply.respond(&self.bytes);
    }
}

/// What a client knows of the server's type.
#[multiproc::proxy(typeid = "Store", proxy = StoreElsewhere)]
pub trait StoreDescribed {
    fn new(bytes: Vec<u8>) -> Self;
    /// Opens one.
    fn open(path: &Path) -> Result<Self, String>;
    #[proxy(error = text)]
    fn parse(text: &str) -> Result<Self, std::num::ParseIntError>;
    #[proxy(name = "getBytes")]
    fn bytes(&self) -> &[u8];
    fn find(&self, wanted: &[u8], among: Option<&[String]>) -> Result<Option<&[u8]>, &'static str>;
    fn child(&self, name: Option<&str>) -> Result<Self, String>;
    #[proxy(codec = value)]
    fn push(&self, byte: u8);
    fn wait(&self) -> Vec<u8>;
    #[cfg(any())]
    fn never(&self) -> Missing;
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = BaseManager::builder().register::<Store>().start()?;
    let store = StoreElsewhere::new(&manager, b"abc".to_vec())?;
    assert_eq!(store.bytes()?, b"abc");
    assert_eq!(store.find(b"a", Some(&[]))?.as_deref(), Some(&b"bc"[..]));
    assert!(matches!(store.find(b"a", None), Err(CallError::Method(text)) if text == "nowhere"));
    store.push(b'd')?;
    assert_eq!(store.wait()?, b"abcd");
    assert_eq!(store.child(Some("x"))?.bytes()?, b"x");
    assert!(matches!(store.child(None), Err(CallError::Method(text)) if text == "nameless"));
    assert!(matches!(StoreElsewhere::open(&manager, Path::new("/p")), Err(CallError::Method(text)) if text == "/p"));
    assert_eq!(StoreElsewhere::parse(&manager, "7")?.bytes()?, [7]);
    assert!(StoreElsewhere::parse(&manager, "x").is_err());
    manager.shutdown()?;
    Ok(())
}
