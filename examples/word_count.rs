//! The most frequent words of many files, counted in parallel into one shared dict, with a progress bar.
//!
//!     cargo run --release --example word_count [directory]
//!
//! Each worker counts a file by itself and then adds its counts to the dict, entry by entry, whatever others do to the same entries meanwhile. The dict's proxy goes to the workers as
//! part of the task.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use indicatif::{ProgressBar, ProgressStyle};
use multiproc::types::DictProxy;
use multiproc::{Pool, SyncManager};

type Counts = DictProxy<String, u64>;

/// Counts the words of a file into the shared dict, and tells how many there were.
fn count((path, counts): (PathBuf, Counts)) -> Result<u64, String> {
    let text = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut own: HashMap<String, u64> = HashMap::new();
    for word in
        String::from_utf8_lossy(&text).split(|letter: char| !letter.is_alphabetic()).filter(|word| word.len() > 3)
    {
        *own.entry(word.to_lowercase()).or_default() += 1;
    }
    for (word, number) in &own {
        let added = counts.update(word.as_str(), |known| Some(known.unwrap_or(0) + number));
        added.map_err(|error| error.to_string())?;
    }
    Ok(own.values().sum())
}

/// All files below a directory that look like text.
fn files(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_text = path.extension().is_some_and(|kind| ["rs", "md", "txt", "py"].iter().any(|text| kind == *text));
        if path.is_dir() && !path.is_symlink() {
            files(&path, found)?;
        } else if is_text {
            found.push(path);
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = env::args().nth(1).unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/src").to_owned());
    let mut paths = Vec::new();
    files(directory.as_ref(), &mut paths)?;
    // Server and workers are forked before anything starts a thread.
    let manager = SyncManager::start()?;
    let pool = Pool::builder().name("counter").start()?;
    let counts = Counts::new(&manager)?;
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} files, {msg} words")?;
    let bar = ProgressBar::new(paths.len() as u64).with_style(style);
    let tasks = paths.into_iter().map(|path| (path, counts.clone()));
    let mut words = 0;
    for result in pool.imap_unordered(count, tasks) {
        match result? {
            Ok(number) => words += number,
            Err(error) => bar.println(error),
        }
        bar.set_message(words.to_string());
        bar.inc(1);
    }
    bar.finish();
    let mut counts: Vec<(String, u64)> = counts.to_map()?;
    counts.sort_by_key(|(word, number)| (std::cmp::Reverse(*number), word.clone()));
    for (word, number) in counts.iter().take(10) {
        println!("{number:7} {word}");
    }
    manager.shutdown()?;
    Ok(())
}
