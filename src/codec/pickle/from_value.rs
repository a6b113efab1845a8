//! A value as a pickle, straight from bytes to bytes.

use super::{HOLDER, KIND, opcode, write};
use crate::codec::MAX_DEPTH;
use crate::codec::error::CodecError;
use crate::codec::value::number::{Number, widen};
use crate::codec::value::reader::{Head, Reader};
use crate::codec::value::tag::Family;

/// Writes what stands for the proxy of an index.
pub type WriteProxy<'a> = &'a mut dyn FnMut(u32, &mut Vec<u8>) -> Result<(), CodecError>;

/// Appends a value as a pickle, without that pickle's first and last instruction; `proxy` writes what stands for the proxy of each index.
///
/// # Errors
/// Where `bytes` are not one value, or it holds an object of a language that is not Python; `out` then means nothing.
pub fn append_value(bytes: &[u8], out: &mut Vec<u8>, proxy: WriteProxy<'_>) -> Result<(), CodecError> {
    let mut reader = Reader::new(bytes);
    append(&mut reader, out, proxy, MAX_DEPTH)?;
    reader.finish()
}

fn append(reader: &mut Reader<'_>, out: &mut Vec<u8>, proxy: WriteProxy<'_>, levels: u32) -> Result<(), CodecError> {
    match reader.head()? {
        Head::None => write::none(out),
        Head::Bool(value) => write::bool(out, value),
        Head::Unsigned(value) => unsigned(out, value),
        Head::Signed(value) => write::int(out, value),
        Head::BigInt(bytes) => write::big_int(out, bytes),
        Head::Float(value) => write::float(out, value),
        Head::Complex(real, imaginary) => write::complex(out, real, imaginary),
        Head::Str(text) => write::str(out, text),
        Head::Bytes(bytes) => write::bytes(out, bytes),
        Head::Packed(numbers) => {
            out.push(opcode::EMPTY_LIST);
            if numbers.len() > 0 {
                out.push(opcode::MARK);
                numbers.for_each(|number| match number {
                    Number::Unsigned(value) => unsigned(out, value),
                    Number::Signed(value) => write::int(out, value),
                    Number::Single(value) => write::float(out, widen(value)),
                    Number::Double(value) => write::float(out, value),
                });
                out.push(opcode::APPENDS);
            }
        }
        Head::Proxy(index) => proxy(index, out)?,
        Head::Opaque(kind, contents) if kind.starts_with(KIND) => out.extend_from_slice(contents),
        Head::Opaque(kind, _) => {
            return Err(CodecError::other(format_args!("an object of another language ({kind}) is none of Python's")));
        }
        Head::Container(family, count) => {
            let levels = levels.checked_sub(1).ok_or_else(CodecError::too_deep)?;
            if family == Family::Tuple
                && count > 0
                && let Head::Opaque(kind, contents) = Reader::clone(reader).head()?
                && kind.starts_with(HOLDER)
            {
                // What stands behind it keeps alive what is named in it.
                out.extend_from_slice(contents);
                return (0..count).try_for_each(|_| reader.skip(levels).map(drop));
            }
            let fill = match family {
                Family::Tuple => {
                    write::begin_tuple(out, count);
                    None
                }
                Family::FrozenSet => {
                    out.push(opcode::MARK);
                    None
                }
                Family::List => Some((opcode::EMPTY_LIST, opcode::APPENDS)),
                Family::Set => Some((opcode::EMPTY_SET, opcode::ADDITEMS)),
                Family::Map => Some((opcode::EMPTY_DICT, opcode::SETITEMS)),
            };
            let fill = fill.and_then(|(empty, fill)| {
                out.push(empty);
                (count > 0).then(|| {
                    out.push(opcode::MARK);
                    fill
                })
            });
            for _ in 0..count * family.values_per_entry() {
                append(reader, out, proxy, levels)?;
            }
            match family {
                Family::Tuple => write::end_tuple(out, count),
                Family::FrozenSet => out.push(opcode::FROZENSET),
                Family::List | Family::Set | Family::Map => out.extend(fill),
            }
        }
    }
    Ok(())
}

fn unsigned(out: &mut Vec<u8>, value: u64) {
    match i64::try_from(value) {
        Ok(value) => write::int(out, value),
        // A byte more, so that its highest bit is no sign.
        Err(_) => write::big_int(out, &[&value.to_le_bytes()[..], &[0]].concat()),
    }
}
