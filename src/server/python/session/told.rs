//! What is said of errors: texts that look as tracebacks do.

use super::super::message;
use crate::codec::value::parts;
use crate::codec::{self, Codec};
use crate::error::Error;
use crate::object::Answer;
use crate::object::face::Step;

pub(super) fn refusal(answer: &Answer) -> Error {
    codec::decode(Codec::Bincode, &answer.payload).unwrap_or_else(|error| Error::protocol(error.to_string()))
}

/// A text that looks as a traceback does.
pub(super) fn traceback(class: &str, text: &str) -> String {
    format!("Traceback (most recent call last):\n  in the multiproc server\n{class}: {text}\n")
}

pub(super) fn of_system(error: &Error) -> String {
    match error {
        Error::Protocol { reason } => reason.clone(),
        Error::NoSuchMethod { .. } | Error::NotExposed { .. } => traceback("AttributeError", &error.to_string()),
        Error::Arguments { reason, .. } => traceback("TypeError", reason),
        Error::Panicked(panic) => format!("{}{}", panic.backtrace, traceback("panic", &panic.to_string())),
        Error::Remote(remote) => {
            traceback(if remote.kind.is_empty() { "error" } else { &remote.kind }, &remote.message)
        }
        other => traceback("multiproc.Error", &other.to_string()),
    }
}

/// What a step says that ends a creation.
pub(super) fn told(step: &Step) -> String {
    match step {
        Step::Raise(exception) => {
            let text = exception.arguments.first().map(|argument| match parts::shape(argument) {
                Ok(parts::Shape::Str(text)) => text.to_owned(),
                _ => message::shown(argument),
            });
            traceback(&exception.class, &text.unwrap_or_default())
        }
        Step::Error(error) => of_system(error),
        _ => traceback("TypeError", "the arguments make no such object"),
    }
}
