//! One method or constructor: signature and attributes to model.

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, FnArg, GenericParam, Pat, PatType, Receiver, Result, ReturnType, Signature, Type, parse_quote,
    parse_quote_spanned,
};

use super::Block;
use crate::attributes::{Carried, MethodFlags};
use crate::errors::Errors;
use crate::model::{Answer, Exceptions, Failure, Kind, Method, Parameter, Source, WireName};
use crate::types::{Incoming, Outgoing, Returned, argument_of, arguments_of, is_borrowing, is_self, normal};

/// What a method's `Responder` answers with.
struct Responder {
    value: Type,
    error: Option<Type>,
}

impl Block<'_> {
    /// Reads a method, noting all that is wrong with it.
    pub(super) fn method(
        &self,
        signature: &Signature,
        attributes: &[Attribute],
        flags: MethodFlags,
        errors: &mut Errors,
    ) -> Option<Method> {
        self.refuse_syntax(signature, errors);
        let kind = errors.keep(self.kind(signature.receiver()));
        let (parameters, responder) = self.parameters(signature, errors);
        let returned = match &signature.output {
            ReturnType::Default => parse_quote!(()),
            ReturnType::Type(_, ty) => normal(ty, self.subject),
        };
        let answer = match responder {
            Some(responder) => self.later_answer(kind?, &returned, &responder, &flags),
            None => self.answer(kind?, signature, &returned, &flags),
        };
        let answer = errors.keep(answer)?;
        let raises = errors.keep(self.raises(kind?, &flags, &answer.failure))?;
        Some(Method {
            carried: Carried::of(attributes),
            ident: signature.ident.clone(),
            name: flags.name.unwrap_or_else(|| WireName::of(&signature.ident)),
            kind: kind?,
            parameters,
            answer,
            blocking: kind? != Kind::Constructor && (flags.blocking.is_some() || self.defaults.blocking),
            by_value: flags.by_value || self.defaults.by_value,
            raises,
        })
    }

    /// Which exceptions the errors of a method are.
    fn raises(&self, kind: Kind, flags: &MethodFlags, failure: &Failure) -> Result<Option<Exceptions>> {
        let has_errors = kind != Kind::Constructor && !matches!(failure, Failure::Never);
        let Some(own) = &flags.raises else {
            // What is said for all methods holds for those that it fits.
            let default = self.defaults.raises.clone().filter(|_| has_errors);
            return Ok(default.filter(|raises| !matches!((raises, failure), (Exceptions::Own(_), Failure::Text))));
        };
        let wrong = |advice: &str| Err(Error::new(own.span(), advice));
        match (kind, failure, own) {
            (Kind::Constructor, ..) => {
                wrong("whatever a constructor fails with is a `RemoteError` in Python: take `raises` away here")
            }
            (_, Failure::Never, _) => wrong(
                "`raises` is for methods whose result is written `Result<…>`: take it away, or write the result so",
            ),
            (_, Failure::Text, Exceptions::Own(_)) => {
                wrong("of errors that are sent as text only the words arrive: name one class for all, `raises = \"…\"`")
            }
            _ => Ok(Some(own.clone())),
        }
    }

    /// How to keep a function that can't be served.
    fn way_out(&self) -> &'static str {
        if self.attribute == "referent" { "or mark it `#[referent(skip)]`" } else { "or leave the method out" }
    }

    fn refuse_syntax(&self, signature: &Signature, errors: &mut Errors) {
        let way_out = self.way_out();
        if let Some(token) = &signature.asyncness {
            let advice = if self.attribute == "referent" {
                "a server runs no `async` methods: take a `Responder<T>` as last parameter and answer when the work is done"
            } else {
                "a proxy's methods block until they are answered: drop `async`"
            };
            errors.at(token, format!("{advice}, {way_out}"));
        }
        if let Some(token) = &signature.unsafety {
            errors.at(
                token,
                format!("other processes can't keep an `unsafe` promise: wrap it in a safe method, {way_out}"),
            );
        }
        if let Some(abi) = &signature.abi {
            errors.at(
                abi,
                format!(
                    "a method that is called through a proxy has Rust's own ABI: wrap it in a plain method, {way_out}"
                ),
            );
        }
        for parameter in &signature.generics.params {
            if !matches!(parameter, GenericParam::Lifetime(_)) {
                let advice = "which types it is called with must be known in the server: write them out";
                let serving =
                    if self.attribute == "referent" { ", make them parameters of the `impl` block" } else { "" };
                errors.at(parameter, format!("{advice}{serving}, {way_out}"));
            }
        }
        if let Some(clause) = &signature.generics.where_clause {
            errors.at(
                clause,
                format!(
                    "the method is served for every instance of the type: put the bound on the `impl` block, {way_out}"
                ),
            );
        }
    }

    fn kind(&self, receiver: Option<&Receiver>) -> Result<Kind> {
        let Some(receiver) = receiver else { return Ok(Kind::Constructor) };
        let mutable = match &*receiver.ty {
            Type::Reference(reference) if is_self(&reference.elem) => reference.mutability.is_some(),
            _ => {
                let advice = "a referent stays in its server and is shared: take `&self` or `&mut self`";
                return Err(Error::new_spanned(receiver, format!("{advice}, {}", self.way_out())));
            }
        };
        match (mutable, self.attribute) {
            (true, "proxy") => Err(Error::new_spanned(
                receiver,
                "a proxy is a handle that many may hold: write `&self`, whatever the server's method takes",
            )),
            (true, _) => Ok(Kind::Exclusive),
            (false, _) => Ok(Kind::Shared),
        }
    }

    /// The parameters but the receiver, and the `Responder` among them.
    fn parameters(&self, signature: &Signature, errors: &mut Errors) -> (Vec<Parameter>, Option<Responder>) {
        let mut parameters = Vec::new();
        let mut responder = None;
        let last = signature.inputs.len().wrapping_sub(1);
        for (place, input) in signature.inputs.iter().enumerate() {
            let FnArg::Typed(typed) = input else { continue };
            let ty = normal(&typed.ty, self.subject);
            if arguments_of(&ty, "Responder").is_some() {
                responder = errors.keep(self.responder(typed, &ty, place == last)).or(responder);
            } else {
                parameters.extend(errors.keep(self.parameter(typed)));
            }
        }
        (parameters, responder)
    }

    fn parameter(&self, typed: &PatType) -> Result<Parameter> {
        if let Some(attribute) = typed.attrs.iter().find(|attribute| attribute.path().is_ident("cfg")) {
            return Err(Error::new_spanned(
                attribute,
                "a parameter can't come and go: put `cfg` on the whole method, twice if need be",
            ));
        }
        match &*typed.pat {
            Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
                Ok(Parameter { ident: pattern.ident.clone(), incoming: Incoming::read(&typed.ty, self.subject)? })
            }
            pattern => {
                let advice = "give the parameter a plain name: callers may pass it by that (take it apart in the body)";
                Err(Error::new_spanned(pattern, advice))
            }
        }
    }

    fn responder(&self, typed: &PatType, ty: &Type, is_last: bool) -> Result<Responder> {
        if self.attribute == "proxy" {
            let advice =
                "the responder is the server's business: leave it out, and write what it answers as the result's type";
            return Err(Error::new_spanned(typed, advice));
        }
        if !is_last {
            return Err(Error::new_spanned(typed, "a `Responder` must be the last parameter, and the only one"));
        }
        let arguments = arguments_of(ty, "Responder").unwrap_or_default();
        if let Some(borrowing) = arguments.iter().find(|argument| is_borrowing(argument)) {
            let advice = "a responder may outlive the call: answer with a type that owns what it holds";
            return Err(Error::new_spanned(borrowing, advice));
        }
        match arguments.as_slice() {
            [value, ..] if arguments_of(value, "Result").is_some() => {
                Err(Error::new_spanned(value, "a responder that may also answer with an error is a `Responder<T, E>`"))
            }
            [value] => Ok(Responder { value: (*value).clone(), error: None }),
            [value, error] => Ok(Responder { value: (*value).clone(), error: Some((*error).clone()) }),
            _ => {
                Err(Error::new_spanned(ty, "say what the responder answers with: `Responder<T>`, or `Responder<T, E>`"))
            }
        }
    }

    /// The answer of a method that keeps a responder.
    fn later_answer(&self, kind: Kind, returned: &Type, responder: &Responder, flags: &MethodFlags) -> Result<Answer> {
        let Responder { value, error } = responder;
        if kind == Kind::Constructor {
            return Err(Error::new_spanned(
                value,
                "a constructor can't answer later: return `Self` or `Result<Self, E>`",
            ));
        }
        if *returned != parse_quote!(()) {
            return Err(Error::new_spanned(
                returned,
                "a method with a `Responder` returns nothing: its answer goes through the responder",
            ));
        }
        if let Some(span) = flags.proxy {
            return Err(Error::new(
                span,
                "`proxy` needs a method that returns the referent: a responder can answer with a proxy instead",
            ));
        }
        if let Some(span) = flags.text_errors {
            return Err(Error::new(
                span,
                "a responder sends its errors as they are: use a `Responder<T, String>` to send text",
            ));
        }
        Ok(Answer {
            span: value.span(),
            source: Source::Responder,
            value: Outgoing::read(value, self.subject)?,
            failure: error.as_ref().map_or(Ok(Failure::Never), |error| self.typed(error))?,
        })
    }

    /// The answer of a method or constructor that returns it.
    fn answer(&self, kind: Kind, signature: &Signature, returned: &Type, flags: &MethodFlags) -> Result<Answer> {
        let text = flags.text_errors.is_some() || self.defaults.text_errors;
        let (value, failure) = match Returned::read(returned, self.subject) {
            Returned::Plain(ty) => match flags.text_errors {
                Some(span) => {
                    return Err(Error::new(
                        span,
                        "`error = text` is for methods whose result is written `Result<…>`: take it away, or write the result so",
                    ));
                }
                None => (ty, Failure::Never),
            },
            Returned::Full(types) if text => (types.0, Failure::Text),
            Returned::Full(types) => (types.0, self.typed(&types.1)?),
            Returned::Alias(value) if text => (value, Failure::Text),
            Returned::Alias(_) => return Err(self.unseen_error(returned, true)),
            Returned::Opaque => return Err(self.unseen_error(returned, false)),
        };
        if let (Kind::Constructor, Some(span)) = (kind, flags.blocking) {
            return Err(Error::new(span, "`blocking` is for methods with a `self`: take it away here"));
        }
        let (source, value) = match (kind, flags.proxy) {
            (Kind::Constructor, Some(span)) => {
                return Err(Error::new(span, "a constructor always answers with a proxy: take `proxy` away"));
            }
            (Kind::Constructor, None) if value == *self.subject => {
                (Source::Constructed, Outgoing::whole(self.proxy_of(&value)))
            }
            (Kind::Constructor, None) => return Err(self.no_constructor(signature)),
            (_, Some(_)) => self.referent(&value, signature)?,
            (_, None) => (Source::Value, Outgoing::read(&value, self.subject)?),
        };
        let span = match &signature.output {
            ReturnType::Default => signature.ident.span(),
            ReturnType::Type(_, ty) => ty.span(),
        };
        Ok(Answer { source, value, failure, span })
    }

    /// What `#[referent(proxy)]` makes of a returned value.
    fn referent(&self, value: &Type, signature: &Signature) -> Result<(Source, Outgoing)> {
        let (source, referent) = match argument_of(value, "Shared") {
            Some(referent) => (Source::Shared, referent),
            None => (Source::Referent, value),
        };
        let is_container =
            ["Option", "Vec", "Box", "Arc", "Rc"].iter().any(|name| arguments_of(referent, name).is_some());
        if is_container || is_borrowing(referent) || !matches!(referent, Type::Path(_)) {
            let advice = "`#[referent(proxy)]` needs a method that returns the new referent: by value, as `Shared<T>` \
                          (to keep it here too), or in a `Result`";
            return Err(match &signature.output {
                ReturnType::Default => Error::new_spanned(&signature.ident, advice),
                ReturnType::Type(..) => Error::new_spanned(value, advice),
            });
        }
        Ok((source, Outgoing::whole(self.proxy_of(referent))))
    }

    /// The proxy type of a referent. A proxy trait names proxies, not referents.
    fn proxy_of(&self, referent: &Type) -> Type {
        if self.attribute == "proxy" {
            referent.clone()
        } else {
            parse_quote_spanned!(referent.span()=> <#referent as ::multiproc::Referent>::Proxy)
        }
    }

    fn typed(&self, error: &Type) -> Result<Failure> {
        Outgoing::read(error, self.subject).map(|error| Failure::Typed(Box::new(error.owned))).map_err(|_| {
            let advice = "can't be decoded by the other side: name a type that can, or send errors as text";
            Error::new_spanned(error, format!("this error {advice}: `#[{}(error = text)]`", self.attribute))
        })
    }

    fn unseen_error(&self, result: impl ToTokens, text_would_do: bool) -> Error {
        let text = if text_would_do {
            format!(", or send errors as text: `#[{}(error = text)]`", self.attribute)
        } else {
            String::new()
        };
        Error::new_spanned(
            result,
            format!("the error's type is hidden by an alias: write `Result<T, E>` in full{text}"),
        )
    }

    fn no_constructor(&self, signature: &Signature) -> Error {
        let advice = if self.attribute == "referent" {
            "a `pub` function without `self` is a constructor, so it must return `Self` or `Result<Self, E>`: \
             take `&self`, make it private, or mark it `#[referent(skip)]`"
        } else {
            "a function without `self` is a constructor, so it must return `Self` or `Result<Self, E>`: take `&self`, or leave it out"
        };
        match &signature.output {
            ReturnType::Default => Error::new_spanned(&signature.ident, advice),
            ReturnType::Type(_, ty) => Error::new_spanned(ty, advice),
        }
    }
}
