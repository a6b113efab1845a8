//! Single things, appended to a pickle of protocol 4. Nothing here uses the memo, so that what is written can be put together in any way.

use super::opcode;
use crate::codec::value::bigint;

/// What a pickle begins with.
pub fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(&[opcode::PROTO, 4]);
}

/// What it ends with; on the stack is what it stands for.
pub fn end(out: &mut Vec<u8>) {
    out.push(opcode::STOP);
}

/// `None`
pub fn none(out: &mut Vec<u8>) {
    out.push(opcode::NONE);
}

/// `bool`
pub fn bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { opcode::NEWTRUE } else { opcode::NEWFALSE });
}

/// `int`
pub fn int(out: &mut Vec<u8>, value: i64) {
    if let Ok(value) = u8::try_from(value) {
        out.extend_from_slice(&[opcode::BININT1, value]);
    } else if let Ok(value) = u16::try_from(value) {
        out.push(opcode::BININT2);
        out.extend_from_slice(&value.to_le_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        out.push(opcode::BININT);
        out.extend_from_slice(&value.to_le_bytes());
    } else {
        big_int(out, &value.to_le_bytes());
    }
}

/// `int` of any size, in two's complement, little endian.
pub fn big_int(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = bigint::minimal(bytes);
    match u8::try_from(bytes.len()) {
        Ok(length) => out.extend_from_slice(&[opcode::LONG1, length]),
        Err(_) => {
            out.push(opcode::LONG4);
            // More would not fit a frame.
            out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

/// `float`
pub fn float(out: &mut Vec<u8>, value: f64) {
    out.push(opcode::BINFLOAT);
    out.extend_from_slice(&value.to_be_bytes());
}

/// `complex`
pub fn complex(out: &mut Vec<u8>, real: f64, imaginary: f64) {
    global(out, "builtins", "complex");
    float(out, real);
    float(out, imaginary);
    out.extend_from_slice(&[opcode::TUPLE2, opcode::REDUCE]);
}

fn begin_sized(out: &mut Vec<u8>, [short, middle, long]: [u8; 3], length: usize) {
    if let Ok(length) = u8::try_from(length) {
        out.extend_from_slice(&[short, length]);
    } else if let Ok(length) = u32::try_from(length) {
        out.push(middle);
        out.extend_from_slice(&length.to_le_bytes());
    } else {
        out.push(long);
        out.extend_from_slice(&(length as u64).to_le_bytes());
    }
}

/// What comes before the text of a `str` of so many bytes.
pub fn begin_str(out: &mut Vec<u8>, length: usize) {
    begin_sized(out, [opcode::SHORT_BINUNICODE, opcode::BINUNICODE, opcode::BINUNICODE8], length);
}

/// What comes before the contents of a `bytes` of so many.
pub fn begin_bytes(out: &mut Vec<u8>, length: usize) {
    begin_sized(out, [opcode::SHORT_BINBYTES, opcode::BINBYTES, opcode::BINBYTES8], length);
}

/// `str`
pub fn str(out: &mut Vec<u8>, text: &str) {
    raw_str(out, text.as_bytes());
}

/// `str`, already encoded by `surrogatepass`.
pub(super) fn raw_str(out: &mut Vec<u8>, text: &[u8]) {
    begin_str(out, text.len());
    out.extend_from_slice(text);
}

/// `bytes`
pub fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    begin_bytes(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// `bytearray`, as a call, since protocol 4 has no form for it.
pub(super) fn byte_array(out: &mut Vec<u8>, contents: &[u8]) {
    global(out, "builtins", "bytearray");
    bytes(out, contents);
    out.extend_from_slice(&[opcode::TUPLE1, opcode::REDUCE]);
}

/// A name of a module's.
pub fn global(out: &mut Vec<u8>, module: &str, name: &str) {
    str(out, module);
    str(out, name);
    out.push(opcode::STACK_GLOBAL);
}

/// What comes before the elements of a tuple of so many.
pub fn begin_tuple(out: &mut Vec<u8>, count: usize) {
    if count > 3 {
        out.push(opcode::MARK);
    }
}

/// What comes after them.
pub fn end_tuple(out: &mut Vec<u8>, count: usize) {
    out.push(match count {
        0 => opcode::EMPTY_TUPLE,
        1 => opcode::TUPLE1,
        2 => opcode::TUPLE2,
        3 => opcode::TUPLE3,
        _ => opcode::TUPLE,
    });
}

/// An empty dict, which entries are put into next.
pub fn begin_dict(out: &mut Vec<u8>) {
    out.extend_from_slice(&[opcode::EMPTY_DICT, opcode::MARK]);
}

/// What comes after its entries, keys and values in turn.
pub fn end_dict(out: &mut Vec<u8>) {
    out.push(opcode::SETITEMS);
}

/// A call of what stands before the tuple on the stack.
pub fn call(out: &mut Vec<u8>) {
    out.push(opcode::REDUCE);
}

/// An instance of the class that stands before the tuple on the stack.
pub fn new(out: &mut Vec<u8>) {
    out.push(opcode::NEWOBJ);
}

/// Sets the state of what stands before it on the stack.
pub fn build(out: &mut Vec<u8>) {
    out.push(opcode::BUILD);
}
