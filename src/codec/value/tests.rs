//! What the format looks like, what it reads, and what its values are equal to.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::ser::SerializeTuple;
use serde::{Deserialize, Serialize, Serializer};

use super::*;
use crate::codec::error::Problem;
use crate::codec::{Codec, PROXY, decode as decode_with};

fn bytes_of<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes).unwrap();
    bytes
}

/// Any value at all, also in forms that our own writer does not make of Rust's types.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        (-200_i64..200).prop_map(Value::from),
        any::<i128>().prop_map(Value::Int),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::BigInt),
        any::<f64>().prop_map(Value::Float),
        any::<i32>().prop_map(|number| Value::Float(number.into())),
        any::<(f64, f64)>().prop_map(|(real, imaginary)| Value::Complex(real, imaginary)),
        any::<String>().prop_map(Value::Str),
        prop::collection::vec(any::<u8>(), 0..60).prop_map(Value::Bytes),
        any::<u32>().prop_map(Value::Proxy),
        any::<(String, Vec<u8>)>().prop_map(|(kind, contents)| Value::Opaque { kind, contents }),
    ];
    leaf.prop_recursive(4, 64, 20, |inner| {
        let some = || prop::collection::vec(inner.clone(), 0..20);
        prop_oneof![
            some().prop_map(Value::Tuple),
            some().prop_map(Value::List),
            some().prop_map(Value::Set),
            some().prop_map(Value::FrozenSet),
            prop::collection::vec((inner.clone(), inner.clone()), 0..20).prop_map(Value::Map),
        ]
    })
}

/// A value as it may be written with equal meaning: entries in another order, numbers in another type.
fn disguised(value: &Value) -> Value {
    let turned = |elements: &[Value]| elements.iter().rev().map(disguised).collect();
    match value {
        Value::Bool(value) => Value::Float(u8::from(*value).into()),
        Value::Int(value @ -0x1f_ffff..0x20_0000) => Value::Complex(*value as f64, -0.0),
        Value::Float(value) if value.fract() == 0.0 && value.abs() < 1e18 => Value::Int(*value as i128),
        Value::Tuple(elements) => Value::Tuple(elements.iter().map(disguised).collect()),
        Value::List(elements) => Value::List(elements.iter().map(disguised).collect()),
        Value::Set(elements) => Value::FrozenSet(turned(elements)),
        Value::FrozenSet(elements) => Value::Set(turned(elements)),
        Value::Map(entries) => {
            let mut unique: Vec<&(Value, Value)> = Vec::new();
            for entry in entries.iter().rev() {
                if unique.iter().all(|other| other.0 != entry.0) {
                    unique.push(entry);
                }
            }
            Value::Map(unique.into_iter().map(|(key, value)| (disguised(key), disguised(value))).collect())
        }
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn values_come_back_as_they_were(value in any_value()) {
        let bytes = value.to_bytes().unwrap();
        let read = Value::from_bytes(&bytes).unwrap();
        prop_assert_eq!(read.to_bytes().unwrap(), &bytes[..], "to the bit");
        prop_assert_eq!(&read, &value);
        prop_assert_eq!(&decode::<Value>(&bytes).unwrap(), &value);
        prop_assert_eq!(bytes_of(&value), &bytes[..]);
        let mut out = Vec::new();
        crate::codec::encode(Codec::Bincode, &(1, &value), &mut out).unwrap();
        prop_assert_eq!(decode_with::<(i32, Value)>(Codec::Bincode, &out).unwrap().1, value);
    }

    #[test]
    fn canonical_bytes_are_canonical_and_a_value(value in any_value()) {
        let once = canonical(&value.to_bytes().unwrap()).unwrap();
        prop_assert_eq!(&canonical(&once).unwrap(), &once);
        prop_assert_eq!(&Value::from_bytes(&once).unwrap(), &value);
    }

    #[test]
    fn equal_values_have_equal_canonical_bytes(value in any_value()) {
        prop_assert_eq!(&disguised(&value), &value);
    }

    #[test]
    fn damaged_bytes_are_printed_and_refused(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0xb0..0xe8_u8], 0..64)) {
        let is_value = Value::from_bytes(&bytes).is_ok();
        prop_assert_eq!(canonical(&bytes).is_ok(), is_value);
        prop_assert_eq!(!display(&bytes).to_string().contains("<unreadable: "), is_value);
        prop_assert_eq!(decode::<serde::de::IgnoredAny>(&bytes).is_ok(), is_value);
        let _ = decode_arguments::<(Value, u8)>(&bytes, &["a", "b"]);
    }

    #[test]
    fn packed_lists_are_plain_lists(numbers in prop::collection::vec(any::<i16>(), 0..400)) {
        let packed = bytes_of(&numbers);
        let plain = Value::List(numbers.iter().copied().map(Value::from).collect()).to_bytes().unwrap();
        prop_assert_eq!(canonical(&packed).unwrap(), canonical(&plain).unwrap());
        prop_assert_eq!(decode::<Vec<i16>>(&packed).unwrap(), &numbers[..]);
        prop_assert_eq!(decode::<Vec<i16>>(&plain).unwrap(), &numbers[..]);
        prop_assert_eq!(decode::<Vec<Option<i64>>>(&packed).unwrap().len(), numbers.len());
    }

    #[test]
    fn every_bit_of_a_float_travels(single in any::<u32>(), double in any::<u64>()) {
        let (single, double) = (f32::from_bits(single), f64::from_bits(double));
        prop_assert_eq!(decode::<f32>(&bytes_of(&single)).unwrap().to_bits(), single.to_bits());
        prop_assert_eq!(decode::<Vec<f32>>(&bytes_of(&[single][..])).unwrap()[0].to_bits(), single.to_bits());
        prop_assert_eq!(decode::<f64>(&bytes_of(&double)).unwrap().to_bits(), double.to_bits());
    }
}

