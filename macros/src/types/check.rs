//! Refuses types that have no wire form, each with what to write instead.

use syn::visit::{self, Visit};
use syn::{GenericArgument, PathArguments, PathSegment, Result, Type, TypeReference};

use super::is_str;
use crate::errors::Errors;

/// Where a type stands: advice depends on it.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    Parameter,
    Result,
}

/// Refuses what can't cross in any position.
pub(super) fn check(ty: &Type, place: Place) -> Result<()> {
    let mut checker = Checker { place, errors: Errors::default() };
    checker.visit_type(ty);
    checker.errors.finish(())
}

/// Refuses what can't cross, and all that borrows, by `advice`.
pub(crate) fn check_owned(ty: &Type, advice: &'static str) -> Result<()> {
    let mut owned = Owned { advice, errors: Errors::default() };
    owned.visit_type(ty);
    owned.errors.finish(())?;
    check(ty, Place::Result)
}

struct Owned {
    advice: &'static str,
    errors: Errors,
}

impl<'t> Visit<'t> for Owned {
    fn visit_type_reference(&mut self, reference: &'t TypeReference) {
        self.errors.at(reference, self.advice);
    }
}

struct Checker {
    place: Place,
    errors: Errors,
}

impl<'t> Visit<'t> for Checker {
    fn visit_type(&mut self, ty: &'t Type) {
        let advice = match ty {
            Type::ImplTrait(_) => "`impl Trait` has no one wire form: name the type",
            Type::TraitObject(_) => "a trait object can't be decoded by the other side: name the type, or use an enum",
            Type::BareFn(_) => "a function pointer means nothing in another process: send a value that says what to do",
            Type::Ptr(_) => "a pointer means nothing in another process: send the value that it points to",
            Type::Infer(_) => "name the type: what is sent must be known here",
            Type::Never(_) => "a method that never returns is never answered: return a value, or `()`",
            Type::Reference(TypeReference { mutability: Some(_), .. }) if self.place == Place::Parameter => {
                "what a method changes in the server can't reach the caller's variable: \
                 take the value, and return the changed one"
            }
            Type::Reference(TypeReference { mutability: Some(_), .. }) => {
                "a `&mut` can't leave the server: return `&T` or a value, and change it by a method"
            }
            Type::Reference(TypeReference { lifetime: Some(lifetime), .. })
                if lifetime.ident == "static" && self.place == Place::Parameter =>
            {
                "an argument lives only as long as its call: leave `'static` away, or take it by value"
            }
            _ => return visit::visit_type(self, ty),
        };
        self.errors.at(ty, advice);
    }

    fn visit_path_segment(&mut self, segment: &'t PathSegment) {
        if let PathArguments::AngleBracketed(arguments) = &segment.arguments {
            for argument in &arguments.args {
                if let GenericArgument::Lifetime(lifetime) = argument
                    && lifetime.ident != "static"
                    && segment.ident != "Cow"
                {
                    let advice = match self.place {
                        Place::Parameter => {
                            "take a type that owns what it holds (or `&T`, `&str`, `&[T]`, `Option<&T>`)"
                        }
                        Place::Result => "return a type that owns what it holds, or a plain reference",
                    };
                    self.errors.at(segment, format!("`{}` borrows, so it can't be decoded: {advice}", segment.ident));
                }
            }
        }
        visit::visit_path_segment(self, segment);
    }
}

/// Refuses references inside of a parameter's type, but for `&str`, which is read straight from the call's bytes.
pub(super) fn only_text_is_borrowed(ty: &Type) -> Result<()> {
    let mut only_text = OnlyText(Errors::default());
    only_text.visit_type(ty);
    only_text.0.finish(())
}

struct OnlyText(Errors);

impl<'t> Visit<'t> for OnlyText {
    fn visit_type_reference(&mut self, reference: &'t TypeReference) {
        if !is_str(&reference.elem) {
            let advice = "a reference inside of another type can't be decoded: take the owned type \
                          (or `&T`, `&str`, `&[T]`, `Option<&T>`)";
            self.0.at(reference, advice);
        }
    }
}
