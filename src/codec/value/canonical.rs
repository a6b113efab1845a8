//! One form for all values that Python calls equal: what keys and equality of containers go by.
//!
//! Python's rules: `True == 1 == 1.0 == 1+0j`, `0.0 == -0.0`, order is nothing in a dict or set, a set equals a frozenset, a
//! list never equals a tuple, bytes never a str or list. On top: a packed list is a list, and NaN equals itself, as it does
//! in a Python container that looks for identity first; else no key with a NaN in it could be found again.

use std::ops::Range;

use super::number::{Number, Packed};
use super::reader::{Head, Reader};
use super::tag::{self, Family};
use super::{bigint, number, write};
use crate::codec::MAX_DEPTH;
use crate::codec::error::CodecError;

/// The canonical bytes of a value: equal for values that are equal by Python's rules, different for all others.
///
/// They are themselves a value, of at most about ten times the length (a float in place of a packed byte).
///
/// # Errors
/// Where `bytes` are not exactly one value.
pub fn canonical(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut reader = Reader::new(bytes);
    append(&mut reader, &mut out, MAX_DEPTH)?;
    reader.finish()?;
    Ok(out)
}

/// Whether the bytes of a value are seen at a glance to be canonical, as those of short strs and small ints are.
pub fn is_canonical(bytes: &[u8]) -> bool {
    matches!(bytes, [0..=tag::GREATEST_INT | tag::FIRST_NEGATIVE.. | tag::SHORT_STR..=tag::SHORT_STR_LAST, ..])
}

fn append(reader: &mut Reader<'_>, out: &mut Vec<u8>, levels: u32) -> Result<(), CodecError> {
    match reader.head()? {
        Head::None => out.extend_from_slice(super::NONE),
        Head::Bool(value) => write::unsigned(out, value.into()),
        Head::Unsigned(value) => write::unsigned(out, value),
        Head::Signed(value) => write::signed(out, value),
        Head::BigInt(bytes) => match bigint::to_exact_f64(bytes) {
            Some(value) => write::float(out, value),
            None => write::big_int(out, bytes),
        },
        Head::Float(value) => float(out, value),
        Head::Complex(real, 0.0) => float(out, real),
        Head::Complex(real, imaginary) => write::complex(out, one_zero_one_nan(real), one_zero_one_nan(imaginary)),
        Head::Str(text) => write::str(out, text),
        Head::Bytes(bytes) => write::bytes(out, bytes),
        Head::Packed(numbers) => packed(out, numbers),
        Head::Proxy(index) => write::proxy(out, index),
        Head::Opaque(kind, contents) => write::opaque(out, kind, contents),
        Head::Container(family, count) => {
            let levels = levels.checked_sub(1).ok_or_else(CodecError::too_deep)?;
            match family {
                Family::Tuple | Family::List => {
                    write::header(out, family, count);
                    for _ in 0..count {
                        append(reader, out, levels)?;
                    }
                }
                Family::Set | Family::FrozenSet => unordered(reader, out, levels, Family::Set, count)?,
                Family::Map => unordered(reader, out, levels, Family::Map, count)?,
            }
        }
    }
    Ok(())
}

/// A float as an int, where 64 bits hold it exactly. Beyond that the float is the form of both: it is shorter.
fn float(out: &mut Vec<u8>, value: f64) {
    let (unsigned, signed) = (value as u64, value as i64);
    // Casts saturate, and the greatest ints round up to floats that are no longer theirs.
    if unsigned as f64 == value && unsigned != u64::MAX {
        write::unsigned(out, unsigned);
    } else if signed as f64 == value && signed != i64::MAX {
        write::signed(out, signed);
    } else {
        write::float(out, one_zero_one_nan(value));
    }
}

/// The float that stands for all floats that count as equal to it.
fn one_zero_one_nan(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

fn packed(out: &mut Vec<u8>, numbers: Packed<'_>) {
    write::header(out, Family::List, numbers.len());
    for number in numbers {
        match number {
            Number::Single(value) => float(out, number::widen(value)),
            Number::Double(value) => float(out, value),
            int => int.append_to(out),
        }
    }
}

/// An entry of a set or map, as it stands in the output.
#[derive(Clone)]
struct Entry {
    key: Range<usize>,
    /// Where its value, if it has one, ends.
    end: usize,
}

/// Entries in the order of their keys' bytes. Of equal keys the last one's value counts, as in a dict display.
fn unordered(
    reader: &mut Reader<'_>,
    out: &mut Vec<u8>,
    levels: u32,
    family: Family,
    count: usize,
) -> Result<(), CodecError> {
    let start = out.len();
    let mut entries = Vec::new();
    for _ in 0..count {
        let key = out.len();
        append(reader, out, levels)?;
        let key = key..out.len();
        for _ in 1..family.values_per_entry() {
            append(reader, out, levels)?;
        }
        entries.push(Entry { key, end: out.len() });
    }
    // Stable, so that of equal keys the last one written comes last.
    entries.sort_by(|a, b| out[a.key.clone()].cmp(&out[b.key.clone()]));
    let mut sorted = Vec::with_capacity(out.len() - start);
    let is_last = |(place, entry): &(usize, &Entry)| {
        entries.get(place + 1).is_none_or(|next| out[next.key.clone()] != out[entry.key.clone()])
    };
    let unique: Vec<&Entry> = entries.iter().enumerate().filter(is_last).map(|(_, entry)| entry).collect();
    write::header(&mut sorted, family, unique.len());
    for entry in unique {
        sorted.extend_from_slice(&out[entry.key.start..entry.end]);
    }
    out.truncate(start);
    out.extend_from_slice(&sorted);
    Ok(())
}
