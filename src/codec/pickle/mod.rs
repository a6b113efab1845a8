//! `codec/pickle`: what Python's programs send, turned into [`value`](super::value) and back, at the edge of a session with one of them.
//!
//! Protocols 0 to 5 are read, 4 is written. A pickle is a little program that builds objects; here it builds a [`Graph`] of plain data and of names, and *nothing is ever executed or
//! imported*. Plain data (None, bool, int of any size, float, complex, str, bytes, tuple, list, dict, set, frozenset) becomes the value that it is. Everything else, a program's own
//! classes and what only looks plain (a bytearray, a str with lone surrogates, a list that holds itself, nesting beyond [`MAX_LEVELS`]), is
//! carried as it came: an opaque value `pickle:module.Class` whose contents are the object's own pickle, rewritten so that equal objects have equal bytes and that it can be put
//! into any other pickle as it is. So a server that knows no class keeps instances of all, and gives them back equal.
//!
//! Proxies, which Python pickles as calls of `RebuildProxy` with a `Token`, become the proxies of `codec/value`: whoever asks for the translation says which tokens he knows. A proxy inside
//! an *opaque* object stays part of its bytes; beside them stands a proxy of its own, which keeps alive what it names: such an object is a tuple of an opaque value ([`HOLDER`]) and these.
//!
//! | file | holds |
//! | --- | --- |
//! | `opcode.rs` | the alphabet |
//! | `reader.rs` | bytes → graph, with `text.rs` for the forms of protocol 0 and `names.rs` for those of Python 2 |
//! | `graph.rs` | what a pickle builds |
//! | `to_value.rs` | graph → `codec/value` |
//! | `object.rs` | graph → a pickle of its own |
//! | `from_value.rs` | `codec/value` → pickle |
//! | `write.rs` | single things, appended to a pickle |
//!
//! # Security
//! - Bytes are untrusted: any end in a graph or in a [`CodecError`](super::CodecError). The memory of a graph is at most 200 bytes for each byte read, while the vector of its nodes moves (`tests/pickle_memory.rs` measures it).
//! - A memo lets few bytes stand for much (the pickle of a list of lists of the same list): a translation may grow to [`MAX_GROWTH`] bytes or four times its source, whichever is more, and ends
//!   with an error beyond.

mod from_value;
mod graph;
mod names;
mod object;
pub mod opcode;
mod reader;
#[cfg(test)]
mod tests;
mod text;
mod to_value;
pub mod write;

pub use super::value::parts::HOLDER;
pub use from_value::append_value;
pub use graph::{Effect, Graph, Id, Make, Node};
pub use to_value::{ProxyName, Translation};

/// What begins the kind of an opaque value that is a pickled object.
pub const KIND: &str = "pickle:";

/// How large a translation may always get, in bytes: 256 MiB; less in tests and fuzzers, which are to come to their end.
const MAX_GROWTH: usize = if cfg!(any(test, fuzzing)) { 4 << 20 } else { 256 << 20 };

/// How deep plain data may nest before it is carried as an opaque object, in levels: less than values may, as they will stand in others.
const MAX_LEVELS: u32 = super::MAX_DEPTH - 28;
