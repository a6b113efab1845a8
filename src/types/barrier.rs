//! A barrier: where parties wait until all of them have come.
//!
//! Parties stand in one line; as soon as it is long enough its first are let through together, each with the number of its coming. Where some of them bring an action, the last of those is
//! answered before the others, runs it in its own process, and says so; until then the others go on waiting.
//!
//! # Invariants
//! - All of a round are let through, or none: one who can't be told (it was killed, or its time was over) breaks the barrier, at once, for all who wait or come later.
//! - A process that has joined, and ends without having left, breaks the barrier also between its waits: the others would wait for it in vain. (Of one that has not joined nobody
//!   knows whether it would have come again.)

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::waiters::Waiters;
use super::watched::Watched;
use crate::error::{CallError, Error, Result};
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Failure, Heir, Invocation, Outcome, Referent, Responder};
use crate::protocol::ClientId;
use crate::proxy::{Maker, Proxy};
use crate::sys::fork::Stamp;
use crate::sys::sync::Mutex;

/// How long a drop waits for the server's word. What was said is done, also when its answer comes later.
const FAREWELL: Duration = Duration::from_secs(1);

/// The barrier is broken: a party was killed, its time was over, its action failed, or somebody aborted or reset the barrier meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("the barrier is broken; `reset` makes it whole again")]
pub struct BrokenBarrierError;

/// What a party is answered: how many of its round came before it; and, where it is to run the action first, the round's number.
type Passed = (usize, Option<u64>);

struct Party {
    client: Option<ClientId>,
    /// Whether it brings an action.
    acts: bool,
    responder: Responder<Passed, BrokenBarrierError>,
}

/// A round whose action runs.
struct Acting {
    round: u64,
    actor: Option<ClientId>,
    /// The others, with their places in the line and their numbers in the round.
    parties: Vec<(u64, usize, Party)>,
}

#[derive(Default)]
struct State {
    broken: bool,
    line: Waiters<Party>,
    acting: Option<Acting>,
    /// The last round that began.
    rounds: u64,
    /// How often each client has joined.
    members: FxHashMap<ClientId, usize>,
}

/// Who is answered when the state is unlocked again.
#[derive(Default)]
#[must_use]
struct Answers {
    passed: Vec<(Party, Passed)>,
    failed: Vec<Party>,
}

impl State {
    /// Lets as many rounds through as are complete.
    fn advance(&mut self, parties: usize, answers: &mut Answers) {
        while self.acting.is_none() && !self.broken && self.line.len() >= parties {
            let mut round: Vec<_> = (0..parties)
                .filter_map(|number| self.line.pop_placed().map(|(place, party)| (place, number, party)))
                .collect();
            if round.iter().any(|(_, _, party)| !party.responder.is_wanted()) {
                answers.failed.extend(round.drain(..).map(|(_, _, party)| party));
                return self.fail(answers);
            }
            self.rounds += 1;
            match round.iter().rposition(|(_, _, party)| party.acts) {
                None => answers.passed.extend(round.drain(..).map(|(_, number, party)| (party, (number, None)))),
                Some(last) => {
                    let (_, number, actor) = round.remove(last);
                    self.acting = Some(Acting { round: self.rounds, actor: actor.client, parties: round });
                    answers.passed.push((actor, (number, Some(self.rounds))));
                }
            }
        }
    }

    /// Breaks the barrier.
    fn fail(&mut self, answers: &mut Answers) {
        self.broken = true;
        answers.failed.extend(self.line.take());
        let acting = self.acting.take();
        answers.failed.extend(acting.into_iter().flat_map(|acting| acting.parties).map(|(_, _, party)| party));
    }
}

struct Inner {
    parties: usize,
    /// How long, in seconds, a Python program waits that does not say how long.
    #[cfg_attr(not(feature = "python"), allow(dead_code, reason = "only they ask"))]
    patience: Option<f64>,
    state: Mutex<State>,
    watched: Watched,
    me: Weak<Self>,
}

impl Inner {
    /// Changes the state, and answers whom that concerns.
    fn change<R>(&self, change: impl FnOnce(&mut State, &mut Answers) -> R) -> R {
        let mut answers = Answers::default();
        let result = change(&mut self.state.lock(), &mut answers);
        answers.failed.into_iter().for_each(|party| party.responder.fail(&BrokenBarrierError));
        for (party, passed) in answers.passed {
            let me = self.me.clone();
            // One who has not heard that he has passed believes the barrier broken, or is dead.
            party.responder.respond_or_put_back(&passed, move || {
                if let Some(inner) = me.upgrade() {
                    inner.fail();
                }
            });
        }
        result
    }

