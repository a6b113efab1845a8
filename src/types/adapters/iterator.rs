//! What an iterator of Python's gives: a dict's, or what a method returned that is registered to return one.

use super::{other, unless};
use crate::client::python::{Adapter, Call, Created, Trouble, listed, returned, value};
use crate::codec::value::parts::Parts;
use crate::error::{Error, Result};
use crate::object::Answer;

const EXPOSED: &[&str] = &["__next__", "close", "send", "throw"];

pub(super) struct IteratorAdapter;

impl Adapter for IteratorAdapter {
    fn create(&self, constructor: &str, _: Parts<'_>) -> Result<Created> {
        Err(Error::NoConstructor {
            typeid: "Iterator".to_owned(),
            constructor: constructor.to_owned(),
            reason: "iterators come from other objects".to_owned(),
        })
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        match call.method {
            // One at a time: of several nobody could tell that the one behind them has failed.
            "next_batch" => match call.read::<usize>(0)? {
                0 => Ok(value::<[(); 0]>(&[])),
                _ => {
                    let item = unless(call.python("__next__", &[]), &["StopIteration"])?;
                    Ok(returned(listed(item.into_iter().collect())?))
                }
            },
            "close" => match call.python("close", &[]) {
                // A dict's iterator has nothing to be closed.
                Ok(_) => Ok(value(&())),
                Err(trouble) if trouble.is(&["AttributeError"]) => Ok(value(&())),
                Err(trouble) => Err(trouble),
            },
            _ => other(call, EXPOSED),
        }
    }
}
