//! An array: numbers of one type, of a length that stays.

mod proxy;
mod referent;

pub use proxy::{ArrayDeferred, ArrayProxy};
pub use referent::Array;
