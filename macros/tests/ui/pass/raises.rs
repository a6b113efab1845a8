//! Exceptions, as they are named by types and by methods.

use multiproc::{Raised, Raises, Responder};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, thiserror::Error, Serialize, Deserialize, Raises)]
#[raises("ValueError", text)]
pub enum Refusal<T> {
    #[error("no {0}")]
    #[raises("KeyError")]
    Missing(T),
    #[error("overdrawn")]
    #[raises("bank.errors.Overdrawn")]
    Overdrawn { by: u64, r#type: String },
    #[error("stopped")]
    #[raises("StopIteration")]
    Stopped,
    #[error("other")]
    Other,
}

#[derive(Debug, thiserror::Error, Serialize, Deserialize, Raises)]
#[error("lone")]
#[raises("RuntimeError", text)]
pub struct Lone;

#[derive(Debug, Raises)]
pub enum Never {}

pub struct Bank;

#[multiproc::referent(raises)]
impl Bank {
    pub fn new() -> Result<Self, Lone> {
        Ok(Self)
    }

    pub fn count(&self) -> u64 {
        0
    }

    pub fn find(&self) -> Result<u64, Refusal<String>> {
        Err(Refusal::Stopped)
    }

    #[referent(raises = "PermissionError")]
    pub fn enter(&self) -> Result<(), String> {
        Err("no".into())
    }

    #[referent(error = text)]
    pub fn leave(&self) -> Result<(), std::num::ParseIntError> {
        Ok(())
    }

    #[referent(error = text, raises = "queue.Full")]
    pub fn later(&self) -> Result<(), std::num::ParseIntError> {
        Ok(())
    }

    pub fn wait(&self, responder: Responder<(), Lone>) {
        responder.fail(&Lone);
    }
}

fn main() {
    let missing = Refusal::Missing("ada");
    assert_eq!(missing.raised(), Raised::new("KeyError").argument("ada"));
    let overdrawn = Refusal::<u8>::Overdrawn { by: 7, r#type: "x".into() };
    assert_eq!(overdrawn.raised(), Raised::new("bank.errors.Overdrawn").argument(&7).argument("x"));
    assert_eq!(Refusal::<u8>::Stopped.raised(), Raised::new("StopIteration"));
    assert_eq!(Refusal::<u8>::Other.raised(), Raised::new("ValueError").argument("other"));
    assert_eq!(Lone.raised(), Raised::new("RuntimeError").argument("lone"));
}
