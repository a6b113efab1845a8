//! Pools: results, failures, deaths, ends. Each test names the mechanism that it holds.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use common::{LIMIT, alone, children, descriptors, eventually, fork, is_alive, threads, wait, wait_for, within};
use multiproc::pool::WorkerEnd;
use multiproc::{Pool, PoolError, Process};

fn me() -> i32 {
    std::process::id().cast_signed()
}

fn square(n: u64) -> u64 {
    n * n
}

fn pid(_: u32) -> i32 {
    std::thread::sleep(Duration::from_millis(1));
    me()
}

fn kill_myself(signal: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::try_from(signal).unwrap()).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn results_are_those_of_a_plain_loop_in_its_order() {
    let pool = Pool::new(3).unwrap();
    let expected: Vec<_> = (0..20_000).map(square).collect();
    assert_eq!(pool.map(square, 0..20_000).unwrap(), expected);
    assert_eq!(pool.map_chunked(square, 0..20_000, 7).unwrap(), expected);
    assert_eq!(pool.map_async(square, 0..20_000).unwrap().get().unwrap(), expected);
    assert_eq!(pool.imap(square, 0..20_000).collect::<Result<Vec<_>, _>>().unwrap(), expected);
    let mut unordered = pool.imap_unordered(square, 0..20_000).collect::<Result<Vec<_>, _>>().unwrap();
    unordered.sort_unstable();
    assert_eq!(unordered, expected);
    assert_eq!(pool.starmap(|a: u64, b: u64| a - b, [(3, 1), (9, 4)]).unwrap(), [2, 5]);
    assert_eq!(pool.apply(square, 12).unwrap(), 144);
    assert_eq!(pool.map(square, std::iter::empty()).unwrap(), Vec::<u64>::new());
    assert_eq!(pool.map(|()| (), [(); 5]).unwrap(), [(); 5]);
}

#[test]
fn all_workers_take_part() {
    let pool = Pool::new(3).unwrap();
    let mut pids = pool.map(pid, 0..300).unwrap();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 3);
    assert!(!pids.contains(&me()));
}

/// Holds that neither side waits for the other: blocking sends would lock out both.
#[test]
fn arguments_and_results_larger_than_any_buffer_lock_nobody_out() {
    let pool = Pool::new(2).unwrap();
    let large = |n: u32| char::from_u32(u32::from('a') + n).unwrap().to_string().repeat(3 << 20);
    let results = pool.map(|text: String| text, (0..20).map(large)).unwrap();
    assert!(results.into_iter().eq((0..20).map(large)));
    let many: Vec<_> = (0..20).map(|n| pool.apply_async(|text: String| text, large(n)).unwrap()).collect();
    assert!(many.into_iter().map(|result| result.get().unwrap()).eq((0..20).map(large)));
}

#[test]
fn an_endless_iterator_takes_little_memory_and_can_be_left() {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let pool = Pool::new(2).unwrap();
    let endless = (0..).inspect(|_| {
        TAKEN.fetch_add(1, Ordering::Relaxed);
    });
    let first: Vec<_> = pool.imap(square, endless).take(1000).map(Result::unwrap).collect();
    assert_eq!(first, (0..1000).map(square).collect::<Vec<_>>());
    let taken = TAKEN.load(Ordering::Relaxed);
    assert!(taken < 1_000_000, "{taken} items were taken for 1000 results");
    assert_eq!(pool.apply(square, 3).unwrap(), 9);
}

