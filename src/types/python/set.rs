//! `set`, as Python 3.14's `SetProxy` calls it.

use std::collections::{HashSet, VecDeque};

use super::{contents, found, hashable, iterate, iterator, key_error, no_method, payload, step};
use crate::codec::pickle::{KIND, write};
use crate::codec::value as values;
use crate::codec::value::parts::{self, Kind, Shape};
use crate::object::face::{Arguments, Creation, Face, Raw, Step, value};
use crate::object::methods::VALUE;

pub(super) struct SetFace;

const EXPOSED: &[&str] = &[
    "__and__",
    "__contains__",
    "__ge__",
    "__gt__",
    "__iand__",
    "__ior__",
    "__isub__",
    "__iter__",
    "__ixor__",
    "__le__",
    "__len__",
    "__lt__",
    "__or__",
    "__rand__",
    "__ror__",
    "__rsub__",
    "__rxor__",
    "__sub__",
    "__xor__",
    "add",
    "clear",
    "copy",
    "difference",
    "difference_update",
    "discard",
    "intersection",
    "intersection_update",
    "isdisjoint",
    "issubset",
    "issuperset",
    "pop",
    "remove",
    "symmetric_difference",
    "symmetric_difference_update",
    "union",
    "update",
];

/// The elements of several operands.
type Operands = Vec<Vec<Vec<u8>>>;

/// Goes on with what the operands hold, other shared objects among them.
fn held(mut others: VecDeque<Raw>, mut known: Operands, then: impl FnOnce(Operands) -> Step + Send + 'static) -> Step {
    // Each operand that is read is another step, so that the function's type must not grow with them.
    fn boxed(others: VecDeque<Raw>, known: Operands, then: Box<dyn FnOnce(Operands) -> Step + Send>) -> Step {
        held(others, known, then)
    }
    let Some(next) = others.pop_front() else { return then(known) };
    contents(next, move |next| {
        let elements = step!(iterate(&next));
        step!(elements.iter().try_for_each(|element| hashable(element)));
        known.push(elements);
        boxed(others, known, Box::new(then))
    })
}

/// What operands come to as one.
fn together(how: &str, operands: Operands) -> Vec<Vec<u8>> {
    if how != "Intersection" {
        return operands.into_iter().flatten().collect();
    }
    let same = |element: &Vec<u8>| values::canonical(element).unwrap_or_else(|_| element.clone());
    let mut operands = operands.into_iter();
    let mut all = operands.next().unwrap_or_default();
    for other in operands {
        let other: HashSet<_> = other.iter().map(same).collect();
        all.retain(|element| other.contains(&same(element)));
    }
    all
}

fn list(elements: &[Vec<u8>]) -> Vec<u8> {
    parts::container(Kind::List, elements.iter())
}

/// A copy, as a plain set.
fn plain(elements: &[u8]) -> Step {
    let elements = step!(iterate(elements));
    Step::value(parts::container(Kind::Set, elements.iter()))
}

/// A new set, of this one and others.
fn combined(how: &'static str, others: Vec<Raw>) -> Step {
    if others.is_empty() {
        return Step::call_then::<&[u8]>("to_vec", &[], |elements| plain(&elements));
    }
    held(others.into(), Operands::new(), move |operands| {
        let other = list(&together(how, operands));
        Step::call_then("combined", &[value(how), other], |elements| plain(&elements))
    })
}

/// Changes this set by others.
fn combine(how: &'static str, others: Vec<Raw>) -> Step {
    if others.is_empty() {
        return Step::none();
    }
    held(others.into(), Operands::new(), move |operands| {
        Step::run("combine", &[value(how), list(&together(how, operands))])
    })
}

/// The elements of the operand that are not in this set: a difference the other way round.
fn others_own(other: Raw) -> Step {
    held([other].into(), Operands::new(), |operands| {
        let other = together("Union", operands);
        Step::call_then::<&[u8]>("to_vec", &[], move |own| {
            let same = |element: &Vec<u8>| values::canonical(element).unwrap_or_else(|_| element.clone());
            let own: HashSet<_> = step!(iterate(&own)).iter().map(same).collect();
            let left: Vec<_> = other.into_iter().filter(|element| !own.contains(&same(element))).collect();
            plain(&list(&left))
        })
    })
}

/// How this set stands to another; a strict relation is not that of equals.
fn stands(how: &'static str, strict: bool, other: Raw) -> Step {
    held([other].into(), Operands::new(), move |operands| {
        let other = list(&together("Union", operands));
        let again = other.clone();
        Step::call_then("stands", &[value(how), other], move |stands| {
            if !strict || *stands == *value(&false) {
                return Step::Value(stands);
            }
            Step::call_then("stands", &[value("Equals"), again], |equal| Step::of(&(*equal == *value(&false))))
        })
    })
}

