//! The server's own answers: calls on object 0.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::core::Core;
use crate::codec::{self, Codec};
use crate::error::{Error, Result};
use crate::object::entry::Entry;
use crate::object::local::LocalCall;
use crate::object::methods::STR;
use crate::object::{Answer, Call};
use crate::protocol::ObjectId;
use crate::protocol::command::{Command, ObjectInfo, ReferenceInfo, ServerStats};
use crate::protocol::reply::Status;

/// How long the text of one object may take, for `debug_info`: an object that is busy is shown without.
const TEXT_TIME: Duration = Duration::from_millis(100);

/// Answers a question to the server.
pub(super) fn run(mut call: Call, core: &Arc<Core>) {
    let Some(command) = Command::from_name(call.name()) else {
        let error = Error::protocol(format!("the server knows no command {:?}", call.name()));
        return call.refuse(&error);
    };
    match command {
        Command::Ping => returns(call, &()),
        Command::NumberOfObjects => returns(call, &(core.table.len() as u64)),
        Command::Methods => match methods(&call, core) {
            Ok(methods) => returns(call, &methods),
            Err(error) => call.refuse(&error),
        },
        Command::Stats => returns(
            call,
            &ServerStats {
                objects: core.table.len() as u64,
                clients: core.clients().len() as u64,
                connections: core.connections() as u64,
                calls: core.calls(),
                uptime: core.begun.elapsed(),
            },
        ),
        Command::Shutdown => {
            returns(call, &());
            core.stop("a client shut it down");
        }
        Command::DebugInfo => debug_info(call, core),
    }
}

fn returns<T: Serialize + ?Sized>(mut call: Call, value: &T) {
    call.answer(Answer::encode(Codec::Bincode, Status::Returned, value, Vec::new()));
}

fn methods(call: &Call, core: &Core) -> Result<Vec<String>> {
    let payload = call.frame.get(call.payload.clone()).unwrap_or_default();
    let object: u64 = codec::decode(Codec::Bincode, payload).map_err(|error| Error::protocol(error.to_string()))?;
    Ok(core.table.find(ObjectId(object))?.class().exposed())
}

/// Texts are user code, which may take its time: they are asked for on a worker.
fn debug_info(mut call: Call, core: &Arc<Core>) {
    call.park();
    let slot = Arc::new(crate::sys::sync::Mutex::new(Some(call)));
    let job = {
        let (slot, core) = (Arc::clone(&slot), Arc::clone(core));
        Box::new(move || {
            let clients: Vec<_> = core.clients().values().cloned().collect();
            let info = |entry: Arc<Entry>| {
                let held = clients.iter().map(|client| (client.id(), client.count(entry.id())));
                let references = held
                    .filter(|&(_, references)| references > 0)
                    .map(|(client, references)| ReferenceInfo { client, references })
                    .collect();
                let typeid = entry.class().typeid().to_string();
                ObjectInfo { object: entry.id(), typeid, references, text: text(&entry) }
            };
            let infos: Vec<_> = core.table.entries().into_iter().map(info).collect();
            if let Some(call) = slot.lock().take() {
                returns(call, &infos);
            }
        })
    };
    if let Err(error) = core.table.host().offload(job)
        && let Some(mut call) = slot.lock().take()
    {
        call.refuse(&error);
    }
}

/// The object's text, as short as Python's.
pub(super) fn text(entry: &Arc<Entry>) -> String {
    let mut payload = Vec::new();
    if codec::encode_positional(&(), &mut payload).is_err() {
        return String::new();
    }
    let call = LocalCall {
        method: STR,
        codec: Codec::Value,
        signature: 0,
        payload: &payload,
        carried: Vec::new(),
        deadline: Some(Instant::now() + TEXT_TIME),
    };
    let text = call.call(entry).and_then(|answer| {
        if answer.status != Status::Returned {
            return Err(Error::Cancelled);
        }
        codec::decode::<String>(Codec::Value, &answer.payload).map_err(|error| Error::protocol(error.to_string()))
    });
    text.unwrap_or_else(|_| format!("<{} object>", entry.class().typeid())).chars().take(75).collect()
}
