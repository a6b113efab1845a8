//! `list`, as a `ListProxy` calls it.

use super::super::sequence::SequenceError;
use super::{
    UNFIT, contents, failure, fits, found, index, int, iterate, no_method, payload, slice, step, truth, type_name,
};
use crate::codec::value::parts::{self, Kind, Shape};
use crate::object::face::{Arguments, Creation, Face, Native, Step, value};

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

const TOO_LARGE: &str = "Python int too large to convert to C ssize_t";

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

/// Sorts; where that can't be done, says which two elements have no order, as Python's sort would have met them.
fn sort(descending: bool) -> Step {
    Step::call("sort", &[value(&descending)], move |native| match failure::<SequenceError>(native) {
        Ok(SequenceError::NoOrder) => Step::call_then("slice", &[places([None; 3])], move |elements| {
            let mut elements = step!(iterate(&elements));
            if descending {
                elements.reverse();
            }
            let (left, right) = first_unordered(&elements).unwrap_or_default();
            Step::type_error(&format!("'<' not supported between instances of '{left}' and '{right}'"))
        }),
        Ok(_) => Step::none(),
        Err(native) => native.then(Step::Value),
    })
}

/// The types of the first two elements without an order that Python's sort compares: a run from the beginning, then each further element into what is sorted, by halves.
fn first_unordered(elements: &[Vec<u8>]) -> Option<(String, String)> {
    let less = |a: &[u8], b: &[u8]| {
        let mut comparable = true;
        match crate::codec::value::compare(a, b, &mut comparable) {
            Ok(order) if comparable => Ok(order.is_lt()),
            _ => Err(unordered(a, b)),
        }
    };
    let find = || {
        let mut sorted: Vec<&[u8]> = elements.iter().map(|element| &element[..]).collect();
        let mut run = 1;
        let falls = match &sorted[..] {
            [first, second, ..] => less(second, first)?,
            _ => return Ok(()),
        };
        while run < sorted.len() && less(sorted[run], sorted[run - 1])? == falls {
            run += 1;
        }
        if falls {
            sorted[..run].reverse();
        }
        for next in run..sorted.len() {
            let pivot = sorted[next];
            let (mut low, mut high) = (0, next);
            while low < high {
                let middle = low + (high - low) / 2;
                if less(pivot, sorted[middle])? { high = middle } else { low = middle + 1 }
            }
            sorted[low..=next].rotate_right(1);
        }
        Ok(())
    };
    find().err()
}

/// The types of the first things in two values that have no order.
fn unordered(a: &[u8], b: &[u8]) -> (String, String) {
    if let (Ok(Shape::Container(left @ (Kind::List | Kind::Tuple), these)), Ok(Shape::Container(right, those))) =
        (parts::shape(a), parts::shape(b))
        && left == right
        && let Some((a, b)) = these.iter().zip(&those).find(|(a, b)| a != b)
    {
        return unordered(a, b);
    }
    (type_name(a), type_name(b))
}

/// How often something is to be repeated.
fn times(method: &str, arguments: Arguments) -> Result<u64, Step> {
    let [given] = arguments.just(method)?;
    let Some(times) = index(&given) else {
        return Err(Step::type_error(&format!("'{}' object cannot be interpreted as an integer", type_name(&given))));
    };
    fits(&given, "OverflowError", UNFIT)?;
    Ok(u64::try_from(times).unwrap_or(0))
}

