//! Ints beyond 64 bits, in little-endian two's complement: the form of Python's `int.to_bytes(…, 'little',
//! signed=True)`.

use std::fmt;

/// The most bytes that are printed as a decimal number. Converting takes time by the square of the length, and the
/// bytes may come from anybody; longer ints are printed in hexadecimal.
const DECIMAL_BYTES: usize = 512;

/// Without the bytes at the end that only repeat the sign. Nothing at all is 0.
pub(in crate::codec) fn minimal(bytes: &[u8]) -> &[u8] {
    let mut end = bytes.len();
    while let [.., before, last] = bytes[..end] {
        let repeats = (last == 0 && before < 0x80) || (last == 0xff && before >= 0x80);
        if !repeats {
            break;
        }
        end -= 1;
    }
    match &bytes[..end] {
        [0] => &[],
        trimmed => trimmed,
    }
}

/// Whether it is below 0.
pub(in crate::codec) fn is_negative(bytes: &[u8]) -> bool {
    bytes.last().is_some_and(|last| *last >= 0x80)
}

/// The number, if 128 bits with a sign hold it.
pub(in crate::codec) fn to_i128(bytes: &[u8]) -> Option<i128> {
    let bytes = minimal(bytes);
    let mut wide = if is_negative(bytes) { [0xff; 16] } else { [0; 16] };
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i128::from_le_bytes(wide))
}

/// The number, if 128 bits without a sign hold it.
pub(in crate::codec) fn to_u128(bytes: &[u8]) -> Option<u128> {
    match minimal(bytes) {
        [number @ .., 0] if number.len() == 16 => Some(u128::from_le_bytes(number.try_into().ok()?)),
        bytes => u128::try_from(to_i128(bytes)?).ok(),
    }
}

/// The float that is exactly this number, if there is one.
pub(in crate::codec) fn to_exact_f64(bytes: &[u8]) -> Option<f64> {
    let magnitude = magnitude(bytes);
    let Some(highest) = magnitude.iter().rposition(|byte| *byte != 0) else { return Some(0.0) };
    let lowest = magnitude.iter().position(|byte| *byte != 0)?;
    let top = highest * 8 + 7 - magnitude[highest].leading_zeros() as usize;
    let bottom = lowest * 8 + magnitude[lowest].trailing_zeros() as usize;
    if top - bottom >= f64::MANTISSA_DIGITS as usize || top > f64::MAX_EXP as usize - 1 {
        return None;
    }
    let mantissa = (bottom..=top)
        .rev()
        .fold(0_u64, |mantissa, bit| mantissa << 1 | u64::from(magnitude[bit / 8] >> (bit % 8) & 1));
    let value = mantissa as f64 * 2_f64.powi(bottom as i32);
    Some(if is_negative(bytes) { -value } else { value })
}

/// The number without its sign.
fn magnitude(bytes: &[u8]) -> Vec<u8> {
    let bytes = minimal(bytes);
    if !is_negative(bytes) {
        return bytes.to_vec();
    }
    let mut carry = true;
    let negated = bytes.iter().map(|byte| {
        let (byte, overflow) = (!byte).overflowing_add(carry.into());
        carry = overflow;
        byte
    });
    negated.collect()
}

/// Writes it as Python does.
pub(in crate::codec) fn show(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if is_negative(bytes) {
        f.write_str("-")?;
    }
    let mut magnitude = magnitude(bytes);
    if bytes.len() > DECIMAL_BYTES {
        f.write_str("0x")?;
        let digits = magnitude.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let (Some(first), rest) = (magnitude[..digits].last(), &magnitude[..digits.saturating_sub(1)]) else {
            return f.write_str("0");
        };
        write!(f, "{first:x}")?;
        return rest.iter().rev().try_for_each(|byte| write!(f, "{byte:02x}"));
    }
    /// As many decimal digits as fit a step of the division.
    const STEP: u64 = 1_000_000_000;
    let mut groups = Vec::new();
    while !magnitude.is_empty() {
        let mut remainder = 0;
        for byte in magnitude.iter_mut().rev() {
            let dividend = remainder << 8 | u64::from(*byte);
            *byte = (dividend / STEP) as u8;
            remainder = dividend % STEP;
        }
        groups.push(remainder);
        while magnitude.last() == Some(&0) {
            magnitude.pop();
        }
    }
    write!(f, "{}", groups.pop().unwrap_or(0))?;
    groups.iter().rev().try_for_each(|group| write!(f, "{group:09}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shown(Vec<u8>);

    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            show(&self.0, f)
        }
    }

    const SAMPLES: [i128; 14] =
        [0, 1, -1, 127, 128, -128, -129, 255, 256, -256, 1 << 64, -(1 << 64), i128::MAX, i128::MIN];

    #[test]
    fn ints_of_128_bits_survive_the_shortest_form() {
        for number in SAMPLES {
            let bytes = number.to_le_bytes();
            assert_eq!(to_i128(minimal(&bytes)), Some(number));
            assert_eq!(Shown(minimal(&bytes).to_vec()).to_string(), number.to_string());
            assert_eq!(to_u128(&bytes), u128::try_from(number).ok());
        }
        assert_eq!(to_i128(&[0; 40]), Some(0));
        assert_eq!(to_u128(&[&u128::MAX.to_le_bytes()[..], &[0]].concat()), Some(u128::MAX));
        assert_eq!(to_i128(&[&u128::MAX.to_le_bytes()[..], &[0]].concat()), None);
    }

    #[test]
    fn floats_are_exact_or_none() {
        for number in SAMPLES {
            let exact = to_exact_f64(&number.to_le_bytes());
            let rounded = number as f64;
            let is_exact = rounded < i128::MAX as f64 && rounded as i128 == number;
            assert_eq!(exact, is_exact.then_some(rounded), "{number}");
        }
        let mut huge = vec![0; 127];
        huge.push(1 << 7);
        huge.push(0);
        assert_eq!(to_exact_f64(&huge), Some(2_f64.powi(1023)));
        huge.insert(0, 0);
        assert_eq!(to_exact_f64(&huge), None, "beyond the greatest float");
    }

    #[test]
    fn long_ints_are_printed() {
        // 2**200 and -(2**200)
        let mut bytes = vec![0; 25];
        bytes.push(1);
        let text = "1606938044258990275541962092341162602522202993782792835301376";
        assert_eq!(Shown(bytes.clone()).to_string(), text);
        let mut negative = vec![0; 25];
        negative.push(0xff);
        assert_eq!(Shown(negative).to_string(), format!("-{text}"));
        let hexadecimal = Shown([vec![0; DECIMAL_BYTES], vec![1]].concat()).to_string();
        assert_eq!(hexadecimal, format!("0x1{}", "00".repeat(DECIMAL_BYTES)));
    }
}
