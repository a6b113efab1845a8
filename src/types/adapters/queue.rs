//! `Queue`, `JoinableQueue`, and what a program registers of the module `queue`.
//!
//! A wait for an item or for room is Python's own, which knows how long it may take: so an item is either taken or it is not. Only where the server does not say how a wait ended, or this process is
//! killed while it waits, an item may be lost on its way, as it may among Python's own processes.

use super::{bytes, done, other, unexposed};
use crate::client::python::{Adapter, Call, Created, Reply, Trouble, exactly, failed, listed, returned, value};
use crate::codec::value::parts::{self, Parts, Shape};
use crate::error::{Error, Result};
use crate::object::Answer;
use crate::types::queue::QueueError;

const EXPOSED: &[&str] = &[
    "empty",
    "full",
    "get",
    "get_nowait",
    "join",
    "put",
    "put_nowait",
    "qsize",
    "shutdown (from Python 3.13 on)",
    "task_done",
];

pub(super) struct QueueAdapter;

/// What a queue says where it says no.
fn refusal(trouble: Trouble) -> Result<QueueError, Trouble> {
    for (class, error) in [
        ("Empty", QueueError::Empty),
        ("Full", QueueError::Full),
        ("ShutDown", QueueError::ShutDown),
        ("ValueError", QueueError::NotTaken),
    ] {
        if trouble.is(&[class]) {
            return Ok(error);
        }
    }
    Err(trouble)
}

fn settled(result: Result<Answer, Trouble>) -> Result<Answer, Trouble> {
    result.or_else(|trouble| refusal(trouble).map(|error| failed(&error)))
}

/// Puts an item; waits for room as long as the call has time.
fn put(call: &Call<'_>, item: &[u8], blocking: bool) -> Result<Reply, Trouble> {
    match (blocking, call.left()) {
        (false, _) => call.python_waiting("put", &[item, &bytes(&false)]),
        (true, None) => call.python("put", &[item]),
        (true, Some(left)) => call.python_waiting("put", &[item, &bytes(&true), &bytes(&left.as_secs_f64())]),
    }
}

/// Takes an item; waits for one as long as the call has time.
fn get(call: &Call<'_>, blocking: bool) -> Result<Reply, Trouble> {
    match (blocking, call.left()) {
        (false, _) => call.python_waiting("get", &[&bytes(&false)]),
        (true, None) => call.python("get", &[]),
        (true, Some(left)) => call.python_waiting("get", &[&bytes(&true), &bytes(&left.as_secs_f64())]),
    }
}

fn elements(call: &Call<'_>) -> Result<Vec<Vec<u8>>> {
    list(call.argument(0)?)
}

fn list(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    match parts::shape(bytes) {
        Ok(Shape::Container(_, elements)) => Ok(elements.into_iter().map(|element| element.into_owned()).collect()),
        _ => Err(Error::protocol("a list of items was expected")),
    }
}

fn put_many(call: &Call<'_>) -> Result<Answer, Trouble> {
    let mut count = 0_usize;
    for item in elements(call)? {
        match put(call, &item, true).map_err(refusal) {
            Ok(_) => count += 1,
            // Who puts the rest learns of it then.
            Err(Ok(_)) if count > 0 => break,
            Err(Ok(error)) => return Ok(failed(&error)),
            Err(Err(trouble)) => return Err(trouble),
        }
    }
    Ok(value(&count))
}

fn get_many(call: &Call<'_>) -> Result<Answer, Trouble> {
    let max: usize = call.read(0)?;
    let mut items = Vec::new();
    while items.len() < max {
        match get(call, items.is_empty()) {
            Ok(item) => items.push(item),
            Err(trouble) if items.is_empty() => return settled(Err(trouble)),
            // What has been taken is not lost by what happens then.
            Err(_) => break,
        }
    }
    Ok(returned(listed(items)?))
}

impl Adapter for QueueAdapter {
    fn create(&self, constructor: &str, arguments: Parts<'_>) -> Result<Created> {
        let [argument] = exactly(arguments)?;
        if constructor == "filled" {
            let then = list(&argument)?.into_iter().map(|item| ("put", item)).collect();
            return Ok(Created { then, ..Created::default() });
        }
        Ok(Created { positional: vec![argument], ..Created::default() })
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        match call.method {
            "put" => settled(done(put(call, call.argument(0)?, true))),
            "try_put" => settled(done(put(call, call.argument(0)?, false))),
            "put_many" => put_many(call),
            "get" => settled(get(call, true).map(returned)),
            "try_get" => settled(get(call, false).map(returned)),
            "get_many" => get_many(call),
            "len" => call.python("qsize", &[]).map(returned),
            "is_full" => call.python("full", &[]).map(returned),
            "task_done" => {
                for _ in 0..call.read::<usize>(0)? {
                    if let Err(trouble) = call.python("task_done", &[]) {
                        return settled(Err(trouble));
                    }
                }
                Ok(value(&()))
            }
            // A wait that is given up goes on in the server, where it costs a thread and nothing else.
            "join" => done(call.python("join", &[])),
            "shutdown" => done(call.python("shutdown", &[call.argument(0)?]))
                .map_err(|trouble| unexposed(trouble, call, "shutdown", EXPOSED)),
            _ => other(call, EXPOSED),
        }
    }
}
