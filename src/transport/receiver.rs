//! The receiving half: bytes in, whole frames out.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::TransportError;
use super::frame::{Header, MAX_HEADER};
use super::frames;
use super::ring::{Glance, Hints, Incoming};
use super::socket::{Socket, is_end};
use crate::sys::buffer;
use crate::sys::socket::{MAX_FDS, receive};

/// The read buffer in bytes: many small frames come in with one system call, and what is larger gets its own memory.
const BUFFER: usize = 64 << 10;

/// The limit in bytes until one is set.
const DEFAULT_LIMIT: u64 = 1 << 30;

/// Receives frames.
///
/// Small frames are copied out of a shared buffer; a frame that does not fit into it is received into its own memory.
#[derive(Debug)]
pub struct Receiver {
    socket: Arc<Socket>,
    limit: u64,
    /// Where frames come from once the other side has left the socket.
    ring: Option<Box<Incoming>>,
    /// What has come by the socket and was not taken. Nothing, most of the time, so that a silent connection costs little.
    read: Option<Box<Read>>,
    fd_limit: u8,
    /// Whether the other side ended without having read all that was sent to it.
    reset: bool,
}

/// What was read.
#[derive(Debug, Default)]
struct Read {
    /// The first `taken` bytes are done with.
    buffer: Vec<u8>,
    taken: usize,
    /// The frame that is arriving, if it does not fit into the buffer, which is empty then.
    large: Option<Large>,
    /// How many bytes have been read in all, of which those in `buffer` are the last.
    count: u64,
    /// fds and where in the stream they came: after that many bytes.
    fds: VecDeque<(u64, OwnedFd)>,
}

#[derive(Debug)]
struct Large {
    body: Vec<u8>,
    size: usize,
}

impl Read {
    fn unread(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    fn is_empty(&self) -> bool {
        self.unread().is_empty() && self.large.is_none() && self.fds.is_empty()
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        buffer::give(std::mem::take(&mut self.buffer));
    }
}

impl Receiver {
    pub(super) fn new(socket: Arc<Socket>) -> Self {
        let fd_limit = MAX_FDS as u8;
        Self { socket, limit: DEFAULT_LIMIT, ring: None, read: None, fd_limit, reset: false }
    }

    /// The body of the next frame; `None` when it has not wholly arrived yet. Does not wait.
    ///
    /// # Errors
    /// [`TransportError::Closed`] at the end between frames, [`TransportError::Truncated`] inside one,
    /// [`TransportError::TooLarge`] and [`TransportError::Garbage`] for lengths that are not accepted. The same
    /// again, however often it is called.
    #[allow(clippy::should_implement_trait)] // It is not: an iterator's `None` would be its end.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let mut frame = Vec::new();
        Ok(self.read(&mut frame)?.then_some(frame))
    }

    /// As [`next`](Self::next), into memory that has served for another frame; false where there is none yet, and the memory's contents are as good as gone.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    #[inline]
    pub fn read(&mut self, frame: &mut Vec<u8>) -> Result<bool, TransportError> {
        self.socket.check()?;
        match &mut self.ring {
            Some(ring) => ring.read(frame, self.socket.as_fd(), self.limit),
            None => self.read_socket(frame),
        }
    }

    fn read_socket(&mut self, frame: &mut Vec<u8>) -> Result<bool, TransportError> {
        loop {
            if let Some(taken) = self.take()? {
                frames::replace(frame, taken);
                return Ok(true);
            }
            if !self.fill()? {
                return Ok(false);
            }
        }
    }

