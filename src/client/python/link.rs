//! Connections to a server of Python's, and the messages on them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::proxy::{PythonProxy, Reference};
use crate::address::Address;
use crate::authkey::Authkey;
use crate::codec::pickle::{Graph, Id, Make, Node, ProxyName, Translation, append_value, write};
use crate::codec::value::parts::{self, Kind, Shape};
use crate::codec::{self, Codec, CodecError, value};
use crate::error::{Error, RemoteError, Result};
use crate::handshake;
use crate::protocol::ServerId;
use crate::protocol::carriage::{self, Carried};
use crate::protocol::limits::{HANDSHAKE_TIME, MAX_FRAME};
use crate::sys::fork::{ForkMutex, Stamp};
use crate::sys::poll::{self, Interest};
use crate::sys::thread;
use crate::transport::{self, Connection, Progress};

/// The module of everything that belongs to the protocol itself.
const MANAGERS: &str = "multiprocessing.managers";

/// How a server is reached, and the connections to it that rest.
pub(super) struct Link {
    address: Address,
    authkey: Authkey,
    /// Stands for the server in this process's tokens; Python's servers have no id.
    pub(super) server: ServerId,
    /// Connections that take calls, by the threads that made them: a server of Python's has a thread for each, which is what owns an `RLock`.
    resting: ForkMutex<Resting>,
    /// References to be given back, and whether a thread does so.
    pub(super) returned: ForkMutex<(Vec<String>, bool)>,
}

struct Resting {
    stamp: Stamp,
    connections: HashMap<u64, Connection>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.address)
    }
}

