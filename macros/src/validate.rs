//! What must hold of a model as a whole: names that others can say, and no two things of one name.

use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{Error, GenericParam, Generics, Ident, WherePredicate};

use crate::errors::Errors;
use crate::model::{Derived, Method, ProxyTrait, Referent, TaskFunction, WireName};
use crate::types::is_parameter;

/// serde knows tuples up to this length, and a call's arguments are one tuple.
const MOST_PARAMETERS: usize = 16;

/// Validates a `Referent`.
pub(crate) fn referent(model: &Referent, errors: &mut Errors) {
    is_typeid(&model.typeid, errors);
    generics(&model.item.generics, errors);
    methods(&model.methods, errors);
    let text = model.methods.iter().find(|method| model.display.is_some() && method.name.text == "__str__");
    if let Some(method) = text {
        errors.push(Error::new(
            method.name.span,
            "`display` answers `__str__` already: drop the flag, or give the method another `name`",
        ));
    }
}

/// Validates a `ProxyTrait`.
pub(crate) fn proxy_trait(model: &ProxyTrait, errors: &mut Errors) {
    is_typeid(&model.typeid, errors);
    methods(&model.methods, errors);
}

/// Validates a `Derived`.
pub(crate) fn derived(model: &Derived, errors: &mut Errors) {
    let (exposed, pairs) = (&model.flags.exposed, &model.flags.method_to_typeid);
    exposed.iter().flatten().for_each(|method| is_method_name(method, errors));
    distinct(exposed.iter().flatten(), "name each method once", errors);
    for (method, typeid) in pairs {
        is_method_name(method, errors);
        is_typeid(typeid, errors);
    }
    distinct(pairs.iter().map(|(method, _)| method), "a method's result has one type", errors);
}

/// Validates a `TaskFunction`.
pub(crate) fn task(model: &TaskFunction, errors: &mut Errors) {
    is_identifier(&model.name, "a task's name must be an identifier, such as `square`", errors);
    if let Some(excess) = model.parameters.get(MOST_PARAMETERS) {
        errors
            .at(&excess.ty, format!("a task has at most {MOST_PARAMETERS} arguments: put some of them into a struct"));
    }
}

fn methods(methods: &[Method], errors: &mut Errors) {
    for method in methods {
        is_method_name(&method.name, errors);
        if let Some(excess) = method.parameters.get(MOST_PARAMETERS) {
            let advice = format!("a call has at most {MOST_PARAMETERS} arguments: put some of them into a struct");
            errors.at(&excess.ident, advice);
        }
    }
    // Two methods of one name may exclude each other by `cfg`; if they don't, the registration finds it.
    let unconditional = methods.iter().filter(|method| method.carried.cfg.is_empty());
    distinct(unconditional.map(|method| &method.name), "give one of them another `name`", errors);
}

fn distinct<'n>(names: impl Iterator<Item = &'n WireName>, advice: &str, errors: &mut Errors) {
    let mut seen: Vec<&WireName> = Vec::new();
    for name in names {
        if let Some(first) = seen.iter().find(|first| first.text == name.text) {
            errors.push(Error::new(name.span, format!("there is a `{}` already: {advice}", name.text)));
            errors.push(Error::new(first.span, "the other one is here"));
        }
        seen.push(name);
    }
}

fn is_typeid(name: &WireName, errors: &mut Errors) {
    is_identifier(name, "a typeid must be an identifier, such as `MyClass`", errors);
}

fn is_method_name(name: &WireName, errors: &mut Errors) {
    is_identifier(name, "a method's name must be an identifier, such as `get_name`", errors);
}

/// Keywords are allowed: they are names in other languages.
fn is_identifier(name: &WireName, advice: &str, errors: &mut Errors) {
    let parsed = Ident::parse_any.parse_str(&name.text);
    if !parsed.is_ok_and(|ident| ident.unraw() == name.text && name.text != "_") {
        errors.push(Error::new(name.span, advice));
    }
}

fn generics(generics: &Generics, errors: &mut Errors) {
    for parameter in &generics.params {
        match parameter {
            GenericParam::Lifetime(lifetime) => {
                errors.at(lifetime, "a referent outlives every call, so its type can't borrow: own what it holds");
            }
            GenericParam::Type(parameter) => {
                let bounded = generics.where_clause.iter().flat_map(|clause| &clause.predicates).any(|predicate| {
                    matches!(predicate, WherePredicate::Type(bound) if is_parameter(&bound.bounded_ty, &parameter.ident))
                });
                if parameter.bounds.is_empty() && !bounded {
                    let advice = "nothing says that it can live in another process: write";
                    errors.at(parameter, format!("{advice} `{}: multiproc::Datum`", parameter.ident));
                }
            }
            GenericParam::Const(_) => {}
        }
    }
}