#[test]
fn a_panic_fails_its_own_task_with_its_message() {
    let pool = Pool::new(2).unwrap();
    let careful = |n: u64| if n % 10 == 3 { panic!("no {n}") } else { n };
    let error = pool.map(careful, 0..100).unwrap_err();
    let PoolError::Panicked(panic) = error else { panic!("{error:?}") };
    assert!(panic.message.starts_with("no ") && panic.place.unwrap().contains("tests/pool.rs"));
    let results: Vec<_> = pool.imap(careful, 0..100).collect();
    for (n, result) in results.iter().enumerate() {
        match result {
            Ok(result) => assert_eq!(*result, n as u64),
            Err(PoolError::Panicked(panic)) => assert_eq!(panic.message, format!("no {n}")),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 10);
    assert_eq!(pool.apply(careful, 1).unwrap(), 1);
}

/// Holds the journal: without it, what a dead worker had finished and not sent would be lost, or run twice.
#[test]
fn a_workers_death_costs_the_one_item_that_it_ran() {
    let directory = tempfile::tempdir().unwrap();
    let pool = Pool::new(2).unwrap();
    fn leave_a_mark((n, directory): (u32, String)) -> u32 {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(format!("{directory}/{n}")).unwrap();
        file.write_all(b"x").unwrap();
        match n {
            77 => kill_myself(9),
            300 => std::process::abort(),
            500 => std::process::exit(3),
            _ => {}
        }
        n
    }
    let path = directory.path().to_str().unwrap().to_owned();
    let results: Vec<_> =
        pool.map_async(leave_a_mark, (0..1000).map(|n| (n, path.clone()))).map(|_| ()).into_iter().collect();
    assert_eq!(results.len(), 1);
    eventually("all have run", || std::fs::read_dir(directory.path()).unwrap().count() == 1000);
    let results: Vec<_> = pool.imap(leave_a_mark, (0..1000).map(|n| (n, path.clone()))).collect();
    assert_eq!(results.len(), 1000);
    for (n, result) in results.into_iter().enumerate() {
        let ending = match (n, result) {
            (77 | 300 | 500, Err(PoolError::WorkerDied { ending, worker })) => {
                assert!(worker.contains("PoolWorker-"), "{worker}");
                ending
            }
            (_, Ok(result)) => {
                assert_eq!(result, n as u32);
                continue;
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(
            ending,
            [(77, WorkerEnd::Killed(9)), (300, WorkerEnd::Killed(6)), (500, WorkerEnd::Exited(3))]
                .into_iter()
                .find(|(at, _)| *at == n)
                .unwrap()
                .1
        );
    }
    let lengths = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    assert!(lengths.into_iter().all(|length| length == 2), "each item ran once in each of the two calls");
}

#[test]
fn a_stack_overflow_names_its_signal() {
    fn deep(n: u64) -> u64 {
        let room = std::hint::black_box([n; 1000]);
        if n == u64::MAX { room[0] } else { deep(n + 1) + room[999] }
    }
    let pool = Pool::new(1).unwrap();
    let error = pool.apply(deep, 0).unwrap_err();
    assert_eq!(error.signal(), Some(11), "{error}");
    assert!(error.to_string().contains("SIGSEGV"), "{error}");
    assert_eq!(pool.apply(square, 5).unwrap(), 25);
}

#[test]
fn retries_run_the_one_task_again() {
    let directory = tempfile::tempdir().unwrap();
    fn dies_twice((n, directory): (u32, String)) -> u32 {
        if n == 7 {
            let attempt = std::fs::read_dir(&directory).unwrap().count();
            std::fs::write(format!("{directory}/{attempt}"), "").unwrap();
            if attempt < 2 {
                kill_myself(9);
            }
        }
        n
    }
    let path = directory.path().to_str().unwrap().to_owned();
    let items = || (0..100).map(|n| (n, path.clone()));
    let pool = Pool::builder().workers(2).retries(1).start().unwrap();
    assert_eq!(pool.map(dies_twice, items()).unwrap_err().signal(), Some(9));
    std::fs::read_dir(directory.path()).unwrap().for_each(|entry| std::fs::remove_file(entry.unwrap().path()).unwrap());
    let pool = Pool::builder().workers(2).retries(2).start().unwrap();
    assert_eq!(pool.map(dies_twice, items()).unwrap(), (0..100).collect::<Vec<_>>());
}

/// Kills workers from outside, whatever they do: nothing hangs, nothing is lost but what ran.
#[test]
fn workers_may_be_killed_at_random_points() {
    let pool = Pool::new(3).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let seen = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut random, mut last) = (7_u64, 0);
            while !stop.load(Ordering::Relaxed) {
                // Where the machine is so busy that nobody gets anything done in between, killing more of them would show nothing.
                if last > 0 && seen.load(Ordering::Relaxed) == last {
                    std::thread::yield_now();
                    continue;
                }
                last = seen.load(Ordering::Relaxed);
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                std::thread::sleep(Duration::from_micros(random >> 51));
                if let Some(pid) = pool.worker_ids().get((random >> 33) as usize % 3) {
                    let _ = nix::sys::signal::kill(
                        nix::unistd::Pid::from_raw(pid.cast_signed()),
                        nix::sys::signal::SIGKILL,
                    );
                }
            }
        });
        let mut died = 0;
        for _ in 0..10 {
            for (n, result) in pool.imap(square, 0..30_000).enumerate() {
                seen.fetch_add(1, Ordering::Relaxed);
                match result {
                    Ok(result) => assert_eq!(result, square(n as u64)),
                    Err(error) => {
                        assert_eq!(error.signal(), Some(9), "{error}");
                        died += 1;
                    }
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        println!("{died} tasks died");
    });
    assert_eq!(pool.map(square, 0..10).unwrap().len(), 10);
}

#[test]
fn an_idle_worker_is_replaced_and_nothing_fails() {
    let pool = Pool::new(1).unwrap();
    for _ in 0..3 {
        let before = pool.worker_ids();
        assert_eq!(pool.apply(pid, 0).unwrap(), before[0].cast_signed());
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(before[0].cast_signed()), nix::sys::signal::SIGKILL).unwrap();
        eventually("another is there", || pool.worker_ids().len() == 1 && pool.worker_ids() != before);
    }
    assert_eq!(pool.apply(square, 5).unwrap(), 25);
}

