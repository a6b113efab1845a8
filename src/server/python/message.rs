//! Requests and replies of CPython's protocol: pickles of `(ident, method, arguments, keywords)` and of `(kind, payload)`.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::super::core::Core;
use crate::address::Address;
use crate::codec::pickle::{Graph, Id, Node, ProxyName, Translation, append_value, write};
use crate::codec::value::parts::{self, Shape};
use crate::codec::{CodecError, value};
use crate::object::entry::Entry;
use crate::object::face::{Arguments, Exception, Raw};
use crate::object::table::Table;
use crate::protocol::ObjectId;
use crate::protocol::carriage::Carried;
use crate::sys::bytes::{Bytes, LARGE};

/// A request.
pub(super) struct Request {
    /// Which object; `None` in a first message.
    pub(super) ident: Option<String>,
    pub(super) method: String,
    pub(super) arguments: Arguments,
    /// The proxies among the arguments.
    pub(super) carried: Vec<Carried>,
    /// The object that the first argument's token names, if that is one.
    pub(super) token: Option<String>,
}

impl Request {
    /// Reads a frame, whose memory a large str or bytes keeps for itself.
    pub(super) fn read(frame: Vec<u8>, table: &Table) -> Result<Self, CodecError> {
        let graph = Graph::read(&frame)?;
        let shape = || CodecError::other("a request must be a tuple of ident, method name, arguments and keywords");
        let Some(&[ident, method, arguments, keywords]) = graph.tuple(graph.root()) else { return Err(shape()) };
        let method = graph.text(method).ok_or_else(shape)?.to_owned();
        let ident = match graph.get(ident) {
            Node::None => None,
            Node::Str(ident) => Some(ident.to_string()),
            _ => return Err(shape()),
        };
        let positional = sequence(&graph, arguments).ok_or_else(shape)?;
        let Node::Dict(named) = graph.get(keywords) else { return Err(shape()) };
        let mut carried = Vec::new();
        let mut proxies = |name: &ProxyName<'_>| {
            let entry = find(table, name.id)?;
            carried.push(Carried { token: entry.token(), ticket: None, keep: Some(entry) });
            u32::try_from(carried.len() - 1).ok()
        };
        let mut translation = Translation::new(&graph, &mut proxies);
        let mut large = None;
        let mut translate = |id: Id| {
            if large.is_none()
                && let Some(found) = Large::find(&graph, id, &frame)
            {
                large = Some(found);
                return Ok(Raw::default());
            }
            let mut bytes = Vec::new();
            translation.append(id, &mut bytes).map(|()| bytes.into())
        };
        let mut arguments = Arguments {
            positional: positional.iter().map(|id| translate(*id)).collect::<Result<_, _>>()?,
            keywords: named
                .iter()
                .map(|(name, value)| Ok((graph.text(*name).ok_or_else(shape)?.to_owned(), translate(*value)?)))
                .collect::<Result<_, CodecError>>()?,
        };
        let token = positional.first().and_then(|first| ProxyName::of_token(&graph, *first));
        let token = token.map(|token| token.id.to_owned());
        drop(graph);
        if let Some(large) = large {
            let mut values =
                arguments.positional.iter_mut().chain(arguments.keywords.iter_mut().map(|(_, value)| value));
            // No value is without bytes but the one that was left out.
            if let Some(place) = values.find(|value| value.is_empty()) {
                *place = large.take(frame);
            }
        }
        Ok(Self { ident, method, arguments, carried, token })
    }
}

/// A str or bytes so large that it stays where it was received.
struct Large {
    is_str: bool,
    contents: Range<usize>,
}

impl Large {
    fn find(graph: &Graph<'_>, id: Id, frame: &[u8]) -> Option<Self> {
        let (is_str, contents) = match graph.get(id) {
            Node::Str(Cow::Borrowed(text)) => (true, text.as_bytes()),
            Node::Bytes(Cow::Borrowed(bytes)) => (false, *bytes),
            _ => return None,
        };
        let start = (contents.as_ptr() as usize).checked_sub(frame.as_ptr() as usize)?;
        let contents = start..start.checked_add(contents.len())?;
        (contents.len() >= LARGE && contents.end <= frame.len()).then_some(Self { is_str, contents })
    }

