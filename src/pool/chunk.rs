//! Items that go to a worker together, and what is said about them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::PoolError;
use super::error::Failure;
use super::job::Job;
use super::task::Task;
use crate::codec::{self, Codec};
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::process::ProcessPanic;

/// The most items in a chunk.
pub const MAX_ITEMS: usize = 1 << 16;

/// The bytes from which on no more items are added to a chunk: enough to make a system call cheap beside them.
pub const MAX_BYTES: usize = 256 << 10;

/// What the pool says to a worker; the items' bytes follow.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    Run { work: u64, count: usize, task: Task },
    Stop,
}

/// What a worker says to its pool.
#[derive(Debug, Serialize, Deserialize)]
pub enum Word {
    /// It has begun.
    Ready,
    /// It can't begin.
    Unfit(ProcessPanic),
    /// Results from the `first` item on; their bytes follow.
    Results { work: u64, first: usize, count: usize },
    /// The item that has none.
    Failed { work: u64, index: usize, failure: Failure },
    /// All has been said of the work, which took so long.
    Done { work: u64, nanoseconds: u64 },
}

/// Writes a head, to be sent before bytes that are not copied for it.
pub fn head<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    codec::encode(Codec::Bincode, value, &mut bytes).map_err(Error::unserializable::<T>)?;
    let length = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// Reads a head, and tells where what follows it begins.
pub fn split<T: serde::de::DeserializeOwned>(frame: &[u8]) -> Result<(T, usize)> {
    let cut = || Error::protocol("a message of a pool is cut off");
    let length = u32::from_le_bytes(*frame.first_chunk().ok_or_else(cut)?) as usize;
    let bytes = frame[4..].get(..length).ok_or_else(cut)?;
    let value = codec::decode(Codec::Bincode, bytes).map_err(Error::unserializable::<T>)?;
    Ok((value, 4 + length))
}

/// Items of one job that follow each other, encoded.
#[derive(Debug)]
pub struct Chunk {
    pub job: Arc<Job>,
    pub task: Task,
    /// The place of the first item in the job.
    pub base: usize,
    pub items: Vec<u8>,
    /// Where each item ends.
    pub ends: Vec<u32>,
    /// How often its (one) item has killed a worker.
    pub attempts: u32,
}

impl Chunk {
    pub fn new(job: &Arc<Job>, task: Task, base: usize) -> Self {
        Self { job: Arc::clone(job), task, base, items: Vec::new(), ends: Vec::new(), attempts: 0 }
    }

    /// Adds an item.
    ///
    /// # Errors
    /// When it can't be sent.
    pub fn push<A: Datum>(&mut self, item: &A) -> Result<(), PoolError> {
        codec::encode(Codec::Bincode, item, &mut self.items).map_err(Error::unserializable::<A>)?;
        let end = u32::try_from(self.items.len());
        let limit = u64::from(u32::MAX);
        self.ends.push(end.map_err(|_| Error::FrameTooLarge { size: self.items.len() as u64, limit })?);
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether another item should go into another chunk.
    pub fn is_full(&self, items: usize) -> bool {
        self.len() >= items.min(MAX_ITEMS) || self.items.len() >= MAX_BYTES
    }

    /// The items of these places, as a chunk of their own.
    pub fn part(&self, items: std::ops::Range<usize>) -> Self {
        let at = |index: usize| if index == 0 { 0 } else { self.ends[index - 1] };
        let (begin, end) = (at(items.start), at(items.end));
        Self {
            job: Arc::clone(&self.job),
            task: self.task,
            base: self.base + items.start,
            items: self.items[begin as usize..end as usize].to_vec(),
            ends: self.ends[items].iter().map(|end| end - begin).collect(),
            attempts: 0,
        }
    }
}
