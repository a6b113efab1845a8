//! Panics in user code: told to the caller with message, place and backtrace, and survived.

use crate::error::RemotePanic;
use crate::sys::panic::{Panic, contain};

/// Runs user code; a panic in it becomes an error.
pub fn caught<R>(code: impl FnOnce() -> R) -> Result<R, Panic> {
    contain(code)
}

/// Runs user code of which nobody waits for a result (destructors, cancellations); a panic in it is an event in the log.
pub fn quietly(code: impl FnOnce()) {
    if let Err(panic) = contain(code) {
        tracing::error!(%panic, backtrace = %panic.backtrace, "user code panicked in the server");
    }
}

/// What the caller of a method that panicked is told.
pub fn told(panic: Panic, typeid: &str, method: &str) -> RemotePanic {
    let message = match panic.place {
        Some(place) => format!("{} (at {place})", panic.message),
        None => panic.message,
    };
    RemotePanic { typeid: typeid.to_owned(), method: method.to_owned(), message, backtrace: panic.backtrace }
}
