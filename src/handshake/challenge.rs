//! Challenges, the transcript of a conversation, and proofs over it.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::authkey::Authkey;

/// How a greeting begins: as that of a CPython server from 3.12 on.
pub(super) const GREETING: &[u8] = b"#CHALLENGE#{sha256}";

/// The random bytes after it.
const CHALLENGE: usize = 40;

/// The length of a proof in bytes.
pub(super) const PROOF: usize = 32;

/// Who proves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Client => b"multiproc client",
            Self::Server => b"multiproc server",
        }
    }
}

/// Random bytes from the kernel, of which no two processes ever draw the same, forked or not.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel's random source");
    bytes
}

/// A new greeting.
pub(super) fn greeting() -> Vec<u8> {
    [GREETING, &random::<CHALLENGE>()].concat()
}

/// Whether it is a greeting that a server of this crate could have sent.
pub(super) fn is_greeting(frame: &[u8]) -> bool {
    frame.strip_prefix(GREETING).is_some_and(|challenge| challenge.len() == CHALLENGE)
}

/// A message without its proof, which is its end.
pub(super) fn split_proof(message: &[u8]) -> Option<(&[u8], &[u8; PROOF])> {
    message.split_last_chunk()
}

/// All that was said so far, as proofs cover it: each message behind its length, so that no two conversations look
/// alike.
#[derive(Debug, Clone)]
pub(super) struct Transcript(Vec<u8>);

impl Transcript {
    pub(super) fn new(greeting: &[u8]) -> Self {
        let mut transcript = Self(Vec::new());
        transcript.add(greeting);
        transcript
    }

    pub(super) fn add(&mut self, message: &[u8]) {
        self.0.extend_from_slice(&(message.len() as u64).to_be_bytes());
        self.0.extend_from_slice(message);
    }

    /// The side's proof that it knows the key and said `message`, next after all that was said.
    pub(super) fn prove(&self, key: &Authkey, side: Side, message: &[u8]) -> [u8; PROOF] {
        self.mac(key, side, message).finalize().into_bytes().into()
    }

    /// Whether the proof is that; in constant time.
    pub(super) fn is_proved(&self, key: &Authkey, side: Side, message: &[u8], proof: &[u8; PROOF]) -> bool {
        self.mac(key, side, message).verify_slice(proof).is_ok()
    }

    fn mac(&self, key: &Authkey, side: Side, message: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(key.as_bytes()).expect("an HMAC takes keys of any length");
        mac.update(side.label());
        mac.update(&self.0);
        mac.update(&(message.len() as u64).to_be_bytes());
        mac.update(message);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_fits_its_key_side_and_conversation_only() {
        let (key, other) = (Authkey::new("key").unwrap(), Authkey::new("other").unwrap());
        let transcript = Transcript::new(b"greeting");
        let proof = transcript.prove(&key, Side::Client, b"hello");
        assert!(transcript.is_proved(&key, Side::Client, b"hello", &proof));
        assert!(!transcript.is_proved(&other, Side::Client, b"hello", &proof));
        assert!(!transcript.is_proved(&key, Side::Server, b"hello", &proof));
        assert!(!transcript.is_proved(&key, Side::Client, b"hellO", &proof));
        assert!(!Transcript::new(b"greetinh").is_proved(&key, Side::Client, b"ello", &proof));
        let mut longer = transcript.clone();
        longer.add(b"hello");
        assert!(!longer.is_proved(&key, Side::Client, b"", &proof));
    }

    #[test]
    fn a_proof_is_hmac_sha256_as_others_compute_it() {
        // RFC 4231, test case 2, through the same type.
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        assert_eq!(mac.finalize().into_bytes()[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }

    #[test]
    fn greetings_are_new_each_time_and_known_by_their_form() {
        let one = greeting();
        assert!(is_greeting(&one));
        assert_eq!(one.len(), 59);
        assert_ne!(one, greeting());
        assert!(!is_greeting(&one[..58]));
        assert!(!is_greeting(&[&one[..], &[0]].concat()));
        assert!(!is_greeting(b"#CHALLENGE#12345678901234567890"));
    }
}
