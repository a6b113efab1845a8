//! What a manager talks to: a server of this crate, or one of Python's.

use std::sync::Arc;
use std::time::Duration;

use crate::client::Client;
#[cfg(feature = "python")]
use crate::client::python::Link;
#[cfg(feature = "python")]
use crate::error::Error;
use crate::error::Result;
use crate::protocol::ServerId;
use crate::protocol::command::{Command, ObjectInfo, ServerStats};
use crate::protocol::limits::HANDSHAKE_TIME;
#[cfg(feature = "python")]
use crate::protocol::{ClientId, ObjectId, command::ReferenceInfo};

/// This process as a client of the one or the other.
#[derive(Debug)]
pub(crate) enum Target {
    /// A server of this crate.
    Own(Arc<Client>),
    /// A server of CPython's.
    #[cfg(feature = "python")]
    Python(Arc<Link>),
}

impl Target {
    /// Where it is reached.
    pub(crate) fn address(&self) -> &Arc<str> {
        match self {
            Self::Own(client) => client.address(),
            #[cfg(feature = "python")]
            Self::Python(link) => link.address(),
        }
    }

    /// What it is called in tokens.
    pub(super) fn server(&self) -> ServerId {
        match self {
            Self::Own(client) => client.server(),
            #[cfg(feature = "python")]
            Self::Python(link) => link.server(),
        }
    }

    /// Whether it answers.
    pub(crate) fn ping(&self) -> Result<()> {
        match self {
            Self::Own(client) => client.command(Command::Ping, &(), None),
            #[cfg(feature = "python")]
            Self::Python(link) => link.ping(),
        }
    }

    /// How many objects live there.
    pub(crate) fn number_of_objects(&self) -> Result<u64> {
        match self {
            Self::Own(client) => client.command(Command::NumberOfObjects, &(), None),
            #[cfg(feature = "python")]
            Self::Python(link) => link.number_of_objects(),
        }
    }

    /// What it has and does.
    pub(crate) fn stats(&self) -> Result<ServerStats> {
        match self {
            Self::Own(client) => client.command(Command::Stats, &(), None),
            #[cfg(feature = "python")]
            Self::Python(_) => Err(Error::NoSuchMethod {
                typeid: "a server of Python's".to_owned(),
                method: "stats".to_owned(),
                available: ["debug_info", "number_of_objects"].map(str::to_owned).to_vec(),
            }),
        }
    }

    /// What lives there.
    pub(crate) fn debug_info(&self) -> Result<Vec<ObjectInfo>> {
        match self {
            Self::Own(client) => client.command(Command::DebugInfo, &(), None),
            #[cfg(feature = "python")]
            Self::Python(link) => Ok(objects(&link.debug_info()?)),
        }
    }

    /// Ends the server, and waits until it has ended, at most 10 s.
    pub(crate) fn shut_down(&self) -> Result<bool> {
        match self {
            Self::Own(client) => {
                client.command::<_, ()>(Command::Shutdown, &(), None)?;
                client.await_server(Some(HANDSHAKE_TIME))
            }
            #[cfg(feature = "python")]
            Self::Python(link) => link.shut_down(HANDSHAKE_TIME),
        }
    }

    /// Waits until the server has ended; false where it has not after `timeout`.
    pub(crate) fn await_server(&self, timeout: Option<Duration>) -> Result<bool> {
        match self {
            Self::Own(client) => client.await_server(timeout),
            #[cfg(feature = "python")]
            Self::Python(link) => link.await_server(timeout),
        }
    }

    /// Says that the server is gone.
    pub(crate) fn forget_server(&self, reason: &str) {
        match self {
            Self::Own(client) => client.forget_server(reason),
            #[cfg(feature = "python")]
            Self::Python(_) => {}
        }
    }

    /// Waits, for a moment, until the server has been told what this process does not need any more.
    pub(crate) fn settle(&self) {
        match self {
            // Its notices have been handed to the system.
            Self::Own(_) => {}
            #[cfg(feature = "python")]
            Self::Python(link) => link.settle(Duration::from_secs(1)),
        }
    }
}

/// What Python tells of its objects: for each a line of ident and count, and a line of text.
#[cfg(feature = "python")]
fn objects(told: &str) -> Vec<ObjectInfo> {
    let mut objects: Vec<ObjectInfo> = Vec::new();
    for line in told.lines() {
        let head = line.strip_prefix("  ").filter(|line| !line.starts_with(' '));
        let head = head.and_then(|head| head.split_once(":       refcount="));
        match (head, objects.last_mut()) {
            (Some((ident, count)), _) => objects.push(ObjectInfo {
                object: ObjectId(u64::from_str_radix(ident, 16).unwrap_or_default()),
                // It does not say.
                typeid: "object".to_owned(),
                references: vec![ReferenceInfo {
                    client: ClientId([0; 16]),
                    references: count.trim().parse().unwrap_or_default(),
                }],
                text: String::new(),
            }),
            (None, Some(object)) => {
                let separator = if object.text.is_empty() { "" } else { "\n" };
                object.text = format!("{}{separator}{}", object.text, line.strip_prefix("    ").unwrap_or(line));
            }
            (None, None) => {}
        }
    }
    objects
}

#[cfg(all(test, feature = "python"))]
mod tests {
    use super::objects;

    #[test]
    fn what_python_tells_of_its_objects_is_read() {
        let told = "  7f01:       refcount=2\n    {'a': 1}\n  7f02:       refcount=1\n    <Account\n  of ada>";
        let objects = objects(told);
        let read: Vec<_> =
            objects.iter().map(|info| (info.object.0, info.references[0].references, &*info.text)).collect();
        assert_eq!(read, [(0x7f01, 2, "{'a': 1}"), (0x7f02, 1, "<Account\n  of ada>")]);
    }
}
