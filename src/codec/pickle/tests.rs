//! The reader against any bytes, and the whole against CPython's own pickle.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Graph, Translation, append_value, write};
use crate::codec::{CodecError, Value, value};

#[path = "../../../tests/common/pythons.rs"]
mod pythons;

/// A pickle as a value, without proxies.
fn to_value(pickle: &[u8]) -> Result<Vec<u8>, CodecError> {
    let graph = Graph::read(pickle)?;
    let mut out = Vec::new();
    Translation::new(&graph, &mut |_| None).append(graph.root(), &mut out)?;
    Ok(out)
}

fn from_value(value: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    write::begin(&mut out);
    append_value(value, &mut out, &mut |index, _| Err(CodecError::other(format_args!("proxy {index}"))))?;
    write::end(&mut out);
    Ok(out)
}

fn shown(pickle: &[u8]) -> String {
    value::display(&to_value(pickle).unwrap()).to_string()
}

#[test]
fn what_cpython_writes_comes_back_equal_from_every_version_and_protocol() {
    for python in pythons::pythons() {
        let mut child = python
            .script("pickles.py")
            .args([python.minor.to_string(), "400".to_owned()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut checked = 0;
        loop {
            let mut length = [0; 4];
            if from.read_exact(&mut length).is_err() {
                break;
            }
            let mut pickle = vec![0; u32::from_le_bytes(length) as usize];
            if pickle.is_empty() {
                break;
            }
            from.read_exact(&mut pickle).unwrap();
            let value = to_value(&pickle);
            let answer = value.as_deref().map_err(Clone::clone).and_then(from_value);
            let answer = answer.unwrap_or_else(|error| {
                eprintln!("{}: {error}", python.program.display());
                Vec::new()
            });
            // What comes out is as plain as what went in: a second time changes nothing.
            if let Ok(value) = &value {
                assert!(to_value(&answer).unwrap() == *value, "{}", value::display(value));
            }
            to.write_all(&(answer.len() as u32).to_le_bytes()).unwrap();
            to.write_all(&answer).unwrap();
            checked += 1;
        }
        assert!(
            child.wait().unwrap().success(),
            "{} found a difference after {checked} values",
            python.program.display()
        );
        assert!(checked > 500, "{checked}");
    }
}

#[test]
fn plain_data_becomes_what_it_is() {
    assert_eq!(shown(b"\x80\x04\x95\x08\0\0\0\0\0\0\0]\x94(K\x01NG?\xf8\0\0\0\0\0\0e."), "[1, None, 1.5]");
    assert_eq!(
        shown(b"(dp0\nS'a'\np1\nI01\nsVb\\u20ac\np2\n(I1\nL12345678901234567890123L\ntp3\ns."),
        "{'a': True, 'b€': (1, 12345678901234567890123)}"
    );
    assert_eq!(shown(b"\x80\x02c__builtin__\ncomplex\nq\0G\0\0\0\0\0\0\0\0G@\x08\0\0\0\0\0\0\x86q\x01Rq\x02."), "3j");
    assert_eq!(shown(b"\x80\x02c_codecs\nencode\nX\x03\0\0\0\xc3\xbfaX\x06\0\0\0latin1\x86R."), "b'\\xffa'");
    assert_eq!(shown(b"L-340282366920938463463374607431768211456L\n."), "-340282366920938463463374607431768211456");
}

#[test]
fn equal_objects_are_equal_however_their_strings_were_shared() {
    // datetime.date(b'..') as a call, once with the name from the memo and once without.
    let head = b"\x80\x04\x8c\x01m\x94\x8c\x01C\x93)\x81";
    let shared = [&head[..], b"}(\x8c\x01k\x94\x8c\x01v\x94\x8c\x01w\x8c\x01vub."].concat();
    let recalled = [&head[..], b"}(\x8c\x01k\x94\x8c\x01v\x94\x8c\x01wh\x02ub."].concat();
    assert_eq!(to_value(&shared).unwrap(), to_value(&recalled).unwrap());
    let Value::Opaque { kind, .. } = Value::from_bytes(&to_value(&shared).unwrap()).unwrap() else { panic!() };
    assert_eq!(kind, "pickle:m.C");
}

#[test]
fn nothing_that_only_one_program_knows_is_let_in() {
    for pickle in [
        &b"P1\n."[..],
        b"\x80\x04NQ.",
        b"\x80\x02\x82\x01.",
        b"\x80\x05\x97.",
        b"\x80\x06N.",
        b"\x80\x04N",
        b"\x80\x04N.N",
        b".",
    ] {
        assert!(to_value(pickle).is_err(), "{pickle:?}");
    }
}

/// Few bytes that stand for 10^30 elements took all memory and time: the work is limited.
#[test]
fn a_pickle_that_explodes_is_an_error() {
    let mut bomb = b"\x80\x04]\x94".to_vec();
    for level in 0..30 {
        bomb.extend(b"](");
        (0..10).for_each(|_| bomb.extend([b'h', level]));
        bomb.extend(b"e\x94");
    }
    bomb.push(b'.');
    let error = to_value(&bomb).unwrap_err().to_string();
    assert!(error.contains("again and again"), "{error}");
    // So did a set made again and again of one long list.
    let mut sets = b"\x80\x04c__builtin__\nset\n\x940]\x94(".to_vec();
    sets.extend(b"N".repeat(20_000));
    sets.extend(b"e0(");
    (0..20_000).for_each(|_| sets.extend(b"h\0h\x01\x85R"));
    sets.extend(b"l.");
    let begin = Instant::now();
    let _ = Graph::read(&sets);
    // All four hundred million comparisons take many minutes.
    assert!(begin.elapsed() < Duration::from_secs(120));
}

#[test]
fn ten_thousand_levels_need_no_stack() {
    let mut deep = b"\x80\x04".to_vec();
    deep.extend(b"]".repeat(10_000));
    deep.extend(b"a".repeat(9_999));
    deep.push(b'.');
    let value = to_value(&deep).unwrap();
    assert_eq!(to_value(&from_value(&value).unwrap()).unwrap(), value);
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut pickle = b"\x80\x04".to_vec();
        pickle.extend(&bytes);
        pickle.push(b'.');
        survives(&pickle);
    }

    #[test]
    fn values_go_through_pickle_unchanged(value in values()) {
        let bytes = value.to_bytes().unwrap();
        let pickled = from_value(&bytes).unwrap();
        prop_assert_eq!(Value::from_bytes(&to_value(&pickled).unwrap()).unwrap(), value);
    }

    #[test]
    fn damaged_pickles_end_in_a_value_or_an_error(value in values(), place in any::<prop::sample::Index>(), byte: u8, cut: bool) {
        let mut pickle = from_value(&value.to_bytes().unwrap()).unwrap();
        let place = place.index(pickle.len());
        if cut { pickle.truncate(place) } else { pickle[place] = byte }
        survives(&pickle);
    }
}

/// Reads a pickle, and if it is one, goes on with what it stands for.
fn survives(pickle: &[u8]) {
    if let Ok(value) = to_value(pickle) {
        Value::from_bytes(&value).unwrap();
        let again = to_value(&from_value(&value).unwrap()).unwrap();
        assert_eq!(value::canonical(&again).unwrap(), value::canonical(&value).unwrap());
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Int),
        any::<i16>().prop_map(|value| Value::Int(value.into())),
        any::<f64>().prop_map(Value::Float),
        (any::<f64>(), any::<f64>()).prop_map(|(real, imaginary)| Value::Complex(real, imaginary)),
        ".{0,60}".prop_map(Value::Str),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 60, 8, |inner| {
        let some = || prop::collection::vec(inner.clone(), 0..8);
        prop_oneof![
            some().prop_map(Value::Tuple),
            some().prop_map(Value::List),
            some().prop_map(Value::Set),
            some().prop_map(Value::FrozenSet),
            prop::collection::vec((inner.clone(), inner.clone()), 0..8).prop_map(Value::Map),
        ]
    })
}

