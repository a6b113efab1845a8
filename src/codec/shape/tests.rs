//! Which types are told apart, and which are not.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::*;
use crate::codec::{PROXY, Value};

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape is of interest")]
struct Point {
    x: i32,
    y: i32,
}

mod elsewhere {
    use super::*;

    /// The same under another name, with other types inside that are alike.
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is of interest")]
    pub(super) struct Place {
        pub(super) x: Number,
        pub(super) y: i32,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is of interest")]
    pub(super) struct Number(i32);
}

macro_rules! types {
    ($($item:item)*) => {$(
        #[derive(Deserialize)]
        #[allow(dead_code, reason = "only its shape is of interest")]
        $item
    )*};
}

#[test]
fn names_of_types_do_not_count_but_their_parts_do() {
    types! {
        struct Swapped { y: i32, x: i32 }
        struct Wider { x: i32, y: i64 }
        struct More { x: i32, y: i32, z: i32 }
    }
    assert_eq!(shape::<Point>(), shape::<elsewhere::Place>());
    let others = [shape::<Point>(), shape::<Swapped>(), shape::<Wider>(), shape::<More>(), shape::<(i32, i32)>()];
    assert_eq!(HashSet::from(others).len(), others.len());
}

#[test]
fn every_kind_of_value_has_its_shape() {
    let kinds = [
        shape::<bool>(),
        shape::<u8>(),
        shape::<u16>(),
        shape::<u32>(),
        shape::<u64>(),
        shape::<u128>(),
        shape::<i8>(),
        shape::<i16>(),
        shape::<i32>(),
        shape::<i64>(),
        shape::<i128>(),
        shape::<f32>(),
        shape::<f64>(),
        shape::<char>(),
        shape::<String>(),
        shape::<serde_bytes::ByteBuf>(),
        shape::<()>(),
        shape::<Option<u8>>(),
        shape::<Option<Option<u8>>>(),
        shape::<Vec<u16>>(),
        shape::<Vec<Vec<u16>>>(),
        shape::<(u16,)>(),
        shape::<[u16; 2]>(),
        shape::<[u16; 3]>(),
        shape::<HashMap<u8, u16>>(),
        shape::<HashMap<u16, u8>>(),
        shape::<Result<u8, u16>>(),
        shape::<Result<u16, u8>>(),
        shape::<Value>(),
    ];
    assert_eq!(HashSet::from(kinds).len(), kinds.len());
}

#[test]
fn what_bincode_reads_alike_has_one_shape() {
    assert_eq!(shape::<Vec<u8>>(), shape::<serde_bytes::ByteBuf>());
    assert_eq!(shape::<String>(), shape::<Box<str>>());
    assert_eq!(shape::<Vec<u32>>(), shape::<HashSet<u32>>());
    assert_eq!(shape::<BTreeMap<u8, String>>(), shape::<HashMap<u8, PathBuf>>());
    assert_eq!(shape::<usize>(), shape::<u64>());
    assert_eq!(shape::<Box<(u8, u8)>>(), shape::<[u8; 2]>());
}

#[test]
fn generic_types_of_one_name_are_told_apart() {
    assert_ne!(shape::<(Option<u8>, Option<u16>)>(), shape::<(Option<u8>, Option<u8>)>());
    assert_ne!(shape::<Vec<Result<Result<u8, ()>, u8>>>(), shape::<Vec<Result<Result<u16, ()>, u8>>>());
    types! { enum Maybe<T> { Some(T), None } }
    assert_ne!(shape::<(Maybe<u8>, Maybe<u16>)>(), shape::<(Maybe<u8>, Maybe<u8>)>());
}

#[test]
fn all_variants_count_wherever_they_hide() {
    types! {
        enum Inner { A, B(u8), C { field: u16 } }
        enum InnerOther { A, B(u8), C { field: u32 } }
        enum InnerFewer { A, B(u8) }
        enum InnerRenamed { A, Bee(u8), C { field: u16 } }
        enum Outer<I> { First, Second(Vec<Option<I>>), Third(HashMap<String, (u8, I)>), Last(u8) }
        struct Deep<I> { before: Vec<I>, outer: Outer<I>, after: u32 }
    }
    let shapes = [
        shape::<Deep<Inner>>(),
        shape::<Deep<InnerOther>>(),
        shape::<Deep<InnerFewer>>(),
        shape::<Deep<InnerRenamed>>(),
    ];
    assert_eq!(HashSet::from(shapes).len(), shapes.len());
}

#[test]
fn recursive_types_end_and_are_seen_whole() {
    types! {
        struct Node { next: Option<Box<Node>>, value: u32 }
        struct Knot { next: Option<Box<Knot>>, value: u32 }
        struct Wide { next: Option<Box<Wide>>, value: u64 }
        enum List { Cons(u32, Box<List>), Nil }
        enum Expression { Negated(Box<Expression>), Sum(Box<Expression>, Box<Expression>), Call(Call), Literal(u8) }
        struct Call { name: String, args: Vec<Expression>, named: BTreeMap<String, Expression>, kind: Kind }
        enum Kind { Plain, Method(Box<Expression>), Special(u64) }
        enum Expression2 {
            Negated(Box<Expression2>),
            Sum(Box<Expression2>, Box<Expression2>),
            Call(Call2),
            Literal(u8),
        }
        struct Call2 { name: String, args: Vec<Expression2>, named: BTreeMap<String, Expression2>, kind: Kind2 }
        enum Kind2 { Plain, Method(Box<Expression2>), Special(u32) }
    }
    assert_eq!(shape::<Node>(), shape::<Knot>());
    assert_ne!(shape::<Node>(), shape::<Wide>());
    assert_ne!(shape::<List>(), shape::<Expression>());
    assert_eq!(shape::<Option<Box<Node>>>(), shape::<Option<Knot>>());
    assert_ne!(shape::<Expression>(), shape::<Expression2>(), "a difference at the far end of a cycle");
}

/// Every variant before the last leads back twice: whoever tried them one after the other would never come to an end.
#[test]
fn a_large_grammar_is_traced_in_no_time() {
    macro_rules! grammar {
        ($leaf:ty, $($variant:ident)*) => {
            types! {
                enum Grammar { $($variant(Box<Grammar>, Option<Box<Grammar>>, Box<Grammar>, Vec<Rule>),)* Leaf($leaf) }
                enum Rule { $($variant { left: Box<Grammar>, right: Box<Rule> },)* Leaf(Vec<Grammar>) }
            }
        };
    }
    fn narrow() -> Shape {
        grammar!(u8, A B C D E F G H I J K L M N O P Q R S T U V W X Y Z);
        shape::<Rule>()
    }
    fn wide() -> Shape {
        grammar!(u16, A B C D E F G H I J K L M N O P Q R S T U V W X Y Z);
        shape::<Rule>()
    }
    assert_ne!(narrow(), wide());
}

#[test]
fn a_type_unrolled_once_is_the_same_type() {
    types! {
        struct Rolled { next: Option<Box<Rolled>> }
        struct Unrolled { next: Option<Box<Other>> }
        struct Other { next: Option<Box<Unrolled>> }
    }
    assert_eq!(shape::<Rolled>(), shape::<Unrolled>());
}

#[test]
fn types_that_check_what_they_get_are_seen_whole_where_an_offer_suits_them() {
    fn sixteen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
        let bytes: serde_bytes::ByteBuf = Deserialize::deserialize(deserializer)?;
        <[u8; 16]>::try_from(&bytes[..]).map_err(serde::de::Error::custom)
    }
    types! {
        struct Checked<T> {
            number: NonZeroU8,
            address: IpAddr,
            letter: char,
            time: Duration,
            after: T,
        }
    }
    assert_ne!(shape::<Checked<u32>>(), shape::<Checked<u64>>());
    // What a type's own code refuses after its visitor was content can't be mended, but is still something.
    types! {
        struct Id<T> { #[serde(deserialize_with = "sixteen")] id: [u8; 16], after: T }
        struct Before<T> { before: T, #[serde(deserialize_with = "sixteen")] id: [u8; 16] }
    }
    assert_eq!(shape::<Id<u32>>(), shape::<Id<u32>>());
    assert_ne!(shape::<Before<u32>>(), shape::<Before<u64>>());
}

#[test]
fn a_visitor_that_wants_sixteen_bytes_gets_them() {
    struct Uuid;
    impl<'de> Deserialize<'de> for Uuid {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Sixteen;
            impl serde::de::Visitor<'_> for Sixteen {
                type Value = Uuid;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("16 bytes")
                }
                fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Uuid, E> {
                    if bytes.len() == 16 { Ok(Uuid) } else { Err(E::invalid_length(bytes.len(), &self)) }
                }
            }
            deserializer.deserialize_bytes(Sixteen)
        }
    }
    assert_ne!(shape::<(Uuid, u32)>(), shape::<(Uuid, u64)>());
    assert_ne!(shape::<(Vec<Uuid>, Option<Uuid>, u32)>(), shape::<(Vec<Uuid>, Option<Uuid>, u64)>());
}

