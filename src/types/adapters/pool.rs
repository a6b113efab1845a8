//! `Pool`, and the results and iterators that it gives.
//!
//! Python's pool runs functions of Python's, which are names when they are sent: `module.name`. So a task stands for one, if it is called that: `#[multiproc::task(name = "math.factorial")]`. A name without a module is one of
//! the program's that started the manager (`__main__`). Which types the function takes and returns nobody can compare; what does not fit shows where it is read.

use super::{bytes, done, other, unless};
use crate::client::python::{Adapter, Call, Created, Exception, Reply, Trouble, failed, returned, slot, value};
use crate::codec::pickle::{KIND, write};
use crate::codec::value::{self as values, parts};
use crate::codec::{Codec, decode};
use crate::error::{Error, Result};
use crate::object::Answer;
use crate::pool::PoolError;
use parts::{Kind, Parts};

const POOL: &[&str] = &[
    "apply",
    "apply_async",
    "close",
    "imap",
    "imap_unordered",
    "join",
    "map",
    "map_async",
    "starmap",
    "starmap_async",
    "terminate",
];
const RESULT: &[&str] = &["get", "ready", "successful", "wait"];
const RESULTS: &[&str] = &["__next__"];

/// The exception of a wait that is over; others' may be called like it.
const TIMEOUT: &str = "multiprocessing.context.TimeoutError";

const END: &[&str] = &["StopIteration"];

pub(super) struct PoolAdapter;

pub(super) struct ResultAdapter;

pub(super) struct ResultsAdapter;

/// Python's function that a task stands for: a name in a pickle.
fn function(task: &[u8]) -> Result<Vec<u8>> {
    let (name, _): (String, Option<u32>) = decode(Codec::Value, task).map_err(Error::unserializable::<String>)?;
    let (module, function) = name.rsplit_once('.').unwrap_or(("__main__", &name));
    let mut contents = Vec::new();
    write::global(&mut contents, module, function);
    Ok(parts::opaque(&format!("{KIND}{module}.{function}"), &contents))
}

/// Arguments as a tuple, which none at all are not.
fn tuple(arguments: &[u8]) -> Vec<u8> {
    if arguments == values::NONE { parts::container::<&[u8]>(Kind::Tuple, [].into_iter()) } else { arguments.to_vec() }
}

/// A pool's refusal to take more.
fn closed(trouble: Trouble) -> Result<Answer, Trouble> {
    match trouble {
        Trouble::Raised(exception) if says(&exception, "Pool not running") => Ok(failed(&PoolError::Closed)),
        other => Err(other),
    }
}

fn says(exception: &Exception, text: &str) -> bool {
    exception.name() == "ValueError" && exception.to_string() == text
}

fn started(result: Result<Reply, Trouble>) -> Result<Answer, Trouble> {
    result.map(returned).or_else(closed)
}

impl Adapter for PoolAdapter {
    fn create(&self, constructor: &str, arguments: Parts<'_>) -> Result<Created> {
        let given = |place: usize| arguments.get(place).filter(|argument| ***argument != *values::NONE);
        let refused = |reason: &str| Error::NoConstructor {
            typeid: "Python's Pool".to_owned(),
            constructor: constructor.to_owned(),
            reason: reason.to_owned(),
        };
        if given(4).is_some_and(|retries| **retries != *bytes(&0)) {
            return Err(refused("it does not try again what a killed worker left: drop `retries`"));
        }
        if given(5).is_some() {
            return Err(refused("its workers have names of its own: drop `name`"));
        }
        let [processes, tasks] = [0, 3].map(|place| given(place).map_or(values::NONE, |argument| argument).to_vec());
        let initializer = given(1).map_or_else(|| Ok(values::NONE.to_vec()), |task| function(task))?;
        let arguments = tuple(given(2).map_or(values::NONE, |arguments| arguments));
        Ok(Created { positional: vec![processes, initializer, arguments, tasks], ..Created::default() })
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        match call.method {
            "apply" | "apply_async" => {
                let (function, arguments) = (function(call.argument(0)?)?, tuple(call.argument(1)?));
                started(call.python(call.method, &[&function, &arguments]))
            }
            "map" | "map_async" | "starmap" | "starmap_async" | "imap" | "imap_unordered" => {
                let (function, items) = (function(call.argument(0)?)?, call.argument(1)?);
                match call.read::<Option<usize>>(2)? {
                    None => started(call.python(call.method, &[&function, items])),
                    Some(chunk) => started(call.python(call.method, &[&function, items, &bytes(&chunk)])),
                }
            }
            "close" | "terminate" => done(call.python(call.method, &[])),
            "join" => done(call.python("join", &[])).map_err(|trouble| match trouble {
                Trouble::Raised(exception) if says(&exception, "Pool is still running") => {
                    let what = "the pool still runs; close it or terminate it before it is joined".to_owned();
                    Error::State { what }.into()
                }
                other => other,
            }),
            _ => other(call, POOL),
        }
    }
}

impl Adapter for ResultAdapter {
    fn create(&self, constructor: &str, _: Parts<'_>) -> Result<Created> {
        Err(only_from_pools(constructor))
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        let waited = |method: &str| match call.left() {
            None => call.python(method, &[]),
            Some(left) => call.python_waiting(method, &[&bytes(&left.as_secs_f64())]),
        };
        let is_ready = || call.python("ready", &[])?.decode::<bool>().map_err(Trouble::from);
        match call.method {
            "get" => match waited("get") {
                Ok(result) => Ok(returned(result)),
                Err(Trouble::Raised(exception)) if exception.class == TIMEOUT => Err(call.late()),
                Err(trouble) => Err(trouble),
            },
            "wait" => {
                waited("wait")?;
                if is_ready()? { Ok(value(&())) } else { Err(call.late()) }
            }
            "ready" => call.plain(),
            "successful" if is_ready()? => call.plain(),
            "successful" => Ok(value(&None::<bool>)),
            _ => other(call, RESULT),
        }
    }
}

impl Adapter for ResultsAdapter {
    fn create(&self, constructor: &str, _: Parts<'_>) -> Result<Created> {
        Err(only_from_pools(constructor))
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        match call.method {
            "next" => Ok(slot(unless(call.python("__next__", &[]), END)?)),
            // One at a time: of several nobody could tell that the one behind them has failed.
            "next_batch" => match call.python("__next__", &[]) {
                Ok(Reply { value: next, carried }) => {
                    let item = parts::container(Kind::Dict, [&bytes("Ok"), &next].into_iter());
                    Ok(returned(Reply { value: parts::container(Kind::List, [&item].into_iter()), carried }))
                }
                Err(trouble) if trouble.is(END) => Ok(value::<[(); 0]>(&[])),
                // The next one may do better.
                Err(Trouble::Raised(exception)) => {
                    Ok(value(&[Err::<(), _>(PoolError::System(Error::Remote(exception.into())))]))
                }
                Err(trouble) => Err(trouble),
            },
            _ => other(call, RESULTS),
        }
    }
}

fn only_from_pools(constructor: &str) -> Error {
    Error::NoConstructor {
        typeid: "Python's AsyncResult".to_owned(),
        constructor: constructor.to_owned(),
        reason: "results come from pools".to_owned(),
    }
}
