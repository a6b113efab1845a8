//! Values between a server and the workers of its pool.

use serde::{Deserialize, Serialize};

use crate::codec::{self, Codec, CodecError};
use crate::error::Error;
use crate::protocol::carriage::{self, Carried, Keep};
use crate::protocol::{TicketId, Token};
use crate::proxy;
use crate::types::element::Element;

/// A value in the self-describing format, and the proxies in it by token and ticket: what can be read anywhere.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Parcel {
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    proxies: Vec<(Token, Option<TicketId>)>,
}

impl Parcel {
    /// Packs a value. A ticket keeps what it is for only for a while: who packs sees to it that it lives until the parcel is opened.
    pub(super) fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, CodecError> {
        let mut bytes = Vec::new();
        let (written, carried) = carriage::outgoing(|| codec::encode(Codec::Value, value, &mut bytes));
        written?;
        let ticketed = |Carried { token, ticket, keep }| (token, ticket.or_else(|| keep.and_then(Keep::issue)));
        Ok(Self { bytes, proxies: carried.into_iter().map(ticketed).collect() })
    }

    /// Unpacks it, in a worker.
    pub(super) fn read<T: for<'de> Deserialize<'de>>(self) -> Result<T, CodecError> {
        let carried = |(token, ticket)| Carried { token, ticket, keep: None };
        let carried: Vec<_> = self.proxies.into_iter().map(carried).collect();
        carriage::incoming(&carried, || codec::decode(Codec::Value, &self.bytes))
    }

    /// The value, as the server keeps it: what it names lives from here on as long as this does.
    pub(super) fn into_element(self) -> Result<Element, Error> {
        let proxies = self.proxies.into_iter().map(|(token, ticket)| proxy::received(token, ticket));
        Ok(Element::of_parts(self.bytes, proxies.collect::<Result<_, _>>()?))
    }
}
