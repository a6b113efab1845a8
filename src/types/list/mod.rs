//! A list: elements of any types, in an order of their own.

mod iter;
mod proxy;
mod referent;
mod state;

pub use iter::ListIter;
pub use proxy::{ListDeferred, ListProxy};
pub use referent::List;
