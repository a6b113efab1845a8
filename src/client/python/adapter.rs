//! A call, in two languages: what a method of a shared type comes to in Python.
//!
//! The counterpart of a [face](crate::object::face), for the other direction. A Rust proxy of a dict calls `get` and expects an answer that may be missing; Python's dict has `__getitem__` and raises a
//! `KeyError`. An [`Adapter`] makes one of the other, by as many calls as that takes, and waits for them: it runs in the client. What Python's type can't do in one step of its own is an error that names
//! it, unless nobody could tell the difference.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::exception::Exception;
use super::link::{Link, settled};
use super::message::{self, Reply, Request};
use super::reference::Reference;
use crate::codec::value::parts::{self, Kind, Parts};
use crate::codec::{self, Codec, value as values};
use crate::error::{Error, RemoteError, Result};
use crate::object::Answer;
use crate::object::methods::STR;
use crate::protocol::carriage::Carried;
use crate::protocol::reply::Status;

/// How long a server that ends a wait by itself may take longer to say so.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is new in the server, before it is.
#[derive(Debug, Default)]
pub struct Created {
    /// Arguments of Python's callable by position.
    pub positional: Vec<Vec<u8>>,
    /// Those by name.
    pub keywords: Vec<(String, Vec<u8>)>,
    /// What is called of the new object, before anybody else knows it.
    pub then: Vec<(&'static str, Vec<u8>)>,
}

/// What the methods of a shared type come to in Python.
pub trait Adapter: Sync {
    /// What a constructor's arguments are for Python's callable.
    fn create(&self, constructor: &str, arguments: Parts<'_>) -> Result<Created>;

    /// A call of a method.
    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble>;
}

/// Why a call has no result.
#[derive(Debug)]
pub enum Trouble {
    /// Python raised an exception.
    Raised(Exception),
    /// Anything else.
    Error(Error),
}

impl Trouble {
    /// Whether it is an exception of one of these classes, told without their modules.
    pub fn is(&self, classes: &[&str]) -> bool {
        matches!(self, Self::Raised(exception) if classes.contains(&exception.name()))
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A call by one of this crate's names.
pub struct Call<'a> {
    reference: &'a Arc<Reference>,
    /// The method.
    pub method: &'a str,
    /// Its arguments, all by position.
    pub arguments: Parts<'a>,
    carried: &'a [Carried],
    begin: Instant,
    timeout: Option<Duration>,
}

impl Call<'_> {
    /// The argument at a place.
    ///
    /// # Errors
    /// Where there is none.
    pub fn argument(&self, place: usize) -> Result<&[u8]> {
        let missing = || Error::protocol(format!("{} is missing an argument", self.method));
        self.arguments.get(place).map(AsRef::as_ref).ok_or_else(missing)
    }

    /// The argument at a place, as a Rust value.
    ///
    /// # Errors
    /// Where there is none, or it is something else.
    pub fn read<T: for<'de> Deserialize<'de>>(&self, place: usize) -> Result<T> {
        codec::decode(Codec::Value, self.argument(place)?).map_err(Error::unserializable::<T>)
    }

    /// How much is left of the time that the call may take.
    pub fn left(&self) -> Option<Duration> {
        self.timeout.map(|timeout| timeout.saturating_sub(self.begin.elapsed()))
    }

    /// The error of a call whose time is over.
    pub fn late(&self) -> Trouble {
        Error::Timeout { after: self.timeout.unwrap_or_default() }.into()
    }

    /// The error of a method that Python's type does not have, beside those that it has.
    pub fn missing(&self, method: &str, exposed: &[&str]) -> Trouble {
        let available = exposed.iter().map(|&name| name.to_owned()).collect();
        let typeid = format!("Python's {}", self.reference.token().typeid);
        Error::NoSuchMethod { typeid, method: method.to_owned(), available }.into()
    }

