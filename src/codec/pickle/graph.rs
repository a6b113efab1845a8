//! What a pickle builds: plain data and names, with every object that is shared or holds itself in one place.

use std::borrow::Cow;

use super::reader;
use crate::codec::error::CodecError;

/// A node of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(pub(super) u32);

/// One object. Text and bytes are borrowed from the pickle.
#[derive(Debug)]
pub enum Node<'a> {
    /// `None`
    None,
    /// `bool`
    Bool(bool),
    /// `int` of 64 bits
    Int(i64),
    /// `int` beyond: two's complement, little endian
    BigInt(Cow<'a, [u8]>),
    /// `float`
    Float(f64),
    /// `str`
    Str(Cow<'a, str>),
    /// `str` with lone surrogates, as `surrogatepass` encodes it
    Surrogates(Cow<'a, [u8]>),
    /// `bytes`
    Bytes(Cow<'a, [u8]>),
    /// `bytearray`
    ByteArray(Cow<'a, [u8]>),
    /// `tuple`
    Tuple(Vec<Id>),
    /// `list`
    List(Vec<Id>),
    /// `dict`, in its order
    Dict(Vec<(Id, Id)>),
    /// `set`
    Set(Vec<Id>),
    /// `frozenset`
    FrozenSet(Vec<Id>),
    /// A name of a module's.
    Global(Cow<'a, str>, Cow<'a, str>),
    /// Anything else.
    Object(Box<Object>),
}

/// An object of any class: how it is made, and what is done to it then.
#[derive(Debug)]
pub struct Object {
    /// How it is made.
    pub make: Make,
    /// What is done to it, in order.
    pub effects: Vec<Effect>,
}

/// How an object is made.
#[derive(Debug, Clone, Copy)]
pub enum Make {
    /// `function(*arguments)`
    Call(Id, Id),
    /// `class.__new__(class, *arguments)`
    New(Id, Id),
    /// `class.__new__(class, *arguments, **keywords)`
    NewWith(Id, Id, Id),
}

/// What is done to an object.
#[derive(Debug, Clone, Copy)]
pub enum Effect {
    /// `append(element)`
    Append(Id),
    /// `self[key] = value`
    Item(Id, Id),
    /// `add(element)`
    Add(Id),
    /// `__setstate__(state)`, or an update of its attributes
    State(Id),
    /// A call that has the object as its first argument, and whose result nobody uses.
    Called(Id),
}

/// What a pickle has built.
#[derive(Debug)]
pub struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) root: Id,
    /// How many bytes it was read from.
    pub(super) source: usize,
}

impl<'a> Graph<'a> {
    /// Runs a pickle, as far as that means putting things together.
    ///
    /// # Errors
    /// Where `bytes` are no pickle, are cut off, go on behind their end, or use what only the two sides of one program can agree on (persistent ids, the extension registry,
    /// buffers beside the pickle).
    pub fn read(bytes: &'a [u8]) -> Result<Self, CodecError> {
        reader::read(bytes)
    }

    /// What the whole pickle stands for.
    pub fn root(&self) -> Id {
        self.root
    }

    /// One object.
    pub fn get(&self, id: Id) -> &Node<'a> {
        &self.nodes[id.0 as usize]
    }

    /// What stands directly below an object.
    pub(super) fn for_each_below(&self, id: Id, mut visit: impl FnMut(Id)) {
        match self.get(id) {
            Node::Tuple(elements) | Node::List(elements) | Node::Set(elements) | Node::FrozenSet(elements) => {
                elements.iter().copied().for_each(visit);
            }
            Node::Dict(items) => items.iter().flat_map(|(key, value)| [*key, *value]).for_each(visit),
            Node::Object(object) => {
                match object.make {
                    Make::Call(callee, arguments) | Make::New(callee, arguments) => {
                        [callee, arguments].into_iter().for_each(&mut visit);
                    }
                    Make::NewWith(class, arguments, keywords) => {
                        [class, arguments, keywords].into_iter().for_each(&mut visit);
                    }
                }
                for effect in &object.effects {
                    match *effect {
                        Effect::Append(id) | Effect::Add(id) | Effect::State(id) | Effect::Called(id) => visit(id),
                        Effect::Item(key, value) => [key, value].into_iter().for_each(&mut visit),
                    }
                }
            }
            _ => {}
        }
    }

    /// A str's text.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Node::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A tuple's elements.
    pub fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Node::Tuple(elements) => Some(elements),
            _ => None,
        }
    }

    /// Module and name of a global.
    pub fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.get(id) {
            Node::Global(module, name) => Some((module, name)),
            _ => None,
        }
    }

    /// Module, name, and arguments of an object that a call of a global makes, if nothing else is done to it.
    pub fn call(&self, id: Id) -> Option<(&str, &str, &[Id])> {
        let Node::Object(object) = self.get(id) else { return None };
        let (Make::Call(function, arguments), []) = (object.make, &object.effects[..]) else { return None };
        let (module, name) = self.global(function)?;
        Some((module, name, self.tuple(arguments)?))
    }

    /// What to call the class of an object: `module.Class`, as far as it can be told.
    pub fn class(&self, id: Id) -> Cow<'_, str> {
        match self.get(id) {
            Node::None => "NoneType".into(),
            Node::Bool(_) => "bool".into(),
            Node::Int(_) | Node::BigInt(_) => "int".into(),
            Node::Float(_) => "float".into(),
            Node::Str(_) | Node::Surrogates(_) => "str".into(),
            Node::Bytes(_) => "bytes".into(),
            Node::ByteArray(_) => "bytearray".into(),
            Node::Tuple(_) => "tuple".into(),
            Node::List(_) => "list".into(),
            Node::Dict(_) => "dict".into(),
            Node::Set(_) => "set".into(),
            Node::FrozenSet(_) => "frozenset".into(),
            Node::Global(module, name) => format!("{module}.{name}").into(),
            Node::Object(object) => {
                let (Make::Call(class, arguments) | Make::New(class, arguments) | Make::NewWith(class, arguments, _)) =
                    object.make;
                // `copyreg.__reduce_ex__` and the like make an instance of the class that is their first argument.
                let made = match (self.global(class), self.tuple(arguments)) {
                    (Some(("copyreg", _)), Some([first, ..])) => *first,
                    _ => class,
                };
                match self.global(made) {
                    Some((module, name)) => format!("{module}.{name}").into(),
                    None => "object".into(),
                }
            }
        }
    }
}
