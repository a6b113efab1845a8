//! `set`, which managers of Python's have from 3.14 on.

use super::{as_list, bytes, done, is_copy, other, unless};
use crate::client::python::{Adapter, Call, Created, Reply, Trouble, exactly, returned, slot, value};
use crate::codec::value::parts::{self, Kind, Parts};
use crate::error::Result;
use crate::object::Answer;

const EXPOSED: &[&str] = &[
    "__contains__",
    "__iter__",
    "__len__",
    "add",
    "clear",
    "copy",
    "difference",
    "difference_update",
    "discard",
    "intersection",
    "intersection_update",
    "isdisjoint",
    "issubset",
    "issuperset",
    "pop",
    "remove",
    "symmetric_difference",
    "symmetric_difference_update",
    "union",
    "update",
];

const KEY_ERROR: &[&str] = &["KeyError"];

pub(super) struct SetAdapter;

/// A set as a list.
fn elements(mut reply: Reply) -> Reply {
    if let Ok(parts::Shape::Container(_, elements)) = parts::shape(&reply.value) {
        reply.value = parts::container(Kind::List, elements.iter());
    }
    reply
}

impl Adapter for SetAdapter {
    fn create(&self, _: &str, arguments: Parts<'_>) -> Result<Created> {
        let [elements] = exactly(arguments)?;
        Ok(Created { positional: vec![elements], ..Created::default() })
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        let all = || call.python("copy", &[]).map(elements);
        match call.method {
            // Python's does not tell whether there was one: another's call may come between.
            "insert" => {
                let element = call.argument(0)?;
                let was_there: bool = call.python("__contains__", &[element])?.decode()?;
                call.python("add", &[element])?;
                Ok(value(&!was_there))
            }
            "remove" => Ok(value(&unless(call.python("remove", &[call.argument(0)?]), KEY_ERROR)?.is_some())),
            "contains" => call.python("__contains__", &[call.argument(0)?]).map(returned),
            "pop" => Ok(slot(unless(call.python("pop", &[]), KEY_ERROR)?)),
            "len" => call.python("__len__", &[]).map(returned),
            "clear" => call.plain(),
            "to_vec" => all().map(returned),
            // All of them at once, and nothing behind them.
            "batch" if call.read::<u64>(0)? == 0 => {
                let mut all = all()?;
                all.value = parts::container(Kind::Tuple, [&bytes(&1), &all.value].into_iter());
                Ok(returned(all))
            }
            "batch" => Ok(value(&(1, Vec::<()>::new()))),
            "combined" | "combine" => {
                let (how, other) = (call.read::<String>(0)?, as_list(call.argument(1)?));
                is_copy(&other)?;
                let method = match (call.method, &*how) {
                    ("combined", "Union") => "union",
                    ("combined", "Intersection") => "intersection",
                    ("combined", "Difference") => "difference",
                    ("combined", _) => "symmetric_difference",
                    (_, "Union") => "update",
                    (_, "Intersection") => "intersection_update",
                    (_, "Difference") => "difference_update",
                    _ => "symmetric_difference_update",
                };
                let answer = call.python(method, &[&other]);
                if call.method == "combine" { done(answer) } else { answer.map(elements).map(returned) }
            }
            "stands" => {
                let (how, other) = (call.read::<String>(0)?, as_list(call.argument(1)?));
                is_copy(&other)?;
                let asked = |method: &str| call.python(method, &[&other]);
                match &*how {
                    "Subset" => asked("issubset").map(returned),
                    "Superset" => asked("issuperset").map(returned),
                    "Disjoint" => asked("isdisjoint").map(returned),
                    // Nothing in one step compares with what is no set: what is in either is what is in both.
                    _ => Ok(value(&(asked("issubset")?.decode::<bool>()? && asked("issuperset")?.decode::<bool>()?))),
                }
            }
            _ => other(call, EXPOSED),
        }
    }
}
