//! A small call allocates nothing once it is warm, on either side: client and server live in this process, under an allocator that counts.
//!
//! A binary of its own, since everything in the process is counted.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use multiproc::BaseManager;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: all of it is the system's allocator; counting touches no memory that is given out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[derive(Default)]
struct Counter {
    count: u64,
}

#[multiproc::referent]
impl Counter {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn get(&self) -> u64 {
        self.count
    }

    pub fn add(&mut self, n: u64) -> u64 {
        self.count += n;
        self.count
    }

    pub fn check(&self, text: &str) -> Result<usize, String> {
        if text.is_empty() { Err("empty".to_owned()) } else { Ok(text.len()) }
    }
}

#[test]
fn small_calls_allocate_nothing_on_either_side() {
    const CALLS: u64 = 5_000;
    let server = BaseManager::builder().register::<Counter>().server().unwrap();
    let address = server.address().clone();
    let serving = thread::spawn(move || server.serve_forever());
    let manager = BaseManager::builder().address(address).connect().unwrap();
    let counter = CounterProxy::new(&manager).unwrap();
    let calls = || {
        for _ in 0..CALLS {
            counter.add(1).unwrap();
            counter.get().unwrap();
            assert_eq!(counter.check("0123456789").unwrap(), 10);
        }
    };
    calls();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    calls();
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    // A wait that ended in sleep, because others had the processors, may take a few.
    assert!(allocations < CALLS / 100, "{allocations} allocations in {} calls", 3 * CALLS);
    println!("{allocations} allocations in {} calls", 3 * CALLS);
    drop(counter);
    manager.shutdown().unwrap();
    serving.join().unwrap().unwrap();
}
