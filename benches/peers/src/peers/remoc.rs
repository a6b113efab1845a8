//! remoc's remote trait calls over a unix socket, one thread on each side.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context as _, Result};
use remoc::prelude::*;
use remoc::rtc;
use tokio::net::{UnixListener, UnixStream};

use crate::clients::{Call, Forked};
use crate::{scratch, wait_for_file};

#[rtc::remote]
pub trait Counter {
    async fn add(&self, n: i64) -> Result<i64, rtc::CallError>;
}

#[derive(Default)]
struct Count(AtomicI64);

impl Counter for Count {
    async fn add(&self, n: i64) -> Result<i64, rtc::CallError> {
        Ok(self.0.fetch_add(n, Ordering::Relaxed) + n)
    }
}

pub struct Remoc {
    path: PathBuf,
    _server: Forked,
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

impl Remoc {
    pub fn start() -> Result<Self> {
        let path = scratch("remoc.sock");
        let server = Forked::run({
            let path = path.clone();
            move || {
                runtime()?.block_on(async {
                    let count = Arc::new(Count::default());
                    let listener = UnixListener::bind(&path)?;
                    loop {
                        let (socket, _) = listener.accept().await?;
                        let count = Arc::clone(&count);
                        tokio::spawn(async move {
                            let (read, write) = socket.into_split();
                            let (server, client) = CounterServerShared::<_>::new(count);
                            let provided = remoc::Connect::io(remoc::Cfg::default(), read, write).provide(client).await;
                            if provided.is_ok() {
                                let _ = server.serve().await;
                            }
                        });
                    }
                })
            }
        })?;
        wait_for_file(&path)?;
        Ok(Self { path, _server: server })
    }

    pub fn client(&self) -> Result<Call> {
        let runtime = runtime()?;
        let client: CounterClient = runtime.block_on(async {
            let (read, write) = UnixStream::connect(&self.path).await?.into_split();
            remoc::Connect::io(remoc::Cfg::default(), read, write).consume().await.context("connecting")
        })?;
        Ok(Box::new(move || {
            runtime.block_on(client.add(1))?;
            Ok(1)
        }))
    }
}

impl Drop for Remoc {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
