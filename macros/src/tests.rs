//! From text to text, without a compiler behind: what is generated, and what is said where something is wrong.
//!
//! What the generated code *does* is for `tests/ui`, where it is compiled and run.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{File, Item};

use crate::{derive_tokens, proxy_tokens, raises_tokens, referent_tokens, task_tokens};

fn pretty(tokens: TokenStream) -> String {
    let file: File = syn::parse2(tokens).expect("generated code parses");
    prettyplease::unparse(&file)
}

/// The generated items, without the lints allowed in them.
fn items(tokens: TokenStream) -> Vec<Item> {
    syn::parse2::<File>(tokens).expect("generated code parses").items
}

/// One item of the generated, pretty, found by how it begins.
fn item(tokens: &TokenStream, beginning: &str) -> String {
    let found: Vec<String> = items(tokens.clone())
        .into_iter()
        .map(|mut item| {
            match &mut item {
                Item::Impl(item) => item.attrs.clear(),
                Item::Struct(item) => item.attrs.retain(|attribute| attribute.path().is_ident("doc")),
                _ => {}
            }
            pretty(quote!(#item))
        })
        .filter(|text| text.lines().any(|line| line.starts_with(beginning)))
        .collect();
    assert_eq!(found.len(), 1, "one item begins with {beginning:?}, of:\n{}", pretty(tokens.clone()));
    found.concat()
}

fn errors(tokens: TokenStream) -> Vec<String> {
    let items = items(tokens).into_iter().filter_map(|item| match item {
        Item::Macro(item) if item.mac.path.segments.last().is_some_and(|last| last.ident == "compile_error") => {
            Some(item.mac.parse_body::<syn::LitStr>().expect("an error is a string").value())
        }
        _ => None,
    });
    items.collect()
}

fn small() -> TokenStream {
    referent_tokens(
        quote!(typeid = "Small", display, value),
        quote! {
            impl Small {
                pub fn new(name: String) -> Self { Self { name } }
                /// The name.
                #[referent(name = "getName", blocking)]
                pub fn name(&self) -> &str { &self.name }
                #[cfg(feature = "extra")]
                pub fn set(&mut self, name: &str, data: &[u8]) -> Result<(), Taken> { todo!() }
                fn private(&self) {}
            }
        },
    )
}

#[test]
fn the_block_stays_without_our_attributes() {
    let block = item(&small(), "impl Small {");
    assert!(block.contains("fn private(&self)"), "{block}");
    assert!(!block.contains("referent"), "{block}");
    assert!(block.contains("#[cfg(feature = \"extra\")]"), "{block}");
}

#[test]
fn the_table_lists_constructors_methods_and_flags() {
    let expected = pretty(quote! {
        impl ::multiproc::Referent for Small {
            type Proxy = SmallProxy;
            type Store = ::multiproc::store::RwLock<Self>;
            const TYPEID: &'static str = "Small";
            fn methods(table: &mut ::multiproc::Methods<Self>) {
                table.constructor(
                    "new",
                    &["name"],
                    ::multiproc::macro_support::signature::<(String,), <Small as ::multiproc::Referent>::Proxy>,
                    |call| {
                        let (name,): (String,) = call.arguments()?;
                        ::core::result::Result::Ok(Self::new(name,))
                    }
                );
                table.shared(
                    "getName",
                    &[],
                    ::multiproc::macro_support::signature::<(), ::std::string::String>,
                    |this, call| {
                        let (): () = call.arguments()?;
                        call.answer(&Self::name(this,))
                    }
                ).blocking();
                #[cfg(feature = "extra")]
                table.exclusive(
                    "set",
                    &["name", "data"],
                    ::multiproc::macro_support::signature::<
                        (::std::string::String, ::multiproc::macro_support::ByteBuf,),
                        ::core::result::Result<(), Taken>
                    >,
                    |this, call| {
                        let (name, data,): (&str, &::multiproc::macro_support::Bytes,) = call.arguments()?;
                        call.answer_result(&Self::set(this, name, data,))
                    }
                );
                ::multiproc::Methods::<Self>::display(table);
                ::multiproc::Methods::<Self>::value(table);
            }
        }
    });
    assert_eq!(item(&small(), "impl ::multiproc::Referent for Small"), expected);
}

#[test]
fn the_proxy_borrows_what_it_sends_and_carries_docs_and_cfg() {
    let expected = pretty(quote! {
        impl SmallProxy {
            /// Makes one in the manager's server, by `new`.
            pub fn new(manager: &::multiproc::BaseManager, name: String) -> ::multiproc::Result<Self> {
                ::core::convert::AsRef::<::multiproc::Maker>::as_ref(manager).construct::<Small, Self, _>("new", Self::__multiproc_signatures().get(0usize), &(name,))
            }
            /// The name.
            ///
            /// Calls `getName` in the server.
            pub fn name(&self,) -> ::multiproc::Result<::std::string::String> {
                self.base.invoke::<_, ::std::string::String>("getName", self.signatures.get(1usize), &())
            }
            #[cfg(feature = "extra")]
            /// Calls `set` in the server.
            pub fn set(&self, name: &str, data: &[u8]) -> ::core::result::Result<(), ::multiproc::CallError<Taken>> {
                self.base.invoke_fallible::<_, (), Taken>(
                    "set",
                    self.signatures.get(2usize),
                    &(name, ::multiproc::macro_support::Bytes::new(data),)
                )
            }
            #[doc(hidden)]
            fn __multiproc_signatures() -> ::multiproc::macro_support::Signatures {
                ::multiproc::macro_support::Signatures::of::<Self>(&[
                    ::multiproc::macro_support::signature::<(String,), <Small as ::multiproc::Referent>::Proxy>,
                    ::multiproc::macro_support::signature::<(), ::std::string::String>,
                    #[cfg(feature = "extra")]
                    ::multiproc::macro_support::signature::<
                        (::std::string::String, ::multiproc::macro_support::ByteBuf,),
                        ::core::result::Result<(), Taken>
                    >,
                    #[cfg(not(all(feature = "extra")))]
                    || 0
                ])
            }
        }
    });
    assert_eq!(item(&small(), "impl SmallProxy"), expected);
}

#[test]
fn the_deferred_twin_sends_the_same_calls() {
    let expected = pretty(quote! {
        impl<'b> SmallDeferred<'b> {
            /// Calls `getName` in the server, without waiting for the result. See [`SmallProxy::name`].
            pub fn name(&self,) -> ::multiproc::Deferred<::std::string::String> {
                self.base.invoke::<_, ::std::string::String>("getName", self.signatures.get(1usize), &())
            }
            #[cfg(feature = "extra")]
            /// Calls `set` in the server, without waiting for the result. See [`SmallProxy::set`].
            pub fn set(&self, name: &str, data: &[u8]) -> ::multiproc::Deferred<(), ::multiproc::CallError<Taken>> {
                self.base.invoke_fallible::<_, (), Taken>(
                    "set",
                    self.signatures.get(2usize),
                    &(name, ::multiproc::macro_support::Bytes::new(data),)
                )
            }
        }
    });
    assert_eq!(item(&small(), "impl<'b> SmallDeferred<'b>"), expected);
    item(&small(), "impl<'b> ::core::convert::From<::multiproc::DeferredBase<'b>> for SmallDeferred<'b>");
    assert!(
        item(&small(), "impl ::multiproc::Proxy for SmallProxy").contains("type Deferred<'b> = SmallDeferred<'b>;")
    );
}

#[test]
fn what_a_described_method_calls_self_is_the_proxy_in_its_twin_too() {
    let described = proxy_tokens(
        quote!(),
        quote!(
            trait Store {
                fn reopen(&self) -> Result<Self, String>;
            }
        ),
    );
    let twin = item(&described, "impl<'b> StoreDeferred<'b>");
    assert!(twin.contains("Deferred<StoreProxy, ::multiproc::CallError<String>>"), "{twin}");
    assert!(!twin.contains("Self"), "{twin}");
}

#[test]
fn a_twin_is_named_after_its_proxy_and_has_its_parameters() {
    let block = quote!(
        impl<T: Datum, const N: usize> Stack<T, N> {
            pub fn push(&mut self, item: T) {}
        }
    );
    item(&referent_tokens(quote!(proxy = Handle), block), "pub struct HandleDeferred<'b, T, const N: usize>");
    let by_hand = derive_tokens(quote! {
        #[proxy(deferred = twins::ByHandLater)]
        struct ByHand<T: Clone>(BaseProxy, PhantomData<T>);
    });
    let flat = pretty(by_hand);
    assert!(flat.contains("type Deferred<'b> = twins::ByHandLater<'b, T>;"), "{flat}");
}

#[test]
fn a_proxy_has_every_trait_that_proxies_have() {
    for implemented in [
        "::multiproc::Proxy",
        "::core::clone::Clone",
        "::core::fmt::Debug",
        "::core::fmt::Display",
        "::core::cmp::PartialEq",
        "::core::cmp::Eq",
        "::core::hash::Hash",
        "::multiproc::macro_support::serde::Serialize",
        "::core::convert::AsRef<::multiproc::BaseProxy>",
    ] {
        item(&small(), &format!("impl {implemented} for SmallProxy"));
    }
    item(&small(), "impl<'de> ::multiproc::macro_support::serde::Deserialize<'de> for SmallProxy");
}

fn store_of(flags: TokenStream, methods: TokenStream) -> String {
    let implementation = item(&referent_tokens(flags, quote!(impl S { #methods })), "impl ::multiproc::Referent for S");
    let store = implementation.lines().find(|line| line.contains("type Store")).expect("a store");
    store.trim().to_owned()
}

#[test]
fn the_store_is_the_cheapest_that_the_methods_allow() {
    let (shared, exclusive) = (
        quote!(
            pub fn a(&self) {}
        ),
        quote!(
            pub fn b(&mut self) {}
        ),
    );
    let store = |name| format!("type Store = ::multiproc::store::{name}<Self>;");
    assert_eq!(store_of(quote!(), quote!()), store("Bare"));
    assert_eq!(store_of(quote!(), shared.clone()), store("Bare"));
    assert_eq!(store_of(quote!(), quote!(#shared #exclusive)), store("RwLock"));
    assert_eq!(store_of(quote!(), quote!(#shared #[referent(skip)] #exclusive)), store("Bare"));
    assert_eq!(store_of(quote!(), quote!(#shared fn c(&mut self) {})), store("Bare"));
    assert_eq!(store_of(quote!(exclusive), shared), store("Mutex"));
}

#[test]
fn bounds_are_where_they_are_needed_and_nowhere_else() {
    let tokens = referent_tokens(
        quote!(),
        quote! {
            impl<T: Datum, const N: usize> Stack<T, N> where T: Clone {
                pub fn new() -> Self { todo!() }
                pub fn merge(&mut self, other: Self) -> [T; Self::SIZE] { todo!() }
            }
        },
    );
    let declaration = item(&tokens, "pub struct StackProxy<T, const N: usize>");
    assert!(declaration.contains("PhantomData<fn() -> (T,)>"), "{declaration}");
    item(&tokens, "impl<T, const N: usize> ::core::clone::Clone for StackProxy<T, N>");
    item(&tokens, "impl<T: Datum, const N: usize> ::multiproc::Proxy for StackProxy<T, N>");
    let methods = item(&tokens, "impl<T: Datum, const N: usize> StackProxy<T, N>");
    assert!(methods.contains("other: Stack<T, N>"), "{methods}");
    assert!(methods.contains("[T; <Stack<T, N>>::SIZE]"), "{methods}");
}

#[test]
fn the_same_text_has_the_same_signature_on_both_sides() {
    let methods = quote! {
        fn bytes(&self, all: &[u8], maybe: Option<Vec<u8>>, lent: &Vec<u8>) -> Option<&[u8]>;
        fn text(&self, text: &str, texts: &[&str], path: &Path, cow: Cow<'_, str>) -> Result<&str, &'static str>;
        fn plain(&self, a: u8, b: Option<&Point>, c: &[Point]) -> (&Point, Vec<&Point>);
    };
    let served: syn::ItemTrait = syn::parse_quote!(trait T { #methods });
    let served = served.items.into_iter().map(|item| match item {
        syn::TraitItem::Fn(function) => {
            let signature = function.sig;
            quote!(pub #signature { todo!() })
        }
        _ => unreachable!("there are only functions"),
    });
    let referent = referent_tokens(quote!(), quote!(impl Both { #(#served)* }));
    let described = proxy_tokens(quote!(), quote!(trait Both { #methods }));
    let signatures = |tokens| {
        let methods = item(tokens, "impl BothProxy");
        methods[methods.find("Signatures::of").expect("signatures")..].to_owned()
    };
    assert_eq!(signatures(&referent), signatures(&described));
    assert!(signatures(&referent).contains("::std::borrow::ToOwned"), "{}", signatures(&referent));
}

#[test]
fn conditions_are_joined() {
    let tokens = referent_tokens(
        quote!(),
        quote! {
            impl S {
                #[cfg(a)]
                #[cfg_attr(b, cfg(c), doc = "told", inline)]
                pub fn get(&self) {}
            }
        },
    );
    let methods = item(&tokens, "impl SProxy");
    assert!(methods.contains("#[cfg(a)]\n    #[cfg(any(not(b), c))]\n    #[cfg_attr(b, doc = \"told\")]"), "{methods}");
    assert!(methods.contains("#[cfg(not(all(a, any(not(b), c))))]"), "{methods}");
}

#[test]
fn the_codec_is_chosen_by_the_proxy() {
    let described = quote! {
        trait T {
            fn new() -> Self;
            fn open() -> Result<Self, String>;
            fn get(&self) -> u8;
            fn find(&self) -> Result<u8, String>;
        }
    };
    let methods = item(&proxy_tokens(quote!(typeid = "Elsewhere", codec = value), described), "impl TProxy");
    for call in [
        "construct_as_by_value::<Self, _>(\"Elsewhere\", \"new\", &())",
        "construct_fallible_as_by_value::<Self, _, String>(\"Elsewhere\", \"open\", &())",
        "invoke_by_value::<_, u8>(\"get\", &())",
        "invoke_fallible_by_value::<_, u8, String>(\"find\", &())",
    ] {
        let flat = |text: &str| text.split_whitespace().collect::<String>().replace(",>", ">");
        assert!(flat(&methods).contains(&flat(call)), "{call} is not in\n{methods}");
    }
}

#[test]
fn a_derived_proxy_has_the_constants_that_its_author_gives() {
    let tokens = derive_tokens(quote! {
        #[proxy(exposed("get"), method_to_typeid(child = "Child"), no(Display, Serialize))]
        struct Hand(Vec<u8>, BaseProxy);
    });
    let expected = pretty(quote! {
        impl ::multiproc::Proxy for Hand {
            const EXPOSED: ::core::option::Option<&'static [&'static str]> = ::core::option::Option::Some(&["get"]);
            const METHOD_TO_TYPEID: &'static [(&'static str, &'static str)] = &[("child", "Child")];
            type Deferred<'b> = ::multiproc::DeferredBase<'b>;
            fn from_base(base: ::multiproc::BaseProxy) -> Self {
                Self { 1: base, 0: ::core::default::Default::default(), }
            }
            fn base(&self) -> &::multiproc::BaseProxy {
                &self.1
            }
        }
    });
    assert_eq!(item(&tokens, "impl ::multiproc::Proxy for Hand"), expected);
    let text = pretty(tokens);
    assert!(!text.contains("fmt::Display for"), "{text}");
    assert!(!text.contains("Serialize for"), "{text}");
    assert!(text.contains("Deserialize<'de> for Hand"), "{text}");
}

#[test]
fn everything_wrong_is_told_at_once_beside_the_block() {
    let tokens = referent_tokens(
        quote!(typeid = "no name", dispaly),
        quote! {
            impl S {
                pub async fn run(&self, f: impl Fn()) {}
                pub fn get(self) {}
                #[referent(name = "twice")]
                pub fn one(&self) {}
                #[referent(name = "twice")]
                pub fn two(&self) -> io::Result<u8> { todo!() }
                pub fn untyped(&self, reply: Responder) {}
            }
        },
    );
    item(&tokens, "impl S {");
    let errors = errors(tokens);
    let about = [
        "unknown flag `dispaly`",
        "`async`",
        "`impl Trait`",
        "take `&self`",
        "hidden by an alias",
        "`Responder<T>`",
        "typeid",
    ];
    assert_eq!(errors.len(), about.len(), "{errors:#?}");
    for (error, about) in errors.iter().zip(about) {
        assert!(error.contains(about), "{about:?} is not in {error:?}");
    }
}

#[test]
fn a_task_stays_a_function_beside_the_type_that_names_it() {
    let tokens = task_tokens(
        quote!(name = "pow"),
        quote! {
            /// Documented.
            #[cfg(feature = "extra")]
            pub(crate) fn power((base, _): (u64, u64), r#type: u32) -> Option<u64> { base.checked_pow(r#type) }
        },
    );
    item(&tokens, "pub(crate) fn power(");
    let names = pretty(tokens.clone());
    assert_eq!(names.matches("#[cfg(feature = \"extra\")]").count(), 3, "{names}");
    for generated in [
        "pub(crate) enum power {}",
        "const NAME: &'static str = \"pow\";",
        "&[\"argument_0\", \"type\"]",
        "type Arguments = ((u64, u64), u32);",
        "type Output = Option<u64>;",
        "power(argument_0, argument_1)",
    ] {
        assert!(names.contains(generated), "{generated} is not in\n{names}");
    }
    let declared = pretty(task_tokens(
        quote!(),
        quote!(
            fn nothing();
        ),
    ));
    assert!(declared.contains("type Arguments = ();") && declared.contains("type Output = ();"), "{declared}");
    assert!(!declared.contains("RunTask") && !declared.contains("fn nothing"), "{declared}");
    let factorial = task_tokens(
        quote!(name = "math.factorial"),
        quote!(
            fn factorial(n: u64) -> u64;
        ),
    );
    assert!(pretty(factorial).contains("\"math.factorial\""));
}

#[test]
fn the_errors_of_a_task_are_the_exceptions_that_it_names() {
    let errors_of = |flags, function| pretty(task_tokens(flags, function));
    let plain = errors_of(
        quote!(),
        quote!(
            fn f() -> Option<u8> {
                None
            }
        ),
    );
    assert!(!plain.contains("fn errors"), "{plain}");
    let unnamed = errors_of(
        quote!(),
        quote!(
            fn f() -> std::io::Result<u8> {
                Ok(1)
            }
        ),
    );
    assert!(unnamed.contains("TaskErrors::default()") && !unnamed.contains("raising"), "{unnamed}");
    let own = errors_of(
        quote!(raises),
        quote!(
            fn f() -> Result<u8, Refusal> {
                Ok(1)
            }
        ),
    );
    assert!(own.contains(".raising::<Refusal>(<Refusal as ::multiproc::Raises>::raised)"), "{own}");
    let named = errors_of(
        quote!(raises = "queue.Full"),
        quote!(
            fn f() -> Result<u8, String> {
                Ok(1)
            }
        ),
    );
    assert!(named.contains("Raised::new(\"queue.Full\")"), "{named}");
    for (flags, function, about) in [
        (
            quote!(raises),
            quote!(
                fn f() -> u8 {
                    1
                }
            ),
            "Result<T, E>",
        ),
        (
            quote!(raises),
            quote!(
                fn f() -> std::io::Result<u8> {
                    Ok(1)
                }
            ),
            "Result<T, E>",
        ),
        (
            quote!(raises),
            quote!(
                fn f() -> Result<u8, Refusal>;
            ),
            "where its body is",
        ),
        (
            quote!(raises = "no class"),
            quote!(
                fn f() -> Result<u8, String> {
                    Ok(1)
                }
            ),
            "class",
        ),
        (
            quote!(name = "math."),
            quote!(
                fn f();
            ),
            "identifier",
        ),
    ] {
        let errors = errors(task_tokens(flags, function));
        assert!(errors.len() == 1 && errors[0].contains(about), "{about}: {errors:#?}");
    }
}

#[test]
fn what_can_be_no_task_is_told_at_once_and_stays_a_function() {
    let tokens = task_tokens(
        quote!(name = "no name", nmae),
        quote! {
            async unsafe extern "C" fn run<T>(&self, text: &str, f: impl Fn()) -> Vec<&'static str> { todo!() }
        },
    );
    item(&tokens, "async unsafe extern \"C\" fn run");
    let errors = errors(tokens);
    let about = [
        "unknown flag `nmae`",
        "one set of types",
        "no runtime",
        "safe function",
        "drop the ABI",
        "`self`",
        "`String` for",
        "`impl Trait`",
        "comes from",
        "identifier",
    ];
    assert_eq!(errors.len(), about.len(), "{errors:#?}");
    for (error, about) in errors.iter().zip(about) {
        assert!(error.contains(about), "{about:?} is not in {error:?}");
    }
}

#[test]
fn what_no_macro_can_read_is_an_error_and_no_panic() {
    for tokens in [
        referent_tokens(quote!(), quote!(let x = 1;)),
        referent_tokens(quote!(), quote!()),
        referent_tokens(quote!(= = ,), quote!(impl S {})),
        proxy_tokens(
            quote!(1),
            quote!(
                trait T {}
            ),
        ),
        proxy_tokens(quote!(), quote!(impl T for S {})),
        task_tokens(
            quote!(),
            quote!(
                struct S;
            ),
        ),
        task_tokens(quote!(), quote!()),
        derive_tokens(quote!(union U { base: BaseProxy })),
        derive_tokens(quote!(
            #[proxy(exposed = "a")]
            struct S(BaseProxy);
        )),
    ] {
        assert!(!errors(tokens).is_empty());
    }
}

#[test]
fn each_form_of_an_error_is_the_exception_that_it_names() {
    let tokens = raises_tokens(quote! {
        #[raises("ValueError", text)]
        enum Refusal {
            #[raises("KeyError")]
            Missing(String),
            #[raises("bank.Overdrawn")]
            Overdrawn { by: u64, at: String },
            Other(u8),
        }
    });
    let code = pretty(tokens);
    assert!(code.contains("Self::Missing { 0: field_0 } => {"), "{code}");
    assert!(code.contains(r#"::multiproc::Raised::new("KeyError").argument(field_0)"#), "{code}");
    let overdrawn = r#"::multiproc::Raised::new("bank.Overdrawn").argument(field_0).argument(field_1)"#;
    assert!(code.contains("Self::Overdrawn { by: field_0, at: field_1 }"), "{code}");
    assert!(code.split_whitespace().collect::<String>().contains(overdrawn), "{code}");
    assert!(code.contains("Self::Other { .. }") && code.contains("to_string(self)"), "{code}");
}

#[test]
fn a_methods_errors_are_exceptions_where_that_is_said() {
    let tokens = referent_tokens(
        quote!(raises = "ValueError"),
        quote! {
            impl Bank {
                pub fn new() -> Result<Self, Refusal> { todo!() }
                pub fn count(&self) -> u64 { 0 }
                pub fn withdraw(&self) -> Result<u64, Refusal> { todo!() }
                #[referent(raises)]
                pub fn close(&self) -> Result<(), Refusal> { todo!() }
            }
        },
    );
    let code: String = item(&tokens, "impl ::multiproc::Referent for Bank {").split_whitespace().collect();
    assert_eq!(code.matches(".raising::<Refusal").count(), 2, "{code}");
    assert!(code.contains(r#"::multiproc::Raised::new("ValueError").argument("#), "{code}");
    assert!(code.contains("<Refusalas::multiproc::Raises>::raised"), "{code}");
}