/// A worker that had replaced another heeded no signal: it had inherited the mask of the pool's own thread, in which all are blocked. So ending a pool took 0.5 s, and whatever its tasks
/// started could not be terminated either.
#[test]
fn workers_that_replace_others_take_signals_as_the_first_did() {
    use nix::sys::signal::{SigSet, Signal};
    fn blocked(_: ()) -> Vec<i32> {
        SigSet::thread_get_mask().unwrap().iter().map(|signal| signal as i32).collect()
    }
    // A mask of its own: that is what all of them are to have.
    let mut own = SigSet::empty();
    own.add(Signal::SIGUSR2);
    own.thread_block().unwrap();
    let pool = Pool::new(1).unwrap();
    let first = pool.apply(blocked, ()).unwrap();
    assert!(first.contains(&(Signal::SIGUSR2 as i32)) && !first.contains(&(Signal::SIGTERM as i32)), "{first:?}");
    assert_eq!(pool.apply(kill_myself, 9).unwrap_err().signal(), Some(9));
    assert_eq!(pool.apply(blocked, ()).unwrap(), first);
    own.thread_unblock().unwrap();
}

#[test]
fn states_are_made_once_in_each_worker() {
    let pool = Pool::new(2).unwrap();
    fn make() -> Vec<u32> {
        vec![std::process::id()]
    }
    let with = pool.with(make, |state: &mut Vec<u32>, n: u32| {
        assert!(n != 99, "that one");
        state.push(n);
        (state[0] == std::process::id(), state.len())
    });
    let results = with.map(0..50).unwrap();
    assert!(results.iter().all(|(own, _)| *own));
    assert!(results.iter().map(|(_, length)| *length).max().unwrap() > 20, "states are kept");
    assert!(matches!(with.apply(99), Err(PoolError::Panicked(_))));
    assert_eq!(with.imap_unordered(0..50).filter(Result::is_ok).count(), 50);
}

#[test]
fn initializers_run_first_and_their_failure_is_the_pools() {
    static SEEN: AtomicU32 = AtomicU32::new(0);
    let pool = Pool::builder().workers(2).initializer(|| SEEN.store(7, Ordering::Relaxed)).start().unwrap();
    assert_eq!(pool.map(|()| SEEN.load(Ordering::Relaxed), [(); 10]).unwrap(), [7; 10]);
    assert_eq!(SEEN.load(Ordering::Relaxed), 0);
    let broken = Pool::builder().workers(2).initializer(|| panic!("no ground")).start().unwrap();
    let error = broken.map(square, 0..100).unwrap_err();
    assert!(error.to_string().contains("no ground"), "{error}");
    eventually("further tasks are refused", || broken.apply(square, 1).is_err());
    let dying = Pool::builder().workers(2).initializer(|| std::process::abort()).start().unwrap();
    let error = dying.map(square, 0..100).unwrap_err();
    assert!(error.to_string().contains("before it had begun"), "{error}");
}

#[test]
fn workers_are_replaced_after_their_number_of_tasks() {
    let pool = Pool::builder().workers(2).max_tasks_per_child(10).start().unwrap();
    let pids = pool.map(pid, 0..200).unwrap();
    let count = |pid: i32| pids.iter().filter(|other| **other == pid).count();
    assert!(pids.iter().all(|pid| count(*pid) <= 10));
}

