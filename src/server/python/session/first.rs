//! First messages: each is answered, and ends its connection, but for the one that goes on to calls.

use std::sync::Arc;

use super::super::super::core::Core;
use super::super::message::{self, Kind, Request, Writer};
use super::calls::{dynamic, is_proxy};
use super::told::{of_system, refusal, told, traceback};
use super::{Purpose, Read, Session};
use crate::codec;
use crate::codec::value::parts;
use crate::object::Answer;
use crate::object::entry::Entry;
use crate::object::face::{Arguments, Creation, Face, Native, Raw};
use crate::protocol::carriage::Carried;
use crate::protocol::reply::Status;

impl Session {
    pub(super) fn first(self: &Arc<Self>, request: Request, core: &Arc<Core>) {
        let first = request.arguments.positional.first().cloned();
        let name = first.as_deref().and_then(|first| match parts::shape(first) {
            Ok(parts::Shape::Str(text)) => Some(text.to_owned()),
            _ => None,
        });
        let none = || {
            message::reply(Kind::Return, |out| {
                codec::pickle::write::none(out);
                Ok(())
            })
        };
        let missing = |what: &str| Ok(message::text(Kind::Traceback, &traceback("KeyError", what)));
        let entry = |ident: Option<&String>| ident.and_then(|ident| message::find(&core.table, ident));
        let answer = match &*request.method {
            "accept_connection" => {
                self.state.lock().accepted = true;
                return match none() {
                    Ok(answer) => self.answer(core, &answer),
                    Err(_) => self.close(core),
                };
            }
            "create" => return self.create(name, request, core),
            "dummy" => none(),
            "incref" => match entry(name.as_ref()) {
                Some(entry) => {
                    self.holder.grant(&entry);
                    none()
                }
                None => missing(&format!("{:?}", name.unwrap_or_default())),
            },
            "decref" => {
                let known = entry(name.as_ref()).is_some_and(|entry| self.holder.release(core, entry.id()));
                if known { none() } else { missing(&format!("{:?}", name.unwrap_or_default())) }
            }
            "get_methods" => match entry(request.token.as_ref()) {
                Some(entry) => message::reply(Kind::Return, |out| {
                    Writer { core, carried: &[] }.exposed(&entry, out);
                    Ok(())
                }),
                None => missing("the token of no object of this server"),
            },
            "number_of_objects" => {
                let number = core.table.len() - core.python.only_lingering().len();
                message::reply(Kind::Return, |out| {
                    codec::pickle::write::int(out, i64::try_from(number).unwrap_or(i64::MAX));
                    Ok(())
                })
            }
            "debug_info" => return self.debug_info(core),
            "shutdown" => {
                if let Ok(answer) = none() {
                    self.answer_last(core, &answer);
                }
                return core.stop("a Python client shut it down");
            }
            other => {
                Ok(message::text(Kind::Traceback, &traceback("AssertionError", &format!("{other:?} unrecognized"))))
            }
        };
        match answer {
            Ok(answer) => self.answer_last(core, &answer),
            Err(_) => self.close(core),
        }
    }

    fn create(self: &Arc<Self>, typeid: Option<String>, request: Request, core: &Arc<Core>) {
        let refuse = |error: &str| self.answer_last(core, &message::text(Kind::Traceback, error));
        let Some(typeid) = typeid else { return refuse(&traceback("TypeError", "create() needs a typeid")) };
        let class = match core.table.registry().get(&typeid) {
            Ok(class) => class,
            Err(error) => return refuse(&traceback("KeyError", &format!("{typeid:?}: {error}"))),
        };
        let Request { mut arguments, carried, .. } = request;
        arguments.positional.remove(0);
        let Some(face) = core.table.registry().face(&class).filter(|_| !class.has_callable()) else {
            return self.construct(&typeid, "", dynamic(arguments).into(), carried, None, core);
        };
        let copied = face.copies().and_then(|place| Some((place, is_proxy(arguments.positional.get(place)?)?)));
        let Some((place, index)) = copied else { return self.make(face, typeid, arguments, carried, core) };
        let then: Read = Box::new(move |me, native, carried, core| match native {
            Native::Returned(held) => {
                arguments.positional[place] = held;
                me.make(face, typeid, arguments, carried, core);
            }
            other => me.answer_last(core, &message::text(Kind::Traceback, &told(&other.error()))),
        });
        self.read(index, carried, then, core);
    }

