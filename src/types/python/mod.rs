//! What the shared types look like from Python: its names, its argument forms, its exceptions, word for word.
//!
//! Each face translates into the same native methods that Rust's proxies call, so that there is one object and one set of rules for all its users. What only Python's rules need (a lock that anybody may
//! release) is a native method like any other.

mod array;
mod dict;
mod iterator;
mod list;
mod locks;
mod namespace;
mod pool;
mod queue;
mod scalars;
mod set;
mod value;

use std::any::TypeId;
use std::time::Duration;

use crate::codec::value::parts::{self, Kind, Shape};
use crate::codec::{Codec, decode};
use crate::error::Error;
use crate::object::face::{Arguments, Exception, Face, Native, Raw, Step, value};

/// All faces, by the types that have them.
pub(crate) fn faces() -> Vec<(TypeId, &'static dyn Face)> {
    vec![
        (TypeId::of::<super::Dict>(), &dict::DictFace),
        (TypeId::of::<super::List>(), &list::ListFace),
        (TypeId::of::<super::Queue>(), &queue::QueueFace),
        (TypeId::of::<super::JoinableQueue>(), &queue::QueueFace),
        (TypeId::of::<super::LifoQueue>(), &queue::QueueFace),
        (TypeId::of::<super::Lock>(), &locks::LockFace { reentrant: false }),
        (TypeId::of::<super::RLock>(), &locks::LockFace { reentrant: true }),
        (TypeId::of::<super::Condition>(), &locks::ConditionFace),
        (TypeId::of::<super::Semaphore>(), &locks::SemaphoreFace { bounded: false }),
        (TypeId::of::<super::BoundedSemaphore>(), &locks::SemaphoreFace { bounded: true }),
        (TypeId::of::<super::Event>(), &scalars::EventFace),
        (TypeId::of::<super::Barrier>(), &scalars::BarrierFace),
        (TypeId::of::<super::SharedValue>(), &value::ValueFace),
        (TypeId::of::<super::Array>(), &array::ArrayFace),
        (TypeId::of::<super::Namespace>(), &namespace::NamespaceFace),
        (TypeId::of::<super::Set>(), &set::SetFace),
        (TypeId::of::<super::SharedPool>(), &pool::PoolFace),
        (TypeId::of::<super::SharedResult>(), &pool::ResultFace),
        (TypeId::of::<super::PoolResults>(), &pool::ResultsFace),
        (TypeId::of::<iterator::Iterator>(), &iterator::IteratorFace),
    ]
}

/// What is not exposed, which the session looks at before it asks a face.
fn no_method(name: &str) -> Step {
    Step::builtin("AttributeError", &format!("there is no method {name:?}"))
}

/// An int, or a bool as one.
fn int(bytes: &[u8]) -> Option<i128> {
    match parts::shape(bytes).ok()? {
        Shape::Int(value) => Some(value),
        Shape::Bool(value) => Some(value.into()),
        // Far outside of everything.
        Shape::BigInt => Some(i128::MAX),
        _ => None,
    }
}

/// An int of 64 bits; what does not fit is at the nearer end.
fn index(bytes: &[u8]) -> Option<i64> {
    Some(int(bytes)?.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

/// What CPython says where an index has no place in memory.
const UNFIT: &str = "cannot fit 'int' into an index-sized integer";

/// Refuses an int of more than 64 bits.
fn fits(bytes: &[u8], class: &'static str, refusal: &str) -> Result<(), Step> {
    match int(bytes) {
        Some(value) if i64::try_from(value).is_err() => Err(Step::builtin(class, refusal)),
        _ => Ok(()),
    }
}

/// Whether Python takes a value for true.
fn truth(bytes: &[u8]) -> bool {
    match parts::shape(bytes) {
        Ok(Shape::None) => false,
        Ok(Shape::Bool(value)) => value,
        Ok(Shape::Int(value)) => value != 0,
        Ok(Shape::Float(value)) => value != 0.0,
        Ok(Shape::Str(text)) => !text.is_empty(),
        Ok(Shape::Bytes(bytes)) => !bytes.is_empty(),
        Ok(Shape::Container(_, parts)) => !parts.is_empty(),
        _ => true,
    }
}

/// What Python calls a value's type.
fn type_name(bytes: &[u8]) -> String {
    parts::shape(bytes).map_or_else(|_| "object".to_owned(), |shape| shape.type_name().to_owned())
}

/// A number of seconds; `None` where there is no limit. Where it is something else, the words of a function that compares it with 0 by this operator; of one that is written in C where there is none.
fn seconds(argument: Option<&[u8]>, operator: Option<&str>) -> Result<Option<f64>, Step> {
    let Some(bytes) = argument else { return Ok(None) };
    match parts::shape(bytes) {
        Ok(Shape::None) => Ok(None),
        Ok(Shape::Float(value)) => Ok(Some(value)),
        _ => match int(bytes) {
            Some(value) => Ok(Some(value as f64)),
            None => Err(Step::type_error(&match operator {
                Some(operator) => {
                    format!("'{operator}' not supported between instances of '{}' and 'int'", type_name(bytes))
                }
                None => format!("'{}' object cannot be interpreted as an integer", type_name(bytes)),
            })),
        },
    }
}

/// A time to wait. What is longer than a century is no limit to speak of.
fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, 3e9)).unwrap_or_default()
}

