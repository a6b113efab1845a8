//! CPython's handshake, both sides, the server's without any I/O: `multiprocessing.connection.deliver_challenge` and `answer_challenge`, 3.8 to 3.14.
//!
//! # Security
//! Both sides prove themselves, as far as the digests carry that: clients up to 3.11 know none but MD5, as HMAC. Nothing else of the conversation is covered.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::{Sha256, Sha384};

use std::time::Instant;

use super::challenge::{GREETING, random};
use super::client::Patience;
use super::message::WELCOME;
use super::refusal::FAILURE;
use super::server::Refused;
use super::{HandshakeError, MAX_MESSAGE};
use crate::authkey::Authkey;
use crate::transport::{Connection, Progress};

/// How a challenge begins.
const CHALLENGE: &[u8] = b"#CHALLENGE#";
/// The length of a challenge that has no digest's name: that of clients up to 3.11, and the least that is answered.
const OLD_CHALLENGE: usize = 20;
/// The longest line that CPython reads.
const MAX_LINE: usize = 256;

/// A connection with one of Python's clients, whose two sides have proved themselves to each other.
#[derive(Debug)]
pub struct PythonPeer {
    /// The connection.
    pub connection: Connection,
    /// Whether it is of 3.11 or before.
    pub old: bool,
}

/// A conversation with one of Python's clients, which has answered the greeting rightly.
#[derive(Debug)]
pub struct PythonHandshake {
    key: Authkey,
    old: bool,
    /// Whether the client's own challenge has been answered.
    answered: bool,
}

/// What comes next.
pub(super) enum Next {
    /// These lines are to be sent.
    Say(PythonHandshake, Vec<Vec<u8>>),
    /// The client is content.
    Done {
        /// Whether it is of 3.11 or before.
        old: bool,
    },
}

/// A way of proving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Digest {
    Md5,
    Sha256,
    Sha384,
}

impl Digest {
    /// The digest whose name stands at the beginning in braces, and the rest.
    fn named(line: &[u8]) -> Option<(Self, &[u8])> {
        let [b'{', line @ ..] = line else { return None };
        let end = line.iter().position(|byte| *byte == b'}')?;
        let digest = match &line[..end] {
            b"md5" => Self::Md5,
            b"sha256" => Self::Sha256,
            b"sha384" => Self::Sha384,
            _ => return None,
        };
        Some((digest, &line[end + 1..]))
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::Md5 => b"{md5}",
            Self::Sha256 => b"{sha256}",
            Self::Sha384 => b"{sha384}",
        }
    }

    fn prove(self, key: &Authkey, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => mac::<Hmac<Md5>>(key, message).finalize().into_bytes().to_vec(),
            Self::Sha256 => mac::<Hmac<Sha256>>(key, message).finalize().into_bytes().to_vec(),
            Self::Sha384 => mac::<Hmac<Sha384>>(key, message).finalize().into_bytes().to_vec(),
        }
    }

    /// In constant time.
    fn is_proved(self, key: &Authkey, message: &[u8], proof: &[u8]) -> bool {
        match self {
            Self::Md5 => mac::<Hmac<Md5>>(key, message).verify_slice(proof).is_ok(),
            Self::Sha256 => mac::<Hmac<Sha256>>(key, message).verify_slice(proof).is_ok(),
            Self::Sha384 => mac::<Hmac<Sha384>>(key, message).verify_slice(proof).is_ok(),
        }
    }
}

fn mac<M: Mac + KeyInit>(key: &Authkey, message: &[u8]) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes()).expect("an HMAC takes keys of any length");
    mac.update(message);
    mac
}

fn refused(error: HandshakeError) -> Refused {
    // No more than the word: it is all that CPython knows.
    Refused { reply: FAILURE.to_vec(), error }
}

impl PythonHandshake {
    /// Takes the client's answer to the greeting.
    pub(super) fn begin(key: Authkey, greeting: &[u8], answer: &[u8]) -> Result<Next, Refused> {
        let message = greeting.strip_prefix(CHALLENGE).unwrap_or(greeting);
        debug_assert!(greeting.starts_with(GREETING));
        let (digest, proof) = Digest::named(answer).unwrap_or((Digest::Md5, answer));
        if !digest.is_proved(&key, message, proof) {
            return Err(refused(HandshakeError::WrongKey));
        }
        let old = proof.len() == answer.len();
        Ok(Next::Say(Self { key, old, answered: false }, vec![WELCOME.to_vec()]))
    }

