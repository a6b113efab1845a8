//! `Pool`, as a `PoolProxy` calls it, with the results and the iterators that it gives.
//!
//! Nothing of Python's is ever run in the server or its workers: a function's name, which is all that a pickle holds of it, names a task that the server's program registered.

use super::{contents, failure, found, index, iterate, no_method, none_given, payload, seconds, step, time, type_name};
use crate::codec::pickle::{Graph, KIND, opcode};
use crate::codec::value::{self as values, parts};
use crate::error::{Error, RemoteError};
use crate::object::face::{Arguments, Creation, Exception, Face, Native, Raw, Step, value};
use crate::pool::PoolError;
use parts::{Kind, Shape};

pub(super) struct PoolFace;

pub(super) struct ResultFace;

pub(super) struct ResultsFace;

/// An argument that was given and is not `None`.
fn given(argument: Option<&Raw>) -> Option<&Raw> {
    argument.filter(|bytes| bytes.front() != values::NONE)
}

/// What names a task: its name, as a str, or a function's.
fn name(bytes: &[u8]) -> Result<String, Step> {
    let function = |contents: &[u8]| {
        let pickle = [contents, &[opcode::STOP]].concat();
        let graph = Graph::read(&pickle).ok()?;
        graph.global(graph.root()).map(|(module, name)| format!("{module}.{name}"))
    };
    let name = match parts::shape(bytes) {
        Ok(Shape::Str(name)) => Some(name.to_owned()),
        Ok(Shape::Opaque(kind, contents)) if kind.starts_with(KIND) => function(contents),
        _ => None,
    };
    name.ok_or_else(|| {
        Step::type_error(&format!(
            "the server runs tasks of its own program, which are told by their name: give a str, or a function of that name, not '{}'",
            type_name(bytes)
        ))
    })
}

/// A task as the pool takes it from who has no types.
fn named(task: &[u8], keywords: Option<&[u8]>) -> Result<Vec<u8>, Step> {
    let empty = parts::container::<&[u8]>(Kind::Dict, [].into_iter());
    let name = value(&name(task)?);
    Ok(parts::container(Kind::Tuple, [&name[..], values::NONE, keywords.unwrap_or(&empty)].into_iter()))
}

/// The arguments of one call of a task. None at all are `()`, which is no tuple.
fn arguments(sequence: &[u8]) -> Result<Vec<u8>, Step> {
    let arguments = iterate(sequence)?;
    Ok(if arguments.is_empty() { value(&()) } else { parts::container(Kind::Tuple, arguments.iter()) })
}

/// Callbacks would have to run here.
fn no_callbacks(callbacks: &[Option<Raw>]) -> Result<(), Step> {
    match callbacks.iter().find_map(|callback| given(callback.as_ref())) {
        None => Ok(()),
        Some(_) => Err(Step::type_error(
            "a callback would have to run in the server, which runs nothing of Python's: wait for the result, and call it then",
        )),
    }
}

/// How many items are a chunk.
fn chunk_size(argument: Option<&Raw>) -> Result<Option<i64>, Step> {
    let Some(bytes) = given(argument) else { return Ok(None) };
    match index(bytes) {
        Some(size) if size >= 1 => Ok(Some(size)),
        Some(size) => Err(Step::builtin("ValueError", &format!("Chunksize must be 1+, not {size}"))),
        None => {
            let text = format!("'{}' object cannot be interpreted as an integer", type_name(bytes));
            Err(Step::type_error(&text))
        }
    }
}

/// What Python's clients are told of an error of the pool's.
fn raise(error: PoolError) -> Step {
    let remote = |kind: &str, message: String| {
        Step::Error(Error::Remote(RemoteError { kind: kind.to_owned(), message, causes: Vec::new() }))
    };
    match error {
        PoolError::Failed { error, raised } => match raised.and_then(Exception::named) {
            Some(exception) => Step::Raise(exception),
            None => remote("", error),
        },
        PoolError::Panicked(panic) => {
            let place = panic.place.map(|place| format!(" at {place}")).unwrap_or_default();
            remote("panic", format!("the task panicked{place}: {}", panic.message))
        }
        PoolError::NoSuchTask { .. } => Step::builtin("NameError", &error.to_string()),
        PoolError::System(Error::Arguments { method, reason, .. }) => {
            Step::type_error(&format!("{method}(): {reason}"))
        }
        PoolError::System(error) => Step::Error(error),
        other => remote("multiproc.PoolError", other.to_string()),
    }
}