#[test]
fn results_can_be_asked_for_later() {
    let pool = Pool::new(1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let door = directory.path().join("door");
    let waits = |door: std::path::PathBuf| assert!(within(LIMIT, || door.exists()));
    let slow = pool.apply_async(waits, door.clone()).unwrap();
    assert!(!slow.is_ready() && slow.successful().is_none());
    assert!(matches!(slow.get_timeout(Duration::from_millis(1)), Err(PoolError::Timeout { .. })));
    std::fs::write(door, b"").unwrap();
    assert!(slow.wait(Some(LIMIT)));
    assert_eq!(slow.successful(), Some(true));
    slow.get().unwrap();

    let (tell, told) = mpsc::channel();
    let other = tell.clone();
    let _good = pool.apply_async(square, 4).unwrap().on_ready(move |result| tell.send(result.unwrap()).unwrap());
    assert_eq!(told.recv_timeout(LIMIT), Ok(16));
    let bad = pool.apply_async(|n: u64| -> u64 { panic!("{n}") }, 4).unwrap();
    let bad = bad.on_ready(move |result| other.send(u64::from(result.is_err())).unwrap());
    assert_eq!(told.recv_timeout(LIMIT), Ok(1));
    assert_eq!(bad.successful(), Some(false));
    let rude = pool.apply_async(|()| std::thread::sleep(Duration::from_millis(50)), ()).unwrap();
    rude.on_ready(|_| panic!("a callback's panic is not the pool's")).get().unwrap();
    assert_eq!(pool.apply(square, 2).unwrap(), 4);
}

/// Holds the descriptor that is readable once a result is there.
#[test]
fn the_first_of_several_results_and_other_things_can_be_waited_for() {
    let pool = Pool::new(2).unwrap();
    let (near, far) = multiproc::pipe().unwrap();
    let (slow, quick) = (pool.apply_async(|seconds| std::thread::sleep(Duration::from_secs(seconds)), 1000), pool);
    let slow = slow.unwrap();
    let answered = quick.apply_async(square, 3).unwrap();
    assert_eq!(multiproc::process::wait(&[&slow, &answered, &near], Some(LIMIT)).unwrap(), [1]);
    // It stays so, also for who comes later.
    assert_eq!(multiproc::process::wait(&[&answered, &near], Some(LIMIT)).unwrap(), [0]);
    assert_eq!(multiproc::process::wait(&[&slow, &near], Some(Duration::from_millis(20))).unwrap(), [0_usize; 0]);
    let sender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        far.send(&7).unwrap();
        far
    });
    assert_eq!(multiproc::process::wait(&[&slow, &near], Some(LIMIT)).unwrap(), [1]);
    let failing = quick.map_async(kill_myself, [9]).unwrap();
    assert_eq!(multiproc::process::wait(&[&slow, &failing], Some(LIMIT)).unwrap(), [1]);
    assert_eq!(failing.get().unwrap_err().signal(), Some(9));
    quick.terminate();
    assert_eq!(multiproc::process::wait(&[&slow], Some(LIMIT)).unwrap(), [0]);
    assert!(matches!(slow.get(), Err(PoolError::Terminated)));
    drop(sender.join().unwrap());
}

#[test]
fn a_closed_pool_finishes_and_a_terminated_one_does_not() {
    let pool = Pool::new(2).unwrap();
    assert!(matches!(pool.join(), Err(PoolError::System(_))));
    let result = pool.map_async(pid, 0..100).unwrap();
    pool.close();
    assert!(matches!(pool.apply(square, 1), Err(PoolError::Closed)));
    pool.join().unwrap();
    assert_eq!(result.get().unwrap().len(), 100);

    let pool = Pool::new(2).unwrap();
    let endless = pool.map_async(|()| std::thread::sleep(Duration::from_secs(1000)), [(); 10]).unwrap();
    pool.terminate();
    assert!(matches!(endless.get(), Err(PoolError::Terminated)));
    assert!(matches!(pool.apply(square, 1), Err(PoolError::Terminated)));
    pool.join().unwrap();
    assert!(pool.worker_ids().is_empty());

    let pool = Pool::new(1).unwrap();
    let dropped = pool.apply_async(|()| std::thread::sleep(Duration::from_secs(1000)), ()).unwrap();
    drop(pool);
    assert!(matches!(dropped.get(), Err(PoolError::Terminated)));
    let result = Pool::scope(2, |pool| pool.map_async(pid, 0..100).unwrap()).unwrap();
    assert!(result.is_ready());
}