impl Face for ListFace {
    fn proxytype(&self) -> &'static str {
        "ListProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        EXPOSED
    }

    fn create(&self, arguments: Arguments) -> Result<Creation, Step> {
        let bound = arguments.unnamed(".list", 0, 1)?;
        let elements = bound[0].as_deref().map_or(Ok(Vec::new()), iterate)?;
        Ok(Creation::Constructor("new", payload(&[list(&elements)]).into()))
    }

    fn copies(&self) -> Option<usize> {
        Some(0)
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        let full = &format!("list.{method}");
        match method {
            "__getitem__" => {
                let [place] = step!(arguments.just(full));
                if let Some(slice) = slice(&place) {
                    return Step::call("slice", &[places(step!(slice))], |native| {
                        refused(native, "list index out of range")
                    });
                }
                step!(fits(&place, "IndexError", UNFIT));
                let Some(place) = index(&place) else { return no_index(&place) };
                Step::call_then("get", &[value(&place)], |result| found(result, out_of_range))
            }
            "__setitem__" => {
                let [place, new] = step!(arguments.just(full));
                let done = |native| match refused(native, "list assignment index out of range") {
                    Step::Value(_) => Step::none(),
                    other => other,
                };
                if let Some(slice) = slice(&place) {
                    let slice = step!(slice);
                    let refusal = match slice {
                        [_, _, None | Some(1)] => "can only assign an iterable",
                        _ => "must assign iterable to extended slice",
                    };
                    return contents(new, move |new| {
                        let elements = iterate(&new).map_err(|_| Step::type_error(refusal));
                        Step::call("set_slice", &[places(slice), list(&step!(elements))], done)
                    });
                }
                step!(fits(&place, "IndexError", UNFIT));
                let Some(place) = index(&place) else { return no_index(&place) };
                Step::give_then("assign", vec![value(&place).into(), new], done)
            }
            "__delitem__" => {
                let [place] = step!(arguments.just(full));
                if let Some(slice) = slice(&place) {
                    let done = |native| match refused(native, "list assignment index out of range") {
                        Step::Value(_) => Step::none(),
                        other => other,
                    };
                    return Step::call("delete_slice", &[places(step!(slice))], done);
                }
                step!(fits(&place, "IndexError", UNFIT));
                let Some(place) = index(&place) else { return no_index(&place) };
                Step::call_then("pop", &[value(&place)], |result| {
                    match found(result, || Step::builtin("IndexError", "list assignment index out of range")) {
                        Step::Value(_) => Step::none(),
                        other => other,
                    }
                })
            }
            "__len__" | "reverse" | "clear" | "copy" | "__reversed__" if !arguments.is_empty() => {
                match arguments.unnamed(full, 0, 0) {
                    Err(refused) => refused,
                    Ok(_) => no_method(method),
                }
            }
            "__len__" => Step::forward::<&[u8]>("len", &[]),
            "__contains__" => {
                let [wanted] = step!(arguments.just(full));
                Step::call_then("count", &[wanted], |count| Step::of(&index(&count).is_some_and(|count| count > 0)))
            }
            "append" => {
                let [new] = step!(arguments.just(full));
                Step::give("push", vec![new])
            }
            "extend" => {
                let [given] = step!(arguments.just(full));
                contents(given, |given| {
                    Step::call("extend", &[list(&step!(iterate(&given)))], |native| {
                        refused(native, "list index out of range")
                    })
                })
            }
            "insert" => {
                let [place, new] = step!(arguments.just(full));
                step!(fits(&place, "OverflowError", TOO_LARGE));
                let Some(place) = index(&place) else {
                    return Step::type_error(&format!(
                        "'{}' object cannot be interpreted as an integer",
                        type_name(&place)
                    ));
                };
                Step::give("insert", vec![value(&place).into(), new])
            }
            "pop" => {
                let bound = step!(arguments.unnamed(full, 0, 1));
                step!(fits(bound[0].as_deref().unwrap_or_default(), "OverflowError", TOO_LARGE));
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
                let [wanted] = step!(arguments.just(full));
                Step::call_then("remove_value", &[wanted], |removed| match truth(&removed) {
                    true => Step::none(),
                    false => Step::builtin("ValueError", "list.remove(x): x not in list"),
                })
            }
            "index" => {
                let bound = step!(arguments.unnamed(full, 1, 3));
                let wanted = bound[0].clone().unwrap_or_default();
                for end in bound[1..].iter().flatten() {
                    if int(end).is_none() {
                        return Step::type_error("slice indices must be integers or have an __index__ method");
                    }
                }
                let ends = [bound[1].as_deref().and_then(index), bound[2].as_deref().and_then(index), None];
                let shown = crate::codec::value::display(&wanted).to_string();
                Step::call_then("index_of", &[&wanted[..], &places(ends)], move |result| match parts::shape(&result) {
                    Ok(Shape::None) => Step::builtin("ValueError", &format!("{shown} is not in list")),
                    _ => Step::Value(result),
                })
            }
            "count" => {
                let [wanted] = step!(arguments.just(full));
                Step::forward("count", &[wanted])
            }
            "reverse" => Step::run::<&[u8]>("reverse", &[]),
            "clear" => Step::run::<&[u8]>("clear", &[]),
            "copy" => Step::forward("slice", &[places([None; 3])]),
            "__reversed__" => Step::call_then("slice", &[places([None, None, Some(-1)])], |elements| {
                super::iterator::over(step!(iterate(&elements)))
            }),
            "sort" => {
                let Arguments { positional, keywords } = arguments;
                if !positional.is_empty() {
                    return Step::type_error("sort() takes no positional arguments");
                }
                let mut descending = false;
                for (name, given) in &keywords {
                    match &name[..] {
                        "key" if matches!(parts::shape(given), Ok(Shape::None)) => {}
                        "key" => {
                            return Step::type_error(
                                "a server that is not Python's can't call a key function: sort a copy",
                            );
                        }
                        "reverse" => descending = truth(given),
                        other => {
                            let text = format!("sort() got an unexpected keyword argument '{other}'");
                            return Step::type_error(&text);
                        }
                    }
                }
                sort(descending)
            }
            "__add__" => {
                let [other] = step!(arguments.just(full));
                match parts::shape(&other) {
                    Ok(Shape::Container(Kind::List, _) | Shape::Proxy(_)) => Step::forward("concatenate", &[other]),
                    _ => {
                        Step::type_error(&format!("can only concatenate list (not \"{}\") to list", type_name(&other)))
                    }
                }
            }
            "__mul__" | "__rmul__" => {
                let times = step!(times(full, arguments));
                Step::call_then("slice", &[places([None; 3])], move |elements| {
                    let elements = step!(iterate(&elements));
                    let size: usize = elements.iter().map(Vec::len).sum();
                    if u64::try_from(size).unwrap_or(u64::MAX).saturating_mul(times) > MAX_REPEATED {
                        return Step::Raise(crate::object::face::Exception::of("builtins", "MemoryError", Vec::new()));
                    }
                    let repeated: Vec<_> = (0..times).flat_map(|_| elements.iter()).collect();
                    Step::value(parts::container(Kind::List, repeated.into_iter()))
                })
            }
            "__imul__" => {
                let times = step!(times(full, arguments));
                Step::call("repeat", &[value(&times)], |native| refused(native, ""))
            }
            other => no_method(other),
        }
    }
}

/// How many bytes the result of a multiplication may have: what fits a message.
const MAX_REPEATED: u64 = 1 << 30;
