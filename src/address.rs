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
    /// Checks what the variants themselves can't rule out; done for every address that is parsed or converted, and again
    /// for one made by hand before it is used.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Address, AddressError> {
        text.parse()
    }

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.into(), port }
    }

    #[test]
    fn each_kind_is_read_and_printed() {
        let known = [
            ("unix:/run/app/socket", Address::Unix("/run/app/socket".into())),
            ("unix:/with:colon", Address::Unix("/with:colon".into())),
            ("unix:@app", Address::Abstract(b"app".into())),
            ("unix:@\\x00\\\\\\xff", Address::Abstract(vec![0, b'\\', 0xff])),
            ("tcp:localhost:7000", tcp("localhost", 7000)),
            ("tcp:127.0.0.1:0", tcp("127.0.0.1", 0)),
            ("tcp:[::1]:0", tcp("::1", 0)),
            ("tcp:[fe80::1%eth0]:65535", tcp("fe80::1%eth0", 65535)),
        ];
        for (text, address) in known {
            assert_eq!(parse(text), Ok(address.clone()), "{text}");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = [
            ("", "no known kind"),
            ("/run/socket", "write unix:/PATH"),
            ("udp:host:1", "no known kind"),
            ("unix:socket", "must be absolute"),
            ("unix:", "must be absolute"),
            ("unix:@", "needs a name"),
            ("unix:/a\\x00b", "NUL"),
            ("unix:/a\0b", "NUL"),
            ("unix:/a\\b", "backslash"),
            ("unix:/a\\x+1", "backslash"),
            ("tcp:7000", "no HOST:PORT"),
            ("tcp:host", "no HOST:PORT"),
            ("tcp:::1:7000", "brackets"),
            ("tcp:[::1]", "no HOST:PORT"),
            ("tcp:[host]:1", "brackets"),
            ("tcp::7000", "all interfaces"),
            ("tcp:a b:7000", "can't be a host"),
            ("tcp:[:::]:7000", "can't be a host"),
            ("tcp:host:+1", "no port"),
            ("tcp:host:65536", "no port"),
            ("tcp:host:", "no port"),
        ];
        for (text, part) in wrong {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_name_may_fill_the_kernels_field_and_no_more() {
        let name = |length: usize| "n".repeat(length);
        assert!(parse(&format!("unix:/{}", name(106))).is_ok());
        assert!(parse(&format!("unix:@{}", name(107))).is_ok());
        for text in [format!("unix:/{}", name(107)), format!("unix:@{}", name(108))] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains("107") && error.contains("108"), "{error}");
        }
    }

    #[test]
    fn addresses_are_made_from_what_is_at_hand() {
        let made: Result<Vec<Address>, AddressError> = [
            "tcp:localhost:1".try_into(),
            String::from("tcp:localhost:1").try_into(),
            ("localhost", 1).try_into(),
            (String::from("localhost"), 1).try_into(),
        ]
        .into_iter()
        .collect();
        assert!(made.unwrap().iter().all(|address| *address == tcp("localhost", 1)));
        assert_eq!(Address::from(SocketAddr::from(([0; 8], 9))), tcp("::", 9));
        assert_eq!(Address::try_from(Path::new("/s")), Ok(Address::Unix("/s".into())));
        assert!(Address::try_from(("", 1)).is_err());
        assert!(Address::try_from(PathBuf::from("s")).is_err());
    }

    #[test]
    fn it_travels_as_its_text() {
        let address = tcp("::1", 7);
        let text = serde_json::to_string(&address).unwrap();
        assert_eq!(text, "\"tcp:[::1]:7\"");
        assert_eq!(serde_json::from_str::<Address>(&text).unwrap(), address);
        assert!(serde_json::from_str::<Address>("\"tcp:nowhere\"").is_err());
    }

    #[test]
    fn the_crates_error_keeps_the_cause() {
        let error = Error::from(parse("tcp:host").unwrap_err());
        assert!(matches!(&error, Error::Address { cause } if cause.get().is::<AddressError>()));
        assert!(error.to_string().contains("tcp:[::1]:7000"), "{error}");
    }

    proptest! {
        #[test]
        fn any_abstract_name_survives_its_text(name in prop::collection::vec(any::<u8>(), 1..=MAX_NAME)) {
            let address = Address::Abstract(name);
            prop_assert_eq!(parse(&address.to_string()), Ok(address));
        }

        #[test]
        fn any_path_survives_its_text(name in prop::collection::vec(1_u8.., 0..MAX_NAME)) {
            let address = Address::Unix(OsString::from_vec([b"/".as_slice(), &name].concat()).into());
            prop_assert_eq!(parse(&address.to_string()), Ok(address));
        }

        #[test]
        fn whatever_parses_prints_as_something_equal(text in "(unix:[/@]|tcp:)[ -~]{0,20}") {
            if let Ok(address) = parse(&text) {
                prop_assert_eq!(parse(&address.to_string()), Ok(address));
            }
        }
    }
}
