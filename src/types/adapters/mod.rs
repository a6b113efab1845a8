//! What the shared types' methods come to where the object is one of Python's: the counterpart of [`python`](super::python), for the other direction.
//!
//! On a call's way an adapter stands between a proxy of this module and the connection to a manager that a Python program started ([`client::python`](crate::client::python)). It knows the proxy's
//! calls, by the names and argument forms of the referent beside it, and Python's.
//!
//! # What can't be had
//! Python's containers do single steps, and nothing in one step with a look at what is there. So `update`, `compare_exchange`, `fetch_add` and a value's `lock` are errors that name what Python's type does
//! have. `insert` and `set` tell the former value by a look before, which another's write may outdate: the write itself is one step. A lock, a permit or an item that was on its way to a
//! process that is killed is lost, as it is among Python's own processes.

mod dict;
mod iterator;
mod list;
mod locks;
mod namespace;
mod numbers;
mod pool;
mod queue;
mod set;
mod waits;

use serde::Serialize;

use crate::client::python::{Adapter, Call, Reply, Trouble, value};
use crate::codec::pickle::{self, write};
use crate::codec::value::parts::{self, Kind, Shape};
use crate::codec::{self, Codec, value as values};
use crate::error::{Error, Result};
use crate::object::Answer;
use crate::object::methods::VALUE;
use crate::types::sequence::Slice;

/// The adapter of a shared type, by its typeid or by its proxy's name.
pub(crate) fn adapter_of(name: &str) -> Option<&'static dyn Adapter> {
    Some(match name {
        "dict" | "DictProxy" => &dict::DictAdapter,
        "list" | "ListProxy" => &list::ListAdapter,
        "Queue" | "QueueProxy" | "JoinableQueue" | "JoinableQueueProxy" | "LifoQueue" | "LifoQueueProxy"
        | "PriorityQueue" | "PriorityQueueProxy" => &queue::QueueAdapter,
        "Lock" | "LockProxy" | "RLock" | "RLockProxy" | "Condition" | "ConditionProxy" => &locks::LockAdapter,
        "Semaphore" | "SemaphoreProxy" | "BoundedSemaphore" | "BoundedSemaphoreProxy" => &locks::SemaphoreAdapter,
        "Event" | "EventProxy" => &waits::EventAdapter,
        "Barrier" | "BarrierProxy" => &waits::BarrierAdapter,
        "Value" | "ValueProxy" => &numbers::ValueAdapter,
        "Array" | "ArrayProxy" => &numbers::ArrayAdapter,
        "Namespace" | "NamespaceProxy" => &namespace::NamespaceAdapter,
        "set" | "SetProxy" => &set::SetAdapter,
        "Pool" | "PoolProxy" => &pool::PoolAdapter,
        "AsyncResult" | "AsyncResultProxy" => &pool::ResultAdapter,
        "PoolResultsProxy" => &pool::ResultsAdapter,
        "Iterator" | "IteratorProxy" => &iterator::IteratorAdapter,
        _ => return None,
    })
}

/// A method that an adapter has no other word for.
fn other(call: &Call<'_>, exposed: &[&str]) -> Result<Answer, Trouble> {
    match call.method {
        VALUE => call.plain(),
        // How `update` begins.
        "fetch" => Err(call.missing("update", exposed)),
        method => Err(call.missing(method, exposed)),
    }
}

/// A result, or nothing where one of these exceptions was raised.
fn unless(result: Result<Reply, Trouble>, classes: &[&str]) -> Result<Option<Reply>, Trouble> {
    match result {
        Ok(reply) => Ok(Some(reply)),
        Err(trouble) if trouble.is(classes) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// Plain data as a value.
fn bytes<T: Serialize + ?Sized>(plain: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Plain data can always be written.
    let _ = codec::encode(Codec::Value, plain, &mut bytes);
    bytes
}

/// The answer of a call whose result nobody needs.
fn done(result: Result<Reply, Trouble>) -> Result<Answer, Trouble> {
    result.map(|_| value(&()))
}

/// An object that a call of a name in a module makes; `arguments` appends that many.
fn object(module: &str, name: &str, count: usize, arguments: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut contents = Vec::new();
    write::global(&mut contents, module, name);
    write::begin_tuple(&mut contents, count);
    arguments(&mut contents);
    write::end_tuple(&mut contents, count);
    write::call(&mut contents);
    parts::opaque(&format!("{}{module}.{name}", pickle::KIND), &contents)
}

/// Python's `slice`.
fn slice(slice: Slice) -> Vec<u8> {
    object("builtins", "slice", 3, |out| {
        for end in slice.ends() {
            match end {
                Some(end) => write::int(out, end),
                None => write::none(out),
            }
        }
    })
}

/// A sequence as a list.
fn as_list(sequence: &[u8]) -> Vec<u8> {
    match parts::shape(sequence) {
        Ok(Shape::Container(Kind::Tuple, elements)) => parts::container(Kind::List, elements.iter()),
        _ => sequence.to_vec(),
    }
}

/// Refuses an operand that is another shared object.
fn is_copy(operand: &[u8]) -> Result<()> {
    match parts::shape(operand) {
        Ok(Shape::Proxy(_)) => {
            let reason = "of a manager of Python's, only copies are compared and combined: give the other one's `to_value`, \
                          `to_vec` or `to_map`";
            Err(Error::Unserializable { type_name: "proxy".to_owned(), reason: reason.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Whether two values are equal, by Python's rules.
fn equals(own: &[u8], other: &[u8]) -> Result<Answer, Trouble> {
    is_copy(other)?;
    let canonical = |bytes: &[u8]| values::canonical(bytes).map_err(|error| Error::protocol(error.to_string()));
    Ok(value(&(canonical(own)? == canonical(other)?)))
}

/// What a server's complaint about a method that it does not expose means to who asked for `method`.
fn unexposed(trouble: Trouble, call: &Call<'_>, method: &str, exposed: &[&str]) -> Trouble {
    match trouble {
        Trouble::Raised(exception) if exception.is_about_exposure() => call.missing(method, exposed),
        other => other,
    }
}
