//! The sending half: frames in, bytes out, and what does not fit kept.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::TransportError;
use super::frame::header;
use super::peer::Peer;
use super::ring::Outgoing;
use super::socket::{Descriptor, Socket, is_end};
use crate::sys::buffer;
use crate::sys::bytes::Bytes;
use crate::sys::poll::{self, Interest};

/// How many parts of a frame are gathered without taking memory.
const FEW: usize = 8;

/// How many parts one system call takes (`IOV_MAX`).
const MOST: usize = 1024;

/// Kept frames are joined to chunks of this many bytes, so that a long backlog goes out in few calls.
const CHUNK: usize = 64 << 10;

/// Frames of at least this many bytes are not worth a copy to save a system call.
const LARGE: usize = CHUNK / 4;

/// Whether all that was sent is with the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what is pending goes out only by another flush"]
pub enum Progress {
    /// It is.
    Done,
    /// Some is kept: [`flush`](Sender::flush) it when the fd is writable.
    Pending,
}

/// Gives the bytes of a frame to whom it is given, piece by piece.
pub type Write<'a> = &'a mut dyn FnMut(&mut dyn FnMut(&[u8]));

/// Sends frames.
#[derive(Debug)]
pub struct Sender {
    socket: Arc<Socket>,
    /// What did not fit. Nothing, most of the time, so that a silent connection costs little.
    kept: Option<Box<Backlog>>,
    /// Where frames go once this side has left the socket. What is kept then still goes by the socket, and is read before them.
    ring: Option<Box<Outgoing>>,
}

/// What did not fit into the socket. Never empty.
#[derive(Debug, Default)]
struct Backlog {
    queue: VecDeque<Chunk>,
    /// The bytes in `queue`.
    size: usize,
}

/// Bytes that did not fit.
#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    sent: usize,
    /// Goes with the first byte. Nothing but its own frame is in the chunk then, so that the other side knows whose it
    /// is.
    fd: Option<OwnedFd>,
}

impl Sender {
    pub(super) fn new(socket: Arc<Socket>) -> Self {
        Self { socket, kept: None, ring: None }
    }

    /// Sends one frame, made of `parts`, behind all that was sent before. Does not wait: what does not fit is copied
    /// and kept.
    ///
    /// # Errors
    /// [`TransportError::Closed`] when the other side is gone, or what the system says. The connection is then of no
    /// more use: half of the frame may be out.
    pub fn send(&mut self, parts: &[&[u8]]) -> Result<Progress, TransportError> {
        self.send_frame(parts, None)
    }

    /// As [`send`](Self::send), with a file descriptor that the other side gets together with the frame.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`TransportError::NoFds`] where the transport carries none; nothing was sent then.
    pub fn send_with_fd(&mut self, parts: &[&[u8]], fd: OwnedFd) -> Result<Progress, TransportError> {
        if !self.socket.carries_fds() || self.ring.is_some() {
            return Err(TransportError::NoFds);
        }
        self.send_frame(parts, Some(fd))
    }

    /// Puts one frame behind all that was sent before, and leaves it to the next [`flush`](Self::flush) or [`send`](Self::send), so that many
    /// small frames leave together: in one system call, or with one look whether the other side sleeps. A large frame, or when 64 KiB have gathered, it sends itself.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline]
    pub fn enqueue(&mut self, parts: &[&[u8]]) -> Result<Progress, TransportError> {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        if size >= LARGE {
            return self.send(parts);
        }
        self.socket.check()?;
        if let Some(ring) = &mut self.ring {
            return if ring.enqueue(size, parts)? { Ok(Progress::Done) } else { self.send(parts) };
        }
        let (bytes, start) = header(size as u64);
        self.keep(&bytes[start..], parts, 0, None);
        if self.backlog_of_socket() >= CHUNK { self.flush() } else { Ok(Progress::Pending) }
    }

