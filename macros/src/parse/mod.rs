//! From an item's syntax to its model. What the model can't express is refused here, each with what to do instead.

mod method;
mod raises;
mod task;

use proc_macro2::{Span, TokenStream};
use quote::format_ident;
use syn::{
    Data, DeriveInput, Error, Fields, ImplItem, Index, Item, ItemImpl, ItemTrait, Member, TraitItem, Type, TypePath,
    Visibility,
};

use crate::attributes::{Carried, Defaults, DeriveFlags, MethodFlags, ReferentFlags, TraitFlags};
use crate::errors::Errors;
use crate::model::{Derived, Method, ProxyChoice, ProxyTrait, Referent, WireName};
use crate::types::{arguments_of, normal};

pub(crate) use raises::raised;
pub(crate) use task::{is_declaration, task};

/// What a block of methods has in common.
struct Block<'b> {
    /// The attribute's name: `referent` or `proxy`.
    attribute: &'static str,
    /// What `Self` stands for in the methods' types.
    subject: &'b Type,
    defaults: Defaults,
}

/// Reads `#[multiproc::referent(flags)]` on `item`, as far as can be. Takes our attributes off the item in any case, so that
/// it can be emitted beside the errors.
pub(crate) fn referent(flags: TokenStream, item: &mut Item, errors: &mut Errors) -> Option<Referent> {
    let Item::Impl(item) = item else {
        let advice = match item {
            Item::Trait(_) => {
                "`#[multiproc::referent]` goes on an inherent `impl` block; for a trait there is `#[multiproc::proxy]`"
            }
            _ => {
                "`#[multiproc::referent]` goes on an inherent `impl` block: put it on the `impl` that holds the type's methods"
            }
        };
        errors.push(Error::new(Span::call_site(), advice));
        return None;
    };
    let flags = ReferentFlags::read(flags, errors);
    if let Some((_, of, _)) = &item.trait_ {
        errors.at(of, "only an inherent `impl` block can be served: call the trait's methods from methods of its own");
    }
    let subject = normal(&item.self_ty, &item.self_ty);
    let name = match &subject {
        Type::Path(TypePath { qself: None, path }) => path.segments.last().map(|last| last.ident.clone()),
        _ => None,
    };
    if name.is_none() {
        errors.at(&subject, "only a type with a name can be served: wrap it in a struct");
    }
    let block = Block { attribute: "referent", subject: &subject, defaults: flags.defaults.clone() };
    let methods = block.exposed_methods(item, errors);
    let name = name?;
    Some(Referent {
        item: item.clone(),
        typeid: flags.typeid.unwrap_or_else(|| WireName::of(&name)),
        proxy: match flags.proxytype {
            Some(ty) => ProxyChoice::Handwritten(ty),
            None => ProxyChoice::Generated(flags.proxy.unwrap_or_else(|| format_ident!("{name}Proxy"))),
        },
        subject,
        exclusive: flags.exclusive,
        display: flags.display,
        value: flags.value,
        methods,
    })
}

/// Reads `#[multiproc::proxy(flags)]` on `item`.
pub(crate) fn proxy_trait(flags: TokenStream, item: &mut Item, errors: &mut Errors) -> Option<ProxyTrait> {
    let Item::Trait(item) = item else {
        let advice = match item {
            Item::Impl(_) => {
                "`#[multiproc::proxy]` goes on a trait; for an `impl` block there is `#[multiproc::referent]`"
            }
            Item::Struct(_) => {
                "`#[multiproc::proxy]` goes on a trait; for a struct there is `#[derive(multiproc::Proxy)]`"
            }
            _ => "`#[multiproc::proxy]` goes on a trait that lists the methods of the server's type",
        };
        errors.push(Error::new(Span::call_site(), advice));
        return None;
    };
    let flags = TraitFlags::read(flags, errors);
    refuse_trait_syntax(item, errors);
    let subject: Type = syn::parse_quote!(Self);
    let block = Block { attribute: "proxy", subject: &subject, defaults: flags.defaults };
    let methods = block.described_methods(item, errors);
    Some(ProxyTrait {
        visibility: item.vis.clone(),
        shown: Carried::of(&item.attrs).shown,
        typeid: flags.typeid.unwrap_or_else(|| WireName::of(&item.ident)),
        proxy: flags.proxy.unwrap_or_else(|| format_ident!("{}Proxy", item.ident)),
        methods,
    })
}

