//! What is written in attributes: the flags of `referent`, `proxy` and `derive(Proxy)`, and which of a method's own
//! attributes go with it into generated code.
//!
//! Every flag is read by [`flags`], which refuses repeated ones and goes on behind a wrong one.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Ident, LitStr, Meta, Path, Result, Token, Type, parenthesized, parse_quote};

use crate::errors::Errors;
use crate::model::{Derivable, Exceptions, WireName};

/// What holds for every method of a block unless the method itself says more.
#[derive(Default, Clone)]
pub(crate) struct Defaults {
    pub(crate) text_errors: bool,
    pub(crate) by_value: bool,
    pub(crate) blocking: bool,
    pub(crate) raises: Option<Exceptions>,
}

/// The flags of `#[multiproc::referent(…)]` on an `impl`.
#[derive(Default)]
pub(crate) struct ReferentFlags {
    pub(crate) typeid: Option<WireName>,
    pub(crate) proxy: Option<Ident>,
    pub(crate) proxytype: Option<Type>,
    /// Where the flag stands, so that a missing `Display` is told there.
    pub(crate) display: Option<Span>,
    /// Where the flag stands, so that a missing `Serialize` is told there.
    pub(crate) value: Option<Span>,
    pub(crate) exclusive: bool,
    pub(crate) defaults: Defaults,
}

impl ReferentFlags {
    pub(crate) fn read(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut found = Self::default();
        let known = "typeid, display, value, exclusive, proxytype, proxy, error, codec, blocking, raises";
        flags(tokens, known, errors, |flag, input| {
            match flag.to_string().as_str() {
                "typeid" => found.typeid = Some(text(flag, input)?),
                "display" => found.display = Some(flag.span()),
                "value" => found.value = Some(flag.span()),
                "exclusive" => found.exclusive = true,
                "proxytype" => found.proxytype = Some(assigned(flag, input)?),
                "proxy" => found.proxy = Some(assigned(flag, input)?),
                "error" => found.defaults.text_errors = choice(flag, input, "text")?,
                "codec" => found.defaults.by_value = choice(flag, input, "value")?,
                "blocking" => found.defaults.blocking = true,
                "raises" => found.defaults.raises = Some(exceptions(flag, input)?),
                _ => return Ok(false),
            }
            Ok(true)
        });
        if let (Some(proxy), Some(_)) = (&found.proxy, &found.proxytype) {
            errors.at(
                proxy,
                "`proxytype` names a hand-written proxy, so there is none to be named by `proxy`: drop one of them",
            );
        }
        found
    }
}

/// The flags of `#[multiproc::proxy(…)]` on a trait.
#[derive(Default)]
pub(crate) struct TraitFlags {
    pub(crate) typeid: Option<WireName>,
    pub(crate) proxy: Option<Ident>,
    pub(crate) defaults: Defaults,
}

impl TraitFlags {
    pub(crate) fn read(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut found = Self::default();
        flags(tokens, "typeid, proxy, error, codec", errors, |flag, input| {
            match flag.to_string().as_str() {
                "typeid" => found.typeid = Some(text(flag, input)?),
                "proxy" => found.proxy = Some(assigned(flag, input)?),
                "error" => found.defaults.text_errors = choice(flag, input, "text")?,
                "codec" => found.defaults.by_value = choice(flag, input, "value")?,
                _ => return Ok(false),
            }
            Ok(true)
        });
        found
    }
}

/// The flags of `#[multiproc::task(…)]` on a function.
#[derive(Default)]
pub(crate) struct TaskFlags {
    pub(crate) name: Option<WireName>,
    pub(crate) raises: Option<Exceptions>,
}

impl TaskFlags {
    pub(crate) fn read(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut found = Self::default();
        flags(tokens, "name, raises", errors, |flag, input| {
            match flag.to_string().as_str() {
                "name" => found.name = Some(text(flag, input)?),
                "raises" => found.raises = Some(exceptions(flag, input)?),
                _ => return Ok(false),
            }
            Ok(true)
        });
        found
    }
}

