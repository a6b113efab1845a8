//! Shares a type of one's own: an object lives in a server process, and this one works on it through a typed proxy.
//!
//! Prints `MyClass(mark)`, `mark`, `mark帅哥`.

use std::fmt;

use multiproc::BaseManager;
use serde::{Deserialize, Serialize};

/// Any type will do; this one can be shown, and copied back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MyClass {
    name: String,
}

impl fmt::Display for MyClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MyClass({})", self.name)
    }
}

#[multiproc::referent(typeid = "MyClass", display, value)]
impl MyClass {
    /// A new one.
    pub fn new(name: String) -> Self {
        Self { name }
    }

    /// What it is called.
    #[referent(name = "getName")]
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// Calls it something else.
    #[referent(name = "setName")]
    pub fn set_name(&mut self, name: String) {
        self.name = name;
    }

    /// Appends to its name.
    #[referent(name = "__add__")]
    pub fn add(&mut self, suffix: &str) {
        self.name.push_str(suffix);
    }
}

fn main() -> multiproc::Result<()> {
    // Forks the server, which owns the objects from now on.
    let manager = BaseManager::builder().register::<MyClass>().start()?;

    let a = MyClassProxy::new(&manager, "mark".into())?;
    println!("{a}");
    println!("{}", a.name()?);
    a.add("帅哥")?;
    println!("{}", a.name()?);

    manager.shutdown()
}