/// Reads a struct with `#[derive(multiproc::Proxy)]`.
pub(crate) fn derived(input: &DeriveInput, errors: &mut Errors) -> Option<Derived> {
    let flags = DeriveFlags::read(&input.attrs, errors);
    let fields = match &input.data {
        Data::Struct(data) => data.fields.clone(),
        _ => {
            errors.at(&input.ident, "a proxy is a struct around one `BaseProxy`");
            Fields::Unit
        }
    };
    if let Some(lifetime) = input.generics.lifetimes().next() {
        errors.at(lifetime, "a proxy may live anywhere, so it can't borrow: own what it holds");
    }
    let (mut bases, mut others) = (Vec::new(), Vec::new());
    for (place, field) in fields.iter().enumerate() {
        let member = field.ident.clone().map_or_else(|| Member::Unnamed(Index::from(place)), Member::Named);
        let is_base = arguments_of(&normal(&field.ty, &field.ty), "BaseProxy").is_some();
        if is_base { bases.push((member, field)) } else { others.push(member) }
    }
    for (_, second) in bases.iter().skip(1) {
        errors.at(
            second,
            "a proxy stands for one referent: keep one `BaseProxy` and put the other object's proxy elsewhere",
        );
    }
    let Some((base, _)) = bases.into_iter().next() else {
        if matches!(input.data, Data::Struct(_)) {
            errors.at(&input.ident, "a proxy needs a field of type `multiproc::BaseProxy`, which makes its calls");
        }
        return None;
    };
    Some(Derived { ident: input.ident.clone(), generics: input.generics.clone(), base, others, flags })
}

impl Block<'_> {
    /// The `pub` functions of an `impl` block, with our attributes taken off.
    fn exposed_methods(&self, item: &mut ItemImpl, errors: &mut Errors) -> Vec<Method> {
        let mut methods = Vec::new();
        for item in &mut item.items {
            let ImplItem::Fn(function) = item else { continue };
            let flags = MethodFlags::take(self.attribute, &mut function.attrs, errors);
            let exposed = matches!(function.vis, Visibility::Public(_));
            match &flags.attribute {
                _ if flags.skip.is_some() => {}
                Some(attribute) if !exposed => {
                    errors.at(
                        attribute,
                        "only `pub` functions are exposed: make this one `pub`, or take the attribute away",
                    );
                }
                _ if exposed => methods.extend(self.method(&function.sig, &function.attrs, flags, errors)),
                _ => {}
            }
        }
        methods
    }

    /// The functions of a proxy trait.
    fn described_methods(&self, item: &mut ItemTrait, errors: &mut Errors) -> Vec<Method> {
        let mut methods = Vec::new();
        for item in &mut item.items {
            let TraitItem::Fn(function) = item else {
                errors.at(item, "a proxy trait lists methods only");
                continue;
            };
            let flags = MethodFlags::take(self.attribute, &mut function.attrs, errors);
            if let Some(body) = &function.default {
                let advice = "the body is the server's business: end the method with `;`, and put what is computed from \
                              other calls into an `impl` block of the proxy";
                errors.at(body, advice);
            }
            methods.extend(self.method(&function.sig, &function.attrs, flags, errors));
        }
        methods
    }
}

fn refuse_trait_syntax(item: &ItemTrait, errors: &mut Errors) {
    if let Some(token) = &item.unsafety {
        errors.at(token, "a proxy trait is only a list of methods: it can't be `unsafe`");
    }
    if !item.generics.params.is_empty() {
        errors.at(
            &item.generics.params,
            "a proxy trait stands for one type of the server: write its types out, without parameters",
        );
    }
    if let Some(clause) = &item.generics.where_clause {
        errors.at(clause, "a proxy trait is only a list of methods: it has no bounds");
    }
    if !item.supertraits.is_empty() {
        errors.at(&item.supertraits, "a proxy trait is only a list of methods: list the supertrait's here too");
    }
}
