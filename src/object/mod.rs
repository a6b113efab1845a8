//! The objects that a server owns, and how a call reaches one. No I/O: all of this is tested without a socket.
//!
//! On a call's way this layer stands between the session, which read a request, and the user's method:
//!
//! ```text
//! session ──► Call ──► Entry (table) ──► Class: which method? exposed? signature?
//!                                 └────► Stored<T>: Gate: may it run now? ──► Invocation ──► method
//! session ◄── Replier ◄── Answer ◄──────────────────────────────────────────┘  (or a Responder, later)
//! ```
//!
//! - [`Referent`] ties a user's type to its methods; [`Methods`] is the list that the macro (or a person) fills in.
//! - [`registry`] maps typeids to classes: constructors, exposed methods, what results become.
//! - [`table`] maps object ids to live referents. An object lives exactly as long as somebody holds its [`entry::Entry`]: a lease, a call, a ticket,
//!   a proxy inside the server.
//! - [`lease`] is what one client holds. [`gate`] is the queue of one object. [`chain`] finds calls that would wait for themselves.
//! - [`raised`] names the exceptions that errors are in Python.
//! - [`local`] lets a proxy used inside the server reach its object without a socket.
//!
//! Invariants: user code runs with no lock of this layer held, except its own object's store, which the gate has made free; a
//! dead referent is dropped outside the table's lock; a request is answered exactly once.

pub mod answer;
pub mod call;
pub mod chain;
pub mod class;
pub mod entry;
#[cfg(feature = "python")]
pub mod face;
pub mod gate;
pub mod host;
pub mod invocation;
pub mod lease;
pub mod local;
pub mod methods;
mod names;
pub mod panics;
pub mod parked;
pub mod raised;
pub mod referent;
pub mod registration;
pub mod registry;
pub mod responder;
pub mod store;
pub mod stored;
pub mod table;
pub mod ticket;

pub use answer::{Answer, Answered, Failure, Outcome};
pub use call::{Call, Caller};
pub use host::Heir;
pub use invocation::Invocation;
pub use raised::{Raised, Raises};
pub use referent::Referent;
pub use registration::Registration;
pub use responder::Responder;
pub use stored::Shared;
