//! Runs a pickle: a stack machine whose instructions only put things together.
//!
//! Nothing recurses, and every instruction takes a byte or more, so that a pickle makes at most as many nodes as it has bytes.

mod objects;

use super::graph::{Effect, Graph, Id, Make, Node};
use super::{opcode, text};
use crate::codec::error::{CodecError, Problem};

/// The nodes that every graph begins with, so that these need none of their own.
const NONE: Id = Id(0);
const FALSE: Id = Id(1);
const TRUE: Id = Id(2);
const EMPTY_TUPLE: Id = Id(3);

pub(super) fn read(bytes: &[u8]) -> Result<Graph<'_>, CodecError> {
    let nodes = vec![Node::None, Node::Bool(false), Node::Bool(true), Node::Tuple(Vec::new())];
    let machine = Machine {
        rest: bytes,
        length: bytes.len(),
        nodes,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        old: true,
        copies: bytes.len(),
    };
    machine.run()
}

struct Machine<'a> {
    rest: &'a [u8],
    /// Of all bytes.
    length: usize,
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    /// `None` where nothing was put.
    memo: Vec<Option<Id>>,
    /// Whether names are Python 2's.
    old: bool,
    /// How much plain data may still be copied out of other objects: what shares one list must not make many of it.
    copies: usize,
}

#[cold]
fn wrong(what: impl std::fmt::Display) -> CodecError {
    CodecError::other(format_args!("the pickle {what}"))
}

