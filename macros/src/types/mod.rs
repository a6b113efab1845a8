//! How the types in a method's text travel: what the wire holds, what the server reads, what the proxy shows.
//!
//! References stop at the process's edge. A parameter `&T` is sent from where it lies, read as a `T` (text and bytes even
//! straight out of the call's own bytes), and lent to the method; a result `&T` is sent from inside the referent and
//! arrives as a `T`. Byte strings travel in serde's byte form, in one block instead of element by element.
//!
//! Both sides' signatures are computed from the *wire* types found here, for referents and for proxy traits alike, so that
//! the same text gives the same signature.

mod check;
mod fold;
mod incoming;
mod outgoing;

use syn::{GenericArgument, Ident, PathArguments, Type, TypePath};

pub(crate) use check::check_owned;
pub(crate) use fold::normal;
pub(crate) use incoming::Incoming;
pub(crate) use outgoing::{Outgoing, Returned};

/// The only type argument of a path that ends in `name`, such as `Option<T>`.
pub(crate) fn argument_of<'t>(ty: &'t Type, name: &str) -> Option<&'t Type> {
    match arguments_of(ty, name)?.as_slice() {
        [argument] => Some(*argument),
        _ => None,
    }
}

/// The type arguments of a path that ends in `name`.
pub(crate) fn arguments_of<'t>(ty: &'t Type, name: &str) -> Option<Vec<&'t Type>> {
    let Type::Path(TypePath { qself: None, path }) = ty else { return None };
    let last = path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return Some(Vec::new()) };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    Some(types.collect())
}

/// Whether the type is `Self`.
pub(crate) fn is_self(ty: &Type) -> bool {
    matches!(ty, Type::Path(TypePath { qself: None, path }) if path.is_ident("Self"))
}

/// Whether the type is the parameter `name`.
pub(crate) fn is_parameter(ty: &Type, name: &Ident) -> bool {
    matches!(ty, Type::Path(TypePath { qself: None, path }) if path.is_ident(name))
}

/// Whether there is a reference anywhere in the type.
pub(crate) fn is_borrowing(ty: &Type) -> bool {
    fold::owned(ty) != *ty
}

/// The target of a reference.
fn referred(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Reference(reference) => Some(&reference.elem),
        _ => None,
    }
}

/// Whether the type is a path that ends in `name` and takes no arguments.
fn is_plain(ty: &Type, name: &str) -> bool {
    arguments_of(ty, name).is_some_and(|arguments| arguments.is_empty())
}

fn is_str(ty: &Type) -> bool {
    is_plain(ty, "str")
}

fn is_byte_slice(ty: &Type) -> bool {
    matches!(referred(ty), Some(Type::Slice(slice)) if is_plain(&slice.elem, "u8"))
}

fn is_byte_vec(ty: &Type) -> bool {
    argument_of(ty, "Vec").is_some_and(|element| is_plain(element, "u8"))
}