    fn fail(&self) {
        self.change(State::fail);
    }

    /// A party gives up before it was let through.
    fn leave(&self, place: u64) {
        self.change(|state, answers| {
            let left = state.line.leave(place);
            let acting = state.acting.as_ref();
            let waits_for_action = acting.is_some_and(|acting| acting.parties.iter().any(|(own, _, _)| *own == place));
            if left.is_some() || waits_for_action {
                answers.failed.extend(left);
                state.fail(answers);
            }
        });
    }
}

impl Heir for Inner {
    fn client_ended(&self, client: ClientId) {
        self.watched.forget(client);
        self.change(|state, answers| {
            let was_member = state.members.remove(&client).is_some();
            let acts = state.acting.as_ref().is_some_and(|acting| acting.actor == Some(client));
            if acts || was_member {
                state.fail(answers);
            }
        });
    }
}

/// The referent of a [`BarrierProxy`].
pub struct Barrier {
    inner: Arc<Inner>,
}

impl Barrier {
    /// One for that many parties; for one, where it is none.
    pub fn new(parties: usize) -> Self {
        Self::with_patience(parties, None)
    }

    fn with_patience(parties: usize, patience: Option<f64>) -> Self {
        let parties = parties.max(1);
        let new = |me: &Weak<Inner>| Inner {
            parties,
            patience,
            state: Mutex::default(),
            watched: Watched::default(),
            me: me.clone(),
        };
        Self { inner: Arc::new_cyclic(new) }
    }

    /// The client that a party is of; `None` for the server's own objects.
    fn client_of(&self, call: &Invocation<'_>) -> Result<Option<ClientId>, Failure> {
        let client = if call.nested_in().is_some() { None } else { call.caller().client };
        if client.is_some() {
            self.inner.watched.watch(call, &self.inner)?;
        }
        Ok(client)
    }

    fn join(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        if let Some(client) = self.client_of(call)? {
            *self.inner.state.lock().members.entry(client).or_default() += 1;
        }
        call.answer(&())
    }

    fn leave(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        if let Some(client) = self.client_of(call)? {
            let mut state = self.inner.state.lock();
            if let Some(times) = state.members.get_mut(&client) {
                *times -= 1;
                if *times == 0 {
                    state.members.remove(&client);
                }
            }
        }
        call.answer(&())
    }

    fn wait(&self, call: &mut Invocation<'_>) -> Outcome {
        let (acts,) = call.arguments::<(bool,)>()?;
        let inner = &self.inner;
        let client = self.client_of(call)?;
        let place = {
            let mut state = inner.state.lock();
            if state.broken {
                drop(state);
                return call.answer_result(&Err::<Passed, _>(BrokenBarrierError));
            }
            if inner.parties == 1 && !acts && state.acting.is_none() {
                // Nobody is waited for, so that no time can be over.
                state.rounds += 1;
                drop(state);
                let answered = call.answer_result(&Ok::<Passed, BrokenBarrierError>((0, None)));
                let me = Arc::downgrade(inner);
                call.put_back_by(move || {
                    if let Some(inner) = me.upgrade() {
                        inner.fail();
                    }
                });
                return answered;
            }
            state.line.place()
        };
        let responder = call.responder();
        let me = Arc::downgrade(inner);
        responder.on_cancel(move || {
            if let Some(inner) = me.upgrade() {
                inner.leave(place);
            }
        });
        let party = Party { client, acts, responder };
        inner.change(|state, answers| {
            // One that is given up from here on is noticed by the hook, which waits for the lock on the state.
            if state.broken || !party.responder.is_wanted() {
                answers.failed.push(party);
                state.fail(answers);
            } else {
                state.line.stand(place, party);
                state.advance(inner.parties, answers);
            }
        });
        Ok(call.answered_later())
    }

    /// The action of a round has run: lets the others through.
    fn complete(&self, call: &mut Invocation<'_>) -> Outcome {
        let (round,) = call.arguments::<(u64,)>()?;
        let parties = self.inner.parties;
        let completed = self.inner.change(|state, answers| {
            let acting = state.acting.take_if(|acting| acting.round == round).ok_or(BrokenBarrierError)?;
            answers.passed.extend(acting.parties.into_iter().map(|(_, number, party)| (party, (number, None))));
            state.advance(parties, answers);
            Ok(())
        });
        call.answer_result::<(), BrokenBarrierError>(&completed)
    }