/// The end of a call of the pool.
fn answered(native: Native) -> Step {
    match failure::<PoolError>(native) {
        Ok(PoolError::Closed | PoolError::Terminated) => Step::builtin("ValueError", "Pool not running"),
        Ok(error) => raise(error),
        Err(native) => native.then(Step::Value),
    }
}

/// The end of a wait for a result; `late` is what the end of its time means.
fn arrived(native: Native) -> Result<Raw, Step> {
    match native {
        Native::Refused(Error::Timeout { .. }) => {
            Err(Step::Raise(Exception::of("multiprocessing.context", "TimeoutError", Vec::new())))
        }
        native => match failure::<PoolError>(native) {
            Ok(error) => Err(raise(error)),
            Err(Native::Returned(result)) => Ok(result),
            Err(native) => Err(native.error()),
        },
    }
}

impl PoolFace {
    fn one(method: &'static str, given: Arguments) -> Step {
        let all = ["func", "args", "kwds", "callback", "error_callback"];
        let parameters = if method == "apply" { &all[..3] } else { &all };
        let bound = step!(given.bind(method, parameters, 1));
        step!(no_callbacks(&bound[3..]));
        let task = step!(named(bound[0].as_deref().unwrap_or_default(), bound[2].as_deref()));
        let Some(positional) = bound[1].clone() else { return Step::call(method, &[task, value(&())], answered) };
        contents(positional, move |held| {
            let arguments = step!(arguments(&held));
            Step::call(method, &[task, arguments], answered)
        })
    }

    fn many(method: &'static str, given: Arguments) -> Step {
        let all = ["func", "iterable", "chunksize", "callback", "error_callback"];
        let parameters = if method.ends_with("async") { &all } else { &all[..3] };
        let bound = step!(given.bind(method, parameters, 2));
        step!(no_callbacks(&bound[3..]));
        let task = step!(named(bound[0].as_deref().unwrap_or_default(), None));
        let chunk = value(&step!(chunk_size(bound[2].as_ref())));
        contents(bound[1].clone().unwrap_or_default(), move |held| {
            let items = match parts::shape(&held) {
                Ok(Shape::Container(Kind::List | Kind::Tuple, _)) if !method.starts_with("star") => held,
                _ => {
                    let items = step!(iterate(&held)).into_iter();
                    let items = if method.starts_with("star") {
                        step!(items.map(|item| arguments(&item)).collect::<Result<Vec<_>, _>>())
                    } else {
                        items.collect()
                    };
                    parts::container(Kind::List, items.iter()).into()
                }
            };
            Step::call(method, &[task, items.into(), chunk], answered)
        })
    }
}