#[test]
fn types_that_refuse_everything_have_a_shape() {
    #[derive(Debug)]
    struct Never;
    impl<'de> Deserialize<'de> for Never {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            String::deserialize(deserializer)?;
            Err(serde::de::Error::custom("never"))
        }
    }
    types! {
        enum Empty {}
        enum Mixed<T> { Bad(Never), Again(Box<Mixed<T>>), Good(T) }
        #[serde(untagged)]
        enum Untagged { A(u8), B(String) }
    }
    assert_eq!(shape::<Never>(), shape::<Never>());
    assert_eq!(shape::<Empty>(), shape::<Empty>());
    assert_eq!(shape::<Untagged>(), shape::<Untagged>());
    assert_ne!(shape::<(Mixed<u8>, u8)>(), shape::<(Mixed<u16>, u8)>(), "a bad variant hides no good one");
    assert_ne!(shape::<(Mixed<u8>, u8)>(), shape::<(Mixed<u8>, u16)>());
}

#[test]
fn a_proxy_is_a_proxy_and_what_comes_after_it_is_seen() {
    struct Proxy;
    impl<'de> Deserialize<'de> for Proxy {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Index;
            impl<'de> serde::de::Visitor<'de> for Index {
                type Value = Proxy;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a proxy")
                }
                fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Proxy, D::Error> {
                    u32::deserialize(deserializer)?;
                    if is_tracing() { Ok(Proxy) } else { Err(serde::de::Error::custom("there is no frame")) }
                }
            }
            deserializer.deserialize_newtype_struct(PROXY, Index)
        }
    }
    assert_ne!(shape::<(Proxy, u32)>(), shape::<(Proxy, u64)>());
    assert_ne!(shape::<Proxy>(), shape::<u32>());
    assert!(!is_tracing());
}

