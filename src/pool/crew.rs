//! The pool's own thread, and what it shares with those who call.
//!
//! One loop over all workers: it reads what they say, sees their ends, replaces them, and hands out what waits. Callers hand out too, straight
//! to a worker that is idle, so that a task need not wait for the thread to wake.
//!
//! Nothing here waits for a worker. What a worker does not take yet is kept; what it says is taken in though others are not served
//! yet. So arguments and results of any size can't lock both sides out.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::Signal;

use super::PoolError;
use super::builder::Settings;
use super::chunk::Chunk;
use super::hand::{Hand, News};
use super::job::{self, Arrival, Job, Outcome};
use crate::error::{Error, Result};
use crate::sys::fork::{ExitStatus, PrivateFd, Stamp};
use crate::sys::panic::contain;
use crate::sys::poll::{self, Interest};
use crate::sys::sync::{Condvar, Mutex, MutexGuard};
use crate::sys::thread;

/// How long terminated workers may take to heed SIGTERM.
const PATIENCE: Duration = Duration::from_millis(500);

/// How many workers may end before they have begun, one after the other, until the pool gives up.
const STILLBORN: usize = 5;

/// A pool, for all who have a part in it.
pub struct Crew {
    pub settings: Settings,
    state: Mutex<State>,
    /// The thread has ended, and with it the workers.
    ended: Condvar,
    wake: PrivateFd,
    stamp: Stamp,
}

struct State {
    hands: Vec<Hand>,
    queue: VecDeque<Chunk>,
    next_work: u64,
    next_hand: u64,
    stillborn: usize,
    /// No more tasks are taken.
    closed: bool,
    terminated: bool,
    /// No worker can be had.
    broken: Option<PoolError>,
    over: bool,
    /// To be called when it is.
    at_end: Vec<AtEnd>,
}

/// Called once, on the pool's thread, when all workers have ended.
pub type AtEnd = Box<dyn FnOnce() + Send>;

type Due = Vec<(Arc<Job>, Box<dyn FnOnce(&Job) + Send>)>;

impl Crew {
    /// Forks the workers and starts the thread.
    pub fn start(settings: Settings) -> Result<Arc<Self>> {
        let failed = |error: std::io::Error| Error::io("starting a pool", error);
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let wake = PrivateFd::new(event.map_err(|error| failed(error.into()))?.into());
        let numbers = 1..=settings.workers as u64;
        let hands = numbers.map(|number| Hand::new(&settings, number)).collect::<Result<Vec<_>>>()?;
        let state = State {
            next_hand: settings.workers as u64 + 1,
            hands,
            queue: VecDeque::new(),
            next_work: 1,
            stillborn: 0,
            closed: false,
            terminated: false,
            broken: None,
            over: false,
            at_end: Vec::new(),
        };
        let (state, ended, stamp) = (Mutex::new(state), Condvar::new(), Stamp::now());
        let crew = Arc::new(Self { settings, state, ended, wake, stamp });
        let own = Arc::clone(&crew);
        thread::spawn("multiproc-pool", move || own.work()).map_err(failed)?;
        Ok(crew)
    }

    /// Whether this process made the pool.
    pub fn is_own(&self) -> bool {
        self.stamp.is_current()
    }

    /// Whether it may be used here.
    pub fn check(&self) -> Result<(), PoolError> {
        if self.is_own() {
            return Ok(());
        }
        let what = format!(
            "the pool {} belongs to the process that this one was forked from: a child, and a worker of the pool's own, would wait for \
             workers that answer somebody else. Make another pool here, or use it in its own process",
            self.settings.name
        );
        Err(Error::State { what }.into())
    }

    /// Takes a chunk.
    pub fn submit(&self, chunk: Chunk) -> Result<(), PoolError> {
        self.check()?;
        let mut state = self.state.lock();
        state.check()?;
        chunk.job.lock().open += 1;
        state.queue.push_back(chunk);
        state.hand_out(&self.settings);
        let kept = state.hands.iter().any(Hand::has_backlog);
        drop(state);
        if kept {
            self.wake();
        }
        Ok(())
    }

    fn wake(&self) {
        let _ = nix::unistd::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Takes no more tasks.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.wake();
    }

    /// Ends the workers, whatever they do.
    pub fn terminate(&self) {
        let mut state = self.state.lock();
        (state.closed, state.terminated) = (true, true);
        drop(state);
        self.wake();
    }

    /// Waits until all workers have ended.
    pub fn join(&self) -> Result<(), PoolError> {
        let mut state = self.closed()?;
        while !state.over {
            state = self.ended.wait(state);
        }
        Ok(())
    }

