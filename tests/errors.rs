//! What goes wrong is told as what it is, to the one whom it concerns, and the server lives on.

#![allow(missing_docs)]

mod common;

use std::time::Duration;

use common::eventually;
use multiproc::{BaseManager, BaseProxy, CallError, Error, Proxy, Registration};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum MathError {
    #[error("{dividend} can't be divided by zero")]
    ByZero { dividend: i64 },
    #[error("too large")]
    TooLarge,
}

#[derive(Debug, Default)]
pub struct Faulty {
    count: u64,
}

#[multiproc::referent(typeid = "Faulty")]
impl Faulty {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn starting(count: u64) -> Result<Self, MathError> {
        if count > 100 { Err(MathError::TooLarge) } else { Ok(Self { count }) }
    }

    pub fn unmade() -> Self {
        panic!("a birth failed");
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn add(&mut self, n: u64) -> u64 {
        self.count += n;
        self.count
    }

    pub fn divide(&self, dividend: i64, divisor: i64) -> Result<i64, MathError> {
        if divisor == 0 { Err(MathError::ByZero { dividend }) } else { Ok(dividend / divisor) }
    }

    pub fn explode(&mut self, what: &str) {
        self.count += 1;
        panic!("{what} exploded");
    }

    #[referent(blocking)]
    pub fn explode_on_a_worker(&self) {
        panic!("a worker exploded");
    }

    pub fn greet(&self, who: &str, mark: char) -> String {
        format!("hello {who}{mark}")
    }

    pub fn length(&self, bytes: &[u8]) -> usize {
        bytes.len()
    }

    pub fn bytes(&self, length: usize) -> Vec<u8> {
        vec![7; length]
    }

    #[referent(proxy)]
    pub fn child(&self) -> Faulty {
        Faulty { count: self.count + 1 }
    }
}

fn started() -> (BaseManager, FaultyProxy) {
    let manager = BaseManager::builder().register::<Faulty>().start().expect("started");
    let faulty = FaultyProxy::new(&manager).expect("created");
    (manager, faulty)
}

#[track_caller]
fn assert_alive(manager: &BaseManager, faulty: &FaultyProxy) {
    manager.ping().expect("the server lives on");
    assert_eq!(faulty.greet("you", '!').expect("the object lives on"), "hello you!");
}

/// Holds: panics are caught around the method, with the place from the panic hook; the gate is left by a guard, and a lock is not left poisoned.
#[test]
fn a_panic_comes_back_with_message_and_place_and_the_server_lives_on() {
    let (manager, faulty) = started();
    for round in 1..=3 {
        let error = faulty.explode("a boiler").expect_err("it panicked");
        let Error::Panicked(panic) = error else { panic!("{error:?}") };
        assert_eq!((panic.typeid.as_str(), panic.method.as_str()), ("Faulty", "explode"));
        assert!(panic.message.contains("a boiler exploded"), "{}", panic.message);
        assert!(panic.message.contains("errors.rs:"), "the place is told: {}", panic.message);
        assert!(panic.to_string().contains("Faulty.explode panicked in the server"), "{panic}");
        assert_eq!(faulty.count().unwrap(), round, "what the method had done stays done");
        assert_alive(&manager, &faulty);
    }
    let dynamic = faulty.base().call_method::<()>("explode", ("a kettle",));
    assert!(matches!(&dynamic, Err(Error::Panicked(panic)) if panic.message.contains("a kettle")), "{dynamic:?}");
    let worker = faulty.explode_on_a_worker();
    assert!(matches!(&worker, Err(Error::Panicked(panic)) if panic.message.contains("a worker")), "{worker:?}");
    assert_eq!(faulty.add(1).unwrap(), 5);
    let unmade = FaultyProxy::unmade(&manager);
    assert!(matches!(&unmade, Err(Error::Panicked(panic)) if panic.message.contains("a birth")), "{unmade:?}");
    assert_alive(&manager, &faulty);
    manager.shutdown().unwrap();
}

/// Holds: a method's `Err(E)` is encoded as itself, in whichever codec the call came.
#[test]
fn a_methods_own_error_arrives_as_itself_or_as_text() {
    let (manager, faulty) = started();
    assert_eq!(faulty.divide(7, 2).unwrap(), 3);
    match faulty.divide(7, 0) {
        Err(CallError::Method(error)) => assert_eq!(error, MathError::ByZero { dividend: 7 }),
        other => panic!("{other:?}"),
    }
    let fallible = faulty.base().call_method_fallible::<i64, MathError>("divide", (7_i64, 0_i64));
    assert!(matches!(fallible, Err(CallError::Method(MathError::ByZero { dividend: 7 }))), "{fallible:?}");
    match faulty.base().call_method::<i64>("divide", (9_i64, 0_i64)) {
        Err(Error::Remote(error)) => {
            assert!(error.message.contains("ByZero") && error.message.contains('9'), "{error:?}");
            assert!(error.kind.contains("Faulty"), "{error:?}");
        }
        other => panic!("{other:?}"),
    }
    // A constructor's.
    match FaultyProxy::starting(&manager, 101) {
        Err(CallError::Method(error)) => assert_eq!(error, MathError::TooLarge),
        other => panic!("{other:?}"),
    }
    assert_eq!(FaultyProxy::starting(&manager, 100).unwrap().count().unwrap(), 100);
    // Servers of other tests, which are forked meanwhile, hold references of their own for a moment.
    eventually("a failed constructor leaves nothing", || manager.number_of_objects().unwrap() == 1);
    assert_alive(&manager, &faulty);
    manager.shutdown().unwrap();
}

/// Holds: a registered callable's error is the creator's error, as text.
#[test]
fn an_error_of_a_registered_callable_arrives_as_text() {
    let registration = Registration::<Faulty>::new("Odd")
        .callable(|n: u64| if n % 2 == 1 { Ok(Faulty { count: n }) } else { Err("even") });
    let manager = BaseManager::builder().register_with(registration).start().unwrap();
    assert_eq!(manager.create_as::<FaultyProxy>("Odd", (3_u64,)).unwrap().count().unwrap(), 3);
    let error = manager.create("Odd", (4_u64,)).expect_err("even");
    assert!(matches!(&error, Error::Remote(remote) if remote.message == "even"), "{error:?}");
    manager.shutdown().unwrap();
}

/// Holds: names are looked up in the class, and the exposure of the registration is checked at each call.
#[test]
fn unknown_and_unexposed_names_are_told_with_what_there_is() {
    let reading = Registration::<Faulty>::new("Reading").exposed(["count"]);
    let hidden = Registration::<Faulty>::new("Hidden").create_method(false);
    let manager =
        BaseManager::builder().register::<Faulty>().register_with(reading).register_with(hidden).start().unwrap();
    let faulty = manager.create("Faulty", ()).unwrap();
    match faulty.call_method::<()>("sing", ()) {
        Err(error @ Error::NoSuchMethod { .. }) => {
            let text = error.to_string();
            assert!(text.contains("Faulty") && text.contains("sing") && text.contains("greet"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let reading: FaultyProxy = manager.create_as("Reading", ()).unwrap();
    assert_eq!(reading.count().unwrap(), 0);
    assert_eq!(reading.base().methods().unwrap(), ["count"]);
    for refused in [reading.add(1), reading.base().call_method("add", (1_u64,))] {
        match refused {
            Err(Error::NotExposed { typeid, method }) => assert_eq!((&*typeid, &*method), ("Reading", "add")),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(reading.count().unwrap(), 0, "what is not exposed has not run");
    match manager.create("Nobody", ()) {
        Err(Error::NoSuchType { typeid, registered }) => {
            assert_eq!(typeid, "Nobody");
            for name in ["Faulty", "Reading", "Hidden"] {
                assert!(registered.iter().any(|registered| registered == name), "{registered:?}");
            }
        }
        other => panic!("{other:?}"),
    }
    match manager.create("Hidden", ()) {
        Err(Error::NoConstructor { typeid, reason, .. }) => {
            assert_eq!(typeid, "Hidden");
            assert!(reason.contains("create_method(false)"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    // System commands are not to be reached through a typeid, nor through an object.
    assert!(matches!(manager.create("", ()), Err(Error::NoSuchType { .. })));
    assert!(matches!(faulty.call_method::<()>("", ()), Err(Error::NoSuchMethod { .. })));
    manager.shutdown().unwrap();
}

#[derive(Serialize)]
struct Mark {
    mark: char,
}

#[derive(Serialize)]
struct Volume {
    volume: u32,
}

/// Holds: dynamic arguments are matched by count, type and name before the method runs.
#[test]
fn wrong_dynamic_arguments_are_told() {
    let (manager, faulty) = started();
    let base = faulty.base();
    assert_eq!(base.call_method_with::<String>("greet", ("you",), Mark { mark: '?' }).unwrap(), "hello you?");
    let wrong: Vec<(&str, multiproc::Result<String>)> = vec![
        ("too few", base.call_method("greet", ("you",))),
        ("none", base.call_method("greet", ())),
        ("too many", base.call_method("greet", ("you", '!', 3))),
        ("of another type", base.call_method("greet", (5, '!'))),
        ("an unknown keyword", base.call_method_with("greet", ("you", '!'), Volume { volume: 11 })),
        ("the same twice", base.call_method_with("greet", ("you", '!'), Mark { mark: '?' })),
    ];
    for (what, result) in wrong {
        match result {
            Err(Error::Arguments { typeid, method, reason }) => {
                assert_eq!((&*typeid, &*method), ("Faulty", "greet"), "{what}");
                assert!(!reason.is_empty(), "{what}");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
    let negative = base.call_method::<u64>("add", (-1,));
    assert!(matches!(negative, Err(Error::Arguments { .. })), "{negative:?}");
    let arguments = manager.create("Faulty", (1, 2, 3));
    assert!(matches!(arguments, Err(Error::Arguments { .. })), "{arguments:?}");
    assert_eq!(manager.number_of_objects().unwrap(), 1);
    // A result of another type is the caller's error, who asked for it.
    let result = base.call_method::<String>("count", ());
    assert!(matches!(result, Err(Error::Unserializable { .. })), "{result:?}");
    assert_eq!(faulty.count().unwrap(), 0);
    assert_alive(&manager, &faulty);
    manager.shutdown().unwrap();
}

#[multiproc::proxy(typeid = "Faulty", proxy = Stranger)]
pub trait Stranger {
    fn new() -> Self;
    fn count(&self) -> u64;
    fn add(&self, n: i32) -> u64;
    fn divide(&self, dividend: i64, divisor: i64) -> i64;
    fn greet(&self, who: &str) -> String;
}

/// Holds: the signature check of typed calls. Without it bincode would read 5 as something else.
#[test]
fn a_typed_proxy_with_other_types_is_told_so_and_nothing_runs() {
    let (manager, faulty) = started();
    let stranger = Stranger::new(&manager).unwrap();
    assert_eq!(stranger.count().unwrap(), 0, "what is the same works");
    let refusals = [stranger.add(5), stranger.greet("you").map(|_| 0), stranger.divide(1, 1).map(|_| 0)];
    for (refused, name) in refusals.into_iter().zip(["add", "greet", "divide"]) {
        match refused {
            Err(Error::Signature { typeid, method }) => assert_eq!((&*typeid, &*method), ("Faulty", name)),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(stranger.count().unwrap(), 0, "nothing ran");
    assert_alive(&manager, &faulty);
    manager.shutdown().unwrap();
}

/// Holds: a registration is checked whole before anything is forked or bound.
#[test]
fn registrations_that_can_not_be_are_refused() {
    #[track_caller]
    fn refused(builder: multiproc::Builder, typeid: &str, says: &str) {
        match builder.start() {
            Err(Error::Registration { typeid: named, reason }) => {
                assert_eq!(named, typeid);
                assert!(reason.contains(says), "{reason:?} should say {says:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    let builder = BaseManager::builder;
    refused(builder().register::<Faulty>().register::<Faulty>(), "Faulty", "");
    refused(builder().register::<Faulty>().register_as::<Faulty>("Faulty"), "Faulty", "");
    for bad in ["", "1st", "with space", "a::b", "a-b", "Stack<u8>"] {
        refused(builder().register_as::<Faulty>(bad), bad, "identifier");
    }
    let nowhere = Registration::<Faulty>::new("Faulty").method_to_typeid("child", "Nowhere");
    refused(builder().register_with(nowhere), "Faulty", "Nowhere");
    let nothing = Registration::<Faulty>::new("Faulty").method_to_typeid("sing", "Faulty");
    refused(builder().register_with(nothing), "Faulty", "sing");
    let unknown = Registration::<Faulty>::new("Faulty").exposed(["sing"]);
    refused(builder().register_with(unknown), "Faulty", "sing");
}

/// Holds: the typeid that `method_to_typeid` names decides what the result exposes.
#[test]
fn a_result_has_the_typeid_that_was_said() {
    let reading = Registration::<Faulty>::new("Reading").exposed(["count"]).create_method(false);
    let parent = Registration::<Faulty>::new("Parent").method_to_typeid("child", "Reading");
    let manager = BaseManager::builder().register_with(reading).register_with(parent).start().unwrap();
    let parent: FaultyProxy = manager.create_as("Parent", ()).unwrap();
    let child = parent.child().unwrap();
    assert_eq!(child.typeid(), "Reading");
    assert_eq!(child.count().unwrap(), 1);
    assert!(matches!(child.add(1), Err(Error::NotExposed { .. })));
    manager.shutdown().unwrap();
}

/// Holds: both sides check a frame's size before they send it; the connection stays usable.
#[test]
fn a_frame_over_the_limit_is_refused_in_both_directions() {
    const LIMIT: usize = 64 << 10;
    let manager = BaseManager::builder().register::<Faulty>().max_frame(LIMIT as u64).start().unwrap();
    let faulty = FaultyProxy::new(&manager).unwrap();
    for _ in 0..3 {
        assert_eq!(faulty.length(&vec![0; LIMIT / 2]).unwrap(), LIMIT / 2);
        match faulty.length(&vec![0; LIMIT]) {
            Err(Error::FrameTooLarge { size, limit }) => {
                assert_eq!(limit, LIMIT as u64);
                assert!(size > limit && size < limit + 256, "{size}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(faulty.bytes(LIMIT / 2).unwrap().len(), LIMIT / 2);
        match faulty.bytes(LIMIT) {
            Err(error @ Error::FrameTooLarge { .. }) => assert!(error.to_string().contains("max_frame"), "{error}"),
            other => panic!("{:?}", other.map(|bytes| bytes.len())),
        }
    }
    assert_alive(&manager, &faulty);
    manager.shutdown().unwrap();
}

/// Holds: a proxy is a reference from the moment that the reply with it was sent: drops of its siblings, in any order and thread, can't take its object away.
#[test]
fn a_live_proxy_never_meets_no_such_object() {
    let (manager, faulty) = started();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..150 {
                    let child = faulty.child().unwrap();
                    let copy = child.clone();
                    let base = child.base().clone();
                    let grandchild = if round % 2 == 0 { child.child() } else { copy.child() }.unwrap();
                    drop(child);
                    drop(copy);
                    assert_eq!(base.call_method::<u64>("count", ()).unwrap(), 1);
                    drop(base);
                    assert_eq!(grandchild.count().unwrap(), 2);
                }
            });
        }
    });
    // A server that another test starts meanwhile is a forked child, with references of its own for as long as it lives.
    common::eventually("only the first object is left", || manager.number_of_objects().unwrap() == 1);
    manager.shutdown().unwrap();
}

/// Holds: object numbers are never used again, so that a token whose object is gone can only miss.
#[test]
fn a_token_that_outlived_its_object_says_so() {
    let manager = BaseManager::builder().register::<Faulty>().ticket_time(Duration::from_millis(10)).start().unwrap();
    let text = serde_json::to_string(&FaultyProxy::new(&manager).unwrap()).unwrap();
    eventually("the ticket lapses", || manager.number_of_objects().unwrap() == 0);
    let other = FaultyProxy::new(&manager).unwrap();
    let error = match serde_json::from_str::<BaseProxy>(&text) {
        Err(error) => error.to_string(),
        Ok(proxy) => proxy.call_method::<u64>("count", ()).expect_err("it is gone").to_string(),
    };
    assert!(error.contains("has no object"), "{error}");
    assert_alive(&manager, &other);
    manager.shutdown().unwrap();
}
