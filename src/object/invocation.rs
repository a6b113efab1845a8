//! What the function around a method sees of a call: arguments in, one answer out.

use std::any::type_name;
use std::fmt::{Debug, Display};
use std::ops::Deref;
use std::sync::Arc;

use serde::de::Deserialize;
use serde::ser::{Serialize, Serializer};

use super::answer::{Answer, Answered, Failure, Outcome};
use super::call::{Call, Caller};
use super::chain::ChainId;
use super::class::MethodSlot;
use super::entry::Entry;
use super::host::Host;
use super::referent::Referent;
use super::responder::Responder;
use super::stored::Shared;
use super::table::Table;
use crate::codec::{self, Codec, value};
use crate::error::{Error, RemoteError};
use crate::protocol::carriage::{self, Carried};
use crate::protocol::reply::Status;
use crate::sys::buffer;
use crate::sys::bytes::LARGE;

/// One call, while its method runs.
///
/// Users meet it only where they list methods by hand: [`arguments`](Self::arguments) once, then one of the `answer`s once.
pub struct Invocation<'call> {
    call: &'call mut Call,
    /// The target; `None` for a constructor.
    entry: Option<&'call Arc<Entry>>,
    arguments: &'call [u8],
    memory: &'call Memory,
    table: &'call Arc<Table>,
    target: Target<'call>,
    answer: Option<Answer>,
}

/// The memory that a call came in, beside the call while its method runs: methods may borrow from it, and keep a large part of it.
pub(super) enum Memory {
    Small(Vec<u8>),
    Large(Arc<Vec<u8>>),
}

impl Memory {
    /// A call's own.
    #[inline]
    pub(super) fn of(call: &mut Call) -> Self {
        let frame = std::mem::take(&mut call.frame);
        if frame.len() < LARGE { Self::Small(frame) } else { Self::Large(Arc::new(frame)) }
    }

    #[inline]
    fn shared(&self) -> Option<&Arc<Vec<u8>>> {
        match self {
            Self::Small(_) => None,
            Self::Large(memory) => Some(memory),
        }
    }

    /// Gives it back to the call, for the next frame, where it is small and nobody has kept anything of it.
    #[inline]
    pub(super) fn give_up(self) -> Vec<u8> {
        match self {
            Self::Small(memory) => memory,
            Self::Large(memory) => {
                Arc::into_inner(memory).into_iter().for_each(buffer::give);
                Vec::new()
            }
        }
    }
}

impl Deref for Memory {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Small(memory) => memory,
            Self::Large(memory) => memory,
        }
    }
}

/// What is called, for messages and keyword arguments.
#[derive(Clone, Copy)]
pub(super) struct Target<'call> {
    pub(super) typeid: &'call str,
    pub(super) name: &'call str,
    pub(super) parameters: &'call [&'static str],
    pub(super) slot: Option<&'call MethodSlot>,
}

impl<'call> Invocation<'call> {
    /// `memory` is the [call's](Memory::of).
    #[inline]
    pub(super) fn new(
        call: &'call mut Call,
        entry: Option<&'call Arc<Entry>>,
        memory: &'call Memory,
        table: &'call Arc<Table>,
        target: Target<'call>,
    ) -> Self {
        let arguments = &memory[call.payload.clone()];
        Self { call, entry, arguments, memory, table, target, answer: None }
    }

    /// The answer that was written; `None` where a responder was taken.
    #[inline]
    pub(super) fn into_answer(self) -> Option<Answer> {
        self.answer
    }

    /// Who calls.
    pub fn caller(&self) -> Caller {
        self.call.caller
    }

    /// The chain of calls that this one belongs to, where it was made by a method of an object in the server.
    pub(crate) fn nested_in(&self) -> Option<ChainId> {
        let chain = self.call.chain;
        (chain.depth > 1).then_some(chain.id)
    }

    /// The server's threads, for what is to happen later.
    pub(crate) fn host(&self) -> &Arc<dyn Host> {
        self.table.host()
    }

