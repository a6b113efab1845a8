//! A method's line in the table: its name, its parameters' names, its signature, and how to call it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};

use super::{arguments_span, at, local, signature, tuple};
use crate::model::{Exceptions, Failure, Kind, Method, Source, WireName};
use crate::types::Outgoing;

/// `table.shared("name", &["parameter"], signature, |this, call| …);`
///
/// Of the codec nothing is said here: every call says itself in which it is written, and is answered in the same.
pub(super) fn entry(table: &Ident, method: &Method) -> TokenStream {
    let cfg = &method.carried.cfg;
    let name = &method.name.text;
    let parameters = method.parameters.iter().map(|parameter| WireName::of(&parameter.ident).text);
    let signature = signature(method);
    let (registrar, handler) = match method.kind {
        Kind::Constructor => ("constructor", constructor(method)),
        Kind::Shared => ("shared", handler(method)),
        Kind::Exclusive => ("exclusive", handler(method)),
    };
    let registrar = Ident::new(registrar, Span::mixed_site());
    let blocking = method.blocking.then(|| quote!(.blocking()));
    let raising = method.raises.as_ref().map(|raises| raising(raises, &method.answer.failure));
    quote! {
        #(#cfg)*
        #table.#registrar(#name, &[#(#parameters),*], #signature, #handler) #blocking #raising;
    }
}

/// `.raising::<E>(|error| …)`. What an error's type lacks for it is told where it is asked for.
pub(super) fn raising(raises: &Exceptions, failure: &Failure) -> TokenStream {
    let span = at(raises.span());
    let error = match failure {
        Failure::Typed(error) => quote!(#error),
        Failure::Never | Failure::Text => quote!(::std::string::String),
    };
    let raised = match raises {
        Exceptions::Own(_) => quote_spanned!(span=> <#error as ::multiproc::Raises>::raised),
        Exceptions::Class(class) => {
            let (class, name) = (&class.text, local("error"));
            quote_spanned! {span=>
                |#name| ::multiproc::Raised::new(#class).argument(&::std::string::ToString::to_string(#name))
            }
        }
    };
    quote_spanned!(span=> .raising::<#error>(#raised))
}

/// `|call| …`, which makes a referent.
fn constructor(method: &Method) -> TokenStream {
    let call = local("call");
    let arguments = arguments(method);
    let made = called(method, None, None);
    let outcome = match &method.answer.failure {
        Failure::Never => quote!(::core::result::Result::Ok(#made)),
        Failure::Typed(_) => quote_spanned!(at(method.answer.span)=> #call.constructed(#made)),
        Failure::Text => quote_spanned!(at(method.answer.span)=> #call.constructed_text(#made)),
    };
    quote!(|#call| { #arguments #outcome })
}

/// `|this, call| …`, which answers a call.
fn handler(method: &Method) -> TokenStream {
    let (this, call, responder) = (local("this"), local("call"), local("responder"));
    let arguments = arguments(method);
    let outcome = match &method.answer.source {
        Source::Responder => {
            let called = called(method, Some(&this), Some(&responder));
            quote! {
                let #responder = #call.responder();
                #called;
                ::core::result::Result::Ok(#call.answered_later())
            }
        }
        _ => answer(method, &called(method, Some(&this), None)),
    };
    quote!(|#this, #call| { #arguments #outcome })
}

/// `let (a, b,): (A, B,) = call.arguments()?;`
fn arguments(method: &Method) -> TokenStream {
    let call = local("call");
    let span = arguments_span(method);
    let names = tuple(span, method.parameters.iter().map(|parameter| &parameter.ident));
    let types = tuple(span, method.parameters.iter().map(|parameter| &parameter.incoming.decoded));
    quote_spanned!(at(span)=> let #names: #types = #call.arguments()?;)
}

/// `Self::method(this, a, &b, responder)`
fn called(method: &Method, this: Option<&Ident>, responder: Option<&Ident>) -> TokenStream {
    let ident = &method.ident;
    let this = this.into_iter();
    let passed = method.parameters.iter().map(|parameter| parameter.incoming.pass(&parameter.ident));
    let responder = responder.into_iter();
    quote_spanned!(at(method.answer.span)=> Self::#ident(#(#this,)* #(#passed,)* #(#responder)*))
}

/// The call's answer from what the method returned. A result that can't be sent is told at its type.
fn answer(method: &Method, returned: &TokenStream) -> TokenStream {
    let answer = &method.answer;
    let way = match (&answer.source, &answer.failure) {
        (Source::Referent, Failure::Never) => "answer_referent",
        (Source::Referent, Failure::Typed(_)) => "answer_referent_result",
        (Source::Referent, Failure::Text) => return referent_or_text(method, "answer_referent", returned),
        (Source::Shared, Failure::Never) => "answer_shared",
        (Source::Shared, Failure::Typed(_)) => "answer_shared_result",
        (Source::Shared, Failure::Text) => return referent_or_text(method, "answer_shared", returned),
        (_, Failure::Never) => "answer",
        (_, Failure::Typed(_)) => "answer_result",
        (_, Failure::Text) => "answer_text",
    };
    let span = at(answer.span);
    let (call, way) = (local("call"), Ident::new(way, span));
    match &answer.source {
        Source::Value => {
            let sent = sent(&answer.value, &answer.failure, returned);
            quote_spanned!(span=> #call.#way(&#sent))
        }
        _ => quote_spanned!(span=> #call.#way(#returned)),
    }
}

/// What the method returned, its value made ready to be serialized.
fn sent(value: &Outgoing, failure: &Failure, returned: &TokenStream) -> TokenStream {
    match failure {
        _ if value.is_whole() => returned.clone(),
        Failure::Never => value.send(returned),
        Failure::Typed(_) | Failure::Text => {
            let name = local("value");
            let sent = value.send(&quote!(#name));
            quote!(#returned.map(|#name| #sent))
        }
    }
}

/// Text errors beside a referent: each has its own way.
fn referent_or_text(method: &Method, way: &str, returned: &TokenStream) -> TokenStream {
    let span = at(method.answer.span);
    let (call, value, error, way) = (local("call"), local("value"), local("error"), Ident::new(way, span));
    quote_spanned! {span=>
        match #returned {
            ::core::result::Result::Ok(#value) => #call.#way(#value),
            ::core::result::Result::Err(#error) => #call.answer_text(&::core::result::Result::<(), _>::Err(#error)),
        }
    }
}