    fn take(self, mut frame: Vec<u8>) -> Raw {
        let Self { is_str, contents } = self;
        let before = if is_str { parts::before_str(contents.len()) } else { parts::before_bytes(contents.len()) };
        frame.truncate(contents.end);
        Raw::behind(frame, contents.start).after(&before)
    }
}

fn sequence<'g>(graph: &'g Graph<'_>, id: Id) -> Option<&'g [Id]> {
    match graph.get(id) {
        Node::Tuple(elements) | Node::List(elements) => Some(elements),
        _ => None,
    }
}

/// What Python calls an object: its number, and enough of the server's id that a token of another server can only miss.
pub(super) fn ident(table: &Table, object: ObjectId) -> String {
    let server = table.server().to_string();
    format!("{:x}-{}", object.0, &server[..12])
}

/// The object that is called so.
pub(super) fn find(table: &Table, name: &str) -> Option<Arc<Entry>> {
    let (object, server) = name.split_once('-')?;
    if !table.server().to_string().starts_with(server) || server.len() != 12 {
        return None;
    }
    table.find(ObjectId(u64::from_str_radix(object, 16).ok()?)).ok()
}

/// The kinds of replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Return,
    Error,
    Proxy,
    Traceback,
    Unserializable,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Return => "#RETURN",
            Self::Error => "#ERROR",
            Self::Proxy => "#PROXY",
            Self::Traceback => "#TRACEBACK",
            Self::Unserializable => "#UNSERIALIZABLE",
        }
    }
}

/// A reply, with what writes its payload.
pub(super) fn reply(
    kind: Kind,
    payload: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::with_capacity(64);
    write::begin(&mut out);
    write::str(&mut out, kind.name());
    payload(&mut out)?;
    write::end_tuple(&mut out, 2);
    write::end(&mut out);
    Ok(out)
}

/// A reply on its way: a large str or bytes stays where it is, between two written pieces.
pub(super) struct Outgoing {
    pub(super) head: Vec<u8>,
    pub(super) body: Bytes,
    /// Where in its memory the body begins.
    pub(super) skip: usize,
    pub(super) tail: Vec<u8>,
}

impl Outgoing {
    /// How long it is.
    pub(super) fn len(&self) -> usize {
        self.head.len() + self.body.len() - self.skip + self.tail.len()
    }
}

impl From<Vec<u8>> for Outgoing {
    fn from(whole: Vec<u8>) -> Self {
        Self { head: Vec::new(), body: whole.into(), skip: 0, tail: Vec::new() }
    }
}

/// A reply that is a value.
pub(super) fn value(writer: &Writer<'_>, value: Raw) -> Result<Outgoing, CodecError> {
    if value.len() >= LARGE {
        let contents = match parts::shape(&value)? {
            Shape::Str(text) => Some((text.len(), write::begin_str as fn(&mut Vec<u8>, usize))),
            Shape::Bytes(bytes) => Some((bytes.len(), write::begin_bytes as _)),
            _ => None,
        };
        if let Some((length, begin)) = contents {
            let (mut head, mut tail) = (Vec::new(), Vec::new());
            write::begin(&mut head);
            write::str(&mut head, Kind::Return.name());
            begin(&mut head, length);
            write::end_tuple(&mut tail, 2);
            write::end(&mut tail);
            let before = value.len() - length;
            let (body, skip) = value.into_bytes();
            return Ok(Outgoing { head, body, skip: skip + before, tail });
        }
    }
    let whole = reply(Kind::Return, |out| {
        out.reserve(value.len());
        writer.value(&value, out)
    })?;
    Ok(whole.into())
}

/// A reply that is a text.
pub(super) fn text(kind: Kind, text: &str) -> Vec<u8> {
    reply(kind, |out| {
        write::str(out, text);
        Ok(())
    })
    .unwrap_or_default()
}

/// Writes values and tokens for one server.
pub(super) struct Writer<'a> {
    pub(super) core: &'a Core,
    /// The proxies that values name by number.
    pub(super) carried: &'a [Carried],
}