impl Link {
    pub(super) fn new(address: Address, authkey: Authkey) -> Self {
        let resting = Resting { stamp: Stamp::now(), connections: HashMap::new() };
        Self {
            address,
            authkey,
            server: ServerId::random(),
            resting: ForkMutex::new(resting),
            returned: ForkMutex::new((Vec::new(), false)),
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    fn connect(&self) -> Result<Connection> {
        let deadline = Instant::now() + HANDSHAKE_TIME;
        let connection = transport::connect(&self.address, deadline).map_err(|error| error.at(&self.address))?;
        let authenticated = handshake::authenticate_at_python(connection, &self.authkey, deadline);
        let mut connection = authenticated.map_err(|error| error.with(&self.address))?;
        connection.receiver.set_limit(MAX_FRAME);
        Ok(connection)
    }

    fn exchange(&self, connection: &mut Connection, request: &[u8]) -> Result<Vec<u8>> {
        let failed = |error: transport::TransportError| error.at(&self.address);
        let mut sent = connection.sender.send(&[request]).map_err(failed)?;
        loop {
            if let Some(frame) = connection.receiver.next().map_err(failed)? {
                return Ok(frame);
            }
            let interest = if sent == Progress::Pending { Interest::ReadWrite } else { Interest::Read };
            poll::wait_one(connection.fd(), interest, None)
                .map_err(|error| Error::io("waiting for an answer", error))?;
            sent = connection.sender.flush().map_err(failed)?;
        }
    }

    /// Asks the server itself, on a connection of its own.
    pub(super) fn ask(self: &Arc<Self>, written: &Written) -> Result<Reply> {
        let request = written.pickle(self)?;
        let frame = self.exchange(&mut self.connect()?, &request)?;
        Reply::read(&frame, self)
    }

    /// Calls a method, on this thread's connection.
    pub(super) fn call(self: &Arc<Self>, written: &Written) -> Result<Reply> {
        let request = written.pickle(self)?;
        let thread = thread::number();
        let resting = {
            let mut resting = self.resting.lock();
            if !resting.stamp.is_current() {
                // A forked child's copies are its parent's.
                *resting = Resting { stamp: Stamp::now(), connections: HashMap::new() };
            }
            resting.connections.remove(&thread)
        };
        let mut connection = match resting {
            Some(connection) => connection,
            None => {
                let mut connection = self.connect()?;
                let name = format!("{}|{thread}", std::process::id());
                let accept = Written::plain(None, "accept_connection", &[&name])?.pickle(self)?;
                Reply::read(&self.exchange(&mut connection, &accept)?, self)?;
                connection
            }
        };
        // One that failed is not used again: what comes on it might be the answer to this.
        let frame = self.exchange(&mut connection, &request)?;
        self.resting.lock().connections.insert(thread, connection);
        Reply::read(&frame, self)
    }
}

/// A request, before it is pickled.
pub(super) struct Written {
    ident: Option<String>,
    method: String,
    /// Values.
    arguments: Vec<Vec<u8>>,
    keywords: Vec<Vec<u8>>,
    carried: Vec<Carried>,
}

impl Written {
    /// With arguments and keywords of any types; `first` comes before them.
    pub(super) fn new<A: Serialize, K: Serialize>(
        ident: Option<&str>,
        method: &str,
        first: Option<&str>,
        arguments: &A,
        keywords: &K,
    ) -> Result<Self> {
        let wrong = |what: &str| Error::Arguments {
            typeid: first.unwrap_or("object").to_owned(),
            method: method.to_owned(),
            reason: what.to_owned(),
        };
        let mut bytes = (Vec::new(), Vec::new());
        let (encoded, carried) = carriage::outgoing(|| {
            codec::encode(Codec::Value, arguments, &mut bytes.0)?;
            codec::encode(Codec::Value, keywords, &mut bytes.1)
        });
        encoded.map_err(Error::unserializable::<A>)?;
        let mut given = match parts::shape(&bytes.0) {
            Ok(Shape::None) => Vec::new(),
            Ok(Shape::Container(Kind::Tuple | Kind::List, elements)) => {
                elements.into_iter().map(|element| element.into_owned()).collect()
            }
            _ => return Err(wrong("arguments must be a tuple")),
        };
        if let Some(first) = first {
            let mut typeid = Vec::new();
            codec::encode(Codec::Value, first, &mut typeid).map_err(Error::unserializable::<str>)?;
            given.insert(0, typeid);
        }
        let keywords = match parts::shape(&bytes.1) {
            Ok(Shape::None) => Vec::new(),
            Ok(Shape::Container(Kind::Dict, entries)) => entries.into_iter().map(|entry| entry.into_owned()).collect(),
            _ => return Err(wrong("keyword arguments must be a map or a struct")),
        };
        Ok(Self { ident: ident.map(str::to_owned), method: method.to_owned(), arguments: given, keywords, carried })
    }

    /// With arguments that are strs.
    pub(super) fn plain(ident: Option<&str>, method: &str, arguments: &[&str]) -> Result<Self> {
        Self::new(ident, method, None, &arguments, &())
    }

    fn pickle(&self, link: &Link) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.append(link, &mut out).map_err(Error::unserializable::<Self>)?;
        Ok(out)
    }

    fn append(&self, link: &Link, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let value = |bytes: &[u8], out: &mut Vec<u8>| {
            append_value(bytes, out, &mut |index, out| {
                let reference = self.carried.get(index as usize).and_then(Carried::kept::<Reference>);
                let reference = reference.filter(|reference| reference.is_of(link));
                let reference = reference.ok_or_else(|| CodecError::other("a proxy of another server's object"))?;
                reference.append(out);
                Ok(())
            })
        };
        write::begin(out);
        write::begin_tuple(out, 4);
        match &self.ident {
            Some(ident) => write::str(out, ident),
            None => write::none(out),
        }
        write::str(out, &self.method);
        write::begin_tuple(out, self.arguments.len());
        self.arguments.iter().try_for_each(|argument| value(argument, out))?;
        write::end_tuple(out, self.arguments.len());
        write::begin_dict(out);
        self.keywords.iter().try_for_each(|keyword| value(keyword, out))?;
        write::end_dict(out);
        write::end_tuple(out, 4);
        write::end(out);
        Ok(())
    }
}

/// A result, as a value with the proxies in it.
pub(super) struct Reply {
    value: Vec<u8>,
    carried: Vec<Carried>,
}

impl Reply {
    /// Reads a frame; an exception is an error.
    fn read(frame: &[u8], link: &Arc<Link>) -> Result<Self> {
        let broken = |error: CodecError| Error::protocol(format!("the server's answer can't be read: {error}"));
        let graph = Graph::read(frame).map_err(broken)?;
        let shape = || Error::protocol("the server's answer is no pair of kind and contents");
        let Some(&[kind, payload]) = graph.tuple(graph.root()) else { return Err(shape()) };
        let text = |id: Id| graph.text(id).unwrap_or_default().to_owned();
        match graph.text(kind).ok_or_else(shape)? {
            "#RETURN" => Self::translate(&graph, payload, link),
            "#PROXY" => {
                let Some(&[_, token]) = graph.tuple(payload) else { return Err(shape()) };
                let name = ProxyName::of_token(&graph, token).ok_or_else(shape)?;
                let proxy = PythonProxy::new(link, name.typeid, name.id)?;
                link.ask(&Written::plain(None, "decref", &[name.id])?)?;
                let mut value = Vec::new();
                let (encoded, carried) = carriage::outgoing(|| codec::encode(Codec::Value, &proxy, &mut value));
                encoded.map_err(broken)?;
                Ok(Self { value, carried })
            }
            "#ERROR" => Err(Error::Remote(raised(&graph, payload))),
            "#TRACEBACK" => {
                let traceback = text(payload);
                let last = traceback.trim_end().lines().last().unwrap_or_default().to_owned();
                let kind = format!("{MANAGERS}.RemoteError");
                Err(Error::Remote(RemoteError { kind, message: last, causes: vec![traceback] }))
            }
            "#UNSERIALIZABLE" => {
                Err(Error::Unserializable { type_name: "the method's result".to_owned(), reason: text(payload) })
            }
            other => Err(Error::protocol(format!("the server's answer is of an unknown kind {other:?}"))),
        }
    }