    /// Makes an object of a type that has a face.
    fn make(
        self: &Arc<Self>,
        face: &'static dyn Face,
        typeid: String,
        arguments: Arguments,
        carried: Vec<Carried>,
        core: &Arc<Core>,
    ) {
        match face.create(arguments) {
            Ok(Creation::Constructor(name, payload)) => {
                self.construct(&typeid, name, payload, carried, Some(face), core);
            }
            Ok(Creation::Of(index, method)) => {
                let Some(entry) = carried.get(index as usize).and_then(Carried::kept::<Entry>) else {
                    let text = traceback("TypeError", "an object of another server is of no use here");
                    return self.answer_last(core, &message::text(Kind::Traceback, &text));
                };
                let payload = parts::positional(std::iter::empty::<&[u8]>());
                let call = self.native(method, payload, carried, Purpose::Create(Some(face)));
                entry.dispatch(&mut Some(call), &core.table, false);
            }
            Err(step) => self.answer_last(core, &message::text(Kind::Traceback, &told(&step))),
        }
    }

    fn construct(
        self: &Arc<Self>,
        typeid: &str,
        constructor: &str,
        payload: Raw,
        carried: Vec<Carried>,
        face: Option<&'static dyn Face>,
        core: &Arc<Core>,
    ) {
        let name = format!("{typeid}::{constructor}");
        core.table.create(self.native(&name, payload, carried, Purpose::Create(face)));
    }

    fn debug_info(self: &Arc<Self>, core: &Arc<Core>) {
        let (me, job_core) = (Arc::clone(self), Arc::clone(core));
        let job = Box::new(move || {
            let core = job_core;
            let hidden = core.python.only_lingering();
            let clients: Vec<_> = core.clients().values().cloned().collect();
            let mut lines: Vec<_> = core
                .table
                .entries()
                .into_iter()
                .filter(|entry| !hidden.contains(&entry.id()))
                .map(|entry| {
                    let count: u64 = clients.iter().map(|client| client.count(entry.id())).sum();
                    let ident = message::ident(&core.table, entry.id());
                    let text = super::super::super::commands::text(&entry);
                    (ident.clone(), format!("  {ident}:       refcount={count}\n    {text}"))
                })
                .collect();
            lines.sort_unstable();
            let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
            me.answer_last(&core, &message::text(Kind::Return, &lines.join("\n")));
        });
        // Texts are user code, which may take its time.
        if let Err(error) = core.table.host().offload(job) {
            self.answer_last(core, &message::text(Kind::Traceback, &error.to_string()));
        }
    }

    pub(super) fn created(self: &Arc<Self>, answer: &Answer, face: Option<&dyn Face>, core: &Arc<Core>) {
        let entry = answer.carried.first().and_then(Carried::kept::<Entry>);
        let reply = match (answer.status, entry) {
            (Status::Returned, Some(entry)) => {
                self.holder.grant(&entry);
                message::reply(Kind::Return, |out| {
                    codec::pickle::write::str(out, &message::ident(&core.table, entry.id()));
                    Writer { core, carried: &[] }.exposed(&entry, out);
                    codec::pickle::write::end_tuple(out, 2);
                    Ok(())
                })
            }
            (Status::Refused, _) => Ok(message::text(Kind::Traceback, &of_system(&refusal(answer)))),
            _ => {
                let shown = || traceback("ValueError", &message::shown(&answer.payload));
                let text = face.map_or_else(shown, |face| told(&face.not_made(&answer.payload)));
                Ok(message::text(Kind::Traceback, &text))
            }
        };
        match reply {
            Ok(reply) => self.answer_last(core, &reply),
            Err(_) => self.close(core),
        }
    }
}
