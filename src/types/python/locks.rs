//! Locks, conditions and semaphores, by Python's rules: anybody may release a `Lock` or a `Semaphore`, an `RLock` belongs to its connection.

use super::super::exclusion::NotOwned;
use super::super::semaphore::OverRelease;
use super::{failure, index, no_method, none_given, payload, seconds, step, time, truth};
use crate::codec::value::parts::{self, Shape};
use crate::codec::{Codec, decode};
use crate::error::Error;
use crate::object::face::{Arguments, Creation, Face, Native, Step, value};

/// Whether a call waits (`None` where not), and for how long.
fn patience(arguments: Arguments, refusal: &str, operator: Option<&str>) -> Result<Option<Option<f64>>, Step> {
    let bound = arguments.bind("acquire", &["blocking", "timeout"], 0)?;
    let blocks = bound[0].as_deref().is_none_or(truth);
    let timeout = seconds(bound[1].as_deref(), operator)?;
    match timeout {
        // What stands for none in Python.
        None | Some(-1.0) => Ok(blocks.then_some(None)),
        Some(_) if !blocks => Err(Step::builtin("ValueError", refusal)),
        Some(timeout) if timeout < 0.0 => {
            Err(Step::builtin("ValueError", "timeout value must be a non-negative number"))
        }
        timeout => Ok(Some(timeout)),
    }
}

/// Answers whether something was got.
fn got(native: Native) -> Step {
    match native {
        Native::Refused(Error::Timeout { .. }) => Step::of(&false),
        native => {
            native.then(|granted| Step::of(&!matches!(parts::shape(&granted), Ok(Shape::None | Shape::Bool(false)))))
        }
    }
}

fn acquire(arguments: Arguments) -> Step {
    let patience = step!(patience(arguments, "can't specify a timeout for a non-blocking call", None));
    Step::call("acquire", &[value(&patience.is_some())], got).within(patience.flatten().map(time))
}

/// Says what is wrong where the lock is not held by who should hold it.
fn owned(native: Native, otherwise: &'static str) -> Step {
    match failure::<NotOwned>(native) {
        Ok(NotOwned) => Step::builtin("RuntimeError", otherwise),
        Err(native) => native.then(|_| Step::none()),
    }
}

fn release_own() -> Step {
    Step::call("release", &[value(&())], |native| owned(native, "cannot release un-acquired lock"))
}

pub(super) struct LockFace {
    pub(super) reentrant: bool,
}

impl Face for LockFace {
    fn proxytype(&self) -> &'static str {
        "AcquirerProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        &["acquire", "release"]
    }

    fn create(&self, arguments: Arguments) -> Result<Creation, Step> {
        arguments.bind(if self.reentrant { "RLock" } else { "Lock" }, &[], 0)?;
        Ok(Creation::Constructor("new", payload::<&[u8]>(&[]).into()))
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        match method {
            "acquire" => acquire(arguments),
            "release" if !arguments.is_empty() => {
                match arguments.unnamed(if self.reentrant { "RLock.release" } else { "lock.release" }, 0, 0) {
                    Err(refused) => refused,
                    Ok(_) => no_method(method),
                }
            }
            "release" if self.reentrant => release_own(),
            "release" => Step::call::<&[u8]>("release_any", &[], |native| owned(native, "release unlocked lock")),
            other => no_method(other),
        }
    }

    fn is_copied(&self) -> Result<(), &'static str> {
        Err(if self.reentrant {
            "TypeError: cannot pickle '_thread.RLock' object"
        } else {
            "TypeError: cannot pickle '_thread.lock' object"
        })
    }
}

pub(super) struct ConditionFace;

