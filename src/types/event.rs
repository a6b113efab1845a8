//! A flag that processes wait for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::waiters::Waiters;
use crate::error::{Error, Result};
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Invocation, Outcome, Referent, Responder};
use crate::proxy::{Maker, Proxy};
use crate::sys::sync::Mutex;

/// The referent of an [`EventProxy`].
#[derive(Default)]
pub struct Event {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    set: bool,
    waiters: Waiters<Responder<()>>,
}

impl Event {
    /// One that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    fn set(&self) {
        let waiters = {
            let mut state = self.state.lock();
            state.set = true;
            state.waiters.take()
        };
        waiters.for_each(|waiter| waiter.respond(&()));
    }

    fn wait(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let place = {
            let mut state = self.state.lock();
            if state.set {
                drop(state);
                return call.answer(&());
            }
            state.waiters.place()
        };
        let responder = call.responder();
        let state = Arc::downgrade(&self.state);
        responder.on_cancel(move || {
            let waiter = state.upgrade().and_then(|state| state.lock().waiters.leave(place));
            drop(waiter);
        });
        let mut state = self.state.lock();
        // One that is given up from here on is taken out by the hook, which waits for the lock on the state.
        if state.set || !responder.is_wanted() {
            drop(state);
            responder.respond(&());
        } else {
            state.waiters.stand(place, responder);
        }
        Ok(call.answered_later())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        match state.set {
            true => f.write_str("<Event: set>"),
            false => write!(f, "<Event: not set, {} waiting>", state.waiters.len()),
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Referent for Event {
    type Proxy = EventProxy;
    type Store = Bare<Self>;
    const TYPEID: &'static str = "Event";

    fn methods(table: &mut Methods<Self>) {
        table.dynamic_constructor("new", &[], |call| {
            let () = call.arguments()?;
            Ok(Self::new())
        });
        table.dynamic("set", &[], |this, call| {
            let () = call.arguments()?;
            this.set();
            call.answer(&())
        });
        table.dynamic("clear", &[], |this, call| {
            let () = call.arguments()?;
            this.state.lock().set = false;
            call.answer(&())
        });
        table.dynamic("is_set", &[], |this, call| {
            let () = call.arguments()?;
            let set = this.state.lock().set;
            call.answer(&set)
        });
        table.dynamic("wait", &[], Self::wait);
        table.display();
    }
}

proxy_type! {
    /// A flag that many processes share and wait for.
    ///
    /// Whoever waits when it is set goes on, also where it is cleared again the moment after. Waiting costs the server no thread.
    ///
    /// ```
    /// use multiproc::{SyncManager, types::EventProxy};
    ///
    /// # fn main() -> multiproc::Result<()> {
    /// let manager = SyncManager::start()?;
    /// let ready = EventProxy::new(&manager)?;
    /// let theirs = ready.clone();
    /// let other = std::thread::spawn(move || theirs.wait()); // usually in another process
    /// ready.set()?;
    /// other.join().unwrap()?;
    /// assert!(ready.is_set()?);
    /// # manager.shutdown()
    /// # }
    /// ```
    pub struct EventProxy, EventDeferred;
}

impl EventProxy {
    /// Makes an event in the server, which is not set.
    pub fn new(manager: &impl AsRef<Maker>) -> Result<Self> {
        manager.as_ref().construct_by_value::<Event, Self, _>("new", &())
    }

    /// Waits until the event is set, for at most `timeout`: whether it was.
    #[doc(alias = "wait")]
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        match self.with_timeout(timeout).wait() {
            Ok(()) => Ok(true),
            Err(Error::Timeout { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

calls! {
    [] EventProxy[], EventDeferred;

    /// Sets the event: all who wait go on, and so does everybody who waits before it is cleared.
    fn set(&self) -> () { "set"() }

    /// Clears the event: who waits from now on waits until it is set again.
    fn clear(&self) -> () { "clear"() }

    /// Whether it is set.
    fn is_set(&self) -> bool { "is_set"() }

    /// Waits until the event is set, as long as that takes.
    fn wait(&self) -> () { "wait"() }
}
