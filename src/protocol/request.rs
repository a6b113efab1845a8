//! A call, as it travels from a client to its server on a data connection.

use super::token::WireTokens;
use super::wire::{Cursor, Fields, MAX_NUMBER};
use super::{ObjectId, ProtocolError, RequestId, ThreadNumber};

/// The byte that a request starts with.
pub const REQUEST: u8 = 1;

/// The fixed part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHead {
    /// Names the call on its connection; its reply carries the same number.
    pub request: RequestId,
    /// The target; [`ObjectId::SERVER`] for constructors and the server's own methods.
    pub object: ObjectId,
    /// Who calls: which thread of the client.
    pub thread: ThreadNumber,
    /// How many control notices the client had sent before this call. The server takes those in first, so that a call never overtakes the references that
    /// it depends on, or those given back before it.
    pub after: u64,
    /// How many replies the client had read on this connection: the deliveries in them have arrived.
    pub acknowledged: u64,
    /// How the payload is written, as `codec` numbers it.
    pub codec: u8,
    /// The structural hash of the method's types as the caller knows them; 0 where the caller has none.
    pub signature: u32,
    /// The time that the caller allows, in milliseconds; 0 for no limit.
    pub timeout_ms: u32,
}

/// A call, read from a frame.
#[derive(Clone)]
pub struct Request<'a> {
    /// The fixed part.
    pub head: RequestHead,
    /// The method, or `typeid::constructor` on the server itself.
    pub method: &'a str,
    /// The proxies in the payload.
    pub tokens: WireTokens<'a>,
    /// The arguments.
    pub payload: &'a [u8],
}

impl RequestHead {
    /// Where `acknowledged` stands in a frame: behind the kind and the codec.
    const ACKNOWLEDGED: usize = 1 + 1;

    /// The most bytes that stand before the tokens, beside the method's own: seven numbers, a signature, and the length of the name. Mostly they are some 20 in all, so that a call and its arguments fit into
    /// one cell of shared memory.
    pub const SIZE: usize = Self::ACKNOWLEDGED + 7 * MAX_NUMBER + 4 + 2;

    /// `acknowledged` alone, for whoever takes the frame in and leaves the reading to another; 0 in a frame that is no request.
    #[inline]
    pub fn acknowledged_in(frame: &[u8]) -> u64 {
        let rest = frame.get(Self::ACKNOWLEDGED..).filter(|_| frame[0] == REQUEST);
        rest.and_then(|rest| Cursor::new(rest).number().ok()).unwrap_or(0)
    }

    /// Writes all of the frame that stands before the tokens, which `tokens` counts; tokens and payload follow.
    pub fn write(&self, method: &str, tokens: u16, out: &mut Vec<u8>) {
        let length = u16::try_from(method.len()).unwrap_or(u16::MAX);
        let mut fields = Fields::<{ Self::SIZE }>::new();
        fields.put(&[REQUEST, self.codec]);
        fields.put_number(self.acknowledged);
        fields.put(&self.signature.to_le_bytes());
        fields.put_number(self.request.0);
        let numbers = [self.object.0, self.thread.0, self.after, self.timeout_ms.into(), tokens.into()];
        if numbers.iter().fold(0, |all, number| all | number) < 0x80 {
            // Mostly so, and done at once.
            fields.put(&numbers.map(|number| number as u8));
        } else {
            numbers.into_iter().for_each(|number| fields.put_number(number));
        }
        fields.put(&length.to_le_bytes());
        out.extend_from_slice(fields.bytes());
        // A longer name is cut, which callers rule out.
        out.extend_from_slice(&method.as_bytes()[..usize::from(length)]);
    }
}

impl<'a> Request<'a> {
    /// Reads a frame whose first byte is [`REQUEST`].
    #[inline]
    pub fn read(frame: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new(frame);
        match cursor.u8()? {
            REQUEST => {}
            other => return Err(ProtocolError::UnknownKind(other)),
        }
        let codec = cursor.u8()?;
        let acknowledged = cursor.number()?;
        let head = RequestHead {
            acknowledged,
            codec,
            signature: cursor.u32()?,
            request: RequestId(cursor.number()?),
            object: ObjectId(cursor.number()?),
            thread: ThreadNumber(cursor.number()?),
            after: cursor.number()?,
            timeout_ms: u32::try_from(cursor.number()?).map_err(|_| ProtocolError::BadField("timeout"))?,
        };
        let count = u16::try_from(cursor.number()?).map_err(|_| ProtocolError::BadField("count of tokens"))?;
        let method = cursor.short_str("method name")?;
        let (tokens, payload) = WireTokens::read(cursor, count)?;
        Ok(Self { head, method, tokens, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_peeked_at_is_what_is_read() {
        let head = RequestHead {
            request: RequestId(2),
            object: ObjectId(3),
            thread: ThreadNumber(5),
            after: 7,
            acknowledged: 0x0102_0304_0506_0708,
            codec: 1,
            signature: 11,
            timeout_ms: 13,
        };
        let mut frame = Vec::new();
        head.write("method", 0, &mut frame);
        assert_eq!(Request::read(&frame).map(|request| request.head), Ok(head));
        assert_eq!(RequestHead::acknowledged_in(&frame), head.acknowledged);
        for length in 0..RequestHead::ACKNOWLEDGED + 9 {
            assert_eq!(RequestHead::acknowledged_in(&frame[..length]), 0, "of {length} bytes");
        }
        frame[0] = REQUEST + 1;
        assert_eq!(RequestHead::acknowledged_in(&frame), 0);
    }
}
