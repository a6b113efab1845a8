//! A Rust manager whose pool runs this program's functions for Python: `pool.py` beside this file. Argument: the socket to serve at.

use std::env;

use multiproc::SyncManager;

#[multiproc::task]
fn divisors(number: u64) -> Vec<u64> {
    (1..=number).filter(|divisor| number.is_multiple_of(*divisor)).collect()
}

#[multiproc::task(raises = "ZeroDivisionError")]
fn remainder(dividend: u64, divisor: u64) -> Result<u64, String> {
    dividend.checked_rem(divisor).ok_or_else(|| format!("{dividend} by {divisor}"))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let socket = env::args().nth(1).ok_or("usage: task_server SOCKET")?;
    let builder =
        SyncManager::builder().python(true).address(format!("unix:{socket}")).authkey(env::var("SHARED_KEY")?);
    let manager = builder.task::<divisors>().task::<remainder>().start()?;
    println!("{}", manager.address());
    manager.join(None)?;
    Ok(())
}
