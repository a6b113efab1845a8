//! The attribute macros of `multiproc`, which re-exports them.
//!
//! Each goes the same way: *parse* (`parse`, `attributes`) reads the item's syntax into a *model*, *validate* looks at the
//! model as a whole, and *expand* writes code from it, one function per generated item. `types` knows how the types of a
//! method's text travel, for referents and for proxy traits alike. All that is wrong with an item is told at once, each
//! error at its own place.
//!
//! Generated code names everything by absolute paths and uses of the library, beside its public API, only
//! `::multiproc::macro_support`.

mod attributes;
mod errors;
mod expand;
mod model;
mod parse;
#[cfg(test)]
mod tests;
mod types;
mod validate;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{Error, Item, Result};

use errors::Errors;

/// Makes the type of an inherent `impl` block a *referent*: an object that lives in a manager's server, and is worked on
/// from every process through a typed proxy.
///
/// The block stays as it is. Beside it come the implementation of `Referent`, and a proxy named `<Type>Proxy` that has a
/// method for each `pub` function of the block:
///
/// ```ignore
/// #[multiproc::referent(typeid = "MyClass", display, value)]
/// impl MyClass {
///     /// A constructor: `MyClassProxy::new(&manager, name)` makes one in the server.
///     pub fn new(name: String) -> Self {
///         Self { name }
///     }
///
///     #[referent(name = "getName")]
///     pub fn name(&self) -> &str {
///         &self.name
///     }
///
///     /// The error arrives as what it is: `Err(CallError::Method(BadName))`.
///     pub fn rename(&mut self, name: &str) -> Result<(), BadName> {
///         self.name = checked(name)?;
///         Ok(())
///     }
/// }
/// ```
///
/// Beside the proxy comes its *deferred twin*, `<Type>Deferred`, with the same methods, which return a `Deferred` instead of waiting:
/// `proxy.defer().name()`, and in a batch `b.on(&proxy).name()`.
///
/// # What is exposed
///
/// - Methods with `&self` or `&mut self`. If all take `&self`, the referent is stored without a lock, and calls run side by
///   side; else one `&mut self` call runs at a time, and calls that wait are served in the order in which they came.
/// - Functions without `self` that return `Self` or `Result<Self, E>`: constructors.
/// - Nothing that is not `pub`, nothing marked `#[referent(skip)]`, no trait's methods.
///
/// # Parameters
///
/// By value any serde type; by reference `&str`, `&[T]`, `&T`, `Option<&T>` and types that hold `&str`: the proxy's method
/// takes the same reference, and sends from there without cloning. `&[u8]` and `Vec<u8>` travel in one block. Names count:
/// dynamic callers may pass arguments by them. There are at most 16.
///
/// # Results
///
/// Any serde type, or a reference into the referent (`&str`, `Option<&T>` …), which arrives as its owner (`String`,
/// `Option<T>`). A proxy's method returns `multiproc::Result<T>`; that of a method returning `Result<T, E>` returns
/// `Result<T, CallError<E>>`, in which `E` arrives as itself. `E` must be a serde type, unless errors are sent as text.
///
/// A last parameter `Responder<T>` makes a method answer later, from any thread; to the proxy it looks like a result `T`, and
/// a `Responder<T, E>` like a `Result<T, E>`.
///
/// # Flags of the block
///
/// | flag | meaning |
/// | --- | --- |
/// | `typeid = "Name"` | the registered name, an identifier; else the type's own |
/// | `display` | the proxy's `Display` is the referent's; needs `Display` |
/// | `value` | `to_value` sends a copy of the referent; needs `Serialize` |
/// | `exclusive` | all calls run one at a time: for types that are `Send` but not `Sync` |
/// | `proxy = Name` | the generated proxy's name |
/// | `proxytype = path` | the proxy is a hand-written type, see `#[derive(multiproc::Proxy)]`; none is generated |
/// | `error = text`, `codec = value`, `blocking`, `raises` | as below, for all methods that they fit |
///
/// # Flags of a method: `#[referent(…)]`
///
/// | flag | meaning |
/// | --- | --- |
/// | `skip` | not exposed |
/// | `name = "getName"` | the name that callers say, an identifier |
/// | `proxy` | what the method returns (`T`, `Shared<T>`, or a `Result` of one) becomes a referent, and its proxy is answered |
/// | `blocking` | the method may block: it runs on a worker, not on the server's leader |
/// | `error = text` | errors need no serde: they arrive as `Error::Remote` with their words and causes |
/// | `raises = "ValueError"` | to Python's clients all errors are exceptions of this class, with the error's text; needs `Display` |
/// | `raises` | to Python's clients an error is the exception that its type says, by `Raises` |
/// | `codec = value` | arguments and result travel in the self-describing format, which types with untagged, flattened or skipped parts need |
///
/// # Generic types
///
/// `impl<T: multiproc::Datum> Stack<T>` gives `StackProxy<T>`; each instantiation is registered under a name of its own
/// (`register_as`), since `typeid` can't contain `T`. The bounds that the methods need stand on the block.
///
/// `cfg`, doc comments, `deprecated` and `must_use` go with a method to the proxy. A type has one such block.
#[proc_macro_attribute]
pub fn referent(flags: TokenStream, item: TokenStream) -> TokenStream {
    referent_tokens(flags.into(), item.into()).into()
}