impl ConditionFace {
    fn wait(arguments: Arguments) -> Step {
        let bound = step!(arguments.bind("wait", &["timeout"], 0));
        let timeout = step!(seconds(bound[0].as_deref(), Some(">")));
        Step::call_then::<&[u8]>("holding", &[], move |holding| {
            let Ok(Some((hold, levels))) = decode::<Option<(u64, u64)>>(Codec::Value, &holding) else {
                return Step::builtin("RuntimeError", "cannot wait on un-acquired lock");
            };
            let waited = move |native| match native {
                // The lock is to be held again, however long that takes.
                Native::Refused(Error::Timeout { .. }) => {
                    Step::call_then("reacquire", &[value(&hold), value(&levels)], |_| Step::of(&false))
                }
                native => match failure::<NotOwned>(native) {
                    Ok(NotOwned) => Step::builtin("RuntimeError", "cannot wait on un-acquired lock"),
                    Err(native) => native.then(|_| Step::of(&true)),
                },
            };
            Step::call("wait", &[value(&hold)], waited).within(timeout.map(time))
        })
    }
}

impl Face for ConditionFace {
    fn proxytype(&self) -> &'static str {
        "ConditionProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        &["acquire", "release", "wait", "notify", "notify_all"]
    }

    fn create(&self, arguments: Arguments) -> Result<Creation, Step> {
        let bound = arguments.bind("Condition", &["lock"], 0)?;
        match bound[0].as_deref().map(parts::shape) {
            None | Some(Ok(Shape::None)) => Ok(Creation::Constructor("new", payload::<&[u8]>(&[]).into())),
            Some(Ok(Shape::Proxy(lock))) => Ok(Creation::Of(lock, "condition")),
            Some(other) => {
                let name = other.map_or_else(|_| "object".to_owned(), |other| other.type_name().to_owned());
                let text = format!("'{name}' object has no attribute 'acquire'");
                Err(Step::builtin("AttributeError", &text))
            }
        }
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        let notified = |native| owned(native, "cannot notify on un-acquired lock");
        match method {
            "acquire" => acquire(arguments),
            "release" => release_own(),
            "wait" => Self::wait(arguments),
            "notify" => {
                let bound = step!(arguments.bind(method, &["n"], 0));
                let most = bound[0].as_deref().map_or(Some(1), index).unwrap_or(1).max(0);
                Step::call("notify", &[value(&most)], notified)
            }
            "notify_all" => {
                step!(none_given("Condition.notify_all", &arguments));
                Step::call("notify", &[value(&u64::MAX)], notified)
            }
            other => no_method(other),
        }
    }

    fn is_copied(&self) -> Result<(), &'static str> {
        Err("TypeError: cannot pickle '_thread.RLock' object")
    }
}

pub(super) struct SemaphoreFace {
    pub(super) bounded: bool,
}

impl Face for SemaphoreFace {
    fn proxytype(&self) -> &'static str {
        "AcquirerProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        &["acquire", "release"]
    }

    fn create(&self, arguments: Arguments) -> Result<Creation, Step> {
        let bound = arguments.bind("Semaphore", &["value"], 0)?;
        let permits = bound[0]
            .as_deref()
            .map_or(Some(1), index)
            .ok_or_else(|| Step::type_error("a semaphore's value is an int"))?;
        if permits < 0 {
            return Err(Step::builtin("ValueError", "semaphore initial value must be >= 0"));
        }
        Ok(Creation::Constructor("new", payload(&[value(&permits)]).into()))
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        match method {
            "acquire" => {
                let patience = step!(patience(arguments, "can't specify timeout for non-blocking acquire", Some("<")));
                Step::call("acquire", &[value(&1), value(&patience.is_some())], got)
                    .within(patience.flatten().map(time))
            }
            "release" => {
                let bound = step!(arguments.bind(method, &["n"], 0));
                let Some(count) = bound[0].as_deref().map_or(Some(1), index).filter(|count| *count >= 1) else {
                    return Step::builtin("ValueError", "n must be one or more");
                };
                Step::call("release_any", &[value(&count)], |native| match failure::<OverRelease>(native) {
                    Ok(_) => Step::builtin("ValueError", "Semaphore released too many times"),
                    Err(native) => native.then(|_| Step::none()),
                })
            }
            other => no_method(other),
        }
    }

    fn is_copied(&self) -> Result<(), &'static str> {
        let _ = self.bounded;
        Err("TypeError: cannot pickle '_thread.lock' object")
    }
}
