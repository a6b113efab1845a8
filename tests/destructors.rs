//! When and how objects are dropped in the server: in the order in which their holders let go, before what is called next, and however deep they hang on each other.

#![allow(missing_docs)]

mod common;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::{alone, eventually};
use multiproc::{BaseManager, Error, Proxy};

/// How many objects have been dropped wholly, in the server.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// A door's end: 1 once it has begun, 2 once it may be over.
static DOOR: AtomicU64 = AtomicU64::new(0);

/// Takes its time to end.
pub struct Slow {
    end: Duration,
}

#[multiproc::referent]
impl Slow {
    pub fn new(end_ms: u64) -> Self {
        Self { end: Duration::from_millis(end_ms) }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        thread::sleep(self.end);
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

/// Ends when it may.
#[derive(Default)]
pub struct Door;

#[multiproc::referent]
impl Door {
    pub fn new() -> Self {
        Self
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        DOOR.store(1, Ordering::SeqCst);
        common::within(common::LIMIT, || DOOR.load(Ordering::SeqCst) == 2);
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

/// Ends badly.
#[derive(Default)]
pub struct Sore;

#[multiproc::referent]
impl Sore {
    pub fn new() -> Self {
        Self
    }
}

impl Drop for Sore {
    fn drop(&mut self) {
        panic!("a destructor that panics");
    }
}

/// Tells what the others came to.
#[derive(Default)]
pub struct Witness;

#[multiproc::referent]
impl Witness {
    pub fn new() -> Self {
        Self
    }

    pub fn dropped(&self) -> u64 {
        DROPPED.load(Ordering::SeqCst)
    }

    /// How far a door's end has come.
    pub fn door(&self) -> u64 {
        DOOR.load(Ordering::SeqCst)
    }

    pub fn open(&self) {
        DOOR.store(2, Ordering::SeqCst);
    }
}

/// Holds the next of its kind.
pub struct Link {
    next: Option<LinkProxy>,
}

#[multiproc::referent]
impl Link {
    pub fn new(next: Option<LinkProxy>) -> Self {
        Self { next }
    }

    pub fn is_last(&self) -> bool {
        self.next.is_none()
    }
}

fn started() -> BaseManager {
    BaseManager::builder()
        .register::<Slow>()
        .register::<Door>()
        .register::<Witness>()
        .register::<Link>()
        .register::<Sore>()
        .start()
        .unwrap()
}

/// Symptom: a call right behind a proxy's drop found the object not dropped yet, where its destructor ran for more than two ticks. Cause: notices were
/// counted when they were read, and the lead passed on while their aftermath was still under way.
#[test]
fn a_call_finds_what_was_dropped_before_it_dropped() {
    let _alone = alone();
    let manager = started();
    let witness = WitnessProxy::new(&manager).unwrap();
    let before = witness.dropped().unwrap();
    for round in 1..=5 {
        drop(SlowProxy::new(&manager, 50).unwrap());
        assert_eq!(witness.dropped().unwrap(), before + round);
    }
    manager.shutdown().unwrap();
}

/// The same where two threads of the server settle notices of one client, and the later ones are done first. And the callers that wait hold up nobody else.
#[test]
fn a_call_waits_for_all_destructors_before_it_and_for_no_other() {
    let _alone = alone();
    let manager = started();
    let witness = WitnessProxy::new(&manager).unwrap();
    let before = witness.dropped().unwrap();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let other = common::fork(|| {
        // Another client: what the first has let go of does not concern it. A call of its own that waited for the door would find it dropped.
        eventually("the door's end has begun", || witness.door().unwrap() > 0);
        let under_way = witness.dropped().unwrap() == before;
        writer.write_all(&[1]).unwrap();
        // Long enough for the first one to come to wait, most of the times.
        thread::sleep(Duration::from_millis(500));
        witness.open().unwrap();
        i32::from(!under_way)
    });
    drop(DoorProxy::new(&manager).unwrap());
    // Its notice is being settled by now, and the lead has passed on.
    reader.read_exact(&mut [0]).unwrap();
    drop(SlowProxy::new(&manager, 0).unwrap());
    assert_eq!(witness.dropped().unwrap(), before + 2);
    assert_eq!(common::wait(other), 0, "the other client's calls waited, too");
    manager.shutdown().unwrap();
}

/// A connection whose call waits for a destructor is not read meanwhile; what comes on it must not keep the server busy.
#[test]
fn a_call_that_waits_for_a_destructor_costs_no_processor_time() {
    const QUIET: Duration = Duration::from_millis(800);
    let _alone = alone();
    let manager = started();
    let witness = WitnessProxy::new(&manager).unwrap();
    common::patiently("the destructor still runs when the call waits for it", |time| {
        let before = witness.dropped().unwrap();
        drop(SlowProxy::new(&manager, (time * 8).as_millis() as u64).unwrap());
        thread::sleep(Duration::from_millis(50));
        // Leaves a cancellation behind that nobody reads yet.
        let waits = matches!(witness.with_timeout(Duration::from_millis(50)).dropped(), Err(Error::Timeout { .. }));
        let server = i32::try_from(manager.pid().unwrap()).unwrap();
        let used = common::processor_time(server);
        thread::sleep(QUIET);
        let used = common::processor_time(server) - used;
        assert!(used < QUIET / 2, "the server was busy for {used:?} of {QUIET:?}");
        assert_eq!(witness.dropped().unwrap(), before + 1, "and goes on where it was");
        waits
    });
    manager.shutdown().unwrap();
}

/// Mechanism: destructors' panics are contained. The server, its threads and the counts go on.
#[test]
fn a_panic_in_a_destructor_is_survived() {
    let _alone = alone();
    let manager = started();
    let witness = WitnessProxy::new(&manager).unwrap();
    for _ in 0..20 {
        drop(SoreProxy::new(&manager).unwrap());
        witness.with_timeout(common::LIMIT).dropped().expect("the server goes on");
        assert_eq!(manager.number_of_objects().unwrap(), 1);
    }
    manager.shutdown().unwrap();
}

/// Symptom: dropping the first of a long chain of objects overflowed the server's stack. Cause: each object's destructor ran inside that of its holder.
#[test]
fn a_chain_of_a_hundred_thousand_objects_is_dropped() {
    const LENGTH: u64 = 100_000;
    let _alone = alone();
    let manager = started();
    let mut first = LinkProxy::new(&manager, None).unwrap();
    for _ in 1..LENGTH {
        first = LinkProxy::new(&manager, Some(first)).unwrap();
    }
    assert!(!first.is_last().unwrap());
    eventually("the chain is whole", || manager.number_of_objects().unwrap() == LENGTH);
    drop(first);
    assert_eq!(manager.number_of_objects().unwrap(), 0);
    manager.shutdown().unwrap();
}