/// Makes a trait's list of methods a typed *proxy* for a server whose types the client does not have.
///
/// The trait itself is gone: what stays is the struct `<Trait>Proxy`, with a method for each of the trait's.
///
/// ```ignore
/// #[multiproc::proxy(typeid = "MyClass")]
/// pub trait MyClass {
///     fn new(name: String) -> Self;
///     #[proxy(name = "getName")]
///     fn name(&self) -> String;
///     fn rename(&self, name: &str) -> Result<(), BadName>;
///     fn child(&self) -> ChildProxy;
/// }
///
/// let object = MyClassProxy::new(&manager, "mark".into())?;
/// ```
///
/// Write each method as the server's type has it, with two differences: the receiver is always `&self`, and a method that
/// answers with a referent names that one's proxy type. The types must be the server's: the first call of a method compares
/// signatures, and tells where they differ.
///
/// Flags: `typeid = "Name"` (else the trait's name), `proxy = Name` for the struct, `error = text` and `codec = value` for all
/// methods. On a method, `#[proxy(…)]` takes `name = "…"`, `error = text` and `codec = value`, which mean what they mean to
/// [`macro@referent`].
#[proc_macro_attribute]
pub fn proxy(flags: TokenStream, item: TokenStream) -> TokenStream {
    proxy_tokens(flags.into(), item.into()).into()
}

/// Makes a struct around one `BaseProxy` a hand-written *proxy*, with the traits that every proxy has: `Clone`, `Debug`,
/// `Display` (the referent's text), `PartialEq`, `Eq` and `Hash` by identity, `Serialize`, `Deserialize`, `AsRef<BaseProxy>`
/// and `Proxy`.
///
/// ```ignore
/// #[derive(multiproc::Proxy)]
/// #[proxy(exposed("getName", "child"), method_to_typeid(child = "Child"))]
/// pub struct MyClassProxy {
///     base: multiproc::BaseProxy,
/// }
/// ```
///
/// Fields beside the `BaseProxy` must be `Default`, which they are in a proxy that arrives from elsewhere, and `Clone`.
///
/// `#[proxy(exposed("…", …))]` names the methods that a registration with this proxy exposes, `method_to_typeid(method = "Type")`
/// those whose result becomes a referent of a registered type, and `no(Display, …)` the traits that you write yourself.
///
/// Deferred calls of the proxy go by name, through a `DeferredBase`, unless `#[proxy(deferred = MyClassDeferred)]` names a twin of your
/// own: a struct with the proxy's parameters behind a lifetime `'b`, and `impl<'b> From<DeferredBase<'b>>` for it.
#[proc_macro_derive(Proxy, attributes(proxy))]
pub fn derive_proxy(input: TokenStream) -> TokenStream {
    derive_tokens(input.into()).into()
}

/// Says which exceptions the errors of a type are to Python's clients, for methods with the flag `raises`.
///
/// ```ignore
/// #[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize, multiproc::Raises)]
/// #[raises("ValueError", text)]
/// pub enum Refusal {
///     #[error("{0} has no account")]
///     #[raises("KeyError")]
///     NoAccount(String),
///     #[error("less than nothing")]
///     Negative,
/// }
/// ```
///
/// `#[raises("Class")]` stands on a variant, or on the type for all variants without one of their own. A class is one of Python's built-in exceptions, or a module's, written with the module (`queue.Full`), which
/// the client must be able to import. The variant's fields are the exception's arguments: `KeyError('ada')`. With `text` the error's `Display` is the only one: `ValueError('less than nothing')`.
#[proc_macro_derive(Raises, attributes(raises))]
pub fn derive_raises(input: TokenStream) -> TokenStream {
    raises_tokens(input.into()).into()
}

