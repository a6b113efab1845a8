//! `Value` and `Array`.

use super::list::{set, slice_at};
use super::{bytes, done, equals, object, other, slice, unless};
use crate::client::python::{Adapter, Call, Created, Trouble, exactly, failed, returned, slot, value};
use crate::codec::pickle::write;
use crate::codec::value::Block;
use crate::codec::value::parts::{self, Parts, Shape};
use crate::codec::{self, Codec};
use crate::error::{Error, Result};
use crate::object::Answer;
use crate::types::number::{Compute, NumberKind, with_kind};
use crate::types::sequence::{SequenceError, Slice};

const VALUE: &[&str] = &["get", "set"];
const ARRAY: &[&str] = &["__getitem__", "__len__", "__setitem__"];

pub(super) struct ValueAdapter;

impl Adapter for ValueAdapter {
    fn create(&self, _: &str, arguments: Parts<'_>) -> Result<Created> {
        let [initial] = exactly(arguments)?;
        // Of no meaning, but for those who print it.
        let typecode = match parts::shape(&initial) {
            Ok(Shape::Int(_)) => "q",
            Ok(Shape::Float(_)) => "d",
            _ => "O",
        };
        Ok(Created { positional: vec![bytes(typecode), initial], ..Created::default() })
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        match call.method {
            "get" => call.plain(),
            "set" => done(call.python("set", &[call.argument(0)?])),
            "compute" => Err(call.missing("fetch_add and the like", VALUE)),
            _ => other(call, VALUE),
        }
    }
}

pub(super) struct ArrayAdapter;

/// Numbers of one kind as Python's `array`, which a slice of one can only be set to.
fn array(kind: NumberKind, numbers: &[u8]) -> Result<Vec<u8>> {
    let raw = with_kind!(kind, N => match Block::read(numbers).and_then(|block| block.to_vec::<N>()) {
        Some(numbers) => raw(&numbers),
        None => raw(&codec::decode::<Vec<N>>(Codec::Value, numbers).map_err(Error::unserializable::<Vec<N>>)?),
    });
    Ok(object("array", "array", 2, |out| {
        write::str(out, &kind.typecode().to_string());
        write::bytes(out, &raw);
    }))
}

fn raw<N: Compute + Copy>(numbers: &[N]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(size_of_val(numbers));
    numbers.iter().for_each(|number| number.append_le(&mut raw));
    raw
}

/// What kind the numbers of an array are: its text says so.
fn kind(call: &Call<'_>) -> Result<NumberKind, Trouble> {
    let text: String = call.python("__str__", &[])?.decode()?;
    let typecode = text.strip_prefix("array('").and_then(|text| text.chars().next());
    let all = [
        NumberKind::U8,
        NumberKind::U16,
        NumberKind::U32,
        NumberKind::U64,
        NumberKind::I8,
        NumberKind::I16,
        NumberKind::I32,
        NumberKind::I64,
        NumberKind::F32,
        NumberKind::F64,
    ];
    // As wide on Linux.
    let typecode = typecode.map(|code| match code {
        'l' => 'q',
        'L' => 'Q',
        code => code,
    });
    let kind = all.into_iter().find(|kind| Some(kind.typecode()) == typecode);
    kind.ok_or_else(|| Error::protocol(format!("an array of numbers was expected, not {text:?}")).into())
}

impl Adapter for ArrayAdapter {
    fn create(&self, _: &str, arguments: Parts<'_>) -> Result<Created> {
        let [kind, numbers] = exactly(arguments)?;
        let kind: NumberKind = codec::decode(Codec::Value, &kind).map_err(Error::unserializable::<NumberKind>)?;
        Ok(Created { positional: vec![bytes(&kind.typecode()), numbers], ..Created::default() })
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        let all = || call.python("__getitem__", &[&slice(Slice::default())]);
        match call.method {
            "get" => Ok(slot(unless(call.python("__getitem__", &[call.argument(0)?]), &["IndexError"])?)),
            "set" => set(call),
            "slice" => match slice_at(call, 0)? {
                Ok(places) => call.python("__getitem__", &[&slice(places)]).map(returned),
                Err(answer) => Ok(answer),
            },
            "set_slice" => set_slice(call),
            "fill" => {
                let length: usize = call.python("__len__", &[])?.decode()?;
                let kind = kind(call)?;
                let number = call.argument(0)?;
                let numbers = parts::container(parts::Kind::List, vec![number; length].into_iter());
                done(call.python("__setitem__", &[&slice(Slice::default()), &array(kind, &numbers)?]))
            }
            "len" => call.python("__len__", &[]).map(returned),
            "equals" => equals(&all()?.value, &super::as_list(call.argument(0)?)),
            "compute" => Err(call.missing("fetch_add and the like", ARRAY)),
            _ => other(call, ARRAY),
        }
    }
}

/// Sets the numbers of a slice, each by one: Python's array would grow or shrink.
fn set_slice(call: &Call<'_>) -> Result<Answer, Trouble> {
    let places = match slice_at(call, 0)? {
        Ok(places) => places,
        Err(answer) => return Ok(answer),
    };
    let length: usize = call.python("__len__", &[])?.decode()?;
    let given = call.read::<Vec<serde::de::IgnoredAny>>(1)?.len();
    match places.within(length).map(|places| places.len()) {
        Ok(places) if places != given => return Ok(failed(&SequenceError::SliceLength { given, places })),
        Ok(0) => return Ok(value(&())),
        Ok(_) => {}
        Err(error) => return Ok(failed(&error)),
    }
    let numbers = array(kind(call)?, call.argument(1)?)?;
    done(call.python("__setitem__", &[&slice(places), &numbers]))
}