/// What an operator answers where it has no meaning for the other side: the other side is asked then.
fn not_implemented() -> Step {
    let mut contents = Vec::new();
    write::global(&mut contents, "builtins", "NotImplemented");
    Step::value(parts::opaque(&format!("{KIND}builtins.NotImplemented"), &contents))
}

/// Whether an operator takes it: only sets, where a method takes anything that has elements.
fn is_set(operand: &[u8]) -> bool {
    matches!(parts::shape(operand), Ok(Shape::Container(Kind::Set | Kind::FrozenSet, _) | Shape::Proxy(_)))
}

fn operator(method: &str, other: Raw) -> Step {
    if !is_set(&other) {
        return not_implemented();
    }
    match method {
        "__and__" | "__rand__" => combined("Intersection", vec![other]),
        "__or__" | "__ror__" => combined("Union", vec![other]),
        "__xor__" | "__rxor__" => combined("SymmetricDifference", vec![other]),
        "__sub__" => combined("Difference", vec![other]),
        "__rsub__" => others_own(other),
        "__iand__" => combine("Intersection", vec![other]),
        "__ior__" => combine("Union", vec![other]),
        "__ixor__" => combine("SymmetricDifference", vec![other]),
        "__isub__" => combine("Difference", vec![other]),
        "__le__" => stands("Subset", false, other),
        "__lt__" => stands("Subset", true, other),
        "__ge__" => stands("Superset", false, other),
        "__gt__" => stands("Superset", true, other),
        other => no_method(other),
    }
}

impl Face for SetFace {
    fn proxytype(&self) -> &'static str {
        "SetProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        EXPOSED
    }

    fn answers(&self) -> &'static [&'static str] {
        &[VALUE]
    }

    fn create(&self, arguments: Arguments) -> Result<Creation, Step> {
        let bound = arguments.unnamed("set.set", 0, 1)?;
        let elements = bound[0].as_deref().map_or_else(|| Ok(Vec::new()), iterate)?;
        elements.iter().try_for_each(|element| hashable(element))?;
        Ok(Creation::Constructor("new", payload(&[list(&elements)]).into()))
    }

    fn copies(&self) -> Option<usize> {
        Some(0)
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        let full = &format!("set.{method}");
        match method {
            "__len__" | "__iter__" | "clear" | "copy" | "pop" => {
                step!(arguments.unnamed(full, 0, 0));
                match method {
                    "__len__" => Step::forward::<&[u8]>("len", &[]),
                    "__iter__" => Step::call_then::<&[u8]>("to_vec", &[], |own| iterator::over(step!(iterate(&own)))),
                    "clear" => Step::run::<&[u8]>("clear", &[]),
                    "copy" => combined("Union", Vec::new()),
                    _ => Step::call_then::<&[u8]>("pop", &[], |popped| {
                        found(popped, || key_error(value("pop from an empty set")))
                    }),
                }
            }
            "add" | "discard" | "remove" | "__contains__" => {
                let [element] = step!(arguments.just(full));
                step!(hashable(&element));
                match method {
                    "add" => Step::run("insert", &[element]),
                    "discard" => Step::run("remove", &[element]),
                    "__contains__" => Step::forward("contains", &[element]),
                    _ => {
                        let wanted = [element.clone()];
                        Step::call_then("remove", &wanted, move |removed| {
                            if *removed == *value(&true) { Step::none() } else { key_error(element) }
                        })
                    }
                }
            }
            "union" | "intersection" | "difference" | "update" | "intersection_update" | "difference_update" => {
                if !arguments.keywords.is_empty() {
                    return Step::type_error(&format!("{full}() takes no keyword arguments"));
                }
                let others = arguments.positional;
                match method {
                    "union" => combined("Union", others),
                    "intersection" => combined("Intersection", others),
                    "difference" => combined("Difference", others),
                    "update" => combine("Union", others),
                    "intersection_update" => combine("Intersection", others),
                    _ => combine("Difference", others),
                }
            }
            "symmetric_difference" | "symmetric_difference_update" | "issubset" | "issuperset" | "isdisjoint" => {
                let [other] = step!(arguments.just(full));
                match method {
                    "symmetric_difference" => combined("SymmetricDifference", vec![other]),
                    "symmetric_difference_update" => combine("SymmetricDifference", vec![other]),
                    "issubset" => stands("Subset", false, other),
                    "issuperset" => stands("Superset", false, other),
                    _ => stands("Disjoint", false, other),
                }
            }
            VALUE => combined("Union", Vec::new()),
            operation => {
                let [other] = step!(arguments.just(full));
                operator(operation, other)
            }
        }
    }
}
