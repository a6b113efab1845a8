//! A registration in full: under which name, made by what, exposing which methods.

use std::fmt::Display;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeOwned, Deserializer};

use super::answer::Failure;
use super::class::{Changes, Class, Maker};
use super::invocation::as_text;
use super::referent::Referent;
use super::stored::Shared;
use crate::codec;
use crate::error::{Error, Result};
use crate::protocol::carriage;

/// Everything that a type can be registered with, as in Python's
/// `BaseManager.register(typeid, callable, proxytype, exposed, method_to_typeid, create_method)`.
///
/// ```
/// # use multiproc::{BaseManager, Error, Proxy, Registration};
/// # #[derive(Default)] pub struct Counter { count: u64 }
/// # #[multiproc::referent]
/// # impl Counter {
/// #     pub fn new() -> Self { Self::default() }
/// #     pub fn get(&self) -> u64 { self.count }
/// #     pub fn add(&mut self, n: u64) { self.count += n; }
/// # }
/// # fn main() -> multiproc::Result<()> {
/// // Read-only, starting where the caller says.
/// let registration = Registration::<Counter>::new("Reading")
///     .callable(|start: u64| Counter { count: start })
///     .exposed(["get"]);
/// let manager = BaseManager::builder().register_with(registration).start()?;
/// let counter: CounterProxy = manager.create_as("Reading", (41_u64,))?;
/// assert_eq!(counter.get()?, 41);
/// assert!(matches!(counter.add(1), Err(Error::NotExposed { .. })));
/// # manager.shutdown()
/// # }
/// ```
pub struct Registration<T: Referent> {
    typeid: String,
    changes: Changes,
    creates: bool,
    referent: PhantomData<fn() -> T>,
}

impl<T: Referent> Registration<T> {
    /// A registration of `T` under `typeid`, with all its constructors and methods.
    pub fn new(typeid: impl Into<String>) -> Self {
        Self { typeid: typeid.into(), changes: Changes::default(), creates: true, referent: PhantomData }
    }

    /// Makes instances with `callable` instead of the type's constructors: a function or closure that takes owned arguments and returns
    /// `T`, `Shared<T>`, or a `Result` of either (whose error arrives as text). It runs in the server, each time that a client creates.
    #[must_use]
    pub fn callable<A: 'static>(mut self, callable: impl Callable<T, A>) -> Self {
        self.changes.makers = Some(vec![callable.into_maker()]);
        self
    }

    /// Exposes only these methods (wire names). Without it, the proxytype's `EXPOSED` counts; without that, every listed method.
    #[must_use]
    pub fn exposed<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.changes.exposed = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Registers the result of `method`, which is marked `#[referent(proxy)]`, under `typeid`, and so exposes what that registration exposes.
    #[must_use]
    pub fn method_to_typeid(mut self, method: impl Into<String>, typeid: impl Into<String>) -> Self {
        self.changes.returns.push((method.into(), typeid.into()));
        self
    }

    /// Whether clients may create instances (default: yes). Without, instances only come as results of other types' methods.
    #[must_use]
    pub fn create_method(mut self, creates: bool) -> Self {
        self.creates = creates;
        self
    }

    /// Takes a proxy type's word for what was not said here.
    pub(crate) fn default_exposure(mut self, exposed: Option<&[&str]>, returns: &[(&str, &str)]) -> Self {
        if self.changes.exposed.is_none() {
            self.changes.exposed = exposed.map(|names| names.iter().map(ToString::to_string).collect());
        }
        if self.changes.returns.is_empty() {
            let owned = |&(method, typeid): &(&str, &str)| (method.to_owned(), typeid.to_owned());
            self.changes.returns = returns.iter().map(owned).collect();
        }
        self
    }

    /// The name to register under.
    pub(crate) fn typeid(&self) -> &str {
        &self.typeid
    }

    /// The class that it describes.
    pub(crate) fn into_class(mut self) -> Result<Class> {
        if !is_identifier(&self.typeid) {
            return Err(Error::Registration {
                typeid: self.typeid,
                reason: "a typeid must be an identifier: letters, digits and underscores, no digit first".into(),
            });
        }
        if !self.creates {
            self.changes.makers = Some(Vec::new());
        }
        Class::new::<T>(&self.typeid, self.changes)
    }
}

impl<T: Referent> std::fmt::Debug for Registration<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registration<{}>({:?})", std::any::type_name::<T>(), self.typeid)
    }
}

fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && chars.all(|next| next.is_alphanumeric() || next == '_')
}

/// What a [`Callable`] may return: `T`, `Shared<T>`, or a `Result` of either.
pub trait Makes<T: Referent> {
    #[doc(hidden)]
    fn made(self) -> std::result::Result<Shared<T>, Failure>;
}

impl<T: Referent> Makes<T> for T {
    fn made(self) -> std::result::Result<Shared<T>, Failure> {
        Ok(Shared::new(self))
    }
}

impl<T: Referent> Makes<T> for Shared<T> {
    fn made(self) -> std::result::Result<Shared<T>, Failure> {
        Ok(self)
    }
}

impl<T: Referent, M: Makes<T>, E: Display> Makes<T> for std::result::Result<M, E> {
    fn made(self) -> std::result::Result<Shared<T>, Failure> {
        self.map_err(|error| as_text(&error))?.made()
    }
}

/// What can be registered to make instances of `T`: any function or closure of up to eight owned arguments `A`.
pub trait Callable<T: Referent, A> {
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "only this crate calls it")]
    fn into_maker(self) -> Maker;
}

/// Reads as any proxy reads: for the signature of a constructor, whose result is one.
struct AnyProxy;

impl<'de> Deserialize<'de> for AnyProxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = AnyProxy;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a proxy")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> std::result::Result<AnyProxy, D::Error> {
                u32::deserialize(inner).map(|_| AnyProxy)
            }
        }
        deserializer.deserialize_newtype_struct(codec::PROXY, Visitor)
    }
}

/// The signature of a constructor with the arguments `A`.
pub(crate) fn constructor_signature<A: DeserializeOwned>() -> u32 {
    signature::<A, AnyProxy>()
}

/// The structural hash of a method's argument and result types, proxies among them read as they are in a call.
pub fn signature<A: DeserializeOwned, R: DeserializeOwned>() -> u32 {
    carriage::incoming(&[], codec::signature::<A, R>)
}

macro_rules! callable {
    ($($argument:ident)*) => {
        impl<T, F, M, $($argument),*> Callable<T, ($($argument,)*)> for F
        where
            T: Referent,
            F: Fn($($argument),*) -> M + Send + Sync + 'static,
            M: Makes<T>,
            $($argument: DeserializeOwned + 'static,)*
        {
            #[expect(private_interfaces, reason = "only this crate calls it")]
            fn into_maker(self) -> Maker {
                Maker {
                    name: None,
                    // The names of a closure's parameters are unknown: by position only.
                    parameters: &[$(argument_name!($argument)),*],
                    signature: constructor_signature::<($($argument,)*)>(),
                    make: Box::new(move |call, table, class| {
                        #[allow(non_snake_case, reason = "named as their types")]
                        let ($($argument,)*) = call.arguments::<($($argument,)*)>()?;
                        Ok(self($($argument),*).made()?.entry(table, class))
                    }),
                }
            }
        }
    };
}

macro_rules! argument_name {
    ($argument:ident) => {
        ""
    };
}

callable!();
callable!(A);
callable!(A B);
callable!(A B C);
callable!(A B C D);
callable!(A B C D E);
callable!(A B C D E G);
callable!(A B C D E G H);
callable!(A B C D E G H I);
