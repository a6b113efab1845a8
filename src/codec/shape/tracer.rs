//! The deserializer that reads nothing: it notes what a type asks for, and answers with something harmless.
//!
//! A visitor is used up by one answer, so a type is run again and again, and each run goes a way that no run went
//! before. Where a way leads back to a choice that is being made already, the type is recursive: from there on the
//! tracer is *muted*, and makes for the nearest end.
//!
//! Some types check what they are given (`NonZeroU8`, a UUID of 16 bytes). Where one refuses, the next run offers it
//! something else.

use std::any::type_name;
use std::collections::HashMap;
use std::fmt;

use serde::de::value::{BorrowedBytesDeserializer, U32Deserializer};
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use super::definition::{Catalogue, Choice, Token};
use crate::codec::value::{NONE, VALUE};
use crate::codec::{MAX_DEPTH, PROXY};

/// The most runs of one type: more than any has variants, and an end for types that answer differently each time.
const MAX_RUNS: usize = 10_000;

const INTS: [i8; 4] = [1, 0, 2, 100];
const FLOATS: [i8; 2] = [1, 0];
const CHARS: [char; 3] = ['a', '0', 'A'];
const TEXTS: [&str; 14] = [
    "",
    "a",
    "0",
    "1.0.0",
    "127.0.0.1",
    "127.0.0.1:80",
    "10.0.0.0/8",
    "2000-01-01",
    "00:00:00",
    "2000-01-01T00:00:00",
    "2000-01-01T00:00:00Z",
    "00000000-0000-4000-8000-000000000000",
    "http://a/",
    "a@a.aa",
];
const BYTES: [&[u8]; 10] = [&[], &[1; 16], &[1; 32], &[1; 4], &[1; 8], &[1; 1], &[1; 20], &[1; 12], &[1; 24], &[1; 64]];

/// Everything that a type asks for.
pub(super) fn trace<T: DeserializeOwned>(catalogue: &mut Catalogue) -> Vec<Token> {
    let mut trace =
        Trace { catalogue, tokens: Vec::new(), muted: 0, offers: HashMap::new(), refused: None, news: false };
    let mut root = Vec::new();
    for _ in 0..MAX_RUNS {
        trace.tokens.clear();
        (trace.news, trace.refused, trace.muted) = (false, None, 0);
        let outcome = T::deserialize(Tracer { trace: &mut trace, levels: MAX_DEPTH });
        // A run that was refused half-way has seen less than one that was not.
        if trace.tokens.len() >= root.len() {
            root.clone_from(&trace.tokens);
        }
        let goes_on = match outcome {
            Ok(_) => trace.news,
            Err(Refused) => trace.offer_something_else() || trace.catalogue.give_up_broken() || trace.news,
        };
        if !goes_on {
            break;
        }
    }
    root
}

/// One type's tracing.
struct Trace<'c> {
    catalogue: &'c mut Catalogue,
    /// What was asked for on the way that is being gone.
    tokens: Vec<Token>,
    /// Nothing is noted while this is not 0.
    muted: u32,
    /// Which of the offers for its kind a visitor gets.
    offers: HashMap<&'static str, usize>,
    /// What ended this run, if it is something that might be offered something else.
    refused: Option<Refusal>,
    /// Whether this run has gone a way to its end that none had.
    news: bool,
}

/// Who refused what.
enum Refusal {
    /// A visitor, its offer out of so many.
    Offer(&'static str, usize),
    /// A collection, to be empty.
    Empty(usize),
}

impl Trace<'_> {
    fn note(&mut self, token: Token) {
        if self.muted == 0 {
            self.tokens.push(token);
        }
    }

    /// Answers a scalar with one of the offers for its kind.
    fn scalar<T: Copy, R>(
        &mut self,
        kind: &'static str,
        visitor: &'static str,
        offers: &[T],
        answer: impl FnOnce(T) -> Result<R, Refused>,
    ) -> Result<R, Refused> {
        self.note(Token::Kind(kind));
        let offer = self.offers.get(visitor).copied().unwrap_or(0);
        let result = answer(offers[offer.min(offers.len() - 1)]);
        if result.is_err() {
            self.refused.get_or_insert(Refusal::Offer(visitor, offers.len()));
        }
        result
    }

