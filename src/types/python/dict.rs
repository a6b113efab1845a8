//! `dict`, as a `DictProxy` calls it.

use super::{contents, found, hashable, iterate, iterator, key_error, no_method, payload, step};
use crate::codec::value::parts::{self, Kind, Shape};
use crate::object::face::{Arguments, Creation, Face, Raw, Step, value};

pub(super) struct DictFace;

const EXPOSED: &[&str] = &[
    "__contains__",
    "__delitem__",
    "__getitem__",
    "__iter__",
    "__len__",
    "__or__",
    "__ror__",
    "__ior__",
    "__reversed__",
    "__setitem__",
    "clear",
    "copy",
    "get",
    "items",
    "keys",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "values",
    "fromkeys",
];

/// The entries that a dict is made of or updated by, each as a pair.
fn entries(given: Option<&[u8]>, keywords: &[(String, Raw)]) -> Result<Vec<Vec<u8>>, Step> {
    let mut pairs = Vec::new();
    let pair = |key: &[u8], value: &[u8]| -> Result<Vec<u8>, Step> {
        hashable(key)?;
        Ok(parts::container(Kind::Tuple, [key, value].into_iter()))
    };
    if let Some(given) = given {
        match parts::shape(given) {
            Ok(Shape::Container(Kind::Dict, entries)) => {
                let (chunks, _) = entries.as_chunks::<2>();
                for [key, value] in chunks {
                    pairs.push(pair(key, value)?);
                }
            }
            _ => {
                for (place, element) in iterate(given)?.iter().enumerate() {
                    let both = iterate(element).map_err(|_| {
                        Step::type_error(&format!(
                            "cannot convert dictionary update sequence element #{place} to a sequence"
                        ))
                    })?;
                    let [key, value] = &both[..] else {
                        let text = format!(
                            "dictionary update sequence element #{place} has length {}; 2 is required",
                            both.len()
                        );
                        return Err(Step::builtin("ValueError", &text));
                    };
                    pairs.push(pair(key, value)?);
                }
            }
        }
    }
    for (name, given) in keywords {
        pairs.push(pair(&value(name), given)?);
    }
    Ok(pairs)
}

/// Goes on with the entries that the arguments stand for, those of another shared object too.
fn with_entries(method: &str, arguments: Arguments, then: impl FnOnce(Vec<Vec<u8>>) -> Step + Send + 'static) -> Step {
    let Arguments { mut positional, keywords } = arguments;
    if positional.len() > 1 {
        return Step::type_error(&format!("{method} expected at most 1 argument, got {}", positional.len()));
    }
    match positional.pop() {
        Some(given) => contents(given, move |given| then(step!(entries(Some(&given), &keywords)))),
        None => then(step!(entries(None, &keywords))),
    }
}

fn list(elements: &[Vec<u8>]) -> Vec<u8> {
    parts::container(Kind::List, elements.iter())
}

/// A copy, as a plain dict, with more entries in front or behind.
fn merged(before: Vec<Vec<u8>>, after: Vec<Vec<u8>>) -> Step {
    Step::call_then::<&[u8]>("items", &[], move |items| {
        let own = step!(iterate(&items));
        // Translated to a dict by Python's rules: later ones win, in the place of the first.
        let pairs: Vec<_> = before.iter().chain(&own).chain(&after).collect();
        let mut flat = Vec::new();
        for pair in pairs {
            flat.extend(step!(iterate(pair)));
        }
        Step::value(parts::container(Kind::Dict, flat.iter()))
    })
}

