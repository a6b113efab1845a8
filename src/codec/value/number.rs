//! The fixed-width numbers that a packed list may hold.

use super::write;

/// The type of a packed list's elements; its byte stands after the tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::codec) enum Element {
    U8 = 0,
    U16 = 1,
    U32 = 2,
    U64 = 3,
    I8 = 4,
    I16 = 5,
    I32 = 6,
    I64 = 7,
    F32 = 8,
    F64 = 9,
}

impl Element {
    /// The type that a byte stands for.
    pub(in crate::codec) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::U8,
            1 => Self::U16,
            2 => Self::U32,
            3 => Self::U64,
            4 => Self::I8,
            5 => Self::I16,
            6 => Self::I32,
            7 => Self::I64,
            8 => Self::F32,
            9 => Self::F64,
            _ => return None,
        })
    }

    /// Its width in bytes.
    pub(in crate::codec) const fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }
}

/// One number of a packed list, in the widest form of its family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::codec) enum Number {
    Unsigned(u64),
    Signed(i64),
    Single(f32),
    Double(f64),
}

impl Number {
    /// Appends it as a value of its own.
    pub(in crate::codec) fn append_to(self, out: &mut Vec<u8>) {
        match self {
            Self::Unsigned(value) => write::unsigned(out, value),
            Self::Signed(value) => write::signed(out, value),
            Self::Single(value) => write::float(out, widen(value)),
            Self::Double(value) => write::float(out, value),
        }
    }
}

/// The numbers of a packed list.
#[derive(Debug, Clone, Copy)]
pub(in crate::codec) struct Packed<'de> {
    element: Element,
    raw: &'de [u8],
}

impl<'de> Packed<'de> {
    /// `raw` is a whole number of elements.
    pub(in crate::codec) fn new(element: Element, raw: &'de [u8]) -> Self {
        debug_assert_eq!(raw.len() % element.width(), 0);
        Self { element, raw }
    }

    pub(in crate::codec) fn element(&self) -> Element {
        self.element
    }

    pub(in crate::codec) fn raw(&self) -> &'de [u8] {
        self.raw
    }

    #[inline]
    fn take<const WIDTH: usize>(&mut self) -> Option<[u8; WIDTH]> {
        let (bytes, rest) = self.raw.split_first_chunk()?;
        self.raw = rest;
        Some(*bytes)
    }
}

impl Iterator for Packed<'_> {
    type Item = Number;

    #[inline]
    fn next(&mut self) -> Option<Number> {
        Some(match self.element {
            Element::U8 => Number::Unsigned(u8::from_le_bytes(self.take()?).into()),
            Element::U16 => Number::Unsigned(u16::from_le_bytes(self.take()?).into()),
            Element::U32 => Number::Unsigned(u32::from_le_bytes(self.take()?).into()),
            Element::U64 => Number::Unsigned(u64::from_le_bytes(self.take()?)),
            Element::I8 => Number::Signed(i8::from_le_bytes(self.take()?).into()),
            Element::I16 => Number::Signed(i16::from_le_bytes(self.take()?).into()),
            Element::I32 => Number::Signed(i32::from_le_bytes(self.take()?).into()),
            Element::I64 => Number::Signed(i64::from_le_bytes(self.take()?)),
            Element::F32 => Number::Single(f32::from_le_bytes(self.take()?)),
            Element::F64 => Number::Double(f64::from_le_bytes(self.take()?)),
        })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.raw.len() / self.element.width();
        (left, Some(left))
    }
}

impl ExactSizeIterator for Packed<'_> {}

/// A Rust number that may stand in a packed list.
pub(in crate::codec) trait Packable: Copy {
    /// Its type's byte.
    const ELEMENT: Element;

    /// Appends its raw bytes.
    fn append_raw(self, out: &mut Vec<u8>);
}

macro_rules! packable {
    ($($number:ty => $element:ident)*) => {$(
        impl Packable for $number {
            const ELEMENT: Element = Element::$element;

            #[inline]
            fn append_raw(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

packable! { u8 => U8 u16 => U16 u32 => U32 u64 => U64 i8 => I8 i16 => I16 i32 => I32 i64 => I64 f32 => F32 f64 => F64 }

/// The bits by which a NaN's payload moves between the two widths.
const PAYLOAD_SHIFT: u32 = f64::MANTISSA_DIGITS - f32::MANTISSA_DIGITS;

/// To `f64` with every bit of a NaN kept, which `as` does not promise.
pub(in crate::codec) fn widen(value: f32) -> f64 {
    if !value.is_nan() {
        return value.into();
    }
    let bits = value.to_bits();
    let sign = u64::from(bits >> 31) << 63;
    let payload = u64::from(bits & 0x007f_ffff) << PAYLOAD_SHIFT;
    f64::from_bits(sign | 0x7ff0_0000_0000_0000 | payload)
}

/// The `f32` that [`widen`]s to this NaN, or the quiet NaN where the payload needs more bits.
pub(in crate::codec) fn narrow_nan(value: f64) -> f32 {
    let bits = value.to_bits();
    let sign = ((bits >> 63) as u32) << 31;
    let payload = ((bits & 0x000f_ffff_ffff_ffff) >> PAYLOAD_SHIFT) as u32;
    f32::from_bits(sign | 0x7f80_0000 | if payload == 0 { 0x0040_0000 } else { payload })
}
