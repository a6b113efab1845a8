//! The receiving half: bytes in, whole frames out.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::TransportError;
use super::frame::{Header, MAX_HEADER};
use super::ring::{Hints, Incoming};
use super::socket::{Socket, is_end};
use super::spares::{self, Spares};
use crate::sys::socket::{MAX_FDS, receive};

/// The read buffer in bytes: many small frames come in with one system call, and what is larger gets its own memory.
const BUFFER: usize = spares::SMALL;

/// The limit in bytes until one is set.
const DEFAULT_LIMIT: u64 = 1 << 30;

/// Receives frames.
///
/// Small frames are copied out of a shared buffer; a frame that does not fit into it is received into its own memory.
#[derive(Debug)]
pub struct Receiver {
    socket: Arc<Socket>,
    /// What was read; the first `taken` bytes are done with. Without memory until something arrives.
    buffer: Vec<u8>,
    taken: usize,
    /// The frame that is arriving, if it does not fit into the buffer, which is empty then.
    large: Option<Large>,
    limit: u64,
    /// How many bytes have been read in all, of which those in `buffer` are the last.
    read: u64,
    /// fds and where in the stream they came: after that many bytes.
    fds: VecDeque<(u64, OwnedFd)>,
    fd_limit: usize,
    /// Buffers given back.
    spares: Spares,
    /// Whether the other side ended without having read all that was sent to it.
    reset: bool,
    /// Where frames come from once the other side has left the socket.
    ring: Option<Box<Incoming>>,
}

#[derive(Debug)]
struct Large {
    body: Vec<u8>,
    size: usize,
}