    /// Takes the client's next line.
    pub(super) fn go_on(self, line: &[u8]) -> Result<Next, Refused> {
        if self.answered {
            return match line {
                WELCOME => Ok(Next::Done { old: self.old }),
                FAILURE => Err(refused(HandshakeError::WrongKey)),
                _ => Err(refused(HandshakeError::NotAClient)),
            };
        }
        let message =
            line.strip_prefix(CHALLENGE).filter(|message| (OLD_CHALLENGE..=MAX_LINE).contains(&message.len()));
        let message = message.ok_or_else(|| refused(HandshakeError::NotAClient))?;
        let proof = match Digest::named(message) {
            Some((digest, _)) => [digest.name(), &digest.prove(&self.key, message)].concat(),
            None if message.len() == OLD_CHALLENGE => Digest::Md5.prove(&self.key, message),
            None => return Err(refused(HandshakeError::NotAClient)),
        };
        Ok(Next::Say(Self { answered: true, ..self }, vec![proof]))
    }
}

/// Takes a connection through the handshake with a manager that Python started. Waits for it until `deadline`.
///
/// # Errors
/// Why it failed; the connection is closed.
pub fn authenticate_at_python(
    mut connection: Connection,
    key: &Authkey,
    deadline: Instant,
) -> Result<Connection, HandshakeError> {
    let patience = Patience { begun: Instant::now(), deadline, cancel: None };
    connection.receiver.set_limit(MAX_MESSAGE);
    let line = patience.next(&mut connection)?;
    let message = line.strip_prefix(CHALLENGE).filter(|message| message.len() >= OLD_CHALLENGE);
    let message = message.ok_or(HandshakeError::NotAServer)?;
    let answer = match Digest::named(message) {
        Some((digest, _)) => [digest.name(), &digest.prove(key, message)].concat(),
        None if message.len() == OLD_CHALLENGE => Digest::Md5.prove(key, message),
        None => return Err(HandshakeError::NotAServer),
    };
    let old = Digest::named(message).is_none();
    let _: Progress = connection.sender.send(&[&answer])?;
    match &patience.next(&mut connection)?[..] {
        WELCOME => {}
        FAILURE => return Err(HandshakeError::WrongKey),
        _ => return Err(HandshakeError::NotAServer),
    }
    // Its turn to prove itself. Servers up to 3.11 know no digests by name.
    let random: [u8; 40] = random();
    let message = if old { random[..OLD_CHALLENGE].to_vec() } else { [Digest::Sha256.name(), &random].concat() };
    let _: Progress = connection.sender.send(&[CHALLENGE, &message])?;
    let proof = patience.next(&mut connection)?;
    let is_proved = match Digest::named(&proof) {
        Some((Digest::Sha256, proof)) if !old => Digest::Sha256.is_proved(key, &message, proof),
        None if old => Digest::Md5.is_proved(key, &message, &proof),
        _ => false,
    };
    let _: Progress = connection.sender.send(&[if is_proved { WELCOME } else { FAILURE }])?;
    if is_proved { Ok(connection) } else { Err(HandshakeError::ServerUnproven) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::challenge::greeting;

    fn key() -> Authkey {
        Authkey::new("secret").unwrap()
    }

    /// The lines that a client of CPython would send, by its own rules.
    fn converse(key_of_client: &Authkey, old: bool) -> Result<bool, HandshakeError> {
        let greeting = greeting();
        let digest = if old { Digest::Md5 } else { Digest::Sha256 };
        let name = if old { &b""[..] } else { digest.name() };
        let answer = [name, &digest.prove(key_of_client, &greeting[CHALLENGE.len()..])].concat();
        let next = PythonHandshake::begin(key(), &greeting, &answer).map_err(|refused| refused.error)?;
        let Next::Say(handshake, lines) = next else { panic!() };
        assert_eq!(lines, [WELCOME]);
        let message = if old { vec![7; 20] } else { [b"{sha256}", &[7; 40][..]].concat() };
        let next = handshake.go_on(&[CHALLENGE, &message].concat()).map_err(|refused| refused.error)?;
        let Next::Say(handshake, lines) = next else { panic!() };
        assert_eq!(lines, [[name, &digest.prove(key_of_client, &message)].concat()]);
        match handshake.go_on(WELCOME).map_err(|refused| refused.error)? {
            Next::Done { old } => Ok(old),
            Next::Say(..) => panic!(),
        }
    }

    #[test]
    fn both_generations_of_clients_come_in_with_the_key_and_not_without() {
        assert!(converse(&key(), true).unwrap());
        assert!(!converse(&key(), false).unwrap());
        let other = Authkey::new("other").unwrap();
        assert!(matches!(converse(&other, true), Err(HandshakeError::WrongKey)));
        assert!(matches!(converse(&other, false), Err(HandshakeError::WrongKey)));
    }

    #[test]
    fn the_servers_own_proof_is_not_given_for_everything() {
        for line in [&b"#CHALLENGE#short"[..], b"#WELCOME#", b"#CHALLENGE#{sha1}12345678901234567890", b""] {
            let handshake = PythonHandshake { key: key(), old: false, answered: false };
            assert!(handshake.go_on(line).is_err());
        }
    }
}
