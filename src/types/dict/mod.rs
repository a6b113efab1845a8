//! A dict: keys and values of any types, in the order of their first insertion.

mod iter;
mod proxy;
mod referent;

pub use iter::DictIter;
pub use proxy::{DictDeferred, DictProxy};
pub use referent::Dict;
