//! The numbers and strings of protocol 0, which are written for people.

use std::borrow::Cow;

use super::graph::Node;
use crate::codec::error::CodecError;

/// The most digits of an int that is written in decimal: Python's own limit, since reading takes time by their square.
const MAX_DIGITS: usize = 4300;

fn wrong(what: &str) -> CodecError {
    CodecError::other(format_args!("the pickle holds {what}"))
}

/// An int in decimal.
pub(super) fn int<'a>(digits: &[u8]) -> Result<Node<'a>, CodecError> {
    let text = std::str::from_utf8(digits).map_err(|_| wrong("an int that is no number"))?.trim();
    if let Ok(small) = text.parse() {
        return Ok(Node::Int(small));
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong("an int that is no number, or of more than 4300 digits"));
    }
    // Little endian, of 32 bits each.
    let mut limbs: Vec<u32> = Vec::new();
    for digit in digits.bytes() {
        let mut carry = u64::from(digit - b'0');
        for limb in &mut limbs {
            let value = u64::from(*limb) * 10 + carry;
            *limb = value as u32;
            carry = value >> 32;
        }
        if carry > 0 {
            limbs.push(carry as u32);
        }
    }
    let mut bytes: Vec<u8> = limbs.into_iter().flat_map(u32::to_le_bytes).collect();
    bytes.push(0);
    if negative {
        let mut carry = true;
        for byte in &mut bytes {
            (*byte, carry) = (!*byte).overflowing_add(carry.into());
        }
    }
    Ok(Node::BigInt(bytes.into()))
}

/// A float in decimal.
pub(super) fn float<'a>(text: &[u8]) -> Result<Node<'a>, CodecError> {
    let text = std::str::from_utf8(text).ok().map(str::trim);
    text.and_then(|text| text.parse().ok()).map(Node::Float).ok_or_else(|| wrong("a float that is no number"))
}

/// A Python 2 `str` in quotes, with escapes; Python 3 takes it for text in ASCII.
pub(super) fn quoted<'a>(text: &[u8]) -> Result<Node<'a>, CodecError> {
    let inner = match text {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return Err(wrong("a string without quotes")),
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some((&escape, after)) = rest.split_first() else { return Err(wrong("a string that ends in an escape")) };
        rest = after;
        match escape {
            b'\n' => {}
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'v' => out.push(11),
            b'x' => {
                let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                out.push(value.ok_or_else(|| wrong("a bad \\x escape"))?);
                rest = &rest[2..];
            }
            b'0'..=b'7' => {
                let mut value = u32::from(escape - b'0');
                for _ in 0..2 {
                    let Some((&digit @ b'0'..=b'7', after)) = rest.split_first() else { break };
                    value = value * 8 + u32::from(digit - b'0');
                    rest = after;
                }
                out.push(value as u8);
            }
            b'\\' | b'\'' | b'"' => out.push(escape),
            other => out.extend([b'\\', other]),
        }
    }
    ascii(out.into())
}

/// A Python 2 `str`, which Python 3 takes for text in ASCII.
pub(super) fn ascii(bytes: Cow<'_, [u8]>) -> Result<Node<'_>, CodecError> {
    if !bytes.is_ascii() {
        return Err(wrong("a string of Python 2 that is not ASCII"));
    }
    utf8(bytes)
}

/// Text in UTF-8, or with lone surrogates in what `surrogatepass` makes of them.
pub(super) fn utf8(bytes: Cow<'_, [u8]>) -> Result<Node<'_>, CodecError> {
    match bytes {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Node::Str(text.into())),
            Err(_) => surrogates(bytes.into()),
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Node::Str(text.into())),
            Err(error) => surrogates(error.into_bytes().into()),
        },
    }
}

/// Looks whether all that is no UTF-8 are surrogates.
fn surrogates(bytes: Cow<'_, [u8]>) -> Result<Node<'_>, CodecError> {
    let mut rest = &bytes[..];
    while let Err(error) = std::str::from_utf8(rest) {
        match rest.get(error.valid_up_to()..) {
            Some([0xed, 0xa0..=0xbf, 0x80..=0xbf, after @ ..]) => rest = after,
            _ => return Err(wrong("a str that is not UTF-8")),
        }
    }
    Ok(Node::Surrogates(bytes))
}

/// Text as `raw-unicode-escape` writes it: latin-1, with `\uXXXX` and `\UXXXXXXXX`.
pub(super) fn raw_unicode<'a>(text: &[u8]) -> Result<Node<'a>, CodecError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = match after.first() {
            Some(b'u') if byte == b'\\' => 4,
            Some(b'U') if byte == b'\\' => 8,
            _ => {
                push(u32::from(byte), &mut out)?;
                rest = after;
                continue;
            }
        };
        let code = after.get(1..=digits).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
        push(code.ok_or_else(|| wrong("a bad \\u escape"))?, &mut out)?;
        rest = &after[1 + digits..];
    }
    utf8(out.into())
}

/// Appends a code point, a surrogate too.
fn push(code: u32, out: &mut Vec<u8>) -> Result<(), CodecError> {
    match char::from_u32(code) {
        Some(letter) => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        None if (0xd800..0xe000).contains(&code) => {
            out.extend([0xed, (0x80 | (code >> 6 & 0x3f)) as u8, (0x80 | (code & 0x3f)) as u8]);
        }
        None => return Err(wrong("a code point that is none")),
    }
    Ok(())
}

/// The bytes of text in latin-1, as Python 3 pickles bytes for Python 2.
pub(super) fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect()
}
