//! One call: request out, reply in.
//!
//! Waiting is [`Wait`](crate::transport::Wait)'s until it is time to sleep: in `poll`, on the connection and on the server's process, so that the server's death
//! ends the wait even where somebody else holds its sockets open.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::pool::Link;
use super::reference::RemoteReference;
use super::{Client, State, has_come, keeper};
use crate::codec::{self, Codec, CodecError, Put};
use crate::error::{Error, Result};
use crate::protocol::carriage::{Carried, Keep};
use crate::protocol::command::Command;
use crate::protocol::limits::HANDSHAKE_TIME;
use crate::protocol::notice::{ControlNotice, DataNotice};
use crate::protocol::reply::{Reply, ReplyHead, Status};
use crate::protocol::request::RequestHead;
use crate::protocol::token::WireToken;
use crate::protocol::{ObjectId, RequestId, ThreadNumber, Token};
use crate::sys::buffer;
use crate::sys::bytes::{Bytes, LARGE as LARGE_ARGUMENTS};
use crate::sys::poll::{self, Interest};
use crate::sys::thread;
use crate::transport::{Connection, Hints, Progress, Sender, TransportError};

/// How long a caller that has given up waits for the call's final answer. One who was told of a timeout earlier has had it.
pub const FAREWELL: Duration = Duration::from_secs(1);

/// A call, before it is made.
pub struct Request<'a> {
    /// The target.
    pub object: ObjectId,
    /// The method.
    pub method: &'a str,
    /// How the arguments are written.
    pub codec: Codec,
    /// The structural hash of the method's types; 0 for none.
    pub signature: u32,
    /// The arguments. Taken out where they are large, and have to wait for room.
    pub payload: &'a mut Vec<u8>,
    /// What is to be sent as the arguments instead, where those are large: straight from where they lie.
    pub streamed: Option<Streamed<'a>>,
    /// The proxies in them.
    pub carried: &'a [Carried],
    /// How long the caller waits.
    pub timeout: Option<Duration>,
}

/// Gives large arguments, piece by piece.
pub type Write<'a> = &'a dyn Fn(Put<'_>) -> std::result::Result<(), CodecError>;

/// Large arguments, which have been measured and are written when they are sent.
#[derive(Clone, Copy)]
pub struct Streamed<'a> {
    /// How many bytes they take.
    pub size: usize,
    /// Gives them, piece by piece.
    pub write: Write<'a>,
}

/// How long a caller waits for room in shared memory at a time, and how often in a row without getting any, before it copies what is left.
const ROOM_TIME: Duration = Duration::from_millis(50);
const ROOM_WAITS: u32 = 4;