    /// Has `f` called when all workers have ended: now, if they have.
    pub fn when_over(&self, f: AtEnd) -> Result<(), PoolError> {
        let mut state = self.closed()?;
        if state.over {
            drop(state);
            f();
        } else {
            state.at_end.push(f);
        }
        Ok(())
    }

    /// The state of one that will end.
    fn closed(&self) -> Result<MutexGuard<'_, State>, PoolError> {
        self.check()?;
        let state = self.state.lock();
        if !state.closed {
            let what = "the pool still runs; close it or terminate it before it is joined".to_owned();
            return Err(Error::State { what }.into());
        }
        Ok(state)
    }

    /// The workers have ended, and all that waits for that is told.
    fn finish(&self) {
        let at_end = {
            let mut state = self.state.lock();
            state.over = true;
            std::mem::take(&mut state.at_end)
        };
        self.ended.notify_all();
        for f in at_end {
            if let Err(panic) = contain(f) {
                panic.print();
            }
        }
    }

    /// The pids of the workers.
    pub fn pids(&self) -> Vec<u32> {
        if !self.is_own() {
            return Vec::new();
        }
        self.state.lock().hands.iter().map(|hand| hand.child.id()).collect()
    }

    /// The thread's life.
    fn work(&self) {
        let mut busy = Instant::now();
        loop {
            let watched: Vec<_> = {
                let state = self.state.lock();
                let of = |hand: &Hand| (hand.descriptor(), Arc::clone(&hand.child), hand.has_backlog());
                state.hands.iter().map(of).collect()
            };
            let mut fds = vec![(self.wake.as_fd(), Interest::Read)];
            for (socket, child, backlog) in &watched {
                fds.push((socket.as_fd(), if *backlog { Interest::ReadWrite } else { Interest::Read }));
                fds.push((child.watched(), Interest::Read));
            }
            let patient = busy.elapsed() < job::PATIENCE;
            let Ok(ready) = poll::wait(&fds, patient.then_some(Duration::ZERO)) else {
                // Without memory for a poll: later.
                std::thread::sleep(PATIENCE);
                continue;
            };
            if ready.iter().any(|ready| ready.any()) {
                busy = Instant::now();
            } else if patient {
                std::thread::yield_now();
                continue;
            }
            if ready[0].any() {
                let _ = nix::unistd::read(&self.wake, &mut [0; 8]);
            }
            let mut due = Due::new();
            let mut state = self.state.lock();
            if state.terminated {
                break self.end(state);
            }
            for (index, ready) in ready[1..].chunks(2).enumerate() {
                let id = watched[index].1.id();
                let Some(place) = state.hands.iter().position(|hand| hand.child.id() == id) else { continue };
                if ready[0].writable {
                    state.hands[place].flush();
                }
                if ready[0].any() {
                    state.listen(place, &mut due);
                }
                if ready[1].any() {
                    state.bury(place, &self.settings, &mut due);
                }
            }
            state.fill_up(&self.settings);
            state.hand_out(&self.settings);
            if let Some(error) = state.broken.clone() {
                state.fail_queue(&error, &mut due);
            }
            state.dismiss();
            let over = state.closed && state.hands.is_empty() && state.queue.is_empty();
            drop(state);
            call(due);
            if over {
                return self.finish();
            }
        }
    }

    /// Ends the workers.
    fn end(&self, mut state: MutexGuard<'_, State>) {
        let hands = std::mem::take(&mut state.hands);
        let mut due = Due::new();
        state.fail_queue(&PoolError::Terminated, &mut due);
        state.broken = Some(PoolError::Terminated);
        drop(state);
        for hand in &hands {
            let _ = hand.child.signal(Signal::SIGTERM);
        }
        let deadline = Instant::now() + PATIENCE;
        for hand in hands {
            let left = deadline.saturating_duration_since(Instant::now());
            if matches!(hand.child.end(Some(left)), Ok(None)) {
                let _ = hand.child.signal(Signal::SIGKILL);
                let _ = hand.child.end(None);
            }
            let (again, finished) = hand.settle(&PoolError::Terminated, 0);
            for chunk in again.iter() {
                give_up(chunk, 0, &PoolError::Terminated);
            }
            due.extend(finished.iter().chain(&again).flat_map(close));
        }
        call(due);
        self.finish();
    }
}

impl State {
    fn check(&self) -> Result<(), PoolError> {
        match &self.broken {
            Some(error) => Err(error.clone()),
            None if self.terminated => Err(PoolError::Terminated),
            None if self.closed => Err(PoolError::Closed),
            None => Ok(()),
        }
    }