#[test]
fn small_things_are_small() {
    assert_eq!(bytes_of(&5_u64), [5]);
    assert_eq!(bytes_of(&-1_i64), [0xff]);
    assert_eq!(bytes_of(&-17_i128).len(), 2);
    assert_eq!(bytes_of(&(7_u64,)), [0xb1, 7]);
    assert_eq!(bytes_of("mark"), [&[0x84], &b"mark"[..]].concat());
    assert_eq!(bytes_of(&Some(1)), [1]);
    assert_eq!(bytes_of(&()), NONE);
    assert_eq!(bytes_of(&u64::MAX).len(), 9);
    assert_eq!(bytes_of(&u128::from(u64::MAX)).len(), 9);
    assert_eq!(bytes_of(&(u128::from(u64::MAX) + 1)).len(), 11);
    assert_eq!(bytes_of(&u128::MAX).len(), 19);
    assert_eq!(bytes_of(&vec![1_u8; 1000]).len(), 1005);
    assert_eq!(size_of::<Value>(), 48);
}

#[test]
fn rust_types_appear_as_python_knows_them() {
    #[derive(Serialize)]
    enum Event {
        Quit,
        Key(char),
        Click(i32, i32),
        Resize { width: u16 },
    }
    #[derive(Serialize)]
    struct Person<'a> {
        name: &'a str,
        tags: Vec<&'a str>,
        events: [Event; 4],
    }
    let events = [Event::Quit, Event::Key('x'), Event::Click(1, -1), Event::Resize { width: 80 }];
    let person = Person { name: "mark", tags: vec!["a'b"], events };
    assert_eq!(
        display(&bytes_of(&person)).to_string(),
        "{'name': 'mark', 'tags': [\"a'b\"], 'events': ('Quit', {'Key': 'x'}, {'Click': (1, -1)}, {'Resize': {'width': 80}})}"
    );
}

