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
use crate::error::Error;
use crate::protocol::RequestId;
use crate::protocol::carriage::Carried;
use crate::protocol::reply::Status;

/// What a call names, kept alive until it is answered: its target, and the proxies among its arguments.
pub(super) type Kept = (Arc<RemoteReference>, Vec<Carried>);

/// Who is told of an answer.
pub(super) enum Waiter {
    /// The handle's owner does something else at present.
    Nobody,
    /// A thread that sleeps in `wait`.
    Thread(Thread),
    /// A task that was polled.
    Task(Waker),
}

enum Stage {
    UnderWay(Waiter),
    /// The handle was dropped, which has left here what the call names.
    Alone(Box<Kept>),
    /// Answered; with the reply's number, if it moved something.
    Over(Returned, Option<u64>),
    /// No answer will come.
    Failed(Box<Error>),
}

impl Stage {
    fn is_under_way(&self) -> bool {
        matches!(self, Self::UnderWay(_) | Self::Alone(_))
    }

    /// Whether someone must read the answer though no thread waits for it.
    fn is_helpless(&self) -> bool {
        matches!(self, Self::UnderWay(Waiter::Task(_)) | Self::Alone(_))
    }
}

/// How long a call may take.
struct Limit {
    timeout: Duration,
    deadline: Instant,
    /// The server was told that nobody waits any longer.
    given_up: bool,
}

struct Call {
    stage: Stage,
    /// Apart, since most have none.
    limit: Option<Box<Limit>>,
}

impl Call {
    fn deadline(&self) -> Option<Instant> {
        self.limit.as_ref().map(|limit| limit.deadline)
    }
}

/// What a change entails, to be done without locks.
#[derive(Default)]
pub(super) struct Aftermath {
    pub(super) threads: Vec<Thread>,
    tasks: Vec<Waker>,
    /// Wakers that were replaced, and are only dropped.
    stale: Vec<Waker>,
    #[allow(clippy::vec_box)] // As they are in the table.
    kept: Vec<Box<Kept>>,
    returned: Vec<Returned>,
}

impl Aftermath {
    /// Wakes those who wait, and lets go of what nobody needs.
    #[inline]
    pub(super) fn settle(&mut self) {
        let Self { threads, tasks, stale, kept, returned } = self;
        let rests = threads.is_empty() && tasks.is_empty() && stale.is_empty();
        if !rests || !kept.is_empty() || !returned.is_empty() {
            self.settle_now();
        }
    }

    fn settle_now(&mut self) {
        let Self { threads, tasks, stale, kept, returned } = self;
        threads.drain(..).for_each(|thread| thread.unpark());
        tasks.drain(..).for_each(Waker::wake);
        stale.clear();
        kept.clear();
        returned.clear();
    }

    pub(super) fn drop(&mut self, returned: Returned) {
        self.returned.push(returned);
    }

    fn waiter(&mut self, waiter: Waiter) {
        match waiter {
            Waiter::Thread(thread) => self.threads.push(thread),
            Waiter::Task(task) => self.tasks.push(task),
            Waiter::Nobody => {}
        }
    }
}

/// What became of a call that its handle asked for.
pub(super) enum Fetched {
    /// Its answer, with the reply's number, if it moved something.
    Over(Returned, Option<u64>),
    /// No answer will come.
    Failed(Error),
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
    #[inline]
    pub(super) fn begin(&mut self, request: RequestId, timeout: Option<Duration>) {
        let limit = timeout.and_then(|timeout| {
            let deadline = Instant::now().checked_add(timeout)?;
            Some(Box::new(Limit { timeout, deadline, given_up: false }))
        });
        self.table.insert(request.0, Call { stage: Stage::UnderWay(Waiter::Nobody), limit });
        self.under_way += 1;
    }

    /// An answer has come, with its reply's number if it moves something; false if nobody wants it.
    #[inline]
    pub(super) fn answer(
        &mut self,
        request: RequestId,
        returned: Returned,
        moved: Option<u64>,
        aftermath: &mut Aftermath,
    ) -> bool {
        match self.table.get_mut(request.0) {
            Some(call) if call.stage.is_under_way() => {
                let former = std::mem::replace(&mut call.stage, Stage::Over(returned, moved));
                self.ends(request, former, aftermath)
            }
            _ => {
                aftermath.returned.push(returned);
                false
            }
        }
    }

    /// A call is no longer under way; whether its handle will ask for it.
    #[inline]
    fn ends(&mut self, request: RequestId, former: Stage, aftermath: &mut Aftermath) -> bool {
        self.under_way -= 1;
        self.helpless -= usize::from(former.is_helpless());
        match former {
            Stage::UnderWay(waiter) => {
                aftermath.waiter(waiter);
                true
            }
            Stage::Alone(kept) => {
                aftermath.kept.push(kept);
                if let Some(Call { stage: Stage::Over(returned, _), .. }) = self.table.remove(request.0) {
                    aftermath.returned.push(returned);
                }
                false
            }
            Stage::Over(..) | Stage::Failed(_) => false,
        }
    }

    /// No further answer will come.
    pub(super) fn fail(&mut self, error: &Error, aftermath: &mut Aftermath) {
        let under_way = self.table.iter().filter(|(_, call)| call.stage.is_under_way());
        let requests: Vec<_> = under_way.map(|(request, _)| RequestId(request)).collect();
        for request in requests {
            if let Some(call) = self.table.get_mut(request.0) {
                let former = std::mem::replace(&mut call.stage, Stage::Failed(Box::new(error.clone())));
                self.ends(request, former, aftermath);
            }
        }
    }

