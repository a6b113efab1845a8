//! Flags of a block: unknown, repeated, malformed, contradictory; all told at once.

#![allow(unused)]

struct First;

#[multiproc::referent(typeid = "First", dispaly, value, value, error = words, codec = bincode, exclusive = true)]
impl First {}

struct Second;

#[multiproc::referent(typeid = "two words", proxy = Handle, proxytype = Hand)]
impl Second {}

struct Third;

#[multiproc::referent(typeid = Third, proxytype)]
impl Third {}

#[multiproc::proxy(typeid = "Stack<u32>", display)]
trait Described {}

fn main() {}