    /// Prepares the next run so that it does not end where this one did, if there is a way.
    fn offer_something_else(&mut self) -> bool {
        match self.refused {
            Some(Refusal::Offer(visitor, offers)) => {
                let offer = self.offers.entry(visitor).or_insert(0);
                *offer += 1;
                *offer < offers
            }
            Some(Refusal::Empty(place)) => !std::mem::replace(&mut self.catalogue.get(place).needs_element, true),
            None => false,
        }
    }
}

/// What every refusal comes down to: the words are of no use here.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the type refuses what it is offered")
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Answers one request of a type's.
struct Tracer<'t, 'c> {
    trace: &'t mut Trace<'c>,
    levels: u32,
}

impl<'c> Tracer<'_, 'c> {
    /// The same one level down.
    fn below(&mut self) -> Result<Tracer<'_, 'c>, Refused> {
        let levels = self.levels.checked_sub(1).ok_or(Refused)?;
        Ok(Tracer { trace: self.trace, levels })
    }

    /// Goes one way of a definition.
    fn go<R>(
        &mut self,
        place: usize,
        way: usize,
        walk: impl FnOnce(Tracer<'_, 'c>) -> Result<R, Refused>,
    ) -> Result<R, Refused> {
        let outer = std::mem::take(&mut self.trace.tokens);
        self.trace.catalogue.get(place).enter(way);
        let result = self.below().and_then(walk);
        self.trace.catalogue.get(place).leave(result.is_ok());
        let seen = std::mem::replace(&mut self.trace.tokens, outer);
        self.trace.news |= self.trace.catalogue.note(place, way, seen, result.is_ok());
        result
    }

    /// Goes any way, and notes nothing.
    fn go_muted<R>(
        &mut self,
        place: usize,
        way: usize,
        walk: impl FnOnce(Tracer<'_, 'c>) -> Result<R, Refused>,
    ) -> Result<R, Refused> {
        self.trace.muted += 1;
        self.trace.catalogue.get(place).enter(way);
        let result = self.below().and_then(walk);
        self.trace.catalogue.get(place).leave(result.is_ok());
        self.trace.muted -= 1;
        result
    }

    /// An option, sequence or map: with contents if there is something to find out in them, else without.
    fn collection<R, V>(
        mut self,
        choice: Choice,
        visitor: V,
        full: impl FnOnce(V, Tracer<'_, 'c>) -> Result<R, Refused>,
        empty: impl FnOnce(V) -> Result<R, Refused>,
    ) -> Result<R, Refused> {
        let place = self.trace.catalogue.place(type_name::<V>(), choice);
        self.trace.note(Token::Definition(place));
        if self.trace.muted == 0 && self.trace.catalogue.way_on(place).is_some() {
            return self.go(place, 0, |tracer| full(visitor, tracer));
        }
        if self.trace.catalogue.get(place).needs_element {
            return self.go_muted(place, 0, |tracer| full(visitor, tracer));
        }
        let result = empty(visitor);
        if result.is_err() {
            self.trace.refused.get_or_insert(Refusal::Empty(place));
        }
        result
    }
}

macro_rules! scalars {
    ($($method:ident: $kind:literal from $offers:ident => $visit:ident($offer:ident => $value:expr);)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            self.trace.scalar($kind, type_name::<V>(), &$offers, |$offer| visitor.$visit($value))
        }
    )*};
}

/// Ways of asking that bincode has no answer to.
macro_rules! unanswered {
    ($($method:ident: $kind:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Refused> {
            self.trace.note(Token::Kind($kind));
            Err(Refused)
        }
    )*};
}

const BOOLS: [bool; 2] = [false, true];

