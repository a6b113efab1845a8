//! Large elements are copied once on the way into an object, and once on the way out of it, beside what a caller's own process does: all in this process, under an allocator that counts.
//!
//! A binary of its own, with one test, since everything in the process is counted.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use multiproc::types::{ArrayProxy, DictProxy, ListProxy, QueueProxy, ValueProxy};
use multiproc::{Proxy, Result, SyncManager};
use serde_bytes::ByteBuf;

struct Counting;

/// From where on memory counts: what holds most of an element, and not what goes with it.
const COUNTS: usize = 64 << 10;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all of it is the system's allocator; counting touches no memory that is given out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= COUNTS {
            TAKEN.fetch_add(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size >= COUNTS {
            TAKEN.fetch_add(size.saturating_sub(layout.size()), Ordering::Relaxed);
        }
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

/// More than what a client keeps in memory for its next large reply.
const SIZE: usize = 20 << 20;

/// How many times its size an element takes in memory, on both sides together, while something is done.
fn copies<R>(what: impl FnOnce() -> Result<R>) -> Result<f64> {
    let before = TAKEN.load(Ordering::Relaxed);
    let result = what()?;
    let taken = TAKEN.load(Ordering::Relaxed) - before;
    drop(result);
    Ok(taken as f64 / SIZE as f64)
}

/// On the way in: what the client encodes, and what the server receives, which is what is stored. On the way out: what the client receives, and what it decodes.
#[track_caller]
fn takes(times: f64, what: &str, copies: f64) {
    println!("{what:24} {copies:.2}");
    assert!((times - 0.05..times + 0.1).contains(&copies), "{what}: memory for {copies:.2} copies instead of {times}");
}

fn check(ring: bool) -> Result<()> {
    let server = SyncManager::builder().ring(ring).server()?;
    let address = server.address().clone();
    let serving = thread::spawn(move || server.serve_forever());
    let manager = SyncManager::builder().ring(ring).address(address).connect()?;
    let number = ValueProxy::<u32>::new(&manager, 0)?;
    // From here on through shared memory, where that is allowed.
    (0..2000).try_for_each(|_| number.fetch_add(1).map(drop))?;

    let bytes = ByteBuf::from((0..SIZE).map(|place| (place / 7) as u8).collect::<Vec<u8>>());
    let value = ValueProxy::<ByteBuf>::new(&manager, ByteBuf::new())?;
    takes(2.0, "set", copies(|| value.set(&bytes))?);
    takes(2.0, "get", copies(|| value.get())?);
    assert!(value.get()? == bytes);
    takes(2.0, "update by a lock", copies(|| value.lock().map(|guard| guard.discard()))?);

    let queue = QueueProxy::<ByteBuf>::new(&manager, 0)?;
    takes(2.0, "put", copies(|| Ok(queue.put(&bytes)?))?);
    takes(2.0, "get from a queue", copies(|| Ok(queue.get()?))?);
    // One who waits.
    let waits = queue.defer().get();
    queue.put(&bytes)?;
    assert!(waits.wait()? == bytes);

    let dict = DictProxy::<String, ByteBuf>::new(&manager)?;
    takes(2.0, "insert", copies(|| dict.insert("a", &bytes))?);
    takes(2.0, "get by a key", copies(|| dict.get("a"))?);
    takes(2.0, "remove", copies(|| dict.remove("a"))?);

    let list = ListProxy::<ByteBuf>::new(&manager)?;
    takes(2.0, "push", copies(|| list.push(&bytes))?);
    takes(2.0, "get by an index", copies(|| list.get(0))?);
    // Where several go at once they are put into one piece, each once.
    list.push(ByteBuf::from(vec![1; 100 << 10]))?;
    list.push(&bytes)?;
    list.push(ByteBuf::from(vec![2]))?;
    let all = list.to_vec()?;
    assert!(all[0] == bytes && *all[1] == [1; 100 << 10] && all[2] == bytes && *all[3] == [2]);
    assert_eq!(all.len(), 4);
    assert!(list.pop_at(2)?.as_ref() == Some(&bytes));

    // Many in one frame do not keep it whole: each has memory of its own.
    queue.put_many((0..10).map(|part| ByteBuf::from(&bytes[part * SIZE / 10..][..SIZE / 10])))?;
    let mut parts = Vec::new();
    while parts.len() < 10 {
        parts.extend(queue.get_many(10)?);
    }
    assert!(parts.iter().map(|part| &part[..]).collect::<Vec<_>>().concat() == **bytes);

    // An array has a block of its own, which goes out in one piece.
    let array = ArrayProxy::<u8>::zeroed(&manager, SIZE)?;
    takes(2.0, "set all of an array", copies(|| Ok(array.set_slice(.., &bytes[..])?))?);
    assert!(array.to_vec()? == **bytes);
    drop((number, value, queue, dict, list, array));
    manager.shutdown()?;
    serving.join().expect("no panic")
}

#[test]
fn a_stored_element_takes_no_memory_but_the_frames() -> Result<()> {
    check(true)?;
    check(false)
}
