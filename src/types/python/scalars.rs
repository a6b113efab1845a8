//! `Event` and `Barrier`, as their proxies call them.

use super::super::barrier::BrokenBarrierError;
use super::{failure, index, no_method, none_given, payload, seconds, step, time, truth};
use crate::codec::value::parts::{self, Shape};
use crate::codec::{Codec, decode};
use crate::error::Error;
use crate::object::face::{Arguments, Creation, Exception, Face, Native, Step, value};

pub(super) struct EventFace;

impl Face for EventFace {
    fn proxytype(&self) -> &'static str {
        "EventProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        &["is_set", "set", "clear", "wait"]
    }

    fn create(&self, arguments: Arguments) -> Result<Creation, Step> {
        arguments.bind("Event", &[], 0)?;
        Ok(Creation::Constructor("new", payload::<&[u8]>(&[]).into()))
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        if let "is_set" | "set" | "clear" = method {
            step!(none_given(&format!("Event.{method}"), &arguments));
        }
        match method {
            "is_set" => Step::forward::<&[u8]>("is_set", &[]),
            "set" => Step::run::<&[u8]>("set", &[]),
            "clear" => Step::run::<&[u8]>("clear", &[]),
            "wait" => {
                let bound = step!(arguments.bind(method, &["timeout"], 0));
                let timeout = match seconds(bound[0].as_deref(), Some(">")) {
                    Ok(timeout) => timeout,
                    // Where there is nothing to wait for, Python does not look at it.
                    Err(refused) => {
                        return Step::call_then::<&[u8]>("is_set", &[], |set| match truth(&set) {
                            true => Step::of(&true),
                            false => refused,
                        });
                    }
                };
                let waited = |native| match native {
                    Native::Refused(Error::Timeout { .. }) => Step::of(&false),
                    native => native.then(|_| Step::of(&true)),
                };
                Step::call::<&[u8]>("wait", &[], waited).within(timeout.map(time))
            }
            other => no_method(other),
        }
    }

    fn is_copied(&self) -> Result<(), &'static str> {
        Err("TypeError: cannot pickle '_thread.lock' object")
    }
}

pub(super) struct BarrierFace;

fn broken() -> Step {
    Step::Raise(Exception::of("threading", "BrokenBarrierError", Vec::new()))
}

impl Face for BarrierFace {
    fn proxytype(&self) -> &'static str {
        "BarrierProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        &["__getattribute__", "wait", "abort", "reset"]
    }

    fn create(&self, arguments: Arguments) -> Result<Creation, Step> {
        let bound = arguments.bind("Barrier", &["parties", "action", "timeout"], 1)?;
        if bound[1].as_deref().is_some_and(|given| !matches!(parts::shape(given), Ok(Shape::None))) {
            return Err(Step::type_error(
                "a server that is not Python's can't call an action: call it when wait() is 0",
            ));
        }
        let timeout = seconds(bound[2].as_deref(), Some(">"))?;
        let parties = bound[0].as_deref().and_then(index).filter(|parties| *parties >= 1);
        let parties = parties.ok_or_else(|| Step::builtin("ValueError", "parties must be > 0"))?;
        Ok(Creation::Constructor("timed", payload(&[value(&parties), value(&timeout)]).into()))
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        if let "abort" | "reset" = method {
            step!(none_given(&format!("Barrier.{method}"), &arguments));
        }
        match method {
            "wait" => {
                let bound = step!(arguments.bind(method, &["timeout"], 0));
                let timeout = step!(seconds(bound[0].as_deref(), Some(">")));
                let passed = |native| match native {
                    Native::Refused(Error::Timeout { .. }) => broken(),
                    native => match failure::<BrokenBarrierError>(native) {
                        Ok(_) => broken(),
                        Err(native) => native.then(|passed| match parts::shape(&passed) {
                            Ok(Shape::Container(_, parts)) if !parts.is_empty() => Step::value(parts[0].to_vec()),
                            _ => Step::Value(passed),
                        }),
                    },
                };
                let wait =
                    move |timeout: Option<f64>| Step::call("wait", &[value(&false)], passed).within(timeout.map(time));
                match timeout {
                    Some(timeout) => wait(Some(timeout)),
                    None => Step::call_then::<&[u8]>("timeout", &[], move |timeout| {
                        wait(decode(Codec::Value, &timeout).unwrap_or_default())
                    }),
                }
            }
            "abort" => Step::run::<&[u8]>("abort", &[]),
            "reset" => Step::run::<&[u8]>("reset", &[]),
            "__getattribute__" => {
                let [name] = step!(arguments.just("Barrier.__getattribute__"));
                match parts::shape(&name) {
                    Ok(Shape::Str("parties")) => Step::forward::<&[u8]>("parties", &[]),
                    Ok(Shape::Str("n_waiting")) => Step::forward::<&[u8]>("n_waiting", &[]),
                    Ok(Shape::Str("broken")) => Step::forward::<&[u8]>("is_broken", &[]),
                    Ok(Shape::Str(other)) => {
                        let text = format!("'Barrier' object has no attribute '{other}'");
                        let exception = Exception::new("builtins", "AttributeError", &text);
                        Step::Raise(Exception { attributes: vec![("name", name.to_vec())], ..exception })
                    }
                    _ => Step::type_error("attribute name must be string"),
                }
            }
            other => no_method(other),
        }
    }

    fn is_copied(&self) -> Result<(), &'static str> {
        Err("TypeError: cannot pickle '_thread.lock' object")
    }
}
