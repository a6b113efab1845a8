//! Methods whose result becomes a referent: its proxy is what the caller gets.

use std::cell::Cell;
use std::fmt;

use multiproc::{BaseManager, CallError, Shared};

pub struct Leaf(u32);

#[multiproc::referent]
impl Leaf {
    pub fn number(&self) -> u32 {
        self.0
    }
}

#[derive(Debug)]
pub struct NoSerde;

impl fmt::Display for NoSerde {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no serde")
    }
}

pub struct Tree {
    shared: Option<Shared<Leaf>>,
}

#[multiproc::referent(error = text, blocking)]
impl Tree {
    pub fn new() -> Result<Self, NoSerde> {
        Ok(Self { shared: None })
    }

    #[referent(proxy)]
    pub fn leaf(&self, number: u32) -> Leaf {
        Leaf(number)
    }

    #[referent(proxy)]
    pub fn leaf_or_text(&self, number: u32) -> Result<Leaf, NoSerde> {
        if number == 0 { Err(NoSerde) } else { Ok(Leaf(number)) }
    }

    #[referent(proxy)]
    pub fn shared(&mut self, number: u32) -> Shared<Leaf> {
        self.shared.get_or_insert_with(|| Shared::new(Leaf(number))).clone()
    }

    #[referent(proxy)]
    pub fn shared_or_text(&self) -> Result<Shared<Leaf>, NoSerde> {
        self.shared.clone().ok_or(NoSerde)
    }

    #[referent(proxy)]
    pub fn fork(&self) -> Self {
        Self { shared: self.shared.clone() }
    }

    pub fn number_of(&self, leaf: &LeafProxy) -> multiproc::Result<u32> {
        leaf.number()
    }
}

/// `Send`, but not `Sync`.
pub struct Alone(Cell<u32>);

#[multiproc::referent(exclusive)]
impl Alone {
    pub fn new() -> Self {
        Self(Cell::new(0))
    }

    pub fn next(&self) -> u32 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }

    #[referent(proxy)]
    pub fn leaf(&self, number: u32) -> Result<Leaf, u32> {
        if number == 0 { Err(7) } else { Ok(Leaf(number)) }
    }

    #[referent(proxy)]
    pub fn shared(&self, number: u32) -> Result<Shared<Leaf>, u32> {
        self.leaf(number).map(Shared::new)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = BaseManager::builder().register::<Tree>().register::<Leaf>().register::<Alone>().start()?;
    let tree = TreeProxy::new(&manager)?;
    assert_eq!(tree.leaf(3)?.number()?, 3);
    assert_eq!(tree.leaf_or_text(4)?.number()?, 4);
    assert_eq!(tree.leaf_or_text(0).unwrap_err().to_string(), "no serde");
    assert!(tree.shared_or_text().is_err());
    let shared: LeafProxy = tree.shared(5)?;
    assert_eq!(shared, tree.shared(6)?);
    assert_eq!(shared, tree.shared_or_text()?);
    assert_eq!(shared, tree.fork()?.shared(7)?);
    assert_eq!(tree.number_of(&shared)?, 5);

    let alone = AloneProxy::new(&manager)?;
    assert_eq!((alone.next()?, alone.next()?), (1, 2));
    assert_eq!(alone.leaf(8)?.number()?, 8);
    assert!(matches!(alone.leaf(0), Err(CallError::Method(7))));
    assert_eq!(alone.shared(8)?.number()?, 8);
    assert!(matches!(alone.shared(0), Err(CallError::Method(7))));
    manager.shutdown()?;
    Ok(())
}
