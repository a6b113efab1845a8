//! Managers: where the parts meet.
//!
//! A [`Builder`] says what is registered, where and with which key; it then *starts* a server process of its own, *connects* to one that runs, or becomes the
//! [`Server`](crate::Server) itself. [`BaseManager`] is what the first two give: it creates objects and knows the server's state.

mod base;
mod builder;
mod process;
mod sync;

pub use base::BaseManager;
pub use builder::Builder;
pub use sync::SyncManager;