#[test]
fn everything_prints_as_in_python() {
    let printed = [
        (Value::List(vec![1.into(), "a".into(), Value::None]), "[1, 'a', None]"),
        (Value::Map(vec![("k".into(), 1.5.into())]), "{'k': 1.5}"),
        (Value::Tuple(vec![]), "()"),
        (Value::Tuple(vec![true.into()]), "(True,)"),
        (Value::Set(vec![]), "set()"),
        (Value::Set(vec![1.into(), 2.into()]), "{1, 2}"),
        (Value::FrozenSet(vec![]), "frozenset()"),
        (Value::FrozenSet(vec![1.into()]), "frozenset({1})"),
        (Value::Bytes(b"a'\n\x00\xff".to_vec()), r#"b"a'\n\x00\xff""#),
        (Value::Str("it's \"so\"\t帅哥\u{200b}\u{7f}".into()), r#"'it\'s "so"\t帅哥\u200b\x7f'"#),
        (Value::Complex(1.0, -2.5), "(1-2.5j)"),
        (Value::Complex(0.0, 3.0), "3j"),
        (Value::Complex(-0.0, 0.0), "(-0+0j)"),
        (Value::Complex(1e300, f64::NAN), "(1e+300+nanj)"),
        (Value::Float(1e16), "1e+16"),
        (Value::Float(-1.25e-7), "-1.25e-07"),
        (Value::Float(123_456_789_012_345.6), "123456789012345.6"),
        (Value::Float(0.0001), "0.0001"),
        (Value::Float(-0.0), "-0.0"),
        (Value::Float(f64::NEG_INFINITY), "-inf"),
        (Value::Float(f64::NAN), "nan"),
        (Value::Proxy(3), "<proxy 3>"),
        (Value::Opaque { kind: "datetime.date".into(), contents: vec![1] }, "<datetime.date object>"),
        (Value::Int(i128::MIN), "-170141183460469231731687303715884105728"),
    ];
    for (value, text) in printed {
        assert_eq!(value.to_string(), text);
    }
    assert_eq!(display(&bytes_of(&vec![1.0_f32, -0.5])).to_string(), "[1.0, -0.5]");
    assert_eq!(
        display(&[0xb2, 1, 0xd3]).to_string(),
        "(1, <unreadable: the bytes end 1 too early: they are cut off, or were written as another type>"
    );
}

#[test]
fn equality_is_pythons() {
    let one = [Value::from(true), 1.into(), 1.0.into(), Value::Complex(1.0, 0.0), Value::BigInt(vec![1, 0, 0])];
    assert!(one.iter().all(|value| *value == one[0]));
    let power = |exponent: usize| {
        let mut bytes = vec![0; exponent / 8 + 1];
        bytes[exponent / 8] = 1 << (exponent % 8);
        bytes.push(0);
        Value::BigInt(bytes)
    };
    assert_eq!(power(100), Value::Float(2_f64.powi(100)));
    assert_eq!(power(64), Value::Float(2_f64.powi(64)));
    assert_eq!(Value::Int(-(1 << 63)), Value::Float(-(2_f64.powi(63))));
    assert_ne!(Value::from(u64::MAX), Value::Float(2_f64.powi(64)));
    assert_ne!(Value::from(i64::MAX), Value::Float(2_f64.powi(63)));
    assert_ne!(power(2000), Value::Float(f64::INFINITY));
    assert_eq!(Value::from(0.0), Value::from(-0.0));
    assert_eq!(Value::from(f64::NAN), Value::from(-f64::NAN));
    assert_ne!(Value::List(vec![]), Value::Tuple(vec![]));
    assert_ne!(Value::from("a"), Value::Bytes(b"a".to_vec()));
    assert_ne!(Value::from(0.5), Value::from(0));
    assert_ne!(Value::Set(vec![]), Value::Map(vec![]));
    let twice = Value::Map(vec![(1.into(), "a".into()), (true.into(), "b".into())]);
    assert_eq!(twice, Value::Map(vec![(1.0.into(), "b".into())]), "of equal keys the last one counts");
    assert_ne!(twice, Value::Map(vec![(1.0.into(), "a".into())]));
    assert_eq!(Value::Set(vec![2.into(), 1.into(), 2.into()]), Value::FrozenSet(vec![1.into(), 2.into()]));
}

#[test]
fn numbers_that_do_not_fit_are_named_with_what_they_do_not_fit() {
    fn refused<T: DeserializeOwned>(value: impl Serialize) -> String {
        decode::<T>(&bytes_of(&value)).err().unwrap().to_string()
    }
    assert_eq!(refused::<u8>(300), "expected u8, found integer `300`");
    assert_eq!(refused::<u32>(-1), "expected u32, found integer `-1`");
    assert!(refused::<u64>(u128::MAX).contains("u64"));
    assert!(refused::<i64>(i128::MIN).contains(&i128::MIN.to_string()));
    assert!(refused::<u64>(Value::BigInt(vec![1; 40])).contains("an int of 40 bytes"));
    assert_eq!(refused::<u8>(1.5), "expected u8, found floating point `1.5`");
    assert_eq!(refused::<u8>("1"), "expected u8, found str \"1\"");
    assert_eq!(refused::<bool>(1), "expected a boolean, found int 1");
    assert_eq!(refused::<String>(serde_bytes::Bytes::new(b"a")), "expected a string, found 1 bytes");
    assert_eq!(refused::<(u8, u8)>((1, 2, 3)), "expected a tuple of 2, found a tuple of 3");
    assert_eq!(decode::<f64>(&bytes_of(&5)).unwrap(), 5.0, "an int is a float where one is wanted");
    assert_eq!(decode::<u128>(&bytes_of(&u128::MAX)).unwrap(), u128::MAX);
}

#[test]
fn a_list_that_stops_being_of_one_type_is_written_plainly() {
    struct Mixed;
    impl Serialize for Mixed {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeSeq;
            let mut seq = serializer.serialize_seq(Some(5))?;
            seq.serialize_element(&1_u8)?;
            seq.serialize_element(&Some(200_u8))?;
            seq.serialize_element(&-70_000_i32)?;
            seq.serialize_element(&[1_u16][..])?;
            seq.serialize_element("end")?;
            seq.end()
        }
    }
    assert_eq!(Value::of(&Mixed).unwrap().to_string(), "[1, 200, -70000, [1], 'end']");
    assert_eq!(Value::of(&[Some(1.5_f32), None][..]).unwrap().to_string(), "[1.5, None]");
    assert_eq!(Value::of(&[vec![1_u8], vec![]][..]).unwrap().to_string(), "[[1], []]");
}

#[test]
fn bytes_and_numbers_read_as_each_other() {
    let packed = bytes_of(&vec![1_u8, 2, 255]);
    let bytes = bytes_of(serde_bytes::Bytes::new(&[1, 2, 255]));
    let plain = Value::List(vec![1.into(), 2.into(), 255.into()]).to_bytes().unwrap();
    for form in [&packed, &bytes, &plain] {
        assert_eq!(decode::<Vec<u8>>(form).unwrap(), [1, 2, 255]);
        assert_eq!(decode::<serde_bytes::ByteBuf>(form).unwrap(), [1, 2, 255]);
        assert_eq!(decode::<[u64; 3]>(form).unwrap(), [1, 2, 255]);
    }
    assert_eq!(decode::<&[u8]>(&packed).unwrap(), [1, 2, 255]);
    assert_ne!(canonical(&packed).unwrap(), canonical(&bytes).unwrap(), "though bytes are no list");
}

#[test]
fn structs_read_maps_in_any_order_and_tuples() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        x: i32,
        y: Option<i32>,
        #[serde(default)]
        z: i32,
    }
    let map = BTreeMap::from([("y", 2), ("x", 1), ("unknown", 5)]);
    assert_eq!(decode::<Point>(&bytes_of(&map)).unwrap(), Point { x: 1, y: Some(2), z: 0 });
    assert_eq!(decode::<Point>(&bytes_of(&(1, 2, 3))).unwrap(), Point { x: 1, y: Some(2), z: 3 });
    assert_eq!(decode::<Point>(&bytes_of(&BTreeMap::from([("x", 1)]))).unwrap(), Point { x: 1, y: None, z: 0 });
    assert_eq!(decode::<Point>(&bytes_of(&BTreeMap::from([("y", 1)]))).unwrap_err().to_string(), "missing field `x`");
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename = "$multiproc::Proxy")]
struct Proxy(u32);