impl Request<'_> {
    /// The tokens as they stand in the frame. Those of other servers' objects get tickets, which may take contact with those servers.
    ///
    /// # Errors
    /// For a call that does not fit into a frame.
    #[inline]
    pub(super) fn tokens(&self, client: &Client) -> Result<Vec<u8>> {
        let longest = RequestHead::SIZE + self.method.len() + self.size();
        if self.carried.is_empty() && longest as u64 <= client.max_frame && self.method.len() <= usize::from(u16::MAX) {
            return Ok(Vec::new());
        }
        self.written_tokens(client)
    }

    fn written_tokens(&self, client: &Client) -> Result<Vec<u8>> {
        let mut tokens = Vec::new();
        self.carried.iter().for_each(|carried| carried.write(client.server, &mut tokens));
        let size = (RequestHead::SIZE + self.method.len() + tokens.len() + self.size()) as u64;
        if size > client.max_frame {
            return Err(Error::FrameTooLarge { size, limit: client.max_frame });
        }
        if self.carried.len() > usize::from(u16::MAX) || self.method.len() > usize::from(u16::MAX) {
            return Err(Error::protocol("more than 65,535 proxies in one call, or a method name as long"));
        }
        Ok(tokens)
    }

    /// Sends it; `head` and `tokens` are what stands before the arguments. Large arguments are not copied when they have to wait for room.
    pub(super) fn send(
        &mut self,
        head: &[u8],
        tokens: &[u8],
        sender: &mut Sender,
    ) -> std::result::Result<Progress, TransportError> {
        if self.payload.len() < LARGE_ARGUMENTS {
            return sender.send(&[head, tokens, self.payload]);
        }
        sender.send_body(&[head, tokens].concat(), &mut std::mem::take(self.payload).into())
    }

    /// How many bytes the arguments take.
    pub(super) fn size(&self) -> usize {
        self.streamed.map_or(self.payload.len(), |streamed| streamed.size)
    }

    /// Writes what stands before the tokens.
    pub(super) fn write_head(&self, request: RequestId, after: u64, acknowledged: u64, head: &mut Vec<u8>) {
        head.clear();
        let millis = |timeout: Duration| timeout.as_micros().div_ceil(1000).clamp(1, u128::from(u32::MAX));
        let fixed = RequestHead {
            request,
            object: self.object,
            thread: ThreadNumber(thread::number()),
            after,
            acknowledged,
            codec: self.codec.as_byte(),
            signature: self.signature,
            timeout_ms: self.timeout.map_or(0, |timeout| u32::try_from(millis(timeout)).unwrap_or(u32::MAX)),
        };
        fixed.write(self.method, u16::try_from(self.carried.len()).unwrap_or(u16::MAX), head);
    }
}

/// A reply, as it was read.
pub struct Returned {
    /// What kind of answer it is.
    pub status: Status,
    payload: Payload,
    /// The proxies in it, each a reference of this process.
    pub carried: Vec<Carried>,
}

/// How many bytes of a payload are kept without memory of their own.
const SMALL: usize = 23;

/// Where an encoded result lies.
enum Payload {
    /// Here.
    Small { length: u8, bytes: [u8; SMALL] },
    /// From there on in the frame that it came in.
    Behind { start: usize, frame: Vec<u8> },
}

impl Payload {
    /// The last `length` bytes of a frame, whose memory is taken where they are more than a few.
    #[inline]
    fn last(length: usize, frame: &mut Vec<u8>) -> Self {
        let start = frame.len() - length;
        if length > SMALL {
            return Self::Behind { start, frame: std::mem::take(frame) };
        }
        let mut bytes = [0; SMALL];
        bytes[..length].copy_from_slice(&frame[start..]);
        Self::Small { length: length as u8, bytes }
    }
}

impl Drop for Payload {
    #[inline]
    fn drop(&mut self) {
        if let Self::Behind { frame, .. } = self {
            buffer::give(std::mem::take(frame));
        }
    }
}

impl Returned {
    /// The encoded result or error.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        match &self.payload {
            Payload::Small { length, bytes } => &bytes[..usize::from(*length)],
            Payload::Behind { start, frame } => &frame[*start..],
        }
    }
}

impl Client {
    /// Makes a call and waits for its answer: as long as it takes, or as `timeout` says. Ends within 1 s of the server's death.
    pub fn call(self: &Arc<Self>, request: &mut Request<'_>) -> Result<Returned> {
        self.check_own()?;
        // The clock is looked at only where it matters: a look costs a twentieth of a call.
        let deadline = request.timeout.map(|timeout| Instant::now() + timeout);
        let taken = self.take_link(deadline);
        let (link, after) = taken.map_err(|error| match (error, request.timeout) {
            // The handshake had no more time than the call.
            (Error::Authentication { .. }, Some(after)) if deadline.is_some_and(|end| end <= Instant::now()) => {
                Error::Timeout { after }
            }
            (error, _) => error,
        })?;
        let mut exchange = Exchange { client: self, link, request: RequestId(0) };
        let result = exchange.run(request, after, deadline);
        exchange.finish(result)
    }

