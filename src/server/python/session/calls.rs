//! Calls: one step after the other, until one is the answer.

use std::sync::Arc;
use std::time::Instant;

use super::super::super::core::Core;
use super::super::message::{self, Kind, Request, Writer};
use super::super::peers::Peers;
use super::told::{of_system, refusal, traceback};
use super::{Pending, Purpose, Read, Session, Target};
use crate::codec::value::parts;
use crate::codec::{self, Codec};
use crate::error::Error;
use crate::object::answer::{PutBack, Replier};
use crate::object::chain::Chain;
use crate::object::entry::Entry;
use crate::object::face::{Arguments, Exception, Native, Raw, Step, Then, value};
use crate::object::methods::{STR, VALUE};
use crate::object::raised::Raising;
use crate::object::{Answer, Call, Caller};
use crate::protocol::RequestId;
use crate::protocol::carriage::Carried;
use crate::protocol::reply::Status;

/// The most bytes that a proxy takes in a value.
const MAX_PROXY: usize = 10;

/// How many steps one call may take.
const STEPS: u32 = 1000;

impl Session {
    pub(super) fn call(self: &Arc<Self>, request: Request, core: &Arc<Core>) {
        let Request { ident, method, arguments, carried, .. } = request;
        let entry = ident.as_ref().and_then(|ident| message::find(&core.table, ident));
        let Some(entry) = entry else {
            let text = traceback(
                "KeyError",
                &format!("{:?}: the server has no such object (any more)", ident.unwrap_or_default()),
            );
            return self.answer(core, &message::text(Kind::Traceback, &text));
        };
        let step = match core.table.registry().face(entry.class()) {
            Some(face) if face.exposed().contains(&&*method) || face.answers().contains(&&*method) => {
                face.call(&method, arguments)
            }
            face => match &*method {
                "__str__" | "__repr__" => text_of(&entry),
                VALUE => match face.map_or(Ok(()), |face| face.is_copied()) {
                    Ok(()) => Step::call_then::<&[u8]>(VALUE, &[], Step::Value),
                    Err(why) => Step::Unserializable(why.to_owned()),
                },
                _ if face.is_some() => {
                    let exposed = message::exposed(&core.table, &entry);
                    let typeid = entry.class().typeid();
                    let text = format!("method {method:?} of {typeid:?} object is not in exposed={exposed:?}");
                    Step::Error(Error::protocol(traceback("AttributeError", &text)))
                }
                _ => {
                    let then: Then = match entry.class().raising(&method).cloned() {
                        Some(raising) => Box::new(move |native| raised(&raising, native)),
                        None => Box::new(|native| native.then(Step::Value)),
                    };
                    Step::Call { method: method.into(), payload: dynamic(arguments).into(), timeout: None, then }
                }
            },
        };
        self.take(step, Target { entry, carried: carried.clone(), steps: 0 }, &carried, None, core);
    }