/// The flags of one method; the spans say where to complain of those that don't fit it.
#[derive(Default)]
pub(crate) struct MethodFlags {
    pub(crate) skip: Option<Span>,
    pub(crate) name: Option<WireName>,
    pub(crate) proxy: Option<Span>,
    pub(crate) blocking: Option<Span>,
    pub(crate) text_errors: Option<Span>,
    pub(crate) by_value: bool,
    pub(crate) raises: Option<Exceptions>,
    /// The first attribute that was read, if there was one.
    pub(crate) attribute: Option<Attribute>,
}

impl MethodFlags {
    /// Takes the attributes named `attribute` (`referent` or `proxy`) off a method and reads them.
    pub(crate) fn take(attribute: &str, attributes: &mut Vec<Attribute>, errors: &mut Errors) -> Self {
        let mut found = Self::default();
        let mut ours = Vec::new();
        attributes.retain(|candidate| {
            let is_ours = is_named(candidate.path(), attribute);
            if is_ours {
                ours.push(candidate.clone());
            }
            !is_ours
        });
        let serving = attribute == "referent";
        let known = if serving { "skip, name, proxy, blocking, error, codec, raises" } else { "name, error, codec" };
        let mut tokens = TokenStream::new();
        for ours in &ours {
            match &ours.meta {
                Meta::List(list) => {
                    let list = &list.tokens;
                    tokens.extend(quote!(#list,));
                }
                _ => errors.at(ours, format!("`#[{attribute}(…)]` on a method takes one or more of: {known}")),
            }
        }
        flags(tokens, known, errors, |flag, input| {
            match flag.to_string().as_str() {
                "skip" if serving => found.skip = Some(flag.span()),
                "proxy" if serving => found.proxy = Some(flag.span()),
                "blocking" if serving => found.blocking = Some(flag.span()),
                "raises" if serving => found.raises = Some(exceptions(flag, input)?),
                "name" => found.name = Some(text(flag, input)?),
                "error" => found.text_errors = choice(flag, input, "text")?.then(|| flag.span()),
                "codec" => found.by_value = choice(flag, input, "value")?,
                _ => return Ok(false),
            }
            Ok(true)
        });
        attributes.retain(|candidate| {
            let hidden = candidate.path().is_ident("cfg_attr") && conditions_ours(&candidate.meta, attribute);
            if hidden {
                let advice = "can't be seen here, because the condition is decided later: \
                              write the method twice, each under its own `cfg`";
                errors.at(candidate, format!("`#[{attribute}(…)]` inside `cfg_attr` {advice}"));
            }
            !hidden
        });
        found.attribute = ours.into_iter().next();
        found
    }
}

/// The flags of `#[proxy(…)]` on a struct with `derive(Proxy)`.
#[derive(Default)]
pub(crate) struct DeriveFlags {
    pub(crate) exposed: Option<Vec<WireName>>,
    pub(crate) method_to_typeid: Vec<(WireName, WireName)>,
    pub(crate) omitted: Vec<Derivable>,
    /// The deferred twin, where the author wrote one: without its parameters.
    pub(crate) deferred: Option<Path>,
}

impl DeriveFlags {
    pub(crate) fn read(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut found = Self::default();
        let mut tokens = TokenStream::new();
        for attribute in attributes.iter().filter(|candidate| candidate.path().is_ident("proxy")) {
            if let Some(list) = errors.keep(attribute.meta.require_list()) {
                let list = &list.tokens;
                tokens.extend(quote!(#list,));
            }
        }
        flags(tokens, "exposed, method_to_typeid, deferred, no", errors, |flag, input| {
            match flag.to_string().as_str() {
                "exposed" => found.exposed = Some(listed(input, |input| Ok(wire_name(&input.parse::<LitStr>()?)))?),
                "method_to_typeid" => {
                    found.method_to_typeid = listed(input, |input| {
                        let method = input.call(Ident::parse_any)?;
                        Ok((WireName::of(&method), text(&method, input)?))
                    })?;
                }
                "deferred" => found.deferred = Some(assigned(flag, input)?),
                "no" => found.omitted = listed(input, derivable)?,
                _ => return Ok(false),
            }
            Ok(true)
        });
        found
    }
}

/// `raises`, or `raises = "Class"`.
fn exceptions(flag: &Ident, input: ParseStream<'_>) -> Result<Exceptions> {
    if input.peek(Token![=]) { text(flag, input).map(Exceptions::Class) } else { Ok(Exceptions::Own(flag.span())) }
}

/// What `#[raises("Class", text)]` says of an error, or of one of its variants.
pub(crate) struct RaisesFlags {
    pub(crate) class: WireName,
    pub(crate) text: bool,
}

impl RaisesFlags {
    pub(crate) fn read(attributes: &[Attribute], errors: &mut Errors) -> Option<Self> {
        let mut ours = attributes.iter().filter(|candidate| candidate.path().is_ident("raises"));
        let first = ours.next()?;
        if let Some(second) = ours.next() {
            errors.at(second, "one error is one exception: drop all but one `#[raises(…)]`");
        }
        let read = |input: ParseStream<'_>| {
            let wanted = "name the exception's class, as in `#[raises(\"ValueError\")]`, or `#[raises(\"ValueError\", text)]` for \
                          one whose argument is the error's text";
            let class: LitStr = input.parse().map_err(|error| Error::new(error.span(), wanted))?;
            let mut text = false;
            if input.peek(Token![,]) {
                input.parse::<Token![,]>()?;
            }
            if let Ok(word) = input.parse::<Ident>() {
                if word != "text" {
                    return Err(Error::new(word.span(), "all that can stand behind the class is `text`"));
                }
                text = true;
            }
            if !input.is_empty() {
                return Err(input.error("all that can stand behind the class is `text`"));
            }
            Ok(Self { class: wire_name(&class), text })
        };
        match &first.meta {
            Meta::List(_) => errors.keep(first.parse_args_with(read)),
            _ => {
                errors.at(first, "name the exception's class, as in `#[raises(\"ValueError\")]`");
                None
            }
        }
    }
}

/// The attributes that go with a method into generated code.
#[derive(Default)]
pub(crate) struct Carried {
    /// `cfg`: on everything that is generated for the method.
    pub(crate) cfg: Vec<Attribute>,
    /// Doc comments, `deprecated` and `must_use`: on the proxy's method.
    pub(crate) shown: Vec<Attribute>,
}

impl Carried {
    pub(crate) fn of(attributes: &[Attribute]) -> Self {
        let mut carried = Self::default();
        for attribute in attributes {
            carried.add(&attribute.meta, None);
        }
        carried
    }

    /// Takes what is to be carried of an attribute that holds under `condition`.
    fn add(&mut self, meta: &Meta, condition: Option<&TokenStream>) {
        let path = meta.path();
        if path.is_ident("cfg_attr") {
            if let Some((inner, metas)) = conditional(meta) {
                let both = condition.map_or_else(|| inner.clone(), |outer| quote!(all(#outer, #inner)));
                metas.iter().for_each(|meta| self.add(meta, Some(&both)));
            }
        } else if path.is_ident("cfg") {
            match (condition, meta) {
                (Some(condition), Meta::List(list)) => {
                    let predicate = &list.tokens;
                    self.cfg.push(parse_quote!(#[cfg(any(not(#condition), #predicate))]));
                }
                _ => self.cfg.push(parse_quote!(#[#meta])),
            }
        } else if ["doc", "deprecated", "must_use"].iter().any(|name| path.is_ident(name)) {
            self.shown.push(match condition {
                Some(condition) => parse_quote!(#[cfg_attr(#condition, #meta)]),
                None => parse_quote!(#[#meta]),
            });
        }
    }

    /// Whether a doc comment is among them.
    pub(crate) fn documented(&self) -> bool {
        self.shown.iter().any(|attribute| attribute.path().is_ident("doc"))
    }
}

/// The condition and the attributes of a `cfg_attr`.
fn conditional(meta: &Meta) -> Option<(TokenStream, Vec<Meta>)> {
    let list = meta.require_list().ok()?;
    let mut metas = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?.into_iter();
    let condition = metas.next()?;
    Some((quote!(#condition), metas.collect()))
}

/// Whether an attribute is ours, or a `cfg_attr` of one of ours.
fn conditions_ours(meta: &Meta, ours: &str) -> bool {
    is_named(meta.path(), ours)
        || (meta.path().is_ident("cfg_attr")
            && conditional(meta).is_some_and(|(_, metas)| metas.iter().any(|meta| conditions_ours(meta, ours))))
}

/// Whether an attribute is `#[name]` or `#[multiproc::name]`.
fn is_named(path: &Path, name: &str) -> bool {
    path.is_ident(name)
        || (path.segments.len() == 2 && path.segments[0].ident == "multiproc" && path.segments[1].ident == name)
}

/// Reads `flag, flag = value, flag(list)`: `handle` takes what stands behind the flag's name, and says whether it knows it.
fn flags(
    tokens: TokenStream,
    known: &str,
    errors: &mut Errors,
    mut handle: impl FnMut(&Ident, ParseStream<'_>) -> Result<bool>,
) {
    let mut seen: Vec<Ident> = Vec::new();
    let read = |input: ParseStream<'_>| -> Result<()> {
        while !input.is_empty() {
            if input.peek(Token![,]) {
                input.parse::<Token![,]>()?;
                continue;
            }
            let outcome = input.call(Ident::parse_any).and_then(|flag| {
                let known_flag = handle(&flag, input)?;
                let error = if !known_flag {
                    Error::new(flag.span(), format!("unknown flag `{flag}`; there are: {known}"))
                } else if seen.contains(&flag) {
                    Error::new(flag.span(), format!("`{flag}` is given twice"))
                } else if input.peek(Token![=]) {
                    Error::new(flag.span(), format!("`{flag}` takes no value"))
                } else if !input.is_empty() && !input.peek(Token![,]) {
                    input.error(format!("expected `,` after `{flag}`"))
                } else {
                    seen.push(flag);
                    return Ok(());
                };
                Err(error)
            });
            if let Err(error) = outcome {
                errors.push(error);
                while !input.is_empty() && !input.peek(Token![,]) {
                    input.parse::<TokenTree>()?;
                }
            }
        }
        Ok(())
    };
    if let Err(error) = read.parse2(tokens) {
        errors.push(error);
    }
}

/// `= value`.
fn assigned<T: Parse>(flag: &Ident, input: ParseStream<'_>) -> Result<T> {
    if !input.peek(Token![=]) {
        return Err(Error::new(flag.span(), format!("`{flag}` needs a value: `{flag} = …`")));
    }
    input.parse::<Token![=]>()?;
    input.parse()
}

/// `= "text"`.
fn text(flag: &Ident, input: ParseStream<'_>) -> Result<WireName> {
    let value: TokenTree = assigned(flag, input)?;
    let literal = syn::parse2::<LitStr>(value.clone().into());
    literal
        .map(|literal| wire_name(&literal))
        .map_err(|_| Error::new(value.span(), format!("expected a string: `{flag} = \"…\"`")))
}

fn wire_name(literal: &LitStr) -> WireName {
    WireName { text: literal.value(), span: literal.span() }
}

/// `= word`, where there is one word to choose.
fn choice(flag: &Ident, input: ParseStream<'_>, word: &str) -> Result<bool> {
    let chosen: Ident = assigned(flag, input)?;
    if chosen == word {
        Ok(true)
    } else {
        Err(Error::new(
            chosen.span(),
            format!("all there is to choose is `{flag} = {word}`; the default is had by leaving it out"),
        ))
    }
}

fn derivable(input: ParseStream<'_>) -> Result<Derivable> {
    let ident: Ident = input.parse()?;
    Derivable::named(&ident).ok_or_else(|| {
        let all = Derivable::ALL.map(|each| format!("{each:?}")).join(", ");
        Error::new(ident.span(), format!("`no(…)` takes traits that you write yourself, of: {all}"))
    })
}

/// `(item, item)`.
fn listed<T>(input: ParseStream<'_>, item: fn(ParseStream<'_>) -> Result<T>) -> Result<Vec<T>> {
    let content;
    parenthesized!(content in input);
    Ok(content.parse_terminated(item, Token![,])?.into_iter().collect())
}
