//! What can be wrong with bytes, or with a value that is to become bytes.
//!
//! [`CodecError`] is one pointer wide: the readers and writers return a `Result` for every element, and a small error
//! keeps that in a register. The text is what a caller sees as the `reason` of `Error::Unserializable` or
//! `Error::Arguments`, so it says what was expected, what was found, and what to do.

use std::fmt::{self, Display};
use std::str::Utf8Error;

use serde::{de, ser};

/// A value that can't be written, or bytes that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct CodecError(Box<Problem>);

/// What exactly is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The bytes end inside a value.
    #[error("the bytes end {missing} too early: they are cut off, or were written as another type")]
    UnexpectedEnd {
        /// How many more bytes the item at hand needs, at least.
        missing: usize,
    },
    /// The value ends before the bytes do.
    #[error("{left} bytes are left over: writer and reader disagree on the type")]
    TrailingBytes {
        /// How many.
        left: usize,
    },
    /// More elements are announced than the bytes can hold.
    #[error("{announced} elements are announced, but the bytes can't hold more than {possible}")]
    Length {
        /// The length that was read.
        announced: u64,
        /// The most that is possible.
        possible: usize,
    },
    /// Containers in containers, beyond any sense.
    #[error("nested deeper than {limit} levels (boxes and options count); flatten the value, or send it as bytes")]
    TooDeep {
        /// The limit.
        limit: u32,
    },
    /// A byte that begins no value.
    #[error("byte {tag:#04x} begins no value: the bytes are damaged, or of a newer version")]
    UnknownTag {
        /// The byte.
        tag: u8,
    },
    /// One kind of value where another is wanted.
    #[error("expected {expected}, found {found}")]
    Mismatch {
        /// What the type wants.
        expected: String,
        /// What the bytes hold.
        found: String,
    },
    /// Text that is none.
    #[error("a str is not valid UTF-8")]
    Utf8(#[source] Utf8Error),
    /// A type that reads itself from what it finds, in a format that does not say what it holds.
    #[error(
        "the type needs {what}, which bincode does not have (serde's untagged, flatten and the like do); \
         declare it with `codec = value`"
    )]
    NotSelfDescribing {
        /// What serde asked for.
        what: &'static str,
    },
    /// More positional arguments than parameters.
    #[error("takes {takes} arguments ({}), but {given} were given", Listed(.names))]
    TooManyArguments {
        /// How many there may be.
        takes: usize,
        /// What they are called.
        names: Vec<String>,
        /// How many there were.
        given: usize,
    },
    /// A parameter that got no argument.
    #[error("argument `{name}` is missing")]
    MissingArgument {
        /// The parameter.
        name: String,
    },
    /// A keyword that is no parameter.
    #[error("unexpected keyword `{name}`; the parameters are {}", Listed(.names))]
    UnexpectedKeyword {
        /// The keyword.
        name: String,
        /// What there is.
        names: Vec<String>,
    },
    /// A parameter that got two arguments.
    #[error("argument `{name}` is given twice")]
    RepeatedArgument {
        /// The parameter.
        name: String,
    },
    /// An argument that does not fit its parameter.
    #[error("argument `{name}`: {cause}")]
    Argument {
        /// The parameter.
        name: String,
        /// What does not fit.
        #[source]
        cause: CodecError,
    },
    /// What a type's own code, or serde, has to say.
    #[error("{0}")]
    Custom(String),
}

/// Names, as a person would list them.
struct Listed<'a>(&'a [String]);

impl Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("none") } else { f.write_str(&self.0.join(", ")) }
    }
}

impl CodecError {
    /// What exactly is wrong.
    pub fn problem(&self) -> &Problem {
        &self.0
    }

    #[cold]
    pub(super) fn unexpected_end(missing: usize) -> Self {
        Problem::UnexpectedEnd { missing }.into()
    }

    #[cold]
    pub(super) fn too_deep() -> Self {
        Problem::TooDeep { limit: super::MAX_DEPTH }.into()
    }

    #[cold]
    pub(super) fn length(announced: u64, possible: usize) -> Self {
        Problem::Length { announced, possible }.into()
    }

    #[cold]
    pub(super) fn mismatch(expected: impl Display, found: impl Display) -> Self {
        Problem::Mismatch { expected: expected.to_string(), found: found.to_string() }.into()
    }
}

impl CodecError {
    /// An error of whoever keeps values.
    #[cold]
    pub fn other(text: impl Display) -> Self {
        Problem::Custom(text.to_string()).into()
    }
}

impl From<Problem> for CodecError {
    #[cold]
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl ser::Error for CodecError {
    #[cold]
    fn custom<T: Display>(text: T) -> Self {
        Problem::Custom(text.to_string()).into()
    }
}

impl de::Error for CodecError {
    #[cold]
    fn custom<T: Display>(text: T) -> Self {
        Problem::Custom(text.to_string()).into()
    }

    #[cold]
    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::mismatch(expected, found)
    }

    #[cold]
    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::mismatch(expected, found)
    }
}