impl Face for PoolFace {
    fn proxytype(&self) -> &'static str {
        "PoolProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        &[
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
        ]
    }

    fn create(&self, made_of: Arguments) -> Result<Creation, Step> {
        let parameters = ["processes", "initializer", "initargs", "maxtasksperchild", "context"];
        let bound = made_of.bind("Pool", &parameters, 0)?;
        let [processes, initializer, initargs, tasks, context] =
            [0, 1, 2, 3, 4].map(|place| given(bound[place].as_ref()));
        let positive = |bytes: &Raw, refusal: &str| {
            let number = index(bytes).filter(|number| *number >= 1);
            number.ok_or_else(|| Step::builtin("ValueError", refusal))
        };
        let processes = processes.map(|bytes| positive(bytes, "Number of processes must be at least 1")).transpose()?;
        let tasks =
            tasks.map(|bytes| positive(bytes, "maxtasksperchild must be a positive int or None")).transpose()?;
        let initializer = initializer.map(|task| named(task, None)).transpose()?;
        let arguments = initargs.map_or_else(|| Ok(value(&())), |initargs| arguments(initargs))?;
        if context.is_some() {
            return Err(Step::type_error("the workers are the server's: they start as those do, without a context"));
        }
        let (processes, tasks) = (value(&processes), value(&tasks));
        let initializer = initializer.as_deref().unwrap_or(values::NONE);
        let none = values::NONE;
        Ok(Creation::Constructor(
            "new",
            payload(&[&processes, initializer, &arguments, &tasks, none, none, none]).into(),
        ))
    }

    fn not_made(&self, error: &[u8]) -> Step {
        match failure::<PoolError>(Native::Failed(error.to_vec())) {
            Ok(error) => raise(error),
            Err(native) => native.error(),
        }
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        if let "close" | "terminate" | "join" = method {
            step!(none_given(&format!("Pool.{method}"), &arguments));
        }
        match method {
            "apply" => Self::one("apply", arguments),
            "apply_async" => Self::one("apply_async", arguments),
            "map" => Self::many("map", arguments),
            "map_async" => Self::many("map_async", arguments),
            "starmap" => Self::many("starmap", arguments),
            "starmap_async" => Self::many("starmap_async", arguments),
            "imap" => Self::many("imap", arguments),
            "imap_unordered" => Self::many("imap_unordered", arguments),
            "close" => Step::run::<&[u8]>("close", &[]),
            "terminate" => Step::run::<&[u8]>("terminate", &[]),
            "join" => Step::call::<&[u8]>("join", &[], |native| match failure::<PoolError>(native) {
                Ok(PoolError::System(Error::State { .. })) => Step::builtin("ValueError", "Pool is still running"),
                Ok(error) => raise(error),
                Err(native) => native.then(|_| Step::none()),
            }),
            other => no_method(other),
        }
    }

    fn is_copied(&self) -> Result<(), &'static str> {
        Err("NotImplementedError: pool objects cannot be passed between processes or pickled")
    }
}

impl Face for ResultFace {
    fn proxytype(&self) -> &'static str {
        "AutoProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        &["get", "ready", "successful", "wait"]
    }

    fn create(&self, _: Arguments) -> Result<Creation, Step> {
        Err(Step::type_error("results are made by the pools that work on them"))
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        if let "ready" | "successful" = method {
            step!(none_given(&format!("AsyncResult.{method}"), &arguments));
        }
        match method {
            "get" => {
                let bound = step!(arguments.bind(method, &["timeout"], 0));
                let timeout = step!(seconds(bound[0].as_deref(), Some(">")));
                let then = |native| arrived(native).map_or_else(|refused| refused, Step::Value);
                Step::call::<&[u8]>("get", &[], then).within(timeout.map(time))
            }
            "wait" => {
                let bound = step!(arguments.bind(method, &["timeout"], 0));
                let timeout = step!(seconds(bound[0].as_deref(), Some(">")));
                let then = |native| match native {
                    Native::Refused(Error::Timeout { .. }) => Step::none(),
                    native => native.then(|_| Step::none()),
                };
                Step::call::<&[u8]>("wait", &[], then).within(timeout.map(time))
            }
            "ready" => Step::forward::<&[u8]>("ready", &[]),
            "successful" => Step::call_then::<&[u8]>("successful", &[], |successful| match parts::shape(&successful) {
                Ok(Shape::None) => Step::builtin("ValueError", "the result is not ready"),
                _ => Step::Value(successful),
            }),
            other => no_method(other),
        }
    }

    fn is_copied(&self) -> Result<(), &'static str> {
        Err("TypeError: cannot pickle '_thread.RLock' object")
    }
}

impl Face for ResultsFace {
    fn proxytype(&self) -> &'static str {
        "IteratorProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        &["__next__"]
    }

    fn create(&self, _: Arguments) -> Result<Creation, Step> {
        Err(Step::type_error("iterators are made by the objects that they go over"))
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        match method {
            "__next__" => {
                let bound = step!(arguments.bind(method, &["timeout"], 0));
                let timeout = step!(seconds(bound[0].as_deref(), Some(">")));
                let then = |native| match arrived(native) {
                    Ok(next) => found(next, || Step::Raise(Exception::of("builtins", "StopIteration", Vec::new()))),
                    Err(refused) => refused,
                };
                Step::call::<&[u8]>("next", &[], then).within(timeout.map(time))
            }
            other => no_method(other),
        }
    }

    fn is_copied(&self) -> Result<(), &'static str> {
        Err("TypeError: cannot pickle '_thread.lock' object")
    }
}