    /// Calls a method of Python's. Given up at the end of the call's time: the server goes on with it then, and what it answers is lost.
    pub fn python(&self, method: &str, arguments: &[&[u8]]) -> Result<Reply, Trouble> {
        self.python_with(method, arguments, &[])
    }

    /// As [`python`](Self::python), with keyword arguments.
    pub fn python_with(&self, method: &str, arguments: &[&[u8]], keywords: &[(&str, &[u8])]) -> Result<Reply, Trouble> {
        self.send(method, arguments, keywords, self.deadline(Duration::ZERO))
    }

    /// Calls a method that was told how much time it has, and ends the wait by itself. Given up where it does not: then nobody knows how it ended, and what it answers is lost.
    pub fn python_waiting(&self, method: &str, arguments: &[&[u8]]) -> Result<Reply, Trouble> {
        self.send(method, arguments, &[], self.deadline(PATIENCE))
    }

    /// The same call, as it is.
    pub fn plain(&self) -> Result<Answer, Trouble> {
        let arguments: Vec<&[u8]> = self.arguments.iter().map(AsRef::as_ref).collect();
        self.python(self.method, &arguments).map(returned)
    }

    fn deadline(&self, patience: Duration) -> Option<Instant> {
        self.timeout.and_then(|timeout| self.begin.checked_add(timeout)?.checked_add(patience))
    }