    /// Asks the server itself, and waits for its answer.
    pub fn command<A: Serialize, R: DeserializeOwned>(
        self: &Arc<Self>,
        command: Command,
        arguments: &A,
        timeout: Option<Duration>,
    ) -> Result<R> {
        let mut payload = Vec::new();
        codec::encode(Codec::Bincode, arguments, &mut payload).map_err(Error::unserializable::<A>)?;
        let (object, method) = (ObjectId::SERVER, command.name());
        let request = &mut Request {
            object,
            method,
            codec: Codec::Bincode,
            signature: 0,
            payload: &mut payload,
            streamed: None,
            carried: &[],
            timeout,
        };
        let returned = self.call(request)?;
        if returned.status == Status::Returned {
            return codec::decode(Codec::Bincode, returned.payload()).map_err(Error::unserializable::<R>);
        }
        Err(codec::decode(Codec::Bincode, returned.payload()).unwrap_or_else(Error::unserializable::<Error>))
    }

    /// Reads a reply, and counts its references, whether or not anybody waits for it. Takes the frame's memory where the result is large.
    #[inline]
    pub(super) fn read(self: &Arc<Self>, frame: &mut Vec<u8>) -> Result<(ReplyHead, Returned)> {
        let reply = Reply::read(frame)?;
        let carried = if reply.tokens.len() > 0 { self.count(&reply) } else { Vec::new() };
        let (head, length) = (reply.head, reply.payload.len());
        Ok((head, Returned { status: head.status, payload: Payload::last(length, frame), carried }))
    }

    fn count(self: &Arc<Self>, reply: &Reply<'_>) -> Vec<Carried> {
        let mut state = self.state();
        let carry = |token| match token {
            WireToken::Own { object, typeid } => {
                state.ledger.grant(object);
                let reference = RemoteReference::counted(self, object, typeid.into());
                let token = reference.token().clone();
                Carried { token, ticket: None, keep: Some(reference as Arc<dyn Keep>) }
            }
            WireToken::Foreign { server, object, typeid, address, ticket } => Carried {
                token: Token { server, object, typeid: typeid.into(), address: address.into() },
                ticket,
                keep: None,
            },
        };
        reply.tokens.clone().map(carry).collect()
    }

    /// A connection, and how many notices the next request comes after.
    pub(super) fn take_link(self: &Arc<Self>, deadline: Option<Instant>) -> Result<(Box<Link>, u64)> {
        self.flush_notices();
        let idle = self.hot.take().or_else(|| self.state().pool.take());
        let link = idle.map_or_else(
            || {
                let handshake = Instant::now() + self.route.handshake_time.min(HANDSHAKE_TIME);
                self.open(deadline.map_or(handshake, |deadline| deadline.min(handshake)))
            },
            Ok,
        );
        Ok((link?, self.told.said()))
    }

    /// Sees to it that what was said before a call leaves before it, if there is anything left; the server lets the call wait for all of it.
    pub(super) fn flush_notices(self: &Arc<Self>) {
        if self.told.is_busy() && !self.state().notices.flush() {
            keeper::keep(self);
        }
    }
}

/// How an exchange went wrong.
enum Broken {
    /// The connection is fine.
    Call(Error),
    /// The connection is of no more use.
    Link(Error),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

struct Exchange<'a> {
    client: &'a Arc<Client>,
    link: Box<Link>,
    request: RequestId,
}

