//! An answer, whichever way it came, and what it means to the caller.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::client::Returned;
#[cfg(feature = "python")]
use crate::client::python::Exception;
use crate::codec::{self, Codec, value};
use crate::error::{CallError, Error, RemoteError, Result};
use crate::object::Answer;
use crate::protocol::Token;
use crate::protocol::carriage::{self, Carried};
use crate::protocol::reply::Status;

/// An answer.
pub(super) enum Answered {
    /// By a server in another process.
    Remote(Returned),
    /// By a server in this one, or by one of Python's whose answer has been translated.
    Local(Answer),
    /// By an exception of Python's.
    #[cfg(feature = "python")]
    Raised(Exception),
}

/// What an answer is the answer of.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    /// The object that was called.
    pub(super) token: &'a Token,
    /// How long the call was allowed to take.
    pub(super) timeout: Option<Duration>,
}

impl Answered {
    fn status(&self) -> Status {
        match self {
            Self::Remote(returned) => returned.status,
            Self::Local(answer) => answer.status,
            #[cfg(feature = "python")]
            Self::Raised(_) => Status::Failed,
        }
    }

    fn payload(&self) -> &[u8] {
        match self {
            Self::Remote(returned) => returned.payload(),
            Self::Local(answer) => &answer.payload,
            #[cfg(feature = "python")]
            Self::Raised(_) => &[],
        }
    }

    fn carried(&self) -> &[Carried] {
        match self {
            Self::Remote(returned) => &returned.carried,
            Self::Local(answer) => &answer.carried,
            #[cfg(feature = "python")]
            Self::Raised(_) => &[],
        }
    }

    fn decode<R: DeserializeOwned>(&self, codec: Codec) -> Result<R> {
        let decoded = carriage::incoming(self.carried(), || codec::decode(codec, self.payload()));
        decoded.map_err(Error::unserializable::<R>)
    }

    /// The result of the call, where a method's own error is not expected.
    pub(super) fn settle<R: DeserializeOwned>(&self, about: About<'_>, codec: Codec) -> Result<R> {
        #[cfg(feature = "python")]
        if let Self::Raised(exception) = self {
            return Err(Error::Remote(exception.clone().into()));
        }
        match self.status() {
            Status::Returned => self.decode(codec),
            // The server's word that time is over lacks how long that was.
            Status::Refused => Err(match (self.decode(Codec::Bincode).unwrap_or_else(|error| error), about.timeout) {
                (Error::Timeout { .. }, Some(after)) => Error::Timeout { after },
                (error, _) => error,
            }),
            Status::Failed => Err(Error::Remote(RemoteError {
                kind: format!("error of {}", about.token.typeid()),
                message: match codec {
                    Codec::Value => value::display(self.payload()).to_string(),
                    Codec::Bincode => {
                        "the method failed, with an error of a type that this proxy does not know".to_owned()
                    }
                },
                causes: Vec::new(),
            })),
        }
    }

    /// The result of the call, with the method's own error as what it is.
    pub(super) fn settle_fallible<R: DeserializeOwned, E: DeserializeOwned>(
        &self,
        about: About<'_>,
        codec: Codec,
    ) -> Result<R, CallError<E>> {
        #[cfg(feature = "python")]
        if let Self::Raised(exception) = self {
            let remote = || CallError::System(Error::Remote(exception.clone().into()));
            return Err(exception.decode().map_or_else(remote, CallError::Method));
        }
        match self.status() {
            Status::Failed => Err(self.decode(codec).map_or_else(CallError::System, CallError::Method)),
            _ => self.settle(about, codec).map_err(CallError::System),
        }
    }
}
