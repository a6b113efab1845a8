//! The receiving half: bytes in, whole frames out.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::TransportError;
use super::frame::{Header, MAX_HEADER};
use super::socket::{Socket, is_end};
use crate::sys::socket::{MAX_FDS, receive};

/// The read buffer in bytes: many small frames come in with one system call, and what is larger gets its own memory.
const BUFFER: usize = 64 << 10;

/// The first memory that a large frame gets in bytes, whatever it announces; from there on it doubles as bytes arrive.
const FIRST: usize = 1 << 20;

/// The largest buffer in bytes that is kept for reuse. Reuse saves the page faults, which are most of the cost of a
/// large frame; kept is what an active connection may hold without being asked.
const KEPT: usize = 16 << 20;

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
    /// Buffers given back: one for frames that fit into the read buffer, one for those that don't.
    spares: [Vec<u8>; 2],
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
            spares: [Vec::new(), Vec::new()],
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
        match (&self.large, Header::parse(self.unread())) {
            (Some(large), _) => large.body.len() == large.size,
            (None, Ok(header)) => {
                header.is_some_and(|header| header.body > self.limit || header.frame() <= self.unread().len())
            }
            (None, Err(_)) => true,
        }
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
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        let spare = &mut self.spares[usize::from(buffer.capacity() > BUFFER)];
        if buffer.capacity() > spare.capacity() && buffer.capacity() <= KEPT {
            *spare = buffer;
        }
    }

    /// Gives up all memory that holds nothing: for a connection that has fallen silent.
    pub fn park(&mut self) {
        if self.unread().is_empty() {
            self.buffer = Vec::new();
            self.taken = 0;
        }
        self.spares = [Vec::new(), Vec::new()];
    }

    /// What to poll: readable means that [`next`](Self::next) is worth a call.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    #[cfg(test)]
    /// How many bytes of memory this half holds now.
    pub fn memory(&self) -> usize {
        let large = self.large.as_ref().map_or(0, |large| large.body.capacity());
        self.buffer.capacity() + large + self.spares.iter().map(Vec::capacity).sum::<usize>()
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
            let mut body = self.memory_for(size);
            body.extend_from_slice(&self.buffer[begin..begin + size]);
            self.taken = begin + size;
            return Ok(Some(body));
        }
        if header.frame() > self.capacity() {
            let mut body = self.memory_for(size);
            body.extend_from_slice(&self.buffer[begin..]);
            self.buffer.clear();
            self.taken = 0;
            self.large = Some(Large { body, size });
        }
        Ok(None)
    }

    /// Empty memory for a frame: a recycled buffer that is not far too large for it, or else a new one.
    fn memory_for(&mut self, size: usize) -> Vec<u8> {
        let spare = &mut self.spares[usize::from(size > BUFFER)];
        let fits = (size..=size.saturating_mul(4).max(1 << 10)).contains(&spare.capacity());
        if fits { std::mem::take(spare) } else { Vec::with_capacity(size.min(FIRST)) }
    }

    /// Reads once; false when nothing is there.
    fn fill(&mut self) -> Result<bool, TransportError> {
        let capacity = self.capacity();
        let (buffer, room) = match &mut self.large {
            Some(Large { body, size }) => {
                if body.len() == body.capacity() {
                    body.reserve_exact(body.len().max(FIRST).min(*size - body.len()));
                }
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
            Err(error) if is_end(&error) => Err(self.end()),
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