impl Exchange<'_> {
    fn run(
        &mut self,
        request: &mut Request<'_>,
        after: u64,
        deadline: Option<Instant>,
    ) -> std::result::Result<Returned, Broken> {
        self.send(request, after)?;
        if let Some(returned) = self.wait(deadline)? {
            return Ok(returned);
        }
        let timeout = request.timeout.unwrap_or_default();
        // The server decides: the answer may have been on its way.
        let mut frame = Vec::new();
        DataNotice::Cancel { request: self.request }.write(&mut frame);
        let sent = self.link.stream.sender.send(&[&frame]);
        // What is pending goes out while the answer is waited for.
        let _: Progress = sent.map_err(|error| self.broken(&error))?;
        match self.wait(Some(Instant::now() + FAREWELL))? {
            Some(returned) if returned.status != Status::Refused => Ok(returned),
            Some(_) => Err(Broken::Call(Error::Timeout { after: timeout })),
            // Without a final word the connection goes on; a late reply is read, and its references given back, with the next call's.
            None => {
                let late = deadline.map_or(FAREWELL, |deadline| deadline.elapsed());
                Err(Broken::Call(Error::Timeout { after: timeout + late }))
            }
        }
    }

    fn send(&mut self, request: &mut Request<'_>, after: u64) -> std::result::Result<(), Broken> {
        let tokens = request.tokens(self.client)?;
        self.request = self.link.tally.next_request();
        let Link { stream, upgrade, wait, .. } = &mut *self.link;
        wait.give_way(stream.receiver.hints());
        stream.receiver.tell(Hints::of_client());
        let called = upgrade.call(request.size(), &mut stream.sender);
        called.map_err(|error| self.broken(&error))?;
        let Link { stream, tally, head, .. } = &mut *self.link;
        request.write_head(self.request, after, tally.acknowledge(), head);
        let sent = match request.streamed {
            None => request.send(head, &tokens, &mut stream.sender),
            Some(streamed) => self.stream(&tokens, streamed),
        };
        let _: Progress = sent.map_err(|error| self.broken(&error))?;
        Ok(())
    }

    /// Sends a request whose head is written, with large arguments.
    fn stream(&mut self, tokens: &[u8], streamed: Streamed<'_>) -> std::result::Result<Progress, TransportError> {
        let Link { stream: Connection { receiver, sender }, wait, head, .. } = &mut *self.link;
        let Streamed { size, write } = streamed;
        let (mut asleep, mut waits) = (false, 0);
        let mut room = |gained: bool| {
            if gained {
                waits = 0;
                wait.over();
            }
            if std::mem::take(&mut asleep) {
                // An error is met again where the answer is waited for.
                let woken = poll::wait_one(receiver.fd(), Interest::Read, Some(ROOM_TIME));
                receiver.heed(woken.is_ok_and(|woken| woken.hung_up));
                waits += 1;
            } else if !wait.goes_on(receiver.hints()) {
                wait.over();
                // Then it is looked once more.
                receiver.settle_deaf();
                asleep = true;
            }
            waits < ROOM_WAITS && !receiver.has_ended()
        };
        let mut failed = false;
        let mut give = |put: Put<'_>| {
            put(head);
            put(tokens);
            failed = write(put).is_err();
        };
        let sent = sender.stream(head.len() + tokens.len() + size, &mut give, &mut room)?;
        if asleep {
            receiver.heed(false);
        }
        wait.over();
        if failed {
            return Err(TransportError::Changed);
        }
        if let Some(sent) = sent {
            return Ok(sent);
        }
        let mut payload = buffer::take_for(size, size);
        if write(&mut |bytes| payload.extend_from_slice(bytes)).is_err() {
            return Err(TransportError::Changed);
        }
        head.extend_from_slice(tokens);
        let mut payload = payload.into();
        let sent = sender.send_body(head, &mut payload);
        if let Bytes::Own(payload) = payload {
            buffer::give(payload);
        }
        sent
    }

    /// Waits for the reply to this request; `None` at the deadline.
    fn wait(&mut self, deadline: Option<Instant>) -> std::result::Result<Option<Returned>, Broken> {
        loop {
            if self.link.stream.sender.backlog() > 0 {
                let flushed = self.link.stream.sender.flush();
                let _: Progress = flushed.map_err(|error| self.broken(&error))?;
            }
            let Link { stream, upgrade, spare, .. } = &mut *self.link;
            let has_come = upgrade.next(&mut stream.receiver, &mut stream.sender, &mut spare.frame);
            let has_come = has_come.map_err(|error| self.broken(&error))?;
            let Link { stream, wait, .. } = &mut *self.link;
            if has_come {
                wait.over();
                if let Some(returned) = self.read()? {
                    return Ok(Some(returned));
                }
            } else if !wait.goes_on(stream.receiver.hints()) {
                wait.over();
                if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    return Ok(None);
                }
                if self.link.stream.receiver.settle() {
                    self.sleep(deadline)?;
                }
            }
        }
    }

    /// Sleeps until something comes, or the server ends.
    fn sleep(&mut self, deadline: Option<Instant>) -> std::result::Result<(), Broken> {
        let Link { stream, .. } = &mut *self.link;
        if stream.sender.backlog() > 0 && !stream.sender.awaits_socket() {
            // Room that was made before the doorbell was asked for.
            let flushed = stream.sender.flush();
            let _: Progress = flushed.map_err(|error| self.broken(&error))?;
        }
        let stream = &self.link.stream;
        let interest = if stream.sender.awaits_socket() { Interest::ReadWrite } else { Interest::Read };
        let connection = (stream.receiver.fd(), interest);
        let process = self.client.process.as_ref().map(|process| (process.as_fd(), Interest::Read));
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let ready = poll::wait_each([connection, process.unwrap_or(connection)], timeout);
        let [connection, process] = ready.map_err(|error| Error::io("waiting for a reply", error))?;
        // Without a process to be watched the connection stands in both places.
        if self.client.process.is_some() && process.any() && !connection.any() {
            // What it had sent before its end is read first, also what came between the looks at the two.
            let receiver = &self.link.stream.receiver;
            if receiver.is_ready() || has_come(receiver.fd())? {
                return Ok(());
            }
            return Err(Broken::Link(self.client.gone("its process has ended")));
        }
        Ok(())
    }

    /// Takes a reply in: counts its references, also when nobody waits for it any more.
    fn read(&mut self) -> std::result::Result<Option<Returned>, Broken> {
        let (head, returned) = self.client.read(&mut self.link.spare.frame).map_err(Broken::Link)?;
        let number = self.link.tally.read(!returned.carried.is_empty(), head.moves);
        // A reply to a call that was given up is dropped, which gives its references back.
        let wanted = head.request == self.request;
        if head.moves {
            self.link.tally.take(number);
            // The server is told at once what has become of the item.
            let mut frame = Vec::new();
            match wanted {
                true => DataNotice::Acknowledge { replies: self.link.tally.acknowledge() }.write(&mut frame),
                false => DataNotice::Decline { reply: number }.write(&mut frame),
            }
            let sent = self.link.stream.sender.send(&[&frame]);
            let _: Progress = sent.map_err(|error| self.broken(&error))?;
        }
        Ok(wanted.then_some(returned))
    }

    fn broken(&self, error: &TransportError) -> Broken {
        if let TransportError::TooLarge { size, limit } = *error {
            return Broken::Link(Error::FrameTooLarge { size, limit });
        }
        if let TransportError::Changed = error {
            let type_name = "the arguments of a call".to_owned();
            return Broken::Link(Error::Unserializable { type_name, reason: error.to_string() });
        }
        Broken::Link(self.client.gone_or_lost(error))
    }

    /// Puts the connection back, or tells the server how far it was read.
    fn finish(self, result: std::result::Result<Returned, Broken>) -> Result<Returned> {
        let Self { client, link, .. } = self;
        let (result, keep) = match result {
            Ok(returned) => (Ok(returned), true),
            Err(Broken::Call(error)) => (Err(error), true),
            Err(Broken::Link(error)) => (Err(error), false),
        };
        if keep {
            if client.told.is_busy() {
                client.state().notices.arrived();
            }
            drop(client.keep_link(link));
            return result;
        }
        let lost = ControlNotice::Lost { connection: link.tally.connection, replies: link.tally.replies };
        let sent = {
            let mut state = client.state();
            let State { notices, ledger, .. } = &mut *state;
            notices.say(lost, None, ledger)
        };
        if !sent {
            keeper::keep(client);
        }
        drop(link);
        result
    }
}
