//! The C library's heap, in a process that large frames pass through. `tests/command_line.rs` measures it in a server.
//!
//! Memory that comes fresh from the system costs a page fault for every 4 KiB, more than all copies of what is written into it. glibc gives large blocks back the moment they are freed, and keeps a heap
//! of its own for each thread; a server asks it to do neither ([`keep`]), and gives back itself what it has not needed for a while ([`give_back`]). Where the C library is another, or Rust's allocator
//! is, both do nothing that matters.
#![allow(unsafe_code)]

#[cfg(target_env = "gnu")]
use std::sync::atomic::{AtomicBool, Ordering};

/// From how many bytes on a block is the system's all the same: the most that glibc allows.
#[cfg(target_env = "gnu")]
const LARGEST: libc::c_int = 32 << 20;

/// How much free memory the heap keeps at its end.
#[cfg(target_env = "gnu")]
const KEPT: libc::c_int = 256 << 20;

/// Whether memory is kept.
#[cfg(target_env = "gnu")]
static KEEPS: AtomicBool = AtomicBool::new(false);

/// Keeps what is freed, in one heap for all threads, for as long as this process lives. What the environment says of the heap goes first.
pub fn keep() {
    #[cfg(target_env = "gnu")]
    {
        let told = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let name = name.to_string_lossy();
            let tunes = name == "GLIBC_TUNABLES" && value.to_string_lossy().contains("malloc");
            tunes || (name.starts_with("MALLOC_") && name.ends_with('_')) || name == "MALLOC_ARENA_MAX"
        };
        if std::env::vars_os().any(told) {
            return;
        }
        let settings = [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, LARGEST), (libc::M_TRIM_THRESHOLD, KEPT)];
        for (setting, value) in settings {
            // SAFETY: sets a number, under the heap's own lock; one that is refused changes nothing.
            unsafe { libc::mallopt(setting, value) };
        }
        // Pairs with the load in `keeps`.
        KEEPS.store(true, Ordering::Relaxed);
    }
}

/// Whether memory is kept in this process.
pub fn keeps() -> bool {
    #[cfg(target_env = "gnu")]
    // Pairs with the store in `keep`: only the value counts.
    return KEEPS.load(Ordering::Relaxed);
    #[cfg(not(target_env = "gnu"))]
    false
}

/// Gives back to the system what is free, but for the ends of heaps that other threads had before [`keep`]: these go when they are empty. Takes about a microsecond for each megabyte that is.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches nothing but free memory, under the heap's own lock.
    unsafe {
        libc::malloc_trim(0)
    };
}
