//! What a type looks like from Python: a translation of Python's methods into calls of the type's own.
//!
//! Python's clients call `__getitem__` and expect a `KeyError`; Rust's call `get` and expect an `Option`. The object is the same, and so are its methods: a [`Face`] says which of them a Python method
//! comes to, with which arguments, and what becomes of the answer. It is pure: it sees values as bytes, makes calls by returning them ([`Step`]), and never waits; so waiting methods work by completion
//! from Python as they do from Rust. A type without a face is called by its own names.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::class::{Changes, Class};
use super::entry::Entry;
use super::raised::Raised;
use super::referent::Referent;
use super::stored::Shared;
use super::table::Table;
use crate::codec::value::parts;
use crate::codec::{Codec, encode};
use crate::error::{Error, Result};
use crate::sys::bytes::{Bytes, LARGE, SharedBytes};

/// One value's bytes, behind whatever else their memory holds: a large value stays where it was received, and gets its new surroundings there. The last of it may be memory that an object
/// goes on holding.
#[derive(Debug, Clone, Default)]
pub struct Raw {
    memory: Vec<u8>,
    start: usize,
    /// What follows.
    rest: Option<Box<Rest>>,
}

/// What of a value an object goes on holding.
#[derive(Debug, Clone)]
struct Rest {
    body: SharedBytes,
    /// The value all in one, where somebody has looked at it.
    whole: OnceCell<Vec<u8>>,
}

impl Raw {
    /// The value that begins at `start`.
    pub fn behind(memory: Vec<u8>, start: usize) -> Self {
        Self { start: start.min(memory.len()), memory, rest: None }
    }

    /// The value that begins with `memory` and goes on with `body`.
    pub fn in_parts(memory: Vec<u8>, body: Option<SharedBytes>) -> Self {
        let rest = body.map(|body| Box::new(Rest { body, whole: OnceCell::new() }));
        Self { memory, start: 0, rest }
    }

    /// All of it, or as much as can be looked at without putting it together.
    pub fn front(&self) -> &[u8] {
        match (&self.rest, &self.memory[self.start..]) {
            (Some(rest), []) => &rest.body,
            (_, front) => front,
        }
    }

    /// The memory, and where in it the value begins.
    pub fn into_parts(self) -> (Vec<u8>, usize) {
        let Self { memory, start, .. } = self.whole();
        (memory, start)
    }

    /// The memory, others' too, and where in it the value begins.
    pub fn into_bytes(self) -> (Bytes, usize) {
        match self {
            Self { memory, start, rest: Some(rest) } if memory.len() == start => (rest.body.into(), 0),
            other => {
                let (memory, start) = other.into_parts();
                (memory.into(), start)
            }
        }
    }

    fn whole(self) -> Self {
        let Self { mut memory, start, rest } = self;
        let Some(rest) = rest else { return Self::behind(memory, start) };
        let Rest { body, whole } = *rest;
        if let Some(whole) = whole.into_inner() {
            return whole.into();
        }
        memory.reserve_exact(body.len());
        memory.extend_from_slice(&body);
        Self::behind(memory, start)
    }

    /// Where in its memory it ends.
    pub fn end(&self) -> usize {
        self.memory.len() + self.rest.as_ref().map_or(0, |rest| rest.body.len())
    }

    /// Lets go of the first bytes.
    #[must_use]
    pub fn skip(self, count: usize) -> Self {
        if self.start + count <= self.memory.len() {
            let rest = self.rest.map(|rest| Box::new(Rest { body: rest.body, whole: OnceCell::new() }));
            return Self { memory: self.memory, start: self.start + count, rest };
        }
        let (memory, start) = self.into_parts();
        Self::behind(memory, start + count)
    }

    /// Puts something in front of it.
    #[must_use]
    pub fn after(self, before: &[u8]) -> Self {
        let (mut memory, end) = self.into_parts();
        match end.checked_sub(before.len()) {
            Some(start) => {
                memory[start..end].copy_from_slice(before);
                Self::behind(memory, start)
            }
            None => {
                memory.splice(..end, before.iter().copied());
                memory.into()
            }
        }
    }

