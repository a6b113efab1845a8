//! What a batch's closure may return: deferred calls, alone or put together, and what becomes of them.

use super::Deferred;
use crate::error::Result;

/// Deferred calls, put together, that can be waited for as one.
///
/// A tuple, vector, array or option of them becomes one of their results, nested as they are. Each call keeps its own result, errors included.
///
/// | returned | becomes |
/// | --- | --- |
/// | `Deferred<T, E>` | `Result<T, E>` |
/// | `(A, B, …)`, up to twelve | `(A::Output, B::Output, …)` |
/// | `Vec<A>`, `[A; N]`, `Option<A>` | the same of `A::Output` |
/// | `Result<A, E>` | `Result<A::Output, E>` |
/// | `()` | `()`: the calls are made, and their results dropped |
pub trait Resolve {
    /// Their results.
    type Output;

    /// Waits for all of them.
    fn resolve(self) -> Self::Output;
}

impl<T, E> Resolve for Deferred<T, E> {
    type Output = Result<T, E>;

    fn resolve(self) -> Self::Output {
        self.wait()
    }
}

impl<R: Resolve> Resolve for Vec<R> {
    type Output = Vec<R::Output>;

    fn resolve(self) -> Self::Output {
        self.into_iter().map(Resolve::resolve).collect()
    }
}

impl<R: Resolve, const N: usize> Resolve for [R; N] {
    type Output = [R::Output; N];

    fn resolve(self) -> Self::Output {
        self.map(Resolve::resolve)
    }
}

impl<R: Resolve> Resolve for Option<R> {
    type Output = Option<R::Output>;

    fn resolve(self) -> Self::Output {
        self.map(Resolve::resolve)
    }
}

impl<R: Resolve, E> Resolve for Result<R, E> {
    type Output = Result<R::Output, E>;

    fn resolve(self) -> Self::Output {
        self.map(Resolve::resolve)
    }
}

/// Implements it for a tuple.
macro_rules! tuple {
    ($($name:ident)*) => {
        impl<$($name: Resolve),*> Resolve for ($($name,)*) {
            type Output = ($($name::Output,)*);

            #[allow(non_snake_case, clippy::unused_unit)] // The variables are named for their types.
            fn resolve(self) -> Self::Output {
                let ($($name,)*) = self;
                ($($name.resolve(),)*)
            }
        }
    };
}

tuple!();
tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
tuple!(A B C D E);
tuple!(A B C D E F);
tuple!(A B C D E F G);
tuple!(A B C D E F G H);
tuple!(A B C D E F G H I);
tuple!(A B C D E F G H I J);
tuple!(A B C D E F G H I J K);
tuple!(A B C D E F G H I J K L);
