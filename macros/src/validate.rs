//! What must hold of a model as a whole: names that others can say, and no two things of one name.

use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{Error, GenericParam, Generics, Ident, WherePredicate};

use crate::errors::Errors;
use crate::model::{Derived, Exceptions, Method, ProxyTrait, Raised, Referent, TaskFailure, TaskFunction, WireName};
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
    let advice = "a task's name must be an identifier, such as `square`, or name a function of a Python module, such as `math.factorial`";
    if !model.name.text.split('.').all(names) {
        errors.push(Error::new(model.name.span, advice));
    }
    if let TaskFailure::Named(Exceptions::Class(class), _) = &model.failure {
        classes(std::iter::once(class), errors);
    }
    if let Some(excess) = model.parameters.get(MOST_PARAMETERS) {
        errors
            .at(&excess.ty, format!("a task has at most {MOST_PARAMETERS} arguments: put some of them into a struct"));
    }
}

/// Validates a `Raised`.
pub(crate) fn raised(model: &Raised, errors: &mut Errors) {
    classes(model.forms.iter().map(|form| &form.class), errors);
}

fn methods(methods: &[Method], errors: &mut Errors) {
    let named = methods.iter().filter_map(|method| match &method.raises {
        Some(Exceptions::Class(class)) => Some(class),
        _ => None,
    });
    classes(named, errors);
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

/// Each class once, since what holds for many is said in one place.
fn classes<'n>(named: impl Iterator<Item = &'n WireName>, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for name in named {
        if !seen.contains(&&*name.text) {
            seen.push(&name.text);
            is_class(name, errors);
        }
    }
}

fn is_class(name: &WireName, errors: &mut Errors) {
    let (module, class) = name.text.rsplit_once('.').unwrap_or(("builtins", &name.text));
    let is_name = |part: &str| {
        part.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && part.chars().all(|char| char.is_alphanumeric() || char == '_')
    };
    if !(module.split('.').all(is_name) && is_name(class)) {
        let advice = "an exception is named by its class, `ValueError`, or by module and class, `queue.Full`";
        errors.push(Error::new(name.span, advice));
    } else if module == "builtins" && !BUILTIN_EXCEPTIONS.contains(&class) {
        let advice = "is no built-in exception of Python's: write a module's class with the module";
        errors.push(Error::new(name.span, format!("`{class}` {advice}, `module.{class}`")));
    }
}

/// Those of Python 3.8 to 3.14, warnings and all.
const BUILTIN_EXCEPTIONS: &[&str] = &[
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "BaseException",
    "BaseExceptionGroup",
    "BlockingIOError",
    "BrokenPipeError",
    "BufferError",
    "BytesWarning",
    "ChildProcessError",
    "ConnectionAbortedError",
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "DeprecationWarning",
    "EOFError",
    "EncodingWarning",
    "EnvironmentError",
    "Exception",
    "ExceptionGroup",
    "FileExistsError",
    "FileNotFoundError",
    "FloatingPointError",
    "FutureWarning",
    "GeneratorExit",
    "IOError",
    "ImportError",
    "ImportWarning",
    "IndentationError",
    "IndexError",
    "InterruptedError",
    "IsADirectoryError",
    "KeyError",
    "KeyboardInterrupt",
    "LookupError",
    "MemoryError",
    "ModuleNotFoundError",
    "NameError",
    "NotADirectoryError",
    "NotImplementedError",
    "OSError",
    "OverflowError",
    "PendingDeprecationWarning",
    "PermissionError",
    "ProcessLookupError",
    "PythonFinalizationError",
    "RecursionError",
    "ReferenceError",
    "ResourceWarning",
    "RuntimeError",
    "RuntimeWarning",
    "StopAsyncIteration",
    "StopIteration",
    "SyntaxError",
    "SyntaxWarning",
    "SystemError",
    "SystemExit",
    "TabError",
    "TimeoutError",
    "TypeError",
    "UnboundLocalError",
    "UnicodeDecodeError",
    "UnicodeEncodeError",
    "UnicodeError",
    "UnicodeTranslateError",
    "UnicodeWarning",
    "UserWarning",
    "ValueError",
    "Warning",
    "ZeroDivisionError",
];

fn is_typeid(name: &WireName, errors: &mut Errors) {
    is_identifier(name, "a typeid must be an identifier, such as `MyClass`", errors);
}

fn is_method_name(name: &WireName, errors: &mut Errors) {
    is_identifier(name, "a method's name must be an identifier, such as `get_name`", errors);
}

fn is_identifier(name: &WireName, advice: &str, errors: &mut Errors) {
    if !names(&name.text) {
        errors.push(Error::new(name.span, advice));
    }
}

/// Whether a text is an identifier. Keywords are: they are names in other languages.
fn names(text: &str) -> bool {
    let parsed = Ident::parse_any.parse_str(text);
    parsed.is_ok_and(|ident| ident.unraw() == text && text != "_")
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