#[test]
fn a_proxy_has_a_tag_of_its_own() {
    assert_eq!(PROXY, "$multiproc::Proxy");
    let bytes = bytes_of(&vec![Proxy(0), Proxy(70_000)]);
    assert_eq!(display(&bytes).to_string(), "[<proxy 0>, <proxy 70000>]");
    assert_eq!(decode::<Vec<Proxy>>(&bytes).unwrap(), [Proxy(0), Proxy(70_000)]);
    assert_eq!(Value::from_bytes(&bytes).unwrap(), Value::List(vec![Value::Proxy(0), Value::Proxy(70_000)]));
    assert_eq!(decode::<Proxy>(&[5]).unwrap_err().to_string(), "expected a proxy, found int 5");
    assert!(decode::<u32>(&bytes_of(&Proxy(1))).is_err());
    #[derive(Serialize)]
    #[serde(rename = "$multiproc::Proxy")]
    struct Wrong(&'static str);
    assert!(encode(&Wrong("1"), &mut Vec::new()).is_err());
}

#[test]
fn values_travel_in_formats_for_people() {
    let text = r#"{"a":[1,-2,3.5,null,true,"x"],"b":{"c":[]}}"#;
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(value.to_string(), "{'a': [1, -2, 3.5, None, True, 'x'], 'b': {'c': []}}");
    assert_eq!(serde_json::to_string(&value).unwrap(), text);
    assert_eq!(
        serde_json::to_string(&Value::BigInt([&[0; 16][..], &[1]].concat())).unwrap(),
        format!("\"{}", u128::MAX).replace("455", "456") + "\""
    );
    let opaque = Value::Opaque { kind: "decimal.Decimal".into(), contents: vec![] };
    assert!(serde_json::to_string(&opaque).unwrap_err().to_string().contains("decimal.Decimal"));
}

#[test]
fn values_and_types_turn_into_each_other() {
    let value = Value::of(&(1, "a", [2.5])).unwrap();
    assert_eq!(value.to::<(u8, String, Vec<f32>)>().unwrap(), (1, "a".to_owned(), vec![2.5]));
    assert_eq!(Value::from(Some("x")), Value::from("x"));
    assert_eq!(Value::from(None::<u8>), Value::from(()));
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Proxy(Proxy),
        Any(Value),
    }
    for either in [Either::Number(1), Either::Proxy(Proxy(2)), Either::Any("x".into())] {
        assert_eq!(decode::<Either>(&bytes_of(&either)).unwrap(), either);
    }
}

