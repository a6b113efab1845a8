//! What holds for both codecs, and what was added to bincode.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::de::{DeserializeOwned, Deserializer};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

use super::error::Problem;
use super::value::{canonical, display};
use super::*;

fn to_bytes<T: Serialize + ?Sized>(codec: Codec, value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(codec, value, &mut bytes).unwrap();
    bytes
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    flags: (bool, Option<bool>),
    small: i8,
    wide: u128,
    negative: i128,
    letter: char,
    text: String,
    floats: Vec<f64>,
    singles: Vec<f32>,
    bytes: Vec<u8>,
    #[serde(with = "serde_bytes")]
    blob: Vec<u8>,
    keyed: BTreeMap<i32, Vec<Option<String>>>,
    by_pair: BTreeMap<(u8, String), Shape>,
    wrapped: Wrapped,
    array: [u16; 3],
    nothing: (),
    nested: Option<Box<Everything>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Wrapped(Vec<i64>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Line(i32, i32),
    Rect { width: u32, height: Option<u32> },
    Group(Vec<Shape>),
}

fn any_shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Point),
        any::<u32>().prop_map(|number| Shape::Circle(number.into())),
        any::<(i32, i32)>().prop_map(|(a, b)| Shape::Line(a, b)),
        any::<(u32, Option<u32>)>().prop_map(|(width, height)| Shape::Rect { width, height }),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Shape::Group))
}

