//! `list`.

use super::{as_list, bytes, done, equals, other, slice, unless};
use crate::client::python::{Adapter, Call, Created, Trouble, exactly, failed, returned, slot, value};
use crate::codec::value::parts::Parts;
use crate::error::Result;
use crate::object::Answer;
use crate::types::sequence::{Index, SequenceError, Slice};

const EXPOSED: &[&str] = &[
    "__add__",
    "__contains__",
    "__delitem__",
    "__getitem__",
    "__imul__",
    "__len__",
    "__mul__",
    "__reversed__",
    "__rmul__",
    "__setitem__",
    "append",
    "count",
    "extend",
    "index",
    "insert",
    "pop",
    "remove",
    "reverse",
    "sort",
];

/// How many elements an iteration asks for at once.
const BATCH: usize = 256;

const INDEX_ERROR: &[&str] = &["IndexError"];
const VALUE_ERROR: &[&str] = &["ValueError"];

pub(super) struct ListAdapter;

/// The slice that an argument is; the error of one whose step is 0.
pub(super) fn slice_at(call: &Call<'_>, place: usize) -> Result<std::result::Result<Slice, Answer>> {
    let slice: Slice = call.read(place)?;
    Ok(match slice.ends() {
        [_, _, Some(0)] => Err(failed(&SequenceError::StepZero)),
        _ => Ok(slice),
    })
}

/// The error of an index that there is not.
pub(super) fn out_of_range(call: &Call<'_>) -> Result<Answer, Trouble> {
    let index: Index = call.read(0)?;
    let length: usize = call.python("__len__", &[])?.decode()?;
    Ok(failed(&index.missing(length)))
}

/// Sets what is at an index: the former back, as it was a moment before.
pub(super) fn set(call: &Call<'_>) -> Result<Answer, Trouble> {
    let (index, new) = (call.argument(0)?, call.argument(1)?);
    let Some(former) = unless(call.python("__getitem__", &[index]), INDEX_ERROR)? else { return out_of_range(call) };
    match unless(call.python("__setitem__", &[index, new]), INDEX_ERROR)? {
        Some(_) => Ok(returned(former)),
        None => out_of_range(call),
    }
}

macro_rules! slice_at {
    ($call:expr, $place:expr) => {
        match slice_at($call, $place)? {
            Ok(places) => slice(places),
            Err(answer) => return Ok(answer),
        }
    };
}

impl Adapter for ListAdapter {
    fn create(&self, _: &str, arguments: Parts<'_>) -> Result<Created> {
        let [items] = exactly(arguments)?;
        Ok(Created { positional: vec![items], ..Created::default() })
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        match call.method {
            "get" => Ok(slot(unless(call.python("__getitem__", &[call.argument(0)?]), INDEX_ERROR)?)),
            "slice" => call.python("__getitem__", &[&slice_at!(call, 0)]).map(returned),
            "set" => set(call),
            "set_slice" => {
                let places = slice_at!(call, 0);
                let elements = as_list(call.argument(1)?);
                match call.python("__setitem__", &[&places, &elements]) {
                    Err(trouble) if trouble.is(VALUE_ERROR) => {
                        let length: usize = call.python("__len__", &[])?.decode()?;
                        let places = call.read::<Slice>(0)?.within(length).map_or(0, |places| places.len());
                        let given = call.read::<Vec<serde::de::IgnoredAny>>(1)?.len();
                        Ok(failed(&SequenceError::SliceLength { given, places }))
                    }
                    result => done(result),
                }
            }
            "delete_slice" => done(call.python("__delitem__", &[&slice_at!(call, 0)])),
            "push" => done(call.python("append", &[call.argument(0)?])),
            "extend" | "extend_from" => done(call.python("extend", &[call.argument(0)?])),
            "insert" => done(call.python("insert", &[call.argument(0)?, call.argument(1)?])),
            "pop" => Ok(slot(unless(call.python("pop", &[call.argument(0)?]), INDEX_ERROR)?)),
            "remove_value" => {
                let removed = unless(call.python("remove", &[call.argument(0)?]), VALUE_ERROR)?;
                Ok(value(&removed.is_some()))
            }
            "index_of" => index_of(call),
            "count" => call.plain(),
            "reverse" => done(call.python("reverse", &[])),
            "sort" => match call.python_with("sort", &[], &[("reverse", call.argument(0)?)]) {
                Err(trouble) if trouble.is(&["TypeError"]) => Ok(failed(&SequenceError::NoOrder)),
                result => done(result),
            },
            "repeat" => done(call.python("__imul__", &[call.argument(0)?])),
            "concatenate" => call.python("__add__", &[&as_list(call.argument(0)?)]).map(returned),
            "len" => call.python("__len__", &[]).map(returned),
            // `clear` is exposed from 3.14 on.
            "clear" => done(call.python("__delitem__", &[&slice(Slice::default())])),
            "batch" => {
                let from: usize = call.read(0)?;
                call.python("__getitem__", &[&slice(Slice::from(from..from.saturating_add(BATCH)))]).map(returned)
            }
            "equals" => {
                let own = call.python("__getitem__", &[&slice(Slice::default())])?;
                equals(&own.value, &as_list(call.argument(0)?))
            }
            _ => other(call, EXPOSED),
        }
    }
}

/// The place of a value among those of a slice that goes upwards one by one, as Python's `index` looks for it.
fn index_of(call: &Call<'_>) -> Result<Answer, Trouble> {
    let wanted = call.argument(0)?;
    let found = match call.read::<Slice>(1)?.ends() {
        [_, _, Some(0)] => return Ok(failed(&SequenceError::StepZero)),
        [None, None, None | Some(1)] => call.python("index", &[wanted]),
        [start, stop, None | Some(1)] => {
            let (start, stop) = (bytes(&start.unwrap_or(0)), bytes(&stop.unwrap_or(i64::MAX)));
            call.python("index", &[wanted, &start, &stop])
        }
        _ => return Err(call.missing("index_of_within with a step", EXPOSED)),
    };
    match unless(found, VALUE_ERROR)? {
        Some(place) => Ok(returned(place)),
        None => Ok(value(&None::<usize>)),
    }
}
