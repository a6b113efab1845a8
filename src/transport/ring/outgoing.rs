//! The sending half: whole frames in, and what does not fit kept.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::cells::{self, Kind, MAX_RECORD};
use super::layout::{Memory, Side};
use super::{bulk, doorbell};
use crate::sys::buffer;
use crate::sys::bytes::Bytes;
use crate::sys::socket::nudge;
use crate::transport::{Progress, TransportError, Write};

/// A frame that is kept, or the rest of one.
#[derive(Debug)]
struct Kept {
    /// Head and body, so that a large body need not be moved behind its head.
    parts: (Vec<u8>, Bytes),
    /// How many bytes of both are out.
    sent: usize,
    /// Whether its length is out, and its bytes stream.
    announced: bool,
}

impl Kept {
    fn length(&self) -> usize {
        self.parts.0.len() + self.parts.1.len()
    }
}

/// Sends frames through shared memory.
#[derive(Debug)]
pub struct Outgoing {
    pub(super) memory: Arc<Memory>,
    side: Side,
    cells: cells::Producer,
    bulk: bulk::Producer,
    queue: VecDeque<Kept>,
    backlog: usize,
    /// Whether frames are out that the other side was not rung for.
    owes: bool,
}

impl Outgoing {
    pub(super) fn new(memory: Arc<Memory>, side: Side) -> Self {
        let way = side.way_out();
        Self {
            side,
            cells: cells::Producer::new(Arc::clone(&memory), way),
            bulk: bulk::Producer::new(Arc::clone(&memory), way),
            memory,
            queue: VecDeque::new(),
            backlog: 0,
            owes: false,
        }
    }

    /// Publishes a frame behind which others follow at once; false where it is to be [sent](Self::send) instead. The other side sees it where it looks; where it sleeps it is woken by what
    /// follows, a [`flush`](Self::flush) at the latest. That saves each of them the wait until the other side's processor has let go of the cell.
    #[inline]
    pub(in crate::transport) fn enqueue(&mut self, size: usize, parts: &[&[u8]]) -> Result<bool, TransportError> {
        let enqueues = self.queue.is_empty() && size <= MAX_RECORD;
        let pushed = enqueues && self.cells.push(Kind::Frame, size, parts)?;
        self.owes |= pushed;
        Ok(pushed)
    }

    /// Whether a [`flush`](Self::flush) has anything to do.
    pub(in crate::transport) fn has_more(&self) -> bool {
        self.owes || self.backlog > 0
    }

    /// Sends one frame behind all that was sent before. A body that has to be kept is taken out of `body` where that is given; `parts` are then what stands before it.
    pub(in crate::transport) fn send(
        &mut self,
        parts: &[&[u8]],
        body: Option<&mut Bytes>,
        socket: BorrowedFd<'_>,
    ) -> Result<Progress, TransportError> {
        debug_assert!(self.memory.is_here(), "the socket's stamp was asked");
        let head: usize = parts.iter().map(|part| part.len()).sum();
        let size = head + body.as_ref().map_or(0, |body| body.len());
        if self.queue.is_empty() && size <= MAX_RECORD {
            let pushed = match (parts, &body) {
                ([head], Some(body)) => self.cells.push(Kind::Frame, size, &[head, body])?,
                (parts, None) => self.cells.push(Kind::Frame, size, parts)?,
                (parts, Some(body)) => self.cells.push(Kind::Frame, size, &[&parts.concat(), body])?,
            };
            if pushed {
                self.ring(socket);
                return Ok(Progress::Done);
            }
        }
        self.ring_if_owed(socket);
        let mut sent = 0;
        let mut announced = false;
        if self.queue.is_empty() && size > MAX_RECORD && self.announce(size, socket)? {
            announced = true;
            for part in parts.iter().copied().chain(body.as_deref().map(|body| &**body)) {
                let count = self.stream(part, socket)?;
                sent += count;
                if count < part.len() {
                    break;
                }
            }
            if sent == size {
                self.bulk.end();
                return Ok(Progress::Done);
            }
        }
        // What is out of the parts before the body need not be kept.
        let kept = match body {
            Some(body) => Kept { parts: (parts.concat(), std::mem::take(body)), sent, announced },
            None => {
                let mut rest = Vec::with_capacity(size - sent);
                let mut skip = sent;
                for part in parts {
                    let skipped = skip.min(part.len());
                    rest.extend_from_slice(&part[skipped..]);
                    skip -= skipped;
                }
                Kept { parts: (Vec::new(), rest.into()), sent: 0, announced }
            }
        };
        self.backlog += kept.length() - kept.sent;
        self.queue.push_back(kept);
        Ok(Progress::Pending)
    }