    fn translate(graph: &Graph<'_>, id: Id, link: &Arc<Link>) -> Result<Self> {
        let mut names: Vec<(String, String)> = Vec::new();
        let mut value = Vec::new();
        let mut known = |name: &ProxyName<'_>| {
            names.push((name.typeid.to_owned(), name.id.to_owned()));
            u32::try_from(names.len() - 1).ok()
        };
        let translated = Translation::new(graph, &mut known).append(id, &mut value);
        translated.map_err(|error| Error::protocol(error.to_string()))?;
        let carried = names.iter().map(|(typeid, ident)| Ok(PythonProxy::new(link, typeid, ident)?.carried()));
        Ok(Self { value, carried: carried.collect::<Result<_>>()? })
    }

    pub(super) fn decode<R: DeserializeOwned>(&self, _: &Link) -> Result<R> {
        let decoded = carriage::incoming(&self.carried, || codec::decode(Codec::Value, &self.value));
        decoded.map_err(Error::unserializable::<R>)
    }
}

/// What an exception says.
fn raised(graph: &Graph<'_>, id: Id) -> RemoteError {
    let kind = graph.class(id).into_owned();
    let Node::Object(object) = graph.get(id) else {
        return RemoteError { message: kind.clone(), kind, causes: Vec::new() };
    };
    let (Make::Call(_, arguments) | Make::New(_, arguments) | Make::NewWith(_, arguments, _)) = object.make;
    let arguments = graph.tuple(arguments).unwrap_or_default();
    let mut none = |_: &ProxyName<'_>| None;
    let mut translation = Translation::new(graph, &mut none);
    let shown: Vec<_> = arguments
        .iter()
        .map(|id| {
            let mut bytes = Vec::new();
            match (graph.text(*id), translation.append(*id, &mut bytes)) {
                // A lone text is the message itself, but for a key.
                (Some(text), _) if arguments.len() == 1 && kind != "builtins.KeyError" => text.to_owned(),
                (_, Ok(())) => value::display(&bytes).to_string(),
                (_, Err(error)) => format!("<{error}>"),
            }
        })
        .collect();
    let message = match &shown[..] {
        [one] => one.clone(),
        several => format!("({})", several.join(", ")),
    };
    RemoteError { kind, message, causes: Vec::new() }
}
