//! What keeps an object of a Python server's alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::link::{Link, settled};
use super::message::{self, Request};
use crate::address::Address;
use crate::codec::pickle::{self, write};
use crate::codec::value::parts;
use crate::error::{Error, Result};
use crate::protocol::carriage::Keep;
use crate::protocol::{ObjectId, TicketId, Token};
use crate::sys::fork::generation;

/// The module of everything that belongs to the protocol itself.
const MANAGERS: &str = "multiprocessing.managers";

/// A reference that the server has counted.
///
/// Clones of a proxy share one; the last to be dropped gives it back, from a thread of its own, without waiting. A forked child's copy is counted anew when it is first used there.
pub struct Reference {
    link: Arc<Link>,
    /// What the server calls the object.
    ident: String,
    token: Token,
    /// The process that has counted it, by its fork generation.
    counted_in: AtomicU64,
}

impl Reference {
    /// Takes a reference to an object.
    ///
    /// # Errors
    /// [`Error::NoSuchObject`]; a server that is gone.
    pub fn take(link: &Arc<Link>, typeid: &str, ident: &str) -> Result<Arc<Self>> {
        let token = Token {
            server: link.server(),
            object: object(ident),
            typeid: typeid.into(),
            address: Arc::clone(link.address()),
        };
        let reference = Self { link: Arc::clone(link), ident: ident.to_owned(), token, counted_in: AtomicU64::new(0) };
        reference.ensure_counted()?;
        Ok(Arc::new(reference))
    }

    /// The way to its server.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// What it refers to.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// What the server calls the object.
    pub(super) fn ident(&self) -> &str {
        &self.ident
    }

    /// Sees that the server has counted it for this process.
    pub(super) fn ensure_counted(&self) -> Result<()> {
        let (now, counted_in) = (generation(), self.counted_in.load(Ordering::Acquire));
        // Pairs with itself: one thread counts.
        let counts = |from, to| self.counted_in.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if counted_in == now || !counts(counted_in, now) {
            return Ok(());
        }
        let ident = message::text(&self.ident);
        let asked = self.link.ask(&Request { arguments: &[&ident], ..Request::plain("incref") });
        let counted = asked.and_then(settled).map_err(|error| match error {
            Error::Remote(_) => Error::NoSuchObject { object: self.token.object.0 },
            other => other,
        });
        if counted.is_err() {
            counts(now, counted_in);
        }
        counted.map(drop)
    }

    /// The names of the methods that may be called.
    pub fn methods(&self) -> Result<Vec<String>> {
        self.ensure_counted()?;
        let mut token = Vec::new();
        self.append_token(&mut token);
        let token = parts::opaque(&format!("{}{MANAGERS}.Token", pickle::KIND), &token);
        settled(self.link.ask(&Request { arguments: &[&token], ..Request::plain("get_methods") })?)?.decode()
    }

    /// The class of its proxies, where that is no secret. An `AutoProxy` has its server ask itself which methods it has.
    fn proxytype(&self) -> &'static str {
        match &*self.token.typeid {
            "list" => "ListProxy",
            "dict" => "DictProxy",
            "Namespace" => "NamespaceProxy",
            "Value" => "ValueProxy",
            "Array" => "ArrayProxy",
            "Event" => "EventProxy",
            "Lock" | "RLock" | "Semaphore" | "BoundedSemaphore" => "AcquirerProxy",
            "Condition" => "ConditionProxy",
            "Barrier" => "BarrierProxy",
            "Iterator" => "IteratorProxy",
            "Pool" => "PoolProxy",
            _ => "AutoProxy",
        }
    }

    /// Appends it as Python pickles a proxy.
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        write::global(out, MANAGERS, "RebuildProxy");
        write::begin_tuple(out, 4);
        write::global(out, MANAGERS, self.proxytype());
        self.append_token(out);
        write::str(out, "pickle");
        write::begin_dict(out);
        write::end_dict(out);
        write::end_tuple(out, 4);
        write::call(out);
    }

    fn append_token(&self, out: &mut Vec<u8>) {
        write::global(out, MANAGERS, "Token");
        write::end_tuple(out, 0);
        write::new(out);
        write::begin_tuple(out, 3);
        write::str(out, &self.token.typeid);
        match self.link.place() {
            Address::Unix(path) => write::str(out, &path.to_string_lossy()),
            Address::Abstract(name) => write::bytes(out, &[&[0], &name[..]].concat()),
            Address::Tcp { host, port } => {
                write::str(out, host);
                write::int(out, i64::from(*port));
                write::end_tuple(out, 2);
            }
        }
        write::str(out, &self.ident);
        write::end_tuple(out, 3);
        write::build(out);
    }
}

/// The number in an object's name: CPython's are hexadecimal numbers, and say where the object lies.
fn object(ident: &str) -> ObjectId {
    let digits = ident.split('-').next().unwrap_or(ident);
    ObjectId(u64::from_str_radix(digits, 16).unwrap_or_else(|_| {
        // FNV-1a, for a server that calls them otherwise.
        ident
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }))
}

impl Keep for Reference {
    fn issue(self: Arc<Self>) -> Option<TicketId> {
        None
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // A forked child's copy may never have been counted.
        if *self.counted_in.get_mut() == generation() {
            self.link.give_back(std::mem::take(&mut self.ident));
        }
    }
}
