//! `list`, as a `ListProxy` calls it.

use super::super::sequence::SequenceError;
use super::{failure, found, index, iterate, no_method, payload, slice, step, truth, type_name};
use crate::codec::value::parts::{self, Kind, Shape};
use crate::object::face::{Arguments, Face, Native, Step, value};

pub(super) struct ListFace;

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
    "clear",
    "copy",
    "count",
    "extend",
    "index",
    "insert",
    "pop",
    "remove",
    "reverse",
    "sort",
];

fn out_of_range() -> Step {
    Step::builtin("IndexError", "list index out of range")
}

/// The words that Python has for what a list refuses.
fn refused(native: Native, out_of_range: &'static str) -> Step {
    match failure::<SequenceError>(native) {
        Ok(SequenceError::OutOfRange { .. }) => Step::builtin("IndexError", out_of_range),
        Ok(SequenceError::StepZero) => Step::builtin("ValueError", "slice step cannot be zero"),
        Ok(SequenceError::SliceLength { given, places }) => Step::builtin(
            "ValueError",
            &format!("attempt to assign sequence of size {given} to extended slice of size {places}"),
        ),
        Ok(SequenceError::NoOrder) => Step::type_error("'<' not supported between instances of these elements"),
        Ok(SequenceError::TooLong { .. }) => {
            Step::Raise(crate::object::face::Exception::of("builtins", "MemoryError", Vec::new()))
        }
        Err(native) => native.then(Step::Value),
    }
}

/// A slice as the list takes it.
pub(super) fn places([start, stop, step]: [Option<i64>; 3]) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Places {
        start: Option<i64>,
        stop: Option<i64>,
        step: Option<i64>,
    }
    value(&Places { start, stop, step })
}

fn list(elements: &[Vec<u8>]) -> Vec<u8> {
    parts::container(Kind::List, elements.iter())
}

fn no_index(given: &[u8]) -> Step {
    Step::type_error(&format!("list indices must be integers or slices, not {}", type_name(given)))
}

/// How often something is to be repeated.
fn times(method: &str, arguments: Arguments) -> Result<u64, Step> {
    let [times] = arguments.exactly(method, ["value"])?;
    let Some(times) = index(&times) else {
        return Err(Step::type_error(&format!("can't multiply sequence by non-int of type '{}'", type_name(&times))));
    };
    Ok(u64::try_from(times).unwrap_or(0))
}

