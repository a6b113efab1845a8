//! `Namespace`, as a `NamespaceProxy` calls it.

use super::{found, no_method, payload, step};
use crate::codec::value::parts::{self, Kind, Shape};
use crate::object::face::{Arguments, Exception, Face, Step, value};

pub(super) struct NamespaceFace;

fn missing(name: &[u8]) -> Step {
    let text = match parts::shape(name) {
        Ok(Shape::Str(text)) => format!("'Namespace' object has no attribute '{text}'"),
        _ => "attribute name must be string".to_owned(),
    };
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

    fn create(&self, arguments: Arguments) -> Result<(&'static str, Vec<u8>), Step> {
        let Arguments { positional, keywords } = arguments;
        if !positional.is_empty() {
            return Err(Step::type_error("Namespace() takes no positional arguments"));
        }
        let flat: Vec<_> = keywords.into_iter().flat_map(|(name, given)| [value(&name), given]).collect();
        Ok(("new", payload(&[parts::container(Kind::Dict, flat.iter())])))
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        match method {
            "__getattribute__" => {
                let [name] = step!(arguments.exactly(method, ["name"]));
                let wanted = [name.clone()];
                Step::call_then("get", &wanted, move |result| found(result, || missing(&name)))
            }
            "__setattr__" => {
                let [name, new] = step!(arguments.exactly(method, ["name", "value"]));
                Step::run("set", &[name, new])
            }
            "__delattr__" => {
                let [name] = step!(arguments.exactly(method, ["name"]));
                let wanted = [name.clone()];
                Step::call_then("remove", &wanted, move |result| match found(result, || missing(&name)) {
                    Step::Value(_) => Step::none(),
                    other => other,
                })
            }
            other => no_method(other),
        }
    }
}
