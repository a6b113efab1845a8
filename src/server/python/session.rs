//! One connection of a Python client: a first message and its answer, or proxy calls until it ends.
//!
//! A client waits for the answer to one request before it sends the next. What comes all the same lies in a queue, so that answers keep their order. A call may take several steps
//! ([`Step`]): each native call is answered through [`Replier::reply`], from whatever thread has the answer, and that thread takes the next step.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::super::core::{Admission, Core};
use super::super::heap::Heap;
use super::super::lead::{Place, Stream};
use super::super::record::Record;
use super::super::timers::{Due, TimerKey};
use super::message::{self, Kind, Request, Writer};
use super::peers::{Holder, Peers};
use crate::codec::value::parts;
use crate::codec::{self, Codec};
use crate::error::Error;
use crate::handshake::PythonPeer;
use crate::object::answer::{PutBack, Replier};
use crate::object::chain::Chain;
use crate::object::entry::Entry;
use crate::object::face::{Arguments, Creation, Exception, Face, Native, Raw, Step, Then};
use crate::object::methods::{STR, VALUE};
use crate::object::parked::Parked;
use crate::object::{Answer, Call, Caller, Heir, panics};
use crate::protocol::carriage::Carried;
use crate::protocol::limits::MAX_BACKLOG;
use crate::protocol::reply::Status;
use crate::protocol::{ClientId, RequestId, ThreadNumber};
use crate::sys::sync::Mutex;
use crate::sys::thread;
use crate::transport::{Progress, Receiver, Sender, TransportError};

/// How many requests may lie in the queue before no more are read.
const QUEUE: usize = 16;

/// How many steps one call may take.
const STEPS: u32 = 1000;

struct Outbound {
    sender: Sender,
    closed: bool,
    /// The connection ends when all is sent.
    last: bool,
}

/// What the present native call is for.
struct Pending {
    request: RequestId,
    purpose: Purpose,
    parked: Option<Arc<Parked>>,
    timer: Option<TimerKey>,
}

enum Purpose {
    /// A step of a call.
    Step { target: Target, then: Then },
    /// The value of an object among the arguments, whose proxies are `carried`.
    Read { carried: Vec<Carried>, then: Read },
    /// A new object, which its creator gets a reference to.
    Create,
}

/// What becomes of a value that was read; the proxies in it stand behind those that were carried before.
type Read = Box<dyn FnOnce(&Arc<Session>, Native, Vec<Carried>, &Arc<Core>) + Send>;

/// What is called.
#[derive(Clone)]
struct Target {
    entry: Arc<Entry>,
    /// The proxies among the arguments.
    carried: Vec<Carried>,
    /// How many steps it has taken.
    steps: u32,
}

#[derive(Default)]
struct State {
    /// Whether the first message has been answered by "go on".
    accepted: bool,
    busy: bool,
    pending: Option<Pending>,
    last_request: u64,
    queue: VecDeque<Vec<u8>>,
    reading: bool,
    /// Puts back what the last reply moved; until the client asks for something else, it may not have read it.
    uncertain: Option<PutBack>,
}

/// One connection.
pub(in crate::server) struct Session {
    me: Weak<Self>,
    core: Weak<Core>,
    holder: Holder,
    /// Who calls: the process, or this connection where its process is unknown.
    caller: Arc<Record>,
    /// CPython's server has a thread for each connection, which is what owns an `RLock` there.
    thread: ThreadNumber,
    place: Place,
    /// The second number of the Python whose server this is to be like.
    minor: u8,
    inbound: Mutex<Receiver>,
    outbound: Mutex<Outbound>,
    state: Mutex<State>,
    _admission: Admission,
}

