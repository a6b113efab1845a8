//! How much memory a pickle can make its reader take, measured by an allocator that counts.
//!
//! A binary of its own with one test, since everything in the process is counted.

#[path = "common/counting.rs"]
mod counting;

use counting::{Counting, most_taken};
use multiproc::probe;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[global_allocator]
static COUNTING: Counting = Counting;

/// What a graph may take for each byte that it is read from.
const PER_BYTE: usize = 200;
/// What it may take besides.
const BESIDES: usize = 16 << 10;
/// What a value may take that is far larger than its pickle: the limit of 256 MiB, twice, as a vector may have room for as much again, and its former memory while it moves.
const MOST: usize = (256 << 20) * 3 + (1 << 20);

fn check_graph(pickle: &[u8]) {
    let taken = most_taken(|| _ = probe::graph(pickle));
    let allowed = PER_BYTE * pickle.len() + BESIDES;
    assert!(taken <= allowed, "{taken} bytes for a pickle of {}: {:?}", pickle.len(), &pickle[..pickle.len().min(100)]);
}

/// Instructions that take the most for their size, again and again.
fn greedy() -> Vec<Vec<u8>> {
    let pieces: &[&[u8]] = &[
        b"]",
        b"}",
        b"(",
        b")",
        b"N",
        b"K\x01",
        b"\x8c\0",
        b"\x94",
        b"h\0",
        b"2",
        b"\x85",
        b"]\x94",
        b"(l",
        b"(d",
        b"(t",
        b"\x8f",
        b"(\x91",
        b"C\0",
        b"I1\n",
        b"cm\nn\n",
        b"cm\nn\n)R",
        b"cm\nn\n)\x81",
        b"cm\nn\n)\x81}b",
        b"]Na",
        b"}NNs",
        b"](Ne",
        b"q\0",
        b"r\xff\0\0\0",
        b"\x95\0\0\0\0\0\0\0\0",
    ];
    let mut pickles = Vec::new();
    for piece in pieces {
        for count in [1, 100, 20_000] {
            let mut pickle = b"\x80\x04N".to_vec();
            (0..count).for_each(|_| pickle.extend_from_slice(piece));
            pickles.push([&pickle[..], b"."].concat());
            // Cut off: nothing is on the stack's top that is meant to be.
            pickles.push(pickle);
        }
    }
    // Lengths that are not there.
    for head in [
        &b"B\xff\xff\xff\x7f"[..],
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"X\xff\xff\xff\xff",
        b"\x8b\xff\xff\xff\x7f",
        b"\x96\0\0\0\0\0\0\0\x10",
        b"r\xff\xff\xff\x7f",
        b"p99999999\n",
    ] {
        pickles.push([b"\x80\x05N", head, b"."].concat());
    }
    pickles
}

/// Few bytes that stand for 10^30 elements.
fn bomb() -> Vec<u8> {
    let mut bomb = b"\x80\x04]\x94".to_vec();
    for level in 0..30 {
        bomb.extend(b"](");
        (0..10).for_each(|_| bomb.extend([b'h', level]));
        bomb.extend(b"e\x94");
    }
    bomb.push(b'.');
    bomb
}

#[test]
fn the_memory_of_a_pickle_is_bounded_by_its_length() {
    greedy().iter().for_each(|pickle| check_graph(pickle));
    let mut random = TestRunner::new(Config { cases: 3000, failure_persistence: None, ..Config::default() });
    random
        .run(&prop::collection::vec(any::<u8>(), 0..600), |bytes| {
            check_graph(&bytes);
            check_graph(&[b"\x80\x04", &bytes[..], b"."].concat());
            Ok(())
        })
        .unwrap();
    let bomb = bomb();
    check_graph(&bomb);
    if cfg!(debug_assertions) {
        // Far too slow to write 256 MiB; the unit tests do it with a smaller limit.
        return;
    }
    let taken = most_taken(|| assert!(!probe::value(&bomb), "it stands for more than fits any memory"));
    assert!(taken <= MOST, "{taken}");
}
