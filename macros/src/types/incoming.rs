//! Parameters: from the proxy's caller into the call, and out of it into the method.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{Result, Type, parse_quote};

use super::check::{Place, check, only_text_is_borrowed};
use super::fold::{normal, owned, readable, special_owner, unnamed};
use super::{argument_of, is_byte_slice, is_byte_vec, is_str, referred};

/// A parameter's type.
pub(crate) struct Incoming {
    /// As the proxy's method takes it: borrowed where the original is.
    pub(crate) shown: Type,
    /// What the server reads from the call.
    pub(crate) decoded: Type,
    /// What the signature is computed from: `decoded` without references.
    pub(crate) wire: Type,
    form: Form,
}

/// How a parameter gets into the call and out of it.
#[derive(Clone, Copy)]
enum Form {
    /// `T`, `&str`, and whatever holds `&str` inside: as it is.
    Whole,
    /// `&T`, `&[T]`.
    Lent,
    /// `&Path` and its like: owned by another type.
    LentBySpecial,
    /// `Option<&T>`.
    OptionLent,
    /// `Option<&[T]>`.
    OptionSlice,
    /// `&[u8]`.
    Bytes,
    /// `Vec<u8>`.
    ByteBuf,
    /// `&Vec<u8>`.
    ByteBufLent,
    /// `Option<&[u8]>`.
    OptionBytes,
    /// `Option<Vec<u8>>`.
    OptionByteBuf,
}

impl Incoming {
    /// Reads a parameter's type; `subject` is what `Self` stands for.
    pub(crate) fn read(ty: &Type, subject: &Type) -> Result<Self> {
        let ty = normal(ty, subject);
        check(&ty, Place::Parameter)?;
        let (form, decoded, wire) = match argument_of(&ty, "Option") {
            Some(inner) => Self::optional(&ty, inner)?,
            None => Self::plain(&ty)?,
        };
        Ok(Self { shown: unnamed(&ty), decoded, wire, form })
    }

    fn plain(ty: &Type) -> Result<(Form, Type, Type)> {
        if is_byte_slice(ty) {
            return Ok((Form::Bytes, bytes(), byte_buf()));
        }
        if is_byte_vec(ty) {
            return Ok((Form::ByteBuf, byte_buf(), byte_buf()));
        }
        match referred(ty) {
            Some(target) if is_byte_vec(target) => Ok((Form::ByteBufLent, byte_buf(), byte_buf())),
            Some(target) if !is_str(target) => match special_owner(target) {
                Some(owner) => Ok((Form::LentBySpecial, owner.clone(), owner)),
                None => owner_of(target).map(|(owner, wire)| (Form::Lent, owner, wire)),
            },
            _ => whole(ty).map(|(decoded, wire)| (Form::Whole, decoded, wire)),
        }
    }

    fn optional(ty: &Type, inner: &Type) -> Result<(Form, Type, Type)> {
        let option = |inner: Type| -> Type { parse_quote!(::core::option::Option<#inner>) };
        if is_byte_slice(inner) {
            return Ok((Form::OptionBytes, option(bytes()), option(byte_buf())));
        }
        if is_byte_vec(inner) {
            return Ok((Form::OptionByteBuf, option(byte_buf()), option(byte_buf())));
        }
        match referred(inner) {
            Some(target) if !is_str(target) && special_owner(target).is_none() => {
                let (owner, wire) = owner_of(target)?;
                let form = if matches!(target, Type::Slice(_)) { Form::OptionSlice } else { Form::OptionLent };
                Ok((form, option(owner), option(wire)))
            }
            _ => whole(ty).map(|(decoded, wire)| (Form::Whole, decoded, wire)),
        }
    }

    /// The decoded argument `name`, as the method takes it.
    pub(crate) fn pass(&self, name: &Ident) -> TokenStream {
        match self.form {
            Form::Whole | Form::Bytes => quote!(#name),
            Form::Lent => quote!(&#name),
            Form::LentBySpecial => quote!(::core::borrow::Borrow::borrow(&#name)),
            Form::OptionLent => quote!(#name.as_ref()),
            Form::OptionSlice => quote!(#name.as_deref()),
            Form::ByteBuf => quote!(#name.into_vec()),
            Form::ByteBufLent => quote!(&#name.into_vec()),
            Form::OptionBytes => quote!(#name.map(|bytes| &**bytes)),
            Form::OptionByteBuf => quote!(#name.map(|bytes| bytes.into_vec())),
        }
    }

    /// The proxy method's parameter `name`, as it goes into the call's arguments: nothing is cloned.
    pub(crate) fn send(&self, name: &Ident) -> TokenStream {
        let bytes = quote!(::multiproc::macro_support::Bytes::new);
        match self.form {
            Form::Bytes | Form::ByteBufLent => quote!(#bytes(#name)),
            Form::ByteBuf => quote!(#bytes(&#name)),
            Form::OptionBytes => quote!(#name.map(#bytes)),
            Form::OptionByteBuf => quote!(#name.as_deref().map(#bytes)),
            _ => quote!(#name),
        }
    }
}

fn bytes() -> Type {
    parse_quote!(&::multiproc::macro_support::Bytes)
}

fn byte_buf() -> Type {
    parse_quote!(::multiproc::macro_support::ByteBuf)
}

/// For a type without references but `&str`: what the server reads, and the wire's type.
fn whole(ty: &Type) -> Result<(Type, Type)> {
    only_text_is_borrowed(ty)?;
    Ok((readable(ty), owned(ty)))
}

/// For the target of a reference: what the server reads and lends, and the wire's type.
fn owner_of(target: &Type) -> Result<(Type, Type)> {
    match target {
        Type::Slice(slice) => {
            let (element, wire) = whole(&slice.elem)?;
            Ok((parse_quote!(::std::vec::Vec<#element>), parse_quote!(::std::vec::Vec<#wire>)))
        }
        target => whole(target),
    }
}
