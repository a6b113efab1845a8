//! What a type looks like from Python: a translation of Python's methods into calls of the type's own.
//!
//! Python's clients call `__getitem__` and expect a `KeyError`; Rust's call `get` and expect an `Option`. The object is the same, and so are its methods: a [`Face`] says which of them a Python method
//! comes to, with which arguments, and what becomes of the answer. It is pure: it sees values as bytes, makes calls by returning them ([`Step`]), and never waits; so waiting methods work by completion
//! from Python as they do from Rust. A type without a face is called by its own names.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::class::{Changes, Class};
use super::entry::Entry;
use super::referent::Referent;
use super::stored::Shared;
use super::table::Table;
use crate::codec::value::parts;
use crate::codec::{Codec, encode};
use crate::error::{Error, Result};

/// The arguments of one call, each a value's bytes. Proxies in them are numbered among the call's tokens.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    /// Those by position.
    pub positional: Vec<Vec<u8>>,
    /// Those by name.
    pub keywords: Vec<(String, Vec<u8>)>,
}

impl Arguments {
    /// The arguments for these parameters, of which the first `required` must be there. As `TypeError` says it otherwise.
    pub fn bind(
        self,
        method: &str,
        parameters: &[&str],
        required: usize,
    ) -> std::result::Result<Vec<Option<Vec<u8>>>, Step> {
        let given = self.positional.len();
        if given > parameters.len() {
            let text = format!("{method}() takes at most {} arguments ({given} given)", parameters.len());
            return Err(Step::type_error(&text));
        }
        let mut bound: Vec<_> = self.positional.into_iter().map(Some).collect();
        bound.resize(parameters.len(), None);
        for (name, value) in self.keywords {
            let Some(place) = parameters.iter().position(|parameter| *parameter == name) else {
                return Err(Step::type_error(&format!("{method}() got an unexpected keyword argument '{name}'")));
            };
            if bound[place].replace(value).is_some() {
                return Err(Step::type_error(&format!("{method}() got multiple values for argument '{name}'")));
            }
        }
        match bound[..required].iter().position(Option::is_none) {
            None => Ok(bound),
            Some(missing) => Err(Step::type_error(&format!(
                "{method}() missing required argument '{}' (pos {})",
                parameters[missing],
                missing + 1
            ))),
        }
    }

    /// As [`bind`](Self::bind), of exactly so many arguments that all must be there.
    pub fn exactly<const N: usize>(
        self,
        method: &str,
        parameters: [&str; N],
    ) -> std::result::Result<[Vec<u8>; N], Step> {
        let bound: Vec<_> = self.bind(method, &parameters, N)?.into_iter().flatten().collect();
        bound.try_into().map_err(|_| Step::type_error(&format!("{method}() is missing an argument")))
    }
}

/// An exception of Python's, by its class and what it is made of.
#[derive(Debug, Clone)]
pub struct Exception {
    /// The class's module.
    pub module: Cow<'static, str>,
    /// The class.
    pub class: Cow<'static, str>,
    /// The values that it is made of.
    pub arguments: Vec<Vec<u8>>,
    /// What is set on it then.
    pub attributes: Vec<(&'static str, Vec<u8>)>,
}

impl Exception {
    /// One with a text.
    pub fn new(module: &'static str, class: &'static str, text: &str) -> Self {
        Self::of(module, class, vec![value(text)])
    }

    /// One of these arguments.
    pub fn of(module: &'static str, class: &'static str, arguments: Vec<Vec<u8>>) -> Self {
        Self { module: module.into(), class: class.into(), arguments, attributes: Vec::new() }
    }
}

/// A value's bytes.
pub fn value<T: serde::Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Plain data, which can always be written.
    if encode(Codec::Value, value, &mut bytes).is_err() {
        bytes = crate::codec::value::NONE.to_vec();
    }
    bytes
}

/// How a native call has ended.
#[derive(Debug)]
pub enum Native {
    /// By a result.
    Returned(Vec<u8>),
    /// By the method's own error.
    Failed(Vec<u8>),
    /// By the system's.
    Refused(Error),
}

/// What becomes of a native answer.
pub type Then = Box<dyn FnOnce(Native) -> Step + Send>;

/// Makes an object in a table.
pub type MakeEntry = Box<dyn FnOnce(&Arc<Table>) -> Result<Arc<Entry>> + Send>;

