//! Read-modify-write: a value of an object is changed by a function in the client, with nobody's change in between.
//!
//! The client reads a *cell* (an entry, an index) with its version, computes, and has it replaced if the version is still the same. That needs no turns and starves
//! nobody for long while few compete; who has failed [`TRIES`] times takes a [reservation](super::reservation), and those without one must wait. Both halves stand here: [`update`]
//! is the client's, and an object in the server has its [`Cells`] and [`list`]s the methods.
//!
//! # Invariants
//! - A cell is changed under the object's own lock, and under it one looks whether it is somebody's turn; so nothing comes between a turn's beginning and what it reads. That
//!   lock is taken before the turns'.
//! - Under neither lock anybody is answered, or anything dropped.

use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::Serialize;

use super::bulk::Received;
use super::element::{Element, elements};
use super::encodes::{Slot, sent};
use super::reservation::{Asked, Cell, Reservations, Turn, Waiting, Write};
use super::watched::Watched;
use crate::datum::Datum;
use crate::error::Result;
use crate::object::methods::Methods;
use crate::object::{Failure, Heir, Invocation, Outcome, Referent, Responder};
use crate::protocol::ClientId;
use crate::proxy::BaseProxy;
use crate::sys::fork::Stamp;
use crate::sys::sync::Mutex;

/// How long the holder of a turn may compute: a turn is for pure functions, and must not stop the others for long where one never comes back from them.
const LIMIT: Duration = Duration::from_secs(1);

/// How often an update tries without a reservation.
pub(super) const TRIES: u32 = 8;

/// What is in a cell, if there is anything, with its version: no two writes of a cell have the same.
pub(super) type Fetched = Slot<(u64, Element)>;

/// What the holder of a turn is told: the reservation's name, whether the former holder died in its turn, and what is in the cell.
pub(super) type Reserved = (u64, bool, Fetched);

/// A change that somebody has computed.
pub(super) struct Change {
    /// How the call named the cell.
    pub(super) name: Element,
    /// What was computed from.
    pub(super) version: Option<u64>,
    /// What was computed; `None` empties the cell.
    pub(super) new: Option<Element>,
}

/// The state of an object that consists of cells.
pub(super) trait Cells: Send + Sync + Sized + 'static {
    /// Names a cell. May be dropped anywhere.
    type Cell: Cell;

    /// Whose turn it is.
    fn turns(&self) -> &Turns<Self>;

    /// The cell that a call names.
    fn cell(&self, name: &Element) -> Result<Self::Cell, Failure>;

    /// What is in a cell.
    fn fetch(&self, cell: &Self::Cell) -> Result<Fetched>;

    /// Makes a change, if the cell still has its version, and `may` says under the object's lock that it may be made.
    fn replace(&self, cell: &Self::Cell, change: Change, may: impl FnOnce() -> bool) -> Result<bool>;
}

/// Whose turn it is to change an object's cells, and who waits for that.
pub(super) struct Turns<C: Cells> {
    cells: Weak<C>,
    reservations: Mutex<Reservations<C::Cell>>,
    watched: Watched,
}

impl<C: Cells> Turns<C> {
    /// For that object.
    pub(super) fn new(cells: Weak<C>) -> Self {
        Self { cells, reservations: Mutex::default(), watched: Watched::default() }
    }

    /// Whether somebody's turn keeps others from changing the cell.
    pub(super) fn is_held(&self, cell: &C::Cell) -> bool {
        self.reservations.lock().is_held(cell)
    }

    /// Whether this reservation has the turn.
    fn is_holder(&self, cell: &C::Cell, reservation: u64) -> bool {
        self.reservations.lock().is_holder(cell, reservation)
    }

    /// Gives the caller a turn, now or when those before have had theirs.
    pub(super) fn reserve(&self, call: &mut Invocation<'_>, cell: C::Cell, limit: Option<Duration>) -> Outcome {
        if let Some(cells) = self.cells.upgrade() {
            self.watched.watch(call, &cells)?;
        }
        let responder = call.responder();
        let number = self.reservations.lock().number();
        responder.on_cancel(self.giving_up(cell.clone(), number));
        self.ask(cell, number, Waiting::Turn(responder, limit));
        Ok(call.answered_later())
    }

