//! The rewritings of types: `Self` named, lifetimes dropped, references replaced by owners.

use syn::fold::{self, Fold};
use syn::{ExprPath, Lifetime, Path, QSelf, Token, Type, TypePath, TypeReference, parse_quote};

use super::{is_plain, is_self, is_str};

/// The type with `Self` replaced, and without the invisible groups that `macro_rules` leaves around its fragments.
pub(crate) fn normal(ty: &Type, subject: &Type) -> Type {
    Normal(subject).fold_type(ty.clone())
}

/// The type as a method without lifetimes of its own may write it.
pub(super) fn unnamed(ty: &Type) -> Type {
    Relabelled("'_").fold_type(ty.clone())
}

/// The type as a server reads it: `&str` out of the call's bytes, a `Cow` with an owner in it.
pub(super) fn readable(ty: &Type) -> Type {
    Relabelled("'static").fold_type(ty.clone())
}

/// The type with every reference replaced by what owns its target.
pub(super) fn owned(ty: &Type) -> Type {
    Owned.fold_type(ty.clone())
}

/// The owner of an unsized type that has one of its own. Right also for another type of that name, if that is `Clone`.
pub(super) fn special_owner(target: &Type) -> Option<Type> {
    ["Path", "OsStr", "CStr"]
        .iter()
        .any(|name| is_plain(target, name))
        .then(|| parse_quote!(<#target as ::std::borrow::ToOwned>::Owned))
}

/// Replaces `Self`, and unwraps groups.
struct Normal<'s>(&'s Type);

impl Normal<'_> {
    /// `Self::N` is `<Subject>::N` outside of the subject's own block.
    fn qualify(&self, qself: &mut Option<QSelf>, path: &mut Path) {
        if qself.is_some() || path.segments.len() < 2 || path.segments[0].ident != "Self" || is_self(self.0) {
            return;
        }
        let ty = Box::new(self.0.clone());
        *qself =
            Some(QSelf { lt_token: Default::default(), ty, position: 0, as_token: None, gt_token: Default::default() });
        path.leading_colon = Some(<Token![::]>::default());
        path.segments = path.segments.iter().skip(1).cloned().collect();
    }
}

impl Fold for Normal<'_> {
    fn fold_type(&mut self, ty: Type) -> Type {
        match ty {
            Type::Group(group) => self.fold_type(*group.elem),
            Type::Paren(paren) => self.fold_type(*paren.elem),
            ty if is_self(&ty) => self.0.clone(),
            ty => fold::fold_type(self, ty),
        }
    }

    fn fold_type_path(&mut self, mut path: TypePath) -> TypePath {
        self.qualify(&mut path.qself, &mut path.path);
        fold::fold_type_path(self, path)
    }

    fn fold_expr_path(&mut self, mut path: ExprPath) -> ExprPath {
        self.qualify(&mut path.qself, &mut path.path);
        fold::fold_expr_path(self, path)
    }
}

/// Drops the lifetimes of references, and gives those in paths (of a `Cow`; others are refused) this one.
struct Relabelled(&'static str);

impl Fold for Relabelled {
    fn fold_type_reference(&mut self, mut reference: TypeReference) -> TypeReference {
        reference.lifetime = None;
        fold::fold_type_reference(self, reference)
    }

    fn fold_lifetime(&mut self, lifetime: Lifetime) -> Lifetime {
        if lifetime.ident == "static" { lifetime } else { Lifetime::new(self.0, lifetime.span()) }
    }
}

/// Replaces references by owners.
struct Owned;

impl Fold for Owned {
    fn fold_type(&mut self, ty: Type) -> Type {
        let Type::Reference(reference) = ty else { return fold::fold_type(self, ty) };
        match *reference.elem {
            target if is_str(&target) => parse_quote!(::std::string::String),
            Type::Slice(slice) => {
                let element = self.fold_type(*slice.elem);
                parse_quote!(::std::vec::Vec<#element>)
            }
            target => special_owner(&target).unwrap_or_else(|| self.fold_type(target)),
        }
    }

    fn fold_lifetime(&mut self, lifetime: Lifetime) -> Lifetime {
        Lifetime::new("'static", lifetime.span())
    }
}
