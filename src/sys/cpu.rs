//! Which processor a thread runs on, and how many there are.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of the processor that this thread runs on at this moment; a few nanoseconds, without a system call where libc knows it.
pub fn current() -> u32 {
    // SAFETY: takes nothing and touches no memory of ours.
    let cpu = unsafe { libc::sched_getcpu() };
    u32::try_from(cpu).unwrap_or(u32::MAX)
}

/// How many processors this process may use: as it was at the first look.
pub fn count() -> usize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    match COUNT.load(Ordering::Relaxed) {
        0 => {
            let count = std::thread::available_parallelism().map_or(1, usize::from);
            COUNT.store(count, Ordering::Relaxed);
            count
        }
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_runs_on_a_processor_that_there_is() {
        let all = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap();
        let last: u32 = all.trim().rsplit(['-', ',']).next().unwrap().parse().unwrap();
        assert!(current() <= last);
        assert!(count() >= 1 && count() <= last as usize + 1);
    }
}
