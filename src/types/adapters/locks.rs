//! `Lock`, `RLock`, `Condition`, and the semaphores.
//!
//! An `RLock`'s owner is a thread of the server's, which is that of a connection, which is that of a thread here. A `Lock` has no owner: anybody may release it. Nobody is told that a lock was abandoned,
//! since nobody is given one: a lock whose holder is killed stays locked.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{bytes, done, other, unexposed};
use crate::client::python::{Adapter, Call, Created, Trouble, failed, returned, value};
use crate::codec::value::parts::Parts;
use crate::error::Result;
use crate::object::Answer;
use crate::types::exclusion::{Grant, NotOwned};
use crate::types::semaphore::OverRelease;

const LOCK: &[&str] = &["acquire", "locked (from Python 3.14 on)", "release"];
const CONDITION: &[&str] = &["acquire", "notify", "notify_all", "release", "wait"];
const SEMAPHORE: &[&str] = &["acquire", "release"];

const RUNTIME_ERROR: &[&str] = &["RuntimeError"];

pub(super) struct LockAdapter;

/// A holding, told apart from others on this side only.
fn granted() -> Grant {
    static LAST: AtomicU64 = AtomicU64::new(0);
    // Pairs with nothing: only the number's uniqueness counts.
    Some((LAST.fetch_add(1, Ordering::Relaxed) + 1, false))
}

/// Whether Python's `acquire` has succeeded. A wait whose time is over is told as the end of a call's time is.
fn acquire(call: &Call<'_>, blocking: bool) -> Result<bool, Trouble> {
    let reply = match (blocking, call.left()) {
        (false, _) => call.python_waiting("acquire", &[&bytes(&false)])?,
        (true, None) => call.python("acquire", &[])?,
        (true, Some(left)) => call.python_waiting("acquire", &[&bytes(&true), &bytes(&left.as_secs_f64())])?,
    };
    match reply.decode()? {
        false if blocking => Err(call.late()),
        acquired => Ok(acquired),
    }
}

/// What is refused to who does not own the lock.
fn owned(result: Result<Answer, Trouble>) -> Result<Answer, Trouble> {
    match result {
        Err(trouble) if trouble.is(RUNTIME_ERROR) => Ok(failed(&NotOwned)),
        result => result,
    }
}

impl Adapter for LockAdapter {
    fn create(&self, _: &str, _: Parts<'_>) -> Result<Created> {
        Ok(Created::default())
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        match call.method {
            "acquire" => {
                let acquired = acquire(call, call.read(0)?)?;
                Ok(value(&if acquired { granted() } else { Grant::None }))
            }
            "release" | "abandon" => owned(done(call.python("release", &[]))),
            "is_locked" => {
                call.python("locked", &[]).map(returned).map_err(|trouble| unexposed(trouble, call, "is_locked", LOCK))
            }
            "condition" => Err(call.missing("condition (a condition on a lock that is there already)", LOCK)),
            "wait" => {
                let hold: Option<u64> = call.read(0)?;
                let waited = match call.left() {
                    None => call.python("wait", &[]),
                    Some(left) => call.python_waiting("wait", &[&bytes(&left.as_secs_f64())]),
                };
                match waited {
                    Err(trouble) if trouble.is(RUNTIME_ERROR) => Ok(failed(&NotOwned)),
                    // With the lock held again, so that it needs not be taken again.
                    Ok(notified) if !notified.decode::<bool>()? => Err(call.late()),
                    Ok(_) => Ok(value(&Some((hold.unwrap_or_default(), false)))),
                    Err(trouble) => Err(trouble),
                }
            }
            "reacquire" => Ok(value(&Some((call.read::<u64>(0)?, false)))),
            "notify" => {
                let most: usize = call.read(0)?;
                let notified = match most {
                    usize::MAX => call.python("notify_all", &[]),
                    _ => call.python("notify", &[call.argument(0)?]),
                };
                // Python does not say how many there were.
                owned(notified.map(|_| value(&0)))
            }
            _ => other(call, CONDITION),
        }
    }
}

pub(super) struct SemaphoreAdapter;

impl Adapter for SemaphoreAdapter {
    fn create(&self, _: &str, arguments: Parts<'_>) -> Result<Created> {
        Ok(Created { positional: arguments.into_iter().map(|one| one.into_owned()).collect(), ..Created::default() })
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        match call.method {
            "acquire" => match call.read::<u64>(0)? {
                1 => Ok(value(&acquire(call, call.read(1)?)?)),
                _ => Err(call.missing("acquire_many (several permits at once)", SEMAPHORE)),
            },
            // One that nobody gives back is nobody's.
            "forget" => Ok(value(&true)),
            "give_back" => release(call).map(|_| value(&true)),
            "release" => match release(call) {
                Err(trouble) if trouble.is(&["ValueError"]) => {
                    Ok(failed(&OverRelease { released: call.read(0)?, outstanding: 0 }))
                }
                result => result,
            },
            _ => other(call, SEMAPHORE),
        }
    }
}

fn release(call: &Call<'_>) -> Result<Answer, Trouble> {
    match call.read::<u64>(0)? {
        // As Python 3.8 has it, too.
        1 => done(call.python("release", &[])),
        _ => done(call.python("release", &[call.argument(0)?])),
    }
}
