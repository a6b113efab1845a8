//! Whose turn it is to change a cell, when many read, compute and replace it at the same time.
//!
//! A turn ends when its holder commits, lets go, dies, or takes longer than it was given. Those behind it wait in the order in which they came: for a turn of their
//! own, or with a write that is done as soon as nobody holds the cell.
//!
//! Invariant: a line that nobody holds has nobody waiting in it. A turn without a limit is a lock; that its holder died is told to the next one who locks, once, however late he comes.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::update::Reserved;
use crate::object::Responder;
use crate::protocol::ClientId;

/// What names a cell of an object.
pub(super) trait Cell: Clone + Eq + Hash + Send + Sync + 'static {
    /// The cell in whose line one waits for a turn at this one: another, where one line serves cells that lie in each other.
    fn line(&self) -> Self {
        self.clone()
    }

    /// Whether a turn at this cell keeps others from changing `other`, of the same line.
    fn covers(&self, other: &Self) -> bool {
        self == other
    }
}

/// The one cell of an object that is one.
impl Cell for () {}

/// A write that waits for a cell to be let go, and answers its caller itself.
pub(super) trait Write: Send {
    /// Whether its caller still waits.
    fn is_wanted(&self) -> bool;

    /// Writes and answers; under no lock.
    fn write(self: Box<Self>);
}

/// What somebody waits for.
pub(super) enum Waiting {
    /// For a turn, which lapses after that time.
    Turn(Responder<Reserved>, Option<Duration>),
    /// To write.
    Write(Box<dyn Write>),
}

impl Waiting {
    fn is_wanted(&self) -> bool {
        match self {
            Self::Turn(responder, _) => responder.is_wanted(),
            Self::Write(write) => write.is_wanted(),
        }
    }

    /// Whether it is a lock that is waited for.
    fn is_lock(&self) -> bool {
        matches!(self, Self::Turn(_, None))
    }

    fn client(&self) -> Option<ClientId> {
        match self {
            Self::Turn(responder, _) => responder.caller().and_then(|caller| caller.client),
            Self::Write(_) => None,
        }
    }
}

/// Somebody's turn, to be used outside of locks.
pub(super) struct Turn<K> {
    pub(super) cell: K,
    /// Names the reservation; never used again.
    pub(super) reservation: u64,
    pub(super) waiting: Waiting,
    /// Whether a former holder of the lock died in its turn, and nobody was told yet.
    pub(super) abandoned: bool,
}

struct Held<K> {
    cell: K,
    reservation: u64,
    client: Option<ClientId>,
    is_lock: bool,
    /// A former holder has died, and nobody who holds the cell has been told.
    abandoned: bool,
    /// By the number in which they came.
    waiting: BTreeMap<u64, (K, Waiting)>,
}

/// What became of somebody who asked.
pub(super) enum Asked<K> {
    /// It is its turn.
    Turn(Turn<K>),
    /// It waits.
    Waits,
    /// It has given up meanwhile.
    Gone(Waiting),
}

/// The reservations of one object's cells, which are named by `K`.
pub(super) struct Reservations<K> {
    /// By the cell that gives the line its name, as all here.
    held: FxHashMap<K, Held<K>>,
    /// The lines that nobody holds whose last lock was abandoned.
    abandoned: FxHashSet<K>,
    /// The last number given out, to a reservation or to one who waits.
    last: u64,
}

impl<K> Default for Reservations<K> {
    fn default() -> Self {
        Self { held: FxHashMap::default(), abandoned: FxHashSet::default(), last: 0 }
    }
}

impl<K: Cell> Reservations<K> {
    /// Whether somebody's turn keeps others from changing the cell.
    pub(super) fn is_held(&self, cell: &K) -> bool {
        !self.held.is_empty() && self.held.get(&cell.line()).is_some_and(|held| held.cell.covers(cell))
    }

    /// Whether this reservation has the turn.
    pub(super) fn is_holder(&self, cell: &K, reservation: u64) -> bool {
        self.held.get(&cell.line()).is_some_and(|held| held.reservation == reservation && held.cell == *cell)
    }

    /// A number for one who is going to ask.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Asks for the turn under a [`number`](Self::number): at once, or when those before have had theirs.
    pub(super) fn ask(&mut self, cell: K, number: u64, waiting: Waiting) -> Asked<K> {
        // Looked at here, so that one who gives up later finds itself in the queue and takes itself out.
        if !waiting.is_wanted() {
            return Asked::Gone(waiting);
        }
        let line = cell.line();
        if let Some(held) = self.held.get_mut(&line) {
            held.waiting.insert(number, (cell, waiting));
            return Asked::Waits;
        }
        let is_lock = waiting.is_lock();
        let was_abandoned = self.abandoned.remove(&line);
        let held = Held {
            cell: cell.clone(),
            reservation: number,
            client: waiting.client(),
            is_lock,
            abandoned: was_abandoned && !is_lock,
            waiting: BTreeMap::new(),
        };
        self.held.insert(line, held);
        Asked::Turn(Turn { cell, reservation: number, waiting, abandoned: was_abandoned && is_lock })
    }

    /// Takes one who waits out of the queue, to be dropped outside of locks.
    pub(super) fn give_up(&mut self, cell: &K, number: u64) -> Option<Waiting> {
        self.held.get_mut(&cell.line())?.waiting.remove(&number).map(|(_, waiting)| waiting)
    }

    /// Ends a turn, if it is still that one's; the next one's. A lock may have been `abandoned`. Those who don't wait any more are put into `gone`, to be dropped outside
    /// of locks.
    pub(super) fn release(
        &mut self,
        cell: &K,
        reservation: u64,
        abandoned: bool,
        gone: &mut Vec<Waiting>,
    ) -> Option<Turn<K>> {
        let line = cell.line();
        let held = self.held.get_mut(&line).filter(|held| held.reservation == reservation)?;
        held.abandoned |= abandoned && held.is_lock;
        let next = loop {
            match held.waiting.pop_first() {
                Some((_, (_, next))) if !next.is_wanted() => gone.push(next),
                other => break other,
            }
        };
        let Some((_, (cell, waiting))) = next else {
            if self.held.remove(&line).is_some_and(|held| held.abandoned) {
                self.abandoned.insert(line);
            }
            return None;
        };
        self.last += 1;
        held.cell = cell.clone();
        (held.reservation, held.client, held.is_lock) = (self.last, waiting.client(), waiting.is_lock());
        // Others do not ask in which state they find the cell.
        let abandoned = held.is_lock && std::mem::take(&mut held.abandoned);
        Some(Turn { cell, reservation: self.last, waiting, abandoned })
    }

    /// Ends all turns of a client that is gone; those who are next.
    pub(super) fn end(&mut self, client: ClientId, gone: &mut Vec<Waiting>) -> Vec<Turn<K>> {
        let of_client = |held: &Held<K>| held.client == Some(client);
        let ended: Vec<_> =
            self.held.iter().filter(|(_, held)| of_client(held)).map(|(line, _)| line.clone()).collect();
        let turn = |line: &K| {
            let reservation = self.held.get(line)?.reservation;
            self.release(line, reservation, true, gone)
        };
        ended.iter().filter_map(turn).collect()
    }
}
