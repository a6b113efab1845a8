//! What can go wrong, as one typed enum that keeps its sources and crosses the wire.
//!
//! [`Error`] is what the *system* says: a server that is gone, a method that is not exposed, a value that can't be
//! sent. What a *method* says (its own `Err(E)`) comes back as that `E`, inside [`CallError::Method`]. Errors are serde
//! values themselves, because half of them are found in the server and told in the client.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::de::Deserializer;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the system answers instead of a result.
///
/// Every message says what a person can do about it, where something can be done.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Error {
    /// The server's process has ended, or the connection to it is cut: whatever it owned is gone.
    #[error("the server at {address} is gone: {reason}")]
    ServerGone {
        /// Where it was.
        address: String,
        /// What is known of its end, such as "manager dropped".
        reason: String,
    },
    /// The answer did not come in the time that the caller allowed. A call that had begun may have had its effect.
    #[error("no answer within {after:?}; the call may have had its effect")]
    Timeout {
        /// The time allowed, where the call is known to have ended with it; the time waited, which is longer, where the server has not even said so.
        after: Duration,
    },
    /// The call was given up by its caller before it was answered.
    #[error("the call was cancelled by its caller")]
    Cancelled,
    /// The token names no living object of this server.
    #[error("the server has no object {object} (any more): every reference to it was given back")]
    NoSuchObject {
        /// The object's number.
        object: u64,
    },
    /// The referent's type has no such method.
    #[error("{typeid} has no method {method:?}; it has {available:?}")]
    NoSuchMethod {
        /// The type's registered name.
        typeid: String,
        /// What was asked for.
        method: String,
        /// What may be called.
        available: Vec<String>,
    },
    /// The referent's type has the method, but its registration does not offer it.
    #[error("{typeid} does not expose {method:?}; name it in the registration's `exposed` to allow it")]
    NotExposed {
        /// The type's registered name.
        typeid: String,
        /// What was asked for.
        method: String,
    },
    /// No type of that name is registered with the server.
    #[error("no type {typeid:?} is registered with this server; registered are {registered:?}")]
    NoSuchType {
        /// What was asked for.
        typeid: String,
        /// The registered names.
        registered: Vec<String>,
    },
    /// The type is registered without a constructor of that name.
    #[error("{typeid} offers no constructor {constructor:?}: {reason}")]
    NoConstructor {
        /// The type's registered name.
        typeid: String,
        /// What was asked for.
        constructor: String,
        /// Which there are, or why there are none.
        reason: String,
    },
    /// The arguments do not fit the method.
    #[error("{typeid}.{method}: wrong arguments: {reason}")]
    Arguments {
        /// The type's registered name.
        typeid: String,
        /// The method.
        method: String,
        /// What does not fit.
        reason: String,
    },
    /// The typed proxy was built from another version of the type than the server's.
    #[error(
        "{typeid}.{method}: the proxy's argument or result types are not the server's; \
         build both from one definition"
    )]
    Signature {
        /// The type's registered name.
        typeid: String,
        /// The method.
        method: String,
    },
    /// A value can't be turned into bytes, or bytes into the value.
    #[error("{type_name} can't be sent between processes: {reason}")]
    Unserializable {
        /// The Rust type.
        type_name: String,
        /// What serde said.
        reason: String,
    },
    /// The method panicked in the server, which lives on.
    #[error(transparent)]
    Panicked(RemotePanic),
    /// The method answered an error, as text (dynamic calls, and `#[referent(error = text)]`).
    #[error(transparent)]
    Remote(RemoteError),
    /// A proxy of another manager was given where only this server's own objects can be kept.
    #[error("object {object} belongs to another server ({address}); a server can keep only its own objects alive")]
    ForeignProxy {
        /// The object's number.
        object: u64,
        /// Where it lives.
        address: String,
    },
    /// The call waits, directly or through others, for itself.
    #[error("the call on {typeid} would wait for itself: {reason}")]
    WouldDeadlock {
        /// The type of the referent that is busy.
        typeid: String,
        /// How the circle closes.
        reason: String,
    },
    /// The server has as many blocked calls, connections or threads as it may have.
    #[error("the server is overloaded: {what} (limit {limit})")]
    Overloaded {
        /// What there is too much of.
        what: String,
        /// How much is allowed.
        limit: u64,
    },
    /// A frame is larger than the limit.
    #[error("a message of {size} bytes is over the limit of {limit}; raise `max_frame` on both sides")]
    FrameTooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The other end of a connection is closed, by itself or with its process.
    #[error("{peer} has closed the connection")]
    Closed {
        /// The other side.
        peer: String,
    },
    /// A message does not fit into the room that was given. It is kept, and comes with the next receive.
    #[error("the next message has {size} bytes, and there is room for {limit}; it is kept: receive it with more room")]
    NoRoom {
        /// Its size in bytes.
        size: u64,
        /// The room in bytes.
        limit: u64,
    },
    /// Both sides could not prove to each other that they know the same key.
    #[error("authentication with {peer} failed: {cause}")]
    Authentication {
        /// The other side.
        peer: String,
        /// What failed.
        #[source]
        cause: Cause,
    },
    /// The other side broke the protocol.
    #[error("protocol error: {reason}")]
    Protocol {
        /// What was wrong.
        reason: String,
    },
    /// An address that can't be read.
    #[error("bad address: {cause}")]
    Address {
        /// What is wrong with it.
        #[source]
        cause: Cause,
    },
    /// A registration that can't be.
    #[error("registration of {typeid:?}: {reason}")]
    Registration {
        /// The name in question.
        typeid: String,
        /// What is wrong.
        reason: String,
    },
    /// The manager's server did not start.
    #[error("the manager's server did not start: {reason}")]
    Start {
        /// The child's own words.
        reason: String,
    },
    /// A call that makes no sense in the manager's present state.
    #[error("{what}")]
    State {
        /// What was asked, and what to do instead.
        what: String,
    },
    /// The operating system refused.
    #[error("{what}: {cause}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system answered.
        #[source]
        cause: Cause,
    },
}

