//! From a model to code: one function per generated item, absolute paths only.
//!
//! Generated local variables have `mixed_site` hygiene, so that a parameter of the user's may be called `call` or `this`.
//! Code that can fail to type-check because of a user's type bears that type's place in the source.

mod entry;
mod method;
mod proxy;
mod raises;
mod referent;
mod task;
mod traits;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Type;
use syn::spanned::Spanned;

use crate::model::{Failure, Method};

pub(crate) use proxy::proxy_trait;
pub(crate) use raises::raised;
pub(crate) use referent::referent;
pub(crate) use task::task;
pub(crate) use traits::derived;

/// A local variable of ours, which nobody's own can be mistaken for.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// Hygiene of ours, at a place in the user's source.
fn at(span: Span) -> Span {
    Span::mixed_site().located_at(span)
}

/// A tuple of any length, one-tuples and `()` included.
fn tuple<T: ToTokens>(span: Span, items: impl IntoIterator<Item = T>) -> TokenStream {
    let items = items.into_iter();
    quote_spanned!(at(span)=> (#(#items,)*))
}

/// Where to complain of a method's arguments, taken together: at the only one, else at the method's name.
fn arguments_span(method: &Method) -> Span {
    match method.parameters.as_slice() {
        [only] => only.incoming.shown.span(),
        _ => method.ident.span(),
    }
}

/// The function that computes a method's signature, from the types as they are on the wire.
fn signature(method: &Method) -> TokenStream {
    let arguments = tuple(arguments_span(method), method.parameters.iter().map(|parameter| &parameter.incoming.wire));
    let value = &method.answer.value.wire;
    let answer = match &method.answer.failure {
        Failure::Typed(error) => quote_spanned!(at(method.answer.span)=> ::core::result::Result<#value, #error>),
        Failure::Never | Failure::Text => quote!(#value),
    };
    quote!(::multiproc::macro_support::signature::<#arguments, #answer>)
}

/// What generated code may do that its author didn't write.
fn lints() -> TokenStream {
    quote! {
        #[allow(
            clippy::all,
            clippy::pedantic,
            clippy::nursery,
            dead_code,
            deprecated,
            private_bounds,
            private_interfaces,
            unreachable_pub,
            unused_qualifications,
            rustdoc::broken_intra_doc_links,
            rustdoc::private_intra_doc_links
        )]
    }
}

/// The type's name as documentation calls it.
fn doc_name(ty: &Type) -> String {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default(),
        _ => String::new(),
    }
}