impl Face for ListFace {
    fn proxytype(&self) -> &'static str {
        "ListProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        EXPOSED
    }

    fn create(&self, arguments: Arguments) -> Result<(&'static str, Vec<u8>), Step> {
        let bound = arguments.bind("list", &["iterable"], 0)?;
        let elements = bound[0].as_deref().map_or(Ok(Vec::new()), iterate)?;
        Ok(("new", payload(&[list(&elements)])))
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        match method {
            "__getitem__" => {
                let [place] = step!(arguments.exactly(method, ["index"]));
                if let Some(slice) = slice(&place) {
                    return Step::call("slice", &[places(step!(slice))], |native| {
                        refused(native, "list index out of range")
                    });
                }
                let Some(place) = index(&place) else { return no_index(&place) };
                Step::call_then("get", &[value(&place)], |result| found(result, out_of_range))
            }
            "__setitem__" => {
                let [place, new] = step!(arguments.exactly(method, ["index", "value"]));
                let done = |native| match refused(native, "list assignment index out of range") {
                    Step::Value(_) => Step::none(),
                    other => other,
                };
                if let Some(slice) = slice(&place) {
                    let elements = iterate(&new).map_err(|_| Step::type_error("can only assign an iterable"));
                    return Step::call("set_slice", &[places(step!(slice)), list(&step!(elements))], done);
                }
                let Some(place) = index(&place) else { return no_index(&place) };
                Step::call("set", &[value(&place), new], done)
            }
            "__delitem__" => {
                let [place] = step!(arguments.exactly(method, ["index"]));
                if let Some(slice) = slice(&place) {
                    let done = |native| match refused(native, "list assignment index out of range") {
                        Step::Value(_) => Step::none(),
                        other => other,
                    };
                    return Step::call("delete_slice", &[places(step!(slice))], done);
                }
                let Some(place) = index(&place) else { return no_index(&place) };
                Step::call_then("pop", &[value(&place)], |result| {
                    match found(result, || Step::builtin("IndexError", "list assignment index out of range")) {
                        Step::Value(_) => Step::none(),
                        other => other,
                    }
                })
            }
            "__len__" => Step::forward::<&[u8]>("len", &[]),
            "__contains__" => {
                let [wanted] = step!(arguments.exactly(method, ["value"]));
                Step::call_then("count", &[wanted], |count| Step::of(&index(&count).is_some_and(|count| count > 0)))
            }
            "append" => {
                let [new] = step!(arguments.exactly(method, ["object"]));
                Step::give("push", vec![new])
            }
            "extend" => {
                let [given] = step!(arguments.exactly(method, ["iterable"]));
                if let Ok(Shape::Proxy(_)) = parts::shape(&given) {
                    return Step::run("extend_from", &[given]);
                }
                Step::call("extend", &[list(&step!(iterate(&given)))], |native| {
                    refused(native, "list index out of range")
                })
            }
            "insert" => {
                let [place, new] = step!(arguments.exactly(method, ["index", "object"]));
                let Some(place) = index(&place) else {
                    return Step::type_error(&format!(
                        "'{}' object cannot be interpreted as an integer",
                        type_name(&place)
                    ));
                };
                Step::run("insert", &[value(&place), new])
            }
            "pop" => {
                let bound = step!(arguments.bind(method, &["index"], 0));
                let place = match bound[0].as_deref().map(|place| (index(place), place)) {
                    None => -1,
                    Some((Some(place), _)) => place,
                    Some((None, given)) => {
                        return Step::type_error(&format!(
                            "'{}' object cannot be interpreted as an integer",
                            type_name(given)
                        ));
                    }
                };
                Step::call_then("pop", &[value(&place)], |result| {
                    found(result, || {
                        Step::call_then::<&[u8]>("len", &[], |length| {
                            let empty = index(&length) == Some(0);
                            Step::builtin(
                                "IndexError",
                                if empty { "pop from empty list" } else { "pop index out of range" },
                            )
                        })
                    })
                })
            }
            "remove" => {
                let [wanted] = step!(arguments.exactly(method, ["value"]));
                Step::call_then("remove_value", &[wanted], |removed| match truth(&removed) {
                    true => Step::none(),
                    false => Step::builtin("ValueError", "list.remove(x): x not in list"),
                })
            }
            "index" => {
                let bound = step!(arguments.bind(method, &["value", "start", "stop"], 1));
                let wanted = bound[0].clone().unwrap_or_default();
                let ends = [bound[1].as_deref().and_then(index), bound[2].as_deref().and_then(index), None];
                let shown = crate::codec::value::display(&wanted).to_string();
                Step::call_then("index_of", &[wanted, places(ends)], move |result| match parts::shape(&result) {
                    Ok(Shape::None) => Step::builtin("ValueError", &format!("{shown} is not in list")),
                    _ => Step::Value(result),
                })
            }
            "count" => {
                let [wanted] = step!(arguments.exactly(method, ["value"]));
                Step::forward("count", &[wanted])
            }
            "reverse" => Step::run::<&[u8]>("reverse", &[]),
            "clear" => Step::run::<&[u8]>("clear", &[]),
            "copy" => Step::forward("slice", &[places([None; 3])]),
            "__reversed__" => Step::call_then("slice", &[places([None, None, Some(-1)])], |elements| {
                super::iterator::over(step!(iterate(&elements)))
            }),
            "sort" => {
                let Arguments { positional, mut keywords } = arguments;
                if !positional.is_empty() {
                    return Step::type_error("sort() takes no positional arguments");
                }
                keywords.retain(|(name, given)| name != "key" || !matches!(parts::shape(given), Ok(Shape::None)));
                match &keywords[..] {
                    [] => Step::call("sort", &[value(&false)], |native| refused(native, "")),
                    [(name, reverse)] if name == "reverse" => {
                        Step::call("sort", &[value(&truth(reverse))], |native| refused(native, ""))
                    }
                    _ => Step::type_error("a server that is not Python's can't call a key function: sort a copy"),
                }
            }
            "__add__" => {
                let [other] = step!(arguments.exactly(method, ["value"]));
                match parts::shape(&other) {
                    Ok(Shape::Container(Kind::List, _) | Shape::Proxy(_)) => Step::forward("concatenate", &[other]),
                    _ => {
                        Step::type_error(&format!("can only concatenate list (not \"{}\") to list", type_name(&other)))
                    }
                }
            }
            "__mul__" | "__rmul__" => {
                let times = step!(times(method, arguments));
                Step::call_then("slice", &[places([None; 3])], move |elements| {
                    let elements = step!(iterate(&elements));
                    let size: usize = elements.iter().map(Vec::len).sum();
                    if u64::try_from(size).unwrap_or(u64::MAX).saturating_mul(times) > MAX_REPEATED {
                        return Step::Raise(crate::object::face::Exception::of("builtins", "MemoryError", Vec::new()));
                    }
                    let repeated: Vec<_> = (0..times).flat_map(|_| elements.iter()).collect();
                    Step::Value(parts::container(Kind::List, repeated.into_iter()))
                })
            }
            "__imul__" => {
                let times = step!(times(method, arguments));
                Step::call("repeat", &[value(&times)], |native| refused(native, ""))
            }
            other => no_method(other),
        }
    }
}

/// How many bytes the result of a multiplication may have: what fits a message.
const MAX_REPEATED: u64 = 1 << 30;
