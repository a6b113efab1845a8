//! What the two sides say of themselves, and how it is written.

use super::HandshakeError;
use super::challenge::{PROOF, random, split_proof};
use crate::protocol::ids::{ClientId, ConnectionId, ServerId};

/// The version of the protocol. Both sides must have the same.
pub const VERSION: u16 = 1;

/// How a native hello begins, and what tells a native welcome from a CPython server's.
pub(super) const MAGIC: &[u8; 4] = b"MPRC";

/// How a welcome begins, CPython's too.
pub(super) const WELCOME: &[u8] = b"#WELCOME#";

/// What this side can do beyond the version: bits, none of them given a meaning yet. Those that are not known are to be
/// ignored.
const FEATURES: u32 = 0;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The one stream of a client that carries its references and its notices; its end is the client's end.
    Control,
    /// One of any number that carry calls.
    Data,
}

/// What a client says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The client's process.
    pub client: ClientId,
    /// What the connection is for.
    pub role: Role,
    /// Which of the client's connections it is.
    pub connection: ConnectionId,
}

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// This run of the server.
    pub server: ServerId,
    /// The largest frame in bytes that may be sent, either way.
    pub max_frame: u64,
}

impl Hello {
    /// The hello without its proof.
    pub(super) fn write(&self) -> Vec<u8> {
        let role = match self.role {
            Role::Control => 0_u8,
            Role::Data => 1,
        };
        let nonce: [u8; 32] = random();
        [
            MAGIC,
            &VERSION.to_be_bytes()[..],
            &FEATURES.to_be_bytes(),
            &[role],
            &self.client.0,
            &nonce,
            &self.connection.0.to_be_bytes(),
        ]
        .concat()
    }

    /// Reads a hello, splitting its proof off; believes nothing yet but the form.
    pub(super) fn read(frame: &[u8]) -> Result<(Self, &[u8], &[u8; PROOF]), HandshakeError> {
        let rest = version(frame).ok_or(HandshakeError::NotAClient)??;
        let mut fields = Fields(rest);
        let hello = fields.features().and_then(|_| {
            let role = match fields.take()? {
                [0] => Role::Control,
                [1] => Role::Data,
                _ => return None,
            };
            let client = ClientId(fields.take()?);
            fields.take::<32>()?;
            let connection = ConnectionId(u64::from_be_bytes(fields.take()?));
            Some(Self { client, role, connection })
        });
        let (said, proof) = split_proof(frame).ok_or(HandshakeError::NotAClient)?;
        hello.filter(|_| fields.0.len() == PROOF).map(|hello| (hello, said, proof)).ok_or(HandshakeError::NotAClient)
    }
}

impl Welcome {
    /// The welcome without its proof.
    pub(super) fn write(&self) -> Vec<u8> {
        [WELCOME, MAGIC, &VERSION.to_be_bytes(), &FEATURES.to_be_bytes(), &self.server.0, &self.max_frame.to_be_bytes()]
            .concat()
    }

    /// Reads a welcome, splitting its proof off; believes nothing yet but the form.
    pub(super) fn read(frame: &[u8]) -> Result<(Self, &[u8], &[u8; PROOF]), HandshakeError> {
        let native = frame.strip_prefix(WELCOME).and_then(version);
        let rest = native.ok_or(HandshakeError::NotAServer)??;
        let mut fields = Fields(rest);
        let welcome = fields.features().and_then(|_| {
            let server = ServerId(fields.take()?);
            let max_frame = u64::from_be_bytes(fields.take()?);
            Some(Self { server, max_frame })
        });
        let (said, proof) = split_proof(frame).ok_or(HandshakeError::NotAServer)?;
        welcome
            .filter(|_| fields.0.len() == PROOF)
            .map(|welcome| (welcome, said, proof))
            .ok_or(HandshakeError::NotAServer)
    }
}

/// What follows magic and version; `None` where they are missing. The version is looked at before all else, since what
/// follows may look different in another.
fn version(bytes: &[u8]) -> Option<Result<&[u8], HandshakeError>> {
    let (version, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
    match u16::from_be_bytes(*version) {
        VERSION => Some(Ok(rest)),
        theirs => Some(Err(HandshakeError::Version { ours: VERSION, theirs })),
    }
}

/// Takes fields off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn features(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }
}
