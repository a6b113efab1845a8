//! An error type's syntax to the exceptions that it is in Python.

use syn::{Attribute, Data, DeriveInput, Fields, Ident};

use crate::attributes::RaisesFlags;
use crate::errors::Errors;
use crate::model::{Form, Raised};

/// Reads a type with `#[derive(multiproc::Raises)]`.
pub(crate) fn raised(input: &DeriveInput, errors: &mut Errors) -> Option<Raised> {
    let default = RaisesFlags::read(&input.attrs, errors);
    let has_default = input.attrs.iter().any(|attribute| attribute.path().is_ident("raises"));
    let mut form = |variant: Option<&Ident>, attributes: &[Attribute], fields: &Fields| {
        for attribute in fields.iter().flat_map(|field| &field.attrs).filter(|each| each.path().is_ident("raises")) {
            errors.at(
                attribute,
                "an error as a whole is an exception, and its fields are the arguments: put it on the variant",
            );
        }
        let is_named = attributes.iter().any(|attribute| attribute.path().is_ident("raises"));
        let own = if variant.is_some() { RaisesFlags::read(attributes, errors) } else { None };
        let flags = own.as_ref().or(default.as_ref());
        if flags.is_none() && !is_named && !has_default {
            let place = variant.unwrap_or(&input.ident);
            errors.at(
                place,
                "no exception is named for this: write `#[raises(\"Class\")]` on it, or on the type for all variants",
            );
        }
        let flags = flags?;
        Some(Form { variant: variant.cloned(), fields: fields.clone(), class: flags.class.clone(), text: flags.text })
    };
    let forms: Vec<_> = match &input.data {
        Data::Struct(data) => form(None, &[], &data.fields).into_iter().collect(),
        Data::Enum(data) => {
            let each = data.variants.iter();
            each.filter_map(|variant| form(Some(&variant.ident), &variant.attrs, &variant.fields)).collect()
        }
        Data::Union(_) => {
            errors.at(&input.ident, "an error is a struct or an enum");
            return None;
        }
    };
    Some(Raised { ident: input.ident.clone(), generics: input.generics.clone(), forms })
}
