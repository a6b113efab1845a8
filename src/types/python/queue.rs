//! `Queue`, as an `AutoProxy` of it calls it.

use super::super::queue::QueueError;
use super::{failure, index, no_method, none_given, payload, seconds, step, time, truth, type_name};
use crate::error::Error;
use crate::object::face::{Arguments, Creation, Exception, Face, Native, Raw, Step, value};

pub(super) struct QueueFace;

const EXPOSED: &[&str] =
    &["empty", "full", "get", "get_nowait", "join", "put", "put_nowait", "qsize", "shutdown", "task_done"];

fn raise(module: &'static str, class: &'static str) -> Step {
    Step::Raise(Exception::of(module, class, Vec::new()))
}

/// What Python says where a queue says no; `late` is what the end of its time means.
fn refused(native: Native, late: fn() -> Step) -> Step {
    match native {
        Native::Refused(Error::Timeout { .. }) => late(),
        native => match failure::<QueueError>(native) {
            Ok(QueueError::Full) => full(),
            Ok(QueueError::Empty) => empty(),
            Ok(QueueError::ShutDown) => raise("queue", "ShutDown"),
            Ok(QueueError::NotTaken) => Step::builtin("ValueError", "task_done() called too many times"),
            Ok(error @ QueueError::Lost { .. }) => Step::builtin("RuntimeError", &error.to_string()),
            Err(native) => native.then(Step::Value),
        },
    }
}

fn empty() -> Step {
    raise("_queue", "Empty")
}

fn full() -> Step {
    raise("queue", "Full")
}

fn none(step: Step) -> Step {
    match step {
        Step::Value(_) => Step::none(),
        other => other,
    }
}

/// Whether a call waits, and for how long.
fn patience(block: Option<&[u8]>, timeout: Option<&[u8]>) -> Result<Option<Option<f64>>, Step> {
    if !block.is_none_or(truth) {
        return Ok(None);
    }
    match seconds(timeout, Some("<"))? {
        Some(timeout) if timeout < 0.0 => Err(Step::builtin("ValueError", "'timeout' must be a non-negative number")),
        Some(0.0) => Ok(None),
        timeout => Ok(Some(timeout)),
    }
}

fn put(item: Raw, patience: Option<Option<f64>>) -> Step {
    match patience {
        None => Step::give_then("try_put", vec![item], |native| none(refused(native, full))),
        Some(timeout) => {
            Step::give_then("put", vec![item], |native| none(refused(native, full))).within(timeout.map(time))
        }
    }
}

fn get(patience: Option<Option<f64>>) -> Step {
    match patience {
        None => Step::call::<&[u8]>("try_get", &[], |native| refused(native, empty)),
        Some(timeout) => Step::call::<&[u8]>("get", &[], |native| refused(native, empty)).within(timeout.map(time)),
    }
}

impl Face for QueueFace {
    fn proxytype(&self) -> &'static str {
        "AutoProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        EXPOSED
    }

    fn create(&self, arguments: Arguments) -> Result<Creation, Step> {
        let bound = arguments.bind("Queue", &["maxsize"], 0)?;
        let maxsize = match bound[0].as_deref() {
            None => 0,
            Some(given) => index(given).ok_or_else(|| {
                Step::type_error(&format!("'<=' not supported between instances of '{}' and 'int'", type_name(given)))
            })?,
        };
        Ok(Creation::Constructor("new", payload(&[value(&maxsize.max(0))]).into()))
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        if let "get_nowait" | "qsize" | "empty" | "full" | "task_done" | "join" = method {
            step!(none_given(&format!("Queue.{method}"), &arguments));
        }
        match method {
            "put" => {
                let bound = step!(arguments.bind(method, &["item", "block", "timeout"], 1));
                let item = bound[0].clone().unwrap_or_default();
                match patience(bound[1].as_deref(), bound[2].as_deref()) {
                    Ok(patience) => put(item, patience),
                    // Where there is always room, Python does not look at it.
                    Err(refused) => Step::call_then::<&[u8]>("maxsize", &[], |maxsize| match index(&maxsize) {
                        Some(0) => put(item, Some(None)),
                        _ => refused,
                    }),
                }
            }
            "put_nowait" => {
                let [item] = step!(arguments.exactly(method, ["item"]));
                put(item, None)
            }
            "get" => {
                let bound = step!(arguments.bind(method, &["block", "timeout"], 0));
                get(step!(patience(bound[0].as_deref(), bound[1].as_deref())))
            }
            "get_nowait" => get(None),
            "qsize" => Step::forward::<&[u8]>("len", &[]),
            "empty" => Step::call_then::<&[u8]>("len", &[], |length| Step::of(&(index(&length) == Some(0)))),
            "full" => Step::forward::<&[u8]>("is_full", &[]),
            "task_done" => Step::call("early_done", &[value(&1)], |native| none(refused(native, empty))),
            "join" => Step::call::<&[u8]>("join", &[], |native| none(refused(native, empty))),
            "shutdown" => {
                let bound = step!(arguments.bind(method, &["immediate"], 0));
                Step::run("shutdown", &[value(&bound[0].as_deref().is_some_and(truth))])
            }
            other => no_method(other),
        }
    }

    fn is_copied(&self) -> Result<(), &'static str> {
        Err("TypeError: cannot pickle '_thread.lock' object")
    }
}
