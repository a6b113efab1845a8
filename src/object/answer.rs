//! What a call comes to: an answer, and the ways of giving none yet.

use std::sync::Arc;
use std::time::Instant;

use super::parked::Parked;
use crate::codec::{self, Codec};
use crate::error::Error;
use crate::protocol::carriage::Carried;
use crate::protocol::reply::Status;
use crate::protocol::{RequestId, carriage};

/// Puts back what a reply moved to a client that never got it.
pub type PutBack = Box<dyn FnOnce() + Send>;

/// The answer to one call, encoded.
pub struct Answer {
    /// Result, the method's error, or the system's.
    pub status: Status,
    /// The encoded value.
    pub payload: Vec<u8>,
    /// The proxies in it, each kept alive until the reply has been written and its receiver's lease holds it.
    pub carried: Vec<Carried>,
    /// What is to be done if the receiver never takes the reply in.
    pub put_back: Option<PutBack>,
}

impl Answer {
    /// A system error.
    pub fn refused(error: &Error) -> Self {
        let mut payload = Vec::new();
        if codec::encode(Codec::Bincode, error, &mut payload).is_err() {
            payload.clear();
        }
        Self { status: Status::Refused, payload, carried: Vec::new(), put_back: None }
    }

    /// An encoded value, or the system error that says why it can't be encoded.
    pub fn encode<T: serde::Serialize + ?Sized>(codec: Codec, status: Status, value: &T, mut payload: Vec<u8>) -> Self {
        payload.clear();
        let (written, carried) = carriage::outgoing(|| codec::encode(codec, value, &mut payload));
        match written {
            Ok(()) => Self { status, payload, carried, put_back: None },
            Err(error) => Self::refused(&Error::unserializable::<T>(error)),
        }
    }
}

/// Where answers go: a session of a client, or a caller inside the server.
///
/// Contract: called at most once per request; takes the answer's `put_back` on itself, and runs it if the answer does not arrive.
pub trait Replier: Send + Sync {
    /// Sends `answer` to whoever asked `request`.
    fn reply(&self, request: RequestId, answer: Answer);

    /// The request is not answered yet, and may be given up by its caller, by the caller's death, or at the deadline, from now on.
    fn park(&self, request: RequestId, parked: Arc<Parked>, deadline: Option<Instant>);

    /// The parked request is about to be answered.
    fn unpark(&self, request: RequestId);
}

/// Proof that a method's invocation wrote its answer, or took a responder.
#[derive(Debug)]
pub struct Answered(pub(super) ());

/// Why an invocation has no result.
#[derive(Debug)]
pub enum Failure {
    /// The system's error.
    System(Error),
    /// The method's own, which has been written as the answer.
    Method(Answered),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::System(error)
    }
}

/// What the function around a method returns.
pub type Outcome = Result<Answered, Failure>;
