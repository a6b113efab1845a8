//! Any bytes as a pickle: an error, or a value that comes back equal; and no more memory than its length allows.

#![no_main]

#[path = "../../tests/common/counting.rs"]
mod counting;

use counting::{Counting, most_taken};
use libfuzzer_sys::fuzz_target;
use multiproc::probe;

#[global_allocator]
static COUNTING: Counting = Counting;

fuzz_target!(|bytes: &[u8]| {
    let taken = most_taken(|| _ = probe::graph(bytes));
    assert!(taken <= 200 * bytes.len() + (16 << 10), "{taken} bytes for a pickle of {}", bytes.len());
    probe::round_trip(bytes);
});
