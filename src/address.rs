//! Where a server listens: a value that parses, prints, and travels as its text.
//!
//! | text | what it is |
//! | --- | --- |
//! | `unix:/run/app/socket` | a unix socket in the file system, by its absolute path |
//! | `unix:@app` | one in Linux's abstract namespace: no file, no permissions, gone with its server |
//! | `tcp:localhost:7000`, `tcp:[::1]:0` | tcp; port 0 lets the system choose one |
//!
//! Text and address say the same: what is printed parses to what was printed. In unix names a byte that can't be shown
//! (a control character, half a UTF-8 sequence) is written `\x1f`, and a backslash twice.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::error::{Cause, Error};

#[cfg(test)]
mod tests;

/// The longest name of a unix socket in bytes: the kernel's field has 108, one of which ends a path or marks an
/// abstract name.
const MAX_NAME: usize = 107;

/// Where a server listens.
///
/// ```
/// # use multiproc::Address;
/// let address: Address = "tcp:localhost:7000".parse()?;
/// assert_eq!(address, ("localhost", 7000).try_into()?);
/// assert_eq!(address.to_string(), "tcp:localhost:7000");
/// # Ok::<(), multiproc::AddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A unix socket in the file system: an absolute path of at most 107 bytes.
    Unix(PathBuf),
    /// A unix socket in the abstract namespace: 1 to 107 bytes of any kind.
    Abstract(Vec<u8>),
    /// A tcp port of a host.
    Tcp {
        /// A name or a number; one of IPv6 stands without its brackets here.
        host: String,
        /// The port; 0 where the system shall choose.
        port: u16,
    },
}

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It does not say of which kind it is.
    #[error("{text:?} begins with no known kind; write unix:/PATH, unix:@NAME or tcp:HOST:PORT")]
    Kind {
        /// What was given.
        text: String,
    },
    /// A path from the current directory: another process may have another one.
    #[error("the path of a unix socket must be absolute, and {path:?} is not")]
    Relative {
        /// What was given.
        path: PathBuf,
    },
    /// A unix name that the kernel's field can't hold.
    #[error("the name of a unix socket can have {MAX_NAME} bytes, and this has {length}; choose a shorter one: {name}")]
    TooLong {
        /// The name.
        name: String,
        /// Its length in bytes.
        length: usize,
    },
    /// An abstract name of no bytes, which would let the kernel invent one.
    #[error("an abstract unix socket needs a name: unix:@NAME")]
    Unnamed,
    /// A path with a NUL byte in it.
    #[error("a path can't hold a NUL byte: {path}")]
    Nul {
        /// The path, escaped.
        path: String,
    },
    /// A backslash that begins no escape.
    #[error("in {name:?} a backslash is not followed by another or by x and two hexadecimal digits")]
    Escape {
        /// What was given.
        name: String,
    },
    /// A tcp address that is no `HOST:PORT`.
    #[error("{text:?} is no HOST:PORT; IPv6 addresses stand in brackets, as in tcp:[::1]:7000")]
    HostPort {
        /// What was given.
        text: String,
    },
    /// A host that can be none.
    #[error("{host:?} can't be a host; for all interfaces write 0.0.0.0 or [::]")]
    Host {
        /// What was given.
        host: String,
    },
    /// A port that is no number up to 65535.
    #[error("{port:?} is no port; ports are numbers from 0 (the system chooses) to 65535")]
    Port {
        /// What was given.
        port: String,
    },
}

impl Address {
    /// Checks what the variants themselves can't rule out; done for every address that is parsed or converted, and
    /// again for one made by hand before it is used.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), AddressError> {
        match self {
            Self::Unix(path) if !path.is_absolute() => Err(AddressError::Relative { path: path.clone() }),
            Self::Unix(path) if path.as_os_str().as_bytes().contains(&0) => {
                Err(AddressError::Nul { path: Escaped(path.as_os_str().as_bytes()).to_string() })
            }
            Self::Unix(path) => check_length(path.as_os_str().as_bytes()),
            Self::Abstract(name) if name.is_empty() => Err(AddressError::Unnamed),
            Self::Abstract(name) => check_length(name),
            Self::Tcp { host, .. } if is_host(host) => Ok(()),
            Self::Tcp { host, .. } => Err(AddressError::Host { host: host.clone() }),
        }
    }

    fn checked(self) -> Result<Self, AddressError> {
        self.check().map(|()| self)
    }
}

