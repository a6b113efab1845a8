//! The server's threads: one leads, the others wait for the lead or for work that may block.
//!
//! The leader runs calls itself, since a hand-over costs more than most calls. When one runs long, the control thread's [`Crew::tick`] sees it and
//! passes the lead on; the former leader finishes its call and joins the others. A thread that is about to wait passes the lead on itself.
//!
//! Invariants: at any time at most one thread holds the current term; terms and call numbers are never used again; a thread that was not needed
//! for a second ends.

use crate::sys::thread::JoinHandle;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::core::Core;
use super::timers::Due;
use crate::error::{Error, Result};
use crate::object::host::{Heir, Host};
use crate::protocol::ClientId;
use crate::sys::sync::{Condvar, Mutex};
use crate::sys::thread;

/// How long one call may hold the lead, in ticks of this length: at least one, at most two.
const TICK: Duration = Duration::from_millis(1);
/// How long a thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(1);

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    /// The lead waits for a thread.
    vacant: bool,
    /// Jobs that wait for a thread.
    jobs: VecDeque<Job>,
    /// Jobs that run.
    running: usize,
    /// Threads that wait.
    idle: usize,
    threads: Vec<JoinHandle>,
    /// Threads that have not ended.
    alive: usize,
    stopping: bool,
    /// The dispatcher for `tracing` of the server's threads, if not the process's.
    quiet: bool,
}

/// The threads of one server.
pub(super) struct Crew {
    state: Mutex<State>,
    wake: Condvar,
    /// The current leader's term.
    term: AtomicU64,
    /// The number of the call that the leader runs; 0 while it runs none.
    busy: AtomicU64,
    /// Whether the leader sleeps.
    asleep: AtomicBool,
    /// Whether the tick is set.
    armed: AtomicBool,
    tick: Arc<TimerFd>,
    /// The call that the last tick saw.
    seen: AtomicU64,
    max_workers: usize,
    core: std::sync::OnceLock<Weak<Core>>,
}

static NEXT_TERM: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The term that this thread leads, or led last.
    static MY_TERM: Cell<u64> = const { Cell::new(0) };
    /// How many calls this thread has run as a leader; the low half of their numbers, of which the term is the high one.
    static CALLS: Cell<u32> = const { Cell::new(0) };
    /// The call that this thread runs as a leader, and how deep user code is nested in it.
    static MY_CALL: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
}

enum Task {
    Lead(u64),
    Job(Job),
    End,
}

