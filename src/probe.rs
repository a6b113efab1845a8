//! For fuzzers and tests that stand outside of the crate: strangers' bytes, through readers that users never call. No part of the interface, and no promise.

use crate::codec::pickle::{Graph, Translation, append_value, write};
use crate::codec::{CodecError, Value, value};

/// Runs a pickle, and no more. Whether it is one.
pub fn graph(bytes: &[u8]) -> bool {
    Graph::read(bytes).is_ok()
}

/// Reads a pickle, and what it stands for. Whether that could be done.
pub fn value(bytes: &[u8]) -> bool {
    to_value(bytes).is_ok()
}

/// Reads a pickle, writes what it stands for as another, and reads that. Whether it was one.
///
/// # Panics
/// Where what comes back is something else.
pub fn round_trip(bytes: &[u8]) -> bool {
    let Ok(first) = to_value(bytes) else { return false };
    assert!(Value::from_bytes(&first).is_ok(), "a pickle turned into what is no value");
    let mut again = Vec::new();
    write::begin(&mut again);
    let written =
        append_value(&first, &mut again, &mut |index, _| Err(CodecError::other(format_args!("proxy {index}"))));
    assert!(written.is_ok(), "{written:?}");
    write::end(&mut again);
    let second = to_value(&again).unwrap_or_default();
    assert!(value::canonical(&second).ok() == value::canonical(&first).ok(), "{}", value::display(&first));
    true
}

fn to_value(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let graph = Graph::read(bytes)?;
    let mut out = Vec::new();
    Translation::new(&graph, &mut |_| None).append(graph.root(), &mut out)?;
    Ok(out)
}
