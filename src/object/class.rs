//! A registered type, as the server uses it: which constructors and methods it offers, and how they are called.

use std::any::{Any, TypeId, type_name};
use std::sync::Arc;

use super::answer::Failure;
use super::entry::Entry;
use super::invocation::Invocation;
use super::methods::{Body, MethodInfo, Methods, STR, UNTYPED, VALUE};
use super::names::Names;
#[cfg(feature = "python")]
use super::raised::Raising;
use super::referent::Referent;
use super::stored::Shared;
use super::table::Table;
use crate::error::{Error, Result};

/// Makes an instance for a call of a constructor.
pub(super) type Make =
    Box<dyn Fn(&mut Invocation<'_>, &Arc<Table>, &Arc<Class>) -> Result<Arc<Entry>, Failure> + Send + Sync>;

/// A constructor of a class.
pub(super) struct Maker {
    /// Its name; `None` for a registered callable, which takes the place of all constructors.
    pub(super) name: Option<&'static str>,
    pub(super) parameters: &'static [&'static str],
    pub(super) signature: u32,
    pub(super) make: Make,
}

/// A method of a class.
pub(super) struct MethodSlot {
    pub(super) info: MethodInfo,
    /// The structural hash of its types.
    pub(super) signature: u32,
    pub(super) exposed: bool,
    /// The typeid that its result is registered under, where that was said.
    pub(super) returns: Option<Arc<str>>,
}

/// The functions around the methods, in the order of the slots.
pub(super) struct Bodies<T>(Vec<Body<T>>);

impl<T> Bodies<T> {
    pub(super) fn get(&self, method: usize) -> Option<&Body<T>> {
        self.0.get(method)
    }
}

/// Whether a caller's idea of the types, if he has one, is the server's.
fn fits(callers: Option<u32>, own: u32) -> bool {
    callers.is_none_or(|callers| callers == own && own != UNTYPED)
}

/// One registered type.
pub struct Class {
    typeid: Arc<str>,
    referent: TypeId,
    slots: Vec<MethodSlot>,
    names: Names,
    makers: Vec<Maker>,
    bodies: Box<dyn Any + Send + Sync>,
}

/// What a registration changes of a type's plain class.
#[derive(Default)]
pub(super) struct Changes {
    /// The only methods to expose.
    pub(super) exposed: Option<Vec<String>>,
    /// The typeids that methods' results are registered under.
    pub(super) returns: Vec<(String, String)>,
    /// What takes the place of the constructors: others, or none.
    pub(super) makers: Option<Vec<Maker>>,
}

impl Class {
    /// The class of `T` under `typeid`.
    pub(super) fn new<T: Referent>(typeid: &str, changes: Changes) -> Result<Self> {
        let methods = Methods::<T>::of();
        let mut slots = Vec::new();
        let mut bodies = Vec::new();
        let wrong = |reason: String| Error::Registration { typeid: typeid.to_owned(), reason };
        let listed: Vec<_> = methods.methods.iter().map(|(info, _)| info.name).collect();
        let names = Names::new(&listed).map_err(|name| wrong(format!("{} lists {name:?} twice", type_name::<T>())))?;
        for (info, body) in methods.methods {
            let exposed = changes.exposed.as_ref().is_none_or(|names| names.iter().any(|name| name == info.name));
            let returns = changes.returns.iter().find(|(method, _)| method == info.name);
            slots.push(MethodSlot {
                // As in Python: text and copy are always to be had, where the type has them.
                exposed: exposed || returns.is_some() || info.name == STR || info.name == VALUE,
                signature: info.signature.map_or(UNTYPED, |signature| signature()),
                returns: returns.map(|(_, typeid)| typeid.as_str().into()),
                info,
            });
            bodies.push(body);
        }
        let named = changes.exposed.iter().flatten().chain(changes.returns.iter().map(|(method, _)| method));
        for name in named {
            if names.find(name.as_bytes()).is_none() {
                return Err(wrong(format!("{} has no method {name:?} to expose", type_name::<T>())));
            }
        }
        let plain = || {
            methods.constructors.into_iter().map(|(info, construct)| Maker {
                name: Some(info.name),
                parameters: info.parameters,
                signature: (info.signature)(),
                make: Box::new(move |call, table, class| Ok(Shared::new(construct(call)?).entry(table, class))),
            })
        };
        Ok(Self {
            typeid: typeid.into(),
            referent: TypeId::of::<T>(),
            slots,
            names,
            makers: changes.makers.unwrap_or_else(|| plain().collect()),
            bodies: Box::new(Bodies(bodies)),
        })
    }