    /// Puts something behind it.
    #[must_use]
    pub fn before(self, after: &[u8]) -> Self {
        let (mut memory, start) = self.into_parts();
        // Twice the memory of a large value is other memory.
        memory.reserve_exact(after.len());
        memory.extend_from_slice(after);
        Self::behind(memory, start)
    }
}

impl Deref for Raw {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.rest {
            Some(rest) if self.start < self.memory.len() => {
                rest.whole.get_or_init(|| [&self.memory[self.start..], &rest.body].concat())
            }
            _ => self.front(),
        }
    }
}

impl AsRef<[u8]> for Raw {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Raw {
    fn from(memory: Vec<u8>) -> Self {
        Self::behind(memory, 0)
    }
}

impl From<Raw> for Vec<u8> {
    fn from(raw: Raw) -> Self {
        let (mut memory, start) = raw.into_parts();
        memory.drain(..start);
        memory
    }
}

/// The arguments of one call, each a value's bytes. Proxies in them are numbered among the call's tokens.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    /// Those by position.
    pub positional: Vec<Raw>,
    /// Those by name.
    pub keywords: Vec<(String, Raw)>,
}

impl Arguments {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.positional.is_empty() && self.keywords.is_empty()
    }

    /// The arguments for these parameters, of which the first `required` must be there. As `TypeError` says it otherwise.
    pub fn bind(
        self,
        method: &str,
        parameters: &[&str],
        required: usize,
    ) -> std::result::Result<Vec<Option<Raw>>, Step> {
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

    /// The arguments of a method that takes none by name, at least `least` and at most `most`; `method` with the type's name in front of it. As `TypeError` says it otherwise.
    pub fn unnamed(self, method: &str, least: usize, most: usize) -> std::result::Result<Vec<Option<Raw>>, Step> {
        let given = self.positional.len();
        let (_, short) = method.rsplit_once('.').unwrap_or_default();
        let s = |count: usize| if count == 1 { "" } else { "s" };
        let text = if !self.keywords.is_empty() {
            format!("{method}() takes no keyword arguments")
        } else if (least..=most).contains(&given) {
            let mut bound: Vec<_> = self.positional.into_iter().map(Some).collect();
            bound.resize(most, None);
            return Ok(bound);
        } else {
            match (least, most) {
                (0, 0) => format!("{method}() takes no arguments ({given} given)"),
                (1, 1) => format!("{method}() takes exactly one argument ({given} given)"),
                _ if least == most => format!("{short} expected {least} argument{}, got {given}", s(least)),
                _ if given < least => format!("{short} expected at least {least} argument{}, got {given}", s(least)),
                _ => format!("{short} expected at most {most} argument{}, got {given}", s(most)),
            }
        };
        Err(Step::type_error(&text))
    }

    /// As [`unnamed`](Self::unnamed), of exactly so many arguments.
    pub fn just<const N: usize>(self, method: &str) -> std::result::Result<[Raw; N], Step> {
        let bound: Vec<_> = self.unnamed(method, N, N)?.into_iter().flatten().collect();
        bound.try_into().map_err(|_| Step::type_error(&format!("{method}() is missing an argument")))
    }

    /// As [`bind`](Self::bind), of exactly so many arguments that all must be there.
    pub fn exactly<const N: usize>(self, method: &str, parameters: [&str; N]) -> std::result::Result<[Raw; N], Step> {
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

    /// The one that an error's author has named; `None` where that is no name.
    pub fn named(raised: Raised) -> Option<Self> {
        let (module, class) = raised.class()?;
        let (module, class) = (module.to_owned().into(), class.to_owned().into());
        Some(Self { module, class, arguments: raised.into_arguments(), attributes: Vec::new() })
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
    Returned(Raw),
    /// By the method's own error.
    Failed(Vec<u8>),
    /// By the system's.
    Refused(Error),
}

/// What becomes of a native answer.
pub type Then = Box<dyn FnOnce(Native) -> Step + Send>;

/// How an object is made.
pub enum Creation {
    /// By a constructor of its type, with arguments as a dynamic call's.
    Constructor(&'static str, Raw),
    /// By a method without arguments of an object that is among the arguments, by its proxy's number.
    Of(u32, &'static str),
}

/// Makes an object in a table.
pub type MakeEntry = Box<dyn FnOnce(&Arc<Table>) -> Result<Arc<Entry>> + Send>;

/// What is next in a call from Python.
pub enum Step {
    /// The result, a value's bytes; proxies in it are numbered among the last answer's tokens, or the call's where nothing was called.
    Value(Raw),
    /// An exception.
    Raise(Exception),
    /// An error of the server's.
    Error(Error),
    /// A method of the object's own, and what becomes of its answer.
    Call {
        /// Its name.
        method: Cow<'static, str>,
        /// Its arguments, as a dynamic call's.
        payload: Raw,
        /// After how long it is given up, which shows as [`Error::Timeout`].
        timeout: Option<Duration>,
        /// What becomes of the answer.
        then: Then,
    },
    /// The value of an object that is among the call's arguments, by its proxy's number, and what becomes of it. Proxies in it are numbered behind those of the call.
    Read(u32, Then),
    /// An instance of a class of Python's, by its module, its name and its attributes, which are a dict.
    Instance(&'static str, &'static str, Raw),
    /// A new object, and a method of it that is called first; its proxy is the result.
    Make(MakeEntry, Option<(&'static str, Vec<u8>)>),
    /// The result can't be pickled, as its text says.
    Unserializable(String),
}

impl Step {
    /// `None`
    pub fn none() -> Self {
        Self::value(value(&()))
    }

    /// A result.
    pub fn value(result: impl Into<Raw>) -> Self {
        Self::Value(result.into())
    }

    /// Any plain value.
    pub fn of<T: serde::Serialize + ?Sized>(result: &T) -> Self {
        Self::value(value(result))
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
        Self::Call { method: method.into(), payload: payload.into(), timeout: None, then: Box::new(then) }
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
        then: impl FnOnce(Raw) -> Self + Send + 'static,
    ) -> Self {
        Self::call(method, arguments, |native| native.then(then))
    }

    /// A native call whose result is the result.
    pub fn forward<B: AsRef<[u8]>>(method: &'static str, arguments: &[B]) -> Self {
        Self::call_then(method, arguments, Self::Value)
    }

    /// A native call that takes its arguments' memory over; the result is of no interest.
    pub fn give(method: &'static str, arguments: Vec<Raw>) -> Self {
        Self::give_then(method, arguments, |native| native.then(|_| Self::none()))
    }

    /// A native call that takes its arguments' memory over.
    pub fn give_then(
        method: &'static str,
        mut arguments: Vec<Raw>,
        then: impl FnOnce(Native) -> Self + Send + 'static,
    ) -> Self {
        let payload = match arguments.pop() {
            Some(last) if last.len() >= LARGE => {
                last.after(&parts::before_last(&arguments)).before(crate::codec::value::NONE)
            }
            last => parts::positional(arguments.iter().chain(&last).collect::<Vec<_>>().iter()).into(),
        };
        Self::Call { method: method.into(), payload, timeout: None, then: Box::new(then) }
    }

    /// A native call whose result is of no interest.
    pub fn run<B: AsRef<[u8]>>(method: &'static str, arguments: &[B]) -> Self {
        Self::call_then(method, arguments, |_| Self::none())
    }
}

impl Native {
    /// What becomes of a result; errors stay what they are.
    pub fn then(self, then: impl FnOnce(Raw) -> Step) -> Step {
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

    /// What a call of the typeid comes to.
    fn create(&self, arguments: Arguments) -> std::result::Result<Creation, Step>;

    /// What a constructor's own error is.
    fn not_made(&self, error: &[u8]) -> Step {
        Step::builtin("ValueError", &crate::codec::value::display(error).to_string())
    }

    /// Which of its arguments it takes the elements of: a proxy there stands for what its object holds.
    fn copies(&self) -> Option<usize> {
        None
    }

    /// Which of `__str__`, `__repr__` and `#GETVALUE`, that every object answers, it has an answer of its own to.
    fn answers(&self) -> &'static [&'static str] {
        &[]
    }

    /// A call of a method.
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
