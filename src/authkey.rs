//! The shared secret by which both sides of a connection know each other.
//!
//! Each process has one, random unless it is set, which a manager without a key of its own uses; forked children
//! inherit it, so that they can talk to the servers of their parent.
//!
//! # Security
//! A key never leaves the process that knows it: the handshake sends proofs, not keys. It is not printed, not
//! serialized, compared in constant time, and wiped when it is dropped.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::sys::fork::{ForkMutex, Hooks, at_fork};

/// The length of a random key in bytes: that of the hash in the proofs; longer ones add nothing.
const RANDOM_LENGTH: usize = 32;

/// A shared secret of at least one byte.
///
/// Make it from bytes or text (`try_into`), or let [`random`](Self::random) choose. Whoever knows it can do with
/// the objects of a manager what its owner can: let it have at least 16 bytes that nobody can guess.
#[derive(Clone)]
pub struct Authkey(Zeroizing<Vec<u8>>);

/// A key of no bytes, which would let in everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an authkey must have at least one byte; leave it out to get a random one")]
pub struct EmptyAuthkey;

impl Authkey {
    /// A key of these bytes, which are copied.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, EmptyAuthkey> {
        match bytes.as_ref() {
            [] => Err(EmptyAuthkey),
            bytes => Ok(Self(Zeroizing::new(bytes.to_vec()))),
        }
    }

    /// A key of 32 bytes from the kernel's random source.
    ///
    /// # Panics
    /// Where the kernel has no random source (no Linux that this crate runs on).
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new(vec![0; RANDOM_LENGTH]);
        getrandom::fill(&mut bytes).expect("the kernel's random source");
        Self(bytes)
    }

    /// The secret itself.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Authkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authkey(secret)")
    }
}

/// In constant time, for keys of one length.
impl PartialEq for Authkey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Authkey {}

impl TryFrom<&[u8]> for Authkey {
    type Error = EmptyAuthkey;

    fn try_from(bytes: &[u8]) -> Result<Self, EmptyAuthkey> {
        Self::new(bytes)
    }
}

impl TryFrom<&str> for Authkey {
    type Error = EmptyAuthkey;

    fn try_from(text: &str) -> Result<Self, EmptyAuthkey> {
        Self::new(text)
    }
}

/// Takes the text's memory over, so that no copy of it is left behind.
impl TryFrom<String> for Authkey {
    type Error = EmptyAuthkey;

    fn try_from(text: String) -> Result<Self, EmptyAuthkey> {
        Self::try_from(text.into_bytes())
    }
}

/// Takes the bytes' memory over, so that no copy of them is left behind.
impl TryFrom<Vec<u8>> for Authkey {
    type Error = EmptyAuthkey;

    fn try_from(bytes: Vec<u8>) -> Result<Self, EmptyAuthkey> {
        if bytes.is_empty() { Err(EmptyAuthkey) } else { Ok(Self(Zeroizing::new(bytes))) }
    }
}

impl<const N: usize> TryFrom<[u8; N]> for Authkey {
    type Error = EmptyAuthkey;

    fn try_from(bytes: [u8; N]) -> Result<Self, EmptyAuthkey> {
        Self::new(*Zeroizing::new(bytes))
    }
}

impl<const N: usize> TryFrom<&[u8; N]> for Authkey {
    type Error = EmptyAuthkey;

    fn try_from(bytes: &[u8; N]) -> Result<Self, EmptyAuthkey> {
        Self::new(bytes)
    }
}

impl From<&Authkey> for Authkey {
    fn from(key: &Authkey) -> Self {
        key.clone()
    }
}

impl From<EmptyAuthkey> for Error {
    fn from(error: EmptyAuthkey) -> Self {
        Self::State { what: error.to_string() }
    }
}

/// The process's key, once it is decided.
static PROCESS: ForkMutex<Option<Authkey>> = ForkMutex::new(None);

/// This process's key: the one that was [set](set_authkey), that of the parent it was forked from, or a random one,
/// which it keeps from then on.
pub fn authkey() -> Authkey {
    PROCESS.lock().get_or_insert_with(Authkey::random).clone()
}

/// Sets this process's key, for managers made from now on in it and in its children to come. Those that exist keep
/// theirs.
pub fn set_authkey(key: Authkey) {
    *PROCESS.lock() = Some(key);
}

/// Makes every fork from now on decide this process's key, if nothing has before, so that parent and child agree on it.
/// Called by whatever first needs the crate's state to go through forks.
pub fn inherit() {
    fn decide() {
        PROCESS.lock().get_or_insert_with(Authkey::random);
    }
    fn nothing() {}
    at_fork(Hooks { prepare: decide, parent: nothing, child: nothing });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fork::{ExitStatus, spawn};

    #[test]
    fn it_is_made_from_what_is_at_hand_but_nothing() {
        let key = Authkey::new("secret").unwrap();
        assert_eq!(Authkey::try_from("secret"), Ok(key.clone()));
        assert_eq!(Authkey::try_from(String::from("secret")), Ok(key.clone()));
        assert_eq!(Authkey::try_from(b"secret"), Ok(key.clone()));
        assert_eq!(Authkey::try_from(*b"secret"), Ok(key.clone()));
        assert_eq!(Authkey::try_from(b"secret".as_slice()), Ok(key.clone()));
        assert_eq!(Authkey::try_from(b"secret".to_vec()), Ok(key.clone()));
        assert_eq!(key.as_bytes(), b"secret");
        assert_ne!(key, Authkey::new("secreT").unwrap());
        assert_ne!(key, Authkey::new("secret2").unwrap());
        assert_eq!(Authkey::try_from(""), Err(EmptyAuthkey));
        assert_eq!(Authkey::try_from(Vec::new()), Err(EmptyAuthkey));
        assert_eq!(Authkey::try_from([]), Err(EmptyAuthkey));
    }

    #[test]
    fn it_is_not_shown() {
        assert_eq!(format!("{:?}", Authkey::new("secret").unwrap()), "Authkey(secret)");
        let shown = format!("{:?}", Some(Authkey::new("hunter2").unwrap()));
        assert!(!shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn random_keys_differ() {
        let key = Authkey::random();
        assert_eq!(key.as_bytes().len(), RANDOM_LENGTH);
        assert_ne!(key, Authkey::random());
    }

    #[test]
    fn parent_and_child_agree_even_if_nobody_had_asked_before_the_fork() {
        inherit();
        *PROCESS.lock() = None;
        let agrees = |expected: &Authkey| {
            let expected = expected.clone();
            let child = spawn(move || i32::from(authkey() != expected)).unwrap();
            child.wait(None).unwrap()
        };
        let (mut answers, mut answer) = std::io::pipe().unwrap();
        let child = spawn(move || {
            let _ = std::io::Write::write_all(&mut answer, authkey().as_bytes());
            0
        });
        let mut inherited = [0; RANDOM_LENGTH];
        std::io::Read::read_exact(&mut answers, &mut inherited).unwrap();
        assert_eq!(child.unwrap().wait(None).unwrap(), Some(ExitStatus::Exited(0)));
        assert_eq!(authkey(), Authkey::new(inherited).unwrap());
        assert_eq!(authkey(), authkey());
        let chosen = Authkey::random();
        set_authkey(chosen.clone());
        assert_eq!(authkey(), chosen);
        assert_eq!(agrees(&chosen), Some(ExitStatus::Exited(0)));
    }
}