/// Makes a function a *task*: one that the worker processes of a manager's server run, for any process that names it.
///
/// The function stays as it is. Beside it, as a type of the same name, comes the implementation of `multiproc::Task`, which is how
/// it is registered and named:
///
/// ```ignore
/// #[multiproc::task]
/// fn power(base: u64, exponent: u32) -> u64 {
///     base.pow(exponent)
/// }
///
/// let manager = SyncManager::builder().task::<power>().start()?;
/// let pool = PoolProxy::new(&manager, 4)?;
/// assert_eq!(pool.apply::<power>((2, 10))?, 1024);
/// assert_eq!(power(2, 10), 1024);
/// ```
///
/// A program that names a task whose function is in another program declares it without a body; its types are compared with the server's:
///
/// ```ignore
/// #[multiproc::task]
/// fn power(base: u64, exponent: u32) -> u64;
/// ```
///
/// Arguments and result are serde types that own what they hold. A `Result` is a result like any other; a panic is the task's failure. A Python program that runs the task gets what is in the `Ok`, and an exception
/// for an `Err`.
///
/// | flag | meaning |
/// | --- | --- |
/// | `name = "…"` | an identifier, for what it is called between processes; else the function's own name. With a module, `name = "math.factorial"`, a declaration names a function for the pools of Python's managers |
/// | `raises = "ValueError"` | to Python's clients all errors are exceptions of this class, with the error's text; needs `Display` |
/// | `raises` | to Python's clients an error is the exception that its type says, by `Raises`; without either flag a `RemoteError` |
#[proc_macro_attribute]
pub fn task(flags: TokenStream, item: TokenStream) -> TokenStream {
    task_tokens(flags.into(), item.into()).into()
}

fn task_tokens(flags: Tokens, item: Tokens) -> Tokens {
    let expanded = expanded(|errors| parse::task(flags, item.clone(), errors), validate::task, expand::task);
    // A declaration is no item by itself. All else stays, also where it can be no task.
    let item = (!parse::is_declaration(&item)).then_some(item);
    let generated = expanded.unwrap_or_else(Error::into_compile_error);
    quote!(#item #generated)
}

fn referent_tokens(flags: Tokens, item: Tokens) -> Tokens {
    let mut item: Item = match syn::parse2(item) {
        Ok(item) => item,
        Err(error) => return error.into_compile_error(),
    };
    // The block itself stays also where it can't be served, or every use of its methods would be an error too.
    expanded(|errors| parse::referent(flags, &mut item, errors), validate::referent, expand::referent).unwrap_or_else(
        |error| {
            let error = error.into_compile_error();
            quote!(#item #error)
        },
    )
}

fn proxy_tokens(flags: Tokens, item: Tokens) -> Tokens {
    syn::parse2(item)
        .and_then(|mut item| {
            expanded(|errors| parse::proxy_trait(flags, &mut item, errors), validate::proxy_trait, expand::proxy_trait)
        })
        .unwrap_or_else(Error::into_compile_error)
}

fn derive_tokens(input: Tokens) -> Tokens {
    syn::parse2(input)
        .and_then(|input| expanded(|errors| parse::derived(&input, errors), validate::derived, expand::derived))
        .unwrap_or_else(Error::into_compile_error)
}

fn raises_tokens(input: Tokens) -> Tokens {
    syn::parse2(input)
        .and_then(|input| expanded(|errors| parse::raised(&input, errors), validate::raised, expand::raised))
        .unwrap_or_else(Error::into_compile_error)
}

/// Parse, validate, expand; or all that was found wrong on the way.
fn expanded<M>(
    parse: impl FnOnce(&mut Errors) -> Option<M>,
    validate: fn(&M, &mut Errors),
    expand: fn(&M) -> Tokens,
) -> Result<Tokens> {
    let mut errors = Errors::default();
    let model = parse(&mut errors);
    if let Some(model) = &model {
        validate(model, &mut errors);
    }
    errors.finish(model).map(|model| model.as_ref().map(expand).unwrap_or_default())
}
