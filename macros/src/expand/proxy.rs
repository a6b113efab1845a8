//! The proxy: a struct around a `BaseProxy`, with a method for each of the referent's; and its deferred twin, a struct around a
//! `DeferredBase`, with the same methods.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Attribute, GenericParam, Generics, Ident, Visibility, parse_quote};

use super::method::{Maker, deferred, method};
use super::traits::{self, ProxyStruct};
use super::{doc_name, lints, signature};
use crate::model::{Method, ProxyTrait, Referent};

/// A proxy that is to be written.
struct Proxy<'p> {
    visibility: Visibility,
    ident: &'p Ident,
    /// With the bounds that its methods need.
    generics: &'p Generics,
    docs: TokenStream,
    methods: &'p [Method],
    maker: Maker<'p>,
}

/// The proxy of a referent. It is `pub` whatever the referent is, because an associated type may not be narrower than its
/// trait.
pub(super) fn of_referent(model: &Referent, ident: &Ident) -> TokenStream {
    let served = doc_name(&model.subject);
    let title = format!("Proxy of [`{served}`]: a handle to one that lives in a server, for any process to use.");
    Proxy {
        visibility: parse_quote!(pub),
        ident,
        generics: &model.item.generics,
        docs: docs(&title, &[]),
        methods: &model.methods,
        maker: Maker::Type(&model.subject),
    }
    .expand()
}

/// The proxy that a trait describes; the trait itself is not emitted.
pub(crate) fn proxy_trait(model: &ProxyTrait) -> TokenStream {
    let title = format!("Proxy of a `{}` that lives in a server, for any process to use.", model.typeid.text);
    Proxy {
        visibility: model.visibility.clone(),
        ident: &model.proxy,
        generics: &Generics::default(),
        docs: docs(&title, &model.shown),
        methods: &model.methods,
        maker: Maker::Typeid(&model.typeid.text),
    }
    .expand()
}

/// The parameters of generics, without bounds and defaults: what a struct needs that holds none of them.
pub(super) fn bare_generics(generics: &Generics) -> Generics {
    let mut bare = generics.clone();
    bare.where_clause = None;
    for parameter in &mut bare.params {
        match parameter {
            GenericParam::Type(parameter) => {
                parameter.attrs.clear();
                parameter.bounds.clear();
                parameter.colon_token = None;
                parameter.default = None;
                parameter.eq_token = None;
            }
            GenericParam::Const(parameter) => {
                parameter.attrs.clear();
                parameter.default = None;
                parameter.eq_token = None;
            }
            GenericParam::Lifetime(_) => {}
        }
    }
    bare
}

