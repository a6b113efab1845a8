//! Functions as a pool sends them: three shapes of them, and the piece of the worker that each needs.
//!
//! A worker gets bytes and [`Location`]s. The first of them is of a piece of this crate's code, compiled for exactly the task's types; it finds the
//! task's own function, decodes, calls and encodes without knowing any type at run time.

use serde::{Deserialize, Serialize};

use super::PoolError;
use super::worker::Worker;
use crate::datum::Datum;
use crate::error::Error;
use crate::sys::image::{self, Location, NotFound, OnState};

/// A function to be run over a chunk's items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Runs it.
    pub run: Location,
    /// What the user gave.
    pub function: Location,
    /// Makes the worker's state for it, where it has one.
    pub make: Option<Location>,
}

/// The worker's part: runs the chunk that it has taken.
pub type Run = OnState<Worker, (), ()>;

impl Task {
    /// `f(a)`.
    pub fn plain<A: Datum, R: Datum>(f: fn(A) -> R) -> Result<Self, PoolError> {
        fn run<A: Datum, R: Datum>(worker: &mut Worker, (): ()) {
            match image::find::<fn(A) -> R>(&worker.task().function) {
                Ok(f) => worker.run_items(f),
                Err(error) => worker.refuse(&error),
            }
        }
        let function = located(image::locate(f))?;
        Ok(Self { run: located(image::locate::<Run>(OnState(run::<A, R>)))?, function, make: None })
    }

    /// `f(a, b)`, of pairs.
    pub fn spread<A: Datum, B: Datum, R: Datum>(f: fn(A, B) -> R) -> Result<Self, PoolError> {
        fn run<A: Datum, B: Datum, R: Datum>(worker: &mut Worker, (): ()) {
            match image::find::<fn(A, B) -> R>(&worker.task().function) {
                Ok(f) => worker.run_items(|(a, b)| f(a, b)),
                Err(error) => worker.refuse(&error),
            }
        }
        let function = located(image::locate(f))?;
        Ok(Self { run: located(image::locate::<Run>(OnState(run::<A, B, R>)))?, function, make: None })
    }

    /// `f(&mut state, a)`, of a state that each worker makes once and keeps.
    pub fn stateful<S: 'static, A: Datum, R: Datum>(make: fn() -> S, f: fn(&mut S, A) -> R) -> Result<Self, PoolError> {
        fn run<S: 'static, A: Datum, R: Datum>(worker: &mut Worker, (): ()) {
            let task = *worker.task();
            let make = task.make.as_ref().map(image::find::<fn() -> S>);
            match (make, image::find::<OnState<S, A, R>>(&task.function)) {
                (Some(Ok(make)), Ok(f)) => worker.run_items_on(make, f.0),
                (Some(Err(error)), _) | (_, Err(error)) => worker.refuse(&error),
                (None, _) => unreachable!("a stateful task names what makes its state"),
            }
        }
        Ok(Self {
            run: located(image::locate::<Run>(OnState(run::<S, A, R>)))?,
            function: located(image::locate(OnState(f)))?,
            make: Some(located(image::locate(make))?),
        })
    }
}

pub fn located(location: Result<Location, NotFound>) -> Result<Location, PoolError> {
    location.map_err(|error| not_found(&error).into())
}

/// The same as the crate's error.
pub fn not_found(error: &NotFound) -> Error {
    Error::State { what: format!("a task can't be sent to a pool's worker: {error}") }
}
