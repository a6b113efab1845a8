//! Events: what Python's documentation says of them.

mod common;

use std::thread;
use std::time::Duration;

use common::{Child, eventually, fork, threads, wait};
use multiproc::types::EventProxy;
use multiproc::{Deferred, Error, Proxy, Result, SyncManager};
use proptest::prelude::*;

fn manager() -> SyncManager {
    SyncManager::start().expect("a manager")
}

fn eventually_says(event: &EventProxy, text: &str) {
    eventually(text, || event.text().expect("a text") == text);
}

#[test]
fn an_event_is_set_and_cleared() -> Result<()> {
    let manager = manager();
    let event = EventProxy::new(&manager)?;
    assert!(!event.is_set()?);
    assert!(!event.wait_timeout(Duration::from_millis(5))?);
    assert!(matches!(event.with_timeout(Duration::from_millis(5)).wait(), Err(Error::Timeout { .. })));
    event.set()?;
    event.set()?;
    assert!(event.is_set()? && event.wait_timeout(Duration::from_millis(5))?);
    event.wait()?;
    assert_eq!(event.to_string(), "<Event: set>");
    event.clear()?;
    assert!(!event.is_set()?);
    assert_eq!(event.to_string(), "<Event: not set, 0 waiting>");
    let deferred = event.defer();
    assert!(matches!((deferred.set().wait(), deferred.is_set().wait()), (Ok(()), Ok(true))));
    manager.shutdown()
}

#[test]
fn all_who_wait_go_on_also_where_it_is_cleared_at_once() -> Result<()> {
    let manager = manager();
    let event = EventProxy::new(&manager)?;
    let children: Vec<Child> = (0..8).map(|_| fork(|| i32::from(event.wait().is_err()))).collect();
    eventually_says(&event, "<Event: not set, 8 waiting>");
    event.set()?;
    event.clear()?;
    assert!(children.into_iter().map(wait).all(|code| code == 0));
    assert_eq!(event.to_string(), "<Event: not set, 0 waiting>");
    manager.shutdown()
}

#[test]
fn who_is_killed_or_gives_up_leaves_nothing_behind() -> Result<()> {
    let manager = manager();
    let event = EventProxy::new(&manager)?;
    let children: Vec<Child> = (0..4).map(|_| fork(|| i32::from(event.wait().is_err()))).collect();
    eventually_says(&event, "<Event: not set, 4 waiting>");
    children.into_iter().for_each(Child::kill);
    eventually_says(&event, "<Event: not set, 0 waiting>");
    for _ in 0..50 {
        assert!(!event.wait_timeout(Duration::from_millis(1))?);
    }
    assert_eq!(event.to_string(), "<Event: not set, 0 waiting>");
    manager.shutdown()
}

#[test]
fn hundreds_of_waiters_cost_the_server_no_thread() -> Result<()> {
    const WAITERS: usize = 300;
    let manager = manager();
    let event = EventProxy::new(&manager)?;
    let pid = i32::try_from(manager.pid().expect("started")).expect("a pid");
    let before = threads(pid);
    thread::scope(|scope| -> Result<()> {
        let wait = || event.wait().expect("it is set");
        for _ in 0..WAITERS {
            thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, wait).expect("a thread");
        }
        eventually_says(&event, &format!("<Event: not set, {WAITERS} waiting>"));
        // A busy machine may have made the lead pass on; those threads go home again.
        let few = common::within(common::LIMIT, || threads(pid) <= before + 2);
        let while_waiting = threads(pid);
        event.set()?;
        assert!(few, "{before} threads before, {while_waiting} with {WAITERS} waiters");
        Ok(())
    })?;
    manager.shutdown()
}

/// Two processes that hand each other the turn: a set that was missed would stop them for good.
#[test]
fn no_set_is_missed() -> Result<()> {
    const TURNS: usize = 300;
    let manager = manager();
    let (ping, pong) = (EventProxy::new(&manager)?, EventProxy::new(&manager)?);
    let turns = |mine: &EventProxy, theirs: &EventProxy| {
        for _ in 0..TURNS {
            if !mine.wait_timeout(common::LIMIT).expect("an answer") {
                return 1;
            }
            mine.clear().expect("cleared");
            theirs.set().expect("set");
        }
        0
    };
    let children = [fork(|| turns(&ping, &pong)), fork(|| turns(&pong, &ping))];
    ping.set()?;
    assert_eq!(children.map(wait), [0, 0]);
    manager.shutdown()
}

#[derive(Debug, Clone)]
enum Step {
    Set,
    Clear,
    Wait,
    GiveUp(usize),
}

/// One flag, and those who wait for it: all of them go on at once, or none.
#[test]
fn an_event_is_a_flag_with_a_crowd() {
    let manager = manager();
    let step = prop_oneof![
        1 => Just(Step::Set),
        1 => Just(Step::Clear),
        4 => Just(Step::Wait),
        2 => any::<usize>().prop_map(Step::GiveUp),
    ];
    let steps = proptest::collection::vec(step, 1..20);
    proptest!(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() }, |(steps in steps)| {
        let event = EventProxy::new(&manager).expect("an event").with_timeout(common::LIMIT);
        let (mut is_set, mut crowd): (bool, Vec<Deferred<()>>) = (false, Vec::new());
        for step in steps {
            match step {
                Step::Set => {
                    event.set().expect("an answer");
                    is_set = true;
                    crowd.drain(..).for_each(|one| one.wait().expect("it was set"));
                }
                Step::Clear => {
                    event.clear().expect("an answer");
                    is_set = false;
                }
                Step::Wait if is_set => event.wait().expect("it is set"),
                Step::Wait => crowd.push(event.defer().wait()),
                Step::GiveUp(_) if crowd.is_empty() => {}
                Step::GiveUp(one) => drop(crowd.swap_remove(one % crowd.len())),
            }
            prop_assert_eq!(event.is_set().expect("an answer"), is_set);
            match is_set {
                true => eventually_says(&event, "<Event: set>"),
                false => eventually_says(&event, &format!("<Event: not set, {} waiting>", crowd.len())),
            }
        }
    });
    manager.shutdown().expect("an end");
}
