//! How a server keeps one referent: which calls on it may run at the same time.
//!
//! The [gate](super::gate) lets calls in so that the lock in here is always free when it is taken; it is there for the compiler, which can't know that.

use crate::sys::sync;

/// Keeps a `T` for the server's threads.
pub trait Store<T>: Send + Sync + 'static {
    /// What may run side by side.
    const ADMITS: Admits;
    /// Takes the value in.
    fn new(value: T) -> Self;
    /// Runs a `&self` method.
    fn shared<R>(&self, method: impl FnOnce(&T) -> R) -> R;
    /// Runs a `&mut self` method; `None` where the store can't.
    fn exclusive<R>(&self, method: impl FnOnce(&mut T) -> R) -> Option<R>;
}

/// What may run side by side on one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admits {
    /// Everything: there are no `&mut self` methods.
    All,
    /// Any number of `&self` methods, or one `&mut self` method.
    ReadersOrWriter,
    /// One method.
    One,
}

/// For types all of whose exposed methods take `&self`: calls run side by side, and the type's author synchronises.
#[derive(Debug)]
pub struct Bare<T>(T);

/// For types with `&mut self` methods: `&self` methods run side by side, `&mut self` methods alone.
#[derive(Debug)]
pub struct RwLock<T>(sync::RwLock<T>);

/// For types that are `Send` but not `Sync`: every method runs alone.
#[derive(Debug)]
pub struct Mutex<T>(sync::Mutex<T>);

impl<T: Send + Sync + 'static> Store<T> for Bare<T> {
    const ADMITS: Admits = Admits::All;

    fn new(value: T) -> Self {
        Self(value)
    }

    fn shared<R>(&self, method: impl FnOnce(&T) -> R) -> R {
        method(&self.0)
    }

    fn exclusive<R>(&self, _: impl FnOnce(&mut T) -> R) -> Option<R> {
        None
    }
}

impl<T: Send + Sync + 'static> Store<T> for RwLock<T> {
    const ADMITS: Admits = Admits::ReadersOrWriter;

    fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    fn shared<R>(&self, method: impl FnOnce(&T) -> R) -> R {
        method(&self.0.read())
    }

    fn exclusive<R>(&self, method: impl FnOnce(&mut T) -> R) -> Option<R> {
        Some(method(&mut self.0.write()))
    }
}

impl<T: Send + 'static> Store<T> for Mutex<T> {
    const ADMITS: Admits = Admits::One;

    fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    fn shared<R>(&self, method: impl FnOnce(&T) -> R) -> R {
        method(&self.0.lock())
    }

    fn exclusive<R>(&self, method: impl FnOnce(&mut T) -> R) -> Option<R> {
        Some(method(&mut self.0.lock()))
    }
}
