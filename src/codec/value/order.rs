//! The order of values: Python's, where Python has one.
//!
//! Numbers by what they are worth, strs by code points, bytes by bytes, tuples and lists by their first elements that differ. Everything else has no order in Python (None,
//! dicts, a number beside a str); here it has one nonetheless, since a sort that meets it must come to an end, but it is told.

use std::cmp::Ordering;

use super::bigint;
use super::number::{self, Number, Packed};
use super::reader::{Head, Reader};
use super::tag::Family;
use crate::codec::MAX_DEPTH;
use crate::codec::error::CodecError;

/// How two values compare. A total order; `comparable` is made false where Python has none. NaN stands behind all other numbers, and equals itself.
///
/// # Errors
/// Where one of them is no value.
pub fn compare(a: &[u8], b: &[u8], comparable: &mut bool) -> Result<Ordering, CodecError> {
    let (mut a, mut b) = (Source::Values(Reader::new(a), 1), Source::Values(Reader::new(b), 1));
    compare_next(&mut a, &mut b, MAX_DEPTH, comparable)
}

/// Where the elements of a sequence come from: so many values, or numbers.
enum Source<'de> {
    Values(Reader<'de>, usize),
    Numbers(Packed<'de>),
}

impl<'de> Source<'de> {
    fn len(&self) -> usize {
        match self {
            Self::Values(_, count) => *count,
            Self::Numbers(numbers) => numbers.len(),
        }
    }

    /// Reads the next element, as far as it can be done without reading what is in it.
    fn next(&mut self) -> Result<Kind<'de>, CodecError> {
        match self {
            Self::Values(reader, count) => {
                *count -= 1;
                let before = *reader;
                Ok(match reader.head()? {
                    Head::None => Kind::None,
                    Head::Bool(value) => Kind::Number(Worth::Int(value.into())),
                    Head::Unsigned(value) => Kind::Number(Worth::Int(value.into())),
                    Head::Signed(value) => Kind::Number(Worth::Int(value.into())),
                    Head::BigInt(bytes) => Kind::Number(bigint::to_i128(bytes).map_or(Worth::Big(bytes), Worth::Int)),
                    Head::Float(value) => Kind::Number(Worth::Float(value)),
                    Head::Str(text) => Kind::Str(text),
                    Head::Bytes(bytes) => Kind::Bytes(bytes),
                    Head::Packed(numbers) => Kind::Sequence(Family::List, Self::Numbers(numbers)),
                    Head::Container(family @ (Family::Tuple | Family::List), count) => {
                        let elements = Self::Values(*reader, count);
                        *reader = before;
                        reader.skip(MAX_DEPTH)?;
                        Kind::Sequence(family, elements)
                    }
                    Head::Container(..) | Head::Complex(..) | Head::Proxy(_) | Head::Opaque(..) => {
                        *reader = before;
                        Kind::Other(reader.skip(MAX_DEPTH)?)
                    }
                })
            }
            Self::Numbers(numbers) => Ok(Kind::Number(match numbers.next() {
                Some(Number::Unsigned(value)) => Worth::Int(value.into()),
                Some(Number::Signed(value)) => Worth::Int(value.into()),
                Some(Number::Single(value)) => Worth::Float(number::widen(value)),
                Some(Number::Double(value)) => Worth::Float(value),
                None => return Err(CodecError::unexpected_end(1)),
            })),
        }
    }
}

/// A value, with what is ordered among its own.
enum Kind<'de> {
    None,
    Number(Worth<'de>),
    Str(&'de str),
    Bytes(&'de [u8]),
    Sequence(Family, Source<'de>),
    /// What has no order: its bytes.
    Other(&'de [u8]),
}

impl Kind<'_> {
    /// Among kinds.
    fn rank(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::Number(_) => 1,
            Self::Str(_) => 2,
            Self::Bytes(_) => 3,
            Self::Sequence(Family::Tuple, _) => 4,
            Self::Sequence(..) => 5,
            Self::Other(_) => 6,
        }
    }
}

fn compare_next(
    a: &mut Source<'_>,
    b: &mut Source<'_>,
    levels: u32,
    comparable: &mut bool,
) -> Result<Ordering, CodecError> {
    let levels = levels.checked_sub(1).ok_or_else(CodecError::too_deep)?;
    let (a, b) = (a.next()?, b.next()?);
    Ok(match (a, b) {
        (Kind::None, Kind::None) => Ordering::Equal,
        (Kind::Number(a), Kind::Number(b)) => a.compare(&b),
        (Kind::Str(a), Kind::Str(b)) => a.cmp(b),
        (Kind::Bytes(a), Kind::Bytes(b)) => a.cmp(b),
        (Kind::Sequence(family, mut a), Kind::Sequence(other, mut b)) if family == other => {
            let lengths = a.len().cmp(&b.len());
            for _ in 0..a.len().min(b.len()) {
                let order = compare_next(&mut a, &mut b, levels, comparable)?;
                if order.is_ne() {
                    return Ok(order);
                }
            }
            lengths
        }
        (Kind::Other(a), Kind::Other(b)) => {
            *comparable &= a == b;
            a.cmp(b)
        }
        (a, b) => {
            *comparable = false;
            a.rank().cmp(&b.rank())
        }
    })
}

/// What a number is worth.
enum Worth<'de> {
    Int(i128),
    /// Beyond 128 bits.
    Big(&'de [u8]),
    Float(f64),
}

/// From here on floats are beyond all `i128`, and whole numbers.
const BEYOND: f64 = i128::MAX as f64;

impl Worth<'_> {
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => match a.partial_cmp(b) {
                Some(order) => order,
                None => a.is_nan().cmp(&b.is_nan()),
            },
            (Self::Int(a), Self::Float(b)) => int_and_float(*a, *b),
            (Self::Float(a), Self::Int(b)) => int_and_float(*b, *a).reverse(),
            (Self::Big(a), Self::Big(b)) => bigs(a, b),
            (Self::Big(a), Self::Int(_)) => sign(a),
            (Self::Int(_), Self::Big(b)) => sign(b).reverse(),
            (Self::Big(a), Self::Float(b)) => big_and_float(a, *b),
            (Self::Float(a), Self::Big(b)) => big_and_float(b, *a).reverse(),
        }
    }
}

