//! What `codec/value` costs beside bincode: writing and reading one small value, both in the same run.
//!
//! bincode is measured twice: as this crate calls it (guarded against hostile bytes, as `codec/value` is), and bare.
//! The rounds alternate, and of each the lower tenth counts, so that disturbances from outside hit all alike and count
//! little. The goal is a ratio of at most 1.3 for small values.

#![allow(unused_macros, reason = "the module's tests are compiled without being run")]

#[allow(
    dead_code,
    unused_imports,
    missing_docs,
    unreachable_pub,
    reason = "a private module, seen from outside the crate"
)]
#[path = "../src/codec/mod.rs"]
mod codec;

use std::fmt::Debug;
use std::hint::black_box;
use std::time::{Duration, Instant};

use codec::Codec;
use criterion::{Criterion, Throughput};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Job {
    id: u64,
    name: String,
    priority: i32,
    done: bool,
}

fn round_trip<T: Serialize + DeserializeOwned>(codec: Codec, value: &T, buffer: &mut Vec<u8>) -> T {
    buffer.clear();
    codec::encode(codec, black_box(value), buffer).expect("a plain value");
    codec::decode(codec, black_box(&buffer[..])).expect("a plain value")
}

fn bare<T: Serialize + DeserializeOwned>(value: &T, buffer: &mut [u8]) -> T {
    let format = bincode::config::standard();
    let written = bincode::serde::encode_into_slice(black_box(value), buffer, format).expect("a plain value");
    bincode::serde::borrow_decode_from_slice(black_box(&buffer[..written]), format).expect("a plain value").0
}

/// The time of one call, in ns.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 2_000;
    let start = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn lower_tenth(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 10]
}

fn compare<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    const ROUNDS: usize = 301;
    let (mut buffer, mut slice) = (Vec::with_capacity(1 << 16), vec![0; 1 << 16]);
    assert_eq!(&round_trip(Codec::Value, value, &mut buffer), value);
    let (mut ours, mut guarded, mut unguarded) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(nanoseconds(|| drop(black_box(round_trip(Codec::Value, value, &mut buffer)))));
        guarded.push(nanoseconds(|| drop(black_box(round_trip(Codec::Bincode, value, &mut buffer)))));
        unguarded.push(nanoseconds(|| drop(black_box(bare(value, &mut slice)))));
    }
    let (ours, guarded, unguarded) = (lower_tenth(ours), lower_tenth(guarded), lower_tenth(unguarded));
    println!(
        "{name:24} value {ours:7.1} ns   bincode {guarded:7.1} ns   bare {unguarded:7.1} ns   \
         value/bincode {:.2}   value/bare {:.2}",
        ours / guarded,
        ours / unguarded,
    );
}

fn compare_all() {
    println!("one value written and read");
    compare("(u64,) small", &(5_u64,));
    compare("(u64,) large", &(1_u64 << 40,));
    compare("(\"mark\",)", &("mark".to_owned(),));
    compare("(i32, f64, bool)", &(-5, 1.5, true));
    compare("struct of 4", &Job { id: 1234, name: "mark".into(), priority: -3, done: false });
    compare("Option<(u64, String)>", &Some((77_u64, "a key".to_owned())));
    compare("Vec of 8 strings", &vec!["element".to_owned(); 8]);
    compare("Vec<f64> of 1000", &vec![1.5_f64; 1000]);
    compare("Vec<u8> of 1000", &vec![7_u8; 1000]);
    compare("bytes of 1000", &serde_bytes::ByteBuf::from(vec![7_u8; 1000]));
    compare("Vec<i64> of 1000", &(0..1000_i64).map(|number| number * 1_000_003).collect::<Vec<_>>());
}

/// Packed numbers beside a loop that does nothing but take them out of the bytes one by one.
fn packed(criterion: &mut Criterion) {
    const COUNT: usize = 100_000;
    let numbers = vec![1.5_f64; COUNT];
    let mut bytes = Vec::new();
    codec::encode(Codec::Value, &numbers, &mut bytes).expect("a plain value");
    let raw = bytes[bytes.len() - COUNT * 8..].to_vec();
    let mut group = criterion.benchmark_group("100,000 floats");
    group.throughput(Throughput::Bytes((COUNT * 8) as u64));
    group.bench_function("read packed", |bencher| {
        bencher.iter(|| codec::decode::<Vec<f64>>(Codec::Value, black_box(&bytes)));
    });
    group.bench_function("simple loop", |bencher| {
        bencher.iter(|| {
            let mut out = Vec::with_capacity(COUNT);
            for chunk in black_box(&raw).chunks_exact(8) {
                out.push(f64::from_le_bytes(chunk.try_into().expect("eight bytes")));
            }
            out
        });
    });
    group.bench_function("written packed", |bencher| {
        let mut out = Vec::with_capacity(bytes.len());
        bencher.iter(|| {
            out.clear();
            codec::encode(Codec::Value, black_box(&numbers), &mut out)
        });
    });
    group.finish();
}

fn keys(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("canonical form");
    for (name, value) in [
        ("str", codec::Value::from("some key")),
        ("tuple", codec::Value::Tuple(vec![1.into(), "a".into()])),
        ("dict of 4", codec::Value::Map((0..4).map(|key| (key.to_string().as_str().into(), key.into())).collect())),
    ] {
        let bytes = value.to_bytes().expect("a plain value");
        group.bench_function(name, |bencher| bencher.iter(|| codec::value::canonical(black_box(&bytes))));
    }
    group.finish();
}

fn main() {
    // Without it this is `cargo test`, where criterion runs everything once.
    if std::env::args().any(|argument| argument == "--bench") {
        compare_all();
    }
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    packed(&mut criterion);
    keys(&mut criterion);
    criterion.final_summary();
}
