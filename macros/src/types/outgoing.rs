//! Results: from the method into the reply, and out of it to the proxy's caller.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Result, Type, parse_quote};

use super::check::{Place, check};
use super::fold::{normal, owned};
use super::{argument_of, arguments_of, is_byte_slice, is_byte_vec, referred};

/// A result's type, without the `Result` around it.
pub(crate) struct Outgoing {
    /// What the proxy's method returns.
    pub(crate) owned: Type,
    /// What the client reads, and the signature is computed from.
    pub(crate) wire: Type,
    form: Form,
}

/// How a result gets into the reply and out of it.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// As it is.
    Whole,
    /// `Vec<u8>`.
    ByteBuf,
    /// `&[u8]`, `&Vec<u8>`.
    Bytes,
    /// `Option<Vec<u8>>`.
    OptionByteBuf,
    /// `Option<&[u8]>`.
    OptionBytes,
}

impl Outgoing {
    /// Reads a result's type; `subject` is what `Self` stands for.
    pub(crate) fn read(ty: &Type, subject: &Type) -> Result<Self> {
        let ty = normal(ty, subject);
        check(&ty, Place::Result)?;
        let form = if is_byte_vec(&ty) {
            Form::ByteBuf
        } else if is_byte_slice(&ty) || referred(&ty).is_some_and(is_byte_vec) {
            Form::Bytes
        } else {
            match argument_of(&ty, "Option") {
                Some(inner) if is_byte_vec(inner) => Form::OptionByteBuf,
                Some(inner) if is_byte_slice(inner) => Form::OptionBytes,
                _ => Form::Whole,
            }
        };
        let owned = owned(&ty);
        let wire = match form {
            Form::Whole => owned.clone(),
            Form::ByteBuf | Form::Bytes => parse_quote!(::multiproc::macro_support::ByteBuf),
            Form::OptionByteBuf | Form::OptionBytes => {
                parse_quote!(::core::option::Option<::multiproc::macro_support::ByteBuf>)
            }
        };
        Ok(Self { owned, wire, form })
    }

    /// A value that is on the wire what it is here.
    pub(crate) fn whole(owned: Type) -> Self {
        Self { wire: owned.clone(), owned, form: Form::Whole }
    }

    /// Whether [`send`](Self::send) and [`receive`](Self::receive) have anything to do.
    pub(crate) fn is_whole(&self) -> bool {
        self.form == Form::Whole
    }

    /// The method's value, ready to be serialized.
    pub(crate) fn send(&self, value: &TokenStream) -> TokenStream {
        let support = quote!(::multiproc::macro_support);
        match self.form {
            Form::Whole => quote!(#value),
            Form::ByteBuf => quote!(#support::ByteBuf::from(#value)),
            Form::Bytes => quote!(#support::Bytes::new(#value)),
            Form::OptionByteBuf => quote!(#value.map(#support::ByteBuf::from)),
            Form::OptionBytes => quote!(#value.map(#support::Bytes::new)),
        }
    }

    /// The proxy's result, of what was read.
    pub(crate) fn receive(&self, value: &TokenStream) -> TokenStream {
        match self.form {
            Form::Whole => quote!(#value),
            Form::ByteBuf | Form::Bytes => quote!(#value.into_vec()),
            Form::OptionByteBuf | Form::OptionBytes => quote!(#value.map(|bytes| bytes.into_vec())),
        }
    }
}

/// A result's type, taken apart at its `Result`.
pub(crate) enum Returned {
    /// No `Result`.
    Plain(Type),
    /// `Result<T, E>`.
    Full(Box<(Type, Type)>),
    /// `Result<T>`: some alias, whose error type can't be seen here.
    Alias(Type),
    /// `Result` without arguments: of neither type anything can be seen.
    Opaque,
}

impl Returned {
    /// Reads a result's type; `subject` is what `Self` stands for.
    pub(crate) fn read(ty: &Type, subject: &Type) -> Self {
        let ty = normal(ty, subject);
        match arguments_of(&ty, "Result").as_deref() {
            None => Self::Plain(ty),
            Some([value, error]) => Self::Full(Box::new(((*value).clone(), (*error).clone()))),
            Some([value]) => Self::Alias((*value).clone()),
            Some(_) => Self::Opaque,
        }
    }
}
