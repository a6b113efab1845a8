//! Tasks: functions that stay functions, beside the types that name them.

#![deny(warnings, unreachable_pub, missing_docs, clippy::all)]

use multiproc::types::PoolProxy;
use multiproc::{RunTask, SyncManager, Task};

mod inner {
    //! Visibility goes with the function.

    /// Twice as much.
    #[multiproc::task]
    pub(crate) const fn double(n: u32) -> u32 {
        n * 2
    }
}

use inner::double;

#[multiproc::task(name = "type")]
fn r#type((a, b): (u8, u8), mut rest: Vec<u8>) -> Vec<u8> {
    rest.extend([a, b]);
    rest
}

#[multiproc::task]
fn nothing() {}

/// Another program's.
#[multiproc::task]
fn declared(text: String) -> usize;

#[derive(Debug, serde::Serialize, serde::Deserialize, multiproc::Raises)]
#[raises("ValueError")]
struct Refusal(u32);

#[multiproc::task(raises)]
fn refuses(n: u32) -> Result<u32, Refusal> {
    Err(Refusal(n))
}

#[multiproc::task(raises = "KeyError")]
fn misses() -> Result<(), String> {
    Err("all".to_owned())
}

/// Python's.
#[multiproc::task(name = "math.factorial")]
fn factorial(n: u64) -> u64;

#[cfg(any())]
#[multiproc::task]
fn absent(n: Missing) {}

fn main() {
    #[multiproc::task]
    fn local(argument_0: bool) -> bool {
        !argument_0
    }

    assert_eq!((double::NAME, r#type::NAME, nothing::NAME, declared::NAME), ("double", "type", "nothing", "declared"));
    assert_eq!(factorial::NAME, "math.factorial");
    assert_eq!(r#type::PARAMETERS, ["argument_0", "rest"]);
    assert_eq!(double(2) + <double as RunTask>::run((3,)), 10);
    let builder = SyncManager::builder().task::<double>().task::<r#type>().task::<nothing>().task::<local>();
    let builder = builder.task::<refuses>().task::<misses>();
    let manager = builder.start().unwrap();
    let pool = PoolProxy::new(&manager, 1).unwrap();
    assert_eq!(pool.map::<double>([1, 2]).unwrap(), [2, 4]);
    assert_eq!(pool.apply::<r#type>(((1, 2), vec![0])).unwrap(), [0, 1, 2]);
    assert!(pool.apply::<local>((false,)).unwrap());
    pool.apply::<nothing>(()).unwrap();
    assert!(pool.apply::<declared>(("x".into(),)).is_err());
    manager.shutdown().unwrap();
}