impl Session {
    pub(super) fn new(core: &Arc<Core>, holder: Holder, peer: PythonPeer, admission: Admission) -> Arc<Self> {
        let PythonPeer { connection, old } = peer;
        let caller = if holder.is_process {
            Arc::clone(&holder.references)
        } else {
            let record = Record::new(ClientId::random(), crate::object::lease::Leases::default());
            core.clients().insert(record.id(), Arc::clone(&record));
            record
        };
        let told = core.settings.python.and_then(|python| python.minor);
        let session = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            core: Arc::downgrade(core),
            holder,
            caller,
            thread: ThreadNumber(thread::unique()),
            place: Place::default(),
            minor: told.unwrap_or(if old { 11 } else { 13 }),
            inbound: Mutex::new(connection.receiver),
            outbound: Mutex::new(Outbound { sender: connection.sender, closed: false, last: false }),
            state: Mutex::new(State { reading: true, ..State::default() }),
            _admission: admission,
        });
        let heir: Weak<Self> = Arc::downgrade(&session);
        // A process that has ended meanwhile shows on the socket as well.
        let _ = session.caller.at_end(heir);
        session
    }

    pub(in crate::server) fn place(&self) -> &Place {
        &self.place
    }

    pub(in crate::server) fn with_fd<R>(&self, use_it: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        use_it(self.outbound.lock().sender.fd())
    }

    /// The next frame; and whether another is in memory already. Only the leader reads.
    pub(in crate::server) fn next(&self) -> std::result::Result<Option<(Vec<u8>, bool)>, TransportError> {
        if !self.state.lock().reading {
            return Ok(None);
        }
        let mut inbound = self.inbound.lock();
        let frame = inbound.next()?;
        if frame.is_none() {
            inbound.park();
        }
        Ok(frame.map(|frame| (frame, inbound.is_ready())))
    }

    /// Takes a request in.
    pub(in crate::server) fn handle(self: &Arc<Self>, frame: Vec<u8>, core: &Arc<Core>) {
        {
            let mut state = self.state.lock();
            if state.busy {
                state.queue.push_back(frame);
                if state.queue.len() >= QUEUE {
                    state.reading = false;
                    drop(state);
                    self.watch(core);
                }
                return;
            }
            state.busy = true;
        }
        self.run(frame, core);
    }

    /// Runs a request, and those that lie behind it, until one is not answered at once.
    fn run(self: &Arc<Self>, frame: Vec<u8>, core: &Arc<Core>) {
        let arrived = self.state.lock().uncertain.take();
        drop(arrived);
        if frame.is_empty() {
            return self.close(core);
        }
        let accepted = self.state.lock().accepted;
        core.count_call();
        match Request::read(frame, &core.table) {
            Ok(request) if accepted => self.call(request, core),
            Ok(request) => self.first(request, core),
            Err(error) => {
                self.answer(core, &message::text(Kind::Traceback, &traceback("UnpicklingError", &error.to_string())))
            }
        }
    }

    /// The present request is answered: the next one, if it is there.
    fn go_on(self: &Arc<Self>, core: &Arc<Core>) {
        let (next, resumed) = {
            let mut state = self.state.lock();
            let next = state.queue.pop_front();
            state.busy = next.is_some();
            let resumed = !state.reading && state.queue.len() < QUEUE;
            state.reading |= resumed;
            (next, resumed)
        };
        if resumed {
            self.watch(core);
            core.streams.push(Stream::Python(Arc::clone(self)));
        }
        if let Some(frame) = next {
            self.run(frame, core);
        }
    }

    fn watch(&self, core: &Core) {
        let reading = self.state.lock().reading;
        let outbound = self.outbound.lock();
        core.streams.interest(&self.place, outbound.sender.fd(), reading, outbound.sender.backlog() > 0);
    }

    // First messages.

    fn first(self: &Arc<Self>, request: Request, core: &Arc<Core>) {
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
            return self.construct(&typeid, "", dynamic(arguments).into(), carried, core);
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
            Ok(Creation::Constructor(name, payload)) => self.construct(&typeid, name, payload, carried, core),
            Ok(Creation::Of(index, method)) => {
                let Some(entry) = carried.get(index as usize).and_then(Carried::kept::<Entry>) else {
                    let text = traceback("TypeError", "an object of another server is of no use here");
                    return self.answer_last(core, &message::text(Kind::Traceback, &text));
                };
                let payload = parts::positional(std::iter::empty::<&[u8]>());
                entry.dispatch(self.native(method, payload, carried, Purpose::Create), false);
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
        core: &Arc<Core>,
    ) {
        let name = format!("{typeid}::{constructor}");
        core.table.create(self.native(&name, payload, carried, Purpose::Create));
    }

    /// Reads the value of an object among the arguments.
    fn read(self: &Arc<Self>, index: u32, carried: Vec<Carried>, then: Read, core: &Arc<Core>) {
        let Some(object) = carried.get(index as usize).and_then(Carried::kept::<Entry>) else {
            let error = Error::protocol("an object of another server is of no use here");
            return then(self, Native::Refused(error), carried, core);
        };
        let payload = parts::positional(std::iter::empty::<&[u8]>());
        object.dispatch(self.native(VALUE, payload, Vec::new(), Purpose::Read { carried, then }), false);
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
                    let text = super::super::commands::text(&entry);
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

    // Calls.

    fn call(self: &Arc<Self>, request: Request, core: &Arc<Core>) {
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
                _ => Step::Call {
                    method: method.into(),
                    payload: dynamic(arguments).into(),
                    timeout: None,
                    then: Box::new(|native| native.then(Step::Value)),
                },
            },
        };
        self.take(step, Target { entry, carried: carried.clone(), steps: 0 }, &carried, None, core);
    }

    /// Takes a step; `carried` are the proxies that values in it name.
    fn take(
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
                return entry.dispatch(call, false);
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
                        let (head, body) = answer.unwrap_or_else(|error| {
                            (Vec::new(), message::text(Kind::Unserializable, &error.to_string()).into())
                        });
                        return self.answer_moving(core, &head, body, put_back);
                    }
                }
            }
            Step::Make(make, first) => match make(&core.table) {
                Ok(entry) => match first {
                    Some((method, payload)) => return self.fill(entry, method, payload, carried),
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
        self.answer_moving(core, &[], answer.into(), put_back);
    }

    /// Calls a method of a new object before its proxy is the answer; `carried` are the proxies in the arguments.
    fn fill(self: &Arc<Self>, entry: Arc<Entry>, method: &'static str, payload: impl Into<Raw>, carried: &[Carried]) {
        let target = Target { entry: Arc::clone(&entry), carried: carried.to_vec(), steps: 1 };
        let made = Arc::clone(&entry);
        let then: Then = Box::new(move |native| native.then(|_| Step::Make(Box::new(move |_| Ok(made)), None)));
        let call = self.native(method, payload, carried.to_vec(), Purpose::Step { target, then });
        entry.dispatch(call, false);
    }

    /// An exception that the client's Python has.
    fn known(&self, exception: Exception) -> Exception {
        if self.minor < 13 && exception.module == "queue" && exception.class == "ShutDown" {
            // Before 3.13 nobody can shut a queue down from Python, so that only who waits for an item can learn that none will come.
            return Exception { module: "_queue".into(), class: "Empty".into(), ..exception };
        }
        if self.minor < 12 {
            return Exception { attributes: Vec::new(), ..exception };
        }
        exception
    }

    /// A reply that is a proxy, and with it the reference that the client gives back when it has one of its own.
    fn proxied(&self, entry: &Arc<Entry>, core: &Core) -> std::result::Result<Vec<u8>, codec::CodecError> {
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
    fn native(self: &Arc<Self>, name: &str, payload: impl Into<Raw>, carried: Vec<Carried>, purpose: Purpose) -> Call {
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

    fn created(self: &Arc<Self>, answer: &Answer, core: &Arc<Core>) {
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
            _ => Ok(message::text(Kind::Traceback, &traceback("ValueError", &message::shown(&answer.payload)))),
        };
        match reply {
            Ok(reply) => self.answer_last(core, &reply),
            Err(_) => self.close(core),
        }
    }

    // Answers.

    fn answer(self: &Arc<Self>, core: &Arc<Core>, answer: &[u8]) {
        let _: bool = self.send(core, &[], answer.to_vec().into(), false);
        self.go_on(core);
    }

    /// Answers with something that goes back if the client never reads it.
    fn answer_moving(self: &Arc<Self>, core: &Arc<Core>, head: &[u8], body: Raw, put_back: Option<PutBack>) {
        // Known before it is sent: the client may ask for the next thing, or end, the moment that it has this.
        self.state.lock().uncertain = put_back;
        if !self.send(core, head, body, false)
            && let Some(put_back) = self.state.lock().uncertain.take()
        {
            panics::quietly(put_back);
        }
        self.go_on(core);
    }

    /// Answers, and ends the connection.
    fn answer_last(self: &Arc<Self>, core: &Arc<Core>, answer: &[u8]) {
        let _: bool = self.send(core, &[], answer.to_vec().into(), true);
    }

    /// False where the connection has ended.
    fn send(self: &Arc<Self>, core: &Arc<Core>, head: &[u8], body: Raw, last: bool) -> bool {
        Heap::passed(core, body.len());
        let (memory, start) = body.into_parts();
        let mut outbound = self.outbound.lock();
        if outbound.closed {
            return false;
        }
        outbound.last = last;
        let sent = outbound.sender.send_behind(head, &mut memory.into(), start);
        let (over, shelved) = match sent {
            Ok(Progress::Done) => (last, false),
            Ok(Progress::Pending) => (false, outbound.sender.backlog() > MAX_BACKLOG),
            // A broken connection is noticed, and settled, where it is read.
            Err(_) => (false, false),
        };
        let pending = matches!(sent, Ok(Progress::Pending));
        drop(outbound);
        if shelved {
            self.state.lock().reading = false;
        }
        if pending {
            self.watch(core);
        }
        if over {
            self.close(core);
        }
        true
    }

    /// Sends what was kept; called when the socket takes something again.
    pub(in crate::server) fn flush(self: &Arc<Self>, core: &Arc<Core>) {
        let over = {
            let mut outbound = self.outbound.lock();
            let done = match outbound.sender.flush() {
                Ok(Progress::Done) => true,
                Ok(Progress::Pending) => false,
                Err(_) => {
                    outbound.sender.shutdown();
                    true
                }
            };
            done && outbound.last
        };
        if over {
            // Here the lead is locked: what follows must not run under it.
            let (me, core) = (Arc::clone(self), Arc::clone(core));
            let host = Arc::clone(core.table.host());
            host.at(Instant::now(), Box::new(move || me.close(&core)));
            return;
        }
        let resumed = {
            let mut state = self.state.lock();
            let resumed =
                !state.reading && state.queue.len() < QUEUE && self.outbound.lock().sender.backlog() <= MAX_BACKLOG / 2;
            state.reading |= resumed;
            resumed
        };
        self.watch(core);
        if resumed {
            core.streams.push(Stream::Python(Arc::clone(self)));
        }
    }

    /// Ends the connection: what waits is given up, and what the client has not read is put back.
    pub(in crate::server) fn close(self: &Arc<Self>, core: &Arc<Core>) {
        // How the connection has ended shows only to who reads it, and the process's end may be seen first.
        let was_reset = {
            let mut inbound = self.inbound.lock();
            let asked_again = std::iter::from_fn(|| inbound.next().ok().flatten()).take(QUEUE).count() > 0;
            inbound.was_reset() && !asked_again
        };
        {
            let mut outbound = self.outbound.lock();
            if std::mem::replace(&mut outbound.closed, true) {
                return;
            }
            core.streams.remove(&self.place, outbound.sender.fd());
            outbound.sender.shutdown();
        }
        let pending = {
            let mut state = self.state.lock();
            state.queue.clear();
            state.pending.take()
        };
        if let Some(Pending { parked, timer, .. }) = pending {
            if let Some(timer) = timer {
                core.timers.unset(timer);
            }
            if let Some(parked) = parked {
                parked.cancel();
            }
        }
        // A connection that ended with the last reply unread says so by a reset.
        if was_reset {
            let uncertain = self.state.lock().uncertain.take();
            if let Some(put_back) = uncertain {
                panics::quietly(put_back);
            }
        }
        if !self.holder.is_process {
            core.end_client(&self.caller, "its connection has ended");
        }
    }

    /// The native call is over: what it was for.
    fn conclude(&self, request: RequestId, core: &Core) -> Option<Purpose> {
        let pending = {
            let mut state = self.state.lock();
            state.pending.take_if(|pending| pending.request == request)?
        };
        if let Some(timer) = pending.timer {
            core.timers.unset(timer);
        }
        Some(pending.purpose)
    }
}

impl Replier for Session {
    fn reply(&self, request: RequestId, mut answer: Answer) {
        let (Some(me), Some(core)) = (self.me.upgrade(), self.core.upgrade()) else { return };
        let put_back = answer.put_back.take();
        let Some(purpose) = self.conclude(request, &core) else {
            if let Some(put_back) = put_back {
                panics::quietly(put_back);
            }
            return;
        };
        match purpose {
            Purpose::Create => me.created(&answer, &core),
            Purpose::Step { target, then } => {
                me.take(then(native(&mut answer)), target, &answer.carried, put_back, &core);
            }
            Purpose::Read { mut carried, then } => {
                let native = match native(&mut answer) {
                    Native::Returned(held) if !answer.carried.is_empty() => {
                        let first = carried.len();
                        carried.append(&mut answer.carried);
                        renumbered(&held, first).map_or_else(Native::Refused, Native::Returned)
                    }
                    other => other,
                };
                then(&me, native, carried, &core);
            }
        }
    }

    fn park(&self, request: RequestId, parked: Arc<Parked>, deadline: Option<Instant>) {
        let Some(core) = self.core.upgrade() else { return };
        let mut state = self.state.lock();
        let Some(pending) = state.pending.as_mut().filter(|pending| pending.request == request) else { return };
        pending.parked = Some(Arc::clone(&parked));
        let me = self.me.clone();
        pending.timer = deadline.map(|deadline| {
            let late = move || {
                let Some(me) = me.upgrade() else { return };
                if parked.cancel() {
                    me.reply(request, Answer::refused(&Error::Timeout { after: std::time::Duration::ZERO }));
                }
            };
            core.at(deadline, Due::Job(Box::new(late)))
        });
    }

    fn unpark(&self, request: RequestId) {
        let Some(core) = self.core.upgrade() else { return };
        let timer = {
            let mut state = self.state.lock();
            let pending = state.pending.as_mut().filter(|pending| pending.request == request);
            pending.and_then(|pending| {
                pending.parked = None;
                pending.timer.take()
            })
        };
        if let Some(timer) = timer {
            core.timers.unset(timer);
        }
    }
}

/// The process has ended, though a copy of its socket may live on in another.
impl Heir for Session {
    fn client_ended(&self, _: ClientId) {
        if let (Some(me), Some(core)) = (self.me.upgrade(), self.core.upgrade()) {
            me.close(&core);
        }
    }
}

/// Arguments as a dynamic call has them.
fn dynamic(arguments: Arguments) -> Vec<u8> {
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

/// The object's text, or where it has none, something like it.
fn text_of(entry: &Entry) -> Step {
    let plain = format!("<{} object>", entry.class().typeid());
    Step::call::<&[u8]>(STR, &[], move |native| match native {
        Native::Refused(Error::NoSuchMethod { .. }) => Step::of(&plain),
        native => native.then(Step::Value),
    })
}

/// The proxy that a value is.
fn is_proxy(value: &[u8]) -> Option<u32> {
    match parts::shape(value) {
        Ok(parts::Shape::Proxy(index)) => Some(index),
        _ => None,
    }
}

/// How a call has ended; takes the answer's payload.
fn native(answer: &mut Answer) -> Native {
    match answer.status {
        Status::Returned => Native::Returned(std::mem::take(&mut answer.payload).into()),
        Status::Failed => Native::Failed(std::mem::take(&mut answer.payload)),
        Status::Refused => Native::Refused(refusal(answer)),
    }
}

/// A value whose proxies are numbered from `first` on.
fn renumbered(value: &[u8], first: usize) -> Result<Raw, Error> {
    let mut out = Vec::with_capacity(value.len());
    let renumber = |index: u32, out: &mut Vec<u8>| {
        codec::value::write_proxy(index.saturating_add(u32::try_from(first).unwrap_or(u32::MAX)), out);
        Ok(())
    };
    codec::value::replace_proxies(value, &mut out, renumber).map_err(|error| Error::protocol(error.to_string()))?;
    Ok(out.into())
}

fn refusal(answer: &Answer) -> Error {
    codec::decode(Codec::Bincode, &answer.payload).unwrap_or_else(|error| Error::protocol(error.to_string()))
}

/// A text that looks as a traceback does.
fn traceback(class: &str, text: &str) -> String {
    format!("Traceback (most recent call last):\n  in the multiproc server\n{class}: {text}\n")
}

fn of_system(error: &Error) -> String {
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
fn told(step: &Step) -> String {
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