    /// The answer, if it is there; it is the caller's then, and the call is forgotten.
    #[inline]
    pub(super) fn fetch(&mut self, request: RequestId) -> Fetched {
        match self.table.remove_if(request.0, |call| !call.stage.is_under_way()) {
            Some(Call { stage: Stage::Over(returned, moved), limit: None }) => Fetched::Over(returned, moved),
            other => self.fetch_other(request, other),
        }
    }

    fn fetch_other(&self, request: RequestId, call: Option<Call>) -> Fetched {
        let Some(Call { stage, limit }) = call else {
            return match self.table.get(request.0) {
                Some(call) => Fetched::UnderWay(call.deadline()),
                // A handle fetches once.
                None => Fetched::Failed(Error::Cancelled),
            };
        };
        match (stage, limit) {
            // What the server says to a cancelled call is not news.
            (Stage::Over(returned, _), Some(limit)) if limit.given_up && returned.status == Status::Refused => {
                Fetched::Failed(Error::Timeout { after: limit.timeout })
            }
            (Stage::Over(returned, moved), _) => Fetched::Over(returned, moved),
            (Stage::Failed(error), _) => Fetched::Failed(*error),
            _ => Fetched::Failed(Error::Cancelled),
        }
    }

    /// The handle is dropped, of a call that was answered already, or that goes on without: then what it names lives on here.
    pub(super) fn drop_handle(&mut self, request: RequestId, kept: Kept, aftermath: &mut Aftermath) -> Dropped {
        if let Some(call) = self.table.get_mut(request.0).filter(|call| call.stage.is_under_way()) {
            let former = std::mem::replace(&mut call.stage, Stage::Alone(Box::new(kept)));
            self.helpless += usize::from(!former.is_helpless());
            if let Stage::UnderWay(Waiter::Task(task)) = former {
                aftermath.stale.push(task);
            }
            return Dropped::UnderWay;
        }
        aftermath.kept.push(Box::new(kept));
        match self.table.remove(request.0) {
            Some(Call { stage: Stage::Over(returned, moved), .. }) => {
                aftermath.returned.push(returned);
                Dropped::Over(moved)
            }
            _ => Dropped::Over(None),
        }
    }

    /// Who is to be told of the answer from now on; false if it is there already.
    pub(super) fn set_waiter(&mut self, request: RequestId, waiter: Waiter, aftermath: &mut Aftermath) -> bool {
        let Some(Call { stage: stage @ Stage::UnderWay(_), .. }) = self.table.get_mut(request.0) else { return false };
        if matches!(waiter, Waiter::Thread(_)) {
            self.followers.push_back(request);
        }
        let former = std::mem::replace(stage, Stage::UnderWay(waiter));
        self.helpless += usize::from(stage.is_helpless());
        self.helpless -= usize::from(former.is_helpless());
        if let Stage::UnderWay(Waiter::Task(task)) = former {
            aftermath.stale.push(task);
        }
        true
    }

    /// The time of a call is over. The first time the server is told, and has until then to say what became of it: true. The second time it is the end.
    pub(super) fn give_up(&mut self, request: RequestId, until: Instant) -> bool {
        let limit = self.table.get_mut(request.0).and_then(|call| call.limit.as_mut());
        let Some(limit) = limit.filter(|limit| !limit.given_up) else { return false };
        limit.given_up = true;
        limit.deadline = until;
        true
    }

    /// How long a call's caller was ready to wait.
    pub(super) fn timeout(&self, request: RequestId) -> Duration {
        self.table.get(request.0).and_then(|call| call.limit.as_ref()).map_or(Duration::ZERO, |limit| limit.timeout)
    }

    /// Whether a call has been answered.
    pub(super) fn is_over(&self, request: RequestId) -> bool {
        !self.table.get(request.0).is_some_and(|call| call.stage.is_under_way())
    }

    /// Whether all calls have been answered.
    pub(super) fn are_over(&self) -> bool {
        self.under_way == 0
    }

    /// Whether somebody must read though no thread waits.
    pub(super) fn are_helpless(&self) -> bool {
        self.helpless > 0
    }

    /// Whether nobody is left in the table.
    pub(super) fn are_forgotten(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether nobody has to be seen to: no thread waits, and none must read for others.
    #[inline]
    pub(super) fn need_nobody(&self) -> bool {
        self.helpless == 0 && self.followers.is_empty()
    }

    /// A thread that waits, to be woken.
    pub(super) fn next_follower(&mut self) -> Option<Thread> {
        while let Some(request) = self.followers.pop_front() {
            if let Some(Call { stage: Stage::UnderWay(Waiter::Thread(thread)), .. }) = self.table.get(request.0) {
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
        let tasks = calls.filter(|call| matches!(call.stage, Stage::UnderWay(Waiter::Task(_))));
        tasks.filter_map(Call::deadline).min()
    }

    /// Tells all tasks to look for themselves.
    pub(super) fn wake_all(&mut self, aftermath: &mut Aftermath) {
        for call in self.table.values_mut() {
            if let Stage::UnderWay(waiter @ Waiter::Task(_)) = &mut call.stage {
                self.helpless -= 1;
                aftermath.waiter(std::mem::replace(waiter, Waiter::Nobody));
            }
        }
    }

    /// Tells the tasks whose calls have run out of time.
    pub(super) fn wake_late(&mut self, now: Instant, aftermath: &mut Aftermath) {
        let late = self.table.values_mut().filter(|call| call.deadline().is_some_and(|deadline| deadline <= now));
        for call in late {
            if let Stage::UnderWay(waiter @ Waiter::Task(_)) = &mut call.stage {
                self.helpless -= 1;
                aftermath.waiter(std::mem::replace(waiter, Waiter::Nobody));
            }
        }
    }
}