prop_compose! {
    fn any_everything()(
        flags in any::<(bool, Option<bool>)>(), small in any::<i8>(), wide in any::<u128>(),
        negative in any::<i128>(), letter in any::<char>(), text in any::<String>(),
        floats in prop::collection::vec(prop::num::f64::ANY.prop_filter("NaN is not equal", |f| !f.is_nan()), 0..5),
        singles in prop::collection::vec(prop::num::f32::NORMAL, 0..5),
    )(
        flags in Just(flags), small in Just(small), wide in Just(wide), negative in Just(negative),
        letter in Just(letter), text in Just(text), floats in Just(floats), singles in Just(singles),
        bytes in prop::collection::vec(any::<u8>(), 0..300), blob in prop::collection::vec(any::<u8>(), 0..300),
        keyed in prop::collection::btree_map(any::<i32>(), prop::collection::vec(any::<Option<String>>(), 0..3), 0..3),
        by_pair in prop::collection::btree_map(any::<(u8, String)>(), any_shape(), 0..4),
        wrapped in prop::collection::vec(any::<i64>(), 0..9).prop_map(Wrapped), array in any::<[u16; 3]>(),
    ) -> Everything {
        Everything {
            flags, small, wide, negative, letter, text, floats, singles, bytes, blob, keyed, by_pair, wrapped, array,
            nothing: (), nested: None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(value in any_everything(), inner in any_everything()) {
        let value = Everything { nested: Some(Box::new(inner)), ..value };
        for codec in [Codec::Bincode, Codec::Value] {
            prop_assert_eq!(&decode::<Everything>(codec, &to_bytes(codec, &value)).unwrap(), &value);
        }
    }

    #[test]
    fn garbage_is_an_error_or_a_value(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for codec in [Codec::Bincode, Codec::Value] {
            let _ = decode::<Everything>(codec, &bytes);
            let _ = decode::<Vec<Shape>>(codec, &bytes);
            let _ = decode::<Value>(codec, &bytes);
            let _ = decode::<(String, Option<Vec<u64>>)>(codec, &bytes);
        }
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_survived(value in any_everything(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for codec in [Codec::Bincode, Codec::Value] {
            let mut bytes = to_bytes(codec, &value);
            let place = place.index(bytes.len());
            prop_assert!(decode::<Everything>(codec, &bytes[..place]).is_err(), "a value that was cut off");
            bytes[place] = byte;
            let _ = decode::<Everything>(codec, &bytes);
        }
    }
}

#[test]
fn text_and_bytes_borrow_from_the_input() {
    for codec in [Codec::Bincode, Codec::Value] {
        let bytes = to_bytes(codec, &("mark", serde_bytes::Bytes::new(b"\x00\xff")));
        let (text, blob): (&str, &[u8]) = decode(codec, &bytes).unwrap();
        assert_eq!((text, blob), ("mark", &b"\x00\xff"[..]));
        assert!(bytes.as_ptr_range().contains(&text.as_ptr()));
    }
}

#[test]
fn bytes_left_over_are_an_error() {
    for codec in [Codec::Bincode, Codec::Value] {
        let mut bytes = to_bytes(codec, &(1_u8, "a"));
        bytes.push(0);
        let error = decode::<(u8, String)>(codec, &bytes).unwrap_err();
        assert_eq!(error.problem(), &Problem::TrailingBytes { left: 1 });
    }
}

#[test]
fn a_failed_encoding_leaves_the_buffer_as_it_was() {
    struct Refuses;
    impl Serialize for Refuses {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    for codec in [Codec::Bincode, Codec::Value] {
        let mut out = vec![7];
        let error = encode(codec, &("before", Refuses), &mut out).unwrap_err();
        assert_eq!(error.to_string(), "no");
        assert_eq!(out, [7]);
    }
}

#[test]
fn codecs_have_bytes() {
    for codec in [Codec::Bincode, Codec::Value] {
        assert_eq!(Codec::from_byte(codec.as_byte()), Some(codec));
    }
    assert_eq!(Codec::from_byte(2), None);
}

#[test]
fn an_error_is_one_pointer() {
    assert_eq!(size_of::<Result<(), CodecError>>(), size_of::<usize>());
}

thread_local! {
    static READ: Cell<usize> = const { Cell::new(0) };
}

/// A type of which somebody counts how many are read.
#[derive(Debug)]
struct Counted;

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        READ.set(READ.get() + 1);
        <()>::deserialize(deserializer).map(|()| Self)
    }
}

/// A number, however bincode or `codec/value` announces that many elements of a list.
fn announcing(codec: Codec, elements: u64) -> Vec<u8> {
    let mut bytes = if codec == Codec::Value { vec![0xe1] } else { Vec::new() };
    bytes.push(253);
    bytes.extend_from_slice(&elements.to_le_bytes());
    bytes
}

#[test]
fn a_hostile_length_is_refused_before_anything_is_read_or_allocated() {
    fn refuses<T: DeserializeOwned + std::fmt::Debug>(codec: Codec, bytes: &[u8]) {
        let error = decode::<T>(codec, bytes).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("announced") || text.contains("too early") || text.contains("found"), "{text}");
    }
    for codec in [Codec::Bincode, Codec::Value] {
        for elements in [1 << 20, 1 << 60, u64::MAX] {
            let bytes = announcing(codec, elements);
            READ.set(0);
            refuses::<Vec<Counted>>(codec, &bytes);
            assert_eq!(READ.get(), 0);
            refuses::<Vec<Vec<u64>>>(codec, &bytes);
            refuses::<HashMap<(), ()>>(codec, &bytes);
            refuses::<String>(codec, &bytes);
            refuses::<serde_bytes::ByteBuf>(codec, &bytes);
        }
    }
    for tag in [0xdb, 0xde, 0xdf, 0xe0, 0xe2, 0xe3, 0xe4, 0xe7] {
        let mut bytes = announcing(Codec::Value, 1 << 60);
        bytes[0] = tag;
        assert!(Value::from_bytes(&bytes).is_err());
        assert!(canonical(&bytes).is_err());
    }
}

/// Lists in lists, each of which claims all the bytes that are left: no level may make room for its claim.
#[test]
fn stacked_claims_are_not_believed() {
    #[derive(Debug, Deserialize)]
    struct Nested(#[expect(dead_code, reason = "only read")] Vec<Nested>);
    let rooms: Vec<Option<usize>> = {
        thread_local!(static ROOMS: std::cell::RefCell<Vec<Option<usize>>> = const { std::cell::RefCell::new(Vec::new()) });
        #[derive(Debug)]
        struct Watching;
        impl<'de> Deserialize<'de> for Watching {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Watcher;
                impl<'de> serde::de::Visitor<'de> for Watcher {
                    type Value = Watching;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a list")
                    }
                    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut access: A) -> Result<Watching, A::Error> {
                        ROOMS.with_borrow_mut(|rooms| rooms.push(access.size_hint()));
                        while access.next_element::<Watching>()?.is_some() {}
                        Ok(Watching)
                    }
                }
                deserializer.deserialize_seq(Watcher)
            }
        }
        let level = [0xe1, 252, 0, 0, 1, 0];
        let mut bytes = level.repeat(60);
        bytes.resize((1 << 16) + bytes.len(), 0xb8);
        decode::<Watching>(Codec::Value, &bytes).unwrap_err();
        ROOMS.take()
    };
    assert!(rooms.len() > 50);
    assert!(rooms.iter().all(|room| room.is_some_and(|room| room <= CLAIMED_ROOM)), "{rooms:?}");
    assert!(decode::<Nested>(Codec::Bincode, &[251, 255, 255].repeat(1000)).is_err());
}