impl Crew {
    pub(super) fn new(max_workers: usize) -> Result<Arc<Self>> {
        let tick = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)
            .map_err(|error| Error::io("making a timer", error.into()))?;
        Ok(Arc::new(Self {
            state: Mutex::new(State::default()),
            wake: Condvar::new(),
            term: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            armed: AtomicBool::new(false),
            tick: Arc::new(tick),
            seen: AtomicU64::new(0),
            max_workers,
            core: std::sync::OnceLock::new(),
        }))
    }

    /// The timer that the control thread watches.
    pub(super) fn timer(&self) -> Arc<TimerFd> {
        Arc::clone(&self.tick)
    }

    /// Starts to serve; `quiet` keeps the threads from using an inherited `tracing` subscriber.
    pub(super) fn start(self: &Arc<Self>, core: &Arc<Core>, quiet: bool) -> Result<()> {
        let _ = self.core.set(Arc::downgrade(core));
        self.state.lock().quiet = quiet;
        if self.pass_lead() { Ok(()) } else { Err(Error::io("starting a thread", std::io::Error::last_os_error())) }
    }

    /// Makes the lead vacant and finds a thread for it; false where there is none to be had.
    fn pass_lead(self: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        if state.stopping {
            return true;
        }
        if !self.man(&mut state, 1) {
            return false;
        }
        // The former leader's call is no longer the leader's; the next one begins only when it has the lead.
        self.busy.store(0, Ordering::Release);
        // Pairs with the load in `leads`: a leader that sees another term stops leading before it takes the next call.
        self.term.store(NEXT_TERM.fetch_add(1, Ordering::Relaxed), Ordering::Release);
        state.vacant = true;
        self.wake.notify_one();
        true
    }

    /// Sees to it that a thread is there for `more` tasks beside those that wait already.
    fn man(self: &Arc<Self>, state: &mut State, more: usize) -> bool {
        if state.idle >= state.jobs.len() + usize::from(state.vacant) + more {
            return true;
        }
        // One leader, the blocked ones, and a few that finish a long call after losing the lead.
        if state.alive >= 2 * self.max_workers + 2 {
            return false;
        }
        state.threads.retain(|thread| !thread.is_finished());
        let crew = Arc::clone(self);
        match thread::spawn("multiproc-serve", move || crew.work()) {
            Ok(thread) => {
                state.threads.push(thread);
                state.alive += 1;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "no thread to be had");
                false
            }
        }
    }

    /// A thread's life.
    fn work(self: Arc<Self>) {
        let quiet = self.state.lock().quiet;
        let _silence = quiet.then(|| tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default()));
        loop {
            match self.next_task() {
                Task::Lead(term) => {
                    MY_TERM.set(term);
                    let core = self.core.get().and_then(Weak::upgrade);
                    if let Some(core) = core {
                        super::lead::lead(&core);
                    }
                }
                Task::Job(job) => {
                    crate::object::panics::quietly(job);
                    self.state.lock().running -= 1;
                }
                Task::End => break,
            }
        }
        let mut state = self.state.lock();
        state.alive -= 1;
        self.wake.notify_all();
    }

    fn next_task(&self) -> Task {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
                return Task::End;
            }
            if state.vacant {
                state.vacant = false;
                // Written under the same lock.
                return Task::Lead(self.term.load(Ordering::Relaxed));
            }
            if let Some(job) = state.jobs.pop_front() {
                state.running += 1;
                return Task::Job(job);
            }
            state.idle += 1;
            let (guard, timed_out) = self.wake.wait_timeout(state, IDLE);
            state = guard;
            state.idle -= 1;
            if timed_out && !state.vacant && state.jobs.is_empty() {
                return Task::End;
            }
        }
    }

    /// Whether this thread leads.
    pub(super) fn leads(&self) -> bool {
        // Pairs with the store in `pass_lead`.
        self.term.load(Ordering::Acquire) == MY_TERM.get()
    }

    /// The leader goes to sleep: no tick is needed.
    pub(super) fn sleeps(&self) {
        // Pairs with the load in `tick`, as does `wakes`.
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// The leader is awake again: the control thread has to look after it.
    pub(super) fn wakes(&self) {
        self.asleep.store(false, Ordering::SeqCst);
        self.arm();
    }

    fn arm(&self) {
        // Pairs with the store in `tick`: whoever sets it sets the timer.
        if !self.armed.swap(true, Ordering::SeqCst) {
            let tick = Expiration::Interval(TimeSpec::from_duration(TICK));
            if let Err(error) = self.tick.set(tick, TimerSetTimeFlags::empty()) {
                tracing::warn!(%error, "the leader can't be watched");
            }
        }
    }

    /// The control thread looks after the leader.
    pub(super) fn tick(self: &Arc<Self>) {
        // Only empties the timer; it is not blocking, and says EAGAIN where it was unset meanwhile.
        let _ = self.tick.wait();
        if self.asleep.load(Ordering::SeqCst) {
            // In this order: a leader that wakes before `armed` is cleared is seen below, one that wakes after sets the timer itself.
            let _ = self.tick.unset();
            self.armed.store(false, Ordering::SeqCst);
            if !self.asleep.load(Ordering::SeqCst) {
                self.arm();
            }
            self.seen.store(0, Ordering::Relaxed);
            return;
        }
        // Pairs with the stores in `begin` and `end`; a call that is seen twice has run for a whole tick.
        let busy = self.busy.load(Ordering::Acquire);
        let stuck = busy != 0 && busy == self.seen.swap(busy, Ordering::Relaxed);
        if busy != 0
            && let Some(core) = self.core.get().and_then(Weak::upgrade)
        {
            // Replies that were left to the end of a turn wait for this call no longer.
            core.streams.uncork();
        }
        if stuck && !self.pass_lead() {
            tracing::debug!("a long call holds up the server: no thread can take over");
        }
    }

    /// Ends all threads; waits for those in user code as long as `grace`.
    pub(super) fn stop(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let mut state = self.state.lock();
        state.stopping = true;
        let jobs = std::mem::take(&mut state.jobs);
        self.wake.notify_all();
        while state.alive > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::warn!(threads = state.alive, "methods still run at the server's end");
                break;
            }
            state = self.wake.wait_timeout(state, left).0;
        }
        let (all, threads) = (state.alive == 0, std::mem::take(&mut state.threads));
        drop(state);
        for thread in threads {
            // A thread that has counted itself out has nothing left to do but end.
            if all || thread.is_finished() {
                thread.join();
            }
        }
        drop(jobs);
    }
}