    /// Takes a step; `carried` are the proxies that values in it name.
    pub(super) fn take(
        self: &Arc<Self>,
        step: Step,
        target: Target,
        carried: &[Carried],
        put_back: Option<PutBack>,
        core: &Arc<Core>,
    ) {
        let writer = Writer { core, carried };
        let answer = match step {
            Step::Call { method, payload, timeout, then } => {
                if target.steps >= STEPS {
                    return self.answer(core, &message::text(Kind::Traceback, "the call takes too many steps"));
                }
                // What an earlier step brought is the face's by now.
                drop(put_back);
                let entry = Arc::clone(&target.entry);
                let tokens = target.carried.clone();
                let purpose = Purpose::Step { target: Target { steps: target.steps + 1, ..target }, then };
                let mut call = self.native(&method, payload, tokens, purpose);
                call.deadline = timeout.map(|timeout| Instant::now() + timeout);
                return entry.dispatch(&mut Some(call), &core.table, false);
            }
            Step::Value(value) => {
                match is_proxy(&value).and_then(|index| carried.get(index as usize)).and_then(Carried::kept::<Entry>) {
                    Some(entry) => self.proxied(&entry, core),
                    None => {
                        let kept: Vec<_> = carried.iter().filter_map(Carried::kept::<Entry>).collect();
                        let answer = message::value(&writer, value);
                        if answer.is_ok() {
                            Peers::linger(core, kept);
                        }
                        let answer = answer
                            .unwrap_or_else(|error| message::text(Kind::Unserializable, &error.to_string()).into());
                        return self.answer_moving(core, answer, put_back);
                    }
                }
            }
            Step::Make(make, first) => match make(&core.table) {
                Ok(entry) => match first {
                    Some((method, payload)) => return self.fill(&entry, method, payload, carried, core),
                    None => self.proxied(&entry, core),
                },
                Err(error) => Ok(message::text(Kind::Traceback, &error.to_string())),
            },
            Step::Read(index, then) => {
                drop(put_back);
                let Target { entry, carried, steps } = target;
                if steps >= STEPS {
                    return self.answer(core, &message::text(Kind::Traceback, "the call takes too many steps"));
                }
                let then: Read = Box::new(move |me, native, carried, core| {
                    let target = Target { entry, carried: carried.clone(), steps: steps + 1 };
                    me.take(then(native), target, &carried, None, core);
                });
                return self.read(index, carried, then, core);
            }
            Step::Instance(module, class, attributes) => {
                message::reply(Kind::Return, |out| writer.instance(module, class, &attributes, out))
            }
            Step::Raise(exception) => message::reply(Kind::Error, |out| writer.exception(&self.known(exception), out)),
            Step::Error(error) => Ok(message::text(Kind::Traceback, &of_system(&error))),
            Step::Unserializable(text) => Ok(message::text(Kind::Unserializable, &text)),
        };
        let answer = answer.unwrap_or_else(|error| message::text(Kind::Unserializable, &error.to_string()));
        self.answer_moving(core, answer.into(), put_back);
    }

    /// Calls a method of a new object before its proxy is the answer; `carried` are the proxies in the arguments.
    fn fill(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        method: &'static str,
        payload: impl Into<Raw>,
        carried: &[Carried],
        core: &Core,
    ) {
        let target = Target { entry: Arc::clone(entry), carried: carried.to_vec(), steps: 1 };
        let made = Arc::clone(entry);
        let then: Then = Box::new(move |native| native.then(|_| Step::Make(Box::new(move |_| Ok(made)), None)));
        let call = self.native(method, payload, carried.to_vec(), Purpose::Step { target, then });
        entry.dispatch(&mut Some(call), &core.table, false);
    }

    /// An exception that the client's Python has.
    fn known(&self, exception: Exception) -> Exception {
        if self.minor < 13 && exception.module == "queue" && exception.class == "ShutDown" {
            // Before 3.13 nobody can shut a queue down from Python, so that only who waits for an item can learn that none will come.
            return Exception { module: "_queue".into(), class: "Empty".into(), ..exception };
        }
        let mut exception = exception;
        if self.minor < 12 {
            exception.attributes.clear();
        }
        if self.minor < 13 {
            let reworded = value("timeout value must be a non-negative number");
            exception.arguments.iter_mut().filter(|told| **told == reworded).for_each(|told| {
                *told = value("timeout value must be positive");
            });
        }
        exception
    }

    /// A reply that is a proxy, and with it the reference that the client gives back when it has one of its own.
    pub(super) fn proxied(&self, entry: &Arc<Entry>, core: &Core) -> std::result::Result<Vec<u8>, codec::CodecError> {
        self.holder.grant(entry);
        message::reply(Kind::Proxy, |out| {
            let writer = Writer { core, carried: &[] };
            writer.exposed(entry, out);
            writer.token(entry, out);
            codec::pickle::write::end_tuple(out, 2);
            Ok(())
        })
    }

    /// A native call, whose answer comes back here. The payload becomes the call's frame, with the name behind it: a large one is not copied.
    pub(super) fn native(
        self: &Arc<Self>,
        name: &str,
        payload: impl Into<Raw>,
        carried: Vec<Carried>,
        purpose: Purpose,
    ) -> Call {
        let payload = payload.into();
        let (length, (frame, start)) = (payload.end(), payload.before(name.as_bytes()).into_parts());
        let request = {
            let mut state = self.state.lock();
            state.last_request += 1;
            let request = RequestId(state.last_request);
            state.pending = Some(Pending { request, purpose, parked: None, timer: None });
            request
        };
        Call {
            name: length..frame.len(),
            payload: start..length,
            frame,
            codec: Codec::Value,
            signature: 0,
            carried,
            caller: Caller { client: Some(self.caller.id()), thread: self.thread },
            chain: Chain::start(),
            deadline: None,
            request,
            replier: Arc::clone(self) as Arc<dyn Replier>,
            parked: None,
            entry: None,
            method: 0,
        }
    }

