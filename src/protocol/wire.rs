//! Little-endian fields in and out of a frame, every read checked.

use super::ProtocolError;

/// Appends fields to a frame.
pub(super) trait Put {
    fn put_u8(&mut self, value: u8);
    fn put_u16(&mut self, value: u16);
    fn put_u64(&mut self, value: u64);
    /// Bytes of at most 64 KiB behind their length; longer ones are cut, which callers rule out.
    fn put_short(&mut self, bytes: &[u8]);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }
    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_short(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.put_u16(length);
        self.extend_from_slice(&bytes[..usize::from(length)]);
    }
}

/// The most bytes that a number takes.
pub(super) const MAX_NUMBER: usize = (u64::BITS as usize).div_ceil(7);

/// Fields that are gathered where they need no memory: at most `N` bytes of them, which is for the caller to see to.
pub(super) struct Fields<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Fields<N> {
    #[inline]
    pub(super) fn new() -> Self {
        Self { bytes: [0; N], length: 0 }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// A number in as few bytes as it takes, seven bits in each: for those that are mostly small.
    #[inline]
    pub(super) fn put_number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put_byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.put_byte(value as u8);
    }

    #[inline]
    fn put_byte(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }
}

/// Takes fields out of a frame.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn new(frame: &'a [u8]) -> Self {
        Self { rest: frame }
    }

    #[inline]
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], ProtocolError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ProtocolError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(ProtocolError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, ProtocolError> {
        self.array::<1>().map(|[byte]| byte)
    }
    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, ProtocolError> {
        self.array().map(u16::from_le_bytes)
    }
    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, ProtocolError> {
        self.array().map(u32::from_le_bytes)
    }
    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, ProtocolError> {
        self.array().map(u64::from_le_bytes)
    }
    #[inline]
    pub(super) fn number(&mut self) -> Result<u64, ProtocolError> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(byte.into())
            }
            _ => self.long_number(),
        }
    }
    fn long_number(&mut self) -> Result<u64, ProtocolError> {
        let mut number = 0;
        for (place, (&byte, shift)) in self.rest.iter().zip((0..u64::BITS).step_by(7)).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(ProtocolError::BadField("number"));
            }
            number |= bits << shift;
            if byte < 0x80 {
                self.rest = &self.rest[place + 1..];
                return Ok(number);
            }
        }
        Err(if self.rest.len() < MAX_NUMBER { ProtocolError::Truncated } else { ProtocolError::BadField("number") })
    }
    pub(super) fn id(&mut self) -> Result<[u8; 16], ProtocolError> {
        self.array()
    }

    /// A text behind its 16-bit length.
    #[inline]
    pub(super) fn short_str(&mut self, field: &'static str) -> Result<&'a str, ProtocolError> {
        let length = self.u16()?;
        let bytes = self.take(usize::from(length))?;
        std::str::from_utf8(bytes).map_err(|_| ProtocolError::BadField(field))
    }

    #[inline]
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn end(self) -> Result<(), ProtocolError> {
        if self.rest.is_empty() { Ok(()) } else { Err(ProtocolError::TrailingBytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_as_few_bytes_as_they_can_and_no_more_than_fit() {
        for (number, length) in
            [(0, 1), (0x7f, 1), (0x80, 2), (0x3fff, 2), (1 << 14, 3), (u64::MAX >> 1, 9), (u64::MAX, 10)]
        {
            let mut fields = Fields::<MAX_NUMBER>::new();
            fields.put_number(number);
            let bytes = fields.bytes();
            assert_eq!(bytes.len(), length, "{number:#x}");
            let mut cursor = Cursor::new(bytes);
            assert_eq!((cursor.number(), cursor.end()), (Ok(number), Ok(())));
            assert_eq!(Cursor::new(&bytes[..length - 1]).number(), Err(ProtocolError::Truncated));
        }
        for wrong in [[0xff; 10], [0x80; 10], [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]] {
            assert_eq!(Cursor::new(&wrong).number(), Err(ProtocolError::BadField("number")));
        }
    }
}
