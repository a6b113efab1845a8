//! What can be asked of a server itself: calls on object 0, always in bincode.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ClientId, ObjectId};

/// A question to the server itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Nothing; answers that it is there.
    Ping,
    /// How many objects live.
    NumberOfObjects,
    /// What lives, and who holds it.
    DebugInfo,
    /// The exposed methods of an object.
    Methods,
    /// What the server has and does.
    Stats,
    /// The server ends, in order.
    Shutdown,
}

impl Command {
    /// Its name on the wire, as in Python where Python has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ping => "dummy",
            Self::NumberOfObjects => "number_of_objects",
            Self::DebugInfo => "debug_info",
            Self::Methods => "get_methods",
            Self::Stats => "stats",
            Self::Shutdown => "shutdown",
        }
    }

    /// The command of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Ping, Self::NumberOfObjects, Self::DebugInfo, Self::Methods, Self::Stats, Self::Shutdown];
        all.into_iter().find(|command| command.name() == name)
    }
}

/// What a server has and does, as [`stats`](crate::BaseManager::stats) tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServerStats {
    /// How many objects live.
    pub objects: u64,
    /// How many processes are its clients, Python's included.
    pub clients: u64,
    /// How many connections there are, those that shake hands included.
    pub connections: u64,
    /// How many calls have come since it began, questions to the server included. One that comes just as the server's lead changes hands may be missed.
    pub calls: u64,
    /// How long it has served.
    pub uptime: std::time::Duration,
}

/// One living object, as [`debug_info`](crate::BaseManager::debug_info) shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInfo {
    /// Its number.
    pub object: ObjectId,
    /// The registered name of its type.
    pub typeid: String,
    /// Who holds references to it, and how many. An object that only others in the server hold has none.
    pub references: Vec<ReferenceInfo>,
    /// Its text, cut to 75 characters.
    pub text: String,
}

/// A client's references to one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceInfo {
    /// The client process.
    pub client: ClientId,
    /// How many references it holds.
    pub references: u64,
}

impl fmt::Display for ObjectInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let references: u64 = self.references.iter().map(|info| info.references).sum();
        write!(f, "{}: {} refcount={references} {}", self.object, self.typeid, self.text)
    }
}
