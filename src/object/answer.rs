//! What a call comes to: an answer, and the ways of giving none yet.

use std::sync::Arc;
use std::time::Instant;

use super::parked::Parked;
use crate::codec::{self, Codec};
use crate::error::Error;
use crate::protocol::carriage::{Carried, Detached};
use crate::protocol::reply::Status;
use crate::protocol::{RequestId, carriage};
use crate::sys::buffer;
use crate::sys::bytes::SharedBytes;

/// Puts back what a reply moved to a client that never got it.
pub type PutBack = Box<dyn FnOnce() + Send>;

/// The answer to one call, encoded.
pub struct Answer {
    /// Result, the method's error, or the system's.
    pub status: Status,
    /// The encoded value, or what of it stands before `body`.
    pub payload: Vec<u8>,
    /// The rest of the value, where it lies somewhere for good. Only for those who [take](Replier::takes_bodies) it.
    pub body: Option<SharedBytes>,
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
        Self { status: Status::Refused, payload, body: None, carried: Vec::new(), put_back: None }
    }

    /// An encoded value, or the system error that says why it can't be encoded.
    pub fn encode<T: serde::Serialize + ?Sized>(codec: Codec, status: Status, value: &T, payload: Vec<u8>) -> Self {
        Self::written(codec, status, value, payload, false)
    }

    /// The same, as it is best for that replier.
    #[inline]
    pub fn encode_for<T: serde::Serialize + ?Sized>(
        replier: &dyn Replier,
        codec: Codec,
        status: Status,
        value: &T,
        payload: Vec<u8>,
    ) -> Self {
        Self::written(codec, status, value, payload, codec == Codec::Value && replier.takes_bodies())
    }

    #[inline]
    fn written<T: serde::Serialize + ?Sized>(
        codec: Codec,
        status: Status,
        value: &T,
        mut payload: Vec<u8>,
        may_detach: bool,
    ) -> Self {
        payload.clear();
        let (mut written, mut carried, detached) = carriage::outgoing_in_parts(may_detach, || match codec {
            Codec::Bincode => codec::encode_or_measure(value, &mut payload),
            Codec::Value => codec::encode(codec, value, &mut payload).map(|()| None),
        });
        if let Ok(Some(size)) = written {
            // In memory that fits, and has been used before.
            buffer::give(std::mem::replace(&mut payload, buffer::take_for(size, size)));
            (written, carried) = carriage::outgoing(|| codec::encode(codec, value, &mut payload).map(|()| None));
        }
        if let Err(error) = written {
            return Self::refused(&Error::unserializable::<T>(error));
        }
        let (payload, body) = if detached.is_empty() { (payload, None) } else { assembled(payload, detached) };
        Self { status, payload, body, carried, put_back: None }
    }
}

/// A payload with what was detached from it: the last of it apart if nothing else was, or else all in one.
fn assembled(payload: Vec<u8>, mut detached: Vec<Detached>) -> (Vec<u8>, Option<SharedBytes>) {
    if let [(place, _)] = *detached
        && place == payload.len()
    {
        return (payload, detached.pop().map(|(_, body)| body));
    }
    let length = payload.len() + detached.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    let mut whole = Vec::with_capacity(length);
    let mut done = 0;
    for (place, bytes) in detached {
        whole.extend_from_slice(&payload[done..place]);
        whole.extend_from_slice(&bytes);
        done = place;
    }
    whole.extend_from_slice(&payload[done..]);
    (whole, None)
}

/// Where answers go: a session of a client, or a caller inside the server.
///
/// Contract: called at most once per request; takes the answer's `put_back` on itself, and runs it if the answer does not arrive.
pub trait Replier: Send + Sync {
    /// Sends `answer` to whoever asked `request`.
    fn reply(&self, request: RequestId, answer: Answer);

    /// Whether an answer's `body` is sent from where it lies. Others get all of it in the payload.
    fn takes_bodies(&self) -> bool {
        false
    }

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
