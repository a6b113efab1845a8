//! `Raises`: which exception of Python's each form of an error is.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Generics, parse_quote};

use super::{at, lints};
use crate::model::{Form, Raised};

/// The implementation for a type with `#[derive(multiproc::Raises)]`.
pub(crate) fn raised(model: &Raised) -> TokenStream {
    let ident = &model.ident;
    let lints = lints();
    let generics = bounded(model);
    let (impl_generics, arguments, where_clause) = generics.split_for_impl();
    let forms = model.forms.iter().map(form);
    // A type without variants has no form, and no value either.
    let body = if model.forms.is_empty() { quote!(match *self {}) } else { quote!(match self { #(#forms,)* }) };
    quote! {
        #[automatically_derived]
        #lints
        impl #impl_generics ::multiproc::Raises for #ident #arguments #where_clause {
            fn raised(&self) -> ::multiproc::Raised {
                #body
            }
        }
    }
}

/// With what the exceptions' arguments need of the type's parameters.
fn bounded(model: &Raised) -> Generics {
    let mut generics = model.generics.clone();
    if generics.type_params().next().is_none() {
        return generics;
    }
    let clause = generics.make_where_clause();
    if model.forms.iter().any(|form| form.text) {
        clause.predicates.push(parse_quote!(Self: ::core::fmt::Display));
    }
    for field in model.forms.iter().filter(|form| !form.text).flat_map(|form| &form.fields) {
        let ty = &field.ty;
        clause.predicates.push(parse_quote!(#ty: ::multiproc::macro_support::serde::Serialize));
    }
    generics
}

/// `Self::Variant { field: field_0 } => Raised::new("Class").argument(field_0)`
fn form(form: &Form) -> TokenStream {
    let span = at(form.class.span);
    let variant = form.variant.as_ref().map(|variant| quote!(::#variant));
    let class = &form.class.text;
    let raised = quote_spanned!(span=> ::multiproc::Raised::new(#class));
    if form.text {
        // The function's own `self`, at the place where a missing `Display` is to be told.
        let this = Ident::new("self", form.class.span.resolved_at(Span::call_site()));
        let text = quote_spanned!(span=> ::std::string::ToString::to_string(#this));
        return quote!(Self #variant { .. } => #raised.argument(&#text));
    }
    let names: Vec<Ident> = (0..form.fields.len()).map(|place| format_ident!("field_{place}")).collect();
    let members = form.fields.members().zip(&names).map(|(member, name)| quote!(#member: #name));
    let arguments = form.fields.iter().zip(&names).map(|(field, name)| {
        let span = at(field.ty.span());
        quote_spanned!(span=> .argument(#name))
    });
    quote!(Self #variant { #(#members),* } => #raised #(#arguments)*)
}
