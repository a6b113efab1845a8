//! A set: elements of any types, each once.

mod proxy;
mod referent;

pub use proxy::{SetDeferred, SetIter, SetOperand, SetProxy};
pub use referent::Set;
