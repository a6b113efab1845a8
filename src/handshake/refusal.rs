//! How a server says no.

use super::error::HandshakeError;
use super::message::VERSION;

/// How a refusal begins, CPython's too.
pub(super) const FAILURE: &[u8] = b"#FAILURE#";

/// The longest text in characters that is sent, and that is believed.
const MAX_TEXT: usize = 200;

/// Why a server takes no connection. The client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The client's proof does not fit: it has another key.
    WrongKey,
    /// The client speaks another version.
    Version,
    /// The client says what no client says.
    Garbage,
    /// The client says more than it may before it is known.
    TooLarge,
    /// The client took too long.
    TooLate,
    /// The server has as many connections as it may have; the reason names the limit.
    Busy(String),
    /// The client is Python's, and these are not allowed here.
    PythonPeer,
}

impl Refusal {
    fn code(&self) -> u8 {
        match self {
            Self::WrongKey => 1,
            Self::Version => 2,
            Self::Garbage => 3,
            Self::TooLarge => 4,
            Self::TooLate => 5,
            Self::Busy(_) => 6,
            Self::PythonPeer => 7,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::WrongKey => "the authkey is another",
            Self::Version => "the protocol's version is another",
            Self::Garbage => "this is no multiproc client",
            Self::TooLarge => "the hello is too large",
            Self::TooLate => "the hello came too late",
            Self::Busy(reason) => reason,
            Self::PythonPeer => "Python peers are not allowed here",
        }
    }

    /// The frame that says it.
    pub(super) fn reply(&self) -> Vec<u8> {
        let text: String = self.text().chars().take(MAX_TEXT).collect();
        [FAILURE, &[self.code()], &VERSION.to_be_bytes(), text.as_bytes()].concat()
    }

    /// What a client makes of such a frame; `None` if it is none. Nobody has proved anything yet, so that the text is
    /// shortened and stripped of what could mislead a terminal.
    pub(super) fn read(frame: &[u8]) -> Option<HandshakeError> {
        let said = frame.strip_prefix(FAILURE)?;
        let Some(([code, version @ ..], text)) = said.split_first_chunk::<3>() else {
            // A CPython server says no more than the word.
            return Some(HandshakeError::NotAServer);
        };
        let text = String::from_utf8_lossy(text);
        let text = text.chars().filter(|character| !character.is_control()).take(MAX_TEXT).collect();
        Some(match code {
            1 => HandshakeError::WrongKey,
            2 => HandshakeError::Version { ours: VERSION, theirs: u16::from_be_bytes(*version) },
            5 => HandshakeError::TooLate,
            6 => HandshakeError::Busy { reason: text },
            _ => HandshakeError::Refused { reason: text },
        })
    }
}
