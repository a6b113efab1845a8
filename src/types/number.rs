//! Numbers that the server computes with: what values and arrays of them can do in one call.

use serde::{Deserialize, Serialize};

use super::element::Element;
use crate::datum::Datum;
use crate::error::{Error, Result};

/// A number that a server computes with: Rust's ints up to 64 bits, and floats.
pub trait Number: Datum + Copy + PartialEq + private::Compute {
    #[doc(hidden)]
    const KIND: NumberKind;
}

/// A [`Number`] that is an int.
pub trait Integer: Number {}

/// Which type a number is of; the order is that of packed lists.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NumberKind {
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

/// What is done to a number with another.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Wraps around, of ints.
    Add,
    /// Wraps around, of ints.
    Sub,
    /// The greater one; of floats, the one that is a number.
    Max,
    /// The lesser one, likewise.
    Min,
    /// Of ints only.
    And,
    /// Of ints only.
    Or,
    /// Of ints only.
    Xor,
}

mod private {
    use super::Operation;

    /// What the server does.
    pub trait Compute: Sized {
        /// Nothing where the type can't.
        fn compute(self, operation: Operation, other: Self) -> Option<Self>;
        fn read_le(raw: &[u8]) -> Option<Self>;
        fn append_le(self, out: &mut Vec<u8>);
        /// Writes it over the bytes of another.
        fn overwrite_le(self, raw: &mut [u8]);
        /// Its bits: different for numbers that differ at all.
        fn bits(self) -> u64;
    }
}

pub(super) use private::Compute;

macro_rules! raw {
    ($number:ty) => {
        fn read_le(raw: &[u8]) -> Option<Self> {
            Some(Self::from_le_bytes(raw.try_into().ok()?))
        }

        fn append_le(self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.to_le_bytes());
        }

        fn overwrite_le(self, raw: &mut [u8]) {
            raw.copy_from_slice(&self.to_le_bytes());
        }
    };
}

macro_rules! ints {
    ($($int:ty => $kind:ident)*) => {$(
        impl Number for $int {
            const KIND: NumberKind = NumberKind::$kind;
        }

        impl Integer for $int {}

        impl Compute for $int {
            fn compute(self, operation: Operation, other: Self) -> Option<Self> {
                Some(match operation {
                    Operation::Add => self.wrapping_add(other),
                    Operation::Sub => self.wrapping_sub(other),
                    Operation::Max => self.max(other),
                    Operation::Min => self.min(other),
                    Operation::And => self & other,
                    Operation::Or => self | other,
                    Operation::Xor => self ^ other,
                })
            }

            fn bits(self) -> u64 {
                self as u64
            }

            raw!($int);
        }
    )*};
}

macro_rules! floats {
    ($($float:ty => $kind:ident)*) => {$(
        impl Number for $float {
            const KIND: NumberKind = NumberKind::$kind;
        }

        impl Compute for $float {
            fn compute(self, operation: Operation, other: Self) -> Option<Self> {
                match operation {
                    Operation::Add => Some(self + other),
                    Operation::Sub => Some(self - other),
                    Operation::Max => Some(self.max(other)),
                    Operation::Min => Some(self.min(other)),
                    Operation::And | Operation::Or | Operation::Xor => None,
                }
            }

            fn bits(self) -> u64 {
                self.to_bits().into()
            }

            raw!($float);
        }
    )*};
}

ints! { u8 => U8 u16 => U16 u32 => U32 u64 => U64 usize => U64 i8 => I8 i16 => I16 i32 => I32 i64 => I64 isize => I64 }
floats! { f32 => F32 f64 => F64 }

/// Runs code with the type of a kind.
macro_rules! with_kind {
    ($kind:expr, $number:ident => $code:expr) => {
        match $kind {
            $crate::types::number::NumberKind::U8 => {
                type $number = u8;
                $code
            }
            $crate::types::number::NumberKind::U16 => {
                type $number = u16;
                $code
            }
            $crate::types::number::NumberKind::U32 => {
                type $number = u32;
                $code
            }
            $crate::types::number::NumberKind::U64 => {
                type $number = u64;
                $code
            }
            $crate::types::number::NumberKind::I8 => {
                type $number = i8;
                $code
            }
            $crate::types::number::NumberKind::I16 => {
                type $number = i16;
                $code
            }
            $crate::types::number::NumberKind::I32 => {
                type $number = i32;
                $code
            }
            $crate::types::number::NumberKind::I64 => {
                type $number = i64;
                $code
            }
            $crate::types::number::NumberKind::F32 => {
                type $number = f32;
                $code
            }
            $crate::types::number::NumberKind::F64 => {
                type $number = f64;
                $code
            }
        }
    };
}
pub(super) use with_kind;

impl NumberKind {
    /// Its width in bytes.
    pub(super) fn width(self) -> usize {
        with_kind!(self, N => size_of::<N>())
    }

    /// What Python's `array` calls it.
    pub(super) fn typecode(self) -> char {
        match self {
            Self::U8 => 'B',
            Self::U16 => 'H',
            Self::U32 => 'I',
            Self::U64 => 'Q',
            Self::I8 => 'b',
            Self::I16 => 'h',
            Self::I32 => 'i',
            Self::I64 => 'q',
            Self::F32 => 'f',
            Self::F64 => 'd',
        }
    }

    /// The number of this kind that an element is, as a block's bytes.
    pub(super) fn raw(self, element: &Element) -> Result<Vec<u8>> {
        let mut raw = Vec::with_capacity(self.width());
        with_kind!(self, N => element.read::<N>().map_err(Error::unserializable::<N>)?.append_le(&mut raw));
        Ok(raw)
    }

    /// What comes of an operation on an element that is a number of this kind and another, of which these are the [bytes](Self::raw).
    pub(super) fn compute(self, operation: Operation, old: &Element, other: &[u8]) -> Result<Element> {
        with_kind!(self, N => {
            let old = old.read::<N>().map_err(Error::unserializable::<N>)?;
            let other = N::read_le(other).unwrap_or_default();
            let new = old.compute(operation, other).ok_or_else(|| no_operation(operation))?;
            Element::of(&new).map_err(Error::unserializable::<N>)
        })
    }

    /// The number with those bytes.
    pub(super) fn element(self, raw: &[u8]) -> Result<Element> {
        with_kind!(self, N => Element::of(&N::read_le(raw)).map_err(Error::unserializable::<N>))
    }
}

/// The error of an operation that a type does not have.
pub(super) fn no_operation(operation: Operation) -> Error {
    let reason = format!("floats have no {operation:?}");
    Error::Arguments { typeid: "number".to_owned(), method: "compute".to_owned(), reason }
}
