//! The tour: a type, its constructors, methods of both kinds, errors that keep their type.

#![deny(warnings, unreachable_pub, clippy::all)]

use std::fmt;

use multiproc::{BaseManager, CallError, Proxy};
use serde::{Deserialize, Serialize};

/// Something to share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MyClass {
    name: String,
}

/// What a name may not be.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Empty;

impl fmt::Display for Empty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name is empty")
    }
}

impl fmt::Display for MyClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MyClass({})", self.name)
    }
}

#[multiproc::referent(typeid = "MyClass", display, value)]
impl MyClass {
    const KEPT: usize = 3;

    /// Makes one of that name. See [`Self::add`].
    pub fn new(name: String) -> Self {
        Self { name }
    }

    pub fn open(name: &str) -> Result<Self, Empty> {
        if name.is_empty() { Err(Empty) } else { Ok(Self::new(name.to_owned())) }
    }

    #[referent(name = "getName")]
    pub fn name(&self) -> String {
        self.name.clone()
    }

    #[referent(name = "setName")]
    pub fn set_name(&mut self, name: String) {
        self.name = name;
    }

    #[referent(name = "__add__")]
    pub fn add(&mut self, suffix: &str) {
        self.name += suffix;
    }

    pub fn first(self: &Self, mut at_most: usize) -> Result<&str, Empty> {
        at_most = at_most.min(Self::KEPT);
        self.name.get(..at_most).ok_or(Empty)
    }

    pub fn copy(&self) -> Self {
        self.clone()
    }

    pub fn equals(&self, other: &Self) -> bool {
        self == other
    }

    #[must_use]
    #[deprecated = "use first"]
    pub fn old(&self) -> [u8; Self::KEPT] {
        [0; Self::KEPT]
    }

    #[referent(skip)]
    pub fn visit<F: FnOnce(&str)>(&self, f: F) {
        f(&self.name);
    }

    pub(crate) fn inner(&self) -> *const u8 {
        self.name.as_ptr()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = BaseManager::builder().register::<MyClass>().start()?;
    let a = MyClassProxy::new(&manager, "mark".into())?;
    assert_eq!(a.to_string(), "MyClass(mark)");
    a.add("us")?;
    assert_eq!(a.name()?, "markus");
    a.set_name("tim".to_owned())?;
    assert_eq!(a.first(9)?, "tim");
    a.set_name("t".to_owned())?;
    assert!(matches!(a.first(9), Err(CallError::Method(Empty))));
    assert_eq!(a.copy()?, MyClass::new("t".to_owned()));
    assert_eq!(a.to_value::<MyClass>()?, a.copy()?);
    assert!(a.equals(&a.copy()?)?);

    assert!(matches!(MyClassProxy::open(&manager, ""), Err(CallError::Method(Empty))));
    let b = MyClassProxy::open(&manager, "b")?;
    assert_ne!(a, b);
    assert_eq!(b, b.clone());
    assert!(!format!("{b:?}").is_empty());

    let local = MyClass::new("x".into());
    local.visit(|name| assert_eq!(name, "x"));
    assert!(!local.inner().is_null());
    manager.shutdown()?;
    Ok(())
}
