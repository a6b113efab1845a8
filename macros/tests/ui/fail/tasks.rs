//! What can be no task, and what a task can't be used for.

#![allow(unused)]

use multiproc::SyncManager;
use multiproc::types::PoolProxy;

#[multiproc::task]
struct NotAFunction;

#[multiproc::task(name = "not a name", blocking)]
fn named(n: u32) {}

#[multiproc::task]
async fn polled() {}

#[multiproc::task]
fn generic<T>(n: u32) {}

#[multiproc::task]
fn borrows(text: &str) -> &'static str {
    "text"
}

struct NotSerde;

#[multiproc::task]
fn refused(n: NotSerde) {}

#[multiproc::task]
fn pair(a: u32, b: u32) -> u32 {
    a + b
}

#[multiproc::task]
fn declared(n: u32) -> u32;

struct NoTask;

fn uses(pool: &PoolProxy) {
    let _ = pool.map::<pair>([1, 2]);
    let _ = pool.apply::<pair>((1, "two"));
    let _ = pool.apply::<NoTask>(());
    let _ = SyncManager::builder().task::<declared>();
}

fn main() {}
