//! Single values, appended to a buffer in their shortest form.

use super::bigint;
use super::tag::{self, Family};

/// Appends a length or count.
#[inline]
pub(in crate::codec) fn length(out: &mut Vec<u8>, length: usize) {
    if length <= tag::LENGTH_MAX as usize { out.push(length as u8) } else { long_length(out, length as u64) }
}

/// How many bytes [`length`] takes.
pub(in crate::codec) fn length_width(length: usize) -> usize {
    if length <= tag::LENGTH_MAX as usize {
        1
    } else if u16::try_from(length).is_ok() {
        3
    } else if u32::try_from(length).is_ok() {
        5
    } else {
        9
    }
}

fn long_length(out: &mut Vec<u8>, length: u64) {
    if let Ok(length) = u16::try_from(length) {
        out.push(tag::LENGTH_U16);
        out.extend_from_slice(&length.to_le_bytes());
    } else if let Ok(length) = u32::try_from(length) {
        out.push(tag::LENGTH_U32);
        out.extend_from_slice(&length.to_le_bytes());
    } else {
        out.push(tag::LENGTH_U64);
        out.extend_from_slice(&length.to_le_bytes());
    }
}

/// Appends what comes before a container's elements.
#[inline]
pub(in crate::codec) fn header(out: &mut Vec<u8>, family: Family, count: usize) {
    match family.short() {
        Some((first, most)) if count <= most as usize => out.push(first + count as u8),
        _ => {
            out.push(family.tag());
            length(out, count);
        }
    }
}

/// A tag and the bytes after it, in one piece.
macro_rules! tagged {
    ($out:ident, $tag:expr, $value:expr, $width:literal) => {{
        let mut bytes = [$tag; 1 + $width];
        bytes[1..].copy_from_slice(&$value.to_le_bytes());
        $out.extend_from_slice(&bytes);
    }};
}

#[inline]
pub(in crate::codec) fn unsigned(out: &mut Vec<u8>, value: u64) {
    if value <= tag::GREATEST_INT.into() { out.push(value as u8) } else { wide_unsigned(out, value) }
}

fn wide_unsigned(out: &mut Vec<u8>, value: u64) {
    if let Ok(value) = u8::try_from(value) {
        tagged!(out, tag::U8, value, 1);
    } else if let Ok(value) = u16::try_from(value) {
        tagged!(out, tag::U16, value, 2);
    } else if let Ok(value) = u32::try_from(value) {
        tagged!(out, tag::U32, value, 4);
    } else {
        tagged!(out, tag::U64, value, 8);
    }
}

#[inline]
pub(in crate::codec) fn signed(out: &mut Vec<u8>, value: i64) {
    match u64::try_from(value) {
        Ok(value) => unsigned(out, value),
        Err(_) if value >= tag::LEAST_INT => out.push(value as u8),
        Err(_) => wide_negative(out, value),
    }
}

fn wide_negative(out: &mut Vec<u8>, value: i64) {
    if let Ok(value) = i8::try_from(value) {
        tagged!(out, tag::I8, value, 1);
    } else if let Ok(value) = i16::try_from(value) {
        tagged!(out, tag::I16, value, 2);
    } else if let Ok(value) = i32::try_from(value) {
        tagged!(out, tag::I32, value, 4);
    } else {
        tagged!(out, tag::I64, value, 8);
    }
}

pub(in crate::codec) fn signed_128(out: &mut Vec<u8>, value: i128) {
    if let Ok(value) = u64::try_from(value) {
        unsigned(out, value);
    } else if let Ok(value) = i64::try_from(value) {
        signed(out, value);
    } else {
        big_int(out, &value.to_le_bytes());
    }
}

pub(in crate::codec) fn unsigned_128(out: &mut Vec<u8>, value: u128) {
    match i128::try_from(value) {
        Ok(value) => signed_128(out, value),
        Err(_) => {
            // One byte more than the number has, so that its highest bit is no sign.
            let mut bytes = [0; 17];
            bytes[..16].copy_from_slice(&value.to_le_bytes());
            big_int(out, &bytes);
        }
    }
}

/// Appends an int of any size, given in two's complement.
pub(in crate::codec) fn big_int(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = bigint::minimal(bytes);
    match bigint::to_i128(bytes) {
        Some(value) if u64::try_from(value).is_ok() || i64::try_from(value).is_ok() => signed_128(out, value),
        _ => {
            out.push(tag::BIG_INT);
            length(out, bytes.len());
            out.extend_from_slice(bytes);
        }
    }
}

#[inline]
pub(in crate::codec) fn bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { tag::TRUE } else { tag::FALSE });
}

#[inline]
pub(in crate::codec) fn float(out: &mut Vec<u8>, value: f64) {
    tagged!(out, tag::FLOAT, value, 8);
}

pub(in crate::codec) fn complex(out: &mut Vec<u8>, real: f64, imaginary: f64) {
    out.push(tag::COMPLEX);
    out.extend_from_slice(&real.to_le_bytes());
    out.extend_from_slice(&imaginary.to_le_bytes());
}

#[inline]
pub(in crate::codec) fn str(out: &mut Vec<u8>, text: &str) {
    if text.len() <= tag::SHORT_STR_MAX {
        out.reserve(1 + text.len());
        out.push(tag::SHORT_STR + text.len() as u8);
    } else {
        out.push(tag::STR);
        length(out, text.len());
    }
    piece(out, text.as_bytes());
}

/// From how many bytes on a buffer gets no memory for as many again when what is written behind them does not fit.
const LARGE: usize = 4 << 10;

/// Room for what stands behind a large piece as a rule: an end of arguments, a number or two.
const ROOM: usize = 64;

/// Bytes of whatever value, behind what announces them.
#[inline]
pub(in crate::codec) fn piece(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() >= LARGE {
        out.reserve(bytes.len() + ROOM);
    }
    out.extend_from_slice(bytes);
}

#[inline]
pub(in crate::codec) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(tag::BYTES);
    length(out, bytes.len());
    piece(out, bytes);
}

pub(in crate::codec) fn proxy(out: &mut Vec<u8>, index: u32) {
    out.push(tag::PROXY);
    length(out, index as usize);
}

pub(in crate::codec) fn opaque(out: &mut Vec<u8>, kind: &str, contents: &[u8]) {
    out.push(tag::OPAQUE);
    length(out, kind.len());
    out.extend_from_slice(kind.as_bytes());
    length(out, contents.len());
    out.extend_from_slice(contents);
}
