//! What each worker does before its first task.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::PoolError;
use super::task::located;
use crate::codec::{self, Codec};
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::sys::image::{self, Location};

/// In one of two forms: only a plain function reaches workers that this process does not fork itself.
#[derive(Clone)]
pub enum Initializer {
    /// A closure, for forks of this process.
    Closure(Arc<dyn Fn() + Send + Sync>),
    /// A function and its argument, for any worker.
    Function(Function),
}

/// A plain function with its argument.
#[derive(Clone, Serialize, Deserialize)]
pub struct Function {
    /// Of the piece of this module that knows the argument's type.
    run: Location,
    function: Location,
    #[serde(with = "serde_bytes")]
    argument: Vec<u8>,
}

impl Function {
    pub fn new<A: Datum>(f: fn(A), argument: &A) -> Result<Self, PoolError> {
        fn run<A: Datum>(function: Function) -> Result<()> {
            let f = image::find::<fn(A)>(&function.function).map_err(|error| super::task::not_found(&error))?;
            f(codec::decode(Codec::Bincode, &function.argument).map_err(Error::unserializable::<A>)?);
            Ok(())
        }
        let mut bytes = Vec::new();
        codec::encode(Codec::Bincode, argument, &mut bytes).map_err(Error::unserializable::<A>)?;
        let run = located(image::locate(run::<A> as fn(Self) -> Result<()>))?;
        Ok(Self { run, function: located(image::locate(f))?, argument: bytes })
    }

    fn run(&self) -> Result<()> {
        let run = image::find::<fn(Self) -> Result<()>>(&self.run);
        run.map_err(|error| super::task::not_found(&error))?(self.clone())
    }
}

impl Initializer {
    /// Runs it, in a worker.
    ///
    /// # Panics
    /// As the initializer does, and when it can't be found: a worker that can't begin says so by a panic.
    pub fn run(&self) {
        match self {
            Self::Closure(f) => f(),
            Self::Function(function) => {
                if let Err(error) = function.run() {
                    panic!("{error}");
                }
            }
        }
    }
}
