//! The server's side of a client's control stream: references, forks, tickets, in the order in which the client said them.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use super::core::{Admission, Core};
use super::lead::{Place, Stream};
use super::record::{Aftermath, Record};
use super::watch::Watched;
use crate::error::Result;
use crate::object::lease::Leases;
use crate::protocol::notice::{ControlNotice, ServerNotice};
use crate::protocol::{ClientId, TicketId};
use crate::sys::buffer;
use crate::sys::sync::Mutex;
use crate::transport::{Receiver, Sender};

/// One client's control stream.
pub(super) struct NoticeStream {
    record: Arc<Record>,
    place: Place,
    inbound: Mutex<Inbound>,
    outbound: Mutex<Sender>,
    _admission: Admission,
}

struct Inbound {
    receiver: Receiver,
    /// How many notices have been taken in.
    taken: u64,
    /// The rounds that are not settled yet: how many notices had been taken in before each.
    unsettled: Vec<u64>,
    closed: bool,
}

impl NoticeStream {
    pub(super) fn new(record: Arc<Record>, receiver: Receiver, sender: Sender, admission: Admission) -> Arc<Self> {
        Arc::new(Self {
            record,
            place: Place::default(),
            inbound: Mutex::new(Inbound { receiver, taken: 0, unsettled: Vec::new(), closed: false }),
            outbound: Mutex::new(sender),
            _admission: admission,
        })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn with_fd<R>(&self, use_it: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        use_it(self.outbound.lock().fd())
    }

    /// Takes in all notices that have come. At the stream's end the client is gone.
    ///
    /// They count when what follows from them is done: a call that comes after them finds objects dropped and moved things put back. Until then it
    /// waits, also where the lead has passed on because a destructor runs long.
    pub(super) fn take_in(&self, core: &Arc<Core>) {
        let mut aftermath = Vec::new();
        let (round, end) = {
            let mut inbound = self.inbound.lock();
            if inbound.closed {
                return;
            }
            let before = inbound.taken;
            let end = loop {
                match inbound.receiver.next() {
                    Ok(Some(frame)) => {
                        let lifelines = inbound.receiver.take_fds();
                        match ControlNotice::read(&frame) {
                            Ok(notice) => aftermath.push(self.apply(notice, lifelines, core)),
                            Err(error) => break Some(error.to_string()),
                        }
                        inbound.taken += 1;
                        buffer::give(frame);
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(error.to_string()),
                }
            };
            inbound.closed = end.is_some();
            inbound.receiver.park();
            // A round without notices is none: another thread's may begin at the same number.
            let round = (inbound.taken > before).then_some(before);
            inbound.unsettled.extend(round);
            (round, end)
        };
        aftermath.into_iter().for_each(Aftermath::settle);
        if let Some(round) = round {
            self.settled(round, core);
        }
        if let Some(why) = end {
            core.end_client(&self.record, &why);
        }
    }

    /// A round has been settled. Others, of other threads, may not have been: all up to the first of those count.
    fn settled(&self, round: u64, core: &Core) {
        {
            let mut inbound = self.inbound.lock();
            inbound.unsettled.retain(|&other| other != round);
            self.record.noticed(inbound.unsettled.iter().copied().min().unwrap_or(inbound.taken));
        }
        for session in self.record.take_stalled() {
            core.streams.push(Stream::Data(session));
        }
    }

    fn apply(&self, notice: ControlNotice, lifelines: Vec<OwnedFd>, core: &Arc<Core>) -> Aftermath {
        let record = &self.record;
        match notice {
            ControlNotice::Release(counts) => return record.release(&counts, core),
            ControlNotice::Fork { child } => self.fork(child, lifelines, core),
            ControlNotice::Ended { child } => {
                // One that has a control stream lives by that.
                let ended = core.client(child).filter(|child| child.control().is_none());
                return Aftermath { ended: ended.map(|child| (Arc::clone(core), child)), ..Aftermath::default() };
            }
            ControlNotice::Holds(counts) => return record.confirm(&counts, core),
            ControlNotice::Issue { object, ticket } => {
                if let Ok(entry) = core.table.find(object) {
                    core.table.tickets().issue(TicketId { client: record.id(), number: ticket }, entry, None);
                }
            }
            ControlNotice::Redeem { object, ticket } => record.redeem(object, ticket, core),
            ControlNotice::Lost { connection, replies } => return record.lost(connection, replies, core),
        }
        Aftermath::default()
    }

    /// The client forks: the child starts with the same references, and is gone when its lifeline ends.
    fn fork(&self, child: ClientId, lifelines: Vec<OwnedFd>, core: &Arc<Core>) {
        let (record, known) = {
            let mut clients = core.clients();
            let known = clients.contains_key(&child);
            let record = clients.entry(child).or_insert_with(|| Record::new(child, Leases::default()));
            (Arc::clone(record), known)
        };
        record.inherit(self.record.copy_leases());
        if known {
            // It was faster than its parent's word, and lives by its own control stream.
            return;
        }
        if lifelines.is_empty() && !self.record.wards(&record) {
            core.orphaned(Arc::downgrade(&record));
        }
        for lifeline in lifelines {
            if let Err(error) = record.lives_by(lifeline, core) {
                tracing::warn!(%error, "a forked child can't be watched");
            }
        }
    }

    /// Says that the server ends.
    pub(super) fn say_ending(&self, reason: &str) {
        let mut frame = Vec::new();
        ServerNotice::Ending { reason: reason.to_owned() }.write(&mut frame);
        // A client that does not take it learns of the end by the stream's.
        let _ = self.outbound.lock().send(&[&frame]);
    }

    /// Sends what was kept.
    pub(super) fn flush(&self, core: &Arc<Core>) {
        let mut outbound = self.outbound.lock();
        let pending = matches!(outbound.flush(), Ok(crate::transport::Progress::Pending));
        core.streams.interest(&self.place, outbound.fd(), true, pending);
    }

    /// Closes the stream; nothing more is read from it.
    pub(super) fn close(&self, core: &Core) {
        let outbound = self.outbound.lock();
        core.streams.remove(&self.place, outbound.fd());
        outbound.shutdown();
    }
}

/// Admits an authenticated control stream: the client begins here, unless its parent's word came first.
pub(super) fn begin(
    core: &Arc<Core>,
    client: ClientId,
    receiver: Receiver,
    sender: Sender,
    admission: Admission,
) -> Result<()> {
    let record = {
        let mut clients = core.clients();
        Arc::clone(clients.entry(client).or_insert_with(|| Record::new(client, Leases::default())))
    };
    let process = sender.peer().pidfd();
    let notices = NoticeStream::new(Arc::clone(&record), receiver, sender, admission);
    let Some(lifelines) = record.attach(&notices) else {
        tracing::warn!(%client, "a second control stream of one client was refused");
        return Ok(());
    };
    for lifeline in lifelines {
        core.unwatch(lifeline);
    }
    if let Some(process) = process {
        let key = core.watch(Watched::Process(process, Arc::downgrade(&record)))?;
        if !record.watches(key) {
            core.unwatch(key);
        }
    }
    if let Err(error) = core.streams.add(Stream::Control(notices)) {
        core.end_client(&record, "its connection can't be watched");
        return Err(error);
    }
    Ok(())
}

/// The tickets of the past: drops what has lapsed.
pub(super) fn drop_lapsed(core: &Core) {
    let lapsed = core.table.tickets().take_lapsed(Instant::now());
    drop(lapsed);
}
