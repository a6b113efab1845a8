//! Attributes of any types under names.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::dict::Dict;
use super::element::{Element, elements};
use super::encodes::{Encodes, Slot, sent};
use super::update::{self, Updated};
use crate::datum::Datum;
use crate::error::Result;
use crate::object::Referent;
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::proxy::{Maker, Proxy};

/// The referent of a [`NamespaceProxy`]: a dict whose keys are names.
#[derive(Debug, Default)]
pub struct Namespace {
    attributes: Dict,
}

/// As Python prints a namespace: `Namespace(x=1, y='a')`.
impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Namespace(")?;
        let mut first = true;
        self.attributes.for_each(|name, value| {
            let separator = if std::mem::take(&mut first) { "" } else { ", " };
            let name = name.read::<&str>().unwrap_or("?");
            write!(f, "{separator}{name}={value}")
        })?;
        f.write_str(")")
    }
}

impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.attributes.serialize(serializer)
    }
}

/// A map's entries, in its order.
struct Attributes(Vec<(Element, Element)>);

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Attributes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("attributes: a struct, or a map with names as keys")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Attributes, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Attributes(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

impl Referent for Namespace {
    type Proxy = NamespaceProxy;
    type Store = Bare<Self>;
    const TYPEID: &'static str = "Namespace";

    fn methods(table: &mut Methods<Self>) {
        table.dynamic_constructor("new", &["attributes"], |call| {
            let (Attributes(entries),) = elements::<(Attributes,)>(call)?;
            let attributes = Dict::new();
            attributes.insert_all(entries)?;
            Ok(Self { attributes })
        });
        table.dynamic("get", &["name"], |this, call| this.attributes.get(call));
        table.dynamic("set", &["name", "value"], |this, call| this.attributes.assign(call));
        table.dynamic("remove", &["name"], |this, call| this.attributes.remove(call));
        table.dynamic("contains", &["name"], |this, call| this.attributes.contains_key(call));
        table.dynamic("names", &[], |this, call| this.attributes.keys(call));
        table.dynamic("equals", &["other"], |this, call| this.attributes.equals(call));
        update::list(table);
        table.display();
        table.value();
    }
}

impl Updated for Namespace {
    type Cells = <Dict as Updated>::Cells;

    fn cells(&self) -> &std::sync::Arc<Self::Cells> {
        self.attributes.cells()
    }
}

proxy_type! {
    /// Attributes that many processes share, each of a type of its own.
    ///
    /// A struct turns into one ([`of`](Self::of)) and can be read from one ([`to_value`](Proxy::to_value)). Calls block until the server has answered, and fail only as every call may
    /// ([`Error`](crate::Error)), or where an attribute is of another type than is asked for.
    ///
    /// ```
    /// use multiproc::{Proxy, SyncManager, types::NamespaceProxy};
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Settings { depth: u32, name: String }
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let settings = NamespaceProxy::of(&manager, &Settings { depth: 3, name: "x".into() })?;
    /// settings.set("depth", 4)?;
    /// settings.set("ratio", 0.5)?;
    /// assert_eq!(settings.get::<f64>("ratio")?, Some(0.5));
    /// assert_eq!(settings.to_string(), "Namespace(depth=4, name='x', ratio=0.5)");
    /// settings.update("depth", |depth: Option<u32>| depth.map(|depth| depth + 1))?;
    /// settings.remove("ratio")?;
    /// let copy: Settings = settings.to_value()?;
    /// assert_eq!(copy.depth, 5);
    /// # manager.shutdown()
    /// # }
    /// ```
    pub struct NamespaceProxy, NamespaceDeferred;
}

calls! {
    [] NamespaceProxy[], NamespaceDeferred;

    /// Sets an attribute.
    #[doc(alias = "__setattr__")]
    fn set(&self, name: &str, value: impl Serialize) -> () { "set"(name, value) }

    /// Removes an attribute; whether it was there.
    #[doc(alias = "__delattr__")]
    fn remove(&self, name: &str) -> bool { "remove"(name) => |former: Slot<serde::de::IgnoredAny>| former.into_inner().is_some() }

    /// Whether there is such an attribute.
    #[doc(alias = "hasattr")]
    fn contains(&self, name: &str) -> bool { "contains"(name) }

    /// The attributes' names, in the order in which they were first set.
    #[doc(alias = "dir")]
    fn names(&self) -> Vec<String> { "names"() }
}

impl NamespaceProxy {
    /// Makes a namespace without attributes in the server.
    pub fn new(manager: &impl AsRef<Maker>) -> Result<Self> {
        Self::of(manager, &std::collections::BTreeMap::<&str, ()>::new())
    }

    /// Makes a namespace of a struct's fields, or of a map with names as keys.
    pub fn of(manager: &impl AsRef<Maker>, attributes: &impl Serialize) -> Result<Self> {
        manager.as_ref().construct_by_value::<Namespace, Self, _>("new", &(attributes,))
    }

    /// As [`set`](Self::set), with the attribute's type named: by that, a large vector of numbers is sent as one block.
    ///
    /// ```
    /// # use multiproc::{SyncManager, types::NamespaceProxy};
    /// # fn main() -> multiproc::Result<()> {
    /// # let manager = SyncManager::start()?;
    /// # let model = NamespaceProxy::new(&manager)?;
    /// let weights = vec![0.5; 1_000_000];
    /// model.set_as::<Vec<f64>>("weights", &weights)?;
    /// assert_eq!(model.get::<Vec<f64>>("weights")?, Some(weights));
    /// # manager.shutdown()
    /// # }
    /// ```
    pub fn set_as<V: Datum>(&self, name: &str, value: impl Encodes<V>) -> Result<()> {
        self.set(name, sent::<V, _>(&value))
    }

    /// An attribute; `None` where there is none of that name.
    #[doc(alias = "__getattr__")]
    pub fn get<V: Datum>(&self, name: &str) -> Result<Option<V>> {
        Ok(self.base().invoke_by_value::<_, Slot<V>>("get", &(name,))?.into_inner())
    }

    /// Whether the attributes equal those of another namespace, of a struct, or of a map with names as keys: by value, and without regard to order.
    #[doc(alias = "__eq__")]
    pub fn equals(&self, other: &impl Serialize) -> Result<bool> {
        self.base().invoke_by_value("equals", &(other,))
    }

    /// Changes an attribute by a function of it, with nobody's change in between; returns the new one. `None` stands for no attribute, and removes it.
    /// As [`DictProxy::update`](super::DictProxy::update).
    pub fn update<V: Datum>(&self, name: &str, mut change: impl FnMut(Option<V>) -> Option<V>) -> Result<Option<V>> {
        Ok(update::update(self.base(), &name, |value| Some(change(value)))?.flatten())
    }
}