    /// Gives what waits to those who have nothing to do, and to those who soon will.
    fn hand_out(&mut self, settings: &Settings) {
        while let Some(first) = self.queue.front() {
            let tasks = first.len();
            let limit = settings.max_tasks_per_child;
            let may = |hand: &Hand| hand.may_take(tasks, limit);
            let idle = |hand: &Hand| hand.is_idle();
            // One that has run its number of tasks is let go when it is wanted.
            for worn in self.hands.iter_mut().filter(|hand| idle(hand) && !may(hand)) {
                worn.stop();
            }
            let brief = first.job.is_brief();
            let free = self.hands.iter().position(|hand| idle(hand) && hand.ready);
            let free = free.or_else(|| self.hands.iter().position(idle));
            let soon = || self.hands.iter().position(|hand| brief && hand.has_room() && may(hand));
            let Some(place) = free.or_else(soon) else { return };
            let Some(chunk) = self.queue.pop_front() else { return };
            if chunk.job.is_cancelled() {
                // Nobody waits for it: its callbacks are called where its last chunk is closed.
                let _ = chunk.job.close_chunk();
                continue;
            }
            self.hands[place].give(self.next_work, chunk);
            self.next_work += 1;
        }
    }

    /// Takes in what a worker says.
    fn listen(&mut self, place: usize, due: &mut Due) {
        while let Some(news) = self.hands[place].hear() {
            match news {
                News::Nothing => {}
                News::Finished(chunk) => due.extend(close(&chunk)),
                News::Ready => self.stillborn = 0,
                News::Unfit(reason) => self.broken = Some(PoolError::Initializer { reason }),
            }
        }
    }

    /// Settles what a worker leaves that has ended.
    fn bury(&mut self, place: usize, settings: &Settings, due: &mut Due) {
        let Ok(Some(status)) = self.hands[place].child.end(Some(Duration::ZERO)) else { return };
        // What it had said before its end counts.
        self.listen(place, due);
        let hand = self.hands.remove(place);
        let worker = hand.name();
        if !hand.ready && self.broken.is_none() {
            self.stillborn += 1;
            if self.stillborn >= STILLBORN {
                let reason = format!("{worker} {status} before it had begun, as {} before it", STILLBORN - 1);
                self.broken = Some(PoolError::Initializer { reason });
            }
        }
        if !matches!(status, ExitStatus::Exited(0)) {
            tracing::warn!(%worker, %status, "a worker of a pool has ended; it is replaced");
        }
        let error = PoolError::WorkerDied { worker, ending: status.into() };
        let (again, finished) = hand.settle(&error, settings.retries);
        again.into_iter().rev().for_each(|chunk| self.queue.push_front(chunk));
        due.extend(finished.iter().flat_map(close));
    }

    /// Replaces workers that have ended.
    fn fill_up(&mut self, settings: &Settings) {
        let wanted = if self.closed { self.queue.len().min(settings.workers) } else { settings.workers };
        while self.broken.is_none() && self.hands.iter().filter(|hand| !hand.stopping).count() < wanted {
            match Hand::new(settings, self.next_hand) {
                Ok(hand) => self.hands.push(hand),
                // The program is at its end; or without any worker the pool is.
                Err(error @ Error::State { .. }) => self.broken = Some(error.into()),
                Err(error) if self.hands.is_empty() => self.broken = Some(error.into()),
                // The others go on, and it is tried again with the next event.
                Err(error) => {
                    tracing::warn!(%error, "a worker of a pool can't be replaced");
                    return;
                }
            }
            self.next_hand += 1;
        }
    }

    /// Fails all that waits.
    fn fail_queue(&mut self, error: &PoolError, due: &mut Due) {
        for chunk in self.queue.drain(..) {
            give_up(&chunk, 0, error);
            due.extend(close(&chunk));
        }
    }

    /// Lets idle workers go when nothing more will come.
    fn dismiss(&mut self) {
        if (self.closed && self.queue.is_empty()) || self.broken.is_some() {
            self.hands.iter_mut().filter(|hand| hand.is_idle()).for_each(Hand::stop);
        }
    }
}

/// Fails what is left of a chunk.
fn give_up(chunk: &Chunk, from: usize, error: &PoolError) {
    let count = chunk.len() - from;
    if count > 0 {
        chunk.job.arrive(Arrival { first: chunk.base + from, count, outcome: Outcome::Failed(error.clone()) });
    }
}

/// A chunk is finished; what is to be called by that, once no lock is held.
fn close(chunk: &Chunk) -> Due {
    let job = &chunk.job;
    job.close_chunk().into_iter().map(|callback| (Arc::clone(job), callback)).collect()
}

/// Calls those who have asked for it. A panic of theirs is not the pool's end.
fn call(due: Due) {
    for (job, callback) in due {
        if let Err(panic) = contain(|| callback(&job)) {
            panic.print();
        }
    }
}