#[test]
fn a_collection_that_refuses_to_be_empty_gets_an_element() {
    #[derive(Deserialize)]
    #[serde(try_from = "Vec<T>", bound = "T: Deserialize<'de>")]
    struct Some1<T>(std::marker::PhantomData<T>);
    impl<T> TryFrom<Vec<T>> for Some1<T> {
        type Error = &'static str;
        fn try_from(elements: Vec<T>) -> Result<Self, &'static str> {
            if elements.is_empty() { Err("empty") } else { Ok(Self(std::marker::PhantomData)) }
        }
    }
    assert_ne!(shape::<(Some1<u16>, u32)>(), shape::<(Some1<u16>, u64)>());
    assert_ne!(shape::<(Some1<u16>, u32)>(), shape::<(Some1<u32>, u32)>());
}

/// Written down, so that a change of the hash, which parts programs of different versions, is not made by accident.
#[test]
fn shapes_are_the_same_in_every_build() {
    assert_eq!(format!("{:?}", shape::<Point>()), "Shape(02652e1149820aa8)");
    assert_eq!(signature::<(String,), u64>(), 4_155_361_270);
}

#[test]
fn signatures_tell_arguments_from_results() {
    assert_ne!(signature::<(u8,), u16>(), signature::<(u16,), u8>());
    assert_ne!(signature::<(), ()>(), 0);
    assert_eq!(signature::<(Point, String), Option<u8>>(), signature::<(elsewhere::Place, String), Option<u8>>());
}