    /// Whether [`next`](Self::next) has something to say without asking the system: a whole frame, or a bad one.
    pub fn is_ready(&self) -> bool {
        if let Some(ring) = &self.ring {
            return self.socket.check().is_err() || ring.is_ready();
        }
        let Some(read) = &self.read else { return false };
        match (&read.large, Header::parse(read.unread())) {
            (Some(large), _) => large.body.len() == large.size,
            (None, Ok(header)) => {
                header.is_some_and(|header| header.body > self.limit || header.frame() <= read.unread().len())
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
        self.fd_limit = max_fds.min(MAX_FDS) as u8;
    }

    /// The fds that came with the frames that were taken, in order; each is given once, and is close-on-exec.
    pub fn take_fds(&mut self) -> Vec<OwnedFd> {
        let Some(read) = &mut self.read else { return Vec::new() };
        let done = read.count - read.unread().len() as u64;
        let count = read.fds.iter().take_while(|(place, _)| *place <= done).count();
        read.fds.drain(..count).map(|(_, fd)| fd).collect()
    }

    /// Gives up all memory that holds nothing: for a connection that has fallen silent.
    pub fn park(&mut self) {
        self.read.take_if(|read| read.is_empty());
    }

    /// Takes frames out of shared memory from now on: the last frame on the socket has been read.
    pub fn upgrade(&mut self, ring: Incoming) {
        self.ring = Some(Box::new(ring));
        self.read = None;
    }

    /// A way to look whether there is a frame, where frames come through shared memory.
    pub fn glance(&self) -> Option<Glance> {
        self.ring.as_ref().filter(|_| self.socket.check().is_ok()).map(|ring| ring.glance())
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
        self.socket.check().is_err() || self.ring.as_mut().is_none_or(|ring| ring.settle(false, self.socket.as_fd()))
    }

    /// As [`settle`](Self::settle), for one who does not want to read for now, only to be told of room.
    pub fn settle_deaf(&mut self) {
        if let (Some(ring), Ok(())) = (&mut self.ring, self.socket.check()) {
            ring.settle(true, self.socket.as_fd());
        }
    }

    /// The fd was readable, or has `ended`: takes in what that meant, where it is not frames.
    pub fn heed(&mut self, ended: bool) {
        if let (Some(ring), Ok(())) = (&mut self.ring, self.socket.check()) {
            ring.heed(ended, self.socket.as_fd());
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
        let read = self
            .read
            .as_ref()
            .map_or(0, |read| read.buffer.capacity() + read.large.as_ref().map_or(0, |large| large.body.capacity()));
        read + self.ring.as_ref().map_or(0, |ring| ring.memory())
    }

    /// How large the read buffer is to be. Under a small limit nobody makes this side hold more than that.
    fn capacity(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(BUFFER).saturating_add(MAX_HEADER).min(BUFFER)
    }

    /// The next frame out of what was read, or the beginning of its own memory.
    fn take(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let capacity = self.capacity();
        let Some(read) = &mut self.read else { return Ok(None) };
        if read.large.is_some() {
            return Ok(read.large.take_if(|large| large.body.len() == large.size).map(|large| large.body));
        }
        let Some(header) = Header::parse(read.unread())? else { return Ok(None) };
        let size = usize::try_from(header.body).ok().filter(|_| header.body <= self.limit);
        let Some(size) = size else {
            return Err(TransportError::TooLarge { size: header.body, limit: self.limit });
        };
        let begin = read.taken + header.length;
        if header.frame() <= read.unread().len() {
            let mut body = frames::memory_for(size);
            body.extend_from_slice(&read.buffer[begin..begin + size]);
            read.taken = begin + size;
            return Ok(Some(body));
        }
        if header.frame() > capacity {
            let mut body = frames::memory_for(size);
            body.extend_from_slice(&read.buffer[begin..]);
            read.buffer.clear();
            read.taken = 0;
            read.large = Some(Large { body, size });
        }
        Ok(None)
    }

    /// Reads once; false when nothing is there.
    fn fill(&mut self) -> Result<bool, TransportError> {
        let capacity = self.capacity();
        let read = self.read.get_or_insert_default();
        let (buffer, room) = match &mut read.large {
            Some(Large { body, size }) => {
                frames::make_room(body, *size);
                let room = (body.capacity() - body.len()).min(*size - body.len());
                (body, room)
            }
            None => {
                read.buffer.drain(..read.taken);
                read.taken = 0;
                if read.buffer.is_empty() && read.buffer.capacity() < capacity {
                    buffer::give(std::mem::replace(&mut read.buffer, buffer::take_for(capacity, capacity)));
                }
                let room = capacity.saturating_sub(read.buffer.len());
                (&mut read.buffer, room)
            }
        };
        let mut fds = Vec::new();
        let fd_limit = usize::from(self.fd_limit);
        let wants_fds = fd_limit > 0 && self.socket.carries_fds();
        match receive(self.socket.as_fd(), buffer, room, wants_fds.then_some(&mut fds)) {
            Ok(0) => Err(self.end()),
            Ok(count) => {
                read.count += count as u64;
                let free = fd_limit.saturating_sub(read.fds.len());
                // The system ends a read behind bytes that brought fds, so these belong to the frame of the last byte.
                read.fds.extend(fds.into_iter().take(free).map(|fd| (read.count, fd)));
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
        match self.read.as_ref().is_none_or(|read| read.large.is_none() && read.unread().is_empty()) {
            true => TransportError::Closed,
            false => TransportError::Truncated,
        }
    }
}
