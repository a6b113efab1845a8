//! iceoryx2's request-response, both sides polling, which is its fastest way.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use iceoryx2::prelude::*;

use crate::clients::{Call, Forked, Shared};
use crate::scratch;

/// Where its memory has names.
const SHARED_MEMORY: &str = "/dev/shm";

pub struct Iceoryx {
    name: String,
    config: Config,
    prefix: String,
    root: PathBuf,
    ends: Shared<AtomicU32>,
    server: Option<Forked>,
}

impl Iceoryx {
    pub fn start() -> Result<Self> {
        set_log_level(LogLevel::Error);
        let name = format!("multiproc/peers/{}", std::process::id());
        // Names of this run's own, so that all that was made can be found again.
        let (prefix, root) = (format!("mp{}_", std::process::id()), scratch("iceoryx"));
        let mut config = Config::default();
        config.global.prefix = FileName::new(prefix.as_bytes())?;
        config.global.set_root_path(&Path::new(root.to_str().context("a path in UTF-8")?.as_bytes())?);
        let mut this = Self { name, config, prefix, root, ends: Shared::zeroed()?, server: None };
        this.server = Some(Forked::run(|| this.serve())?);
        // It makes its files somewhere of its own; the first client opens or creates.
        std::thread::sleep(Duration::from_millis(300));
        Ok(this)
    }

    fn serve(&self) -> Result<()> {
        let node = NodeBuilder::new().config(&self.config).create::<ipc::Service>()?;
        let service = node.service_builder(&self.name.as_str().try_into()?).request_response::<i64, i64>();
        let service = service.max_clients(64).max_servers(2).open_or_create()?;
        let server = service.server_builder().create()?;
        let mut count = 0;
        while self.ends.get().load(Ordering::Relaxed) == 0 {
            let mut idle = true;
            while let Some(request) = server.receive()? {
                idle = false;
                count += *request;
                request.send_copy(count)?;
            }
            if idle {
                std::thread::yield_now();
            }
        }
        Ok(())
    }

    pub fn client(&self) -> Result<Call> {
        let node = NodeBuilder::new().config(&self.config).create::<ipc::Service>()?;
        let service = node.service_builder(&self.name.as_str().try_into()?).request_response::<i64, i64>();
        let service = service.max_clients(64).max_servers(2).open_or_create()?;
        let client = service.client_builder().create()?;
        Ok(Box::new(move || {
            let _alive = &node;
            let pending = client.send_copy(1)?;
            loop {
                if pending.receive()?.is_some() {
                    return Ok(1);
                }
                std::thread::yield_now();
            }
        }))
    }
}

impl Drop for Iceoryx {
    /// Lets the server end by itself, which takes its files away; and takes away what is left nevertheless.
    fn drop(&mut self) {
        self.ends.get().store(1, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ = server.wait_until(Instant::now() + Duration::from_secs(5));
        }
        let files = std::fs::read_dir(SHARED_MEMORY).into_iter().flatten().flatten();
        for file in files.filter(|file| file.file_name().to_string_lossy().starts_with(&self.prefix)) {
            let _ = std::fs::remove_file(file.path());
        }
        let _ = std::fs::remove_dir_all(&self.root);
    }
}
