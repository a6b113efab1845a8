//! Requests and replies: pickles of `(ident, method, arguments, keywords)` and of `(kind, payload)`.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::exception::Exception;
use super::link::{Link, settled};
use super::reference::Reference;
use crate::codec::pickle::{Graph, Id, Node, ProxyName, Translation, append_value, write};
use crate::codec::value::{Block, BlockKind, Blocked};
use crate::codec::{self, Codec, CodecError};
use crate::error::{Error, Result};
use crate::protocol::carriage::{self, Carried, Keep};

/// A request, before it is pickled.
pub struct Request<'a> {
    /// Which object; `None` for the server itself.
    pub ident: Option<&'a str>,
    pub method: &'a str,
    /// Values.
    pub arguments: &'a [&'a [u8]],
    pub keywords: &'a [(&'a str, &'a [u8])],
    /// The proxies in them.
    pub carried: &'a [Carried],
}

/// A str as a value.
pub fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A str can always be written.
    let _ = codec::encode(Codec::Value, text, &mut bytes);
    bytes
}

impl<'a> Request<'a> {
    /// A question to the server itself.
    pub fn plain(method: &'a str) -> Self {
        Self { ident: None, method, arguments: &[], keywords: &[], carried: &[] }
    }

    /// As it is sent.
    pub fn pickle(&self, link: &Link) -> Result<Vec<u8>> {
        let size = self.arguments.iter().map(|argument| argument.len()).sum::<usize>() + 128;
        let mut out = Vec::with_capacity(size);
        self.append(link, &mut out)
            .map_err(|error| Error::Unserializable { type_name: self.method.to_owned(), reason: error.to_string() })?;
        Ok(out)
    }

    fn append(&self, link: &Link, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let value = |bytes: &[u8], out: &mut Vec<u8>| {
            append_value(bytes, out, &mut |index, out| {
                let reference = self.carried.get(index as usize).and_then(Carried::kept::<Reference>);
                let reference = reference.filter(|reference| reference.token().server == link.server());
                let reference = reference.ok_or_else(|| {
                    CodecError::other("a proxy of another server's object can't be sent to a server of Python's")
                })?;
                reference.ensure_counted().map_err(CodecError::other)?;
                reference.append(out);
                Ok(())
            })
        };
        write::begin(out);
        write::begin_tuple(out, 4);
        match self.ident {
            Some(ident) => write::str(out, ident),
            None => write::none(out),
        }
        write::str(out, self.method);
        write::begin_tuple(out, self.arguments.len());
        self.arguments.iter().try_for_each(|argument| value(argument, out))?;
        write::end_tuple(out, self.arguments.len());
        write::begin_dict(out);
        self.keywords.iter().try_for_each(|(name, keyword)| {
            write::str(out, name);
            value(keyword, out)
        })?;
        write::end_dict(out);
        write::end_tuple(out, 4);
        write::end(out);
        Ok(())
    }
}

/// A result, as a value with the proxies in it.
#[derive(Default)]
pub struct Reply {
    /// The value's bytes.
    pub value: Vec<u8>,
    /// The proxies that it names by number.
    pub carried: Vec<Carried>,
}

impl Reply {
    /// Reads a frame: a result, or an exception.
    pub fn read(frame: &[u8], link: &Arc<Link>) -> Result<std::result::Result<Self, Exception>> {
        let broken = |error: CodecError| Error::protocol(format!("the server's answer can't be read: {error}"));
        let graph = Graph::read(frame).map_err(broken)?;
        let shape = || Error::protocol("the server's answer is no pair of kind and contents");
        let Some(&[kind, payload]) = graph.tuple(graph.root()) else { return Err(shape()) };
        let text = |id: Id| graph.text(id).unwrap_or_default().to_owned();
        match graph.text(kind).ok_or_else(shape)? {
            "#RETURN" => Self::translate(&graph, payload, link).map(Ok),
            "#PROXY" => {
                let Some(&[_, token]) = graph.tuple(payload) else { return Err(shape()) };
                let name = ProxyName::of_token(&graph, token).ok_or_else(shape)?;
                // The server has counted one for the reply, which is given back when there is another.
                let reference = Reference::take(link, name.typeid, name.id)?;
                let ident = self::text(name.id);
                settled(link.ask(&Request { arguments: &[&ident], ..Request::plain("decref") })?)?;
                let mut value = Vec::new();
                codec::value::write_proxy(0, &mut value);
                Ok(Ok(Self { value, carried: vec![carried(&reference)] }))
            }
            "#ERROR" => Ok(Err(Exception::read(&graph, payload))),
            "#TRACEBACK" => Ok(Err(Exception::of_server(text(payload)))),
            "#UNSERIALIZABLE" => {
                Err(Error::Unserializable { type_name: "the method's result".to_owned(), reason: text(payload) })
            }
            other => Err(Error::protocol(format!("the server's answer is of an unknown kind {other:?}"))),
        }
    }

    fn translate(graph: &Graph<'_>, id: Id, link: &Arc<Link>) -> Result<Self> {
        // What a dict's `keys` and the like come as.
        let id = match graph.call(id) {
            Some(("builtins", "list", &[elements])) => elements,
            _ => id,
        };
        let mut value = Vec::new();
        if numbers(graph, id, &mut value) {
            return Ok(Self { value, carried: Vec::new() });
        }
        let mut names: Vec<(String, String)> = Vec::new();
        let mut known = |name: &ProxyName<'_>| {
            names.push((name.typeid.to_owned(), name.id.to_owned()));
            u32::try_from(names.len() - 1).ok()
        };
        let translated = Translation::new(graph, &mut known).append(id, &mut value);
        translated.map_err(|error| Error::protocol(error.to_string()))?;
        let carried = names.iter().map(|(typeid, ident)| Ok(carried(&Reference::take(link, typeid, ident)?)));
        Ok(Self { value, carried: carried.collect::<Result<_>>()? })
    }

    /// As a Rust value.
    pub fn decode<R: DeserializeOwned>(&self) -> Result<R> {
        let decoded = carriage::incoming(&self.carried, || codec::decode(Codec::Value, &self.value));
        decoded.map_err(Error::unserializable::<R>)
    }
}

fn carried(reference: &Arc<Reference>) -> Carried {
    Carried { token: reference.token().clone(), ticket: None, keep: Some(Arc::clone(reference) as Arc<dyn Keep>) }
}

/// Writes a whole `array.array` as the list of numbers that it is; false for anything else.
fn numbers(graph: &Graph<'_>, id: Id, out: &mut Vec<u8>) -> bool {
    let Some(("array", "array", [typecode, contents])) = graph.call(id) else { return false };
    let (Some(typecode), Node::Bytes(raw)) = (graph.text(*typecode), graph.get(*contents)) else { return false };
    let Some(block) = kind(typecode).and_then(|kind| Block::new(kind, raw)) else { return false };
    codec::encode(Codec::Value, &block, out).is_ok()
}

/// The numbers of a typecode of Python's `array`, on Linux.
fn kind(typecode: &str) -> Option<BlockKind> {
    Some(match typecode {
        "b" => i8::KIND,
        "B" => u8::KIND,
        "h" => i16::KIND,
        "H" => u16::KIND,
        "i" => i32::KIND,
        "I" => u32::KIND,
        "l" | "q" => i64::KIND,
        "L" | "Q" => u64::KIND,
        "f" => f32::KIND,
        "d" => f64::KIND,
        _ => return None,
    })
}
