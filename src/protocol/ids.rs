//! The names of things on the wire: servers, clients, connections, objects, requests, threads.
//!
//! Each is a type of its own, so that none can be given for another. Server and client ids are 128 random
//! bits, so that a token of a dead or restarted server can only miss; all others are numbers that are counted up and
//! never used again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Defines a random 128-bit id.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// A fresh id from the kernel's random source; no state of this process is involved, so that two
            /// children of one fork never draw the same.
            ///
            /// # Panics
            /// Where the kernel has no random source (no Linux that this crate runs on).
            pub fn random() -> Self {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).expect("the kernel's random source");
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

/// Defines a counted id.
macro_rules! counted_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

random_id! {
    /// One run of a server. A restarted server is another one.
    ServerId
}
random_id! {
    /// One *process* that talks to servers. A forked child is a new client.
    ClientId
}
counted_id! {
    /// A referent of one server; 0 is the server itself.
    ObjectId
}
counted_id! {
    /// A call on one connection.
    RequestId
}
counted_id! {
    /// A data connection of one client.
    ConnectionId
}
counted_id! {
    /// A thread of one client process, never used again after the thread's end.
    ThreadNumber
}

impl ObjectId {
    /// The server itself: constructors and the manager's own questions are calls on it.
    pub const SERVER: Self = Self(0);
}
