//! A handle to an object of a Python server's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};

use super::link::{Link, Written};
use crate::address::Address;
use crate::codec;
use crate::codec::pickle::write;
use crate::error::Result;
use crate::object::methods::VALUE;
use crate::protocol::carriage::{self, Carried, Keep};
use crate::protocol::{ObjectId, TicketId, Token};
use crate::sys::fork::Stamp;
use crate::sys::thread;

/// A handle to an object of a Python manager's: what [`PythonManager::create`](super::PythonManager::create) gives, and what a method answers that returns a proxy.
///
/// Clones share one reference; the last to be dropped gives it back, from a thread of its own, without waiting. It may be an argument and an element in calls to its own server; elsewhere it
/// can't be sent.
#[derive(Clone)]
pub struct PythonProxy {
    reference: Arc<Reference>,
}

/// A reference that the server has counted.
pub(super) struct Reference {
    link: Arc<Link>,
    typeid: String,
    ident: String,
    /// A number in place of the name, for those who know objects by numbers.
    object: ObjectId,
    stamp: Stamp,
}

static LAST: AtomicU64 = AtomicU64::new(0);

impl PythonProxy {
    /// Takes a reference to an object.
    pub(super) fn new(link: &Arc<Link>, typeid: &str, ident: &str) -> Result<Self> {
        link.ask(&Written::plain(None, "incref", &[ident])?)?;
        // Pairs with nothing: only the number's uniqueness counts.
        let object = ObjectId(LAST.fetch_add(1, Ordering::Relaxed) + 1);
        let (link, stamp) = (Arc::clone(link), Stamp::now());
        Ok(Self {
            reference: Arc::new(Reference { link, typeid: typeid.to_owned(), ident: ident.to_owned(), object, stamp }),
        })
    }

    /// The name that its type is registered under.
    pub fn typeid(&self) -> &str {
        &self.reference.typeid
    }

    /// Calls a method, with a tuple of arguments; `()` for none. Blocks until the method has answered.
    ///
    /// # Errors
    /// What the method raised, as [`Error::Remote`](crate::Error::Remote); a result that is no `R`; a server that is gone.
    #[doc(alias = "_callmethod")]
    pub fn call_method<R: DeserializeOwned>(&self, method: &str, arguments: impl Serialize) -> Result<R> {
        self.call_method_with(method, arguments, ())
    }

    /// As [`call_method`](Self::call_method), with keyword arguments: a map or struct of names and values.
    pub fn call_method_with<R: DeserializeOwned>(
        &self,
        method: &str,
        arguments: impl Serialize,
        keywords: impl Serialize,
    ) -> Result<R> {
        let Reference { link, ident, .. } = &*self.reference;
        let written = Written::new(Some(ident), method, None, &arguments, &keywords)?;
        link.call(&written)?.decode(link)
    }

    /// The object's text.
    pub fn text(&self) -> Result<String> {
        self.call_method("__str__", ())
    }

    /// A copy of what the object is.
    #[doc(alias = "_getvalue")]
    pub fn to_value<R: DeserializeOwned>(&self) -> Result<R> {
        self.call_method(VALUE, ())
    }

    pub(super) fn carried(&self) -> Carried {
        let Reference { link, typeid, object, .. } = &*self.reference;
        let address = link.address().to_string();
        let token =
            Token { server: link.server, object: *object, typeid: typeid.as_str().into(), address: address.into() };
        Carried { token, ticket: None, keep: Some(Arc::clone(&self.reference) as Arc<dyn Keep>) }
    }
}

impl Reference {
    /// The class of its proxies, where that is no secret. An `AutoProxy` has its server ask itself which methods it has.
    fn proxytype(&self) -> &'static str {
        match &*self.typeid {
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

    pub(super) fn is_of(&self, link: &Link) -> bool {
        self.link.server == link.server
    }

    /// Appends it as Python pickles a proxy.
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        let managers = "multiprocessing.managers";
        write::global(out, managers, "RebuildProxy");
        write::begin_tuple(out, 4);
        write::global(out, managers, self.proxytype());
        write::global(out, managers, "Token");
        write::end_tuple(out, 0);
        write::new(out);
        write::begin_tuple(out, 3);
        write::str(out, &self.typeid);
        match self.link.address() {
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
        write::str(out, "pickle");
        write::begin_dict(out);
        write::end_dict(out);
        write::end_tuple(out, 4);
        write::call(out);
    }
}

impl Keep for Reference {
    fn issue(self: Arc<Self>) -> Option<TicketId> {
        None
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // A forked child's copy was never counted.
        if !self.stamp.is_current() {
            return;
        }
        let begins = {
            let mut returned = self.link.returned.lock();
            returned.0.push(std::mem::take(&mut self.ident));
            !std::mem::replace(&mut returned.1, true)
        };
        if !begins {
            return;
        }
        let link = Arc::clone(&self.link);
        let give_back = move || {
            loop {
                let next = {
                    let mut returned = link.returned.lock();
                    let next = returned.0.pop();
                    returned.1 = next.is_some();
                    next
                };
                let Some(ident) = next else { return };
                // A server that is gone has nothing left to be given back.
                let _ = Written::plain(None, "decref", &[&ident]).and_then(|written| link.ask(&written));
            }
        };
        if thread::spawn("multiproc-python", give_back).is_err() {
            self.link.returned.lock().1 = false;
        }
    }
}

impl Serialize for PythonProxy {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match carriage::put(|| self.carried()) {
            Some(index) => serializer.serialize_newtype_struct(codec::PROXY, &index),
            None => Err(S::Error::custom("a proxy of a Python server's object can only be sent to that server")),
        }
    }
}

impl<'de> Deserialize<'de> for PythonProxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Carriage;

        impl<'de> Visitor<'de> for Carriage {
            type Value = PythonProxy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a proxy")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                inner: D,
            ) -> std::result::Result<PythonProxy, D::Error> {
                let carried = carriage::take(u32::deserialize(inner)?);
                let reference = carried.and_then(|carried| carried.kept::<Reference>());
                let reference = reference.ok_or_else(|| de::Error::custom("a proxy of no Python server's object"))?;
                Ok(PythonProxy { reference })
            }
        }

        deserializer.deserialize_newtype_struct(codec::PROXY, Carriage)
    }
}

impl fmt::Debug for PythonProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reference { link, typeid, ident, .. } = &*self.reference;
        write!(f, "<proxy of {typeid} {ident} at {}>", link.address())
    }
}

/// The object's text; where that can't be had, as Python says it.
impl fmt::Display for PythonProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Ok(text) => f.pad(&text),
            Err(error) => write!(f, "<{} proxy; '__str__()' failed: {error}>", self.typeid()),
        }
    }
}