#[derive(Debug, Serialize, Deserialize)]
enum Expression {
    Literal(u8),
    Negated(Box<Expression>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Chain(Option<Box<Chain>>);

#[test]
fn a_recursion_bomb_is_defused() {
    let too_deep = Problem::TooDeep { limit: MAX_DEPTH }.to_string();
    for bytes in [vec![1; 1 << 20], vec![1; 200]] {
        assert_eq!(decode::<Expression>(Codec::Bincode, &bytes).unwrap_err().to_string(), too_deep);
        assert_eq!(decode::<Chain>(Codec::Bincode, &bytes).unwrap_err().to_string(), too_deep);
    }
    let bomb = [&[0xc1, 0x87][..], b"Negated"].concat().repeat(100_000);
    assert_eq!(decode::<Expression>(Codec::Value, &bomb).unwrap_err().to_string(), too_deep);
    // Options and newtypes take no bytes in this format, so anything that is not None is an endless chain.
    assert_eq!(decode::<Chain>(Codec::Value, &[5]).unwrap_err().to_string(), too_deep);
    assert_eq!(decode::<Vec<Chain>>(Codec::Value, &[0xe5, 0, 1, 5]).unwrap_err().to_string(), too_deep);
    let lists = vec![0xb9; 1 << 20];
    assert_eq!(Value::from_bytes(&lists).unwrap_err().to_string(), too_deep);
    assert_eq!(canonical(&lists).unwrap_err().to_string(), too_deep);
    assert_eq!(decode::<serde::de::IgnoredAny>(Codec::Value, &lists).unwrap_err().to_string(), too_deep);
    assert!(display(&lists).to_string().contains("nested deeper"));
}

#[test]
fn what_is_too_deep_to_be_read_is_not_written() {
    let chain = |length: u32| (0..length).fold(Chain(None), |chain, _| Chain(Some(Box::new(chain))));
    let expression =
        |length: u32| (0..length).fold(Expression::Literal(1), |inner, _| Expression::Negated(Box::new(inner)));
    let deep = MAX_DEPTH / 2 - 1;
    decode::<Chain>(Codec::Value, &to_bytes(Codec::Value, &chain(deep))).unwrap();
    decode::<Expression>(Codec::Value, &to_bytes(Codec::Value, &expression(MAX_DEPTH - 1))).unwrap();
    for result in [
        encode(Codec::Value, &chain(1000), &mut Vec::new()),
        encode(Codec::Value, &vec![chain(1000)], &mut Vec::new()),
        encode(Codec::Value, &expression(MAX_DEPTH), &mut Vec::new()),
    ] {
        assert_eq!(result.unwrap_err().problem(), &Problem::TooDeep { limit: MAX_DEPTH });
    }
}

#[test]
fn units_need_no_bytes_but_are_no_way_to_loop() {
    let bytes = to_bytes(Codec::Bincode, &vec![(); 1000]);
    assert_eq!(decode::<Vec<()>>(Codec::Bincode, &bytes).unwrap().len(), 1000);
    // A thousand lists of as many units as one may announce: the budget is for all of them together.
    let bytes = [&[251, 232, 3][..], &[251, 0, 255].repeat(1000)].concat();
    assert!(decode::<Vec<Vec<()>>>(Codec::Bincode, &bytes).unwrap_err().to_string().contains("announced"));
}

#[test]
fn what_bincode_lacks_is_told_with_a_way_out() {
    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    #[serde(untagged)]
    enum Untagged {
        Number(u32),
        Text(String),
    }
    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    struct Flat {
        id: u32,
        #[serde(flatten)]
        rest: BTreeMap<String, Untagged>,
    }
    let value = Flat { id: 1, rest: [("a".to_owned(), Untagged::Text("x".into()))].into() };
    let error = encode(Codec::Bincode, &value, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("codec = value"), "{error}");
    let error = decode::<Untagged>(Codec::Bincode, &[1]).unwrap_err();
    assert!(error.to_string().contains("codec = value"), "{error}");
    assert_eq!(decode::<Flat>(Codec::Value, &to_bytes(Codec::Value, &value)).unwrap(), value);
}

#[test]
fn bincode_errors_are_in_words() {
    let text = |error: CodecError| error.to_string();
    assert_eq!(text(decode::<bool>(Codec::Bincode, &[9]).unwrap_err()), "expected a bool (0 or 1), found byte 9");
    assert!(text(decode::<u64>(Codec::Bincode, &[]).unwrap_err()).contains("1 too early"));
    assert!(text(decode::<String>(Codec::Bincode, &[1, 255]).unwrap_err()).contains("UTF-8"));
    assert!(text(decode::<u16>(Codec::Bincode, &[252, 0, 0, 1, 0]).unwrap_err()).contains("at most U16"));
}

#[test]
fn a_length_that_serde_was_told_wrong_is_mended() {
    struct Liar(Option<usize>, &'static [u8]);
    impl Serialize for Liar {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(self.0)?;
            for element in self.1 {
                if *element == 0 { seq.serialize_element("zero")? } else { seq.serialize_element(element)? }
            }
            seq.end()
        }
    }
    for claim in [None, Some(0), Some(2), Some(300), Some(usize::MAX)] {
        for elements in [&[][..], &[1, 2, 3], &[1, 2, 0, 4], &[0], &[7; 300]] {
            let expected: Vec<Value> = elements
                .iter()
                .map(|element| if *element == 0 { Value::from("zero") } else { Value::from(*element) })
                .collect();
            let bytes = to_bytes(Codec::Value, &("before", Liar(claim, elements), "after"));
            let read = Value::from_bytes(&bytes).unwrap();
            assert_eq!(read, Value::Tuple(vec!["before".into(), Value::List(expected), "after".into()]), "{claim:?}");
        }
    }
}
