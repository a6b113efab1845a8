//! Proxies on their way into and out of a frame.
//!
//! A payload holds only an index for each proxy in it; the tokens stand beside it. While a payload is written, proxies hand their tokens to the
//! thread's outgoing list ([`outgoing`], [`put`]); while one is read, they take them from the incoming list ([`incoming`], [`take`]). Outside of
//! both, a proxy is serialized for some other way (a pipe, a file), and does so by token and ticket.
//!
//! Invariant: a list belongs to exactly one payload; payloads nested inside `Serialize` or `Deserialize` have lists of their own.

use std::any::Any;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use super::token::WireToken;
use super::{ServerId, TicketId, Token};

/// What keeps an object alive on this side, of a type that only its owner knows.
pub trait Keep: Any + Send + Sync {
    /// Makes a ticket for a token that goes elsewhere than to the object's own server. Never waits.
    fn issue(self: Arc<Self>) -> Option<TicketId>;
}

/// A proxy's token, with what keeps its object alive on the way.
#[derive(Clone)]
pub struct Carried {
    /// The object's name.
    pub token: Token,
    /// For an object of another server that came in: the reference in transit.
    pub ticket: Option<TicketId>,
    /// The reference on this side; `None` for an object of another server that came in.
    pub keep: Option<Arc<dyn Keep>>,
}

impl Carried {
    /// The reference on this side, as what it is.
    pub fn kept<T: Keep>(&self) -> Option<Arc<T>> {
        let any: Arc<dyn Any + Send + Sync> = Arc::clone(self.keep.as_ref()?) as _;
        any.downcast().ok()
    }

    /// Writes the token as it goes between a client and the server `server`.
    pub fn write(&self, server: ServerId, out: &mut Vec<u8>) {
        let elsewhere = self.token.server != server;
        let issue = || self.ticket.or_else(|| self.keep.clone().and_then(Keep::issue));
        WireToken::write(&self.token, if elsewhere { issue() } else { None }, server, out);
    }
}

#[derive(Default)]
struct Lists {
    outgoing: Option<Vec<Carried>>,
    incoming: Option<Vec<Carried>>,
}

thread_local! {
    // Nothing to be dropped, since there is no list outside of a payload: so that calls can still be made while a thread's destructors run, in whichever order.
    static LISTS: ManuallyDrop<RefCell<Lists>> =
        const { ManuallyDrop::new(RefCell::new(Lists { outgoing: None, incoming: None })) };
}

fn with_lists<R>(job: impl FnOnce(&mut Lists) -> R) -> R {
    LISTS.with(|lists| job(&mut lists.borrow_mut()))
}

/// Puts the former list back, also when the payload's own code panics.
struct Restore<F: FnMut(&mut Lists)>(F);

impl<F: FnMut(&mut Lists)> Drop for Restore<F> {
    fn drop(&mut self) {
        with_lists(|lists| (self.0)(lists));
    }
}

/// Runs `write`, and gives what it returned with the tokens of all proxies that were serialized meanwhile.
pub fn outgoing<R>(write: impl FnOnce() -> R) -> (R, Vec<Carried>) {
    let mut former = with_lists(|lists| lists.outgoing.replace(Vec::new()));
    let mut list = Vec::new();
    let result = {
        let _restore =
            Restore(|lists| list = std::mem::replace(&mut lists.outgoing, former.take()).unwrap_or_default());
        write()
    };
    (result, list)
}

/// Runs `read` with `tokens` for the proxies that it deserializes.
pub fn incoming<R>(tokens: &[Carried], read: impl FnOnce() -> R) -> R {
    let mut former = with_lists(|lists| lists.incoming.replace(tokens.to_vec()));
    let _restore = Restore(|lists| lists.incoming = former.take());
    read()
}

/// Adds a token to the payload that this thread writes; its index, or `None` where no payload is being written.
pub fn put(carried: impl FnOnce() -> Carried) -> Option<u32> {
    with_lists(|lists| {
        let list = lists.outgoing.as_mut()?;
        list.push(carried());
        u32::try_from(list.len() - 1).ok()
    })
}

/// Whether this thread reads a payload.
pub fn is_reading() -> bool {
    with_lists(|lists| lists.incoming.is_some())
}

/// Whether proxies stand beside the payload that this thread reads.
pub fn brings_tokens() -> bool {
    with_lists(|lists| lists.incoming.as_ref().is_some_and(|tokens| !tokens.is_empty()))
}

/// The token of that index in the payload that this thread reads.
pub fn take(index: u32) -> Option<Carried> {
    with_lists(|lists| lists.incoming.as_ref()?.get(usize::try_from(index).ok()?).cloned())
}
