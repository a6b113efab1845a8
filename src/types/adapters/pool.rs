//! `Pool`, which can't be used by its proxy: Python's runs functions of Python's, and ours names tasks of Rust's.

use super::other;
use crate::client::python::{Adapter, Call, Created, Trouble};
use crate::codec::value::parts::Parts;
use crate::error::{Error, Result};
use crate::object::Answer;

const EXPOSED: &[&str] = &[
    "apply",
    "apply_async",
    "close",
    "imap",
    "imap_unordered",
    "join",
    "map",
    "map_async",
    "starmap",
    "starmap_async",
    "terminate",
];

pub(super) struct PoolAdapter;

impl Adapter for PoolAdapter {
    fn create(&self, constructor: &str, _: Parts<'_>) -> Result<Created> {
        Err(Error::NoConstructor {
            typeid: "Python's Pool".to_owned(),
            constructor: constructor.to_owned(),
            reason: "it runs Python's functions, which a task of Rust's is none of: use a `multiproc::Pool`".to_owned(),
        })
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        other(call, EXPOSED)
    }
}