#[test]
fn a_value_inside_another_keeps_the_depth_limit() {
    let deep = |levels: usize| (1..levels).fold(Value::List(vec![]), |inner, _| Value::List(vec![inner]));
    assert!(bytes_of(&deep(127)).len() == 127);
    assert!(encode(&(deep(127),), &mut Vec::new()).is_err());
    assert!(deep(200).to_bytes().is_err());
    assert!(deep(200).to_string().contains("unprintable"));
}

#[test]
fn foreign_writers_may_be_wasteful_but_not_wrong() {
    // The ints 5 and -5 in every width.
    for bytes in
        [&[0xd3, 5][..], &[0xd8, 5, 0], &[0xda, 5, 0, 0, 0, 0, 0, 0, 0], &[0xdb, 3, 5, 0, 0], &[0xdb, 251, 1, 0, 5]]
    {
        assert_eq!(decode::<u8>(bytes).unwrap(), 5);
        assert_eq!(canonical(bytes).unwrap(), [5]);
    }
    assert_eq!(decode::<i8>(&[0xdb, 2, 0xfb, 0xff]).unwrap(), -5);
    assert_eq!(decode::<u8>(&[0xe8]).unwrap_err().problem(), &Problem::UnknownTag { tag: 0xe8 });
    assert!(decode::<u8>(&[0xe5, 99, 0]).is_err());
    assert!(Value::from_bytes(&[0xe6, 253, 0, 0, 0, 0, 1, 0, 0, 0]).is_err());
}

mod arguments {
    use super::*;