    /// What was told of the server when it was described, by its type.
    pub(crate) fn attached<A: std::any::Any>(&self) -> Option<&'call A> {
        self.table.registry().attached()
    }

    /// The proxies among the arguments may be kept by the object: each is of this very server, and so keeps what it names alive.
    pub(crate) fn keeps_proxies(&self) -> Result<(), Failure> {
        let foreign = self.call.carried.iter().find(|carried| carried.token.server != self.table.server());
        match foreign {
            None => Ok(()),
            Some(Carried { token, .. }) => {
                Err(Failure::System(Error::ForeignProxy { object: token.object.0, address: token.address.to_string() }))
            }
        }
    }

    /// Decodes the arguments: a tuple, which may borrow from the call.
    #[inline]
    pub fn arguments<A: Deserialize<'call>>(&mut self) -> Result<A, Failure> {
        let Self { call, arguments, memory, target, .. } = self;
        let decoded = carriage::incoming_in(memory.shared(), &call.carried, || match call.codec {
            Codec::Bincode => codec::decode(Codec::Bincode, arguments),
            Codec::Value => value::decode_arguments(arguments, target.parameters),
        });
        decoded.map_err(|error| {
            Failure::System(Error::Arguments {
                typeid: target.typeid.to_owned(),
                method: target.name.to_owned(),
                reason: error.to_string(),
            })
        })
    }

    fn write<T: Serialize + ?Sized>(&mut self, status: Status, value: &T) -> Answered {
        let call = &*self.call;
        self.answer = Some(Answer::encode_for(&*call.replier, call.codec, status, value, buffer::take()));
        Answered(())
    }

    /// Answers with a result.
    pub fn answer<R: Serialize + ?Sized>(&mut self, result: &R) -> Outcome {
        Ok(self.write(Status::Returned, result))
    }

    /// Answers with something that leaves the object by it, as [`Responder::respond_or_put_back`] does, where that needs no wait.
    pub(crate) fn answer_or_put_back<R: Serialize + ?Sized>(
        &mut self,
        result: &R,
        put_back: impl FnOnce() + Send + 'static,
    ) -> Outcome {
        let answered = self.answer(result);
        self.put_back_by(put_back);
        answered
    }

    /// Has `put_back` run if the answer that was given does not arrive.
    pub(crate) fn put_back_by(&mut self, put_back: impl FnOnce() + Send + 'static) {
        if let Some(answer) = &mut self.answer {
            answer.put_back = Some(Box::new(put_back));
        }
    }

    /// Answers with a result, or with the method's own error, which arrives as that `E`.
    pub fn answer_result<R: Serialize, E: Serialize>(&mut self, result: &Result<R, E>) -> Outcome {
        match result {
            Ok(value) => self.answer(value),
            Err(error) => Err(Failure::Method(self.write(Status::Failed, error))),
        }
    }

    /// Answers with a result, or with the text of the method's error.
    pub fn answer_text<R: Serialize, E: Display + Debug>(&mut self, result: &Result<R, E>) -> Outcome {
        match result {
            Ok(value) => self.answer(value),
            Err(error) => Err(as_text(error)),
        }
    }

    /// Makes the result a referent of its own, and answers with its proxy.
    pub fn answer_referent<R: Referent>(&mut self, referent: R) -> Outcome {
        self.answer_shared(Shared::new(referent))
    }

    /// Makes the result a referent of its own and answers with its proxy, or with the method's own error.
    pub fn answer_referent_result<R: Referent, E: Serialize>(&mut self, result: Result<R, E>) -> Outcome {
        self.answer_shared_result(result.map(Shared::new))
    }

    /// Answers with a proxy of a referent that may be known already.
    pub fn answer_shared<R: Referent>(&mut self, shared: Shared<R>) -> Outcome {
        let typeid = self.target.slot.and_then(|slot| slot.returns.as_deref());
        let class = self.table.registry().class_of::<R>(typeid)?;
        let entry = shared.entry(self.table, &class);
        self.answer(&Reference(&entry))
    }

    /// Answers with a proxy of a referent that may be known already, or with the method's own error.
    pub fn answer_shared_result<R: Referent, E: Serialize>(&mut self, result: Result<Shared<R>, E>) -> Outcome {
        match result {
            Ok(shared) => self.answer_shared(shared),
            Err(error) => Err(Failure::Method(self.write(Status::Failed, &error))),
        }
    }

    /// Takes over the answering: the method keeps the responder and returns.
    pub fn responder<R, E>(&mut self) -> Responder<R, E> {
        Responder::new(self.call, self.entry.cloned())
    }

    /// Says that a [`responder`](Self::responder) was taken.
    pub fn answered_later(&self) -> Answered {
        Answered(())
    }

    /// The instance of a constructor that may fail with an error of its own.
    pub fn constructed<T, E: Serialize>(&mut self, result: Result<T, E>) -> Result<T, Failure> {
        result.map_err(|error| Failure::Method(self.write(Status::Failed, &error)))
    }

    /// The instance of a constructor that may fail with an error that is sent as text.
    pub fn constructed_text<T, E: Display + Debug>(&mut self, result: Result<T, E>) -> Result<T, Failure> {
        result.map_err(|error| as_text(&error))
    }
}

/// An error that arrives as its text. `{:#}` makes error reports such as anyhow's write their causes too.
pub(super) fn as_text<E: Display>(error: &E) -> Failure {
    Failure::System(Error::Remote(RemoteError {
        kind: type_name::<E>().to_owned(),
        message: format!("{error:#}"),
        causes: Vec::new(),
    }))
}

/// An entry as it goes into a payload: an index, and its token beside it.
pub struct Reference<'a>(pub &'a Arc<Entry>);

impl Serialize for Reference<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let carried = || carriage::Carried {
            token: self.0.token(),
            ticket: None,
            keep: Some(Arc::clone(self.0) as Arc<dyn carriage::Keep>),
        };
        match carriage::put(carried) {
            Some(index) => serializer.serialize_newtype_struct(codec::PROXY, &index),
            None => Err(serde::ser::Error::custom("a reference outside of a payload")),
        }
    }
}
