//! The `Referent` implementation: the type's name, its store, and its table of methods.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::{at, entry, lints, local, proxy};
use crate::model::{Kind, ProxyChoice, Referent};

/// Everything that `#[multiproc::referent]` adds to the block, and the block.
pub(crate) fn referent(model: &Referent) -> TokenStream {
    let item = &model.item;
    let implementation = implementation(model);
    let proxy = match &model.proxy {
        ProxyChoice::Generated(ident) => proxy::of_referent(model, ident),
        ProxyChoice::Handwritten(_) => TokenStream::new(),
    };
    quote!(#item #implementation #proxy)
}

fn implementation(model: &Referent) -> TokenStream {
    let subject = &model.subject;
    let (impl_generics, _, where_clause) = model.item.generics.split_for_impl();
    let lints = lints();
    let proxy = proxy_type(model);
    let store = store(model);
    let typeid = &model.typeid.text;
    let table = local("table");
    let methods = methods(model, &table);
    quote! {
        #[automatically_derived]
        #lints
        impl #impl_generics ::multiproc::Referent for #subject #where_clause {
            type Proxy = #proxy;
            type Store = #store;
            const TYPEID: &'static str = #typeid;

            fn methods(#table: &mut ::multiproc::Methods<Self>) {
                #methods
            }
        }
    }
}

fn proxy_type(model: &Referent) -> TokenStream {
    match &model.proxy {
        ProxyChoice::Handwritten(ty) => quote!(#ty),
        ProxyChoice::Generated(ident) => {
            let generics = proxy::bare_generics(&model.item.generics);
            let (_, arguments, _) = generics.split_for_impl();
            quote!(#ident #arguments)
        }
    }
}

/// Methods that all take `&self` need no lock around the referent.
fn store(model: &Referent) -> TokenStream {
    let store = if model.exclusive {
        "Mutex"
    } else if model.methods.iter().any(|method| method.kind == Kind::Exclusive) {
        "RwLock"
    } else {
        "Bare"
    };
    let span = at(model.subject.span());
    let store = Ident::new(store, span);
    quote_spanned!(span=> ::multiproc::store::#store<Self>)
}

fn methods(model: &Referent, table: &Ident) -> TokenStream {
    let entries = model.methods.iter().map(|method| entry::entry(table, method));
    let display = model.display.map(|span| flag(table, Ident::new("display", span)));
    let value = model.value.map(|span| flag(table, Ident::new("value", span)));
    quote!(#(#entries)* #display #value)
}

/// Errors about what a flag asks of the type are told at the flag.
fn flag(table: &Ident, flag: Ident) -> TokenStream {
    let span = at(flag.span());
    let table = Ident::new(&table.to_string(), span);
    quote_spanned!(span=> ::multiproc::Methods::<Self>::#flag(#table);)
}
