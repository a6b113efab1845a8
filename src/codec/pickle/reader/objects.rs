//! What instructions put together: the machine's last step of each.

use std::borrow::Cow;

use super::super::graph::{Effect, Id, Make, Node, Object};
use super::super::{names, text};
use super::{Machine, wrong};
use crate::codec::error::CodecError;

impl<'a> Machine<'a> {
    pub(super) fn str(&mut self, length: usize) -> Result<(), CodecError> {
        let bytes = self.take(length)?;
        self.push(text::utf8(bytes.into())?)
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<(), CodecError> {
        let bytes = self.take(length)?;
        self.push(Node::Bytes(bytes.into()))
    }

    pub(super) fn long(&mut self, length: usize) -> Result<(), CodecError> {
        let bytes = self.take(length)?;
        let mut wide = if bytes.last().is_some_and(|last| *last >= 0x80) { [0xff; 8] } else { [0; 8] };
        match wide.get_mut(..length) {
            Some(low) => {
                low.copy_from_slice(bytes);
                self.push(Node::Int(i64::from_le_bytes(wide)))
            }
            None => self.push(Node::BigInt(bytes.into())),
        }
    }

    pub(super) fn tuple_of(&mut self, count: usize) -> Result<(), CodecError> {
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= self.floor());
        let start = start.ok_or_else(|| wrong("takes what is not there"))?;
        let elements = self.stack.split_off(start);
        self.push(Node::Tuple(elements))
    }

    pub(super) fn global(&mut self, module: Cow<'a, str>, name: Cow<'a, str>) -> Result<(), CodecError> {
        if self.old {
            let (new_module, new_name) = names::modern(&module, &name);
            let node = Node::Global(new_module.to_owned().into(), new_name.to_owned().into());
            return self.push(node);
        }
        self.push(Node::Global(module, name))
    }

    pub(super) fn make(&mut self, make: Make) -> Result<(), CodecError> {
        self.push(Node::Object(Box::new(Object { make, effects: Vec::new() })))
    }

    /// An instance by the instructions of protocols 0 and 1; its class is on the stack.
    pub(super) fn instance(&mut self, arguments: Vec<Id>) -> Result<(), CodecError> {
        let class = self.pop()?;
        self.push(Node::Tuple(arguments))?;
        let arguments = self.pop()?;
        self.make(Make::Call(class, arguments))
    }

    pub(super) fn expect_tuple(&self, id: Id) -> Result<(), CodecError> {
        match self.node(id) {
            Node::Tuple(_) => Ok(()),
            _ => Err(wrong("calls something with arguments that are no tuple")),
        }
    }

    /// What a call makes: plain data where it is known to make some.
    pub(super) fn reduce(&mut self, function: Id, arguments: Id) -> Result<Node<'a>, CodecError> {
        let object = || Node::Object(Box::new(Object { make: Make::Call(function, arguments), effects: Vec::new() }));
        let Node::Tuple(given) = self.node(arguments) else {
            return Err(wrong("calls something with arguments that are no tuple"));
        };
        let Node::Global(module, name) = self.node(function) else { return Ok(object()) };
        let plain = match (&**module, &**name, &given[..]) {
            ("builtins", "set", [elements]) => self.list(*elements).map(Node::Set),
            ("builtins", "frozenset", [elements]) => self.list(*elements).map(Node::FrozenSet),
            ("builtins", "set", []) => Some(Node::Set(Vec::new())),
            ("builtins", "frozenset", []) => Some(Node::FrozenSet(Vec::new())),
            ("builtins", "bytes", []) => Some(Node::Bytes((&[]).into())),
            ("builtins", "bytearray", []) => Some(Node::ByteArray((&[]).into())),
            ("builtins", "bytearray", [bytes]) => match self.node(*bytes) {
                Node::Bytes(bytes) => Some(Node::ByteArray(bytes.clone())),
                _ => None,
            },
            ("builtins", "bytearray", [text, encoding]) => {
                self.latin1(*text, *encoding).map(|bytes| Node::ByteArray(bytes.into()))
            }
            ("_codecs", "encode", [text, encoding]) => {
                self.latin1(*text, *encoding).map(|bytes| Node::Bytes(bytes.into()))
            }
            _ => None,
        };
        let Some(plain) = plain else { return Ok(object()) };
        let copied = match &plain {
            Node::Set(elements) | Node::FrozenSet(elements) => elements.len(),
            Node::Bytes(Cow::Owned(bytes)) | Node::ByteArray(Cow::Owned(bytes)) => bytes.len(),
            _ => 0,
        };
        match self.copies.checked_sub(copied) {
            Some(left) => {
                self.copies = left;
                Ok(plain)
            }
            None => Ok(object()),
        }
    }

    fn list(&self, id: Id) -> Option<Vec<Id>> {
        match self.node(id) {
            Node::List(elements) if elements.len() <= self.copies => Some(elements.clone()),
            _ => None,
        }
    }

    fn latin1(&self, text: Id, encoding: Id) -> Option<Vec<u8>> {
        match (self.node(text), self.node(encoding)) {
            (Node::Str(text), Node::Str(encoding)) if matches!(&**encoding, "latin1" | "latin-1") => text::latin1(text),
            _ => None,
        }
    }

    pub(super) fn append(&mut self, elements: &[Id]) -> Result<(), CodecError> {
        let top = self.top()?;
        match &mut self.nodes[top.0 as usize] {
            Node::List(list) => {
                list.extend_from_slice(elements);
                Ok(())
            }
            Node::Object(object) => {
                object.effects.extend(elements.iter().map(|element| Effect::Append(*element)));
                Ok(())
            }
            _ => Err(wrong("appends to what is no list")),
        }
    }

    pub(super) fn set_items(&mut self, items: &[Id]) -> Result<(), CodecError> {
        let (pairs, []) = items.as_chunks() else { return Err(wrong("has a key without a value")) };
        let top = self.top()?;
        match &mut self.nodes[top.0 as usize] {
            Node::Dict(dict) => dict.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            Node::Object(object) => {
                object.effects.extend(pairs.iter().map(|[key, value]| Effect::Item(*key, *value)));
            }
            _ => return Err(wrong("sets an item of what is no dict")),
        }
        Ok(())
    }

    pub(super) fn add(&mut self, elements: &[Id]) -> Result<(), CodecError> {
        let top = self.top()?;
        match &mut self.nodes[top.0 as usize] {
            Node::Set(set) => set.extend_from_slice(elements),
            Node::Object(object) => object.effects.extend(elements.iter().map(|element| Effect::Add(*element))),
            _ => return Err(wrong("adds to what is no set")),
        }
        Ok(())
    }

    pub(super) fn affect(&mut self, effects: &[Effect], what: &str) -> Result<(), CodecError> {
        let top = self.top()?;
        match &mut self.nodes[top.0 as usize] {
            Node::Object(object) => {
                object.effects.extend_from_slice(effects);
                Ok(())
            }
            _ => Err(wrong(format_args!("{what} what has none"))),
        }
    }
}
