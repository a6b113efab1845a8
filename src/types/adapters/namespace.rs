//! `Namespace`.

use super::{bytes, equals, other, unless};
use crate::client::python::{Adapter, Call, Created, Reply, Trouble, exactly, returned, slot, value};
use crate::codec::value::parts::{self, Kind, Parts, Shape};
use crate::error::{Error, Result};
use crate::object::Answer;
use crate::object::methods::VALUE;

const EXPOSED: &[&str] = &["__delattr__", "__getattribute__", "__setattr__"];

const ATTRIBUTE_ERROR: &[&str] = &["AttributeError"];

pub(super) struct NamespaceAdapter;

/// All attributes.
fn attributes(call: &Call<'_>) -> Result<Reply, Trouble> {
    call.python("__getattribute__", &[&bytes("__dict__")])
}

impl Adapter for NamespaceAdapter {
    fn create(&self, _: &str, arguments: Parts<'_>) -> Result<Created> {
        let [attributes] = exactly(arguments)?;
        let wrong = || Error::protocol("attributes are a struct, or a map with names as keys");
        let Ok(Shape::Container(Kind::Dict, entries)) = parts::shape(&attributes) else { return Err(wrong()) };
        let named = |entry: &[std::borrow::Cow<'_, [u8]>]| match (parts::shape(&entry[0]), &entry[1]) {
            (Ok(Shape::Str(name)), value) => Ok((name.to_owned(), value.to_vec())),
            _ => Err(wrong()),
        };
        let keywords = entries.chunks_exact(2).map(named).collect::<Result<_>>()?;
        Ok(Created { keywords, ..Created::default() })
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        match call.method {
            "get" => Ok(slot(unless(call.python("__getattribute__", &[call.argument(0)?]), ATTRIBUTE_ERROR)?)),
            "set" => {
                call.python("__setattr__", &[call.argument(0)?, call.argument(1)?])?;
                // What it was before, nobody asks.
                Ok(slot(None))
            }
            "remove" => Ok(slot(unless(call.python("__delattr__", &[call.argument(0)?]), ATTRIBUTE_ERROR)?)),
            "contains" => {
                let there = unless(call.python("__getattribute__", &[call.argument(0)?]), ATTRIBUTE_ERROR)?;
                Ok(value(&there.is_some()))
            }
            "names" => {
                let reply = attributes(call)?;
                let Ok(Shape::Container(Kind::Dict, entries)) = parts::shape(&reply.value) else {
                    return Err(Error::protocol("a namespace's attributes are no dict").into());
                };
                let names: Vec<_> = entries.iter().step_by(2).collect();
                let value = parts::container(Kind::List, names.into_iter());
                Ok(returned(Reply { value, carried: Vec::new() }))
            }
            VALUE => attributes(call).map(returned),
            "equals" => equals(&attributes(call)?.value, call.argument(0)?),
            _ => other(call, EXPOSED),
        }
    }
}