/// What an argument iterates over, as Python does it.
fn iterate(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Step> {
    match parts::shape(bytes) {
        Ok(Shape::Container(Kind::Dict, entries)) => {
            Ok(entries.into_iter().step_by(2).map(|key| key.into_owned()).collect())
        }
        Ok(Shape::Container(_, elements)) => Ok(elements.into_iter().map(|element| element.into_owned()).collect()),
        Ok(Shape::Str(text)) => Ok(text.chars().map(|letter| value(&letter)).collect()),
        Ok(Shape::Bytes(bytes)) => Ok(bytes.iter().map(value).collect()),
        Ok(Shape::Opaque(kind, contents)) => opaque_elements(kind, contents)
            .ok_or_else(|| Step::type_error(&format!("'{}' object is not iterable", type_name(bytes)))),
        _ => Err(Step::type_error(&format!("'{}' object is not iterable", type_name(bytes)))),
    }
}

/// Goes on with an argument that is to be iterated over; with what it holds, where it is another shared object.
fn contents(given: Raw, then: impl FnOnce(Raw) -> Step + Send + 'static) -> Step {
    let Ok(Shape::Proxy(index)) = parts::shape(&given) else { return then(given) };
    let read = |native| match native {
        Native::Refused(Error::NoSuchMethod { .. } | Error::NotExposed { .. }) => {
            Step::type_error("'AutoProxy' object is not iterable")
        }
        native => native.then(then),
    };
    Step::Read(index, Box::new(read))
}

/// The elements of an object that only Python knows, where it is one of these.
fn opaque_elements(kind: &str, contents: &[u8]) -> Option<Vec<Vec<u8>>> {
    use crate::codec::pickle::{Graph, Translation, opcode};
    let pickle = [contents, &[opcode::STOP]].concat();
    let graph = Graph::read(&pickle).ok()?;
    match kind {
        "pickle:builtins.range" => {
            let ("builtins", "range", [start, stop, step]) = graph.call(graph.root())? else { return None };
            let int = |id| match graph.get(id) {
                crate::codec::pickle::Node::Int(value) => Some(*value),
                _ => None,
            };
            let (start, stop, step) = (int(*start)?, int(*stop)?, int(*step)?);
            let mut elements = Vec::new();
            let mut next = start;
            while if step > 0 { next < stop } else { next > stop } {
                elements.push(value(&next));
                next = next.checked_add(step)?;
                if elements.len() > MAX_RANGE {
                    return None;
                }
            }
            Some(elements)
        }
        "pickle:array.array" => {
            // A manager's clients send the typecode and the numbers as bytes of this machine's order; protocols before that, a list.
            let (_, _, arguments) = graph.call(graph.root())?;
            let typecode = graph.text(*arguments.first()?)?;
            let mut none = |_: &crate::codec::pickle::ProxyName<'_>| None;
            let mut bytes = Vec::new();
            Translation::new(&graph, &mut none).append(*arguments.get(1)?, &mut bytes).ok()?;
            match parts::shape(&bytes) {
                Ok(Shape::Container(Kind::List, _)) => iterate(&bytes).ok(),
                Ok(Shape::Bytes(raw)) => array::of_bytes(typecode, raw),
                _ => None,
            }
        }
        "pickle:collections.deque" | "pickle:bytearray" => {
            use crate::codec::pickle::{Effect, Node};
            match graph.get(graph.root()) {
                Node::ByteArray(bytes) => Some(bytes.iter().map(value).collect()),
                Node::Object(object) => {
                    let mut none = |_: &crate::codec::pickle::ProxyName<'_>| None;
                    let mut translation = Translation::new(&graph, &mut none);
                    let elements = object.effects.iter().map(|effect| match effect {
                        Effect::Append(id) => {
                            let mut bytes = Vec::new();
                            translation.append(*id, &mut bytes).ok().map(|()| bytes)
                        }
                        _ => None,
                    });
                    elements.collect()
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// The longest range that is turned into elements.
const MAX_RANGE: usize = 10_000_000;

/// Start, stop and step of a slice; `None` for what is no slice.
fn slice(bytes: &[u8]) -> Option<Result<[Option<i64>; 3], Step>> {
    use crate::codec::pickle::{Graph, Node, opcode};
    let Ok(Shape::Opaque("pickle:builtins.slice", contents)) = parts::shape(bytes) else { return None };
    let pickle = [contents, &[opcode::STOP]].concat();
    let graph = Graph::read(&pickle).ok()?;
    let ("builtins", "slice", ends) = graph.call(graph.root())? else { return None };
    let mut slice = [None; 3];
    for (end, id) in slice.iter_mut().zip(ends) {
        *end = match graph.get(*id) {
            Node::None => None,
            Node::Int(value) => Some(*value),
            Node::Bool(value) => Some((*value).into()),
            Node::BigInt(bytes) => {
                Some(if bytes.last().is_some_and(|last| *last >= 0x80) { i64::MIN } else { i64::MAX })
            }
            _ => {
                let text = "slice indices must be integers or None or have an __index__ method";
                return Some(Err(Step::type_error(text)));
            }
        };
    }
    Some(Ok(slice))
}

/// The value of a result that may be missing, or what becomes of its being so.
fn found(result: Raw, missing: impl FnOnce() -> Step) -> Step {
    let front = result.front();
    if parts::begins_slot(front) {
        return Step::Value(result.skip(1));
    }
    let before = match parts::unslot(front) {
        Ok(Some(value)) => front.len() - value.len(),
        Ok(None) => return missing(),
        Err(error) => return Step::Error(Error::protocol(error.to_string())),
    };
    // In place: fresh memory costs a large value more than anything else.
    Step::Value(result.skip(before))
}

/// The method's own error, if it has ended so; else the answer again.
fn failure<E: serde::de::DeserializeOwned>(native: Native) -> Result<E, Native> {
    match native {
        Native::Failed(error) => decode(Codec::Value, &error).map_err(|_| Native::Failed(error)),
        other => Err(other),
    }
}

/// `KeyError` of a key.
fn key_error(key: impl Into<Vec<u8>>) -> Step {
    Step::Raise(Exception::of("builtins", "KeyError", vec![key.into()]))
}

/// Refuses keys that Python does not hash.
fn hashable(key: &[u8]) -> Result<(), Step> {
    match parts::shape(key) {
        Ok(Shape::Container(kind @ (Kind::List | Kind::Dict | Kind::Set), _)) => {
            let name = match kind {
                Kind::List => "list",
                Kind::Dict => "dict",
                _ => "set",
            };
            Err(Step::type_error(&format!("unhashable type: '{name}'")))
        }
        Ok(Shape::Container(Kind::Tuple, elements)) => elements.iter().try_for_each(|element| hashable(element)),
        Ok(Shape::Opaque(kind @ ("pickle:bytearray" | "pickle:builtins.slice" | "pickle:collections.deque"), _)) => {
            let name = kind.rsplit(['.', ':']).next().unwrap_or(kind);
            Err(Step::type_error(&format!("unhashable type: '{name}'")))
        }
        _ => Ok(()),
    }
}

/// Refuses arguments of a method that takes none.
fn none_given(what: &str, arguments: &Arguments) -> Result<(), Step> {
    match arguments.positional.len() {
        0 if arguments.keywords.is_empty() => Ok(()),
        0 => {
            Err(Step::type_error(&format!("{what}() got an unexpected keyword argument '{}'", arguments.keywords[0].0)))
        }
        given => Err(Step::type_error(&format!("{what}() takes 1 positional argument but {} were given", given + 1))),
    }
}

/// Unwraps a step that came instead of a value.
macro_rules! step {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(step) => return step,
        }
    };
}
use step;

/// Arguments of a constructor that takes none of importance.
fn payload<B: AsRef<[u8]>>(arguments: &[B]) -> Vec<u8> {
    parts::positional(arguments.iter().map(AsRef::as_ref))
}