    fn reset(&self) {
        self.inner.change(|state, answers| {
            state.fail(answers);
            state.broken = false;
        });
    }

    fn waiting(&self) -> usize {
        let state = self.inner.state.lock();
        state.line.len() + state.acting.as_ref().map_or(0, |acting| acting.parties.len() + 1)
    }
}

impl fmt::Display for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let broken = self.inner.state.lock().broken;
        if broken {
            return f.write_str("<Barrier: broken>");
        }
        write!(f, "<Barrier: {} of {} waiting>", self.waiting(), self.inner.parties)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Referent for Barrier {
    type Proxy = BarrierProxy;
    type Store = Bare<Self>;
    const TYPEID: &'static str = "Barrier";

    fn methods(table: &mut Methods<Self>) {
        table.dynamic_constructor("new", &["parties"], |call| {
            let (parties,) = call.arguments::<(usize,)>()?;
            if parties == 0 {
                let reason = "a barrier needs at least one party".to_owned();
                let (typeid, method) = (Self::TYPEID.to_owned(), "new".to_owned());
                return Err(Failure::System(Error::Arguments { typeid, method, reason }));
            }
            Ok(Self::new(parties))
        });
        #[cfg(feature = "python")]
        table.dynamic_constructor("timed", &["parties", "timeout"], |call| {
            let (parties, patience) = call.arguments()?;
            Ok(Self::with_patience(parties, patience))
        });
        #[cfg(feature = "python")]
        table.dynamic("timeout", &[], |this, call| {
            let () = call.arguments()?;
            call.answer(&this.inner.patience)
        });
        table.dynamic("wait", &["acts"], Self::wait);
        table.dynamic("join", &[], Self::join);
        table.dynamic("leave", &[], Self::leave);
        table.dynamic("complete", &["round"], Self::complete);
        table.dynamic("abort", &[], |this, call| {
            let () = call.arguments()?;
            this.inner.fail();
            call.answer(&())
        });
        table.dynamic("reset", &[], |this, call| {
            let () = call.arguments()?;
            this.reset();
            call.answer(&())
        });
        table.dynamic("parties", &[], |this, call| {
            let () = call.arguments()?;
            call.answer(&this.inner.parties)
        });
        table.dynamic("n_waiting", &[], |this, call| {
            let () = call.arguments()?;
            call.answer(&this.waiting())
        });
        table.dynamic("is_broken", &[], |this, call| {
            let () = call.arguments()?;
            let broken = this.inner.state.lock().broken;
            call.answer(&broken)
        });
        table.display();
    }
}

proxy_type! {
    /// Where processes wait for each other: as many as it has parties are let through together, again and again.
    ///
    /// A party that is killed while it waits, or whose wait takes longer than it has time, breaks the barrier at once: all who wait or come later get
    /// [`BrokenBarrierError`], until somebody [resets](Self::reset) it. A process that [joins](Self::join) breaks it as well when it is killed between two waits.
    ///
    /// ```
    /// use multiproc::{SyncManager, types::BarrierProxy};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let barrier = BarrierProxy::new(&manager, 2)?;
    /// let theirs = barrier.clone();
    /// let other = std::thread::spawn(move || theirs.wait()); // usually in another process
    /// let mine = barrier.wait()?;
    /// let theirs = other.join().unwrap()?;
    /// assert_eq!(mine + theirs, 1); // one is 0, the other 1
    /// # manager.shutdown()
    /// # }
    /// ```
    pub struct BarrierProxy, BarrierDeferred;
}

impl BarrierProxy {
    /// Makes a barrier for that many parties in the server.
    ///
    /// # Errors
    /// [`Error::Arguments`] where it is for none.
    pub fn new(manager: &impl AsRef<Maker>, parties: usize) -> Result<Self> {
        manager.as_ref().construct_by_value::<Barrier, Self, _>("new", &(parties,))
    }

    /// Waits until all parties have come: how many of them came before this one. As long as it takes, or as the proxy's [timeout](Proxy::with_timeout) says.
    ///
    /// # Errors
    /// [`BrokenBarrierError`] where the barrier is broken, or breaks meanwhile.
    pub fn wait(&self) -> Result<usize, CallError<BrokenBarrierError>> {
        Ok(self.arrive(false)?.0)
    }

