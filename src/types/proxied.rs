//! What makes a struct around a [`BaseProxy`](crate::BaseProxy) a proxy of this module, and a call a method of it and of its deferred twin.

/// Makes `Name<T, …>` a proxy, and `Deferred` its deferred twin: everything that the [`Proxy`](crate::Proxy) trait and its users expect. Docs and attributes go to
/// the proxy's struct.
macro_rules! proxy_type {
    ($(#[$attribute:meta])* pub struct $name:ident $(<$($parameter:ident),+>)?, $deferred:ident;) => {
        #[doc = concat!("The deferred twin of a [`", stringify!($name), "`]: its calls are sent and not waited for.")]
        pub struct $deferred<'b $($(, $parameter)+)?> {
            base: $crate::proxy::DeferredBase<'b>,
            holds: std::marker::PhantomData<fn($($($parameter),+)?) -> ($($($parameter,)+)?)>,
        }

        impl<'b $($(, $parameter)+)?> From<$crate::proxy::DeferredBase<'b>> for $deferred<'b $($(, $parameter)+)?> {
            fn from(base: $crate::proxy::DeferredBase<'b>) -> Self {
                Self { base, holds: std::marker::PhantomData }
            }
        }

        impl $(<$($parameter),+>)? std::fmt::Debug for $deferred<'_ $($(, $parameter)+)?> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "<deferred {:?}>", self.base.proxy())
            }
        }

        $(#[$attribute])*
        pub struct $name $(<$($parameter),+>)? {
            base: $crate::proxy::BaseProxy,
            holds: std::marker::PhantomData<fn($($($parameter),+)?) -> ($($($parameter,)+)?)>,
        }

        impl $(<$($parameter: $crate::datum::Datum),+>)? $crate::proxy::Proxy for $name $(<$($parameter),+>)? {
            type Deferred<'b> = $deferred<'b $($(, $parameter)+)?>;

            fn from_base(base: $crate::proxy::BaseProxy) -> Self {
                Self { base: $crate::types::adapted(base, stringify!($name)), holds: std::marker::PhantomData }
            }

            fn base(&self) -> &$crate::proxy::BaseProxy {
                &self.base
            }
        }

        impl $(<$($parameter),+>)? Clone for $name $(<$($parameter),+>)? {
            fn clone(&self) -> Self {
                Self { base: self.base.clone(), holds: std::marker::PhantomData }
            }
        }

        /// By identity: proxies of the same object are equal.
        impl $(<$($parameter),+>)? PartialEq for $name $(<$($parameter),+>)? {
            fn eq(&self, other: &Self) -> bool {
                self.base == other.base
            }
        }

        impl $(<$($parameter),+>)? Eq for $name $(<$($parameter),+>)? {}

        impl $(<$($parameter),+>)? std::hash::Hash for $name $(<$($parameter),+>)? {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.base.hash(state);
            }
        }

        impl $(<$($parameter),+>)? std::fmt::Debug for $name $(<$($parameter),+>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.base.fmt(f)
            }
        }

        /// What the object holds, as Python would print it; computed in the server.
        impl $(<$($parameter),+>)? std::fmt::Display for $name $(<$($parameter),+>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.base, f)
            }
        }

        impl $(<$($parameter),+>)? serde::Serialize for $name $(<$($parameter),+>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.base.serialize(serializer)
            }
        }

        impl<'de $($(, $parameter)+)?> serde::Deserialize<'de> for $name $(<$($parameter),+>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let base = $crate::types::adapted(serde::Deserialize::deserialize(deserializer)?, stringify!($name));
                Ok(Self { base, holds: std::marker::PhantomData })
            }
        }
    };
}

/// Writes calls once, for a proxy and for its deferred twin:
///
/// ```text
/// calls! {
///     [K: Datum, V: Datum] DictProxy[K, V], DictDeferred;
///
///     /// The value of a key.
///     fn get(&self, key: impl Encodes<K>) -> Option<V> { "get"(sent::<K, _>(&key)) => Slot::into_inner }
///     //                                                  name, arguments             what is made of the result
/// }
/// ```
///
/// A method that fails with an error of its own names it behind the result: `-> u32, Full`.
macro_rules! calls {
    (
        [$($bounds:tt)*] $proxy:ident[$($parameter:ident),*], $deferred:ident;
        $(
            $(#[$attribute:meta])*
            fn $method:ident(&self $(, $argument:ident: $type:ty)* $(,)?) -> $result:ty $(, $error:ty)? {
                $name:literal($($sent:expr),* $(,)?) $(=> $made:expr)?
            }
        )*
    ) => {
        impl<$($bounds)*> $proxy<$($parameter),*> {
            $(
                $(#[$attribute])*
                pub fn $method(&self $(, $argument: $type)*) -> $crate::error::Result<$result $(, $crate::error::CallError<$error>)?> {
                    let called = calls!(@call ($crate::proxy::Proxy::base(self)) $name ($($sent,)*) $($error)?);
                    calls!(@made called $($made)?)
                }
            )*
        }

        impl<$($bounds)*> $deferred<'_, $($parameter),*> {
            $(
                #[doc = concat!("As [`", stringify!($proxy), "::", stringify!($method), "`].")]
                pub fn $method(&self $(, $argument: $type)*) -> $crate::proxy::Deferred<$result $(, $crate::error::CallError<$error>)?> {
                    let called = calls!(@call (self.base) $name ($($sent,)*) $($error)?);
                    calls!(@made called $($made)?)
                }
            )*
        }
    };
    (@call ($base:expr) $name:literal $arguments:expr) => { $base.invoke_by_value($name, &$arguments) };
    (@call ($base:expr) $name:literal $arguments:tt $error:ty) => { $base.invoke_fallible_by_value($name, &$arguments) };
    (@made $called:ident) => { $called };
    (@made $called:ident $made:expr) => { $called.map($made) };
}
