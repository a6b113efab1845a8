//! Proxies on their way into and out of a frame.
//!
//! A payload holds only an index for each proxy in it; the tokens stand beside it. While a payload is written, proxies hand their tokens to the
//! thread's outgoing list ([`outgoing`], [`put`]); while one is read, they take them from the incoming list ([`incoming`], [`take`]). Outside of
//! both, a proxy is serialized for some other way (a pipe, a file), and does so by token and ticket.
//!
//! Large values need not be copied on their way: one that is read may [keep](kept) the payload's own memory, and one that is written may go from where it lies
//! ([`detach`]), where the payload's owner has said so.
//!
//! Invariant: a list belongs to exactly one payload; payloads nested inside `Serialize` or `Deserialize` have lists of their own.

use std::any::Any;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use super::token::WireToken;
use super::{ServerId, TicketId, Token};
use crate::sys::bytes::SharedBytes;

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
    detached: Option<Vec<Detached>>,
    incoming: Option<Vec<Carried>>,
    memory: Option<Arc<Vec<u8>>>,
}

/// Bytes of a payload that were not written into it, and before how many of its bytes they stand.
pub type Detached = (usize, SharedBytes);

thread_local! {
    // Nothing to be dropped, since there is no list outside of a payload: so that calls can still be made while a thread's destructors run, in whichever order.
    static LISTS: ManuallyDrop<RefCell<Lists>> =
        const { ManuallyDrop::new(RefCell::new(Lists { outgoing: None, detached: None, incoming: None, memory: None })) };
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
    let (result, carried, _) = outgoing_in_parts(false, write);
    (result, carried)
}

/// As [`outgoing`], with what was detached meanwhile; nothing where that may not be.
pub fn outgoing_in_parts<R>(may_detach: bool, write: impl FnOnce() -> R) -> (R, Vec<Carried>, Vec<Detached>) {
    let mut former = with_lists(|lists| {
        let detached = may_detach.then(Vec::new);
        (lists.outgoing.replace(Vec::new()), std::mem::replace(&mut lists.detached, detached))
    });
    let (mut carried, mut detached) = (Vec::new(), Vec::new());
    let result = {
        let _restore = Restore(|lists| {
            carried = std::mem::replace(&mut lists.outgoing, former.0.take()).unwrap_or_default();
            detached = std::mem::replace(&mut lists.detached, former.1.take()).unwrap_or_default();
        });
        write()
    };
    (result, carried, detached)
}

/// Whether a value of the payload that this thread writes may be [detached](detach).
pub fn may_detach() -> bool {
    with_lists(|lists| lists.detached.is_some())
}

/// Has bytes of the payload that this thread writes go from where they lie; nothing may have been written in their place.
pub fn detach(place: usize, bytes: SharedBytes) {
    with_lists(|lists| lists.detached.as_mut().into_iter().for_each(|detached| detached.push((place, bytes.clone()))));
}

/// Runs `read` with `tokens` for the proxies that it deserializes.
pub fn incoming<R>(tokens: &[Carried], read: impl FnOnce() -> R) -> R {
    incoming_in(None, tokens, read)
}

/// As [`incoming`], of a payload in memory that values of it may [keep](kept).
pub fn incoming_in<R>(memory: Option<&Arc<Vec<u8>>>, tokens: &[Carried], read: impl FnOnce() -> R) -> R {
    let mut former = with_lists(|lists| {
        (lists.incoming.replace(tokens.to_vec()), std::mem::replace(&mut lists.memory, memory.cloned()))
    });
    let _restore = Restore(|lists| (lists.incoming, lists.memory) = (former.0.take(), former.1.take()));
    read()
}

/// Keeps bytes of the payload that this thread reads: in their own memory, if they are most of that, or else in a copy.
pub fn kept(bytes: &[u8]) -> SharedBytes {
    let shared = with_lists(|lists| lists.memory.as_ref().and_then(|memory| SharedBytes::part(memory, bytes)));
    shared.unwrap_or_else(|| bytes.to_vec().into())
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