fn int_and_float(int: i128, float: f64) -> Ordering {
    if float.is_nan() || float >= BEYOND {
        return Ordering::Less;
    }
    if float < -BEYOND {
        return Ordering::Greater;
    }
    // Exact, as the float is in the range of ints.
    int.cmp(&(float.trunc() as i128)).then_with(|| 0.0.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal))
}

fn big_and_float(big: &[u8], float: f64) -> Ordering {
    if float.is_nan() || float == f64::INFINITY {
        return Ordering::Less;
    }
    if float == f64::NEG_INFINITY {
        return Ordering::Greater;
    }
    if float.abs() < BEYOND {
        return sign(big);
    }
    // The float's mantissa, moved to where its exponent says, in two's complement.
    let exponent = (float.to_bits() >> 52 & 0x7ff) as usize - 1075;
    let mantissa = u128::from(float.to_bits() & ((1 << 52) - 1) | 1 << 52) << (exponent % 8);
    let mut whole = vec![0; exponent / 8];
    whole.extend_from_slice(&mantissa.to_le_bytes());
    if float < 0.0 {
        let mut carry = true;
        for byte in &mut whole {
            (*byte, carry) = (!*byte).overflowing_add(carry.into());
        }
    }
    bigs(big, bigint::minimal(&whole))
}

/// How an int beyond 128 bits compares to all within.
fn sign(big: &[u8]) -> Ordering {
    if bigint::is_negative(big) { Ordering::Less } else { Ordering::Greater }
}

/// Of minimal forms the longer one is further from 0.
fn bigs(a: &[u8], b: &[u8]) -> Ordering {
    let negative = bigint::is_negative(a);
    match (negative, bigint::is_negative(b)) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        _ if a.len() != b.len() => {
            if negative {
                b.len().cmp(&a.len())
            } else {
                a.len().cmp(&b.len())
            }
        }
        // Bytes of one sign and length count alike.
        _ => a.iter().rev().cmp(b.iter().rev()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Value;

    fn order(a: impl Into<Value>, b: impl Into<Value>) -> Option<Ordering> {
        let (a, b) = (a.into().to_bytes().unwrap(), b.into().to_bytes().unwrap());
        let mut comparable = true;
        let order = compare(&a, &b, &mut comparable).unwrap();
        let mut also = true;
        assert_eq!(compare(&b, &a, &mut also).unwrap(), order.reverse());
        assert_eq!(comparable, also);
        comparable.then_some(order)
    }

    #[test]
    fn numbers_are_ordered_by_their_worth() {
        let huge = |exponent: usize, last: u8| {
            let mut bytes = vec![0; exponent / 8];
            bytes.extend([last, 0]);
            Value::BigInt(bytes)
        };
        let ascending = [
            Value::Float(f64::NEG_INFINITY),
            Value::Float(-1e300),
            Value::BigInt(vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfe]),
            Value::BigInt(vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff]),
            Value::Int(i128::MIN),
            Value::Int(-1),
            Value::Float(-0.5),
            Value::Int(0),
            Value::Float(0.5),
            Value::Bool(true),
            Value::Int((1 << 53) - 1),
            Value::Float(9007199254740992.0),
            Value::Int((1 << 53) + 1),
            Value::Int(i128::MAX),
            huge(128, 1),
            Value::Float(2_f64.powi(129)),
            huge(128, 3),
            Value::Float(f64::INFINITY),
            Value::Float(f64::NAN),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(order(a.clone(), b.clone()), Some(i.cmp(&j)), "{a} and {b}");
            }
        }
        assert_eq!(order(1, 1.0), Some(Ordering::Equal));
        assert_eq!(order(huge(128, 2), 2_f64.powi(129)), Some(Ordering::Equal));
        assert_eq!(
            order(Value::BigInt(vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfe]), -(2_f64.powi(129))),
            Some(Ordering::Equal)
        );
    }

    #[test]
    fn sequences_are_ordered_by_what_differs_first() {
        fn of(value: &impl serde::Serialize) -> Value {
            Value::of(value).unwrap()
        }
        assert_eq!(order(of(&(1, "b")), of(&(1, "a", 2))), Some(Ordering::Greater));
        assert_eq!(order(of(&vec![1_u8, 2]), of(&vec![1_i64, 2, -3])), Some(Ordering::Less));
        assert_eq!(order(of(&vec![vec!["x"], vec![]]), of(&vec![vec!["x"], vec!["a"]])), Some(Ordering::Less));
        assert_eq!(order("é", "z"), Some(Ordering::Greater));
        assert_eq!(order(of(&(1, None::<u8>)), of(&(1, None::<u8>))), Some(Ordering::Equal));
    }

    #[test]
    fn what_has_no_order_is_told() {
        assert_eq!(order(1, "1"), None);
        assert_eq!(order(Value::None, 1), None);
        assert_eq!(order(Value::List(vec![1.into()]), Value::Tuple(vec![1.into()])), None);
        assert_eq!(order(Value::Complex(1.0, 2.0), Value::Complex(1.0, 3.0)), None);
    }
}
