//! Which processor a thread runs on, and how many there are.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::unistd::{SysconfVar, sysconf};

/// The number of the processor that this thread runs on at this moment; a few nanoseconds, without a system call where libc knows it.
pub fn current() -> u32 {
    // SAFETY: takes nothing and touches no memory of ours.
    let cpu = unsafe { libc::sched_getcpu() };
    u32::try_from(cpu).unwrap_or(u32::MAX)
}

/// How many processors the machine has: as it was at the first look. Not only those that this process may use: the other side of a connection may use others.
pub fn count() -> usize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    match COUNT.load(Ordering::Relaxed) {
        0 => {
            let online = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
            let count = online.and_then(|count| usize::try_from(count).ok()).unwrap_or(1).max(1);
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
