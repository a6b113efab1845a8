//! tarpc over a unix socket, bincode, one thread on each side.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context as _, Result};
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::{client, context, serde_transport};

use crate::clients::{Call, Forked};
use crate::{scratch, wait_for_file};

#[tarpc::service]
pub trait Counter {
    async fn add(n: i64) -> i64;
}

#[derive(Clone, Default)]
struct Server(Arc<AtomicI64>);

impl Counter for Server {
    async fn add(self, _: context::Context, n: i64) -> i64 {
        self.0.fetch_add(n, Ordering::Relaxed) + n
    }
}

pub struct Tarpc {
    path: PathBuf,
    _server: Forked,
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

impl Tarpc {
    pub fn start() -> Result<Self> {
        let path = scratch("tarpc.sock");
        let server = Forked::run({
            let path = path.clone();
            move || {
                runtime()?.block_on(async {
                    use futures::StreamExt;
                    let server = Server::default();
                    let mut incoming = serde_transport::unix::listen(&path, Bincode::default).await?;
                    while let Some(transport) = incoming.next().await {
                        let channel = BaseChannel::with_defaults(transport?);
                        let served = channel.execute(server.clone().serve()).for_each(|response| async move {
                            tokio::spawn(response);
                        });
                        tokio::spawn(served);
                    }
                    Ok(())
                })
            }
        })?;
        wait_for_file(&path)?;
        Ok(Self { path, _server: server })
    }

    pub fn client(&self) -> Result<Call> {
        let runtime = runtime()?;
        let client = runtime.block_on(async {
            let transport = serde_transport::unix::connect(&self.path, Bincode::default).await.context("connecting")?;
            anyhow::Ok(CounterClient::new(client::Config::default(), transport).spawn())
        })?;
        Ok(Box::new(move || {
            runtime.block_on(client.add(context::current(), 1))?;
            Ok(1)
        }))
    }
}

impl Drop for Tarpc {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
