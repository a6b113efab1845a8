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
use std::cell::{Cell, RefCell};
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

/// Bytes of a payload that were not written into it, and before how many of its bytes they stand.
pub type Detached = (usize, SharedBytes);

/// What a payload that is being written gathers beside itself.
#[derive(Default)]
struct Outgoing {
    carried: Vec<Carried>,
    detached: Vec<Detached>,
}

/// What a payload that is being read has beside itself.
#[derive(Default)]
struct Incoming {
    tokens: Vec<Carried>,
    memory: Option<Arc<Vec<u8>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// This thread writes no payload.
    Nothing,
    Whole,
    /// One whose values may be detached.
    InParts,
}

/// The lists of one thread. Most payloads put nothing in them, and are written and read without touching any but the flags.
struct Lists {
    writing: Cell<Writing>,
    outgoing: RefCell<Outgoing>,
    reading: Cell<bool>,
    incoming: RefCell<Incoming>,
}

thread_local! {
    // Nothing to be dropped, since there is nothing in a list outside of a payload: so that calls can still be made while a thread's destructors run, in whichever order.
    static LISTS: ManuallyDrop<Lists> = const {
        ManuallyDrop::new(Lists {
            writing: Cell::new(Writing::Nothing),
            outgoing: RefCell::new(Outgoing { carried: Vec::new(), detached: Vec::new() }),
            reading: Cell::new(false),
            incoming: RefCell::new(Incoming { tokens: Vec::new(), memory: None }),
        })
    };
}

/// Puts the former list back, also when the payload's own code panics.
struct Restore<F: FnMut()>(F);

impl<F: FnMut()> Drop for Restore<F> {
    #[inline]
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Runs `write`, and gives what it returned with the tokens of all proxies that were serialized meanwhile.
#[inline]
pub fn outgoing<R>(write: impl FnOnce() -> R) -> (R, Vec<Carried>) {
    let (result, carried, _) = outgoing_in_parts(false, write);
    (result, carried)
}

/// As [`outgoing`], with what was detached meanwhile; nothing where that may not be.
#[inline]
pub fn outgoing_in_parts<R>(may_detach: bool, write: impl FnOnce() -> R) -> (R, Vec<Carried>, Vec<Detached>) {
    let writing = if may_detach { Writing::InParts } else { Writing::Whole };
    let former = LISTS.with(|lists| lists.writing.replace(writing));
    if former != Writing::Nothing {
        return outgoing_inside(former, write);
    }
    let (mut carried, mut detached) = (Vec::new(), Vec::new());
    let result = {
        let _restore = Restore(|| end_writing(Writing::Nothing, &mut carried, &mut detached));
        write()
    };
    (result, carried, detached)
}

/// Inside of another payload, whose lists wait.
#[cold]
fn outgoing_inside<R>(former: Writing, write: impl FnOnce() -> R) -> (R, Vec<Carried>, Vec<Detached>) {
    let mut outer = LISTS.with(|lists| lists.outgoing.take());
    let (mut carried, mut detached) = (Vec::new(), Vec::new());
    let result = {
        let _restore = Restore(|| {
            end_writing(former, &mut carried, &mut detached);
            LISTS.with(|lists| lists.outgoing.replace(std::mem::take(&mut outer)));
        });
        write()
    };
    (result, carried, detached)
}

#[inline]
fn end_writing(former: Writing, carried: &mut Vec<Carried>, detached: &mut Vec<Detached>) {
    LISTS.with(|lists| {
        lists.writing.set(former);
        let mut outgoing = lists.outgoing.borrow_mut();
        if !outgoing.carried.is_empty() {
            *carried = std::mem::take(&mut outgoing.carried);
        }
        if !outgoing.detached.is_empty() {
            *detached = std::mem::take(&mut outgoing.detached);
        }
    });
}

/// Whether a value of the payload that this thread writes may be [detached](detach).
pub fn may_detach() -> bool {
    LISTS.with(|lists| lists.writing.get() == Writing::InParts)
}

/// Has bytes of the payload that this thread writes go from where they lie; nothing may have been written in their place.
pub fn detach(place: usize, bytes: SharedBytes) {
    if may_detach() {
        LISTS.with(|lists| lists.outgoing.borrow_mut().detached.push((place, bytes)));
    }
}

/// Runs `read` with `tokens` for the proxies that it deserializes.
#[inline]
pub fn incoming<R>(tokens: &[Carried], read: impl FnOnce() -> R) -> R {
    incoming_in(None, tokens, read)
}

/// As [`incoming`], of a payload in memory that values of it may [keep](kept).
#[inline]
pub fn incoming_in<R>(memory: Option<&Arc<Vec<u8>>>, tokens: &[Carried], read: impl FnOnce() -> R) -> R {
    let inside = LISTS.with(|lists| lists.reading.replace(true));
    if inside || !tokens.is_empty() || memory.is_some() {
        return incoming_with(inside, memory, tokens, read);
    }
    let _restore = Restore(|| LISTS.with(|lists| lists.reading.set(false)));
    read()
}

/// With something in the list; or inside of another payload, whose list waits.
fn incoming_with<R>(inside: bool, memory: Option<&Arc<Vec<u8>>>, tokens: &[Carried], read: impl FnOnce() -> R) -> R {
    let own = Incoming { tokens: tokens.to_vec(), memory: memory.cloned() };
    let mut outer = LISTS.with(|lists| lists.incoming.replace(own));
    let _restore = Restore(|| {
        let own = LISTS.with(|lists| {
            lists.reading.set(inside);
            lists.incoming.replace(std::mem::take(&mut outer))
        });
        drop(own);
    });
    read()
}

/// Keeps bytes of the payload that this thread reads: in their own memory, if they are most of that, or else in a copy.
pub fn kept(bytes: &[u8]) -> SharedBytes {
    let part = |lists: &ManuallyDrop<Lists>| SharedBytes::part(lists.incoming.borrow().memory.as_ref()?, bytes);
    LISTS.with(part).unwrap_or_else(|| bytes.to_vec().into())
}

/// Adds a token to the payload that this thread writes; its index, or `None` where no payload is being written.
pub fn put(carried: impl FnOnce() -> Carried) -> Option<u32> {
    LISTS.with(|lists| {
        if lists.writing.get() == Writing::Nothing {
            return None;
        }
        let carried = carried();
        let list = &mut lists.outgoing.borrow_mut().carried;
        list.push(carried);
        u32::try_from(list.len() - 1).ok()
    })
}

/// Whether this thread reads a payload.
pub fn is_reading() -> bool {
    LISTS.with(|lists| lists.reading.get())
}

/// Whether proxies stand beside the payload that this thread reads.
pub fn brings_tokens() -> bool {
    LISTS.with(|lists| !lists.incoming.borrow().tokens.is_empty())
}

/// The token of that index in the payload that this thread reads.
pub fn take(index: u32) -> Option<Carried> {
    LISTS.with(|lists| lists.incoming.borrow().tokens.get(usize::try_from(index).ok()?).cloned())
}
