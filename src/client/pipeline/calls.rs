//! The calls of a pipeline that somebody still has to do with: under way, or answered and not fetched.
//!
//! Bookkeeping only. What follows from a change (wake-ups, drops) is gathered in an [`Aftermath`], for when no lock is held: a waker is foreign code, and the
//! drop of a reference takes locks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::super::{RemoteReference, Returned};
use super::numbered::Numbered;
use crate::error::{Error, Result};
use crate::protocol::RequestId;
use crate::protocol::carriage::Carried;
use crate::protocol::reply::Status;

/// What a call names, kept alive until it is answered: its target, and the proxies among its arguments.
pub type Kept = (Arc<RemoteReference>, Vec<Carried>);

/// Who is told of an answer.
pub(super) enum Waiter {
    /// The handle's owner does something else at present.
    Nobody,
    /// A thread that sleeps in `wait`.
    Thread(Thread),
    /// A task that was polled.
    Task(Waker),
    /// The handle was dropped.
    Gone,
}

impl Waiter {
    /// Whether someone must read the answer though no thread waits for it.
    fn is_helpless(&self) -> bool {
        matches!(self, Self::Task(_) | Self::Gone)
    }
}

enum Stage {
    UnderWay(Kept, Waiter),
    /// Answered; with the reply's number, if it moved something.
    Over(Result<Returned>, Option<u64>),
}

struct Call {
    stage: Stage,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    /// The server was told that nobody waits any longer.
    given_up: bool,
}

/// What a change entails, to be done without locks.
#[derive(Default)]
pub(super) struct Aftermath {
    pub(super) threads: Vec<Thread>,
    tasks: Vec<Waker>,
    /// Wakers that were replaced, and are only dropped.
    stale: Vec<Waker>,
    kept: Vec<Kept>,
    returned: Vec<Returned>,
}

impl Aftermath {
    /// Wakes those who wait, and lets go of what nobody needs.
    pub(super) fn settle(self) {
        let Self { threads, tasks, stale, kept, returned } = self;
        threads.iter().for_each(Thread::unpark);
        tasks.into_iter().for_each(Waker::wake);
        drop((stale, kept, returned));
    }

    pub(super) fn drop(&mut self, returned: Returned) {
        self.returned.push(returned);
    }

    fn waiter(&mut self, waiter: Waiter) {
        match waiter {
            Waiter::Thread(thread) => self.threads.push(thread),
            Waiter::Task(task) => self.tasks.push(task),
            Waiter::Nobody | Waiter::Gone => {}
        }
    }
}

/// What became of a call that its handle asked for.
pub(super) enum Fetched {
    /// Its answer, with the reply's number, if it moved something.
    Over(Result<Returned>, Option<u64>),
    /// None until that time.
    UnderWay(Option<Instant>),
}

/// What became of a call whose handle is gone.
pub(super) enum Dropped {
    /// It was answered; with the reply's number, if it moved something.
    Over(Option<u64>),
    /// It goes on.
    UnderWay,
}

/// The calls of one pipeline.
#[derive(Default)]
pub(super) struct Calls {
    table: Numbered<Call>,
    /// How many are under way.
    under_way: usize,
    /// How many of those somebody must read for.
    helpless: usize,
    /// Those for which a thread sleeps, the one that has slept longest first; perhaps some more.
    followers: VecDeque<RequestId>,
}

impl Calls {
    /// A call that is being sent.
    pub(super) fn begin(&mut self, request: RequestId, kept: Kept, timeout: Option<Duration>) {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let stage = Stage::UnderWay(kept, Waiter::Nobody);
        self.table.insert(request.0, Call { stage, timeout, deadline, given_up: false });
        self.under_way += 1;
    }

    /// An answer has come; gives it back if nobody wants it.
    pub(super) fn answer(
        &mut self,
        request: RequestId,
        answer: Result<Returned>,
        moved: Option<u64>,
        aftermath: &mut Aftermath,
    ) -> bool {
        let Some(call) = self.table.get_mut(request.0).filter(|call| matches!(call.stage, Stage::UnderWay(..))) else {
            aftermath.returned.extend(answer);
            return false;
        };
        let Stage::UnderWay(kept, waiter) = std::mem::replace(&mut call.stage, Stage::Over(answer, moved)) else {
            return false;
        };
        self.under_way -= 1;
        self.helpless -= usize::from(waiter.is_helpless());
        aftermath.kept.push(kept);
        if matches!(waiter, Waiter::Gone) {
            if let Some(Call { stage: Stage::Over(answer, _), .. }) = self.table.remove(request.0) {
                aftermath.returned.extend(answer);
            }
            return false;
        }
        aftermath.waiter(waiter);
        true
    }

    /// No further answer will come.
    pub(super) fn fail(&mut self, error: &Error, aftermath: &mut Aftermath) {
        let under_way = self.table.iter().filter(|(_, call)| matches!(call.stage, Stage::UnderWay(..)));
        let requests: Vec<_> = under_way.map(|(request, _)| RequestId(request)).collect();
        for request in requests {
            self.answer(request, Err(error.clone()), None, aftermath);
        }
    }

