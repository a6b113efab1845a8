//! `Namespace`, as a `NamespaceProxy` calls it.

use super::{found, no_method, payload, step, type_name};
use crate::codec::value::display;
use crate::codec::value::parts::{self, Kind, Shape};
use crate::object::face::{Arguments, Creation, Exception, Face, Step, value};
use crate::object::methods::VALUE;

pub(super) struct NamespaceFace;

fn not_a_name(name: &[u8]) -> Step {
    Step::type_error(&format!("attribute name must be string, not '{}'", type_name(name)))
}

fn missing(name: &[u8]) -> Step {
    let Ok(Shape::Str(text)) = parts::shape(name) else { return not_a_name(name) };
    let text = format!("'Namespace' object has no attribute '{text}'");
    let exception = Exception::new("builtins", "AttributeError", &text);
    Step::Raise(Exception { attributes: vec![("name", name.to_vec())], ..exception })
}

impl Face for NamespaceFace {
    fn proxytype(&self) -> &'static str {
        "NamespaceProxy"
    }

    fn exposed(&self) -> &'static [&'static str] {
        &["__getattribute__", "__setattr__", "__delattr__"]
    }

    fn create(&self, arguments: Arguments) -> Result<Creation, Step> {
        let Arguments { positional, keywords } = arguments;
        if !positional.is_empty() {
            return Err(Step::type_error("Namespace() takes no positional arguments"));
        }
        let flat: Vec<_> = keywords.into_iter().flat_map(|(name, given)| [value(&name).into(), given]).collect();
        Ok(Creation::Constructor("new", payload(&[parts::container(Kind::Dict, flat.iter())]).into()))
    }

    fn answers(&self) -> &'static [&'static str] {
        &["__str__", "__repr__", VALUE]
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        let full = &format!("Namespace.{method}");
        match method {
            "__getattribute__" => {
                let [name] = step!(arguments.just(full));
                let wanted = [name.clone()];
                Step::call_then("get", &wanted, move |result| found(result, || missing(&name)))
            }
            "__setattr__" => {
                let [name, new] = step!(arguments.just(full));
                if !matches!(parts::shape(&name), Ok(Shape::Str(_))) {
                    return not_a_name(&name);
                }
                Step::give("set", vec![name, new])
            }
            "__delattr__" => {
                let [name] = step!(arguments.just(full));
                let wanted = [name.clone()];
                Step::call_then("remove", &wanted, move |result| match found(result, || missing(&name)) {
                    Step::Value(_) => Step::none(),
                    Step::Raise(exception) => Step::Raise(Exception { attributes: Vec::new(), ..exception }),
                    other => other,
                })
            }
            VALUE => Step::call_then::<&[u8]>(VALUE, &[], |attributes| {
                Step::Instance("multiprocessing.managers", "Namespace", attributes)
            }),
            // By name, and without what is the namespace's own matter, as in Python.
            "__str__" | "__repr__" => Step::call_then::<&[u8]>(VALUE, &[], |attributes| {
                let Ok(Shape::Container(Kind::Dict, entries)) = parts::shape(&attributes) else {
                    return Step::Value(attributes);
                };
                let (entries, _) = entries.as_chunks::<2>();
                let mut shown: Vec<_> = entries
                    .iter()
                    .filter_map(|[name, held]| match parts::shape(name) {
                        Ok(Shape::Str(name)) if !name.starts_with('_') => Some(format!("{name}={}", display(held))),
                        _ => None,
                    })
                    .collect();
                shown.sort_unstable();
                Step::of(&format!("Namespace({})", shown.join(", ")))
            }),
            other => no_method(other),
        }
    }
}
