//! `Event` and `Barrier`.

use super::{bytes, done, other};
use crate::client::python::{Adapter, Call, Created, Trouble, failed, returned, value};
use crate::codec::value::parts::Parts;
use crate::error::Result;
use crate::object::Answer;
use crate::types::barrier::BrokenBarrierError;

const EVENT: &[&str] = &["clear", "is_set", "set", "wait"];
const BARRIER: &[&str] = &["__getattribute__", "abort", "reset", "wait"];

pub(super) struct EventAdapter;

impl Adapter for EventAdapter {
    fn create(&self, _: &str, _: Parts<'_>) -> Result<Created> {
        Ok(Created::default())
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        match call.method {
            "set" | "clear" => done(call.python(call.method, &[])),
            "is_set" => call.plain(),
            "wait" => {
                let waited = match call.left() {
                    None => call.python("wait", &[])?,
                    Some(left) => call.python_waiting("wait", &[&bytes(&left.as_secs_f64())])?,
                };
                if waited.decode()? { Ok(value(&())) } else { Err(call.late()) }
            }
            _ => other(call, EVENT),
        }
    }
}

pub(super) struct BarrierAdapter;

impl Adapter for BarrierAdapter {
    fn create(&self, _: &str, arguments: Parts<'_>) -> Result<Created> {
        Ok(Created { positional: arguments.into_iter().map(|one| one.into_owned()).collect(), ..Created::default() })
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        let attribute = |name: &str| call.python("__getattribute__", &[&bytes(name)]).map(returned);
        match call.method {
            "wait" if call.read(0)? => Err(call.missing("wait_with (an action of one party's)", BARRIER)),
            "wait" => {
                let waited = match call.left() {
                    None => call.python("wait", &[]),
                    // Time that is over breaks it, there as here.
                    Some(left) => call.python_waiting("wait", &[&bytes(&left.as_secs_f64())]),
                };
                match waited {
                    Ok(place) => Ok(value(&(place.decode::<usize>()?, None::<u64>))),
                    Err(trouble) if trouble.is(&["BrokenBarrierError"]) => Ok(failed(&BrokenBarrierError)),
                    Err(trouble) => Err(trouble),
                }
            }
            "abort" | "reset" => done(call.python(call.method, &[])),
            "parties" | "n_waiting" => attribute(call.method),
            "is_broken" => attribute("broken"),
            _ => other(call, BARRIER),
        }
    }
}