fn check_length(name: &[u8]) -> Result<(), AddressError> {
    if name.len() <= MAX_NAME {
        return Ok(());
    }
    Err(AddressError::TooLong { name: Escaped(name).to_string(), length: name.len() })
}

/// Whether it is a number of IPv6, maybe with a zone, or might be a name.
fn is_host(host: &str) -> bool {
    let (number, zone) = host.split_once('%').unwrap_or((host, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/\\[]@:%".contains(&byte));
    match number.parse() {
        Ok(IpAddr::V6(_)) => plain(zone),
        _ => !host.is_empty() && plain(host),
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let kind = || AddressError::Kind { text: text.to_owned() };
        match text.split_once(':').ok_or_else(kind)? {
            ("unix", name) => match name.strip_prefix('@') {
                Some(name) => Self::Abstract(unescape(name)?).checked(),
                None => Self::Unix(OsString::from_vec(unescape(name)?).into()).checked(),
            },
            ("tcp", place) => parse_tcp(place),
            _ => Err(kind()),
        }
    }
}

fn parse_tcp(place: &str) -> Result<Address, AddressError> {
    let malformed = || AddressError::HostPort { text: place.to_owned() };
    let (host, port) = place.rsplit_once(':').ok_or_else(malformed)?;
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']').filter(|host| host.contains(':')).ok_or_else(malformed)?,
        None if host.contains(':') => return Err(malformed()),
        None => host,
    };
    // `parse` alone would take a sign.
    let number = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let port = number.and_then(|port| port.parse().ok()).ok_or_else(|| AddressError::Port { port: port.to_owned() })?;
    Address::Tcp { host: host.to_owned(), port }.checked()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", Escaped(path.as_os_str().as_bytes())),
            Self::Abstract(name) => write!(f, "unix:@{}", Escaped(name)),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

/// Bytes as text that [`unescape`] reads back.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex =
            |f: &mut fmt::Formatter<'_>, bytes: &[u8]| bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"));
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    _ if character.is_control() => hex(f, character.encode_utf8(&mut [0; 4]).as_bytes())?,
                    _ => write!(f, "{character}")?,
                }
            }
            hex(f, chunk.invalid())?;
        }
        Ok(())
    }
}

fn unescape(name: &str) -> Result<Vec<u8>, AddressError> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    loop {
        match rest {
            [] => return Ok(bytes),
            [b'\\', b'\\', after @ ..] => {
                bytes.push(b'\\');
                rest = after;
            }
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex_value(*high) << 4 | hex_value(*low));
                rest = after;
            }
            [b'\\', ..] => return Err(AddressError::Escape { name: name.to_owned() }),
            [byte, after @ ..] => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
}

/// The value of a hexadecimal digit.
fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

impl TryFrom<&str> for Address {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<&String> for Address {
    type Error = AddressError;

    fn try_from(text: &String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<&Path> for Address {
    type Error = AddressError;

    fn try_from(path: &Path) -> Result<Self, AddressError> {
        Self::Unix(path.to_owned()).checked()
    }
}

impl TryFrom<PathBuf> for Address {
    type Error = AddressError;

    fn try_from(path: PathBuf) -> Result<Self, AddressError> {
        Self::Unix(path).checked()
    }
}

impl TryFrom<(&str, u16)> for Address {
    type Error = AddressError;

    fn try_from((host, port): (&str, u16)) -> Result<Self, AddressError> {
        Self::try_from((host.to_owned(), port))
    }
}

impl TryFrom<(String, u16)> for Address {
    type Error = AddressError;

    fn try_from((host, port): (String, u16)) -> Result<Self, AddressError> {
        Self::Tcp { host, port }.checked()
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            // The zone of a link-local address belongs to it, and is kept as its number.
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            _ => address.ip().to_string(),
        };
        Self::Tcp { host, port: address.port() }
    }
}

impl From<&Address> for Address {
    fn from(address: &Address) -> Self {
        address.clone()
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl From<AddressError> for Error {
    fn from(error: AddressError) -> Self {
        Self::Address { cause: Cause::new(error) }
    }
}

/// An [`Address`] itself is a fit argument where anything that may become one is asked for; that conversion can't fail.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
