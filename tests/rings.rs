//! Connections that change over to shared memory: when they do, when they don't, that nobody notices, and what becomes of them when somebody stops, forks or dies.

mod common;

use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{LIMIT, eventually, fork, wait};
use multiproc::{BaseManager, Builder, Error, Proxy, Responder, WaitPolicy};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[derive(Default)]
pub struct Echo {
    waiting: Vec<Responder<u64>>,
    leaf: Option<LeafProxy>,
}

#[multiproc::referent]
impl Echo {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn next(&self, number: u64) -> u64 {
        number + 1
    }

    pub fn echo(&self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }

    pub fn wait(&mut self, responder: Responder<u64>) {
        self.waiting.push(responder);
    }

    pub fn wake(&mut self, number: u64) -> usize {
        self.waiting.drain(..).filter(Responder::is_wanted).map(|waiting| waiting.respond(&number)).count()
    }

    #[referent(proxy)]
    pub fn leaf(&self) -> Leaf {
        Leaf
    }

    pub fn keep(&mut self, leaf: Option<LeafProxy>) {
        self.leaf = leaf;
    }
}

#[derive(Default)]
pub struct Leaf;

#[multiproc::referent]
impl Leaf {
    pub fn new() -> Self {
        Self
    }

    pub fn touch(&self) -> u8 {
        1
    }
}

fn builder() -> Builder {
    BaseManager::builder().register::<Echo>().register::<Leaf>()
}

fn pid(manager: &BaseManager) -> i32 {
    i32::try_from(manager.pid().expect("a started server")).unwrap()
}

/// How many connections of a process have shared memory.
fn rings(pid: i32) -> usize {
    fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default().matches("multiproc-ring").count()
}

/// Calls until the connection must have changed over.
fn heat(echo: &EchoProxy) {
    for number in 0..200 {
        assert_eq!(echo.next(number).unwrap(), number + 1);
    }
}

fn pattern(size: usize, seed: usize) -> Vec<u8> {
    (0..size).map(|place| (place.wrapping_mul(31) ^ (place >> 8) ^ seed) as u8).collect()
}

/// The processor time that a process has used, in ticks of 10 ms.
fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat[stat.rfind(')').unwrap()..].split_ascii_whitespace().collect();
    fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
}

#[test]
fn a_connection_changes_over_when_calls_come_fast_and_not_before() {
    let manager = builder().start().unwrap();
    let echo = EchoProxy::new(&manager).unwrap();
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(12));
        assert_eq!(echo.next(1).unwrap(), 2);
    }
    assert_eq!(rings(pid(&manager)), 0, "a slow caller needs none");
    eventually("a ring", || {
        heat(&echo);
        rings(pid(&manager)) == 1
    });
    assert!(rings(std::process::id().cast_signed()) >= 1);
    let server = pid(&manager);
    drop(echo);
    manager.shutdown().unwrap();
    assert_eq!(rings(server), 0);
}

#[test]
fn nobody_has_shared_memory_who_is_not_to_have_it() {
    let never = |manager: BaseManager| {
        let echo = EchoProxy::new(&manager).unwrap();
        heat(&echo);
        assert_eq!(rings(pid(&manager)), 0);
        assert_eq!(echo.echo(&pattern(3 << 20, 1)).unwrap(), pattern(3 << 20, 1));
        drop(echo);
        manager.shutdown().unwrap();
    };
    never(builder().ring(false).start().unwrap());
    never(builder().max_rings(0).start().unwrap());
    never(builder().address("tcp:127.0.0.1:0").start().unwrap());
    let child = fork(move || {
        // SAFETY: a forked child has one thread.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var("MULTIPROC_RING", "off");
        }
        never(builder().start().unwrap());
        0
    });
    assert_eq!(wait(child), 0);
}

#[test]
fn beyond_the_limit_connections_stay_on_their_sockets() {
    let manager = builder().max_rings(2).start().unwrap();
    let echo = EchoProxy::new(&manager).unwrap();
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| (0..5).for_each(|_| heat(&echo)));
        }
    });
    eventually("a ring", || {
        heat(&echo);
        rings(pid(&manager)) > 0
    });
    assert!((1..=2).contains(&rings(pid(&manager))), "{}", rings(pid(&manager)));
    drop(echo);
    manager.shutdown().unwrap();
}

