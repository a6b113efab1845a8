//! multiproc itself, as its users use it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use multiproc::types::{DictProxy, EventProxy, QueueProxy};
use multiproc::{SyncManager, WaitPolicy};

use crate::clients::Call;

#[derive(Default)]
pub struct Tally {
    count: AtomicI64,
}

#[multiproc::referent]
impl Tally {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(&self, n: i64) -> i64 {
        self.count.fetch_add(n, Ordering::Relaxed) + n
    }
}

/// Takes and gives bytes.
#[derive(Default)]
pub struct Store {
    bytes: Vec<u8>,
}

#[multiproc::referent]
impl Store {
    pub fn new(size: usize) -> Self {
        Self { bytes: vec![7; size] }
    }

    /// Looks at bytes where they arrived.
    pub fn take(&self, bytes: &[u8]) -> u64 {
        bytes.len() as u64 + u64::from(bytes.last().copied().unwrap_or(0))
    }

    pub fn give(&self) -> &[u8] {
        &self.bytes
    }
}

/// By which way the calls go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Ring,
    Socket,
    Tcp,
}

pub struct Multiproc {
    pub manager: SyncManager,
    counter: TallyProxy,
}

impl Multiproc {
    pub fn start(way: Way) -> Result<Self> {
        Self::start_by(way, WaitPolicy::default())
    }

    /// With another way of waiting, for the server and for its clients.
    pub fn start_by(way: Way, policy: WaitPolicy) -> Result<Self> {
        let builder = SyncManager::builder().register::<Tally>().register::<Store>().wait_policy(policy);
        let builder = match way {
            Way::Ring => builder,
            Way::Socket => builder.ring(false),
            Way::Tcp => builder.address(("127.0.0.1", 0)),
        };
        let manager = builder.start()?;
        let counter = TallyProxy::new(&manager)?;
        Ok(Self { manager, counter })
    }

    pub fn pid(&self) -> Result<u32> {
        self.manager.pid().context("the server's pid")
    }

    pub fn client(&self) -> Result<Call> {
        let counter = self.counter.clone();
        Ok(Box::new(move || {
            counter.add(1)?;
            Ok(1)
        }))
    }

    /// Calls in batches.
    pub fn batch_client(&self, size: u64) -> Result<Call> {
        let counter = self.counter.clone();
        let manager = SyncManager::builder().address(self.manager.address()).connect()?;
        Ok(Box::new(move || {
            let calls: Vec<_> = manager.batch(|batch| {
                let counter = batch.on(&counter);
                (0..size).map(|_| counter.add(1)).collect::<Vec<_>>()
            })?;
            Ok(calls.len() as u64)
        }))
    }

    pub fn dict(&self) -> Result<DictProxy<u64, u64>> {
        Ok(DictProxy::new(&self.manager)?)
    }

    pub fn dict_client(dict: &DictProxy<u64, u64>, number: usize) -> Result<Call> {
        let (dict, key) = (dict.clone(), number as u64);
        Ok(Box::new(move || {
            dict.insert(key, 1)?;
            dict.get(key)?;
            Ok(2)
        }))
    }

    pub fn queue(&self) -> Result<QueueProxy<u64>> {
        Ok(QueueProxy::new(&self.manager, 1000)?)
    }

    pub fn queue_client(queue: &QueueProxy<u64>, number: usize) -> Result<Call> {
        let queue = queue.clone();
        let patience = Duration::from_millis(200);
        Ok(Box::new(move || {
            // A limit, or the last ones would wait for ever.
            if number % 2 == 1 {
                let _ = queue.put_timeout(number as u64, patience);
            } else {
                let _ = queue.get_timeout(patience);
            }
            Ok(1)
        }))
    }

    /// GiB/s of values of this size: to the server, where they are looked at, and from it into fresh memory.
    pub fn values(&self, size: usize) -> Result<(f64, f64)> {
        let store = StoreProxy::new(&self.manager, size)?;
        let bytes = vec![7; size];
        let rate = |call: &mut dyn FnMut() -> Result<()>| {
            let warm = Instant::now();
            while warm.elapsed() < Duration::from_millis(200) {
                call()?;
            }
            let (begin, mut count) = (Instant::now(), 0);
            while begin.elapsed() < Duration::from_millis(400) || count < 3 {
                call()?;
                count += 1;
            }
            anyhow::Ok((size * count) as f64 / begin.elapsed().as_secs_f64() / (1_u64 << 30) as f64)
        };
        let there = rate(&mut || store.take(&bytes).map(|_| ()).map_err(Into::into))?;
        let back = rate(&mut || Ok(drop(store.give()?)))?;
        Ok((there, back))
    }

    /// Microseconds of making and dropping an object.
    pub fn make_and_drop(&self) -> Result<Call> {
        let manager = SyncManager::builder().register::<Tally>().address(self.manager.address()).connect()?;
        Ok(Box::new(move || {
            drop(TallyProxy::new(&manager)?);
            Ok(1)
        }))
    }

    pub fn event(&self) -> Result<EventProxy> {
        Ok(EventProxy::new(&self.manager)?)
    }
}
