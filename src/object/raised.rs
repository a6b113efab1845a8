//! The exceptions that errors become in Python.
//!
//! To Rust's callers a method's error is what it is. One of Python's clients gets the exception that the error's author has named: by [`Raises`], for an error type, or by the flag `raises` of a method. It is looked for in the
//! session with that client, when the method has failed; nobody else pays for it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{self, Codec};

/// An exception of Python's, as an error names it: its class, and what it is made of.
///
/// ```
/// use multiproc::{Raised, Raises};
///
/// pub struct Overdrawn { by: u64 }
///
/// impl Raises for Overdrawn {
///     fn raised(&self) -> Raised {
///         Raised::new("ValueError").argument(&format!("overdrawn by {}", self.by))
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    class: Cow<'static, str>,
    /// Values.
    arguments: Vec<Vec<u8>>,
}

impl Raised {
    /// An exception of a class, without arguments: one of Python's built-in ones (`ValueError`), or a module's, with the module (`queue.Full`, `bank.Overdrawn`), which the client then has to have.
    /// What is no such name arrives as a `RemoteError`.
    pub fn new(class: impl Into<Cow<'static, str>>) -> Self {
        Self { class: class.into(), arguments: Vec::new() }
    }

    /// With one more argument. One that can't be sent is replaced by the text that says why.
    #[must_use]
    pub fn argument<T: Serialize + ?Sized>(mut self, argument: &T) -> Self {
        let mut bytes = Vec::new();
        if let Err(error) = codec::encode(Codec::Value, argument, &mut bytes) {
            bytes.clear();
            // A str can always be written.
            let _ = codec::encode(Codec::Value, &error.to_string(), &mut bytes);
        }
        self.arguments.push(bytes);
        self
    }

    /// The class's module and name; `None` where it is no name.
    #[cfg(feature = "python")]
    pub fn class(&self) -> Option<(&str, &str)> {
        let (module, name) = self.class.rsplit_once('.').unwrap_or(("builtins", &self.class));
        let is_name = |part: &str| {
            !part.starts_with(|first: char| first.is_ascii_digit())
                && !part.is_empty()
                && part.chars().all(|char| char.is_alphanumeric() || char == '_')
        };
        (module.split('.').all(is_name) && is_name(name)).then_some((module, name))
    }

    /// The values that it is made of.
    #[cfg(feature = "python")]
    pub fn into_arguments(self) -> Vec<Vec<u8>> {
        self.arguments
    }
}

/// An error that says which exception it is to Python's clients.
///
/// Derived, it takes the classes from `#[raises("…")]`: on a variant, or on the type for all that have none of their own. A variant's fields are the exception's arguments; with `text` behind the name, what the error's `Display`
/// writes is the only one.
///
/// ```
/// use multiproc::Raises;
///
/// #[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize, Raises)]
/// #[raises("ValueError", text)]
/// pub enum Refusal {
///     /// `KeyError('ada')`
///     #[error("{0} has no account")]
///     #[raises("KeyError")]
///     NoAccount(String),
///     /// `ValueError('less than nothing')`
///     #[error("less than nothing")]
///     Negative,
/// }
///
/// pub struct Bank;
///
/// #[multiproc::referent(raises)]
/// impl Bank {
///     pub fn new() -> Self { Self }
///     pub fn withdraw(&self, owner: String, amount: i64) -> Result<i64, Refusal> {
///         if amount < 0 { Err(Refusal::Negative) } else { Err(Refusal::NoAccount(owner)) }
///     }
/// }
/// # fn main() {}
/// ```
pub trait Raises {
    /// The exception.
    fn raised(&self) -> Raised;
}

/// Finds the exception of an error that was sent as a value.
#[derive(Clone)]
pub struct Raising(Arc<Find>);

type Find = dyn Fn(&[u8]) -> Option<Raised> + Send + Sync;

impl Raising {
    /// For a method whose errors are `E`s.
    pub(crate) fn of<E: DeserializeOwned + 'static>(raised: fn(&E) -> Raised) -> Self {
        Self(Arc::new(move |bytes| codec::decode(Codec::Value, bytes).ok().map(|error: E| raised(&error))))
    }

    /// The exception; `None` for a value that is no such error.
    pub fn raised(&self, error: &[u8]) -> Option<Raised> {
        (self.0)(error)
    }
}

impl fmt::Debug for Raising {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Raising")
    }
}

#[cfg(all(test, feature = "python"))]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_a_name_with_or_without_a_module() {
        let class = |class: &'static str| Raised::new(class).class().map(|(module, name)| format!("{module}:{name}"));
        assert_eq!(class("ValueError").as_deref(), Some("builtins:ValueError"));
        assert_eq!(class("a.b.C").as_deref(), Some("a.b:C"));
        for wrong in ["", ".", "a.", ".b", "a b", "os.system('x')", "1a", "a..b"] {
            assert_eq!(class(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_error_is_read_from_its_value() {
        let raising = Raising::of::<(String, u8)>(|(text, _)| Raised::new("KeyError").argument(text));
        let mut bytes = Vec::new();
        codec::encode(Codec::Value, &("x", 1), &mut bytes).unwrap();
        assert_eq!(raising.raised(&bytes), Some(Raised::new("KeyError").argument("x")));
        assert_eq!(raising.raised(b"\xff\xff"), None);
    }
}