#[test]
fn values_of_all_sizes_arrive_from_many_threads_at_once() {
    for policy in [WaitPolicy::Balanced, WaitPolicy::LowLatency, WaitPolicy::PowerSave] {
        let manager = builder().wait_policy(policy).start().unwrap();
        let echo = EchoProxy::new(&manager).unwrap().with_timeout(LIMIT);
        thread::scope(|scope| {
            for thread in 0..4 {
                let echo = echo.clone();
                scope.spawn(move || {
                    heat(&echo);
                    let sizes = [0, 1, 40, 1_000, 4_000, 4_050, 4_096, 20_000, 300_000, 5 << 20, 17];
                    for (turn, size) in sizes.into_iter().enumerate() {
                        let bytes = pattern(size, thread * 100 + turn);
                        assert!(echo.echo(&bytes).unwrap() == bytes, "{size} bytes");
                    }
                });
            }
        });
        eventually("a ring", || {
            heat(&echo);
            rings(pid(&manager)) >= 1
        });
        drop(echo);
        manager.shutdown().unwrap();
    }
}

#[test]
fn who_waits_is_woken_and_who_gives_up_is_told() {
    let manager = builder().start().unwrap();
    let echo = EchoProxy::new(&manager).unwrap();
    heat(&echo);
    thread::scope(|scope| {
        for _ in 0..20 {
            let waiter = scope.spawn(|| {
                heat(&echo);
                echo.wait().unwrap()
            });
            // Long enough for the waiter to sleep, most of the times.
            thread::sleep(Duration::from_millis(2));
            eventually("a waiter", || echo.wake(7).unwrap() == 1);
            assert_eq!(waiter.join().unwrap(), 7);
        }
    });
    let hasty = echo.with_timeout(Duration::from_millis(50));
    heat(&echo);
    assert!(matches!(hasty.wait(), Err(Error::Timeout { .. })));
    assert_eq!(echo.wake(1).unwrap(), 0, "the server has been told");
    drop((echo, hasty));
    manager.shutdown().unwrap();
}

#[test]
fn what_is_idle_costs_nothing_and_wakes_up_again() {
    let manager = builder().start().unwrap();
    let echo = EchoProxy::new(&manager).unwrap();
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| heat(&echo)))));
    eventually("a ring", || {
        heat(&echo);
        rings(pid(&manager)) > 0
    });
    for _ in 0..3 {
        // A busy machine lets it come to rest late.
        eventually("an idle server does nothing", || {
            let before = ticks(pid(&manager));
            thread::sleep(Duration::from_millis(500));
            ticks(pid(&manager)) - before <= 1
        });
        assert_eq!(echo.next(1).unwrap(), 2);
    }
    drop(echo);
    manager.shutdown().unwrap();
}

#[test]
fn a_client_killed_at_any_point_leaves_nothing_and_disturbs_nobody() {
    let manager = builder().start().unwrap();
    let echo = EchoProxy::new(&manager).unwrap();
    heat(&echo);
    let before = manager.number_of_objects().unwrap();
    for round in 0..12_u64 {
        let child = fork(|| {
            heat(&echo);
            loop {
                let leaf = echo.leaf().unwrap();
                assert_eq!(leaf.touch().unwrap(), 1);
                assert_eq!(echo.echo(&pattern(100_000, 1)).unwrap().len(), 100_000);
                echo.keep(Some(leaf)).unwrap();
                echo.keep(None).unwrap();
            }
        });
        let until = Instant::now() + Duration::from_micros(20_000 + round * 1_700);
        while Instant::now() < until {
            assert_eq!(echo.next(round).unwrap(), round + 1);
        }
        child.kill();
        echo.keep(None).unwrap();
        eventually("all that the dead client held is given back", || manager.number_of_objects().unwrap() == before);
    }
    eventually("its memory is let go", || rings(pid(&manager)) <= 1);
    drop(echo);
    manager.shutdown().unwrap();
}

/// A client writes over every byte of its own shared memory, again and again, while it calls; the server goes on, and so does everybody else.
#[test]
fn a_client_that_scribbles_over_its_memory_harms_itself_alone() {
    let manager = builder().start().unwrap();
    let echo = EchoProxy::new(&manager).unwrap();
    heat(&echo);
    for seed in 0..8_u64 {
        let child = fork(|| {
            heat(&echo);
            let maps = fs::read_to_string("/proc/self/maps").unwrap();
            let line = maps.lines().find(|line| line.contains("multiproc-ring")).expect("a ring of its own");
            let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            let range = [start, end].map(|place| u64::from_str_radix(place, 16).unwrap());
            let memory = fs::OpenOptions::new().write(true).open("/proc/self/mem").unwrap();
            thread::scope(|scope| {
                scope.spawn(|| {
                    let bytes = pattern(100_000, 1);
                    // It gets errors, or hangs, or garbage: all of it is its own fault.
                    while echo.next(1).is_ok() && echo.echo(&bytes).is_ok() {}
                });
                let mut value = seed;
                loop {
                    for place in (range[0]..range[1]).step_by(8) {
                        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let word = match value >> 61 {
                            0 => 0,
                            1 => 1,
                            2 => 1 << 32 | value >> 52,
                            3 => 2 << 32 | 8,
                            4 => u64::MAX,
                            _ => value,
                        };
                        // The header and the cells more often than the rest.
                        let place = if value & 7 == 0 { place } else { range[0] + (place - range[0]) % (36 << 10) };
                        if memory.write_at(&word.to_ne_bytes(), place).is_err() {
                            // The server has had enough, and the memory is gone.
                            loop {
                                thread::park();
                            }
                        }
                    }
                }
            })
        });
        let begin = Instant::now();
        let bytes = pattern(200_000, seed as usize);
        while begin.elapsed() < Duration::from_millis(250) {
            assert_eq!(echo.next(seed).unwrap(), seed + 1);
            assert!(echo.echo(&bytes).unwrap() == bytes);
        }
        child.kill();
    }
    drop(echo);
    manager.shutdown().unwrap();
}