    /// Reads the value of an object among the arguments.
    pub(super) fn read(self: &Arc<Self>, index: u32, carried: Vec<Carried>, then: Read, core: &Arc<Core>) {
        let Some(object) = carried.get(index as usize).and_then(Carried::kept::<Entry>) else {
            let error = Error::protocol("an object of another server is of no use here");
            return then(self, Native::Refused(error), carried, core);
        };
        if core.table.registry().face(object.class()).is_some_and(|face| face.is_copied().is_err()) {
            let (typeid, method) = (object.class().typeid().to_string(), VALUE.to_owned());
            let error = Error::NoSuchMethod { typeid, method, available: Vec::new() };
            return then(self, Native::Refused(error), carried, core);
        }
        let payload = parts::positional(std::iter::empty::<&[u8]>());
        let call = self.native(VALUE, payload, Vec::new(), Purpose::Read { carried, then });
        object.dispatch(&mut Some(call), &core.table, false);
    }
}

/// Arguments as a dynamic call has them.
pub(super) fn dynamic(arguments: Arguments) -> Vec<u8> {
    let mut payload = parts::container(parts::Kind::Tuple, arguments.positional.iter());
    if arguments.keywords.is_empty() {
        payload.extend_from_slice(codec::value::NONE);
        return payload;
    }
    let names: Vec<_> = arguments.keywords.iter().map(|(name, _)| crate::object::face::value(name)).collect();
    let pairs: Vec<_> =
        names.iter().zip(&arguments.keywords).flat_map(|(name, (_, value))| [&name[..], value]).collect();
    payload.extend_from_slice(&parts::container(parts::Kind::Dict, pairs.into_iter()));
    payload
}

/// What a method has answered, whose author named the exceptions that its errors are.
fn raised(raising: &Raising, native: Native) -> Step {
    let exception = match &native {
        Native::Failed(error) => raising.raised(error),
        // One that was sent as text.
        Native::Refused(Error::Remote(remote)) => raising.raised(&value(&remote.message)),
        _ => None,
    };
    match exception.and_then(Exception::named) {
        Some(exception) => Step::Raise(exception),
        None => native.then(Step::Value),
    }
}

/// The object's text, or where it has none, something like it.
fn text_of(entry: &Entry) -> Step {
    let plain = format!("<{} object>", entry.class().typeid());
    Step::call::<&[u8]>(STR, &[], move |native| match native {
        Native::Refused(Error::NoSuchMethod { .. }) => Step::of(&plain),
        native => native.then(Step::Value),
    })
}

/// The proxy that a value is.
pub(super) fn is_proxy(value: &[u8]) -> Option<u32> {
    // A large value is none, and takes long to look at.
    match value.get(..MAX_PROXY + 1).map_or_else(|| parts::shape(value), |_| Ok(parts::Shape::None)) {
        Ok(parts::Shape::Proxy(index)) => Some(index),
        _ => None,
    }
}

/// How a call has ended; takes the answer's payload.
pub(super) fn native(answer: &mut Answer) -> Native {
    match answer.status {
        Status::Returned => Native::Returned(Raw::in_parts(std::mem::take(&mut answer.payload), answer.body.take())),
        Status::Failed => Native::Failed(std::mem::take(&mut answer.payload)),
        Status::Refused => Native::Refused(refusal(answer)),
    }
}

/// A value whose proxies are numbered from `first` on.
pub(super) fn renumbered(value: &[u8], first: usize) -> Result<Raw, Error> {
    let mut out = Vec::with_capacity(value.len());
    let renumber = |index: u32, out: &mut Vec<u8>| {
        codec::value::write_proxy(index.saturating_add(u32::try_from(first).unwrap_or(u32::MAX)), out);
        Ok(())
    };
    codec::value::replace_proxies(value, &mut out, renumber).map_err(|error| Error::protocol(error.to_string()))?;
    Ok(out.into())
}
