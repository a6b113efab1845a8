//! `Value` and `Array`, as a `ValueProxy` and an `ArrayProxy` call them.

use super::super::number::NumberKind;
use super::super::sequence::SequenceError;
use super::{failure, found, index, int, iterate, no_method, none_given, payload, slice, step, type_name};
use crate::codec::pickle::{KIND, write};
use crate::codec::value::display;
use crate::codec::value::parts::{self, Kind, Shape};
use crate::error::Error;
use crate::object::face::{Arguments, Creation, Face, Native, Raw, Step, value};
use crate::object::methods::VALUE;

pub(super) struct ValueFace;

impl Face for ValueFace {
    fn proxytype(&self) -> &'static str {
        "ValueProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        &["get", "set"]
    }

    fn answers(&self) -> &'static [&'static str] {
        &["__str__", "__repr__", VALUE]
    }

    /// As in Python, the typecode and the lock mean nothing.
    fn create(&self, arguments: Arguments) -> Result<Creation, Step> {
        let bound = arguments.bind("Value", &["typecode", "value", "lock"], 2)?;
        Ok(Creation::Constructor("new", payload(&[bound[1].clone().unwrap_or_default()]).into()))
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        match method {
            "get" => {
                step!(none_given("Value.get", &arguments));
                Step::forward::<&[u8]>("get", &[])
            }
            VALUE | "__str__" | "__repr__" => {
                let is_copy = method == VALUE;
                Step::call_then::<&[u8]>("get", &[], move |held| {
                    let typecode = typecode(&held);
                    if !is_copy {
                        return Step::of(&format!("Value({typecode:?}, {})", display(&held)).replace('"', "'"));
                    }
                    let attributes = [&value("_typecode"), &value(typecode), &value("_value"), &held[..]];
                    let attributes = parts::container(Kind::Dict, attributes.into_iter());
                    Step::Instance("multiprocessing.managers", "Value", attributes.into())
                })
            }
            "set" => {
                let [new] = step!(arguments.exactly(method, ["value"]));
                Step::give("set", vec![new])
            }
            other => no_method(other),
        }
    }
}

/// What stands for a value's type where nobody has said so.
fn typecode(held: &[u8]) -> &'static str {
    match parts::shape(held) {
        Ok(Shape::Int(_) | Shape::BigInt) => "q",
        Ok(Shape::Float(_)) => "d",
        _ => "O",
    }
}

pub(super) struct ArrayFace;

/// The typecodes of `array.array`, but for text.
const TYPECODES: &[(&str, NumberKind)] = &[
    ("b", NumberKind::I8),
    ("B", NumberKind::U8),
    ("h", NumberKind::I16),
    ("H", NumberKind::U16),
    ("i", NumberKind::I32),
    ("I", NumberKind::U32),
    ("l", NumberKind::I64),
    ("L", NumberKind::U64),
    ("q", NumberKind::I64),
    ("Q", NumberKind::U64),
    ("f", NumberKind::F32),
    ("d", NumberKind::F64),
];

/// The numbers in the bytes of an `array.array`.
pub(super) fn of_bytes(typecode: &str, raw: &[u8]) -> Option<Vec<Vec<u8>>> {
    macro_rules! numbers {
        ($number:ty) => {{
            let (chunks, _) = raw.as_chunks();
            chunks.iter().map(|chunk| value(&<$number>::from_ne_bytes(*chunk))).collect()
        }};
    }
    let (_, kind) = TYPECODES.iter().find(|(own, _)| *own == typecode)?;
    Some(match kind {
        NumberKind::U8 => numbers!(u8),
        NumberKind::U16 => numbers!(u16),
        NumberKind::U32 => numbers!(u32),
        NumberKind::U64 => numbers!(u64),
        NumberKind::I8 => numbers!(i8),
        NumberKind::I16 => numbers!(i16),
        NumberKind::I32 => numbers!(i32),
        NumberKind::I64 => numbers!(i64),
        NumberKind::F32 => numbers!(f32),
        NumberKind::F64 => numbers!(f64),
    })
}

/// What an array says no to.
fn refused(native: Native, out_of_range: &'static str) -> Step {
    if let Native::Refused(Error::Unserializable { reason, .. } | Error::Arguments { reason, .. }) = native {
        return Step::builtin("TypeError", &reason);
    }
    match failure::<SequenceError>(native) {
        Ok(SequenceError::StepZero) => Step::builtin("ValueError", "slice step cannot be zero"),
        Ok(SequenceError::SliceLength { given, places }) => Step::builtin(
            "ValueError",
            &format!("attempt to assign array of size {given} to extended slice of size {places}"),
        ),
        Ok(_) => Step::builtin("IndexError", out_of_range),
        Err(native) => native.then(|_| Step::none()),
    }
}

