//! What the macros know of an item once it is parsed: no syntax of the surface is left, and nothing is expanded yet.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::{Attribute, Generics, Ident, ItemImpl, Type, Visibility};

use crate::attributes::{Carried, DeriveFlags};
use crate::types::{Incoming, Outgoing};

/// A name as processes say it to each other, and where it is written.
#[derive(Clone)]
pub(crate) struct WireName {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl WireName {
    /// The name of a Rust item; `r#type` is `type` on the wire.
    pub(crate) fn of(ident: &Ident) -> Self {
        Self { text: ident.unraw().to_string(), span: ident.span() }
    }
}

/// An `impl` block whose type is served.
pub(crate) struct Referent {
    /// The block itself, without our attributes.
    pub(crate) item: ItemImpl,
    /// The served type, as the block names it.
    pub(crate) subject: Type,
    pub(crate) typeid: WireName,
    pub(crate) proxy: ProxyChoice,
    pub(crate) exclusive: bool,
    /// Where `display` is asked for.
    pub(crate) display: Option<Span>,
    /// Where `value` is asked for.
    pub(crate) value: Option<Span>,
    pub(crate) methods: Vec<Method>,
}

/// Which proxy a referent has.
pub(crate) enum ProxyChoice {
    /// One made here, of this name.
    Generated(Ident),
    /// One written by hand.
    Handwritten(Type),
}

/// A trait that describes a type of some other program's server.
pub(crate) struct ProxyTrait {
    pub(crate) visibility: Visibility,
    /// The trait's doc comments and what else its proxy carries on.
    pub(crate) shown: Vec<Attribute>,
    pub(crate) typeid: WireName,
    pub(crate) proxy: Ident,
    pub(crate) methods: Vec<Method>,
}

/// A function that is made a task.
pub(crate) struct TaskFunction {
    pub(crate) ident: Ident,
    pub(crate) visibility: Visibility,
    pub(crate) cfg: Vec<Attribute>,
    pub(crate) name: WireName,
    pub(crate) parameters: Vec<TaskParameter>,
    pub(crate) output: Type,
    pub(crate) failure: TaskFailure,
    /// Whether it is this program's.
    pub(crate) has_body: bool,
}

/// The errors of a task.
pub(crate) enum TaskFailure {
    /// Its result is no `Result`.
    Never,
    /// Nobody has said what they are in Python.
    Unnamed,
    /// They are of this type, and exceptions in Python.
    Named(Exceptions, Failure),
}

/// A parameter of a task.
pub(crate) struct TaskParameter {
    pub(crate) name: String,
    pub(crate) ty: Type,
}

/// A struct that is made a proxy by `derive(Proxy)`.
pub(crate) struct Derived {
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    /// The field that holds the `BaseProxy`.
    pub(crate) base: syn::Member,
    /// The other fields.
    pub(crate) others: Vec<syn::Member>,
    pub(crate) flags: DeriveFlags,
}

/// A trait that every proxy has and that can be written by hand.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Derivable {
    Clone,
    Debug,
    Display,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRef,
}

impl Derivable {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Clone,
        Self::Debug,
        Self::Display,
        Self::PartialEq,
        Self::Eq,
        Self::Hash,
        Self::Serialize,
        Self::Deserialize,
        Self::AsRef,
    ];

    /// The one of that name.
    pub(crate) fn named(ident: &Ident) -> Option<Self> {
        Self::ALL.into_iter().find(|each| *ident == format!("{each:?}"))
    }
}

/// A method or constructor. Its place among its block's methods is its place among the proxy's signatures.
pub(crate) struct Method {
    pub(crate) carried: Carried,
    pub(crate) ident: Ident,
    pub(crate) name: WireName,
    pub(crate) kind: Kind,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) answer: Answer,
    pub(crate) blocking: bool,
    pub(crate) by_value: bool,
    pub(crate) raises: Option<Exceptions>,
}

/// Which exceptions a method's errors are in Python.
#[derive(Clone)]
pub(crate) enum Exceptions {
    /// All of one class, with the error's text.
    Class(WireName),
    /// The error's type says; where that is asked for.
    Own(Span),
}

impl Exceptions {
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Class(name) => name.span,
            Self::Own(span) => *span,
        }
    }
}

/// A type of errors that is given exceptions by `derive(Raises)`.
pub(crate) struct Raised {
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) forms: Vec<Form>,
}

/// A variant, or a struct as a whole.
pub(crate) struct Form {
    /// The variant's name.
    pub(crate) variant: Option<Ident>,
    pub(crate) fields: syn::Fields,
    pub(crate) class: WireName,
    /// Whether the error's text is the only argument.
    pub(crate) text: bool,
}

/// What a method needs of its referent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Kind {
    /// No referent: it makes one.
    Constructor,
    /// `&self`.
    Shared,
    /// `&mut self`.
    Exclusive,
}

/// A named parameter.
pub(crate) struct Parameter {
    pub(crate) ident: Ident,
    pub(crate) incoming: Incoming,
}

/// What a call is answered with.
pub(crate) struct Answer {
    pub(crate) source: Source,
    /// The value, without a `Result` around it. Where a referent is answered, the type of its proxy.
    pub(crate) value: Outgoing,
    pub(crate) failure: Failure,
    /// Where the result's type is written.
    pub(crate) span: Span,
}

/// Where the answer comes from.
pub(crate) enum Source {
    /// The method returns it.
    Value,
    /// The method returns something that becomes a referent; its proxy is answered.
    Referent,
    /// The method returns a `Shared` referent; its proxy is answered.
    Shared,
    /// The function returns the new referent.
    Constructed,
    /// The method keeps a `Responder`.
    Responder,
}

/// The method's own errors.
pub(crate) enum Failure {
    /// It has none.
    Never,
    /// They arrive as what they are.
    Typed(Box<Type>),
    /// They arrive as text.
    Text,
}
