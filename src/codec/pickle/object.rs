//! A part of a graph as a pickle of its own, without its first and last instruction: what an opaque value holds.
//!
//! Two rules make it fit anywhere. Places in the memo are given out from 0 and *put* by number, never counted (`MEMOIZE`), so that several such pickles in one may use the
//! same places one after the other. And equal strings are written once, whether the sender shared them or not, so that equal objects have equal bytes.
//!
//! Nothing recurses: what is still to be written lies on a stack of its own.

use rustc_hash::{FxHashMap, FxHashSet};

use super::graph::{Effect, Graph, Id, Make, Node, Object};
use super::{opcode, write};

/// What is still to be written.
enum Work {
    Save(Id),
    Instruction(u8),
    /// The elements of this tuple or frozenset lie on the reader's stack.
    Close(Id),
    /// What makes this object lies on the reader's stack.
    Made(Id),
}

struct Writer<'g, 'a> {
    graph: &'g Graph<'a>,
    /// Objects that are met more than once.
    shared: FxHashSet<Id>,
    memo: FxHashMap<Id, u32>,
    /// The places of strings, by kind and contents.
    texts: FxHashMap<(bool, &'g [u8]), u32>,
    places: u32,
    out: &'g mut Vec<u8>,
    work: Vec<Work>,
}

/// Appends the object as a pickle.
pub(super) fn append(graph: &Graph<'_>, root: Id, out: &mut Vec<u8>) {
    let mut writer = Writer {
        graph,
        shared: shared(graph, root),
        memo: FxHashMap::default(),
        texts: FxHashMap::default(),
        places: 0,
        out,
        work: vec![Work::Save(root)],
    };
    while let Some(work) = writer.work.pop() {
        match work {
            Work::Save(id) => writer.save(id),
            Work::Instruction(instruction) => writer.out.push(instruction),
            Work::Close(id) => writer.close(id),
            Work::Made(id) => writer.made(id),
        }
    }
}

/// What is met more than once below an object. What stands below *that* counts as met more than once as well: a tuple that holds itself through a list is
/// begun a second time before it is known, and must then find the list in the memo.
fn shared(graph: &Graph<'_>, root: Id) -> FxHashSet<Id> {
    let mut seen = FxHashSet::default();
    let mut shared = FxHashSet::default();
    let mut unseen = vec![root];
    while let Some(id) = unseen.pop() {
        let node = graph.get(id);
        let can_be = match node {
            // In Python there is one empty tuple, and writing it takes no more than recalling it.
            Node::Tuple(elements) | Node::FrozenSet(elements) => !elements.is_empty(),
            Node::List(_) | Node::Set(_) | Node::Dict(_) | Node::Object(_) => true,
            _ => false,
        };
        // Looked into at most twice.
        if !can_be || (!seen.insert(id) && !shared.insert(id)) {
            continue;
        }
        graph.for_each_below(id, |below| unseen.push(below));
    }
    shared
}

impl<'g> Writer<'g, '_> {
    fn save(&mut self, id: Id) {
        if let Some(&place) = self.memo.get(&id) {
            return self.get(place);
        }
        let graph = self.graph;
        match graph.get(id) {
            Node::None => write::none(self.out),
            Node::Bool(value) => write::bool(self.out, *value),
            Node::Int(value) => write::int(self.out, *value),
            Node::BigInt(bytes) => write::big_int(self.out, bytes),
            Node::Float(value) => write::float(self.out, *value),
            Node::Str(text) => self.text(true, text.as_bytes()),
            Node::Surrogates(text) => self.text(true, text),
            Node::Bytes(bytes) => self.text(false, bytes),
            Node::ByteArray(bytes) => {
                write::byte_array(self.out, bytes);
                self.put_shared(id);
            }
            Node::Global(module, name) => {
                self.text(true, module.as_bytes());
                self.text(true, name.as_bytes());
                self.out.push(opcode::STACK_GLOBAL);
            }
            Node::Tuple(elements) => {
                write::begin_tuple(self.out, elements.len());
                self.work.push(Work::Close(id));
                self.save_later(elements);
            }
            Node::FrozenSet(elements) => {
                self.out.push(opcode::MARK);
                self.work.push(Work::Close(id));
                self.save_later(elements);
            }
            Node::List(elements) => self.collection(id, opcode::EMPTY_LIST, opcode::APPENDS, elements),
            Node::Set(elements) => self.collection(id, opcode::EMPTY_SET, opcode::ADDITEMS, elements),
            Node::Dict(items) => {
                let items: Vec<_> = items.iter().flat_map(|(key, value)| [*key, *value]).collect();
                self.collection(id, opcode::EMPTY_DICT, opcode::SETITEMS, &items);
            }
            Node::Object(object) => {
                self.work.push(Work::Made(id));
                match object.make {
                    Make::Call(callee, arguments) | Make::New(callee, arguments) => {
                        self.save_later(&[callee, arguments]);
                    }
                    Make::NewWith(class, arguments, keywords) => self.save_later(&[class, arguments, keywords]),
                }
            }
        }
    }

