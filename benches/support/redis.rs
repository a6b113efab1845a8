//! A Redis server of the benchmark's own, on a unix socket of its own: nothing of it is left behind.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server, and a connection to it.
pub struct Redis {
    process: Child,
    directory: PathBuf,
    /// Where others can connect to it.
    pub url: String,
    /// What commands go by.
    pub connection: redis::Connection,
}

impl Redis {
    /// `None`, and a word on that, where there is no redis-server.
    pub fn start() -> Option<Self> {
        let directory = std::env::temp_dir().join(format!("multiproc-bench-redis-{}", std::process::id()));
        std::fs::create_dir_all(&directory).inspect_err(|error| println!("SKIPPED: Redis's side: {error}")).ok()?;
        let socket = directory.join("socket");
        let spawned = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(&directory)
            .stdout(Stdio::null())
            .spawn();
        let mut process = match spawned {
            Ok(process) => process,
            Err(error) => {
                println!("SKIPPED: Redis's side: redis-server: {error}");
                let _ = std::fs::remove_dir_all(&directory);
                return None;
            }
        };
        let url = format!("redis+unix://{}", socket.display());
        let begin = Instant::now();
        let connection = loop {
            let opened = redis::Client::open(url.as_str()).and_then(|client| client.get_connection());
            match opened {
                Ok(connection) => break connection,
                Err(_) if begin.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(10)),
                Err(error) => {
                    println!("SKIPPED: Redis's side: redis-server does not answer: {error}");
                    let _ = process.kill();
                    let _ = process.wait();
                    let _ = std::fs::remove_dir_all(&directory);
                    return None;
                }
            }
        };
        Some(Self { process, directory, url, connection })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
