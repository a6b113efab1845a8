//! What every proxy implements, generated or derived: each through its `BaseProxy`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Generics, Ident, Member, parse_quote};

use super::lints;
use super::proxy::{bare_generics, with_lifetime};
use crate::model::{Derivable, Derived};

/// A proxy's struct, as far as its trait implementations must know it.
pub(super) struct ProxyStruct<'p> {
    pub(super) ident: &'p Ident,
    /// What the struct itself needs of its parameters.
    pub(super) loose: Generics,
    /// What making one from a `BaseProxy` needs of them.
    pub(super) strict: Generics,
    /// The field that holds the `BaseProxy`.
    pub(super) base: Member,
    /// A clone of `self`.
    pub(super) cloned: TokenStream,
    /// A new one around a variable `base`.
    pub(super) made: TokenStream,
    /// The type of its deferred twin, in which `'b` is the lifetime of a batch.
    pub(super) deferred: TokenStream,
    /// `EXPOSED` and `METHOD_TO_TYPEID`, where they are not the defaults.
    pub(super) constants: TokenStream,
    /// Traits that the author writes by hand.
    pub(super) omitted: &'p [Derivable],
}

/// The implementations for a struct with `#[derive(multiproc::Proxy)]`.
pub(crate) fn derived(model: &Derived) -> TokenStream {
    let (base, others) = (&model.base, &model.others);
    let mut strict = model.generics.clone();
    if !strict.params.is_empty() {
        let ident = &model.ident;
        let (_, arguments, _) = model.generics.split_for_impl();
        let bound = parse_quote!(#ident #arguments: ::core::marker::Send + ::core::marker::Sync + 'static);
        strict.make_where_clause().predicates.push(bound);
    }
    implementations(&ProxyStruct {
        ident: &model.ident,
        loose: model.generics.clone(),
        strict,
        base: base.clone(),
        cloned: quote!(Self {
            #base: ::core::clone::Clone::clone(&self.#base),
            #(#others: ::core::clone::Clone::clone(&self.#others),)*
        }),
        made: quote!(Self { #base: base, #(#others: ::core::default::Default::default(),)* }),
        deferred: deferred(model),
        constants: constants(model),
        omitted: &model.flags.omitted,
    })
}

/// The twin that the author names, with the proxy's own parameters; else the one that calls by name.
fn deferred(model: &Derived) -> TokenStream {
    let Some(twin) = &model.flags.deferred else { return quote!(::multiproc::DeferredBase<'b>) };
    let generics = with_lifetime(&bare_generics(&model.generics));
    let (_, arguments, _) = generics.split_for_impl();
    quote!(#twin #arguments)
}

fn constants(model: &Derived) -> TokenStream {
    let exposed = model.flags.exposed.as_ref().map(|names| {
        let names = names.iter().map(|name| &name.text);
        quote! {
            const EXPOSED: ::core::option::Option<&'static [&'static str]> = ::core::option::Option::Some(&[#(#names),*]);
        }
    });
    let pairs = &model.flags.method_to_typeid;
    let method_to_typeid = (!pairs.is_empty()).then(|| {
        let pairs = pairs.iter().map(|(method, typeid)| {
            let (method, typeid) = (&method.text, &typeid.text);
            quote!((#method, #typeid))
        });
        quote!(const METHOD_TO_TYPEID: &'static [(&'static str, &'static str)] = &[#(#pairs),*];)
    });
    quote!(#exposed #method_to_typeid)
}

/// All of them, but those that are omitted.
pub(super) fn implementations(proxy: &ProxyStruct<'_>) -> TokenStream {
    let itself = itself(proxy);
    let wanted = Derivable::ALL.into_iter().filter(|each| !proxy.omitted.contains(each));
    let others = wanted.map(|each| match each {
        Derivable::Clone => clone(proxy),
        Derivable::Debug => formatted(proxy, &quote!(::core::fmt::Debug)),
        Derivable::Display => formatted(proxy, &quote!(::core::fmt::Display)),
        Derivable::PartialEq => partial_eq(proxy),
        Derivable::Eq => loose(proxy, &quote!(::core::cmp::Eq), &TokenStream::new()),
        Derivable::Hash => hash(proxy),
        Derivable::Serialize => serialize(proxy),
        Derivable::Deserialize => deserialize(proxy),
        Derivable::AsRef => as_ref(proxy),
    });
    quote!(#itself #(#others)*)
}

/// `impl Proxy`
fn itself(proxy: &ProxyStruct<'_>) -> TokenStream {
    let ProxyStruct { base, made, deferred, constants, .. } = proxy;
    implementation(
        proxy,
        &proxy.strict,
        &quote!(::multiproc::Proxy),
        &quote! {
            #constants
            type Deferred<'b> = #deferred;

            fn from_base(base: ::multiproc::BaseProxy) -> Self {
                #made
            }

            fn base(&self) -> &::multiproc::BaseProxy {
                &self.#base
            }
        },
    )
}

fn clone(proxy: &ProxyStruct<'_>) -> TokenStream {
    let cloned = &proxy.cloned;
    loose(
        proxy,
        &quote!(::core::clone::Clone),
        &quote! {
            fn clone(&self) -> Self {
                #cloned
            }
        },
    )
}

/// `Debug` and `Display` are the base's.
fn formatted(proxy: &ProxyStruct<'_>, format: &TokenStream) -> TokenStream {
    let base = &proxy.base;
    loose(
        proxy,
        format,
        &quote! {
            fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                #format::fmt(&self.#base, formatter)
            }
        },
    )
}

fn partial_eq(proxy: &ProxyStruct<'_>) -> TokenStream {
    let base = &proxy.base;
    loose(
        proxy,
        &quote!(::core::cmp::PartialEq),
        &quote! {
            fn eq(&self, other: &Self) -> bool {
                ::core::cmp::PartialEq::eq(&self.#base, &other.#base)
            }
        },
    )
}

fn hash(proxy: &ProxyStruct<'_>) -> TokenStream {
    let base = &proxy.base;
    loose(
        proxy,
        &quote!(::core::hash::Hash),
        &quote! {
            fn hash<__H: ::core::hash::Hasher>(&self, state: &mut __H) {
                ::core::hash::Hash::hash(&self.#base, state)
            }
        },
    )
}

fn serialize(proxy: &ProxyStruct<'_>) -> TokenStream {
    let base = &proxy.base;
    let serde = quote!(::multiproc::macro_support::serde);
    loose(
        proxy,
        &quote!(#serde::Serialize),
        &quote! {
            fn serialize<__S: #serde::Serializer>(&self, serializer: __S) -> ::core::result::Result<__S::Ok, __S::Error> {
                #serde::Serialize::serialize(&self.#base, serializer)
            }
        },
    )
}

fn deserialize(proxy: &ProxyStruct<'_>) -> TokenStream {
    let serde = quote!(::multiproc::macro_support::serde);
    let mut generics = proxy.strict.clone();
    generics.params.insert(0, parse_quote!('de));
    implementation(
        proxy,
        &generics,
        &quote!(#serde::Deserialize<'de>),
        &quote! {
            fn deserialize<__D: #serde::Deserializer<'de>>(deserializer: __D) -> ::core::result::Result<Self, __D::Error> {
                let base = <::multiproc::BaseProxy as #serde::Deserialize<'de>>::deserialize(deserializer)?;
                ::core::result::Result::Ok(<Self as ::multiproc::Proxy>::from_base(base))
            }
        },
    )
}

fn as_ref(proxy: &ProxyStruct<'_>) -> TokenStream {
    let base = &proxy.base;
    loose(
        proxy,
        &quote!(::core::convert::AsRef<::multiproc::BaseProxy>),
        &quote! {
            fn as_ref(&self) -> &::multiproc::BaseProxy {
                &self.#base
            }
        },
    )
}

fn loose(proxy: &ProxyStruct<'_>, implemented: &TokenStream, body: &TokenStream) -> TokenStream {
    implementation(proxy, &proxy.loose, implemented, body)
}

fn implementation(
    proxy: &ProxyStruct<'_>,
    generics: &Generics,
    implemented: &TokenStream,
    body: &TokenStream,
) -> TokenStream {
    let ident = proxy.ident;
    let lints = lints();
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let (_, arguments, _) = proxy.loose.split_for_impl();
    quote! {
        #[automatically_derived]
        #lints
        impl #impl_generics #implemented for #ident #arguments #where_clause {
            #body
        }
    }
}