    /// Sends a frame of `size` bytes that `write` gives piece by piece, straight from where they lie. `wait` is called where there is no room, and says whether to go on
    /// waiting for some; what is left then is kept. `None` where nothing can be streamed at present.
    pub(in crate::transport) fn stream_from(
        &mut self,
        size: usize,
        write: Write<'_>,
        wait: &mut dyn FnMut(bool) -> bool,
        socket: BorrowedFd<'_>,
    ) -> Result<Option<Progress>, TransportError> {
        if !self.queue.is_empty() || size <= MAX_RECORD || !self.announce(size, socket)? {
            return Ok(None);
        }
        let (mut left, mut kept, mut failed) = (size, None, None);
        write(&mut |bytes| {
            if failed.is_some() || bytes.len() > left {
                failed.get_or_insert(TransportError::Changed);
                return;
            }
            left -= bytes.len();
            let mut rest = bytes;
            while kept.is_none() && !rest.is_empty() {
                let sent = match self.stream(rest, socket) {
                    Ok(sent) => sent,
                    Err(error) => return failed = Some(error),
                };
                rest = &rest[sent..];
                if !rest.is_empty() && !wait(sent > 0) {
                    kept = Some(Vec::with_capacity(rest.len() + left));
                }
            }
            if let Some(kept) = &mut kept {
                kept.extend_from_slice(rest);
            }
        });
        match (failed, kept) {
            (Some(error), _) => Err(error),
            (None, _) if left > 0 => Err(TransportError::Changed),
            (None, None) => {
                self.bulk.end();
                Ok(Some(Progress::Done))
            }
            (None, Some(rest)) => {
                self.backlog += rest.len();
                self.queue.push_back(Kept { parts: (Vec::new(), rest.into()), sent: 0, announced: true });
                Ok(Some(Progress::Pending))
            }
        }
    }

    /// Sends what was kept, as far as it fits now.
    pub(in crate::transport) fn flush(&mut self, socket: BorrowedFd<'_>) -> Result<Progress, TransportError> {
        self.ring_if_owed(socket);
        while let Some(mut kept) = self.queue.pop_front() {
            let before = kept.sent;
            let done = self.advance(&mut kept, socket);
            self.backlog -= kept.sent - before;
            match done {
                Ok(true) => {
                    if let Bytes::Own(body) = kept.parts.1 {
                        buffer::give(body);
                    }
                }
                Ok(false) => {
                    self.queue.push_front(kept);
                    return Ok(Progress::Pending);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Progress::Done)
    }

    /// Goes on with a kept frame; true when all of it is out.
    fn advance(&mut self, kept: &mut Kept, socket: BorrowedFd<'_>) -> Result<bool, TransportError> {
        let length = kept.length();
        if !kept.announced {
            if length <= MAX_RECORD {
                let pushed = self.cells.push(Kind::Frame, length, &[&kept.parts.0, &kept.parts.1])?;
                if pushed {
                    kept.sent = length;
                    self.ring(socket);
                }
                return Ok(pushed);
            }
            if !self.announce(length, socket)? {
                return Ok(false);
            }
            kept.announced = true;
        }
        while kept.sent < length {
            let (head, body) = &kept.parts;
            let rest = head.get(kept.sent..).filter(|rest| !rest.is_empty());
            let rest = rest.unwrap_or_else(|| &body[kept.sent - head.len()..]);
            let count = self.stream(rest, socket)?;
            if count == 0 {
                return Ok(false);
            }
            kept.sent += count;
        }
        self.bulk.end();
        Ok(true)
    }

    fn announce(&mut self, size: usize, socket: BorrowedFd<'_>) -> Result<bool, TransportError> {
        if !self.bulk.begin() {
            return Ok(false);
        }
        let announced = self.cells.push(Kind::Bulk, 8, &[&(size as u64).to_le_bytes()])?;
        if announced {
            self.ring(socket);
        }
        Ok(announced)
    }

    /// Streams as much as there is room for.
    fn stream(&mut self, bytes: &[u8], socket: BorrowedFd<'_>) -> Result<usize, TransportError> {
        let mut sent = 0;
        while sent < bytes.len() {
            let count = self.bulk.push(&bytes[sent..])?;
            if count == 0 {
                break;
            }
            sent += count;
            self.ring(socket);
        }
        Ok(sent)
    }

    /// Wakes the other side if it sleeps; after anything was published.
    fn ring(&mut self, socket: BorrowedFd<'_>) {
        self.owes = false;
        if doorbell::must_ring(&self.memory.side(self.side.other()).asleep) {
            nudge(socket);
        }
    }

    fn ring_if_owed(&mut self, socket: BorrowedFd<'_>) {
        if self.owes {
            self.ring(socket);
        }
    }

    /// Gives back what memory holds nothing: for a connection that has been cold for a while.
    pub(in crate::transport) fn discard(&mut self) {
        if self.queue.is_empty() {
            self.bulk.discard();
            self.cells.discard();
        }
    }

    pub(in crate::transport) fn backlog(&self) -> usize {
        self.backlog
    }
}
