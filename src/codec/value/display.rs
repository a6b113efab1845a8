//! Values as Python would print them, straight from their bytes.

use std::fmt::{self, Display, Formatter, Write as _};

use super::number::{Number, Packed};
use super::reader::{Head, Reader};
use super::tag::Family;
use super::{bigint, number};
use crate::codec::MAX_DEPTH;
use crate::codec::error::CodecError;

/// Shows a value as Python's `repr` does: `[1, 'a', None]`, `{'k': 1.5}`, `b'\x00'`, `(1,)`.
///
/// Printing never fails by itself: at damaged bytes it says so in place of what should stand there.
pub fn display(bytes: &[u8]) -> impl Display + '_ {
    Shown(bytes, |index: u32, f: &mut Formatter<'_>| write!(f, "<proxy {index}>"))
}

/// As [`display`], with what `proxy` writes for the proxy of each index.
pub fn display_with<'a>(
    bytes: &'a [u8],
    proxy: impl Fn(u32, &mut Formatter<'_>) -> fmt::Result + 'a,
) -> impl Display + 'a {
    Shown(bytes, proxy)
}

struct Shown<'a, P>(&'a [u8], P);

impl<P: Fn(u32, &mut Formatter<'_>) -> fmt::Result> Display for Shown<'_, P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut reader = Reader::new(self.0);
        match show(&mut reader, f, &self.1, MAX_DEPTH).and_then(|()| Ok(reader.finish()?)) {
            Ok(()) => Ok(()),
            Err(Stop::Writer(error)) => Err(error),
            Err(Stop::Bytes(error)) => write!(f, "<unreadable: {error}>"),
        }
    }
}

type ShowProxy<'a> = dyn Fn(u32, &mut Formatter<'_>) -> fmt::Result + 'a;

/// Why printing stops.
enum Stop {
    Writer(fmt::Error),
    Bytes(CodecError),
}

impl From<fmt::Error> for Stop {
    fn from(error: fmt::Error) -> Self {
        Self::Writer(error)
    }
}

impl From<CodecError> for Stop {
    fn from(error: CodecError) -> Self {
        Self::Bytes(error)
    }
}

fn show(reader: &mut Reader<'_>, f: &mut Formatter<'_>, proxy: &ShowProxy<'_>, levels: u32) -> Result<(), Stop> {
    match reader.head()? {
        Head::None => f.write_str("None")?,
        Head::Bool(value) => f.write_str(if value { "True" } else { "False" })?,
        Head::Unsigned(value) => write!(f, "{value}")?,
        Head::Signed(value) => write!(f, "{value}")?,
        Head::BigInt(bytes) => bigint::show(bytes, f)?,
        Head::Float(value) => float(value, f)?,
        Head::Complex(real, imaginary) => complex(real, imaginary, f)?,
        Head::Str(value) => text(value, f)?,
        Head::Bytes(value) => bytes(value, f)?,
        Head::Packed(values) => numbers(values, f)?,
        Head::Proxy(index) => proxy(index, f)?,
        Head::Opaque(kind, _) => write!(f, "<{kind} object>")?,
        Head::Container(family, count) => {
            let levels = levels.checked_sub(1).ok_or_else(CodecError::too_deep)?;
            container(reader, f, proxy, levels, family, count)?;
        }
    }
    Ok(())
}

fn container(
    reader: &mut Reader<'_>,
    f: &mut Formatter<'_>,
    proxy: &ShowProxy<'_>,
    levels: u32,
    family: Family,
    count: usize,
) -> Result<(), Stop> {
    let (open, close) = match (family, count) {
        (Family::Tuple, 1) => ("(", ",)"),
        (Family::Tuple, _) => ("(", ")"),
        (Family::List, _) => ("[", "]"),
        (Family::Set, 0) => ("set(", ")"),
        (Family::FrozenSet, 0) => ("frozenset(", ")"),
        (Family::FrozenSet, _) => ("frozenset({", "})"),
        (Family::Set | Family::Map, _) => ("{", "}"),
    };
    f.write_str(open)?;
    for place in 0..count {
        if place > 0 {
            f.write_str(", ")?;
        }
        show(reader, f, proxy, levels)?;
        if family == Family::Map {
            f.write_str(": ")?;
            show(reader, f, proxy, levels)?;
        }
    }
    Ok(f.write_str(close)?)
}

fn numbers(values: Packed<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_char('[')?;
    for (place, value) in values.enumerate() {
        if place > 0 {
            f.write_str(", ")?;
        }
        match value {
            Number::Unsigned(value) => write!(f, "{value}")?,
            Number::Signed(value) => write!(f, "{value}")?,
            Number::Single(value) => float(number::widen(value), f)?,
            Number::Double(value) => float(value, f)?,
        }
    }
    f.write_char(']')
}

/// The shortest digits that read back as the same float, with an exponent where Python writes one.
fn float(value: f64, f: &mut Formatter<'_>) -> fmt::Result {
    if value.is_nan() {
        return f.write_str("nan");
    }
    if value.is_infinite() {
        return f.write_str(if value > 0.0 { "inf" } else { "-inf" });
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return write!(f, "{value:?}");
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    write!(f, "{digits}e{sign}{exponent:0>2}")
}

/// A part of a complex, which leaves out the `.0` of whole numbers.
fn part(value: f64, f: &mut Formatter<'_>) -> fmt::Result {
    if value.fract() == 0.0 && value.abs() < 1e16 { write!(f, "{value}") } else { float(value, f) }
}

fn complex(real: f64, imaginary: f64, f: &mut Formatter<'_>) -> fmt::Result {
    let is_bare = real == 0.0 && real.is_sign_positive();
    if !is_bare {
        f.write_char('(')?;
        part(real, f)?;
        if imaginary.is_nan() || imaginary.is_sign_positive() {
            f.write_char('+')?;
        }
    }
    part(imaginary, f)?;
    f.write_str(if is_bare { "j" } else { "j)" })
}

/// The quotes that Python takes: single ones, unless only they occur inside.
fn quote(has_single: bool, has_double: bool) -> char {
    if has_single && !has_double { '"' } else { '\'' }
}

fn text(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    let quote = quote(text.contains('\''), text.contains('"'));
    f.write_char(quote)?;
    for letter in text.chars() {
        match letter {
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            _ if letter == quote => write!(f, "\\{letter}")?,
            _ if is_printable(letter) => f.write_char(letter)?,
            _ => match u32::from(letter) {
                code @ ..=0xff => write!(f, "\\x{code:02x}")?,
                code @ ..=0xffff => write!(f, "\\u{code:04x}")?,
                code => write!(f, "\\U{code:08x}")?,
            },
        }
    }
    f.write_char(quote)
}

/// Whether a letter shows as itself: neither control, nor invisible, nor private.
fn is_printable(letter: char) -> bool {
    let is_invisible = matches!(
        letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{10ffff}'
    );
    letter == ' ' || !(letter.is_control() || letter.is_whitespace() || is_invisible)
}

fn bytes(bytes: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    let quote = quote(bytes.contains(&b'\''), bytes.contains(&b'"'));
    f.write_char('b')?;
    f.write_char(quote)?;
    for byte in bytes {
        match byte {
            b'\\' => f.write_str("\\\\")?,
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            _ if char::from(*byte) == quote => write!(f, "\\{quote}")?,
            b' '..=b'~' => f.write_char((*byte).into())?,
            _ => write!(f, "\\x{byte:02x}")?,
        }
    }
    f.write_char(quote)
}