#[test]
fn a_server_killed_at_any_point_is_told_of_within_a_second() {
    for round in 0..60_u64 {
        let manager = builder().start().unwrap();
        let echo = EchoProxy::new(&manager).unwrap();
        heat(&echo);
        let ends = thread::scope(|scope| {
            let call = |call: fn(&EchoProxy) -> Result<(), Error>| {
                let echo = echo.clone();
                scope.spawn(move || {
                    let error = loop {
                        if let Err(error) = call(&echo) {
                            break error;
                        }
                    };
                    (error, Instant::now())
                })
            };
            let callers = [
                call(|echo| echo.next(1).map(drop)),
                call(|echo| echo.wait().map(drop)),
                call(|echo| echo.echo(&[1; 3 << 20]).map(drop)),
            ];
            thread::sleep(Duration::from_micros(30_000 + round * 900));
            kill(Pid::from_raw(pid(&manager)), Signal::SIGKILL).unwrap();
            let killed = Instant::now();
            callers.map(|caller| {
                let (error, at) = caller.join().unwrap();
                (error, at - killed)
            })
        });
        for (error, _) in &ends {
            // A caller may just have been shaking hands for a connection of its own.
            assert!(matches!(error, Error::ServerGone { .. } | Error::Authentication { .. }), "{error}");
        }
        drop(echo);
        let _ = manager.shutdown();
        // A busy machine may hold up one round or the other, but not all.
        if round >= 5 && ends.iter().all(|(_, after)| *after < Duration::from_secs(1)) {
            return;
        }
    }
    panic!("nobody was told in time, in none of many rounds");
}

#[test]
fn either_side_may_be_stopped_and_goes_on() {
    let manager = builder().start().unwrap();
    let echo = EchoProxy::new(&manager).unwrap();
    heat(&echo);
    // The server stands still again and again, at points of nobody's choice.
    let server = Pid::from_raw(pid(&manager));
    let child = fork(|| {
        heat(&echo);
        for turn in 0..60 {
            let bytes = pattern(turn * 7_001, turn);
            assert!(echo.echo(&bytes).unwrap() == bytes);
            heat(&echo);
        }
        0
    });
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                kill(server, Signal::SIGSTOP).unwrap();
                thread::sleep(Duration::from_micros(700));
                kill(server, Signal::SIGCONT).unwrap();
                thread::sleep(Duration::from_micros(1_300));
            }
        });
        let code = wait(child);
        done.store(true, Ordering::Relaxed);
        assert_eq!(code, 0);
    });
    // A client stands still in the middle of large replies: the others are served.
    let child = fork(|| {
        heat(&echo);
        loop {
            assert_eq!(echo.echo(&[3; 4 << 20]).unwrap().len(), 4 << 20);
        }
    });
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(5));
        child.stop();
        heat(&echo);
        child.signal(Signal::SIGCONT);
    }
    child.kill();
    heat(&echo);
    drop(echo);
    manager.shutdown().unwrap();
}

