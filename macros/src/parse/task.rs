//! A function that is to be a task.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Block, Error, FnArg, Pat, Result, ReturnType, Signature, Token, Type, Visibility, parse_quote};

use crate::attributes::{Carried, TaskFlags};
use crate::errors::Errors;
use crate::model::{Exceptions, Failure, TaskFailure, TaskFunction, TaskParameter, WireName};
use crate::types::{arguments_of, check_owned};

/// A function as it is written: with a body, or without one, where it is another program's.
struct Written {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    signature: Signature,
    has_body: bool,
}

impl Parse for Written {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let (visibility, signature) = (input.parse()?, input.parse()?);
        let has_body = !input.peek(Token![;]);
        if has_body {
            input.parse::<Block>()?;
        } else {
            input.parse::<Token![;]>()?;
        }
        Ok(Self { attributes, visibility, signature, has_body })
    }
}

/// Whether `item` is a function without a body.
pub(crate) fn is_declaration(item: &TokenStream) -> bool {
    syn::parse2::<Written>(item.clone()).is_ok_and(|written| !written.has_body)
}

/// Reads `#[multiproc::task(flags)]` on `item`, as far as can be.
pub(crate) fn task(flags: TokenStream, item: TokenStream, errors: &mut Errors) -> Option<TaskFunction> {
    let Ok(Written { attributes, visibility, signature, has_body }) = syn::parse2(item) else {
        errors.push(Error::new(
            proc_macro2::Span::call_site(),
            "`#[multiproc::task]` goes on a function, with a body where it is to run, or with `;` instead where it is only called",
        ));
        return None;
    };
    let flags = TaskFlags::read(flags, errors);
    refuse_syntax(&signature, errors);
    let mut parameters = Vec::new();
    for (place, input) in signature.inputs.iter().enumerate() {
        match input {
            FnArg::Receiver(receiver) => {
                errors.at(receiver, "a task is a function of its own: take what `self` holds as an argument");
            }
            FnArg::Typed(typed) => {
                errors.keep(check_owned(&typed.ty, "a task's arguments go to another process: take a type that owns what it holds (`String` for `&str`, `Vec<T>` for `&[T]`)"));
                let name = match &*typed.pat {
                    Pat::Ident(pattern) => pattern.ident.unraw().to_string(),
                    _ => format!("argument_{place}"),
                };
                parameters.push(TaskParameter { name, ty: (*typed.ty).clone() });
            }
        }
    }
    let output: Type = match &signature.output {
        ReturnType::Default => parse_quote!(()),
        ReturnType::Type(_, ty) => {
            errors.keep(check_owned(ty, "a task's result comes from another process: return a type that owns what it holds (`String` for `&str`)"));
            (**ty).clone()
        }
    };
    let failure = errors.keep(failure(&output, flags.raises, has_body)).unwrap_or(TaskFailure::Never);
    Some(TaskFunction {
        name: flags.name.unwrap_or_else(|| WireName::of(&signature.ident)),
        ident: signature.ident,
        visibility,
        cfg: Carried::of(&attributes).cfg,
        parameters,
        output,
        failure,
        has_body,
    })
}

/// What a task's errors are.
fn failure(output: &Type, raises: Option<Exceptions>, has_body: bool) -> Result<TaskFailure> {
    let result = arguments_of(output, "Result");
    let Some(raises) = raises else {
        return Ok(if result.is_some() { TaskFailure::Unnamed } else { TaskFailure::Never });
    };
    let wrong = |advice: &str| Err(Error::new(raises.span(), advice));
    match result.as_deref() {
        _ if !has_body => {
            wrong("what a task's errors are in Python is said where its body is: take `raises` away here")
        }
        Some([_, error]) => {
            let error = Failure::Typed(Box::new((*error).clone()));
            Ok(TaskFailure::Named(raises, error))
        }
        _ => {
            wrong("`raises` is for tasks whose result is written `Result<T, E>`: take it away, or write the result so")
        }
    }
}

fn refuse_syntax(signature: &Signature, errors: &mut Errors) {
    if let Some(parameter) = signature.generics.params.first() {
        errors.at(parameter, "a task has one name, and so one set of types: write a function for each that is wanted, which calls this one");
    }
    if let Some(token) = &signature.asyncness {
        errors.at(token, "a worker has no runtime: drop `async`, and block, or start a runtime in the task");
    }
    if let Some(token) = &signature.unsafety {
        errors.at(token, "whoever names a task can't promise anything to it: write a safe function around this one");
    }
    if let Some(abi) = &signature.abi {
        errors.at(abi, "a task is called by Rust only: drop the ABI");
    }
    if let Some(variadic) = &signature.variadic {
        errors.at(variadic, "a task has a fixed number of arguments: take a `Vec`");
    }
}
