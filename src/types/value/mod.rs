//! One value of any type, with a lock of its own: what `Arc<Mutex<T>>` is among threads.

mod guard;
mod proxy;
mod referent;

pub use guard::ValueGuard;
pub use proxy::{ValueDeferred, ValueProxy};
pub use referent::SharedValue;
