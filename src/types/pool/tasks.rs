//! The tasks that a server's pools know.

use std::collections::BTreeMap;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::parcel::Parcel;
use super::task::{RunTask, Task, TaskErrors, signature_of};
use crate::error::{Error, Result};
use crate::pool::{AsyncResult, Builder, Cancel, Pool, PoolError};
use crate::types::element::Element;
use crate::types::encodes::sent;

/// What a worker makes of a parcel of arguments.
pub(super) type Outcome = Result<Parcel, Error>;

/// Items that are with a pool.
pub(super) type Given = AsyncResult<Vec<Outcome>>;

/// What is told of items that are done, with their places.
pub(super) type Arrived = Box<dyn Fn(Vec<(usize, Result<Outcome, PoolError>)>) + Send + Sync>;

/// A task of this program's.
#[derive(Clone, Copy)]
pub(super) struct Known {
    signature: u32,
    parameters: &'static [&'static str],
    errors: fn() -> Option<TaskErrors>,
    /// Runs it over arguments, so many to a chunk.
    pub(super) map: fn(&Pool, Vec<Parcel>, usize) -> Result<Given, PoolError>,
    /// The same, with each result told as soon as it is there.
    pub(super) each: fn(&Pool, Vec<Parcel>, usize, Arrived) -> Result<Cancel, PoolError>,
    /// Has each worker of a pool begin by it.
    pub(super) initialize: fn(Builder, Parcel) -> Builder,
}

/// The tasks that were registered with a manager, by their names.
#[derive(Default)]
pub(crate) struct Tasks(BTreeMap<&'static str, Known>);

impl Tasks {
    /// Adds one.
    ///
    /// # Errors
    /// [`Error::Registration`] where the name is taken.
    pub(crate) fn add<T: RunTask>(&mut self) -> Result<()> {
        let known = Known {
            signature: signature_of::<T>(),
            parameters: T::PARAMETERS,
            errors: T::errors,
            map: |pool, parcels, chunk| pool.map_async_chunked(run::<T>, parcels, chunk),
            each: |pool, parcels, chunk, arrived| pool.each(run::<T>, parcels, chunk, arrived),
            initialize: |builder, parcel| builder.initializer_fn(begin::<T>, parcel),
        };
        match self.0.insert(T::NAME, known) {
            None => Ok(()),
            Some(_) => Err(Error::Registration {
                typeid: T::NAME.to_owned(),
                reason: "two tasks have this name; give one another: #[multiproc::task(name = \"…\")]".to_owned(),
            }),
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The task of that name, if its types are what the caller thinks.
    pub(super) fn find(&self, named: &Named) -> Result<Known, PoolError> {
        // Python knows a function as `module.name`.
        let last = named.keywords.as_ref().and_then(|_| named.name.rsplit('.').next());
        let Some(known) = self.0.get(&*named.name).or_else(|| self.0.get(last?)) else {
            let registered = self.0.keys().map(ToString::to_string).collect();
            return Err(PoolError::NoSuchTask { task: named.name.clone(), registered });
        };
        match named.signature {
            Some(callers) if callers != known.signature => Err(PoolError::TaskTypes { task: named.name.clone() }),
            _ => Ok(*known),
        }
    }
}

impl Known {
    /// What becomes of an `Err`, in a call of one who has no `Result`s.
    pub(super) fn errors(&self, named: &Named) -> Option<TaskErrors> {
        named.keywords.as_ref().and_then(|_| (self.errors)())
    }

    /// The arguments of one call, those by keyword in their places, as Python does it.
    pub(super) fn arguments(&self, named: &Named, positional: Element) -> Result<Element, PoolError> {
        let Some(keywords) = named.keywords.as_ref().filter(|keywords| !keywords.is_empty()) else {
            return Ok(positional);
        };
        let wrong = |reason: String| {
            let (typeid, method) = ("Pool".to_owned(), named.name.clone());
            PoolError::System(Error::Arguments { typeid, method, reason })
        };
        // No arguments are `()`, which is no tuple.
        let given: Option<Vec<Element>> = positional.read().map_err(|error| wrong(error.to_string()))?;
        let mut bound: Vec<_> = given.unwrap_or_default().into_iter().map(Some).collect();
        if bound.len() < self.parameters.len() {
            bound.resize(self.parameters.len(), None);
        }
        for (name, value) in keywords {
            let Some(place) = self.parameters.iter().position(|parameter| parameter == name) else {
                return Err(wrong(format!(
                    "got an unexpected keyword argument '{name}'; its parameters are {:?}",
                    self.parameters
                )));
            };
            if bound[place].replace(value.clone()).is_some() {
                return Err(wrong(format!("got multiple values for argument '{name}'")));
            }
        }
        let missing = bound.iter().position(Option::is_none).map(|place| self.parameters[place]);
        if let Some(name) = missing {
            return Err(wrong(format!("missing argument '{name}'")));
        }
        Element::of(&bound).map_err(|error| Error::unserializable::<Element>(error).into())
    }
}

/// The worker's part.
fn run<T: RunTask>(parcel: Parcel) -> Outcome {
    let arguments = parcel.read::<T::Arguments>().map_err(|error| Error::Arguments {
        typeid: "Pool".to_owned(),
        method: T::NAME.to_owned(),
        reason: format!("{error}; its parameters are {:?}", T::PARAMETERS),
    })?;
    Parcel::of(&sent::<T::Output, _>(&T::run(arguments))).map_err(Error::unserializable::<T::Output>)
}

/// The worker's part in a pool's beginning.
fn begin<T: RunTask>(parcel: Parcel) {
    if let Err(error) = run::<T>(parcel) {
        panic!("{error}");
    }
}

/// How a caller names a task: by its name, and where he knows its types by those.
#[derive(Debug, Clone, Serialize)]
#[serde(into = "(String, Option<u32>)")]
pub(super) struct Named {
    name: String,
    signature: Option<u32>,
    /// The arguments by keyword, in the call of a Python program: who has those has no `Result`s, and no types.
    keywords: Option<BTreeMap<String, Element>>,
}

impl Named {
    pub(super) fn of<T: Task>() -> Self {
        Self { name: T::NAME.to_owned(), signature: Some(signature_of::<T>()), keywords: None }
    }
}

impl From<Named> for (String, Option<u32>) {
    fn from(named: Named) -> Self {
        (named.name, named.signature)
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Named;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a task (functions themselves can't be sent to a server)")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<Named, E> {
                Ok(Named { name: name.to_owned(), signature: None, keywords: None })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> std::result::Result<Named, A::Error> {
                let name = parts.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
                let signature = parts.next_element()?.flatten();
                Ok(Named { name, signature, keywords: parts.next_element()? })
            }
        }
        deserializer.deserialize_any(Either)
    }
}
