//! The type beside a task's function, by which it is named.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

use super::entry::raising;
use super::{at, lints, tuple};
use crate::model::{TaskFailure, TaskFunction};

/// `enum name {}`, and what makes it a task.
pub(crate) fn task(model: &TaskFunction) -> TokenStream {
    let TaskFunction { ident, visibility, cfg, name, parameters, output, failure, has_body } = model;
    let name = &name.text;
    let names = parameters.iter().map(|parameter| &parameter.name);
    let types = parameters.iter().map(|parameter| &parameter.ty);
    // Where a type can't cross, its own place tells: that of the only one, else that of the function's name.
    let span = match parameters.as_slice() {
        [only] => only.ty.span(),
        _ => ident.span(),
    };
    let arguments = tuple(span, types);
    let output = quote_spanned!(at(output.span())=> #output);
    let locals: Vec<_> = (0..parameters.len()).map(|place| format_ident!("argument_{place}")).collect();
    let doc = format!("Names the task `{ident}`.");
    let lints = lints();
    let raising = match failure {
        TaskFailure::Named(raises, error) => Some(raising(raises, error)),
        TaskFailure::Never | TaskFailure::Unnamed => None,
    };
    let errors = (!matches!(failure, TaskFailure::Never)).then(|| {
        quote! {
            fn errors() -> ::core::option::Option<::multiproc::macro_support::TaskErrors> {
                ::core::option::Option::Some(::multiproc::macro_support::TaskErrors::default() #raising)
            }
        }
    });
    let run = has_body.then(|| {
        quote! {
            #[automatically_derived]
            impl ::multiproc::RunTask for #ident {
                fn run((#(#locals,)*): Self::Arguments) -> Self::Output {
                    #ident(#(#locals),*)
                }
                #errors
            }
        }
    });
    quote! {
        #(#cfg)*
        #[doc = #doc]
        #[allow(non_camel_case_types, dead_code, unreachable_pub)]
        #visibility enum #ident {}
        #(#cfg)*
        #lints
        const _: () = {
            #[automatically_derived]
            impl ::multiproc::Task for #ident {
                const NAME: &'static str = #name;
                const PARAMETERS: &'static [&'static str] = &[#(#names),*];
                type Arguments = #arguments;
                type Output = #output;
            }
            #run
        };
    }
}