/// For `ci/fuzz`: pickles that CPython made, damaged at random for as many seconds as `FUZZ_SECONDS` says.
#[test]
#[ignore = "runs for as long as it is told; see ci/fuzz"]
fn fuzz() {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let seed = std::env::var("FUZZ_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()));
    println!("FUZZ_SEED={seed}");
    let corpus = corpus();
    assert!(corpus.len() > 100, "no Python to make a corpus");
    let mut random = seed | 1;
    let mut next = |below: usize| {
        // xorshift64*
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        (random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below.max(1)
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut runs = 0_u64;
    while Instant::now() < end {
        let mut pickle = corpus[next(corpus.len())].clone();
        for _ in 0..=next(6) {
            let place = next(pickle.len());
            match next(6) {
                0 => pickle[place] = next(256) as u8,
                1 => pickle[place] ^= 1 << next(8),
                2 => pickle.insert(place, next(256) as u8),
                3 => drop(pickle.remove(place)),
                4 => {
                    let other = &corpus[next(corpus.len())];
                    let start = next(other.len());
                    let piece: Vec<u8> = other[start..].iter().take(next(20)).copied().collect();
                    pickle.splice(place..place, piece);
                }
                _ => {
                    let length = next(20).min(pickle.len() - place);
                    let piece = pickle[place..place + length].to_vec();
                    pickle.splice(place..place, piece);
                }
            }
            if pickle.is_empty() {
                pickle.push(b'.');
            }
        }
        survives(&pickle);
        runs += 1;
    }
    println!("{runs} pickles in {seconds} s");
}

/// Pickles that a Python made.
fn corpus() -> Vec<Vec<u8>> {
    let Some(python) = pythons::pythons().last() else { return Vec::new() };
    let mut child =
        python.script("pickles.py").args(["1", "200"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut corpus = Vec::new();
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length).unwrap();
        let mut pickle = vec![0; u32::from_le_bytes(length) as usize];
        if pickle.is_empty() {
            break;
        }
        from.read_exact(&mut pickle).unwrap();
        to.write_all(&length).unwrap();
        to.write_all(&pickle).unwrap();
        corpus.push(pickle);
    }
    assert!(child.wait().unwrap().success());
    corpus
}