/// The crew as the objects see it; weak, since the objects outlive nobody.
pub(super) struct CrewHost(pub(super) Arc<Crew>);

impl Host for CrewHost {
    fn offload(&self, job: Job) -> Result<()> {
        let crew = &self.0;
        let overloaded = |what: &str| Error::Overloaded { what: what.to_owned(), limit: crew.max_workers as u64 };
        let mut state = crew.state.lock();
        if state.running + state.jobs.len() >= crew.max_workers {
            return Err(overloaded("too many methods block at the same time; raise `max_workers`"));
        }
        if !crew.man(&mut state, 1) {
            return Err(overloaded("no thread is to be had"));
        }
        state.jobs.push_back(job);
        crew.wake.notify_one();
        Ok(())
    }

    fn begin(&self) {
        let crew = &self.0;
        let (mut call, depth) = MY_CALL.get();
        if depth == 0 && crew.leads() {
            CALLS.set(CALLS.get().wrapping_add(1));
            call = MY_TERM.get() << 32 | u64::from(CALLS.get());
            // Pairs with the load in `tick`.
            crew.busy.store(call, Ordering::Release);
        }
        MY_CALL.set((call, depth + 1));
    }

    fn end(&self) {
        let (call, depth) = MY_CALL.get();
        MY_CALL.set((call, depth.saturating_sub(1)));
        if depth == 1 && call != 0 {
            // Another leader's call must not be cleared. Pairs with the load in `tick`.
            let _ = self.0.busy.compare_exchange(call, 0, Ordering::AcqRel, Ordering::Relaxed);
            MY_CALL.set((0, 0));
        }
    }

    fn about_to_block(&self) -> Result<()> {
        let crew = &self.0;
        super::lead::ends_turn();
        if let Some(core) = crew.core.get().and_then(Weak::upgrade) {
            core.streams.uncork();
        }
        if crew.leads() && !crew.pass_lead() {
            let what = "no thread can serve while this call waits".to_owned();
            return Err(Error::Overloaded { what, limit: crew.max_workers as u64 });
        }
        Ok(())
    }

    fn timers_changed(&self) {
        if let Some(core) = self.0.core.get().and_then(Weak::upgrade) {
            core.wake_control();
        }
    }

    fn at_client_end(&self, client: ClientId, heir: Weak<dyn Heir>) -> bool {
        let record = self.0.core.get().and_then(Weak::upgrade).and_then(|core| core.client(client));
        record.is_some_and(|record| record.at_end(heir))
    }

    fn at(&self, time: Instant, job: Job) {
        if let Some(core) = self.0.core.get().and_then(Weak::upgrade) {
            core.at(time, Due::Job(job));
        }
    }
}