    /// The answer, if it is there; it is the caller's then, and the call is forgotten.
    pub(super) fn fetch(&mut self, request: RequestId) -> Fetched {
        match self.table.get(request.0) {
            Some(Call { stage: Stage::UnderWay(..), deadline, .. }) => return Fetched::UnderWay(*deadline),
            // A handle fetches once.
            None => return Fetched::Over(Err(Error::Cancelled), None),
            Some(_) => {}
        }
        match self.table.remove(request.0) {
            Some(Call { stage: Stage::Over(answer, moved), timeout, given_up, .. }) => {
                // What the server says to a cancelled call is not news.
                let refused = |answer: &Returned| answer.status == Status::Refused;
                let answer = match timeout {
                    Some(after) if given_up && answer.as_ref().is_ok_and(refused) => Err(Error::Timeout { after }),
                    _ => answer,
                };
                Fetched::Over(answer, moved)
            }
            _ => Fetched::Over(Err(Error::Cancelled), None),
        }
    }

    /// The handle of a call that was answered already is dropped, or its call goes on without.
    pub(super) fn drop_handle(&mut self, request: RequestId, aftermath: &mut Aftermath) -> Dropped {
        if self.set_waiter(request, Waiter::Gone, aftermath) {
            return Dropped::UnderWay;
        }
        match self.table.remove(request.0) {
            Some(Call { stage: Stage::Over(answer, moved), .. }) => {
                aftermath.returned.extend(answer);
                Dropped::Over(moved)
            }
            _ => Dropped::Over(None),
        }
    }

    /// Who is to be told of the answer from now on; false if it is there already.
    pub(super) fn set_waiter(&mut self, request: RequestId, waiter: Waiter, aftermath: &mut Aftermath) -> bool {
        let Some(Call { stage: Stage::UnderWay(_, present), .. }) = self.table.get_mut(request.0) else { return false };
        if matches!(waiter, Waiter::Thread(_)) {
            self.followers.push_back(request);
        }
        self.helpless += usize::from(waiter.is_helpless());
        let former = std::mem::replace(present, waiter);
        self.helpless -= usize::from(former.is_helpless());
        if let Waiter::Task(task) = former {
            aftermath.stale.push(task);
        }
        true
    }

    /// The time of a call is over. The first time the server is told, and has until then to say what became of it: true. The second time it is the end.
    pub(super) fn give_up(&mut self, request: RequestId, until: Instant) -> bool {
        let Some(call) = self.table.get_mut(request.0) else { return false };
        if call.given_up {
            return false;
        }
        call.given_up = true;
        call.deadline = Some(until);
        true
    }

    /// How long a call's caller was ready to wait.
    pub(super) fn timeout(&self, request: RequestId) -> Duration {
        self.table.get(request.0).and_then(|call| call.timeout).unwrap_or_default()
    }

    /// Whether a call has been answered.
    pub(super) fn is_over(&self, request: RequestId) -> bool {
        !matches!(self.table.get(request.0), Some(Call { stage: Stage::UnderWay(..), .. }))
    }

    /// Whether all calls have been answered.
    pub(super) fn are_over(&self) -> bool {
        self.under_way == 0
    }

    /// Whether somebody must read though no thread waits.
    pub(super) fn are_helpless(&self) -> bool {
        self.helpless > 0
    }

    /// A thread that waits, to be woken.
    pub(super) fn next_follower(&mut self) -> Option<Thread> {
        while let Some(request) = self.followers.pop_front() {
            if let Some(Call { stage: Stage::UnderWay(_, Waiter::Thread(thread)), .. }) = self.table.get(request.0) {
                return Some(thread.clone());
            }
        }
        None
    }

    /// When the first of the tasks' calls runs out of time.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.helpless == 0 {
            return None;
        }
        let calls = self.table.iter().map(|(_, call)| call);
        let tasks = calls.filter(|call| matches!(call.stage, Stage::UnderWay(_, Waiter::Task(_))));
        tasks.filter_map(|call| call.deadline).min()
    }

    /// Tells all tasks to look for themselves.
    pub(super) fn wake_all(&mut self, aftermath: &mut Aftermath) {
        for call in self.table.values_mut() {
            if let Stage::UnderWay(_, waiter @ Waiter::Task(_)) = &mut call.stage {
                self.helpless -= 1;
                aftermath.waiter(std::mem::replace(waiter, Waiter::Nobody));
            }
        }
    }

    /// Tells the tasks whose calls have run out of time.
    pub(super) fn wake_late(&mut self, now: Instant, aftermath: &mut Aftermath) {
        let late = self.table.values_mut().filter(|call| call.deadline.is_some_and(|deadline| deadline <= now));
        for call in late {
            if let Stage::UnderWay(_, waiter @ Waiter::Task(_)) = &mut call.stage {
                self.helpless -= 1;
                aftermath.waiter(std::mem::replace(waiter, Waiter::Nobody));
            }
        }
    }
}
