//! What can't have shared memory stays on its socket, and one event tells why.
//!
//! A program of its own, since what collects the events serves the whole process.

mod common;

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use multiproc::BaseManager;
use multiproc::types::CounterProxy;

/// Collects what is told of connections that stay on their sockets.
#[derive(Default, Clone)]
struct Told(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Told {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("multiproc")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Text<'a>(&'a mut String);
        impl tracing::field::Visit for Text<'_> {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{field}={value:?} "));
            }
        }
        let mut text = String::new();
        event.record(&mut Text(&mut text));
        if text.contains("shared memory") {
            self.0.lock().unwrap().push(text);
        }
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

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
    let told = Told::default();
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
    let events = told.take();
    assert!(matches!(&events[..], [event] if event.contains("limit=0")), "{events:?}");

    let (serving, address) = serve(10);
    let manager = BaseManager::builder().address(address.clone()).ring(false).connect().unwrap();
    call(&manager);
    let events = told.take();
    assert!(matches!(&events[..], [event] if event.contains("switched off")), "{events:?}");
    drop(manager);

    // With it there is nothing to be told.
    let manager = BaseManager::builder().address(address).connect().unwrap();
    call(&manager);
    assert_eq!(told.take(), Vec::<String>::new());
    manager.shutdown().unwrap();
    serving.join().unwrap().unwrap();
}