impl<'de, 'c> Deserializer<'de> for Tracer<'_, 'c> {
    type Error = Refused;

    scalars! {
        deserialize_bool: "bool" from BOOLS => visit_bool(value => value);
        deserialize_i8: "i8" from INTS => visit_i8(value => value);
        deserialize_i16: "i16" from INTS => visit_i16(value => value.into());
        deserialize_i32: "i32" from INTS => visit_i32(value => value.into());
        deserialize_i64: "i64" from INTS => visit_i64(value => value.into());
        deserialize_i128: "i128" from INTS => visit_i128(value => value.into());
        deserialize_u8: "u8" from INTS => visit_u8(value => value.unsigned_abs());
        deserialize_u16: "u16" from INTS => visit_u16(value => value.unsigned_abs().into());
        deserialize_u32: "u32" from INTS => visit_u32(value => value.unsigned_abs().into());
        deserialize_u64: "u64" from INTS => visit_u64(value => value.unsigned_abs().into());
        deserialize_u128: "u128" from INTS => visit_u128(value => value.unsigned_abs().into());
        deserialize_f32: "f32" from FLOATS => visit_f32(value => value.into());
        deserialize_f64: "f64" from FLOATS => visit_f64(value => value.into());
        deserialize_char: "char" from CHARS => visit_char(value => value);
        deserialize_str: "str" from TEXTS => visit_borrowed_str(value => value);
        deserialize_string: "str" from TEXTS => visit_borrowed_str(value => value);
        deserialize_bytes: "bytes" from BYTES => visit_borrowed_bytes(value => value);
        deserialize_byte_buf: "bytes" from BYTES => visit_borrowed_bytes(value => value);
    }

    unanswered! {
        deserialize_any: "any";
        deserialize_identifier: "identifier";
        deserialize_ignored_any: "ignored";
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.trace.note(Token::Kind("unit"));
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        match name {
            PROXY => {
                self.trace.note(Token::Kind("proxy"));
                visitor.visit_newtype_struct(U32Deserializer::new(0))
            }
            VALUE => {
                self.trace.note(Token::Kind("value"));
                visitor.visit_newtype_struct(BorrowedBytesDeserializer::new(NONE))
            }
            _ => visitor.visit_newtype_struct(self.below()?),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.collection(Choice::Option, visitor, |visitor, tracer| visitor.visit_some(tracer), V::visit_none)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.collection(
            Choice::Seq,
            visitor,
            |visitor, tracer| visitor.visit_seq(Elements { tracer, left: 1 }),
            |visitor| visitor.visit_seq(de::value::SeqDeserializer::new(std::iter::empty::<u8>())),
        )
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.collection(
            Choice::Map,
            visitor,
            |visitor, tracer| visitor.visit_map(Elements { tracer, left: 1 }),
            |visitor| visitor.visit_map(de::value::MapDeserializer::new(std::iter::empty::<(u8, u8)>())),
        )
    }

    fn deserialize_tuple<V: Visitor<'de>>(mut self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.trace.note(Token::Kind("tuple"));
        self.trace.note(Token::Count(len));
        visitor.visit_seq(Elements { tracer: self.below()?, left: len })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.trace.note(Token::Kind("struct"));
        self.trace.note(Token::Count(fields.len()));
        fields.iter().for_each(|field| self.trace.note(Token::Name(field)));
        visitor.visit_seq(Elements { tracer: self.below()?, left: fields.len() })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let place = self.trace.catalogue.place(type_name::<V>(), Choice::Enum(variants));
        self.trace.note(Token::Definition(place));
        let way_on = if self.trace.muted == 0 { self.trace.catalogue.way_on(place) } else { None };
        if let Some(way) = way_on {
            return self.go(place, way, |tracer| visitor.visit_enum(Variant { tracer, way }));
        }
        let way = self.trace.catalogue.get(place).way_out().ok_or(Refused)?;
        self.go_muted(place, way, |tracer| visitor.visit_enum(Variant { tracer, way }))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The elements of a sequence, tuple, struct or map.
struct Elements<'t, 'c> {
    tracer: Tracer<'t, 'c>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                seed.deserialize(self.tracer.below()?).map(Some)
            }
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Elements<'_, '_> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        seed.deserialize(self.tracer.below()?)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The variant of an enum that is being looked at.
struct Variant<'t, 'c> {
    tracer: Tracer<'t, 'c>,
    way: usize,
}

impl<'de> EnumAccess<'de> for Variant<'_, '_> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Refused> {
        let index: U32Deserializer<Refused> = (self.way as u32).into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        <()>::deserialize(self.tracer)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Refused> {
        seed.deserialize(self.tracer)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.tracer.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Refused> {
        self.tracer.deserialize_struct("", fields, visitor)
    }
}
