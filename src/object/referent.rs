//! The trait of types whose instances a server owns.

use super::methods::Methods;
use super::store::Store;

/// A type whose instances live in a server and are worked on through proxies.
///
/// Implemented by `#[multiproc::referent]`; by hand it needs the list of methods and a proxy type.
///
/// ```
/// #[derive(Default)]
/// pub struct Counter { count: u64 }
///
/// #[multiproc::referent]
/// impl Counter {
///     pub fn new() -> Self { Self::default() }
///     pub fn add(&mut self, n: u64) -> u64 { self.count += n; self.count }
/// }
///
/// # fn main() -> multiproc::Result<()> {
/// let manager = multiproc::BaseManager::builder().register::<Counter>().start()?;
/// let counter = CounterProxy::new(&manager)?;
/// assert_eq!(counter.add(2)?, 2);
/// assert_eq!(counter.add(3)?, 5);
/// # manager.shutdown()
/// # }
/// ```
pub trait Referent: Sized + Send + 'static {
    /// What clients hold; a [`Proxy`](crate::Proxy).
    type Proxy: 'static;
    /// How the server keeps an instance: [`Bare`](crate::store::Bare) where every exposed method takes `&self` (the author synchronises),
    /// [`RwLock`](crate::store::RwLock) where some take `&mut self`, [`Mutex`](crate::store::Mutex) where the type is not `Sync`.
    type Store: Store<Self>;
    /// The name to register under, unless another is given.
    const TYPEID: &'static str;
    /// Lists constructors and methods.
    fn methods(table: &mut Methods<Self>);
}
