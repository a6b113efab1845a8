//! The proxies inside a value: found, and renumbered, without a look at the rest.

use super::reader::{Head, Reader};
use super::write;
use crate::codec::error::CodecError;

/// Copies a value to `out`, with what `proxy` writes in place of each proxy; `proxy` is told the proxy's index.
///
/// # Errors
/// Where `bytes` are not one value, or `proxy` fails.
pub fn replace_proxies(
    bytes: &[u8],
    out: &mut Vec<u8>,
    mut proxy: impl FnMut(u32, &mut Vec<u8>) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let mut reader = Reader::new(bytes);
    let at = |reader: &Reader<'_>| bytes.len() - reader.rest().len();
    // What has been read but not copied begins here.
    let mut copied = 0;
    let mut left = 1_usize;
    while left > 0 {
        left -= 1;
        let start = at(&reader);
        match reader.head()? {
            Head::Container(family, count) => left += count * family.values_per_entry(),
            Head::Proxy(index) => {
                out.extend_from_slice(&bytes[copied..start]);
                copied = at(&reader);
                proxy(index, out)?;
            }
            _ => {}
        }
    }
    out.extend_from_slice(&bytes[copied..at(&reader)]);
    reader.finish()
}

/// Appends a proxy of that index.
pub fn write_proxy(index: u32, out: &mut Vec<u8>) {
    write::proxy(out, index);
}

/// Appends what stands for an object where values are compared: the same for all proxies of it, and for nothing else.
pub fn write_identity(object: u64, out: &mut Vec<u8>) {
    write::opaque(out, "proxy", &object.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Value;

    #[test]
    fn proxies_at_any_depth_are_renumbered_and_all_else_is_left() {
        let value = |a, b| {
            let inner = Value::Map(vec![("k".into(), Value::Proxy(a)), (Value::Proxy(b), 1.5.into())]);
            Value::List(vec![1.into(), Value::Tuple(vec![inner, Value::None]), "x".into()])
        };
        let mut out = Vec::new();
        let add = |index: u32, out: &mut Vec<u8>| {
            write_proxy(index + 300, out);
            Ok(())
        };
        replace_proxies(&value(0, 1).to_bytes().unwrap(), &mut out, add).unwrap();
        assert_eq!(out, value(300, 301).to_bytes().unwrap());
    }
}
