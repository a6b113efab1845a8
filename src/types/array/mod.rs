//! An array: numbers of one type, of a length that stays.

mod guard;
mod proxy;
mod referent;

pub use guard::ArrayGuard;
pub use proxy::{ArrayDeferred, ArrayProxy};
pub use referent::Array;