/// Holds the guards: without them each worker would fork workers that fork workers.
#[test]
fn a_worker_that_makes_its_own_pool_again_is_told() {
    fn bomb(depth: u32) -> Result<u32, String> {
        // Even without the guard it is a small one.
        if depth > 3 {
            return Ok(depth);
        }
        let pool = Pool::new(2).map_err(|error| error.to_string())?;
        pool.apply(bomb, depth + 1).map_err(|error| error.to_string())?
    }
    let error = bomb(0).unwrap_err();
    assert!(error.contains("makes that pool again") && error.contains("tests/pool.rs"), "{error}");

    static POOL: std::sync::OnceLock<Pool> = std::sync::OnceLock::new();
    let own = POOL.get_or_init(|| Pool::new(1).unwrap());
    let again = |n: u64| POOL.get().map_or(Ok(n), |pool| pool.apply(square, n)).map_err(|error| error.to_string());
    let inner = Pool::new(1).unwrap();
    let error = inner.apply(again, 3).unwrap().unwrap_err();
    assert!(error.contains("belongs to the process that this one was forked from"), "{error}");
    let error = Process::spawn(move || own.apply(square, 3).unwrap_err().to_string()).unwrap().join().unwrap();
    assert!(error.contains("belongs to the process"), "{error}");
    own.terminate();
    own.join().unwrap();
    // At another place it is no bomb.
    fn nested(n: u64) -> u64 {
        Pool::new(1).unwrap().apply(square, n).unwrap()
    }
    assert_eq!(Pool::new(1).unwrap().apply(nested, 3).unwrap(), 9);
}

#[test]
fn nothing_is_left_of_a_pool() {
    let _alone = alone();
    let child = fork(|| {
        let count = || (descriptors(me()), children(me()).len(), threads(me()));
        drop(Pool::new(1).unwrap());
        // The pool is over a moment before the system has done with its thread.
        eventually("its thread has ended", || threads(me()) == 1);
        let before = count();
        for round in 0..15 {
            let pool = Pool::new(3).unwrap();
            eventually("one thread for all workers is there", || threads(me()) == 2);
            assert_eq!(pool.map(square, 0..500).unwrap().len(), 500);
            if round % 2 == 0 {
                let _ = pool.apply(kill_myself, 9);
            }
            match round % 3 {
                0 => {
                    pool.close();
                    pool.join().unwrap();
                }
                1 => pool.terminate(),
                _ => {}
            }
        }
        assert!(within(LIMIT, || count() == before), "{before:?} before, {:?} after", count());
        0
    });
    // Fifteen pools, forty-five forks and more: on a busy machine that takes its time.
    assert_eq!(wait_for(LIMIT * 6, child), 0);
}

/// Holds the lifeline of busy workers, and that no worker holds another's.
#[test]
fn workers_end_with_a_parent_that_is_killed() {
    for way in [nix::sys::signal::SIGKILL, nix::sys::signal::SIGINT] {
        let (mut told, mut tell) = std::io::pipe().unwrap();
        let parent = fork(move || {
            use std::io::Write;
            // As a program at a terminal has it.
            common::heed_sigint();
            nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0)).unwrap();
            let pool = Pool::new(3).unwrap();
            let busy = |()| loop {
                std::hint::spin_loop();
            };
            let _busy: Vec<_> = (0..2).map(|_| pool.apply_async::<(), ()>(busy, ()).unwrap()).collect();
            for pid in pool.worker_ids() {
                tell.write_all(&pid.to_ne_bytes()).unwrap();
            }
            loop {
                std::thread::park();
            }
        });
        let mut pids = [0; 12];
        std::io::Read::read_exact(&mut told, &mut pids).unwrap();
        let pids: Vec<_> = pids.chunks(4).map(|pid| i32::from_ne_bytes(pid.try_into().unwrap())).collect();
        std::thread::sleep(Duration::from_millis(50));
        nix::sys::signal::killpg(nix::unistd::Pid::from_raw(parent.pid()), way).unwrap();
        assert_eq!(wait(parent), -(way as i32));
        for pid in pids {
            assert!(within(LIMIT, || !is_alive(pid)), "{pid} outlived its parent's {way}");
        }
    }
}