/// The same generics, behind the lifetime of a batch.
pub(super) fn with_lifetime(generics: &Generics) -> Generics {
    let mut generics = generics.clone();
    generics.params.insert(0, parse_quote!('b));
    generics
}

impl Proxy<'_> {
    fn expand(&self) -> TokenStream {
        let declaration = self.declaration();
        let methods = self.methods();
        let twin = self.twin();
        let twin_type = self.twin_type();
        let traits = traits::implementations(&ProxyStruct {
            ident: self.ident,
            loose: bare_generics(self.generics),
            strict: self.generics.clone(),
            base: parse_quote!(base),
            cloned: quote!(Self {
                base: ::core::clone::Clone::clone(&self.base),
                signatures: ::core::clone::Clone::clone(&self.signatures),
                marker: ::core::marker::PhantomData,
            }),
            made: quote!(Self {
                base,
                signatures: Self::__multiproc_signatures(),
                marker: ::core::marker::PhantomData,
            }),
            deferred: twin_type,
            constants: TokenStream::new(),
            omitted: &[],
        });
        quote!(#declaration #methods #traits #twin)
    }

    /// `MyClassDeferred` for `MyClassProxy`, `HandleDeferred` for `Handle`.
    fn twin_ident(&self) -> Ident {
        let name = self.ident.unraw().to_string();
        format_ident!("{}Deferred", name.strip_suffix("Proxy").unwrap_or(&name), span = self.ident.span())
    }

    /// `MyClassDeferred<'b, T>`
    fn twin_type(&self) -> TokenStream {
        let ident = self.twin_ident();
        let generics = with_lifetime(&bare_generics(self.generics));
        let (_, arguments, _) = generics.split_for_impl();
        quote!(#ident #arguments)
    }

    /// The deferred twin.
    fn twin(&self) -> TokenStream {
        let Self { visibility, ident, .. } = self;
        let (twin, twin_type) = (self.twin_ident(), self.twin_type());
        let lints = lints();
        let bare = bare_generics(self.generics);
        let (_, arguments, _) = bare.split_for_impl();
        let declared = with_lifetime(&bare);
        let types = bare.type_params().map(|parameter| &parameter.ident);
        let strict = with_lifetime(self.generics);
        let (impl_generics, _, where_clause) = strict.split_for_impl();
        let methods = self.methods.iter().enumerate().filter_map(|(place, each)| deferred(place, each, ident));
        let title = format!(
            " The deferred twin of [`{ident}`]: its methods send their calls, and return a [`Deferred`](::multiproc::Deferred) \
             at once."
        );
        let origin = " [`defer`](::multiproc::Proxy::defer) gives one, and in a batch [`on`](::multiproc::Batch::on).";
        quote! {
            #[doc = #title]
            #[doc = ""]
            #[doc = #origin]
            #lints
            #visibility struct #twin #declared {
                base: ::multiproc::DeferredBase<'b>,
                signatures: ::multiproc::macro_support::Signatures,
                marker: ::core::marker::PhantomData<fn() -> (#(#types,)*)>,
            }

            #[automatically_derived]
            #lints
            impl #impl_generics ::core::convert::From<::multiproc::DeferredBase<'b>> for #twin_type #where_clause {
                fn from(base: ::multiproc::DeferredBase<'b>) -> Self {
                    Self {
                        base,
                        signatures: <#ident #arguments>::__multiproc_signatures(),
                        marker: ::core::marker::PhantomData,
                    }
                }
            }

            #lints
            impl #impl_generics #twin_type #where_clause {
                #(#methods)*
            }
        }
    }

    fn declaration(&self) -> TokenStream {
        let Self { visibility, ident, docs, .. } = self;
        let lints = lints();
        let generics = bare_generics(self.generics);
        let types = generics.type_params().map(|parameter| &parameter.ident);
        quote! {
            #docs
            #lints
            #visibility struct #ident #generics {
                base: ::multiproc::BaseProxy,
                signatures: ::multiproc::macro_support::Signatures,
                marker: ::core::marker::PhantomData<fn() -> (#(#types,)*)>,
            }
        }
    }

    fn methods(&self) -> TokenStream {
        let ident = self.ident;
        let lints = lints();
        let (impl_generics, _, where_clause) = self.generics.split_for_impl();
        let bare = bare_generics(self.generics);
        let (_, arguments, _) = bare.split_for_impl();
        let methods = self.methods.iter().enumerate().map(|(place, each)| method(place, each, &self.maker));
        let signatures = signatures(self.methods);
        quote! {
            #lints
            impl #impl_generics #ident #arguments #where_clause {
                #(#methods)*
                #signatures
            }
        }
    }
}

/// The signatures of all methods, computed once for a type: a method finds its own by its place.
fn signatures(methods: &[Method]) -> TokenStream {
    let each = methods.iter().map(|method| {
        let signature = signature(method);
        match absence(&method.carried.cfg) {
            None => signature,
            // A method that is configured away keeps its place.
            Some(absence) => {
                let cfg = &method.carried.cfg;
                quote!(#(#cfg)* #signature, #[cfg(#absence)] || 0)
            }
        }
    });
    quote! {
        #[doc(hidden)]
        fn __multiproc_signatures() -> ::multiproc::macro_support::Signatures {
            ::multiproc::macro_support::Signatures::of::<Self>(&[#(#each),*])
        }
    }
}

/// The condition under which one of these `cfg`s fails.
fn absence(cfg: &[Attribute]) -> Option<TokenStream> {
    let predicates = cfg.iter().filter_map(|attribute| attribute.meta.require_list().ok()).map(|list| &list.tokens);
    (!cfg.is_empty()).then(|| quote!(not(all(#(#predicates),*))))
}

fn docs(title: &str, own: &[Attribute]) -> TokenStream {
    let title = format!(" {title}");
    let errors = " Each method is a call: it blocks until the server has answered (or the proxy's timeout has passed), and fails \
                  with a [`multiproc::Error`](::multiproc::Error) where the system does.";
    let first = match own.is_empty() {
        true => quote!(#[doc = #title]),
        false => quote!(#(#own)* #[doc = ""] #[doc = #title]),
    };
    quote!(#first #[doc = ""] #[doc = #errors])
}
