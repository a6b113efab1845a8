//! Which processor a thread runs on, how many there are, and how to leave one.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// The number of the processor that this thread runs on at this moment; a few nanoseconds, without a system call where libc knows it.
pub fn current() -> u32 {
    // SAFETY: takes nothing and touches no memory of ours.
    let cpu = unsafe { libc::sched_getcpu() };
    u32::try_from(cpu).unwrap_or(u32::MAX)
}

/// Has this thread go on elsewhere than on the processor that it runs on, if it may; the system may put it back at any time. Three system calls.
pub fn leave() {
    let me = Pid::from_raw(0);
    let Ok(allowed) = sched_getaffinity(me) else { return };
    let mut others = allowed;
    let here = current() as usize;
    if others.unset(here).is_err() || !(0..CpuSet::count()).any(|cpu| others.is_set(cpu).unwrap_or(false)) {
        return;
    }
    if sched_setaffinity(me, &others).is_ok() {
        // What was allowed before is allowed now.
        let _ = sched_setaffinity(me, &allowed);
    }
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

    #[test]
    fn who_leaves_a_processor_may_come_back() {
        let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
        leave();
        assert_eq!(sched_getaffinity(Pid::from_raw(0)).unwrap(), allowed);
        // On a thread of its own, which may use one processor only.
        std::thread::spawn(|| {
            let mut one = CpuSet::new();
            one.set(current() as usize).unwrap();
            sched_setaffinity(Pid::from_raw(0), &one).unwrap();
            leave();
            assert_eq!(sched_getaffinity(Pid::from_raw(0)).unwrap(), one);
        })
        .join()
        .unwrap();
    }
}