    /// The name it is registered under.
    pub fn typeid(&self) -> &Arc<str> {
        &self.typeid
    }

    /// Which Rust type its instances are.
    pub(super) fn referent(&self) -> TypeId {
        self.referent
    }

    /// Whether a registered callable makes its instances, and not its own constructors.
    #[cfg(feature = "python")]
    pub fn has_callable(&self) -> bool {
        self.makers.iter().any(|maker| maker.name.is_none())
    }

    /// What the errors of a method are in Python, where that was said.
    #[cfg(feature = "python")]
    pub fn raising(&self, method: &str) -> Option<&Raising> {
        self.slots[self.names.find(method.as_bytes())?].info.raising.as_ref()
    }

    #[inline]
    pub(super) fn slot(&self, method: usize) -> Option<&MethodSlot> {
        self.slots.get(method)
    }

    pub(super) fn bodies<T: 'static>(&self) -> Option<&Bodies<T>> {
        self.bodies.downcast_ref()
    }

    /// The names of the exposed methods.
    pub fn exposed(&self) -> Vec<String> {
        let exposed = self.slots.iter().filter(|slot| slot.exposed && slot.info.name != STR && slot.info.name != VALUE);
        exposed.map(|slot| slot.info.name.to_owned()).collect()
    }

    /// The typeids that its methods' results are to have.
    pub(super) fn returned_typeids(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().filter_map(|slot| slot.returns.as_deref())
    }

    /// The place of an exposed method whose types are what the caller thinks, if he thinks any (`signature`; `None` for a call that describes itself).
    #[inline]
    pub(super) fn find(&self, name: &[u8], signature: Option<u32>) -> Result<usize> {
        let found = self.names.find(name).and_then(|place| Some((place, self.slots.get(place)?)));
        match found {
            Some((place, slot)) if slot.exposed && fits(signature, slot.signature) => Ok(place),
            found => Err(self.missing(name, found.map(|(_, slot)| slot))),
        }
    }

    /// Why there is no such method, or why this one may not be called so.
    #[cold]
    fn missing(&self, name: &[u8], found: Option<&MethodSlot>) -> Error {
        let (typeid, method) = (self.typeid.to_string(), String::from_utf8_lossy(name).into_owned());
        match found {
            None => Error::NoSuchMethod { typeid, method, available: self.exposed() },
            Some(slot) if !slot.exposed => Error::NotExposed { typeid, method },
            Some(_) => Error::Signature { typeid, method },
        }
    }

    /// The constructor of that name; with an empty name the first.
    pub(super) fn maker(&self, name: &str, signature: Option<u32>) -> Result<&Maker> {
        let named = |maker: &&Maker| name.is_empty() || maker.name.is_none_or(|own| own == name);
        let maker = self.makers.iter().find(named).ok_or_else(|| Error::NoConstructor {
            typeid: self.typeid.to_string(),
            constructor: name.to_owned(),
            reason: match self.makers.iter().filter_map(|maker| maker.name).collect::<Vec<_>>() {
                names if names.is_empty() => "it is registered with create_method(false), or has none".into(),
                names => format!("it has {names:?}"),
            },
        })?;
        if !fits(signature, maker.signature) {
            return Err(Error::Signature { typeid: self.typeid.to_string(), method: name.to_owned() });
        }
        Ok(maker)
    }
}
