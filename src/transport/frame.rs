//! The header of a frame.

use super::TransportError;

/// The longest header in bytes.
pub(super) const MAX_HEADER: usize = 12;

/// The longest body that the short header can announce.
const MAX_SHORT: u64 = 0x7fff_ffff;

/// A header: how long it is itself, and how long the body after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) length: usize,
    pub(super) body: u64,
}

impl Header {
    /// The header at the beginning of `bytes`; `None` while it is not whole.
    ///
    /// # Errors
    /// When it announces a negative length.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, TransportError> {
        let Some((short, rest)) = bytes.split_first_chunk() else { return Ok(None) };
        match i32::from_be_bytes(*short) {
            -1 => Ok(rest.first_chunk().map(|long| Self { length: MAX_HEADER, body: u64::from_be_bytes(*long) })),
            length => match u64::try_from(length) {
                Ok(body) => Ok(Some(Self { length: 4, body })),
                Err(_) => Err(TransportError::Garbage { length }),
            },
        }
    }

    /// The whole frame's length in bytes; at the most, where that is more than memory can hold.
    pub(super) fn frame(self) -> usize {
        usize::try_from(self.body).unwrap_or(usize::MAX).saturating_add(self.length)
    }
}

/// The bytes of a header, which are the last of these (the first of which are unused).
pub(super) fn header(body: u64) -> ([u8; MAX_HEADER], usize) {
    let mut bytes = [0xff; MAX_HEADER];
    match u32::try_from(body).ok().filter(|_| body <= MAX_SHORT) {
        Some(short) => {
            bytes[MAX_HEADER - 4..].copy_from_slice(&short.to_be_bytes());
            (bytes, MAX_HEADER - 4)
        }
        None => {
            bytes[MAX_HEADER - 8..].copy_from_slice(&body.to_be_bytes());
            (bytes, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_cpythons() {
        let known: [(u64, &[u8]); 4] = [
            (0, &[0, 0, 0, 0]),
            (16_385, &[0, 0, 0x40, 1]),
            (0x7fff_ffff, &[0x7f, 0xff, 0xff, 0xff]),
            (0x8000_0000, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x80, 0, 0, 0]),
        ];
        for (body, expected) in known {
            let (bytes, start) = header(body);
            assert_eq!(&bytes[start..], expected);
            for cut in 0..expected.len() {
                assert_eq!(Header::parse(&expected[..cut]).unwrap(), None);
            }
            assert_eq!(Header::parse(expected).unwrap(), Some(Header { length: expected.len(), body }));
        }
    }

    #[test]
    fn a_negative_length_is_no_header() {
        for length in [-2, i32::MIN] {
            let error = Header::parse(&length.to_be_bytes()).unwrap_err();
            assert!(matches!(error, TransportError::Garbage { length: told } if told == length));
        }
    }
}
