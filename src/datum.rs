//! What can be an argument, a result, or an element.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Any value that can cross between processes and threads: a serde type that owns what it holds.
///
/// Implemented for every such type. Type parameters of a [`referent`](macro@crate::referent) usually need it.
///
/// ```
/// use multiproc::{BaseManager, Datum};
///
/// pub struct Stack<T> { items: Vec<T> }
///
/// #[multiproc::referent]
/// impl<T: Datum> Stack<T> {
///     pub fn new() -> Self { Self { items: Vec::new() } }
///     pub fn push(&mut self, item: T) { self.items.push(item); }
///     pub fn pop(&mut self) -> Option<T> { self.items.pop() }
/// }
///
/// # fn main() -> multiproc::Result<()> {
/// let manager = BaseManager::builder().register_as::<Stack<u32>>("IntStack").start()?;
/// let stack = StackProxy::<u32>::new(&manager)?;
/// stack.push(7)?;
/// assert_eq!(stack.pop()?, Some(7));
/// # manager.shutdown()
/// # }
/// ```
pub trait Datum: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Datum for T {}
