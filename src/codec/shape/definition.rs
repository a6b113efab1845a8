//! What has been seen of a type: a line of [`Token`]s, in which whatever may take different ways (an enum's variants,
//! an option, a sequence, a map) stands as a reference to a [`Definition`] of its own.
//!
//! Definitions are told apart by their visitor's type within one tracing; that name is in no hash. The hash of a
//! definition is that of its contents with the hashes of what it refers to, computed in rounds from nothing: after *n*
//! rounds it tells any two types apart that differ within *n* references, no matter how often a recursive type was
//! unrolled or what it is called.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Rounds of hashing: how deep options, sequences, maps and enums may nest for a difference inside to be noticed.
const ROUNDS: usize = 64;

/// One thing that a type asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// A kind of value, such as `u8` or `struct`.
    Kind(&'static str),
    /// How many.
    Count(usize),
    /// The name of a field.
    Name(&'static str),
    /// What that definition holds.
    Definition(usize),
}

/// What kinds of values take different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Choice {
    Option,
    Seq,
    Map,
    /// With the variants' names.
    Enum(&'static [&'static str]),
}

/// One way, such as one variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Nobody has gone it.
    Unseen,
    /// It ended in an error that may yet be avoided.
    Broken(Vec<Token>),
    /// It ends in an error whatever is offered.
    Blocked(Vec<Token>),
    /// It was gone to its end.
    Seen(Vec<Token>),
}

impl Way {
    fn tokens(&self) -> &[Token] {
        match self {
            Self::Unseen => &[],
            Self::Broken(tokens) | Self::Blocked(tokens) | Self::Seen(tokens) => tokens,
        }
    }

    /// Whether there is something to find out.
    fn is_open(&self) -> bool {
        matches!(self, Self::Unseen | Self::Broken(_))
    }
}

/// Something that may take different ways.
#[derive(Debug)]
pub(super) struct Definition {
    choice: Choice,
    ways: Vec<Way>,
    /// The ways that are being gone right now, outermost first.
    active: Vec<usize>,
    /// The first way that was gone to its end. It needs no other definition's way but those that were known before it,
    /// so that keeping to these ends every recursion.
    way_out: Option<usize>,
    /// A collection that refuses to be empty.
    pub(super) needs_element: bool,
}

impl Definition {
    /// The way to take to come to an end: the one that is known to have one, else one that was not tried above.
    pub(super) fn way_out(&self) -> Option<usize> {
        let untried = |(way, state): &(usize, &Way)| !self.active.contains(way) && !matches!(state, Way::Blocked(_));
        self.way_out.or_else(|| self.ways.iter().enumerate().find(untried).map(|(way, _)| way))
    }

    pub(super) fn enter(&mut self, way: usize) {
        self.active.push(way);
    }

    /// The way that was entered last has come to its end, or to an error.
    pub(super) fn leave(&mut self, has_ended: bool) {
        let way = self.active.pop();
        if has_ended {
            self.way_out = self.way_out.or(way);
        }
    }

    /// What the bytes mean alike in bincode, however the type calls it.
    fn is_bytes(&self) -> bool {
        self.choice == Choice::Seq && self.ways[0].tokens() == [Token::Kind("u8")]
    }
}

/// All definitions that a type refers to.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    definitions: Vec<Definition>,
    places: HashMap<(&'static str, Choice), usize>,
}

