//! The list of a type's constructors and methods, as the macro or a person writes it down.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::{Failure, Outcome};
use super::gate::Mode;
use super::invocation::Invocation;
use super::raised::{Raised, Raising};
use super::referent::Referent;

/// The name under which a referent's text is asked for, as in Python.
pub const STR: &str = "__str__";
/// The name under which a referent's copy is asked for, as in Python.
pub const VALUE: &str = "#GETVALUE";

/// Calls a `&self` method with decoded arguments, and encodes its result.
pub type SharedMethod<T> = fn(&T, &mut Invocation<'_>) -> Outcome;
/// Calls a `&mut self` method with decoded arguments, and encodes its result.
pub type ExclusiveMethod<T> = fn(&mut T, &mut Invocation<'_>) -> Outcome;
/// Calls a constructor with decoded arguments.
pub type Construct<T> = fn(&mut Invocation<'_>) -> Result<T, Failure>;
/// The structural hash of a method's argument and result types.
pub type SignatureOf = fn() -> u32;

/// In place of a hash of types: the method is only called without types.
pub const UNTYPED: u32 = 0;

/// How a method is called.
pub enum Body<T> {
    /// With `&self`.
    Shared(SharedMethod<T>),
    /// With `&mut self`.
    Exclusive(ExclusiveMethod<T>),
}

impl<T> Body<T> {
    /// What it needs of its object.
    pub fn mode(&self) -> Mode {
        match self {
            Self::Shared(_) => Mode::Shared,
            Self::Exclusive(_) => Mode::Exclusive,
        }
    }
}

/// What is known of a method beside its body.
#[derive(Debug, Clone)]
pub struct MethodInfo {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its parameters' names, for keyword arguments.
    pub parameters: &'static [&'static str],
    /// Computes its types' hash; `None` for what is called without types.
    pub signature: Option<SignatureOf>,
    /// What it needs of its object.
    pub mode: Mode,
    /// Whether it may block, and so runs on a worker.
    pub blocking: bool,
    /// What its errors are in Python, where that was said.
    #[cfg_attr(not(feature = "python"), allow(dead_code, reason = "nobody asks"))]
    pub raising: Option<Raising>,
}

/// The constructors and methods of `T`.
pub struct Methods<T> {
    pub(super) constructors: Vec<(ConstructorInfo, Construct<T>)>,
    pub(super) methods: Vec<(MethodInfo, Body<T>)>,
}

/// What is known of a constructor beside its body.
#[derive(Debug, Clone, Copy)]
pub struct ConstructorInfo {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its parameters' names.
    pub parameters: &'static [&'static str],
    /// Computes its types' hash.
    pub signature: SignatureOf,
}

/// A method just listed, for what can be said of it further.
pub struct Listed<'a> {
    info: &'a mut MethodInfo,
}

impl Listed<'_> {
    /// The method may block: it runs on a worker thread, of which there is a limited number.
    pub fn blocking(self) -> Self {
        self.info.blocking = true;
        self
    }

    /// The method's errors, which are `E`s, are exceptions to Python's clients.
    pub fn raising<E: DeserializeOwned + 'static>(self, raised: fn(&E) -> Raised) -> Self {
        self.info.raising = Some(Raising::of(raised));
        self
    }
}

impl<T: Referent> Methods<T> {
    pub(super) fn of() -> Self {
        let mut methods = Self { constructors: Vec::new(), methods: Vec::new() };
        T::methods(&mut methods);
        methods
    }

    /// Lists a constructor. The first one is also what `create(typeid, …)` without a name calls.
    pub fn constructor(
        &mut self,
        name: &'static str,
        parameters: &'static [&'static str],
        signature: SignatureOf,
        construct: Construct<T>,
    ) {
        self.constructors.push((ConstructorInfo { name, parameters, signature }, construct));
    }

    /// Lists a method that takes `&self`.
    pub fn shared(
        &mut self,
        name: &'static str,
        parameters: &'static [&'static str],
        signature: SignatureOf,
        method: SharedMethod<T>,
    ) -> Listed<'_> {
        self.list(name, parameters, Some(signature), Body::Shared(method))
    }

    /// Lists a method that takes `&self`, for calls that describe themselves only: its arguments and results are whatever the caller has.
    pub(crate) fn dynamic(
        &mut self,
        name: &'static str,
        parameters: &'static [&'static str],
        method: SharedMethod<T>,
    ) -> Listed<'_> {
        self.list(name, parameters, None, Body::Shared(method))
    }

    /// Lists a method that takes `&mut self`, for calls that describe themselves only.
    pub(crate) fn dynamic_exclusive(
        &mut self,
        name: &'static str,
        parameters: &'static [&'static str],
        method: ExclusiveMethod<T>,
    ) -> Listed<'_> {
        self.list(name, parameters, None, Body::Exclusive(method))
    }

    /// Lists a constructor, for calls that describe themselves only.
    pub(crate) fn dynamic_constructor(
        &mut self,
        name: &'static str,
        parameters: &'static [&'static str],
        construct: Construct<T>,
    ) {
        self.constructor(name, parameters, || UNTYPED, construct);
    }

    /// Lists a method that takes `&mut self`.
    pub fn exclusive(
        &mut self,
        name: &'static str,
        parameters: &'static [&'static str],
        signature: SignatureOf,
        method: ExclusiveMethod<T>,
    ) -> Listed<'_> {
        self.list(name, parameters, Some(signature), Body::Exclusive(method))
    }

    /// Lets clients ask for the referent's text: what its `Display` writes.
    pub fn display(&mut self)
    where
        T: Display,
    {
        self.list(STR, &[], None, Body::Shared(|this, call| call.answer(&this.to_string())));
    }

    /// Lets clients ask for a copy of the referent: what its `Serialize` writes.
    pub fn value(&mut self)
    where
        T: Serialize,
    {
        self.list(VALUE, &[], None, Body::Shared(|this, call| call.answer(this)));
    }

    fn list(
        &mut self,
        name: &'static str,
        parameters: &'static [&'static str],
        signature: Option<SignatureOf>,
        body: Body<T>,
    ) -> Listed<'_> {
        let info = MethodInfo { name, parameters, signature, mode: body.mode(), blocking: false, raising: None };
        let (info, _) = self.methods.push_mut((info, body));
        Listed { info }
    }
}