impl Face for DictFace {
    fn proxytype(&self) -> &'static str {
        "DictProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        EXPOSED
    }

    fn create(&self, arguments: Arguments) -> Result<Creation, Step> {
        let Arguments { positional, keywords } = arguments;
        if positional.len() > 1 {
            return Err(Step::type_error(&format!("dict expected at most 1 argument, got {}", positional.len())));
        }
        let entries = entries(positional.first().map(|given| &given[..]), &keywords)?;
        Ok(Creation::Constructor("new", payload(&[list(&entries)]).into()))
    }

    fn copies(&self) -> Option<usize> {
        Some(0)
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        let full = &format!("dict.{method}");
        match method {
            "__getitem__" => {
                let [key] = step!(arguments.just(full));
                step!(hashable(&key));
                let wanted = [key.clone()];
                Step::call_then("get", &wanted, move |result| found(result, || key_error(key)))
            }
            "get" => {
                let mut bound = step!(arguments.unnamed(full, 1, 2)).into_iter();
                let (key, default) = (bound.next().flatten().unwrap_or_default(), bound.next().flatten());
                step!(hashable(&key));
                Step::call_then("get", &[key], move |result| {
                    found(result, || default.map_or_else(Step::none, Step::Value))
                })
            }
            "__setitem__" => {
                let [key, value] = step!(arguments.just(full));
                step!(hashable(&key));
                Step::give("assign", vec![key, value])
            }
            "__delitem__" => {
                let [key] = step!(arguments.just(full));
                step!(hashable(&key));
                let wanted = [key.clone()];
                Step::call_then("remove", &wanted, move |result| match found(result, || key_error(key)) {
                    Step::Value(_) => Step::none(),
                    other => other,
                })
            }
            "__contains__" => {
                let [key] = step!(arguments.just(full));
                step!(hashable(&key));
                Step::forward("contains_key", &[key])
            }
            "__len__" | "__iter__" | "__reversed__" | "clear" | "copy" | "keys" | "values" | "items" | "popitem"
                if !arguments.is_empty() =>
            {
                match arguments.unnamed(full, 0, 0) {
                    Err(refused) => refused,
                    Ok(_) => no_method(method),
                }
            }
            "__len__" => Step::forward::<&[u8]>("len", &[]),
            "__iter__" => Step::call_then::<&[u8]>("keys", &[], |keys| iterator::over(step!(iterate(&keys)))),
            "__reversed__" => Step::call_then::<&[u8]>("keys", &[], |keys| {
                let mut keys = step!(iterate(&keys));
                keys.reverse();
                iterator::over(keys)
            }),
            "clear" => Step::run::<&[u8]>("clear", &[]),
            "copy" => merged(Vec::new(), Vec::new()),
            "keys" | "values" | "items" => Step::forward::<&[u8]>(
                match method {
                    "keys" => "keys",
                    "values" => "values",
                    _ => "items",
                },
                &[],
            ),
            "pop" => {
                let mut bound = step!(arguments.unnamed(full, 1, 2)).into_iter();
                let (key, default) = (bound.next().flatten().unwrap_or_default(), bound.next().flatten());
                step!(hashable(&key));
                let wanted = [key.clone()];
                Step::call_then("remove", &wanted, move |result| {
                    found(result, || default.map_or_else(|| key_error(key), Step::Value))
                })
            }
            "popitem" => Step::call_then::<&[u8]>("pop_item", &[], |result| {
                found(result, || key_error(value("popitem(): dictionary is empty")))
            }),
            "setdefault" => {
                let mut bound = step!(arguments.unnamed(full, 1, 2)).into_iter();
                let key = bound.next().flatten().unwrap_or_default();
                let default = bound.next().flatten().unwrap_or_else(|| value(&()).into());
                step!(hashable(&key));
                let otherwise = default.clone();
                Step::call_then("insert_if_absent", &[key, default], move |result| {
                    found(result, || Step::Value(otherwise))
                })
            }
            "update" | "__ior__" => with_entries(method, arguments, |entries| Step::run("extend", &[list(&entries)])),
            "__or__" => with_entries(method, arguments, |entries| merged(Vec::new(), entries)),
            "__ror__" => with_entries(method, arguments, |entries| merged(entries, Vec::new())),
            "fromkeys" => {
                let mut bound = step!(arguments.unnamed(full, 1, 2)).into_iter();
                let keys = step!(iterate(&bound.next().flatten().unwrap_or_default()));
                let each = bound.next().flatten().unwrap_or_else(|| value(&()).into());
                let flat: Vec<_> = keys.iter().flat_map(|key| [&key[..], &each]).collect();
                Step::value(parts::container(Kind::Dict, flat.into_iter()))
            }
            other => no_method(other),
        }
    }
}