    fn encoded<A: Serialize, K: Serialize>(positional: A, keywords: K) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_arguments(&positional, &keywords, &mut bytes).unwrap();
        bytes
    }

    fn error<A: DeserializeOwned>(bytes: &[u8], params: &[&str]) -> String {
        decode_arguments::<A>(bytes, params).err().unwrap().to_string()
    }

    #[test]
    fn come_by_place_then_by_name() {
        let params = ["name", "age", "tags"];
        type Target = (String, u8, Vec<String>);
        let expected: Target = ("mark".into(), 5, vec!["a".into()]);
        for bytes in [
            encoded(("mark", 5, ["a"]), ()),
            encoded(("mark",), BTreeMap::from([("tags", Value::of(&["a"]).unwrap()), ("age", 5.into())])),
            encoded(
                (),
                Value::Map(vec![
                    ("age".into(), 5.into()),
                    ("tags".into(), Value::of(&["a"]).unwrap()),
                    ("name".into(), "mark".into()),
                ]),
            ),
        ] {
            assert_eq!(decode_arguments::<Target>(&bytes, &params).unwrap(), expected);
        }
        assert_eq!(decode_arguments::<(u8, u8)>(&encoded(vec![1_u8, 2], ()), &["a", "b"]).unwrap(), (1, 2));
        let bytes = encoded(("mark",), ());
        let (name,): (&str,) = decode_arguments(&bytes, &["name"]).unwrap();
        assert_eq!(name, "mark");
        for bytes in [encoded((), ()), encoded(Vec::<u8>::new(), BTreeMap::<u8, u8>::new())] {
            decode_arguments::<()>(&bytes, &[]).unwrap();
        }
        let mut positional = Vec::new();
        encode_positional(&("mark",), &mut positional).unwrap();
        assert_eq!(positional, bytes);
    }

    #[test]
    fn that_do_not_fit_are_told_as_python_tells_them() {
        let params = ["name", "age"];
        type Target = (String, u8);
        assert_eq!(
            error::<Target>(&encoded(("a", 1, 2), ()), &params),
            "takes 2 arguments (name, age), but 3 were given"
        );
        assert_eq!(error::<()>(&encoded((1,), ()), &[]), "takes 0 arguments (none), but 1 were given");
        assert_eq!(error::<Target>(&encoded(("a",), ()), &params), "argument `age` is missing");
        assert_eq!(error::<Target>(&encoded((), BTreeMap::from([("age", 1)])), &params), "argument `name` is missing");
        assert_eq!(
            error::<Target>(&encoded(("a", 1), BTreeMap::from([("ago", 1)])), &params),
            "unexpected keyword `ago`; the parameters are name, age"
        );
        assert_eq!(
            error::<Target>(&encoded(("a", 1), BTreeMap::from([("age", 1)])), &params),
            "argument `age` is given twice"
        );
        let twice = Value::Map(vec![("age".into(), 1.into()), ("age".into(), 2.into())]);
        assert_eq!(error::<Target>(&encoded(("a",), twice), &params), "argument `age` is given twice");
        assert_eq!(error::<Target>(&encoded(("a", "b"), ()), &params), "argument `age`: expected u8, found str \"b\"");
        assert_eq!(
            error::<Target>(&encoded((1,), BTreeMap::from([("age", 1)])), &params),
            "argument `name`: expected a string, found int 1"
        );
        assert!(error::<Target>(&encoded((), BTreeMap::from([(1, 1)])), &params).contains("a keyword"));
        let mut bytes = encoded(("a", 1), ());
        bytes.push(0);
        assert!(error::<Target>(&bytes, &params).contains("left over"));
    }

    #[test]
    fn must_be_arguments() {
        let mut out = vec![1];
        assert!(encode_arguments("text", &(), &mut out).is_err());
        assert!(encode_arguments(&(), &[1], &mut out).is_err());
        assert_eq!(out, [1]);
    }

    #[test]
    fn of_a_method_with_miscounted_parameters_are_refused() {
        assert!(error::<(u8, u8)>(&encoded((1,), ()), &["a"]).contains("1 parameter names"));
        assert!(error::<()>(&encoded((1,), ()), &["a"]).contains("1 parameter names"));
    }
}

/// A tuple whose length serde was told wrong must not shift what comes after it.
#[test]
fn a_tuple_of_a_wrong_length_is_mended() {
    struct Liar;
    impl Serialize for Liar {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut tuple = serializer.serialize_tuple(100)?;
            tuple.serialize_element(&1)?;
            tuple.end()
        }
    }
    assert_eq!(Value::of(&(Liar, 2)).unwrap().to_string(), "((1,), 2)");
}
