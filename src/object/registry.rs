//! typeid → class: what a server can make, and what may be called.

use std::any::{Any, TypeId, type_name};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::class::{Changes, Class};
use super::referent::Referent;
use crate::error::{Error, Result};
use crate::sys::sync::Mutex;

/// The registered types of one server.
#[derive(Default)]
pub struct Registry {
    classes: FxHashMap<Arc<str>, Arc<Class>>,
    /// What types look like from Python, where that is not what they look like from Rust.
    #[cfg(feature = "python")]
    faces: FxHashMap<TypeId, &'static dyn super::face::Face>,
    /// What else was told of the server when it was described, for the types that ask for it.
    attached: FxHashMap<TypeId, Box<dyn Any + Send + Sync>>,
    /// Classes of types that nobody registered, made when a method's result became an object.
    unregistered: Mutex<FxHashMap<TypeId, Arc<Class>>>,
}

impl Registry {
    /// Adds a class.
    pub fn add(&mut self, class: Class) -> Result<()> {
        let typeid = Arc::clone(class.typeid());
        if self.classes.contains_key(&typeid) {
            return Err(Error::Registration {
                typeid: typeid.to_string(),
                reason: "registered twice; give one of them another name with `register_as`".into(),
            });
        }
        self.classes.insert(typeid, Arc::new(class));
        Ok(())
    }

    /// Keeps something for the types that ask for it, by its type.
    pub fn attach<A: Any + Send + Sync>(&mut self, attached: A) {
        self.attached.insert(TypeId::of::<A>(), Box::new(attached));
    }

    /// What was [attached](Self::attach).
    pub fn attached<A: Any>(&self) -> Option<&A> {
        self.attached.get(&TypeId::of::<A>())?.downcast_ref()
    }

    /// Looks for names that are used but not registered; to be called when all classes have been added.
    pub fn check(&self) -> Result<()> {
        for class in self.classes.values() {
            if let Some(missing) = class.returned_typeids().find(|typeid| !self.classes.contains_key(*typeid)) {
                return Err(Error::Registration {
                    typeid: class.typeid().to_string(),
                    reason: format!("method_to_typeid names {missing:?}, which is not registered"),
                });
            }
        }
        Ok(())
    }

    /// Says what types look like from Python.
    #[cfg(feature = "python")]
    pub fn set_faces(&mut self, faces: impl IntoIterator<Item = (TypeId, &'static dyn super::face::Face)>) {
        self.faces = faces.into_iter().collect();
    }

    /// What a class looks like from Python; `None` for one that looks as it does from Rust.
    #[cfg(feature = "python")]
    pub fn face(&self, class: &Class) -> Option<&'static dyn super::face::Face> {
        self.faces.get(&class.referent()).copied()
    }

    /// The class of that name.
    pub fn get(&self, typeid: &str) -> Result<Arc<Class>> {
        self.classes.get(typeid).cloned().ok_or_else(|| {
            let mut registered: Vec<_> = self.classes.keys().map(ToString::to_string).collect();
            registered.sort_unstable();
            Error::NoSuchType { typeid: typeid.to_owned(), registered }
        })
    }

    /// The class for a `T` that a method returned: the one of that typeid, else one registered for the type, else the type's plain one.
    pub fn class_of<T: Referent>(&self, typeid: Option<&str>) -> Result<Arc<Class>> {
        let referent = TypeId::of::<T>();
        if let Some(typeid) = typeid {
            let class = self.get(typeid)?;
            if class.referent() != referent {
                return Err(Error::Registration {
                    typeid: typeid.to_owned(),
                    reason: format!("method_to_typeid names it for a {}, which is another type", type_name::<T>()),
                });
            }
            return Ok(class);
        }
        let mut registered: Vec<_> = self.classes.values().filter(|class| class.referent() == referent).collect();
        registered.sort_unstable_by_key(|class| (&**class.typeid() != T::TYPEID, class.typeid()));
        if let Some(class) = registered.first() {
            return Ok(Arc::clone(class));
        }
        let mut unregistered = self.unregistered.lock();
        if let Some(class) = unregistered.get(&referent) {
            return Ok(Arc::clone(class));
        }
        let class = Arc::new(Class::new::<T>(T::TYPEID, Changes::default())?);
        unregistered.insert(referent, Arc::clone(&class));
        Ok(class)
    }
}