    /// Writes as soon as nobody has the turn; `responder` is the write's.
    pub(super) fn write<R>(
        &self,
        cell: C::Cell,
        responder: Responder<R>,
        write: impl FnOnce(Responder<R>) -> Box<dyn Write>,
    ) {
        let number = self.reservations.lock().number();
        responder.on_cancel(self.giving_up(cell.clone(), number));
        self.ask(cell, number, Waiting::Write(write(responder)));
    }

    fn ask(&self, cell: C::Cell, number: u64, waiting: Waiting) {
        let asked = self.reservations.lock().ask(cell, number, waiting);
        match asked {
            Asked::Turn(turn) => self.pass(Some(turn)),
            Asked::Gone(waiting) => drop(waiting),
            Asked::Waits => {}
        }
    }

    /// Takes one who waits out of the queue.
    fn giving_up(&self, cell: C::Cell, number: u64) -> impl FnOnce() + Send + use<C> {
        let cells = self.cells.clone();
        move || {
            if let Some(cells) = cells.upgrade() {
                let gone = cells.turns().reservations.lock().give_up(&cell, number);
                drop(gone);
            }
        }
    }

    /// Lets go of a lock whose holder is no more.
    pub(super) fn abandon(&self, cell: &C::Cell, reservation: u64) {
        self.end_turn(cell, reservation, true);
    }

    /// Lets go of a turn, if it has not ended yet.
    fn end_turn(&self, cell: &C::Cell, reservation: u64, abandoned: bool) {
        let mut gone = Vec::new();
        let next = self.reservations.lock().release(cell, reservation, abandoned, &mut gone);
        self.pass(next);
    }

    /// Does what waits, until it is the turn of somebody else's process.
    fn pass(&self, mut next: Option<Turn<C::Cell>>) {
        while let Some(Turn { cell, reservation, waiting, abandoned }) = next.take() {
            match waiting {
                Waiting::Write(write) => {
                    write.write();
                    let mut gone = Vec::new();
                    next = self.reservations.lock().release(&cell, reservation, false, &mut gone);
                }
                Waiting::Turn(responder, limit) => {
                    let Some(cells) = self.cells.upgrade() else { return };
                    let fetched = match cells.fetch(&cell) {
                        Ok(fetched) => fetched,
                        Err(error) => {
                            responder.refuse(&error);
                            let mut gone = Vec::new();
                            next = self.reservations.lock().release(&cell, reservation, false, &mut gone);
                            continue;
                        }
                    };
                    // Of what has not arrived nobody has heard.
                    let release = |abandoned| {
                        let (cells, cell) = (Weak::clone(&self.cells), cell.clone());
                        move || {
                            if let Some(cells) = cells.upgrade() {
                                cells.turns().end_turn(&cell, reservation, abandoned);
                            }
                        }
                    };
                    if let Some(limit) = limit {
                        self.watched.after(limit, release(false));
                    }
                    responder.respond_or_put_back(&(reservation, abandoned, fetched), release(abandoned));
                }
            }
        }
    }
}

/// A turn ends with its holder.
impl<C: Cells> Heir for C {
    fn client_ended(&self, client: ClientId) {
        let turns = self.turns();
        turns.watched.forget(client);
        let mut gone = Vec::new();
        let next = turns.reservations.lock().end(client, &mut gone);
        next.into_iter().for_each(|turn| turns.pass(Some(turn)));
    }
}

/// A referent whose cells clients update.
pub(super) trait Updated: Referent {
    /// Its state.
    type Cells: Cells;

    /// Its state.
    fn cells(&self) -> &Arc<Self::Cells>;
}

/// Lists what [`update`] calls.
pub(super) fn list<R: Updated>(table: &mut Methods<R>) {
    table.dynamic("fetch", &["cell"], fetch::<R>);
    table.dynamic("replace", &["cell", "version", "new"], replace::<R>);
    table.dynamic("reserve", &["cell"], reserve::<R>);
    table.dynamic("commit", &["cell", "reservation", "version", "new"], commit::<R>);
    table.dynamic("release", &["cell", "reservation"], release::<R>);
}

fn fetch<R: Updated>(this: &R, call: &mut Invocation<'_>) -> Outcome {
    let (name,) = call.arguments::<(Element,)>()?;
    let cells = this.cells();
    let fetched = cells.fetch(&cells.cell(&name)?)?;
    call.answer(&fetched)
}

