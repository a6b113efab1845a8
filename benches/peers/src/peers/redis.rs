//! Redis on a unix socket of its own: with redis-rs, and with its own benchmark program.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::clients::Call;
use crate::{scratch, wait_for_file};

pub struct Redis {
    path: PathBuf,
    server: Child,
}

impl Redis {
    /// Starts a server that keeps nothing on disk; `None` where there is no redis-server.
    pub fn start() -> Result<Option<Self>> {
        let path = scratch("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&path);
        let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = match spawned {
            Ok(server) => server,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let redis = Self { path, server };
        wait_for_file(&redis.path)?;
        Ok(Some(redis))
    }

    fn connect(&self) -> Result<redis::Connection> {
        let url = format!("redis+unix://{}", self.path.display());
        Ok(redis::Client::open(url)?.get_connection()?)
    }

    pub fn client(&self) -> Result<Call> {
        let mut connection = self.connect()?;
        Ok(Box::new(move || {
            let _: i64 = redis::cmd("INCR").arg("counter").query(&mut connection)?;
            Ok(1)
        }))
    }

    pub fn dict_client(&self, number: usize) -> Result<Call> {
        let mut connection = self.connect()?;
        Ok(Box::new(move || {
            let _: i64 = redis::cmd("HSET").arg("dict").arg(number).arg(1).query(&mut connection)?;
            let _: i64 = redis::cmd("HGET").arg("dict").arg(number).query(&mut connection)?;
            Ok(2)
        }))
    }

    pub fn queue_client(&self, number: usize) -> Result<Call> {
        let mut connection = self.connect()?;
        Ok(Box::new(move || {
            if number % 2 == 1 {
                let _: i64 = redis::cmd("RPUSH").arg("queue").arg(number).query(&mut connection)?;
            } else {
                // A limit, or the last consumers would wait for ever.
                let _: Option<(String, i64)> = redis::cmd("BLPOP").arg("queue").arg(0.2).query(&mut connection)?;
            }
            Ok(1)
        }))
    }

    /// Calls a second by redis-benchmark's INCR.
    pub fn benchmark(&self, clients: usize, pipelined: usize) -> Result<f64> {
        let requests = if pipelined > 1 { 2_000_000 } else { 150_000 };
        let mut command = Command::new("redis-benchmark");
        command.args(["-t", "incr", "--csv", "-c", &clients.to_string(), "-n", &requests.to_string()]);
        let output = command.args(["-P", &pipelined.to_string(), "-s"]).arg(&self.path).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let row = text.lines().find(|line| line.starts_with("\"INCR\""));
        let Some(rate) = row.and_then(|row| row.split(',').nth(1)) else { bail!("redis-benchmark said {text:?}") };
        rate.trim_matches('"').parse().context("redis-benchmark's rate")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_file(&self.path);
    }
}