impl Error {
    /// An error of the operating system, with what was tried.
    pub fn io(what: impl Into<String>, cause: io::Error) -> Self {
        Self::Io { what: what.into(), cause: Cause::new(cause) }
    }

    /// A broken protocol.
    pub fn protocol(reason: impl Into<String>) -> Self {
        Self::Protocol { reason: reason.into() }
    }

    /// A value that can't cross.
    pub fn unserializable<T: ?Sized>(reason: impl fmt::Display) -> Self {
        Self::Unserializable { type_name: std::any::type_name::<T>().to_owned(), reason: reason.to_string() }
    }
}

/// What a call of a method that returns `Result<_, E>` can fail with.
///
/// One generic `Error<E>` can't have all the `From`s that `?` needs, so there are two: the method's own error, and the system's.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError<E> {
    /// The method's own `Err`, as it was.
    #[error("{0}")]
    Method(E),
    /// The system's.
    #[error(transparent)]
    System(#[from] Error),
}

/// So that `?` works in functions that return the system's errors: the method's own becomes its text.
impl<E: StdError> From<CallError<E>> for Error {
    fn from(error: CallError<E>) -> Self {
        match error {
            CallError::System(error) => error,
            CallError::Method(error) => Self::Remote(RemoteError {
                kind: std::any::type_name::<E>().to_owned(),
                message: error.to_string(),
                causes: causes(&error),
            }),
        }
    }
}

impl<E> CallError<E> {
    /// The method's own error, if it is one.
    pub fn into_method(self) -> std::result::Result<E, Error> {
        match self {
            Self::Method(error) => Ok(error),
            Self::System(error) => Err(error),
        }
    }
}

/// A panic in a method, as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{typeid}.{method} panicked in the server: {message}")]
pub struct RemotePanic {
    /// The type's registered name.
    pub typeid: String,
    /// The method.
    pub method: String,
    /// The panic's message and place.
    pub message: String,
    /// The server's backtrace, as text; empty where none could be taken.
    pub backtrace: String,
}

/// An error that a method answered, as text: its kind, its words, and its causes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct RemoteError {
    /// The Rust type (or, from a Python server, the class) of the error.
    pub kind: String,
    /// Its text.
    pub message: String,
    /// The texts of its sources, outermost first.
    pub causes: Vec<String>,
}

/// An underlying error, kept as itself where it arose and as its text after it crossed to another process.
#[derive(Clone)]
pub struct Cause(Arc<dyn StdError + Send + Sync>);

impl Cause {
    /// Wraps an error.
    pub fn new(error: impl StdError + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }

    /// The error itself, for `downcast_ref`; one that crossed a process boundary is only text.
    pub fn get(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// A chain of errors that crossed a process boundary.
#[derive(Debug)]
struct Told {
    text: String,
    source: Option<Box<Told>>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Told {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|told| told as _)
    }
}

/// The texts of an error's sources, outermost first, without the error's own.
pub fn causes(error: &dyn StdError) -> Vec<String> {
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut texts = vec![self.0.to_string()];
        texts.extend(causes(&*self.0));
        texts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Cause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let chain =
            texts.into_iter().rev().fold(None, |source: Option<Box<Told>>, text| Some(Box::new(Told { text, source })));
        Ok(Self::new(chain.map_or(Told { text: "unknown cause".into(), source: None }, |told| *told)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_chain_of_sources_across_the_wire() {
        let error = Error::io("opening the door", io::Error::other(Told { text: "stuck".into(), source: None }));
        let told: Error = serde_json::from_str(&serde_json::to_string(&error).unwrap()).unwrap();
        assert_eq!(told.to_string(), error.to_string());
        assert_eq!(causes(&told), causes(&error));
    }

    #[test]
    fn a_method_error_is_told_from_the_systems() {
        let error: CallError<u32> = Error::Cancelled.into();
        assert!(error.into_method().is_err());
        assert_eq!(CallError::Method(7_u32).into_method().unwrap(), 7);
    }
}