    fn send(
        &self,
        method: &str,
        arguments: &[&[u8]],
        keywords: &[(&str, &[u8])],
        deadline: Option<Instant>,
    ) -> Result<Reply, Trouble> {
        self.reference.ensure_counted()?;
        let ident = Some(self.reference.ident());
        let request = Request { ident, method, arguments, keywords, carried: self.carried };
        match self.reference.link().call(&request, deadline) {
            Ok(answered) => answered.map_err(Trouble::Raised),
            // How long it was allowed to take, not how much of that was left for this.
            Err(Error::Timeout { after }) => Err(Error::Timeout { after: self.timeout.unwrap_or(after) }.into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes a call of an object: `payload` are the arguments of a dynamic call.
///
/// # Errors
/// The system's; what a method raised is inside.
pub fn perform(
    reference: &Arc<Reference>,
    adapter: Option<&dyn Adapter>,
    method: &str,
    payload: &[u8],
    carried: &[Carried],
    timeout: Option<Duration>,
) -> Result<std::result::Result<Answer, Exception>> {
    let broken = |error: codec::CodecError| Error::Arguments {
        typeid: reference.token().typeid.to_string(),
        method: method.to_owned(),
        reason: error.to_string(),
    };
    let (arguments, keywords) = parts::arguments(payload).map_err(broken)?;
    let call = Call { reference, method, arguments, carried, begin: Instant::now(), timeout };
    let answered = match adapter {
        Some(adapter) if method != STR => adapter.call(&call),
        _ => {
            let arguments: Vec<&[u8]> = call.arguments.iter().map(AsRef::as_ref).collect();
            call.python_with(method, &arguments, &keywords).map(returned)
        }
    };
    match answered {
        Ok(answer) => Ok(Ok(answer)),
        Err(Trouble::Raised(exception)) => Ok(Err(exception)),
        Err(Trouble::Error(error)) => Err(error),
    }
}

/// Has the server make an object: by `constructor` of a shared type, or, without an adapter, by the typeid's callable. `payload` are the arguments of a dynamic call.
///
/// # Errors
/// [`Error::NoSuchType`]; [`Error::NoConstructor`]; what the callable raised, as text, as the server sends no more.
pub fn create(
    link: &Arc<Link>,
    adapter: Option<&dyn Adapter>,
    typeid: &str,
    constructor: &str,
    payload: &[u8],
    carried: &[Carried],
) -> Result<Arc<Reference>> {
    let wrong = |reason: String| Error::Arguments { typeid: typeid.to_owned(), method: "create".to_owned(), reason };
    let (arguments, keywords) = parts::arguments(payload).map_err(|error| wrong(error.to_string()))?;
    let created = match adapter {
        // The default constructor is asked for by name and argument, as Python does it.
        Some(adapter) if !constructor.is_empty() => adapter.create(constructor, arguments)?,
        None if !matches!(constructor, "" | "new") => {
            return Err(Error::NoConstructor {
                typeid: typeid.to_owned(),
                constructor: constructor.to_owned(),
                reason: "a type of Python's has one, which is `new` here".to_owned(),
            });
        }
        _ => Created {
            positional: arguments.into_iter().map(Cow::into_owned).collect(),
            keywords: keywords.into_iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            then: Vec::new(),
        },
    };
    let typeid_value = message::text(typeid);
    let mut arguments: Vec<&[u8]> = vec![&typeid_value];
    arguments.extend(created.positional.iter().map(Vec::as_slice));
    let keywords: Vec<_> = created.keywords.iter().map(|(name, value)| (&**name, &**value)).collect();
    let request = Request { ident: None, method: "create", arguments: &arguments, keywords: &keywords, carried };
    let made = link.ask(&request)?.map_err(|exception| {
        let remote = RemoteError::from(exception);
        match remote.message == format!("KeyError: '{typeid}'") {
            true => Error::NoSuchType { typeid: typeid.to_owned(), registered: Vec::new() },
            false => Error::Remote(remote),
        }
    })?;
    let (ident, _): (String, Vec<String>) = made.decode()?;
    let reference = Reference::take(link, typeid, &ident)?;
    // The reference that it was made with.
    let name = message::text(&ident);
    settled(link.ask(&Request { arguments: &[&name], ..Request::plain("decref") })?)?;
    for (method, argument) in &created.then {
        let arguments: &[&[u8]] = &[argument];
        let request = Request { ident: Some(&ident), method, arguments, keywords: &[], carried };
        settled(link.call(&request, None)?)?;
    }
    Ok(reference)
}

/// The arguments of a constructor, as many as it has.
///
/// # Errors
/// Where there are more or fewer.
pub fn exactly<const N: usize>(arguments: Parts<'_>) -> Result<[Vec<u8>; N]> {
    let given: Vec<_> = arguments.into_iter().map(Cow::into_owned).collect();
    let count = given.len();
    given.try_into().map_err(|_| Error::protocol(format!("{N} arguments were expected, not {count}")))
}

/// A result of Python's, as it is.
pub fn returned(reply: Reply) -> Answer {
    Answer { status: Status::Returned, payload: reply.value, body: None, carried: reply.carried, put_back: None }
}

/// A result of one's own.
pub fn value<T: Serialize + ?Sized>(result: &T) -> Answer {
    Answer::encode(Codec::Value, Status::Returned, result, Vec::new())
}

/// The method's own error.
pub fn failed<E: Serialize + ?Sized>(error: &E) -> Answer {
    Answer::encode(Codec::Value, Status::Failed, error, Vec::new())
}

/// A result that may be missing.
pub fn slot(reply: Option<Reply>) -> Answer {
    match reply {
        None => value(&()),
        Some(Reply { value, carried }) => {
            let value = parts::container(Kind::Tuple, std::iter::once(&value));
            returned(Reply { value, carried })
        }
    }
}

/// A list of results.
///
/// # Errors
/// Where a result is no value.
pub fn listed(replies: Vec<Reply>) -> Result<Reply> {
    let (mut elements, mut carried) = (Vec::with_capacity(replies.len()), Vec::new());
    for reply in replies {
        let before = carried.len();
        let mut element = Vec::with_capacity(reply.value.len());
        let renumbered = values::replace_proxies(&reply.value, &mut element, |index, out| {
            values::write_proxy(index + u32::try_from(before).unwrap_or(u32::MAX), out);
            Ok(())
        });
        renumbered.map_err(|error| Error::protocol(error.to_string()))?;
        elements.push(element);
        carried.extend(reply.carried);
    }
    Ok(Reply { value: parts::container(Kind::List, elements.iter()), carried })
}