    /// As [`wait`](Self::wait), for at most `timeout`; after that the barrier is broken, for all.
    ///
    /// # Errors
    /// As there.
    #[doc(alias = "wait")]
    pub fn wait_timeout(&self, timeout: Duration) -> Result<usize, CallError<BrokenBarrierError>> {
        self.with_timeout(timeout).wait()
    }

    /// As [`wait`](Self::wait), with something to be done when all have come and before any goes on. Where several parties bring an action, the last of them to come runs its
    /// own, in its own process and thread. If that panics, or its process is killed meanwhile, the barrier is broken.
    ///
    /// ```
    /// # use multiproc::{SyncManager, types::{BarrierProxy, CounterProxy}};
    /// # fn main() -> multiproc::Result<()> {
    /// # let manager = SyncManager::start()?;
    /// let (barrier, rounds) = (BarrierProxy::new(&manager, 1)?, CounterProxy::new(&manager, 0)?);
    /// barrier.wait_with(|| drop(rounds.add(1)))?;
    /// assert_eq!(rounds.get()?, 1);
    /// # manager.shutdown()
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    #[doc(alias = "action")]
    pub fn wait_with(&self, action: impl FnOnce()) -> Result<usize, CallError<BrokenBarrierError>> {
        let (number, round) = self.arrive(true)?;
        if let Some(round) = round {
            let abort = AbortOnPanic(self);
            action();
            std::mem::forget(abort);
            self.base.invoke_fallible_by_value::<_, (), _>("complete", &(round,))?;
        }
        Ok(number)
    }

    /// Makes this process one that the others count on: when it ends before the returned guard is dropped, the barrier is broken at once, also between its waits.
    ///
    /// ```
    /// # use multiproc::{SyncManager, types::BarrierProxy};
    /// # fn main() -> multiproc::Result<()> {
    /// # let manager = SyncManager::start()?;
    /// # let barrier = BarrierProxy::new(&manager, 1)?;
    /// let member = barrier.join()?;
    /// for _round in 0..10 {
    ///     // … work …
    ///     member.wait()?;
    /// }
    /// drop(member); // done: the others can go on without this process
    /// # manager.shutdown()
    /// # }
    /// ```
    pub fn join(&self) -> Result<BarrierMember> {
        self.base.invoke_by_value::<_, ()>("join", &())?;
        Ok(BarrierMember { barrier: self.clone(), stamp: Stamp::now() })
    }

    fn arrive(&self, acts: bool) -> Result<Passed, CallError<BrokenBarrierError>> {
        match self.base.invoke_fallible_by_value("wait", &(acts,)) {
            // Giving up has broken it.
            Err(CallError::System(Error::Timeout { .. })) => Err(CallError::Method(BrokenBarrierError)),
            other => other,
        }
    }
}

calls! {
    [] BarrierProxy[], BarrierDeferred;

    /// Breaks the barrier: all who wait or come later get [`BrokenBarrierError`].
    fn abort(&self) -> () { "abort"() }

    /// Makes the barrier whole again, and empty: those who wait get [`BrokenBarrierError`].
    fn reset(&self) -> () { "reset"() }

    /// How many are let through together.
    fn parties(&self) -> usize { "parties"() }

    /// How many wait at present.
    fn n_waiting(&self) -> usize { "n_waiting"() }

    /// Whether it is broken.
    #[doc(alias = "broken")]
    fn is_broken(&self) -> bool { "is_broken"() }
}

/// Breaks the barrier when its action unwinds.
struct AbortOnPanic<'a>(&'a BarrierProxy);

impl Drop for AbortOnPanic<'_> {
    fn drop(&mut self) {
        // Where that fails the server is gone, and the barrier with it.
        let _ = self.0.with_timeout(FAREWELL).abort();
    }
}

/// This process is one that a barrier's other parties count on, until this is dropped; a [`BarrierProxy`] otherwise.
///
/// Dropping it waits for the server's word for at most 1 s. In a forked child, which has not joined, dropping it does nothing.
#[derive(Debug)]
#[must_use = "the process leaves the barrier when this is dropped"]
pub struct BarrierMember {
    barrier: BarrierProxy,
    stamp: Stamp,
}

impl Deref for BarrierMember {
    type Target = BarrierProxy;

    fn deref(&self) -> &BarrierProxy {
        &self.barrier
    }
}

impl Drop for BarrierMember {
    fn drop(&mut self) {
        if self.stamp.is_current() {
            // Where that fails the server is gone, and the barrier with it.
            let _: Result<()> = self.barrier.base.with_timeout(FAREWELL).invoke_by_value("leave", &());
        }
    }
}
