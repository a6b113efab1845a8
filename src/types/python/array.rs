//! `Array`, as an `ArrayProxy` calls it: like an `array.array`, but for its length, which stays.

use super::super::number::NumberKind;
use super::super::sequence::SequenceError;
use super::{UNFIT, failure, fits, found, index, int, iterate, no_method, payload, slice, step, type_name};
use crate::codec::pickle::{Graph, KIND, opcode, write};
use crate::codec::value::display;
use crate::codec::value::parts::{self, Kind, Shape};
use crate::error::Error;
use crate::object::face::{Arguments, Creation, Face, Native, Raw, Step, value};
use crate::object::methods::VALUE;

pub(super) struct ArrayFace;

/// A typecode of `array.array`, its numbers, what their type is called in refusals, and how those begin.
struct Typecode {
    code: &'static str,
    kind: NumberKind,
    least: i128,
    greatest: i128,
    name: &'static str,
}

macro_rules! typecodes {
    ($($code:literal $kind:ident $number:ident $name:literal),* $(,)?) => {
        &[$(Typecode {
            code: $code,
            kind: NumberKind::$kind,
            least: $number::MIN as i128,
            greatest: $number::MAX as i128,
            name: $name,
        }),*]
    };
}

/// All typecodes but those of text.
const TYPECODES: &[Typecode] = typecodes![
    "b" I8 i8 "signed char",
    "B" U8 u8 "unsigned byte integer",
    "h" I16 i16 "signed short integer",
    "H" U16 u16 "unsigned short",
    "i" I32 i32 "signed integer",
    "I" U32 u32 "unsigned int",
    "l" I64 i64 "",
    "L" U64 u64 "",
    "q" I64 i64 "",
    "Q" U64 u64 "",
    "f" F32 i8 "",
    "d" F64 i8 "",
];

fn find(code: &str) -> Option<&'static Typecode> {
    TYPECODES.iter().find(|own| own.code == code)
}

impl Typecode {
    fn is_float(&self) -> bool {
        matches!(self.kind, NumberKind::F32 | NumberKind::F64)
    }

    /// Why a value is none for such an array, in the words of CPython.
    fn refuse(&self, given: &[u8]) -> Option<Step> {
        let number = int(given);
        if self.is_float() {
            let is_real = number.is_some() || matches!(parts::shape(given), Ok(Shape::Float(_)));
            return (!is_real).then(|| Step::type_error(&format!("must be real number, not {}", type_name(given))));
        }
        let Some(number) = number else {
            let text = format!("'{}' object cannot be interpreted as an integer", type_name(given));
            return Some(Step::type_error(&text));
        };
        if (self.least..=self.greatest).contains(&number) {
            return None;
        }
        let below = number < self.least;
        // What the C functions that CPython uses say, each in its own words.
        let text = match self.code {
            "I" | "L" if number < 0 => "can't convert negative value to unsigned int".to_owned(),
            "L" => "Python int too large to convert to C unsigned long".to_owned(),
            "Q" if number < 0 => "can't convert negative int to unsigned".to_owned(),
            "q" | "Q" => "int too big to convert".to_owned(),
            "l" => "Python int too large to convert to C long".to_owned(),
            "I" if i64::try_from(number).is_err() => "Python int too large to convert to C unsigned long".to_owned(),
            _ if i64::try_from(number).is_err() => "Python int too large to convert to C long".to_owned(),
            "b" | "B" if i16::try_from(number).is_err() && self.code == "b" => {
                format!("signed short integer is {}", if below { "less than minimum" } else { "greater than maximum" })
            }
            "H" if i32::try_from(number).is_err() => {
                format!("signed integer is {}", if below { "less than minimum" } else { "greater than maximum" })
            }
            _ => format!("{} is {}", self.name, if below { "less than minimum" } else { "greater than maximum" }),
        };
        Some(Step::builtin("OverflowError", &text))
    }

    /// A number as it stands in such an array.
    fn number(&self, given: &[u8]) -> Vec<u8> {
        let float = match parts::shape(given) {
            Ok(Shape::Float(float)) => float,
            _ => int(given).unwrap_or_default() as f64,
        };
        match self.kind {
            NumberKind::F32 => value(&(float as f32)),
            NumberKind::F64 => value(&float),
            _ => value(&int(given).unwrap_or_default()),
        }
    }
}

