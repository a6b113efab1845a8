//! A graph as a value: plain data as what it is, everything else as an opaque object.

use rustc_hash::FxHashSet;

use super::graph::{Effect, Graph, Id, Make, Node};
use super::{HOLDER, KIND, MAX_GROWTH, MAX_LEVELS, object};
use crate::codec::error::CodecError;
use crate::codec::value::tag::Family;
use crate::codec::value::{self, write};

/// The module of everything that belongs to the protocol itself.
const MANAGERS: &str = "multiprocessing.managers";

/// A proxy in a pickle.
#[derive(Debug, Clone, Copy)]
pub struct ProxyName<'g> {
    /// The name that its type is registered under.
    pub typeid: &'g str,
    /// What its server calls it.
    pub id: &'g str,
}

impl<'g> ProxyName<'g> {
    /// The proxy that an object of the graph is: `RebuildProxy(class, token, serializer, keywords)`.
    fn of(graph: &'g Graph<'_>, id: Id) -> Option<Self> {
        match graph.call(id)? {
            (MANAGERS, "RebuildProxy", [_, token, _, _]) => Self::of_token(graph, *token),
            _ => None,
        }
    }

    /// What a token names: an instance of `Token`, whose state is typeid, address and id.
    pub fn of_token(graph: &'g Graph<'_>, id: Id) -> Option<Self> {
        let Node::Object(token) = graph.get(id) else { return None };
        let (Make::New(class, _), [Effect::State(state)]) = (token.make, &token.effects[..]) else { return None };
        match (graph.global(class)?, graph.tuple(*state)?) {
            ((MANAGERS, "Token"), [typeid, _, id]) => Some(Self { typeid: graph.text(*typeid)?, id: graph.text(*id)? }),
            _ => None,
        }
    }
}

/// Translates the objects of one graph.
pub struct Translation<'t, 'a> {
    graph: &'t Graph<'a>,
    /// The index of a proxy among the tokens beside the value; `None` for one that is to stay an object.
    proxies: &'t mut dyn FnMut(&ProxyName<'_>) -> Option<u32>,
    /// The containers around what is being written.
    path: Vec<Id>,
    /// How much work may still be done: about a byte each.
    budget: usize,
    /// Whether there are any proxies at all.
    has_proxies: bool,
}

/// Why something is not written.
enum Stop {
    /// The object holds itself: it can only be carried whole.
    Circle(Id),
    Error(CodecError),
}

impl From<CodecError> for Stop {
    fn from(error: CodecError) -> Self {
        Self::Error(error)
    }
}

