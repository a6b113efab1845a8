//! A cache that several workers share: each result is computed by whoever asks for it first, and everybody counts hits in it.
//!
//! Run it with `cargo run --example shared_cache`.

use std::time::Duration;

use multiproc::types::{DictProxy, ValueProxy};
use multiproc::{Process, Result, SyncManager};
use serde::{Deserialize, Serialize};

/// What is kept for a question.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Cached {
    answer: u64,
    hits: u32,
}

/// What takes its time: how many steps of the Collatz sequence lead to 1.
fn expensive(question: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(5));
    let mut n = question.max(1);
    (0..)
        .find(|_| {
            let is_end = n == 1;
            n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
            is_end
        })
        .unwrap_or(0)
}

/// The answer, from the cache where it is there.
fn ask(cache: &DictProxy<u64, Cached>, question: u64) -> Result<u64> {
    // Counts a hit, with nobody in between; an entry that is missing stays missing.
    let hit = cache.update(question, |entry| entry.map(|entry| Cached { hits: entry.hits + 1, ..entry }))?;
    if let Some(entry) = hit {
        return Ok(entry.answer);
    }
    let answer = expensive(question);
    // Somebody else may have been faster: then theirs stays, and nothing is lost.
    cache.insert_if_absent(question, &Cached { answer, hits: 0 })?;
    Ok(answer)
}

fn main() -> Result<()> {
    let manager = SyncManager::start()?;
    let cache = DictProxy::<u64, Cached>::new(&manager)?;
    let longest = ValueProxy::<(u64, u64)>::new(&manager, (0, 0))?;

    let workers: Vec<Process<()>> = (0..4)
        .map(|worker| {
            let (cache, longest) = (cache.clone(), longest.clone());
            Process::try_spawn(move || {
                for turn in 0..50 {
                    let question = (worker * 7 + turn * 3) % 40 + 1;
                    let steps = ask(&cache, question)?;
                    longest.update(|best| best.max((steps, question)))?;
                }
                Ok(())
            })
        })
        .collect::<Result<_>>()?;
    for worker in workers {
        worker.join().expect("a worker");
    }

    let (steps, question) = longest.get()?;
    println!("{} answers; the longest way to 1 is that of {question}, {steps} steps", cache.len()?);
    let mut entries = cache.items()?;
    entries.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.hits));
    for (question, entry) in entries.iter().take(3) {
        println!("{question:3}: {} steps, found {} times", entry.answer, entry.hits);
    }
    let hits: u32 = entries.iter().map(|(_, entry)| entry.hits).sum();
    println!("{hits} of 200 questions were answered from the cache");
    manager.shutdown()
}