impl Receiver {
    pub(super) fn new(socket: Arc<Socket>) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
            taken: 0,
            large: None,
            limit: DEFAULT_LIMIT,
            read: 0,
            fds: VecDeque::new(),
            fd_limit: MAX_FDS,
            spares: Spares::default(),
            reset: false,
            ring: None,
        }
    }

    /// The body of the next frame; `None` when it has not wholly arrived yet. Does not wait.
    ///
    /// # Errors
    /// [`TransportError::Closed`] at the end between frames, [`TransportError::Truncated`] inside one,
    /// [`TransportError::TooLarge`] and [`TransportError::Garbage`] for lengths that are not accepted. The same
    /// again, however often it is called.
    #[allow(clippy::should_implement_trait)] // It is not: an iterator's `None` would be its end.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        self.socket.check()?;
        if let Some(ring) = &mut self.ring {
            return ring.next(self.socket.as_fd(), self.limit, &mut self.spares);
        }
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Whether [`next`](Self::next) has something to say without asking the system: a whole frame, or a bad one.
    pub fn is_ready(&self) -> bool {
        if let Some(ring) = &self.ring {
            return self.socket.check().is_err() || ring.is_ready();
        }
        match (&self.large, Header::parse(self.unread())) {
            (Some(large), _) => large.body.len() == large.size,
            (None, Ok(header)) => {
                header.is_some_and(|header| header.body > self.limit || header.frame() <= self.unread().len())
            }
            (None, Err(_)) => true,
        }
    }

    /// Whether the connection has ended, and the other side had not read all that was sent to it.
    #[cfg(feature = "python")]
    pub fn was_reset(&self) -> bool {
        self.reset
    }

    /// Sets the largest frame that is accepted, in bytes, for frames that have not begun to arrive. 1 GiB at first.
    ///
    /// A small limit also bounds what is read ahead: at most one frame of that size.
    pub fn set_limit(&mut self, max_frame: u64) {
        self.limit = max_frame;
    }

    /// Sets how many received fds are kept until they are taken; 0 to 8, and 8 at first. Others are closed.
    pub fn set_fd_limit(&mut self, max_fds: usize) {
        self.fd_limit = max_fds.min(MAX_FDS);
    }

    /// The fds that came with the frames that were taken, in order; each is given once, and is close-on-exec.
    pub fn take_fds(&mut self) -> Vec<OwnedFd> {
        let done = self.read - self.unread().len() as u64;
        let count = self.fds.iter().take_while(|(place, _)| *place <= done).count();
        self.fds.drain(..count).map(|(_, fd)| fd).collect()
    }

    /// Gives the memory of a frame back, to be used for another.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.spares.recycle(buffer);
    }

    /// Gives up all memory that holds nothing: for a connection that has fallen silent.
    pub fn park(&mut self) {
        if self.unread().is_empty() {
            self.buffer = Vec::new();
            self.taken = 0;
        }
        self.spares.clear();
    }

    /// Takes frames out of shared memory from now on: the last frame on the socket has been read.
    pub fn upgrade(&mut self, ring: Incoming) {
        self.ring = Some(Box::new(ring));
        self.buffer = Vec::new();
        self.taken = 0;
    }

    /// Whether frames come through shared memory.
    pub fn is_upgraded(&self) -> bool {
        self.ring.is_some()
    }

    /// Gives up the shared memory that holds nothing, for both sides: for a connection that has been silent for long.
    pub fn cool(&mut self) {
        if let (Some(ring), Ok(())) = (&mut self.ring, self.socket.check()) {
            ring.discard(self.socket.as_fd());
        }
    }

    /// Whether the other side was found to have left the shared memory for good.
    pub fn has_ended(&self) -> bool {
        self.ring.as_ref().is_some_and(|ring| ring.has_ended())
    }

    /// To be asked before sleeping on the fd: false if something has come that no event will tell of. After true, the other side makes the fd readable with
    /// the next thing that it sends or takes out, and [`next`](Self::next) must be called before this is asked again.
    pub fn settle(&mut self) -> bool {
        self.socket.check().is_err() || self.ring.as_mut().is_none_or(|ring| ring.settle(false))
    }

    /// As [`settle`](Self::settle), for one who does not want to read for now, only to be told of room.
    pub fn settle_deaf(&mut self) {
        if let (Some(ring), Ok(())) = (&mut self.ring, self.socket.check()) {
            ring.settle(true);
        }
    }

    /// The fd was readable: takes in what that meant, where it is not frames.
    pub fn heed(&mut self) {
        if let (Some(ring), Ok(())) = (&mut self.ring, self.socket.check()) {
            ring.heed(self.socket.as_fd());
        }
    }

    /// Tells the other side how to wait for this one, where it can be told.
    pub fn tell(&mut self, hints: Hints) {
        if let (Some(ring), Ok(())) = (&mut self.ring, self.socket.check()) {
            ring.tell(hints);
        }
    }

    /// What the other side has told, where it can.
    pub fn hints(&self) -> Option<Hints> {
        let ring = self.ring.as_ref().filter(|_| self.socket.check().is_ok())?;
        Some(ring.hints())
    }

    /// What to poll: readable means that [`next`](Self::next) is worth a call.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    #[cfg(test)]
    /// How many bytes of memory this half holds now.
    pub fn memory(&self) -> usize {
        let large = self.large.as_ref().map_or(0, |large| large.body.capacity());
        let ring = self.ring.as_ref().map_or(0, |ring| ring.memory());
        self.buffer.capacity() + large + ring + self.spares.memory()
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    /// How large the read buffer is to be. Under a small limit nobody makes this side hold more than that.
    fn capacity(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(BUFFER).saturating_add(MAX_HEADER).min(BUFFER)
    }

    /// The next frame out of what was read, or the beginning of its own memory.
    fn take(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        if self.large.is_some() {
            return Ok(self.large.take_if(|large| large.body.len() == large.size).map(|large| large.body));
        }
        let Some(header) = Header::parse(self.unread())? else { return Ok(None) };
        let size = usize::try_from(header.body).ok().filter(|_| header.body <= self.limit);
        let Some(size) = size else {
            return Err(TransportError::TooLarge { size: header.body, limit: self.limit });
        };
        let begin = self.taken + header.length;
        if header.frame() <= self.unread().len() {
            let mut body = self.spares.memory_for(size);
            body.extend_from_slice(&self.buffer[begin..begin + size]);
            self.taken = begin + size;
            return Ok(Some(body));
        }
        if header.frame() > self.capacity() {
            let mut body = self.spares.memory_for(size);
            body.extend_from_slice(&self.buffer[begin..]);
            self.buffer.clear();
            self.taken = 0;
            self.large = Some(Large { body, size });
        }
        Ok(None)
    }

    /// Reads once; false when nothing is there.
    fn fill(&mut self) -> Result<bool, TransportError> {
        let capacity = self.capacity();
        let (buffer, room) = match &mut self.large {
            Some(Large { body, size }) => {
                Spares::make_room(body, *size);
                let room = (body.capacity() - body.len()).min(*size - body.len());
                (body, room)
            }
            None => {
                self.buffer.drain(..self.taken);
                self.taken = 0;
                if self.buffer.is_empty() && self.buffer.capacity() != capacity {
                    self.buffer = Vec::with_capacity(capacity);
                }
                let room = capacity.saturating_sub(self.buffer.len());
                (&mut self.buffer, room)
            }
        };
        let mut fds = Vec::new();
        let wants_fds = self.fd_limit > 0 && self.socket.carries_fds();
        match receive(self.socket.as_fd(), buffer, room, wants_fds.then_some(&mut fds)) {
            Ok(0) => Err(self.end()),
            Ok(count) => {
                self.read += count as u64;
                let free = self.fd_limit.saturating_sub(self.fds.len());
                // The system ends a read behind bytes that brought fds, so these belong to the frame of the last byte.
                self.fds.extend(fds.into_iter().take(free).map(|fd| (self.read, fd)));
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if is_end(&error) => {
                self.reset = error.kind() == io::ErrorKind::ConnectionReset;
                Err(self.end())
            }
            Err(error) => Err(TransportError::io("receiving", error)),
        }
    }

    fn end(&self) -> TransportError {
        match (&self.large, self.unread()) {
            (None, []) => TransportError::Closed,
            _ => TransportError::Truncated,
        }
    }
}