impl<'t, 'a> Translation<'t, 'a> {
    /// A translation of parts of `graph`.
    pub fn new(graph: &'t Graph<'a>, proxies: &'t mut dyn FnMut(&ProxyName<'_>) -> Option<u32>) -> Self {
        let budget = MAX_GROWTH.max(graph.source.saturating_mul(4));
        let rebuilds = |node: &Node<'_>| matches!(node, Node::Global(module, name) if module == MANAGERS && name == "RebuildProxy");
        let has_proxies = graph.nodes.iter().any(rebuilds);
        Self { graph, proxies, path: Vec::new(), budget, has_proxies }
    }

    /// Appends an object as a value.
    ///
    /// # Errors
    /// Where it grows beyond all measure, since few bytes of a pickle may stand for very many. What `out` holds then means nothing.
    pub fn append(&mut self, id: Id, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.path.clear();
        match self.translate(id, out) {
            Ok(()) => Ok(()),
            Err(Stop::Error(error)) => Err(error),
            // Whoever closes a circle is on the path, and takes it.
            Err(Stop::Circle(_)) => Err(CodecError::other("the value holds itself")),
        }
    }

    fn spend(&mut self, cost: usize) -> Result<(), CodecError> {
        self.budget = self.budget.checked_sub(cost).ok_or_else(|| {
            CodecError::other(
                "the value is far larger than its pickle, in which the same objects are used again and again",
            )
        })?;
        Ok(())
    }

    fn translate(&mut self, id: Id, out: &mut Vec<u8>) -> Result<(), Stop> {
        let graph = self.graph;
        match graph.get(id) {
            Node::None => {
                self.spend(1)?;
                out.extend_from_slice(value::NONE);
            }
            Node::Bool(value) => {
                self.spend(1)?;
                write::bool(out, *value);
            }
            Node::Int(value) => {
                self.spend(1)?;
                write::signed(out, *value);
            }
            Node::BigInt(bytes) => {
                self.spend(bytes.len())?;
                write::big_int(out, bytes);
            }
            Node::Float(value) => {
                self.spend(8)?;
                write::float(out, *value);
            }
            Node::Str(text) => {
                self.spend(1 + text.len())?;
                write::str(out, text);
            }
            Node::Bytes(bytes) => {
                self.spend(1 + bytes.len())?;
                write::bytes(out, bytes);
            }
            Node::Tuple(elements) => self.container(id, Family::Tuple, elements, out)?,
            Node::List(elements) => self.container(id, Family::List, elements, out)?,
            Node::Set(elements) => self.container(id, Family::Set, elements, out)?,
            Node::FrozenSet(elements) => self.container(id, Family::FrozenSet, elements, out)?,
            Node::Dict(items) => self.dict(id, items, out)?,
            Node::Object(_) => match (self.proxy(id), self.complex(id)) {
                (Some(index), _) => write::proxy(out, index),
                (_, Some((real, imaginary))) => write::complex(out, real, imaginary),
                _ => self.opaque(id, out)?,
            },
            Node::Surrogates(_) | Node::ByteArray(_) | Node::Global(..) => self.opaque(id, out)?,
        }
        Ok(())
    }

    fn proxy(&mut self, id: Id) -> Option<u32> {
        (self.proxies)(&ProxyName::of(self.graph, id)?)
    }

    fn complex(&self, id: Id) -> Option<(f64, f64)> {
        let ("builtins", "complex", [real, imaginary]) = self.graph.call(id)? else { return None };
        match (self.graph.get(*real), self.graph.get(*imaginary)) {
            (Node::Float(real), Node::Float(imaginary)) => Some((*real, *imaginary)),
            _ => None,
        }
    }

    fn container(&mut self, id: Id, family: Family, elements: &[Id], out: &mut Vec<u8>) -> Result<(), Stop> {
        self.around(id, out, |this, out| {
            write::header(out, family, elements.len());
            elements.iter().try_for_each(|element| this.translate(*element, out))
        })
    }

    fn dict(&mut self, id: Id, items: &[(Id, Id)], out: &mut Vec<u8>) -> Result<(), Stop> {
        self.around(id, out, |this, out| {
            write::header(out, Family::Map, items.len());
            items.iter().try_for_each(|(key, value)| {
                this.translate(*key, out)?;
                this.translate(*value, out)
            })
        })
    }

    /// Writes a container; or, if it holds itself or nests too deeply, the object that it is.
    fn around(
        &mut self,
        id: Id,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        self.spend(1)?;
        if self.path.contains(&id) {
            return Err(Stop::Circle(id));
        }
        if self.path.len() >= MAX_LEVELS as usize {
            return Ok(self.opaque(id, out)?);
        }
        let start = out.len();
        self.path.push(id);
        let written = write(self, out);
        self.path.pop();
        match written {
            Err(Stop::Circle(whole)) if whole == id => {
                out.truncate(start);
                Ok(self.opaque(id, out)?)
            }
            other => other,
        }
    }

    fn opaque(&mut self, id: Id, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let mut contents = Vec::new();
        object::append(self.graph, id, &mut contents);
        self.spend(contents.len())?;
        let class = self.graph.class(id);
        let held = self.held(id);
        if held.is_empty() {
            write::opaque(out, &format!("{KIND}{class}"), &contents);
            return Ok(());
        }
        write::header(out, Family::Tuple, 1 + held.len());
        write::opaque(out, &format!("{HOLDER}{class}"), &contents);
        held.into_iter().for_each(|index| write::proxy(out, index));
        Ok(())
    }

    /// The proxies inside an object.
    fn held(&mut self, id: Id) -> Vec<u32> {
        if !self.has_proxies {
            return Vec::new();
        }
        let graph = self.graph;
        let (mut seen, mut unseen) = (FxHashSet::default(), vec![id]);
        let mut held = Vec::new();
        while let Some(id) = unseen.pop() {
            if !seen.insert(id) {
                continue;
            }
            match ProxyName::of(graph, id) {
                Some(name) => held.extend((self.proxies)(&name)),
                None => graph.for_each_below(id, |below| unseen.push(below)),
            }
        }
        held
    }
}