    /// As [`send`](Self::send), of a frame whose last part the caller can do without: if it has to be kept, it is taken instead of copied, so that `body` may
    /// be empty afterwards.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_body(&mut self, head: &[u8], body: &mut Bytes) -> Result<Progress, TransportError> {
        self.socket.check()?;
        if let Some(sent) = self.send_ring(&[head], Some(body))? {
            return Ok(sent);
        }
        self.send_behind(head, body, 0, &[])
    }

    /// As [`send_body`](Self::send_body), on the socket, of a body that begins at `skip` in its memory, and of a few bytes behind it.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_behind(
        &mut self,
        head: &[u8],
        body: &mut Bytes,
        skip: usize,
        tail: &[u8],
    ) -> Result<Progress, TransportError> {
        self.socket.check()?;
        let given = &body[skip..];
        let (bytes, start) = header((head.len() + given.len() + tail.len()) as u64);
        let header = &bytes[start..];
        let before = header.len() + head.len();
        let mut parts = [IoSlice::new(header), IoSlice::new(head), IoSlice::new(given), IoSlice::new(tail)];
        let sent = match self.flush()? {
            Progress::Done => transmit(&self.socket, &mut parts, &mut None)?,
            Progress::Pending => 0,
        };
        if sent == before + given.len() + tail.len() {
            return Ok(Progress::Done);
        }
        if sent < before {
            self.keep(header, &[head], sent, None);
        }
        let sent = sent.saturating_sub(before);
        let (left, sent_of_tail) = (given.len().saturating_sub(sent), sent.saturating_sub(given.len()));
        if left > 0 {
            let kept = self.kept.get_or_insert_default();
            kept.size += left;
            kept.queue.push_back(Chunk { bytes: std::mem::take(body), sent: skip + sent, fd: None });
        }
        if sent_of_tail < tail.len() {
            self.keep(&tail[sent_of_tail..], &[], 0, None);
        }
        Ok(Progress::Pending)
    }

    /// Sends one frame of `size` bytes that `write` gives piece by piece, through shared memory and without a copy in between; `None` where that can't be at present, and
    /// nothing was sent. `wait` is called where there is no room, is told whether there was any since it was last called, and says whether to go on waiting; what is left then is copied and kept.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`TransportError::Changed`] where `write` gives more bytes or fewer. The connection is then of no more use.
    pub fn stream(
        &mut self,
        size: usize,
        write: Write<'_>,
        wait: &mut dyn FnMut(bool) -> bool,
    ) -> Result<Option<Progress>, TransportError> {
        self.socket.check()?;
        if self.kept.is_some() {
            return Ok(None);
        }
        match &mut self.ring {
            Some(ring) => ring.stream_from(size, write, wait, self.socket.as_fd()),
            None => Ok(None),
        }
    }

    /// Sends through shared memory from now on. The other side must have been told so by the last frame.
    pub fn upgrade(&mut self, ring: Outgoing) {
        self.ring = Some(Box::new(ring));
    }

    /// Gives up the shared memory that holds nothing, for both sides: for a connection that has been silent for long.
    pub fn cool(&mut self) {
        if let (Some(ring), Ok(())) = (&mut self.ring, self.socket.check()) {
            ring.discard();
        }
    }

    /// Sends what was kept, as far as it fits now.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn flush(&mut self) -> Result<Progress, TransportError> {
        self.socket.check()?;
        if let Some(kept) = &mut self.kept {
            if kept.flush(&self.socket)? == Progress::Pending {
                return Ok(Progress::Pending);
            }
            self.kept = None;
        }
        match &mut self.ring {
            Some(ring) if ring.has_more() => ring.flush(self.socket.as_fd()),
            _ => Ok(Progress::Done),
        }
    }

    /// How many bytes are kept.
    pub fn backlog(&self) -> usize {
        self.backlog_of_socket() + self.ring.as_ref().map_or(0, |ring| ring.backlog())
    }

    /// Whether a [`flush`](Self::flush) has anything to do.
    pub fn has_more(&self) -> bool {
        self.kept.is_some() || self.ring.as_ref().is_some_and(|ring| ring.has_more())
    }

    /// Whether a writable fd means that [`flush`](Self::flush) is worth a call. Where it does not, a readable one does, after the receiver was
    /// [settled](super::Receiver::settle).
    pub fn awaits_socket(&self) -> bool {
        self.kept.is_some()
    }

    fn backlog_of_socket(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.size)
    }

    /// Ends both directions: the other side, and whoever polls this one, learn of it at once. What is kept is lost.
    pub fn shutdown(&self) {
        self.socket.shutdown();
    }

    /// What to poll: writable means that [`flush`](Self::flush) is worth a call.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The descriptor itself.
    pub(super) fn share(&self) -> Descriptor {
        self.socket.share()
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        Peer { place: self.socket.place().clone(), socket: Arc::downgrade(&self.socket) }
    }

    fn send_frame(&mut self, parts: &[&[u8]], mut fd: Option<OwnedFd>) -> Result<Progress, TransportError> {
        self.socket.check()?;
        if let Some(sent) = self.send_ring(parts, None)? {
            return Ok(sent);
        }
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let (bytes, start) = header(size as u64);
        let header = &bytes[start..];
        // What was kept goes first; then a large frame need not be copied behind it.
        let joins = self.kept.is_some() && size < LARGE && fd.is_none();
        if joins || self.flush()? == Progress::Pending {
            self.keep(header, parts, 0, fd);
            return if joins { self.flush() } else { Ok(Progress::Pending) };
        }
        let mut few = [IoSlice::new(&[]); FEW];
        let mut many = Vec::new();
        let slices = match few.get_mut(..=parts.len()) {
            Some(few) => few,
            None => {
                many.resize(1 + parts.len(), IoSlice::new(&[]));
                &mut many[..]
            }
        };
        slices[0] = IoSlice::new(header);
        for (slice, part) in slices[1..].iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
        }
        let sent = transmit(&self.socket, slices, &mut fd)?;
        if sent == header.len() + size {
            return Ok(Progress::Done);
        }
        self.keep(header, parts, sent, fd);
        Ok(Progress::Pending)
    }

    /// Sends by the shared memory; `None` where there is none.
    fn send_ring(&mut self, parts: &[&[u8]], body: Option<&mut Bytes>) -> Result<Option<Progress>, TransportError> {
        let Some(ring) = &mut self.ring else { return Ok(None) };
        let sent = ring.send(parts, body, self.socket.as_fd())?;
        // Only the socket tells that nobody will ever take anything out; it is asked where one would have to wait anyway.
        if sent == Progress::Pending {
            let end = poll::wait_one(self.socket.as_fd(), Interest::HangUp, Some(Duration::ZERO));
            if end.is_ok_and(|end| end.hung_up) {
                return Err(TransportError::Closed);
            }
        }
        Ok(Some(sent))
    }

    /// Keeps what follows the first `sent` bytes of a frame.
    fn keep(&mut self, header: &[u8], parts: &[&[u8]], sent: usize, fd: Option<OwnedFd>) {
        let size = header.len() + parts.iter().map(|part| part.len()).sum::<usize>() - sent;
        let Backlog { queue, size: backlog } = &mut **self.kept.get_or_insert_default();
        *backlog += size;
        let joins = |last: &Chunk| {
            let is_own = matches!(last.bytes, Bytes::Own(_));
            is_own && fd.is_none() && last.fd.is_none() && last.bytes.len() + size <= CHUNK
        };
        if !queue.back().is_some_and(joins) {
            queue.push_back(Chunk { bytes: Vec::with_capacity(size).into(), sent: 0, fd });
        }
        let Some(Chunk { bytes: Bytes::Own(bytes), .. }) = queue.back_mut() else { return };
        let mut skip = sent;
        for part in std::iter::once(&header).chain(parts) {
            let skipped = skip.min(part.len());
            bytes.extend_from_slice(&part[skipped..]);
            skip -= skipped;
        }
    }
}

