//! Servers of this very process: server id → table, so that a proxy used inside the server reaches its object without a socket.
//!
//! A call between two referents of one server runs on the caller's thread where the object is free, and waits in the object's queue where it is not.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::answer::{Answer, Replier};
use super::call::Call;
use super::chain::{Chain, Occupied};
use super::entry::Entry;
use super::parked::Parked;
use super::table::Table;
use crate::codec::Codec;
use crate::error::{Error, Result};
use crate::protocol::carriage::Carried;
use crate::protocol::limits::MAX_DEPTH;
use crate::protocol::{RequestId, ServerId};
use crate::sys::fork::{ForkMutex, Stamp};
use crate::sys::sync::{Condvar, Mutex};

static SERVERS: ForkMutex<Vec<(Stamp, Weak<Table>)>> = ForkMutex::new(Vec::new());

/// Makes a server's table known in this process.
pub fn announce(table: &Arc<Table>) {
    let mut servers = SERVERS.lock();
    servers.retain(|(stamp, table)| stamp.is_current() && table.strong_count() > 0);
    servers.push((Stamp::now(), Arc::downgrade(table)));
}

/// The table of that server, if it runs in this process. A forked copy of a server is none.
pub fn find(server: ServerId) -> Option<Arc<Table>> {
    let servers = SERVERS.lock();
    let here = servers.iter().filter(|(stamp, _)| stamp.is_current()).filter_map(|(_, table)| table.upgrade());
    here.into_iter().find(|table| table.server() == server)
}

/// A call from inside the server, before it is made.
pub struct LocalCall<'a> {
    /// The method.
    pub method: &'a str,
    /// How the arguments are written.
    pub codec: Codec,
    /// The structural hash of the method's types; 0 for none.
    pub signature: u32,
    /// The arguments.
    pub payload: &'a [u8],
    /// The proxies in them.
    pub carried: Vec<Carried>,
    /// When the caller gives up.
    pub deadline: Option<Instant>,
}

impl LocalCall<'_> {
    /// Calls a method of `entry` and waits for the answer.
    pub fn call(self, entry: &Arc<Entry>) -> Result<Answer> {
        let table = entry.table().ok_or(Error::NoSuchObject { object: entry.id().0 })?;
        let (chain, caller) = Chain::extend();
        if chain.depth > MAX_DEPTH {
            return Err(Error::WouldDeadlock {
                typeid: entry.class().typeid().to_string(),
                reason: format!("more than {MAX_DEPTH} calls are nested in each other"),
            });
        }
        let waiting = Arc::new(Waiting::default());
        let mut frame = Vec::with_capacity(self.method.len() + self.payload.len());
        frame.extend_from_slice(self.method.as_bytes());
        frame.extend_from_slice(self.payload);
        let call = Call {
            name: 0..self.method.len(),
            payload: self.method.len()..frame.len(),
            frame,
            codec: self.codec,
            signature: self.signature,
            carried: self.carried,
            caller,
            chain,
            deadline: self.deadline,
            request: RequestId(0),
            replier: Arc::clone(&waiting) as Arc<dyn Replier>,
            parked: None,
            entry: None,
            method: 0,
        };
        // A method that may block goes to a worker even from here: this thread may lead the server.
        entry.dispatch(&mut Some(call), &table, false);
        if let Some(answer) = waiting.answered() {
            return Ok(answer);
        }
        let guard = table.waits().wait(chain.id, Arc::clone(entry) as Arc<dyn Occupied>);
        let refused = match guard {
            None => Some(Error::WouldDeadlock {
                typeid: entry.class().typeid().to_string(),
                reason: "it is busy with a call that waits for this one".into(),
            }),
            Some(_) => table.host().about_to_block().err(),
        };
        if let Some(error) = refused {
            return waiting.give_up(entry, error);
        }
        waiting.wait(entry, self.deadline)
    }
}

#[derive(Default)]
struct State {
    answer: Option<Answer>,
    parked: Option<Arc<Parked>>,
}

/// A thread of the server's that waits for a call.
#[derive(Default)]
struct Waiting {
    state: Mutex<State>,
    answered: Condvar,
}

impl Waiting {
    fn answered(&self) -> Option<Answer> {
        self.state.lock().answer.take()
    }

    fn wait(&self, entry: &Entry, deadline: Option<Instant>) -> Result<Answer> {
        let begin = Instant::now();
        let mut state = self.state.lock();
        loop {
            if let Some(answer) = state.answer.take() {
                return Ok(answer);
            }
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => self.answered.wait(state),
                Some(left) if left.is_zero() => {
                    drop(state);
                    let after = deadline.map_or(begin.elapsed(), |deadline| deadline - begin);
                    return self.give_up(entry, Error::Timeout { after });
                }
                Some(left) => self.answered.wait_timeout(state, left).0,
            };
        }
    }

    /// Ends the wait with `error`, unless the answer has come meanwhile.
    fn give_up(&self, entry: &Entry, error: Error) -> Result<Answer> {
        let parked = self.state.lock().parked.clone();
        if parked.is_none_or(|parked| parked.cancel()) {
            entry.withdraw_unwanted();
            return Err(error);
        }
        let mut state = self.state.lock();
        loop {
            if let Some(answer) = state.answer.take() {
                return Ok(answer);
            }
            state = self.answered.wait(state);
        }
    }
}

impl Replier for Waiting {
    fn reply(&self, _: RequestId, answer: Answer) {
        self.state.lock().answer = Some(answer);
        self.answered.notify_all();
    }

    fn park(&self, _: RequestId, parked: Arc<Parked>, _: Option<Instant>) {
        self.state.lock().parked = Some(parked);
    }

    fn unpark(&self, _: RequestId) {
        self.state.lock().parked = None;
    }
}
