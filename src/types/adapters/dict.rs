//! `dict`.

use super::{bytes, done, equals, other, unless};
use crate::client::python::{Adapter, Call, Created, Trouble, exactly, returned, slot, value};
use crate::codec::value::parts::{self, Kind, Parts};
use crate::error::Result;
use crate::object::Answer;

const EXPOSED: &[&str] = &[
    "__contains__",
    "__delitem__",
    "__getitem__",
    "__iter__",
    "__len__",
    "__setitem__",
    "clear",
    "copy",
    "get",
    "items",
    "keys",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "values",
];

const KEY_ERROR: &[&str] = &["KeyError"];

pub(super) struct DictAdapter;

impl Adapter for DictAdapter {
    fn create(&self, _: &str, arguments: Parts<'_>) -> Result<Created> {
        let [items] = exactly(arguments)?;
        Ok(Created { positional: vec![items], ..Created::default() })
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        match call.method {
            // Python's `get` does not tell a missing value from None.
            "get" => Ok(slot(unless(call.python("__getitem__", &[call.argument(0)?]), KEY_ERROR)?)),
            "insert" => {
                let (key, new) = (call.argument(0)?, call.argument(1)?);
                let former = unless(call.python("__getitem__", &[key]), KEY_ERROR)?;
                call.python("__setitem__", &[key, new])?;
                Ok(slot(former))
            }
            "get_or_insert" => Ok(slot(Some(call.python("setdefault", &[call.argument(0)?, call.argument(1)?])?))),
            "remove" => Ok(slot(unless(call.python("pop", &[call.argument(0)?]), KEY_ERROR)?)),
            "pop_item" => Ok(slot(unless(call.python("popitem", &[]), KEY_ERROR)?)),
            "contains_key" => call.python("__contains__", &[call.argument(0)?]).map(returned),
            "len" => call.python("__len__", &[]).map(returned),
            "clear" | "keys" | "values" | "items" => call.plain(),
            "extend" => done(call.python("update", &[call.argument(0)?])),
            // All of them at once, and nothing behind them.
            "batch" if call.read::<u64>(0)? == 0 => {
                let mut entries = call.python("items", &[])?;
                entries.value = parts::container(Kind::Tuple, [&bytes(&1), &entries.value].into_iter());
                Ok(returned(entries))
            }
            "batch" => Ok(value(&(1, Vec::<((), ())>::new()))),
            "equals" => equals(&call.python("copy", &[])?.value, call.argument(0)?),
            _ => other(call, EXPOSED),
        }
    }
}