impl Backlog {
    /// Sends of it what the socket takes now.
    fn flush(&mut self, socket: &Socket) -> Result<Progress, TransportError> {
        while let Some(chunk) = self.queue.front_mut() {
            let sent = transmit(socket, &mut [IoSlice::new(&chunk.bytes[chunk.sent..])], &mut chunk.fd)?;
            chunk.sent += sent;
            self.size -= sent;
            if chunk.sent < chunk.bytes.len() {
                return Ok(Progress::Pending);
            }
            if let Some(Chunk { bytes: Bytes::Own(bytes), .. }) = self.queue.pop_front() {
                buffer::give(bytes);
            }
        }
        Ok(Progress::Done)
    }
}

/// Gives the system as much of `slices` as it takes, the fd with the first byte; returns how many bytes that was.
fn transmit(
    socket: &Socket,
    mut slices: &mut [IoSlice<'_>],
    fd: &mut Option<OwnedFd>,
) -> Result<usize, TransportError> {
    let mut total = 0;
    loop {
        IoSlice::advance_slices(&mut slices, 0);
        if slices.is_empty() {
            return Ok(total);
        }
        let raw = fd.as_ref().map(|fd| [fd.as_raw_fd()]);
        let rights = raw.as_ref().map(|raw| [ControlMessage::ScmRights(raw)]);
        let control = rights.as_ref().map_or(&[][..], |rights| rights);
        let now = &slices[..slices.len().min(MOST)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match sendmsg::<()>(socket.as_fd().as_raw_fd(), now, control, flags, None) {
            Ok(sent) => {
                *fd = None;
                total += sent;
                IoSlice::advance_slices(&mut slices, sent);
            }
            Err(nix::Error::EINTR) => {}
            Err(nix::Error::EAGAIN) => return Ok(total),
            Err(error) => {
                let error = io::Error::from(error);
                return Err(if is_end(&error) { TransportError::Closed } else { TransportError::io("sending", error) });
            }
        }
    }
}
