//! A method of a proxy: it sends its arguments, from where they lie, and returns what was answered.

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use quote::{format_ident, quote, quote_spanned};
use syn::Type;

use super::{arguments_span, at, local, tuple};
use crate::model::{Failure, Kind, Method, WireName};

/// How a proxy's constructors name what they make.
pub(super) enum Maker<'m> {
    /// By the referent's type.
    Type(&'m Type),
    /// By a name that the server knows.
    Typeid(&'m str),
}

/// The method whose signature is the proxy's `place`th.
pub(super) fn method(place: usize, method: &Method, maker: &Maker<'_>) -> TokenStream {
    let docs = docs(method);
    let cfg = &method.carried.cfg;
    let shown = &method.carried.shown;
    let ident = &method.ident;
    let parameters = method.parameters.iter().map(|parameter| {
        let (ident, shown) = (&parameter.ident, &parameter.incoming.shown);
        quote!(#ident: #shown)
    });
    let (first, result, call) = match method.kind {
        Kind::Constructor => {
            let manager = local("manager");
            (quote!(#manager: &::multiproc::BaseManager), quote!(Self), construction(place, method, maker))
        }
        Kind::Shared | Kind::Exclusive => {
            let owned = &method.answer.value.owned;
            (quote!(&self), quote!(#owned), invocation(place, method))
        }
    };
    let span = at(method.answer.span);
    let returned = match &method.answer.failure {
        Failure::Typed(error) => quote_spanned!(span=> ::core::result::Result<#result, ::multiproc::CallError<#error>>),
        Failure::Never | Failure::Text => quote_spanned!(span=> ::multiproc::Result<#result>),
    };
    quote! {
        #(#cfg)*
        #(#shown)*
        #docs
        pub fn #ident(#first, #(#parameters),*) -> #returned {
            #call
        }
    }
}

/// The same method of the deferred twin of `proxy`; a constructor has none.
pub(super) fn deferred(place: usize, method: &Method, proxy: &Ident) -> Option<TokenStream> {
    if method.kind == Kind::Constructor {
        return None;
    }
    let cfg = &method.carried.cfg;
    let ident = &method.ident;
    let docs = format!(
        " Calls `{}` in the server, without waiting for the result. See [`{proxy}::{ident}`].",
        method.name.text
    );
    let deprecated = method.carried.shown.iter().filter(|attribute| attribute.path().is_ident("deprecated"));
    let parameters = method.parameters.iter().map(|parameter| {
        let (ident, shown) = (&parameter.ident, &parameter.incoming.shown);
        quote!(#ident: #shown)
    });
    let owned = &method.answer.value.owned;
    let span = at(method.answer.span);
    let returned = match &method.answer.failure {
        Failure::Typed(error) => quote_spanned!(span=> ::multiproc::Deferred<#owned, ::multiproc::CallError<#error>>),
        Failure::Never | Failure::Text => quote_spanned!(span=> ::multiproc::Deferred<#owned>),
    };
    let call = invocation(place, method);
    let function = quote! {
        pub fn #ident(&self, #(#parameters),*) -> #returned {
            #call
        }
    };
    let function = of_proxy(function, proxy);
    Some(quote!(#(#cfg)* #(#deprecated)* #[doc = #docs] #function))
}

/// In a described method `Self` is the proxy, in its twin as well.
fn of_proxy(tokens: TokenStream, proxy: &Ident) -> TokenStream {
    let each = |token| match token {
        TokenTree::Ident(ident) if ident == "Self" => {
            let mut own = proxy.clone();
            own.set_span(ident.span());
            own.into()
        }
        TokenTree::Group(group) => {
            let mut inner = Group::new(group.delimiter(), of_proxy(group.stream(), proxy));
            inner.set_span(group.span());
            inner.into()
        }
        other => other,
    };
    tokens.into_iter().map(each).collect()
}

/// `self.base.invoke("name", signature, &(arguments,))`, for a proxy and for its deferred twin.
fn invocation(place: usize, method: &Method) -> TokenStream {
    let name = &method.name.text;
    let (sent, arguments) = (sent(method), sent_type(method));
    let wire = &method.answer.value.wire;
    let (way, types) = match &method.answer.failure {
        Failure::Typed(error) => ("invoke_fallible", quote!(#arguments, #wire, #error)),
        Failure::Never | Failure::Text => ("invoke", quote!(#arguments, #wire)),
    };
    let way = by_codec(way, method);
    let signature = signature_argument(method, &quote!(self.signatures.get(#place)));
    let call = quote!(self.base.#way::<#types>(#name, #signature #sent));
    if method.answer.value.is_whole() {
        return call;
    }
    let value = local("value");
    let received = method.answer.value.receive(&quote!(#value));
    quote!(#call.map(|#value| #received))
}

/// `AsRef::<Maker>::as_ref(manager).construct::<Type, Self, _>("name", signature, &(arguments,))`
fn construction(place: usize, method: &Method, maker: &Maker<'_>) -> TokenStream {
    let manager = local("manager");
    let maker_of_manager = quote!(::core::convert::AsRef::<::multiproc::Maker>::as_ref(#manager));
    let name = &method.name.text;
    let (sent, arguments) = (sent(method), sent_type(method));
    let error = match &method.answer.failure {
        Failure::Typed(error) => Some(error),
        Failure::Never | Failure::Text => None,
    };
    let fallible = if error.is_some() { "_fallible" } else { "" };
    let error = error.into_iter();
    let signature = signature_argument(method, &quote!(Self::__multiproc_signatures().get(#place)));
    match maker {
        Maker::Type(referent) => {
            let way = by_codec(&format!("construct{fallible}"), method);
            quote!(#maker_of_manager.#way::<#referent, Self, #arguments #(, #error)*>(#name, #signature #sent))
        }
        Maker::Typeid(typeid) => {
            let way = by_codec(&format!("construct{fallible}_as"), method);
            quote!(#maker_of_manager.#way::<Self, #arguments #(, #error)*>(#typeid, #name, #signature #sent))
        }
    }
}

/// A call that describes itself needs no signature.
fn signature_argument(method: &Method, signature: &TokenStream) -> Option<TokenStream> {
    (!method.by_value).then(|| quote!(#signature,))
}

/// The name of the way in the method's codec.
fn by_codec(way: &str, method: &Method) -> Ident {
    if method.by_value { format_ident!("{way}_by_value") } else { format_ident!("{way}") }
}

/// `&(a, b,)`
fn sent(method: &Method) -> TokenStream {
    let span = arguments_span(method);
    let arguments = tuple(span, method.parameters.iter().map(|parameter| parameter.incoming.send(&parameter.ident)));
    quote_spanned!(at(span)=> &#arguments)
}

/// The type of the arguments is inferred; a type that can't be sent is told at this `_`.
fn sent_type(method: &Method) -> TokenStream {
    quote_spanned!(at(arguments_span(method))=> _)
}

/// What the method's own documentation leaves open: the name on the wire.
fn docs(method: &Method) -> TokenStream {
    let (name, constructs) = (&method.name.text, method.kind == Kind::Constructor);
    let line = match (method.carried.documented(), constructs) {
        (true, _) if *name == WireName::of(&method.ident).text => return TokenStream::new(),
        (_, true) => format!(" Makes one in the manager's server, by `{name}`."),
        (_, false) => format!(" Calls `{name}` in the server."),
    };
    if method.carried.documented() { quote!(#[doc = ""] #[doc = #line]) } else { quote!(#[doc = #line]) }
}