/// The numbers in the bytes of an `array.array`.
pub(super) fn of_bytes(typecode: &str, raw: &[u8]) -> Option<Vec<Vec<u8>>> {
    macro_rules! numbers {
        ($number:ty) => {{
            let (chunks, _) = raw.as_chunks();
            chunks.iter().map(|chunk| value(&<$number>::from_ne_bytes(*chunk))).collect()
        }};
    }
    Some(match find(typecode)?.kind {
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

/// The typecode of an `array.array` of Python's own.
fn typecode_of(given: &[u8]) -> Option<String> {
    let Ok(Shape::Opaque("pickle:array.array", contents)) = parts::shape(given) else { return None };
    let pickle = [contents, &[opcode::STOP]].concat();
    let graph = Graph::read(&pickle).ok()?;
    let (_, name, arguments) = graph.call(graph.root())?;
    // By `_array_reconstructor` it is the second, behind the class.
    let place = usize::from(name == "_array_reconstructor");
    Some(graph.text(*arguments.get(place)?)?.to_owned())
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

/// Goes on with the array's typecode.
fn with_typecode(then: impl FnOnce(&'static Typecode) -> Step + Send + 'static) -> Step {
    Step::call_then::<&[u8]>("typecode", &[], |code| match parts::shape(&code) {
        Ok(Shape::Str(code)) => match find(code) {
            Some(typecode) => then(typecode),
            None => Step::Error(Error::protocol(format!("an array of {code}"))),
        },
        _ => Step::Error(Error::protocol("an array without a typecode")),
    })
}

/// Some of the numbers, as an array of the same type.
fn picked(slice: [Option<i64>; 3]) -> Step {
    with_typecode(move |typecode| {
        Step::call("slice", &[super::list::places(slice)], |native| match native {
            Native::Returned(numbers) => Step::value(array(typecode.code, &step!(iterate(&numbers)))),
            other => refused(other, "array index out of range"),
        })
    })
}

fn set_slice(slice: [Option<i64>; 3], new: Raw) -> Step {
    if slice[2] == Some(0) {
        return Step::builtin("ValueError", "slice step cannot be zero");
    }
    let Some(code) = typecode_of(&new) else {
        return Step::type_error(&format!("can only assign array (not \"{}\") to array slice", type_name(&new)));
    };
    with_typecode(move |typecode| {
        if code != typecode.code {
            return Step::type_error("bad argument type for built-in operation");
        }
        let numbers = parts::container(Kind::List, step!(iterate(&new)).iter());
        Step::call("set_slice", &[super::list::places(slice), numbers], |native| {
            refused(native, "array assignment index out of range")
        })
    })
}

fn set(place: &[u8], new: Raw) -> Step {
    let out_of_range = "array assignment index out of range";
    let Some(place) = index(place) else { return Step::type_error("array indices must be integers") };
    // Where there is no such place, the number does not matter.
    Step::call_then("get", &[value(&place)], move |there| {
        if let Ok(None) = parts::unslot(&there) {
            return Step::builtin("IndexError", out_of_range);
        }
        with_typecode(move |typecode| match typecode.refuse(&new) {
            Some(refused) => refused,
            None => {
                let new = typecode.number(&new);
                Step::call("set", &[value(&place), new], move |native| refused(native, out_of_range))
            }
        })
    })
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
        let (code, sequence) = (bound[0].as_deref().unwrap_or_default(), bound[1].as_deref().unwrap_or_default());
        let Ok(Shape::Str(code)) = parts::shape(code).map(|shape| match shape {
            Shape::Str(text) if text.chars().count() != 1 => Shape::None,
            other => other,
        }) else {
            let text = format!("array() argument 1 must be a unicode character, not {}", type_name(code));
            return Err(Step::type_error(&text));
        };
        let Some(typecode) = find(code) else {
            let text = "bad typecode (must be b, B, h, H, i, I, l, L, q, Q, f or d)";
            return Err(Step::builtin("ValueError", text));
        };
        if let Ok(Shape::Str(_)) = parts::shape(sequence) {
            let text = format!("cannot use a str to initialize an array with typecode '{code}'");
            return Err(Step::type_error(&text));
        }
        let numbers = match parts::shape(sequence) {
            // Numbers in this machine's order.
            Ok(Shape::Bytes(raw)) => of_bytes(code, raw).unwrap_or_default(),
            _ => iterate(sequence)?,
        };
        if let Some(refused) = numbers.iter().find_map(|number| typecode.refuse(number)) {
            return Err(refused);
        }
        let numbers: Vec<_> = numbers.iter().map(|number| typecode.number(number)).collect();
        let numbers = parts::container(Kind::List, numbers.iter());
        Ok(Creation::Constructor("typed", payload(&[value(code), value(&typecode.kind), numbers]).into()))
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        let full = &format!("array.{method}");
        match method {
            "__len__" => {
                let [] = step!(arguments.just(full));
                Step::forward::<&[u8]>("len", &[])
            }
            "__getitem__" => {
                let [place] = step!(arguments.just(full));
                if let Some(slice) = slice(&place) {
                    return picked(step!(slice));
                }
                step!(fits(&place, "IndexError", UNFIT));
                let Some(place) = index(&place) else { return Step::type_error("array indices must be integers") };
                Step::call_then("get", &[value(&place)], |result| {
                    found(result, || Step::builtin("IndexError", "array index out of range"))
                })
            }
            "__setitem__" => {
                let [place, new] = step!(arguments.just(full));
                if let Some(slice) = slice(&place) {
                    return set_slice(step!(slice), new);
                }
                step!(fits(&place, "IndexError", UNFIT));
                set(&place, new)
            }
            "__str__" | "__repr__" => with_typecode(|typecode| {
                Step::call_then("slice", &[super::list::places([None; 3])], |numbers| {
                    let shown = display(&numbers).to_string();
                    Step::of(&match (typecode.code, &shown[..]) {
                        (code, "[]") => format!("array('{code}')"),
                        (code, shown) => format!("array('{code}', {shown})"),
                    })
                })
            }),
            VALUE => picked([None; 3]),
            other => no_method(other),
        }
    }
}
