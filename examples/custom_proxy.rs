//! The same as `custom_type`, with a proxy type of one's own: properties and an operator instead of the generated methods, and only some methods exposed.
//!
//! Prints `MyClass(mark)`, `mark`, `mark帅哥`, `马克帅哥`, and what a method that is not exposed answers.

use std::fmt;
use std::ops::Add;

use multiproc::{BaseManager, BaseProxy, Error, Proxy, Result};

/// The type in the server; its proxy is written below.
pub struct MyClass {
    name: String,
}

impl fmt::Display for MyClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MyClass({})", self.name)
    }
}

#[multiproc::referent(typeid = "MyClass", display, proxytype = MyClassProxy)]
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

    /// Forgets its name. The proxy below does not expose it, so no client can.
    pub fn clear(&mut self) {
        self.name.clear();
    }
}

/// A proxy as its author likes it. What the derive names here is all that a registration with it exposes.
#[derive(multiproc::Proxy)]
#[proxy(exposed("getName", "setName", "__add__"))]
pub struct MyClassProxy {
    base: BaseProxy,
}

impl MyClassProxy {
    /// Makes a `MyClass` in the manager's server.
    pub fn new(manager: &BaseManager, name: &str) -> Result<Self> {
        manager.create_as("MyClass", (name,))
    }

    /// The property's getter.
    pub fn name(&self) -> Result<String> {
        self.base.call_method("getName", ())
    }

    /// The property's setter.
    pub fn set_name(&self, name: &str) -> Result<()> {
        self.base.call_method("setName", (name,))
    }
}

/// `&a + "…"` appends in the server, and gives the proxy back, so that it can be chained.
impl Add<&str> for &MyClassProxy {
    type Output = Result<MyClassProxy>;

    fn add(self, suffix: &str) -> Self::Output {
        self.base.call_method::<()>("__add__", (suffix,))?;
        Ok(self.clone())
    }
}

fn main() -> Result<()> {
    let manager = BaseManager::builder().register::<MyClass>().start()?;

    let a = MyClassProxy::new(&manager, "mark")?;
    println!("{a}");
    println!("{}", a.name()?);
    let same = (&a + "帅哥")?;
    println!("{}", same.name()?);
    assert_eq!(same, a, "two proxies of one object are equal");
    a.set_name("马克帅哥")?;
    println!("{}", a.name()?);

    match a.base().call_method::<()>("clear", ()) {
        Err(error @ Error::NotExposed { .. }) => println!("{error}"),
        other => other?,
    }
    assert_eq!(a.name()?, "马克帅哥", "what is not exposed has not run");

    manager.shutdown()
}