    fn save_later(&mut self, ids: &[Id]) {
        self.work.extend(ids.iter().rev().map(|id| Work::Save(*id)));
    }

    /// What can hold itself: it is known before its elements are.
    fn collection(&mut self, id: Id, empty: u8, fill: u8, elements: &[Id]) {
        self.out.push(empty);
        self.put_shared(id);
        if !elements.is_empty() {
            self.out.push(opcode::MARK);
            self.work.push(Work::Instruction(fill));
            self.save_later(elements);
        }
    }

    fn close(&mut self, id: Id) {
        let (count, is_tuple) = match self.graph.get(id) {
            Node::Tuple(elements) => (elements.len(), true),
            Node::FrozenSet(elements) => (elements.len(), false),
            _ => return,
        };
        if let Some(&place) = self.memo.get(&id) {
            // One of its elements holds it, and so has made it already.
            match count {
                1..=3 if is_tuple => self.out.extend(std::iter::repeat_n(opcode::POP, count)),
                _ => self.out.push(opcode::POP_MARK),
            }
            return self.get(place);
        }
        if is_tuple {
            write::end_tuple(self.out, count)
        } else {
            self.out.push(opcode::FROZENSET)
        }
        self.put_shared(id);
    }

    fn made(&mut self, id: Id) {
        let graph = self.graph;
        let Node::Object(object) = graph.get(id) else { return };
        self.out.push(match object.make {
            Make::Call(..) => opcode::REDUCE,
            Make::New(..) => opcode::NEWOBJ,
            Make::NewWith(..) => opcode::NEWOBJ_EX,
        });
        if let Some(&place) = self.memo.get(&id) {
            self.out.push(opcode::POP);
            return self.get(place);
        }
        self.put_shared(id);
        self.effects(object);
    }

    fn effects(&mut self, object: &Object) {
        let mut later = Vec::new();
        let mut open = None;
        for effect in &object.effects {
            let fill = match effect {
                Effect::Append(_) => Some(opcode::APPENDS),
                Effect::Item(..) => Some(opcode::SETITEMS),
                Effect::Add(_) => Some(opcode::ADDITEMS),
                Effect::State(_) | Effect::Called(_) => None,
            };
            if fill != open {
                later.extend(open.map(Work::Instruction));
                later.extend(fill.map(|_| Work::Instruction(opcode::MARK)));
                open = fill;
            }
            match *effect {
                Effect::Append(id) | Effect::Add(id) => later.push(Work::Save(id)),
                Effect::Item(key, value) => later.extend([Work::Save(key), Work::Save(value)]),
                Effect::State(id) => later.extend([Work::Save(id), Work::Instruction(opcode::BUILD)]),
                Effect::Called(id) => later.extend([Work::Save(id), Work::Instruction(opcode::POP)]),
            }
        }
        later.extend(open.map(Work::Instruction));
        self.work.extend(later.into_iter().rev());
    }

    fn text(&mut self, is_str: bool, contents: &'g [u8]) {
        if let Some(&place) = self.texts.get(&(is_str, contents)) {
            return self.get(place);
        }
        if is_str {
            write::raw_str(self.out, contents)
        } else {
            write::bytes(self.out, contents)
        }
        let place = self.put();
        self.texts.insert((is_str, contents), place);
    }

    fn put_shared(&mut self, id: Id) {
        if self.shared.contains(&id) {
            let place = self.put();
            self.memo.insert(id, place);
        }
    }

    fn put(&mut self) -> u32 {
        let place = self.places;
        self.places += 1;
        match u8::try_from(place) {
            Ok(place) => self.out.extend_from_slice(&[opcode::BINPUT, place]),
            Err(_) => {
                self.out.push(opcode::LONG_BINPUT);
                self.out.extend_from_slice(&place.to_le_bytes());
            }
        }
        place
    }

    fn get(&mut self, place: u32) {
        match u8::try_from(place) {
            Ok(place) => self.out.extend_from_slice(&[opcode::BINGET, place]),
            Err(_) => {
                self.out.push(opcode::LONG_BINGET);
                self.out.extend_from_slice(&place.to_le_bytes());
            }
        }
    }
}