/// Replaces a value that is still of that version; not while somebody has a turn.
fn replace<R: Updated>(this: &R, call: &mut Invocation<'_>) -> Outcome {
    let (name, version, new) = elements::<(Element, Option<u64>, Slot<Element>)>(call)?;
    let cells = this.cells();
    let cell = cells.cell(&name)?;
    let change = Change { name, version, new: new.into_inner() };
    let replaced = cells.replace(&cell, change, || !cells.turns().is_held(&cell))?;
    call.answer(&replaced)
}

/// Waits for the turn to change a value.
fn reserve<R: Updated>(this: &R, call: &mut Invocation<'_>) -> Outcome {
    let (name,) = call.arguments::<(Element,)>()?;
    let cells = this.cells();
    cells.turns().reserve(call, cells.cell(&name)?, Some(LIMIT))
}

/// Ends a turn by its change: answers true. Where the value is another meanwhile, the turn goes on; where it has lapsed, not. False in both cases.
fn commit<R: Updated>(this: &R, call: &mut Invocation<'_>) -> Outcome {
    let (name, reservation, version, new) = elements::<(Element, u64, Option<u64>, Slot<Element>)>(call)?;
    let cells = this.cells();
    let cell = cells.cell(&name)?;
    let change = Change { name, version, new: new.into_inner() };
    let committed = cells.replace(&cell, change, || cells.turns().is_holder(&cell, reservation))?;
    if committed {
        cells.turns().end_turn(&cell, reservation, false);
    }
    call.answer(&committed)
}

/// Ends a turn without a change.
fn release<R: Updated>(this: &R, call: &mut Invocation<'_>) -> Outcome {
    let (name, reservation) = call.arguments::<(Element, u64)>()?;
    let cells = this.cells();
    cells.turns().end_turn(&cells.cell(&name)?, reservation, false);
    call.answer(&())
}

/// Changes what is in a cell of the object by a function of it, with nobody's change in between; what is there now. `None` stands for an empty cell. Where `change` answers
/// `None` it leaves the cell as it is, and so does this.
pub(super) fn update<V: Datum>(
    base: &BaseProxy,
    cell: &impl Serialize,
    mut change: impl FnMut(Option<V>) -> Option<Option<V>>,
) -> Result<Option<Option<V>>> {
    for _ in 0..TRIES {
        let (version, value) = split(base.invoke_by_value("fetch", &(cell,))?);
        let Some(new) = change(value) else { return Ok(None) };
        if base.invoke_by_value("replace", &(cell, version, outgoing(&new)))? {
            return Ok(Some(new));
        }
    }
    loop {
        let (reservation, _, mut fetched): Told<V> = base.invoke_by_value("reserve", &(cell,))?;
        let _turn = Held { base, cell, reservation, stamp: Stamp::now() };
        // Others may still set the value outright, which they rarely will as often as this.
        for _ in 0..TRIES {
            let (version, value) = split(fetched);
            let Some(new) = change(value) else { return Ok(None) };
            if base.invoke_by_value("commit", &(cell, reservation, version, outgoing(&new)))? {
                return Ok(Some(new));
            }
            fetched = base.invoke_by_value("fetch", &(cell,))?;
        }
    }
}

/// [`Reserved`], as its holder reads it.
type Told<V> = (u64, bool, Slot<(u64, Received<V>)>);

fn split<V>(fetched: Slot<(u64, Received<V>)>) -> (Option<u64>, Option<V>) {
    fetched.into_inner().map(|(version, value)| (version, value.into_inner())).unzip()
}

fn outgoing<V: Datum>(value: &Option<V>) -> Slot<impl Serialize> {
    Slot(value.as_ref().map(sent::<V, V>))
}

/// A turn of this process, given back at its end, also when `change` panics.
struct Held<'a, C: Serialize> {
    base: &'a BaseProxy,
    cell: &'a C,
    reservation: u64,
    stamp: Stamp,
}

impl<C: Serialize> Drop for Held<'_, C> {
    fn drop(&mut self) {
        // A child that `change` forked does not have the turn.
        if self.stamp.is_current() {
            // A turn that was used up is not there any more; one that can't be given back lapses.
            let _: Result<()> = self.base.invoke_by_value("release", &(self.cell, self.reservation));
        }
    }
}
