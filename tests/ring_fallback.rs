//! What can't have shared memory stays on its socket, and one event tells why.
//!
//! A program of its own, since what collects the events serves the whole process.

mod common;
#[path = "common/told.rs"]
mod told;

use std::thread;
use std::time::{Duration, Instant};

use multiproc::BaseManager;
use multiproc::types::CounterProxy;
use told::Told;

/// Calls for long enough that the server is asked more than once.
fn call(manager: &BaseManager) {
    let counter = CounterProxy::new(manager, 0).unwrap();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(2500) {
        for _ in 0..50 {
            counter.add(1).unwrap();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn one_event_tells_why_there_is_no_shared_memory() {
    let told = Told::of(|metadata| metadata.target().starts_with("multiproc"));
    // Whatever else there was to tell.
    let take = || -> Vec<String> { told.take().into_iter().filter(|text| text.contains("shared memory")).collect() };
    tracing::subscriber::set_global_default(told.clone()).unwrap();
    let serve = |rings: usize| {
        let server = multiproc::SyncManager::builder().max_rings(rings).server().unwrap();
        let address = server.address().clone();
        (thread::spawn(move || server.serve_forever()), address)
    };

    let (serving, address) = serve(0);
    let manager = BaseManager::builder().address(address).connect().unwrap();
    call(&manager);
    manager.shutdown().unwrap();
    serving.join().unwrap().unwrap();
    let events = take();
    assert!(matches!(&events[..], [event] if event.contains("limit=0")), "{events:?}");

    let (serving, address) = serve(10);
    let manager = BaseManager::builder().address(address.clone()).ring(false).connect().unwrap();
    call(&manager);
    let events = take();
    assert!(matches!(&events[..], [event] if event.contains("switched off")), "{events:?}");
    drop(manager);

    // With it there is nothing to be told.
    let manager = BaseManager::builder().address(address).connect().unwrap();
    call(&manager);
    assert_eq!(take(), Vec::<String>::new());
    manager.shutdown().unwrap();
    serving.join().unwrap().unwrap();
}
