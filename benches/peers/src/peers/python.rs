//! CPython's own manager, server and clients in Python.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

const SCRIPT: &str = include_str!("python.py");

#[derive(Debug, Deserialize)]
pub struct PythonFigures {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub rate: f64,
    pub fairness: f64,
}

/// The newest Python that is found.
pub fn version() -> Option<String> {
    let output = Command::new("python3").arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs so many clients for so many seconds: `what` is one of the script's.
pub fn run(what: &str, clients: usize, seconds: f64) -> Result<PythonFigures> {
    let mut python = Command::new("python3");
    let output = python.args(["-c", SCRIPT, what, &clients.to_string(), &seconds.to_string()]).output()?;
    if !output.status.success() {
        bail!("python3: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("the script's figures")
}