impl Catalogue {
    /// The definition of a visitor's type that makes such a choice.
    pub(super) fn place(&mut self, visitor: &'static str, choice: Choice) -> usize {
        match self.places.entry((visitor, choice)) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let count = if let Choice::Enum(variants) = choice { variants.len() } else { 1 };
                let ways = vec![Way::Unseen; count];
                self.definitions.push(Definition {
                    choice,
                    ways,
                    active: Vec::new(),
                    way_out: None,
                    needs_element: false,
                });
                *entry.insert(self.definitions.len() - 1)
            }
        }
    }

    pub(super) fn get(&mut self, place: usize) -> &mut Definition {
        &mut self.definitions[place]
    }

    /// The way on which there is something to find out, if it is not being gone already.
    pub(super) fn way_on(&self, place: usize) -> Option<usize> {
        let definition = &self.definitions[place];
        if !definition.active.is_empty() {
            return None;
        }
        let open = definition.ways.iter().position(Way::is_open);
        open.or_else(|| {
            let mut visited = vec![false; self.definitions.len()];
            visited[place] = true;
            definition.ways.iter().position(|way| self.leads_on(way.tokens(), &mut visited))
        })
    }

    /// Whether these tokens refer, at any remove, to a definition with open ways that is not being gone already.
    fn leads_on(&self, tokens: &[Token], visited: &mut [bool]) -> bool {
        tokens.iter().any(|token| {
            let Token::Definition(place) = *token else { return false };
            let definition = &self.definitions[place];
            if std::mem::replace(&mut visited[place], true) || !definition.active.is_empty() {
                return false;
            }
            definition.ways.iter().any(|way| way.is_open() || self.leads_on(way.tokens(), visited))
        })
    }

    /// Notes what was seen on a way; whether that is news.
    pub(super) fn note(&mut self, place: usize, way: usize, tokens: Vec<Token>, is_whole: bool) -> bool {
        let way = &mut self.definitions[place].ways[way];
        let news = way.is_open() && is_whole;
        if way.is_open() {
            *way = if is_whole { Way::Seen(tokens) } else { Way::Broken(tokens) };
        }
        news
    }

    /// Nothing better can be offered: broken ways will not be mended. Whether there were any.
    pub(super) fn give_up_broken(&mut self) -> bool {
        let mut any = false;
        for way in self.definitions.iter_mut().flat_map(|definition| &mut definition.ways) {
            if let Way::Broken(tokens) = way {
                *way = Way::Blocked(std::mem::take(tokens));
                any = true;
            }
        }
        any
    }

    /// The hash of a type that is these tokens.
    pub(super) fn hash(&self, root: &[Token]) -> u64 {
        let mut hashes = vec![0; self.definitions.len()];
        for _ in 0..ROUNDS {
            hashes = self.definitions.iter().map(|definition| hash_definition(definition, &hashes)).collect();
        }
        fold(root.iter().map(|token| hash_token(token, &hashes)))
    }
}

fn hash_token(token: &Token, hashes: &[u64]) -> u64 {
    match *token {
        Token::Kind(name) | Token::Name(name) => fnv(name.as_bytes()),
        Token::Count(count) => count as u64,
        Token::Definition(place) => hashes[place],
    }
}

fn hash_definition(definition: &Definition, hashes: &[u64]) -> u64 {
    if definition.is_bytes() {
        return hash_token(&Token::Kind("bytes"), hashes);
    }
    let (kind, names): (_, &[_]) = match definition.choice {
        Choice::Option => ("option", &[]),
        Choice::Seq => ("seq", &[]),
        Choice::Map => ("map", &[]),
        Choice::Enum(variants) => ("enum", variants),
    };
    let names = names.iter().map(|name| fnv(name.as_bytes()));
    let ways = definition.ways.iter().map(|way| {
        let end = fnv(match way {
            Way::Unseen => b"unseen",
            Way::Broken(_) | Way::Blocked(_) => b"blocked",
            Way::Seen(_) => b"seen",
        });
        fold(way.tokens().iter().map(|token| hash_token(token, hashes)).chain([end]))
    });
    fold([fnv(kind.as_bytes())].into_iter().chain(names).chain(ways))
}

/// FNV-1a: fixed for ever, which the standard library's hashes are not.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One hash of several, in their order.
pub(super) fn fold(parts: impl IntoIterator<Item = u64>) -> u64 {
    let bytes: Vec<u8> = parts.into_iter().flat_map(u64::to_le_bytes).collect();
    // FNV leaves its high bits badly mixed for short inputs; signatures use only half of them.
    let mut hash = fnv(&bytes);
    hash = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ hash >> 29
}
