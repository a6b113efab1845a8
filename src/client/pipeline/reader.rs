//! Reading for everybody: what the one does who has the pipeline's receiver.
//!
//! Waiting is that of a single [call](super::super::call): [`Wait`]'s until it is time to sleep in `poll`, on the connection, the server's process, and the
//! pipeline's bell, by which others say that there is more to do.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use super::super::{Client, has_come};
use super::calls::Aftermath;
use super::{Pipeline, ROOM, Spare, State};
use crate::error::{Error, Result};
use crate::protocol::notice::LinkNotice;
use crate::sys::poll::{self, Interest};
use crate::transport::{Hints, Receiver, TransportError, Wait};

/// How many replies are taken in at once.
const MOST: usize = 256;

/// At which of its looks in vain a reader takes the lock, to see to what others have changed meanwhile: the first, and then one of so many.
const LOOKS: u32 = 16;

/// Who has the receiver.
pub(super) struct Reader<'a> {
    pipeline: &'a Arc<Pipeline>,
    client: &'a Arc<Client>,
    /// Put back when the reader is dropped.
    receiver: Option<Receiver>,
    /// As well; `None` only while it is dropped.
    spare: Option<Box<Spare>>,
    wait: Wait,
}

impl<'a> Reader<'a> {
    pub(super) fn new(pipeline: &'a Arc<Pipeline>, client: &'a Arc<Client>, receiver: Receiver) -> Self {
        let (spare, wait) = {
            let mut state = pipeline.state();
            (Some(state.spare.take().unwrap_or_default()), state.wait.clone())
        };
        Self { pipeline, client, receiver: Some(receiver), spare, wait }
    }

    /// Takes in what comes until `done`, or until nothing has come at the deadline, or the connection breaks. What has come already is taken in in any case.
    pub(super) fn read_until(mut self, deadline: Option<Instant>, mut done: impl FnMut(&mut State) -> bool) {
        if let Some(receiver) = &mut self.receiver {
            receiver.tell(Hints::of_client());
            // What was sent ahead has had its time; the others have theirs while it is answered.
            self.wait.give_way(receiver.hints());
        }
        let mut looks = 0_u32;
        loop {
            let (broken, end) = self.replies();
            let Spare { replies, aftermath, .. } = &mut **self.spare.get_or_insert_default();
            let idle = replies.is_empty();
            looks = if idle { looks + 1 } else { 0 };
            let finished = if broken.is_some() {
                replies.clear();
                false
            } else if looks % LOOKS > 1 {
                // Nothing has changed but what others want to have sent, which can wait for a moment.
                false
            } else {
                let mut state = self.pipeline.state();
                for (head, returned) in replies.drain(..) {
                    state.take_in(&head, returned, aftermath);
                }
                state.flush();
                if state.backlog() <= ROOM / 2 {
                    let State { crowd, .. } = &mut *state;
                    aftermath.threads.append(crowd);
                }
                done(&mut state) || state.broken.is_some()
            };
            aftermath.settle();
            if let Some(error) = broken.or_else(|| end.map(|end| self.broken(&end))) {
                return self.pipeline.break_off(self.client, error);
            }
            if finished {
                return;
            }
            if !idle {
                self.wait.over();
                continue;
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return;
            }
            if self.wait.goes_on(self.receiver.as_ref().and_then(Receiver::hints)) {
                continue;
            }
            self.wait.over();
            looks = 0;
            if let Err(error) = self.sleep(deadline) {
                return self.pipeline.break_off(self.client, error);
            }
        }
    }

    /// Reads what has arrived; with what is wrong with it, and whether the connection has ended behind it.
    fn replies(&mut self) -> (Option<Error>, Option<TransportError>) {
        let Some(receiver) = &mut self.receiver else { return (None, None) };
        let Spare { frame, replies, .. } = &mut **self.spare.get_or_insert_default();
        loop {
            match receiver.read(frame) {
                Ok(true) => match LinkNotice::read(frame) {
                    None => match self.client.read(frame) {
                        Ok(reply) => replies.push(reply),
                        Err(error) => return (Some(error), None),
                    },
                    Some(notice) => {
                        if let Some(line) = &mut self.pipeline.state().line
                            && let Err(error) = line.upgrade.heed(notice, receiver, &mut line.sender)
                        {
                            return (None, Some(error));
                        }
                    }
                },
                Ok(false) => return (None, None),
                Err(error) => return (None, Some(error)),
            }
            if replies.len() == MOST || !receiver.is_ready() {
                return (None, None);
            }
        }
    }

    /// Sleeps until something comes, or there is more to do, or the deadline; an error is the server's end.
    fn sleep(&mut self, deadline: Option<Instant>) -> Result<()> {
        let Some(receiver) = &mut self.receiver else { return Ok(()) };
        if !receiver.settle() {
            return Ok(());
        }
        let bell = self.pipeline.bell();
        let (sends, deadline) = {
            let mut state = self.pipeline.state();
            state.asleep = true;
            // Room that was made before the doorbell was asked for.
            state.flush();
            let sends = state.line.as_ref().is_some_and(|line| line.sender.awaits_socket());
            (sends, state.next_deadline(deadline))
        };
        let interest = if sends { Interest::ReadWrite } else { Interest::Read };
        let mut fds = vec![(receiver.fd(), interest)];
        fds.extend(bell.map(|bell| (bell.as_fd(), Interest::Read)));
        let process = self.client.process.as_ref().map(AsFd::as_fd);
        fds.extend(process.map(|process| (process, Interest::Read)));
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let ready = poll::wait(&fds, timeout);
        let mut aftermath = Aftermath::default();
        {
            let mut state = self.pipeline.state();
            state.asleep = false;
            state.calls.wake_late(Instant::now(), &mut aftermath);
        }
        if let Some(bell) = bell {
            // Only empties it.
            let _ = bell.read();
        }
        aftermath.settle();
        let ready = ready.map_err(|error| Error::io("waiting for replies", error))?;
        let ended = process.is_some() && ready.last().is_some_and(|ready| ready.any());
        if ended && !ready.first().is_some_and(|ready| ready.any()) {
            // What it had sent before its end is read first, also what came between the looks at the two.
            if receiver.is_ready() || has_come(receiver.fd())? {
                return Ok(());
            }
            return Err(self.client.gone("its process has ended"));
        }
        Ok(())
    }

    fn broken(&self, error: &TransportError) -> Error {
        match *error {
            TransportError::TooLarge { size, limit } => Error::FrameTooLarge { size, limit },
            _ => self.client.gone_or_lost(error),
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let errand = {
            let mut state = self.pipeline.state();
            state.receiver = self.receiver.take();
            state.spare = self.spare.take();
            state.wait.clone_from(&self.wait);
            state.errand()
        };
        self.pipeline.run(errand, self.client);
    }
}