/// What is next in a call from Python.
pub enum Step {
    /// The result, a value's bytes; proxies in it are numbered among the last answer's tokens, or the call's where nothing was called.
    Value(Vec<u8>),
    /// An exception.
    Raise(Exception),
    /// An error of the server's.
    Error(Error),
    /// A method of the object's own, and what becomes of its answer.
    Call {
        /// Its name.
        method: Cow<'static, str>,
        /// Its arguments, as a dynamic call's.
        payload: Vec<u8>,
        /// After how long it is given up, which shows as [`Error::Timeout`].
        timeout: Option<Duration>,
        /// What becomes of the answer.
        then: Then,
    },
    /// A new object, and a method of it that is called first; its proxy is the result.
    Make(MakeEntry, Option<(&'static str, Vec<u8>)>),
    /// The result can't be pickled, as its text says.
    Unserializable(String),
}

impl Step {
    /// `None`
    pub fn none() -> Self {
        Self::Value(value(&()))
    }

    /// Any plain value.
    pub fn of<T: serde::Serialize + ?Sized>(result: &T) -> Self {
        Self::Value(value(result))
    }

    /// One of the built-in exceptions, with a text.
    pub fn builtin(class: &'static str, text: &str) -> Self {
        Self::Raise(Exception::new("builtins", class, text))
    }

    /// `TypeError`
    pub fn type_error(text: &str) -> Self {
        Self::builtin("TypeError", text)
    }

    /// A native call with arguments by position.
    pub fn call<B: AsRef<[u8]>>(
        method: &'static str,
        arguments: &[B],
        then: impl FnOnce(Native) -> Self + Send + 'static,
    ) -> Self {
        let payload = parts::positional(arguments.iter().map(AsRef::as_ref));
        Self::Call { method: method.into(), payload, timeout: None, then: Box::new(then) }
    }

    /// The same, given up after a time.
    #[must_use]
    pub fn within(self, time: Option<Duration>) -> Self {
        match self {
            Self::Call { method, payload, then, .. } => Self::Call { method, payload, timeout: time, then },
            other => other,
        }
    }

    /// A native call, and what becomes of its result; errors stay what they are.
    pub fn call_then<B: AsRef<[u8]>>(
        method: &'static str,
        arguments: &[B],
        then: impl FnOnce(Vec<u8>) -> Self + Send + 'static,
    ) -> Self {
        Self::call(method, arguments, |native| native.then(then))
    }

    /// A native call whose result is the result.
    pub fn forward<B: AsRef<[u8]>>(method: &'static str, arguments: &[B]) -> Self {
        Self::call_then(method, arguments, Self::Value)
    }

    /// A native call that takes its arguments' memory over; the result is of no interest.
    pub fn give(method: &'static str, arguments: Vec<Vec<u8>>) -> Self {
        Self::Call {
            method: method.into(),
            payload: parts::positional_into(arguments),
            timeout: None,
            then: Box::new(|native| native.then(|_| Self::none())),
        }
    }

    /// A native call whose result is of no interest.
    pub fn run<B: AsRef<[u8]>>(method: &'static str, arguments: &[B]) -> Self {
        Self::call_then(method, arguments, |_| Self::none())
    }
}

impl Native {
    /// What becomes of a result; errors stay what they are.
    pub fn then(self, then: impl FnOnce(Vec<u8>) -> Step) -> Step {
        match self {
            Self::Returned(result) => then(result),
            other => other.error(),
        }
    }

    /// An error that nobody has translated.
    pub fn error(self) -> Step {
        match self {
            Self::Returned(_) => Step::none(),
            Self::Failed(error) => {
                let text = crate::codec::value::display(&error).to_string();
                Step::Error(Error::Remote(crate::error::RemoteError {
                    kind: String::new(),
                    message: text,
                    causes: Vec::new(),
                }))
            }
            // As if the method itself had complained.
            Self::Refused(Error::Arguments { method, reason, .. }) => {
                Step::type_error(&format!("{method}(): {reason}"))
            }
            Self::Refused(error) => Step::Error(error),
        }
    }
}

/// What a type looks like from Python.
pub trait Face: Send + Sync {
    /// The class of its proxies in `multiprocessing.managers`.
    fn proxytype(&self) -> &'static str;

    /// The methods that may be called.
    fn exposed(&self) -> &'static [&'static str];

    /// The constructor that a call of the typeid comes to, by name, and its arguments.
    fn create(&self, arguments: Arguments) -> std::result::Result<(&'static str, Vec<u8>), Step>;

    /// A call of a method. `__str__`, `__repr__` and `#GETVALUE` come only where the face exposes them.
    fn call(&self, method: &str, arguments: Arguments) -> Step;

    /// Why a copy of the object can't be had, if it can't.
    fn is_copied(&self) -> std::result::Result<(), &'static str> {
        Ok(())
    }
}

/// Makes an object of a type that nobody needs to have registered, under a typeid of its own.
pub fn make<R: Referent>(referent: R) -> MakeEntry {
    Box::new(move |table| {
        let class = match table.registry().get(R::TYPEID) {
            Ok(class) => class,
            Err(_) => Arc::new(Class::new::<R>(R::TYPEID, Changes::default())?),
        };
        Ok(Shared::new(referent).entry(table, &class))
    })
}