#[test]
fn a_forked_child_has_connections_of_its_own() {
    let manager = builder().start().unwrap();
    let echo = EchoProxy::new(&manager).unwrap();
    heat(&echo);
    thread::scope(|scope| {
        // Calls are under way at the forks.
        let callers: Vec<_> = (0..2).map(|_| scope.spawn(|| (0..30).for_each(|_| heat(&echo)))).collect();
        for _ in 0..5 {
            let child = fork(|| {
                if rings(std::process::id().cast_signed()) != 0 {
                    return 1;
                }
                heat(&echo);
                assert_eq!(echo.echo(&pattern(500_000, 3)).unwrap(), pattern(500_000, 3));
                let grandchild = fork(|| {
                    heat(&echo);
                    0
                });
                wait(grandchild)
            });
            heat(&echo);
            assert_eq!(wait(child), 0);
        }
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
    drop(echo);
    manager.shutdown().unwrap();
}

/// How much of the shared memory a process has before it, in KiB.
fn resident(pid: i32) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let mut lines = maps.lines();
    let mut sum = 0;
    while lines.by_ref().any(|line| line.contains("multiproc-ring")) {
        let rss = lines.by_ref().find_map(|line| line.strip_prefix("Rss:"));
        sum += rss.and_then(|rss| rss.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    }
    sum
}

#[test]
fn a_cold_connection_gives_its_memory_back_and_goes_on_when_it_is_needed() {
    let manager = builder().start().unwrap();
    let echo = EchoProxy::new(&manager).unwrap();
    eventually("a ring", || {
        heat(&echo);
        rings(pid(&manager)) == 1
    });
    for round in 0..3 {
        let bytes = pattern(3 << 20, round);
        assert!(echo.echo(&bytes).unwrap() == bytes);
        eventually("most of it is given back", || resident(pid(&manager)) <= 20);
        heat(&echo);
    }
    drop(echo);
    manager.shutdown().unwrap();
}

/// A caller who waits on shared memory until that has been given back is answered, and others who call, defer and batch meanwhile are, too.
#[test]
fn who_waits_until_the_memory_is_given_back_is_answered() {
    let manager = builder().start().unwrap();
    let echo = EchoProxy::new(&manager).unwrap();
    let deferred = echo.defer();
    let (waiter, other) = (echo.clone(), echo.clone());
    heat(&echo);
    let begin: Vec<_> = (0..200).map(|number| deferred.next(number)).collect();
    begin.into_iter().zip(1..).for_each(|(next, number)| assert_eq!(next.wait().unwrap(), number));
    let waiting = thread::spawn(move || {
        heat(&waiter);
        waiter.wait().unwrap()
    });
    let sent_ahead = deferred.wait();
    eventually("rings", || {
        heat(&other);
        rings(pid(&manager)) >= 2
    });
    eventually("most of it is given back", || resident(pid(&manager)) <= 20 * rings(pid(&manager)) as u64);
    let next = deferred.next(6);
    assert_eq!(other.wake(5).unwrap(), 2);
    assert_eq!((waiting.join().unwrap(), sent_ahead.wait().unwrap(), next.wait().unwrap()), (5, 5, 7));
    drop((echo, deferred, other));
    manager.shutdown().unwrap();
}

/// What `perf` counts in a process for a while: all system calls, and the yields among them; `None` where it can't be run.
fn system_calls(pid: i32, during: impl FnOnce()) -> Option<(u64, u64)> {
    let mut perf = Command::new("perf")
        .args([
            "stat",
            "-x,",
            "-e",
            "raw_syscalls:sys_enter",
            "-e",
            "syscalls:sys_enter_sched_yield",
            "-p",
            &pid.to_string(),
        ])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .ok()?;
    thread::sleep(Duration::from_millis(300));
    during();
    // An interrupt has it print what it has.
    kill(Pid::from_raw(perf.id().cast_signed()), Signal::SIGINT).ok()?;
    let mut told = String::new();
    perf.stderr.take()?.read_to_string(&mut told).ok()?;
    perf.wait().ok()?;
    let count = |name: &str| told.lines().find(|line| line.contains(name))?.split(',').next()?.parse().ok();
    Some((count("raw_syscalls")?, count("sched_yield")?))
}

/// While both sides are awake a call takes no system call but yields; the server looks at its sockets now and then, which is not for each call.
#[test]
fn a_call_takes_no_system_call() {
    const CALLS: u64 = 50_000;
    let manager = builder().start().unwrap();
    let echo = EchoProxy::new(&manager).unwrap();
    heat(&echo);
    let calls = || (0..CALLS).for_each(|number| assert_eq!(echo.next(number).unwrap(), number + 1));
    calls();
    let begin = Instant::now();
    let mut took = Duration::ZERO;
    let counted = system_calls(pid(&manager), || {
        let begin = Instant::now();
        calls();
        took = begin.elapsed();
    });
    match counted {
        None => {
            eprintln!("SKIPPED: perf can't count system calls here, so that nobody has checked that calls take none")
        }
        Some((all, yields)) => {
            // Looks at the sockets every 50 µs, the tick every millisecond, and what it takes to fall asleep and wake when others hold the processors.
            let looks = begin.elapsed().as_micros() as u64 / 50 + took.as_millis() as u64 * 4;
            let others = all - yields;
            assert!(
                others <= looks + CALLS / 20,
                "{others} system calls beside {yields} yields in {CALLS} calls, {took:?}"
            );
        }
    }
    drop(echo);
    manager.shutdown().unwrap();
}