impl Writer<'_> {
    /// Appends a value.
    pub(super) fn value(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        append_value(bytes, out, &mut |index, out| {
            let carried = self.carried.get(index as usize);
            let entry = carried.and_then(Carried::kept::<Entry>);
            let entry =
                entry.ok_or_else(|| CodecError::other("a proxy of another server's object is none of Python's"))?;
            self.proxy(&entry, out);
            Ok(())
        })
    }

    /// Appends a proxy: `RebuildProxy(class, token, 'pickle', keywords)`.
    fn proxy(&self, entry: &Arc<Entry>, out: &mut Vec<u8>) {
        let proxytype = self.proxytype(entry);
        write::global(out, "multiprocessing.managers", "RebuildProxy");
        write::begin_tuple(out, 4);
        write::global(out, "multiprocessing.managers", proxytype);
        self.token(entry, out);
        write::str(out, "pickle");
        write::begin_dict(out);
        if proxytype == "AutoProxy" {
            write::str(out, "exposed");
            self.exposed(entry, out);
        }
        write::end_dict(out);
        write::end_tuple(out, 4);
        write::call(out);
    }

    fn proxytype(&self, entry: &Entry) -> &'static str {
        self.core.table.registry().face(entry.class()).map_or("AutoProxy", |face| face.proxytype())
    }

    /// Appends a token: an instance of `Token`, and its state.
    pub(super) fn token(&self, entry: &Entry, out: &mut Vec<u8>) {
        write::global(out, "multiprocessing.managers", "Token");
        write::end_tuple(out, 0);
        write::new(out);
        write::begin_tuple(out, 3);
        write::str(out, entry.class().typeid());
        self.address(out);
        write::str(out, &ident(&self.core.table, entry.id()));
        write::end_tuple(out, 3);
        write::build(out);
    }

    /// Appends the server's address as Python has it.
    fn address(&self, out: &mut Vec<u8>) {
        match self.core.address() {
            Address::Unix(path) => write::str(out, &path.to_string_lossy()),
            Address::Abstract(name) => write::bytes(out, &[&[0], &name[..]].concat()),
            Address::Tcp { host, port } => {
                write::str(out, host);
                write::int(out, i64::from(*port));
                write::end_tuple(out, 2);
            }
        }
    }

    /// Appends the names of the methods that may be called.
    pub(super) fn exposed(&self, entry: &Entry, out: &mut Vec<u8>) {
        let names = exposed(&self.core.table, entry);
        write::begin_tuple(out, names.len());
        names.iter().for_each(|name| write::str(out, name));
        write::end_tuple(out, names.len());
    }

    /// Appends an instance of a class whose attributes are a dict.
    pub(super) fn instance(
        &self,
        module: &str,
        class: &str,
        attributes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        write::global(out, module, class);
        write::end_tuple(out, 0);
        write::new(out);
        self.value(attributes, out)?;
        write::build(out);
        Ok(())
    }

    /// Appends an exception: a call of its class, and its attributes.
    pub(super) fn exception(&self, exception: &Exception, out: &mut Vec<u8>) -> Result<(), CodecError> {
        match (&*exception.module, &*exception.class) {
            ("queue", "ShutDown") => shut_down(out),
            (module, class) => write::global(out, module, class),
        }
        write::begin_tuple(out, exception.arguments.len());
        exception.arguments.iter().try_for_each(|argument| self.value(argument, out))?;
        write::end_tuple(out, exception.arguments.len());
        write::call(out);
        if !exception.attributes.is_empty() {
            write::begin_dict(out);
            for (name, value) in &exception.attributes {
                write::str(out, name);
                self.value(value, out)?;
            }
            write::end_dict(out);
            write::build(out);
        }
        Ok(())
    }
}

/// Appends the class `queue.ShutDown`, or `_queue.Empty` where there is none: clients of 3.12, which does not have it, can't be told from those of 3.13, which does. So it is looked for where it is needed:
/// `getattr(importlib.import_module('queue'), 'ShutDown', _queue.Empty)`.
fn shut_down(out: &mut Vec<u8>) {
    write::global(out, "builtins", "getattr");
    write::begin_tuple(out, 3);
    write::global(out, "importlib", "import_module");
    write::begin_tuple(out, 1);
    write::str(out, "queue");
    write::end_tuple(out, 1);
    write::call(out);
    write::str(out, "ShutDown");
    write::global(out, "_queue", "Empty");
    write::end_tuple(out, 3);
    write::call(out);
}

/// The names of the methods that may be called.
pub(super) fn exposed(table: &Table, entry: &Entry) -> Vec<String> {
    match table.registry().face(entry.class()) {
        Some(face) => face.exposed().iter().map(ToString::to_string).collect(),
        None => entry.class().exposed(),
    }
}

/// A value as Python prints it.
pub(super) fn shown(bytes: &[u8]) -> String {
    value::display(bytes).to_string()
}
