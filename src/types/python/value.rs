//! `Value`, as a `ValueProxy` calls it.

use super::{no_method, none_given, payload, step};
use crate::codec::value::display;
use crate::codec::value::parts::{self, Kind, Shape};
use crate::error::Error;
use crate::object::face::{Arguments, Creation, Face, Step, value};
use crate::object::methods::VALUE;

pub(super) struct ValueFace;

/// What stands for a value's type where nobody has said so: it is not Python's.
fn typecode(held: &[u8]) -> Vec<u8> {
    value(match parts::shape(held) {
        Ok(Shape::Int(_) | Shape::BigInt) => "q",
        Ok(Shape::Float(_)) => "d",
        _ => "O",
    })
}

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

    /// As in Python, the typecode and the lock mean nothing, but the first is shown.
    fn create(&self, arguments: Arguments) -> Result<Creation, Step> {
        let bound = arguments.bind("Value", &["typecode", "value", "lock"], 2)?;
        let given: Vec<_> = bound.iter().take(2).map(|given| given.as_deref().unwrap_or_default()).collect();
        Ok(Creation::Constructor("typed", payload(&given).into()))
    }

    fn call(&self, method: &str, arguments: Arguments) -> Step {
        match method {
            "get" => {
                step!(none_given("Value.get", &arguments));
                Step::forward::<&[u8]>("get", &[])
            }
            "set" => {
                let [new] = step!(arguments.exactly("Value.set", ["value"]));
                Step::give("set", vec![new])
            }
            VALUE | "__str__" | "__repr__" => {
                let is_copy = method == VALUE;
                Step::call_then::<&[u8]>("typed", &[], move |typed| {
                    let Ok(Shape::Container(Kind::Tuple, both)) = parts::shape(&typed) else {
                        return Step::Error(Error::protocol("a value without a type"));
                    };
                    let [code, held] = &both[..] else { return Step::Error(Error::protocol("half a value")) };
                    let code = match parts::unslot(code) {
                        Ok(Some(code)) => code.to_vec(),
                        _ => typecode(held),
                    };
                    if !is_copy {
                        return Step::of(&format!("Value({}, {})", display(&code), display(held)));
                    }
                    let attributes = [&value("_typecode")[..], &code, &value("_value"), held];
                    let attributes = parts::container(Kind::Dict, attributes.into_iter());
                    Step::Instance("multiprocessing.managers", "Value", attributes.into())
                })
            }
            other => no_method(other),
        }
    }
}
