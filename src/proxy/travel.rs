//! Proxies as serde values.
//!
//! Serialized into a call, a proxy becomes an index into the frame's tokens; serialized for anything else (a pipe, a file), it becomes a token with a
//! ticket, which keeps the object alive until somebody has decoded it.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};

use super::BaseProxy;
#[cfg(feature = "python")]
use super::base::Reference;
use crate::client::RemoteReference;
#[cfg(feature = "python")]
use crate::client::python;
use crate::codec;
use crate::error::Result;
use crate::object::entry::Entry;
use crate::object::local;
use crate::protocol::carriage::{self, Carried, Keep};
use crate::protocol::{TicketId, Token};

/// A proxy outside of a call.
#[derive(Serialize, Deserialize)]
struct Detached {
    token: Token,
    ticket: Option<TicketId>,
}

impl Serialize for BaseProxy {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let carried = || Carried { token: self.token_ref().clone(), ticket: None, keep: self.keep() };
        if let Some(index) = carriage::put(carried) {
            return serializer.serialize_newtype_struct(codec::PROXY, &index);
        }
        let ticket = self.keep().and_then(Keep::issue);
        #[cfg(feature = "python")]
        if matches!(self.reference, Reference::Python(..)) {
            return Err(S::Error::custom("a proxy of a Python server's object can only be sent to that server"));
        }
        if ticket.is_none() {
            return Err(S::Error::custom("a proxy whose server is gone, or of another process, can't be sent"));
        }
        Detached { token: self.token_ref().clone(), ticket }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BaseProxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        if carriage::is_reading() {
            return deserializer.deserialize_newtype_struct(codec::PROXY, Carriage);
        }
        let Detached { token, ticket } = Detached::deserialize(deserializer)?;
        Self::redeem(token, ticket).map_err(de::Error::custom)
    }
}

/// Takes a proxy out of the frame that is being read.
struct Carriage;

impl<'de> Visitor<'de> for Carriage {
    type Value = BaseProxy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a proxy")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> std::result::Result<BaseProxy, D::Error> {
        let index = u32::deserialize(inner)?;
        if codec::is_tracing() {
            return Ok(BaseProxy::nothing());
        }
        let carried = carriage::take(index).ok_or_else(|| de::Error::custom("a proxy without a token beside it"))?;
        if let Some(reference) = carried.kept::<RemoteReference>() {
            return Ok(BaseProxy::remote(reference));
        }
        if let Some(entry) = carried.kept::<Entry>() {
            return Ok(BaseProxy::local(entry));
        }
        #[cfg(feature = "python")]
        if let Some(reference) = carried.kept::<python::Reference>() {
            return Ok(BaseProxy::of_python(reference));
        }
        BaseProxy::redeem(carried.token, carried.ticket).map_err(de::Error::custom)
    }
}

/// What came in by another way than a call, as what one of this server's values holds: its own objects by a reference, those of others as they came.
pub(crate) fn received(token: Token, ticket: Option<TicketId>) -> Result<Carried> {
    if local::find(token.server).is_none() {
        return Ok(Carried { token, ticket, keep: None });
    }
    let proxy = BaseProxy::redeem(token.clone(), ticket)?;
    Ok(Carried { token, ticket: None, keep: proxy.keep() })
}

impl BaseProxy {
    /// A proxy by a token that came in by another way than a call of its server's.
    fn redeem(token: Token, ticket: Option<TicketId>) -> Result<Self> {
        let Some(table) = local::find(token.server) else {
            return RemoteReference::redeem(token, ticket).map(Self::remote);
        };
        let ticketed = ticket.and_then(|ticket| table.tickets().redeem(ticket));
        let entry = ticketed.filter(|entry| entry.id() == token.object);
        Ok(Self::local(match entry {
            Some(entry) => entry,
            None => table.find(token.object)?,
        }))
    }
}
