//! Objects that clients lock as a whole: values and arrays.
//!
//! The lock is a [turn](super::reservation) without a limit at the cell that is the whole object. Who has it reads the object, changes the copy, and commits it; writes that come meanwhile wait for
//! its end in the order in which they came, with turns and other locks in the same line. Reads don't wait. Both halves stand here: [`Locked`] is the client's, what its guards are
//! made of, and an object in the server is [`Lockable`], [`list`]s the methods, and makes its changes by [`write`].
//!
//! Invariant: whether somebody has the lock is looked at under the object's own lock, and the change made under the same; so nothing is written between a lock's grant and its commit.

use std::marker::PhantomData;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::Serialize;

use super::bulk::Received;
use super::encodes::{Slot, sent};
use super::held;
use super::reservation::Write;
use super::update::{Cells, Updated};
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::object::methods::Methods;
use crate::object::{Invocation, Outcome, Responder};
use crate::proxy::{BaseProxy, Proxy};
use crate::sys::fork::Stamp;
use crate::sys::sync::MutexGuard;

/// How long the drop of a guard waits for the server's word. What was said is done, also when its answer comes later.
const FAREWELL: Duration = Duration::from_secs(1);

/// The state of an object that is locked as a whole.
pub(super) trait Lockable: Cells {
    /// All of it, as a cell.
    const WHOLE: Self::Cell;
    /// What writes change.
    type State;

    /// For one change, or one look.
    fn state(&self) -> MutexGuard<'_, Self::State>;
}

/// Lists what [`Locked`] calls, beside what [`update`](super::update::list) lists.
pub(super) fn list<R: Updated<Cells: Lockable>>(table: &mut Methods<R>) {
    table.dynamic("lock", &[], lock::<R>);
    table.dynamic("abandon", &["reservation"], abandon::<R>);
}

fn lock<R: Updated<Cells: Lockable>>(this: &R, call: &mut Invocation<'_>) -> Outcome {
    let () = call.arguments()?;
    this.cells().turns().reserve(call, R::Cells::WHOLE, None)
}

/// The thread that had the lock has ended.
fn abandon<R: Updated<Cells: Lockable>>(this: &R, call: &mut Invocation<'_>) -> Outcome {
    let (reservation,) = call.arguments()?;
    this.cells().turns().abandon(&R::Cells::WHOLE, reservation);
    call.answer(&())
}

/// Makes a change, at once or when nobody has the lock any more. `job` runs under the object's own lock; it gives what is answered, and what must be dropped outside of that lock.
pub(super) fn write<R, D, G>(
    this: &R,
    call: &mut Invocation<'_>,
    job: impl FnOnce(&mut <R::Cells as Lockable>::State) -> Result<(D, G)> + Send + 'static,
) -> Outcome
where
    R: Updated<Cells: Lockable>,
    D: Serialize + 'static,
{
    let cells = this.cells();
    let mut state = cells.state();
    if !cells.turns().is_held(&R::Cells::WHOLE) {
        let done = job(&mut state);
        drop(state);
        let (answer, _gone) = done?;
        return call.answer(&answer);
    }
    drop(state);
    let responder = call.responder();
    let waiting = |responder| Box::new(WaitingWrite { cells: Arc::downgrade(cells), job, responder }) as Box<_>;
    cells.turns().write(R::Cells::WHOLE, responder, waiting);
    Ok(call.answered_later())
}

/// A write that waits for the lock's release.
struct WaitingWrite<C, J, D> {
    cells: Weak<C>,
    job: J,
    responder: Responder<D>,
}

impl<C, J, D, G> Write for WaitingWrite<C, J, D>
where
    C: Lockable,
    J: FnOnce(&mut C::State) -> Result<(D, G)> + Send,
    D: Serialize,
{
    fn is_wanted(&self) -> bool {
        self.responder.is_wanted()
    }

    fn write(self: Box<Self>) {
        let Self { cells, job, responder } = *self;
        let Some(cells) = cells.upgrade() else { return };
        let done = job(&mut cells.state());
        match done {
            Ok((answer, _gone)) => responder.respond(&answer),
            Err(error) => responder.refuse(&error),
        }
    }
}

/// A copy of an object's contents, in the process that has the object's lock.
///
/// It is committed when this is dropped or [unlocked](Self::unlock), if it may have changed. In a forked child, which does not have its parent's locks, nothing happens then.
pub(super) struct Locked<V: Datum> {
    base: BaseProxy,
    contents: V,
    version: u64,
    reservation: u64,
    abandoned: bool,
    changed: bool,
    /// The process that has the lock; `None` once it was given up.
    stamp: Option<Stamp>,
    /// Of the thread that has locked.
    not_send: PhantomData<*const ()>,
}

impl<V: Datum> Locked<V> {
    /// Waits for the lock; as long as it takes, or as the proxy's timeout says.
    pub(super) fn new(base: &BaseProxy) -> Result<Self> {
        let (reservation, abandoned, fetched): (u64, bool, Slot<(u64, Received<V>)>) =
            base.invoke_by_value("lock", &())?;
        held::note_turn(base, reservation);
        let (version, contents) = fetched.into_inner().ok_or_else(|| Error::Protocol { reason: "no value".into() })?;
        Ok(Self {
            base: base.clone(),
            contents: contents.into_inner(),
            version,
            reservation,
            abandoned,
            changed: false,
            stamp: Some(Stamp::now()),
            not_send: PhantomData,
        })
    }

    /// As [`new`](Self::new), or `None` after that time.
    pub(super) fn within(base: &BaseProxy, timeout: Duration) -> Result<Option<Self>> {
        match Self::new(&base.with_timeout(timeout)) {
            Ok(locked) => Ok(Some(locked.by(base))),
            Err(Error::Timeout { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the lock up by another proxy of the object, with another timeout.
    fn by(mut self, base: &BaseProxy) -> Self {
        self.base = base.clone();
        self
    }

    pub(super) fn contents(&self) -> &V {
        &self.contents
    }

    pub(super) fn contents_mut(&mut self) -> &mut V {
        self.changed = true;
        &mut self.contents
    }

    pub(super) fn was_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Commits, and gives up the lock.
    pub(super) fn unlock(mut self) -> Result<()> {
        let base = self.base.clone();
        self.give_up(&base, true)
    }

    /// Gives up the lock, and leaves the object what it was.
    pub(super) fn discard(mut self) -> Result<()> {
        let base = self.base.clone();
        self.give_up(&base, false)
    }

    fn give_up(&mut self, base: &BaseProxy, commits: bool) -> Result<()> {
        // A child that was forked meanwhile does not have the lock.
        if !self.stamp.take().is_some_and(Stamp::is_current) {
            return Ok(());
        }
        held::forget(base, Some(self.reservation));
        if !(commits && self.changed) {
            return base.invoke_by_value("release", &((), self.reservation));
        }
        let new = Slot(Some(sent::<V, V>(&self.contents)));
        match base.invoke_by_value("commit", &((), self.reservation, self.version, new)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Protocol { reason: "it was unlocked by somebody without the lock".into() }),
            // The server takes back what it can't read or keep; the lock must not stay behind.
            Err(error) => {
                let _: Result<()> = base.invoke_by_value("release", &((), self.reservation));
                Err(error)
            }
        }
    }
}

impl<V: Datum> Drop for Locked<V> {
    fn drop(&mut self) {
        if self.stamp.is_some() {
            let base = self.base.with_timeout(FAREWELL);
            let _ = self.give_up(&base, !std::thread::panicking());
        }
    }
}