impl<'a> Machine<'a> {
    fn run(mut self) -> Result<Graph<'a>, CodecError> {
        loop {
            let [instruction] = self.array()?;
            if instruction == opcode::STOP {
                break;
            }
            self.step(instruction)?;
        }
        let root = self.pop()?;
        match self.rest.len() {
            0 => Ok(Graph { nodes: self.nodes, root, source: self.length }),
            left => Err(Problem::TrailingBytes { left }.into()),
        }
    }

    fn step(&mut self, instruction: u8) -> Result<(), CodecError> {
        match instruction {
            // What CPython itself sends, most of it first.
            opcode::SHORT_BINUNICODE => {
                let [length] = self.array()?;
                self.str(length.into())?;
            }
            opcode::MEMOIZE => {
                let top = self.top()?;
                self.memo.push(Some(top));
            }
            opcode::BINGET => {
                let [place] = self.array()?;
                self.recall(place.into())?;
            }
            opcode::LONG_BINGET => {
                let place = u32::from_le_bytes(self.array()?);
                self.recall(place as usize)?;
            }
            opcode::NONE => self.stack.push(NONE),
            opcode::NEWTRUE => self.stack.push(TRUE),
            opcode::NEWFALSE => self.stack.push(FALSE),
            opcode::BININT1 => {
                let [value] = self.array()?;
                self.push(Node::Int(value.into()))?;
            }
            opcode::BININT2 => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Node::Int(value.into()))?;
            }
            opcode::BININT => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Node::Int(value.into()))?;
            }
            opcode::BINFLOAT => {
                let value = f64::from_be_bytes(self.array()?);
                self.push(Node::Float(value))?;
            }
            opcode::EMPTY_TUPLE => self.stack.push(EMPTY_TUPLE),
            opcode::TUPLE1 => self.tuple_of(1)?,
            opcode::TUPLE2 => self.tuple_of(2)?,
            opcode::TUPLE3 => self.tuple_of(3)?,
            opcode::MARK => self.marks.push(self.stack.len()),
            opcode::TUPLE => {
                let elements = self.pop_mark()?;
                self.push(Node::Tuple(elements))?;
            }
            opcode::EMPTY_LIST => self.push(Node::List(Vec::new()))?,
            opcode::EMPTY_DICT => self.push(Node::Dict(Vec::new()))?,
            opcode::EMPTY_SET => self.push(Node::Set(Vec::new()))?,
            opcode::APPEND => {
                let element = self.pop()?;
                self.append(&[element])?;
            }
            opcode::APPENDS => {
                let elements = self.pop_mark()?;
                self.append(&elements)?;
            }
            opcode::SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])?;
            }
            opcode::SETITEMS => {
                let items = self.pop_mark()?;
                self.set_items(&items)?;
            }
            opcode::ADDITEMS => {
                let elements = self.pop_mark()?;
                self.add(&elements)?;
            }
            opcode::FROZENSET => {
                let elements = self.pop_mark()?;
                self.push(Node::FrozenSet(elements))?;
            }
            opcode::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.node(module), self.node(name)) {
                    (Node::Str(module), Node::Str(name)) => {
                        let (module, name) = (module.clone(), name.clone());
                        self.global(module, name)?;
                    }
                    _ => return Err(wrong("names a global by something that is no str")),
                }
            }
            opcode::REDUCE => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let reduced = self.reduce(function, arguments)?;
                self.push(reduced)?;
            }
            opcode::NEWOBJ => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                self.expect_tuple(arguments)?;
                self.make(Make::New(class, arguments))?;
            }
            opcode::NEWOBJ_EX => {
                let (keywords, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.expect_tuple(arguments)?;
                if !matches!(self.node(keywords), Node::Dict(_)) {
                    return Err(wrong("makes an object with keywords that are no dict"));
                }
                self.make(Make::NewWith(class, arguments, keywords))?;
            }
            opcode::BUILD => {
                let state = self.pop()?;
                self.affect(&[Effect::State(state)], "sets the state of")?;
            }
            opcode::SHORT_BINBYTES => {
                let [length] = self.array()?;
                self.bytes(length.into())?;
            }
            opcode::LONG1 => {
                let [length] = self.array()?;
                self.long(length.into())?;
            }
            opcode::LONG4 => {
                let length = self.length4()?;
                self.long(length)?;
            }
            opcode::FRAME => drop(self.array::<8>()?),
            opcode::PROTO => {
                let [protocol] = self.array()?;
                if protocol > 5 {
                    return Err(wrong(format_args!("is of protocol {protocol}; 0 to 5 are known")));
                }
                self.old = protocol < 3;
            }
            _ => self.rare_step(instruction)?,
        }
        Ok(())
    }

    #[cold]
    fn rare_step(&mut self, instruction: u8) -> Result<(), CodecError> {
        match instruction {
            opcode::BINUNICODE => {
                let length = self.length4()?;
                self.str(length)?;
            }
            opcode::BINUNICODE8 => {
                let length = self.length8()?;
                self.str(length)?;
            }
            opcode::BINBYTES => {
                let length = self.length4()?;
                self.bytes(length)?;
            }
            opcode::BINBYTES8 => {
                let length = self.length8()?;
                self.bytes(length)?;
            }
            opcode::BYTEARRAY8 => {
                let length = self.length8()?;
                let bytes = self.take(length)?;
                self.push(Node::ByteArray(bytes.into()))?;
            }
            opcode::POP => self.discard()?,
            opcode::POP_MARK => drop(self.pop_mark()?),
            opcode::DUP => {
                let top = self.top()?;
                self.stack.push(top);
            }
            opcode::LIST => {
                let elements = self.pop_mark()?;
                self.push(Node::List(elements))?;
            }
            opcode::DICT => {
                let items = self.pop_mark()?;
                self.push(Node::Dict(Vec::new()))?;
                self.set_items(&items)?;
            }
            opcode::INT => match self.line()? {
                b"00" => self.stack.push(FALSE),
                b"01" => self.stack.push(TRUE),
                digits => self.push(text::int(digits)?)?,
            },
            opcode::LONG => {
                let digits = self.line()?;
                self.push(text::int(digits.strip_suffix(b"L").unwrap_or(digits))?)?;
            }
            opcode::FLOAT => {
                let line = self.line()?;
                self.push(text::float(line)?)?;
            }
            opcode::STRING => {
                let line = self.line()?;
                self.push(text::quoted(line.trim_ascii_end())?)?;
            }
            opcode::UNICODE => {
                let line = self.line()?;
                self.push(text::raw_unicode(line)?)?;
            }
            opcode::BINSTRING => {
                let length = self.length4()?;
                let bytes = self.take(length)?;
                self.push(text::ascii(bytes.into())?)?;
            }
            opcode::SHORT_BINSTRING => {
                let [length] = self.array()?;
                let bytes = self.take(length.into())?;
                self.push(text::ascii(bytes.into())?)?;
            }
            opcode::GLOBAL => {
                let (module, name) = (self.name()?, self.name()?);
                self.global(module.into(), name.into())?;
            }
            opcode::INST => {
                let (module, name) = (self.name()?, self.name()?);
                let arguments = self.pop_mark()?;
                self.global(module.into(), name.into())?;
                self.instance(arguments)?;
            }
            opcode::OBJ => {
                let mut arguments = self.pop_mark()?;
                if arguments.is_empty() {
                    return Err(wrong("makes an object of no class"));
                }
                self.stack.push(arguments.remove(0));
                self.instance(arguments)?;
            }
            opcode::GET => {
                let place = self.place()?;
                self.recall(place)?;
            }
            opcode::PUT => {
                let place = self.place()?;
                self.put(place)?;
            }
            opcode::BINPUT => {
                let [place] = self.array()?;
                self.put(place.into())?;
            }
            opcode::LONG_BINPUT => {
                let place = u32::from_le_bytes(self.array()?);
                self.put(place as usize)?;
            }
            opcode::PERSID | opcode::BINPERSID => return Err(wrong("names an object by a persistent id")),
            opcode::EXT1 | opcode::EXT2 | opcode::EXT4 => return Err(wrong("uses the extension registry")),
            opcode::NEXT_BUFFER | opcode::READONLY_BUFFER => return Err(wrong("needs a buffer beside it")),
            other => return Err(wrong(format_args!("holds an unknown instruction {other:#04x}"))),
        }
        Ok(())
    }

    // Bytes.

    fn array<const WIDTH: usize>(&mut self) -> Result<[u8; WIDTH], CodecError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return Err(CodecError::unexpected_end(WIDTH - self.rest.len()));
        };
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(length) else {
            return Err(CodecError::unexpected_end(length - self.rest.len()));
        };
        self.rest = rest;
        Ok(bytes)
    }

    fn length4(&mut self) -> Result<usize, CodecError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn length8(&mut self) -> Result<usize, CodecError> {
        let length = u64::from_le_bytes(self.array()?);
        usize::try_from(length).map_err(|_| CodecError::length(length, self.rest.len()))
    }

    fn line(&mut self) -> Result<&'a [u8], CodecError> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| CodecError::unexpected_end(1))?;
        let line = self.take(end)?;
        self.rest = &self.rest[1..];
        Ok(line)
    }

    fn name(&mut self) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.line()?).map_err(|error| Problem::Utf8(error).into())
    }

    fn place(&mut self) -> Result<usize, CodecError> {
        let line = std::str::from_utf8(self.line()?).ok();
        line.and_then(|line| line.trim().parse().ok()).ok_or_else(|| wrong("has a place in its memo that is no number"))
    }

    // The stack.

    fn node(&self, id: Id) -> &Node<'a> {
        &self.nodes[id.0 as usize]
    }

    fn push(&mut self, node: Node<'a>) -> Result<(), CodecError> {
        let id = u32::try_from(self.nodes.len()).map_err(|_| wrong("holds too many objects"))?;
        self.nodes.push(node);
        self.stack.push(Id(id));
        Ok(())
    }

    /// The stack above the last mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, CodecError> {
        if self.stack.len() <= self.floor() {
            return Err(wrong("takes what is not there"));
        }
        self.stack.pop().ok_or_else(|| wrong("takes what is not there"))
    }

    fn top(&self) -> Result<Id, CodecError> {
        let top = self.stack.get(self.floor()..).and_then(<[Id]>::last);
        top.copied().ok_or_else(|| wrong("takes what is not there"))
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, CodecError> {
        let floor = self.marks.pop().ok_or_else(|| wrong("takes what stands behind a mark that is not there"))?;
        Ok(self.stack.split_off(floor))
    }

    /// Drops what is on top: a mark, too. A call that was made for its effect on an object is that object's.
    fn discard(&mut self) -> Result<(), CodecError> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        let dropped = self.pop()?;
        let Node::Object(call) = self.node(dropped) else { return Ok(()) };
        let Make::Call(_, arguments) = call.make else { return Ok(()) };
        let Node::Tuple(arguments) = self.node(arguments) else { return Ok(()) };
        let Some(&object) = arguments.first().filter(|object| **object != dropped) else { return Ok(()) };
        if let Node::Object(object) = &mut self.nodes[object.0 as usize] {
            object.effects.push(Effect::Called(dropped));
        }
        Ok(())
    }

    fn recall(&mut self, place: usize) -> Result<(), CodecError> {
        let id = self.memo.get(place).copied().flatten();
        self.stack.push(id.ok_or_else(|| wrong("recalls what it has not put into its memo"))?);
        Ok(())
    }

    fn put(&mut self, place: usize) -> Result<(), CodecError> {
        let top = self.top()?;
        // Picklers count their places up, so that there are no more than bytes.
        if place > self.length {
            return Err(wrong("has a memo that is larger than itself"));
        }
        if self.memo.len() <= place {
            self.memo.resize(place + 1, None);
        }
        self.memo[place] = Some(top);
        Ok(())
    }
}