/// An `array.array` of these numbers, as the object of Python's that it is.
fn array(typecode: &str, numbers: &[Vec<u8>]) -> Vec<u8> {
    let mut contents = Vec::new();
    write::global(&mut contents, "array", "array");
    write::str(&mut contents, typecode);
    let list = parts::container(Kind::List, numbers.iter());
    // Plain numbers, in which there are no proxies.
    let written = crate::codec::pickle::append_value(&list, &mut contents, &mut |_, _| Ok(()));
    write::end_tuple(&mut contents, 2);
    write::call(&mut contents);
    match written {
        Ok(()) => parts::opaque(&format!("{KIND}array.array"), &contents),
        Err(_) => list,
    }
}

/// Hands numbers on as an array of the type that this one is of.
fn as_array(numbers: Raw) -> Step {
    let kind = parts::packed_kind(&numbers).and_then(|kind| TYPECODES.iter().find(|(_, own)| *own as u8 == kind));
    let elements = step!(iterate(&numbers));
    Step::value(array(kind.map_or("q", |(typecode, _)| typecode), &elements))
}

fn places([start, stop, step]: [Option<i64>; 3]) -> Vec<u8> {
    super::list::places([start, stop, step])
}

impl Face for ArrayFace {
    fn proxytype(&self) -> &'static str {
        "ArrayProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        &["__len__", "__getitem__", "__setitem__"]
    }

    fn answers(&self) -> &'static [&'static str] {
        &["__str__", "__repr__", VALUE]
    }

    fn copies(&self) -> Option<usize> {
        Some(1)
    }

    fn create(&self, arguments: Arguments) -> Result<Creation, Step> {
        let bound = arguments.bind("Array", &["typecode", "sequence", "lock"], 2)?;
        let typecode = bound[0].as_deref().unwrap_or_default();
        let kind = match parts::shape(typecode) {
            Ok(Shape::Str(code)) => TYPECODES.iter().find(|(own, _)| *own == code),
            _ => None,
        };
        let Some((_, kind)) = kind else {
            let text = "bad typecode (must be b, B, h, H, i, I, l, L, q, Q, f or d)";
            return Err(Step::builtin("ValueError", text));
        };
        let numbers = iterate(bound[1].as_deref().unwrap_or_default())?;
        let numbers = parts::container(Kind::List, numbers.iter());
        Ok(Creation::Constructor("new", payload(&[value(kind), numbers]).into()))
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        let full = &format!("array.{method}");
        match method {
            "__len__" => Step::forward::<&[u8]>("len", &[]),
            "__getitem__" => {
                let [place] = step!(arguments.just(full));
                if let Some(slice) = slice(&place) {
                    return Step::call("slice", &[places(step!(slice))], |native| match native {
                        Native::Returned(numbers) => as_array(numbers),
                        other => refused(other, "array index out of range"),
                    });
                }
                let Some(place) = index(&place) else { return Step::type_error("array indices must be integers") };
                Step::call_then("get", &[value(&place)], |result| {
                    found(result, || Step::builtin("IndexError", "array index out of range"))
                })
            }
            "__setitem__" => {
                let [place, new] = step!(arguments.just(full));
                if let Some(slice) = slice(&place) {
                    let numbers = step!(iterate(&new));
                    let numbers = parts::container(Kind::List, numbers.iter());
                    return Step::call("set_slice", &[places(step!(slice)), numbers], |native| {
                        refused(native, "array assignment index out of range")
                    });
                }
                let Some(place) = index(&place) else { return Step::type_error("array indices must be integers") };
                let (is_int, name) = (int(&new).is_some(), type_name(&new));
                Step::call("set", &[&value(&place), &new[..]], move |native| match native {
                    Native::Refused(Error::Unserializable { reason, .. } | Error::Arguments { reason, .. }) => {
                        if is_int {
                            return Step::builtin("OverflowError", &reason);
                        }
                        Step::type_error(&format!("'{name}' object cannot be interpreted as an integer"))
                    }
                    native => refused(native, "array assignment index out of range"),
                })
            }
            "__str__" | "__repr__" => Step::call_then("slice", &[places([None; 3])], |numbers| {
                let kind =
                    parts::packed_kind(&numbers).and_then(|kind| TYPECODES.iter().find(|(_, own)| *own as u8 == kind));
                let typecode = kind.map_or("q", |(typecode, _)| typecode);
                let shown = crate::codec::value::display(&numbers).to_string();
                Step::of(&if shown == "[]" {
                    format!("array('{typecode}')")
                } else {
                    format!("array('{typecode}', {shown})")
                })
            }),
            VALUE => Step::call_then("slice", &[places([None; 3])], as_array),
            other => no_method(other),
        }
    }
}
