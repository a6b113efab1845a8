#![allow(unsafe_code)]

use std::env;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, killpg, pthread_sigmask, sigaction,
};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::*;
use crate::sys::panic::contain;
use crate::sys::{process, thread};

/// Long enough for whatever does not hang.
const WATCHDOG: Duration = Duration::from_secs(120);

/// Runs `body` in a process of its own: this test program, started again for the one test named. Returns what that
/// printed, after checking that it ended well in time.
fn alone(test: &str, body: impl FnOnce()) -> Option<Output> {
    const ROLE: &str = "MULTIPROC_TEST_ALONE";
    if env::var(ROLE).is_ok_and(|role| role == test) {
        body();
        return None;
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "--test-threads=1", &format!("sys::fork::tests::{test}")]);
    command.env(ROLE, test).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut started = command.spawn().unwrap();
    let pidfd = crate::sys::pidfd::PidFd::open(started.id()).unwrap();
    let mut streams = (started.stdout.take().unwrap(), started.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let other = std::thread::spawn(move || streams.1.read_to_end(&mut err).map(|_| err));
        streams.0.read_to_end(&mut out).unwrap();
        (out, other.join().unwrap().unwrap())
    });
    let ended = crate::sys::poll::wait_one(&pidfd, crate::sys::poll::Interest::Read, Some(WATCHDOG)).unwrap();
    // Not yet reaped, it keeps its group's number: with it go the children that hang, where the test has found any.
    let _ = killpg(Pid::from_raw(started.id().cast_signed()), Signal::SIGKILL);
    let status = started.wait().unwrap();
    assert!(ended.any(), "{test} hangs");
    let (stdout, stderr) = reader.join().unwrap();
    let output = Output { status, stdout, stderr };
    assert!(status.success(), "{test}: {status}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    Some(output)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A raw `fork(2)`, as a user's would be; the child's code is what it returns.
fn raw_fork(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs what these tests are about, and leaves by _exit.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => process::exit(contain(child).unwrap_or(101)),
        ForkResult::Parent { child } => code_of(child),
    }
}

/// A fork past libc, which runs no hooks.
fn bare_clone(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: without flags but the signal this is fork(2); the child touches what is its own and leaves by _exit.
    match unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } {
        0 => process::exit(child()),
        pid => code_of(Pid::from_raw(i32::try_from(pid).unwrap())),
    }
}

fn code_of(child: Pid) -> i32 {
    match waitpid(child, None).unwrap() {
        WaitStatus::Exited(_, code) => code,
        other => panic!("{other:?}"),
    }
}

fn ended(child: &Child) -> ExitStatus {
    if let Some(status) = child.wait(Some(WATCHDOG)).unwrap() {
        return status;
    }
    child.signal(Signal::SIGKILL).unwrap();
    child.wait(None).unwrap();
    panic!("process {} hung", child.pid());
}

#[test]
fn children_of_a_process_with_busy_threads_do_not_hang() {
    static LOCKS: [ForkMutex<(u64, u64)>; 4] = [const { ForkMutex::new((0, 0)) }; 4];
    static STOP: AtomicBool = AtomicBool::new(false);

    fn busy(number: usize) {
        let mut round = number;
        while !STOP.load(Ordering::Relaxed) {
            round += 1;
            let (mut first, mut second) = (LOCKS[round % 2].lock(), LOCKS[2 + round % 2].lock());
            first.0 += 1;
            second.0 += 1;
            std::hint::black_box(vec![round; 1 + round % 5000]);
            first.1 += 1;
            second.1 += 1;
            drop((first, second));
            match number % 3 {
                0 => println!("thread {number}, round {round}"),
                1 => drop(contain(|| panic!("as a method might"))),
                _ => std::thread::yield_now(),
            }
        }
    }

    fn uses_everything() -> i32 {
        for lock in &LOCKS {
            let mut counts = lock.lock();
            assert_eq!(counts.0, counts.1, "half an update was inherited");
            counts.0 += 1;
        }
        let mut allocated = String::new();
        write!(allocated, "{:?}", vec![7_u8; 10_000]).unwrap();
        println!("{} from a child", allocated.len());
        io::stdout().flush().unwrap();
        let panic = contain(|| panic!("in a child")).unwrap_err();
        assert!(panic.backtrace.contains("uses_everything"));
        thread::spawn("grandthread", || println!("and from its thread")).unwrap().join();
        7
    }

    alone("children_of_a_process_with_busy_threads_do_not_hang", || {
        let threads: Vec<_> = (0..30).map(|number| std::thread::spawn(move || busy(number))).collect();
        for round in 0..300 {
            if round % 3 == 0 {
                // Between the fork and the wait of a user's own, a library has no part; stdout is theirs to mind.
                let child = || {
                    LOCKS.iter().for_each(|lock| lock.lock().0 += 1);
                    7
                };
                assert_eq!(raw_fork(child), 7);
            } else {
                assert_eq!(ended(&spawn(uses_everything).unwrap()), ExitStatus::Exited(7));
            }
        }
        STOP.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn every_process_of_a_line_has_a_generation_of_its_own() {
    alone("every_process_of_a_line_has_a_generation_of_its_own", || {
        let (mine, stamp, number) = (generation(), Stamp::now(), thread::number());
        assert!(mine > 0 && stamp.is_current());
        let check = move |parent: u64| {
            assert!(generation() > parent);
            assert!(!stamp.is_current() && Stamp::now().is_current());
            assert_ne!(thread::number(), number);
        };
        let line = || {
            check(mine);
            let (child, own) = (generation(), Stamp::now());
            let grandchild = || {
                check(child);
                i32::from(own.is_current())
            };
            assert_eq!(raw_fork(grandchild), 0);
            assert_eq!(bare_clone(grandchild), 0);
            i32::from(!own.is_current())
        };
        assert_eq!(raw_fork(line), 0);
        assert_eq!(bare_clone(line), 0);
        assert_eq!(ended(&spawn(line).unwrap()), ExitStatus::Exited(0));
        assert!(stamp.is_current());
        assert_eq!((generation(), thread::number()), (mine, number));
    });
}

#[test]
fn hooks_run_around_every_fork_with_the_gate_shut() {
    static SEEN: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];
    static GUARDED: ForkMutex<u32> = ForkMutex::new(0);
    static GENERATION: AtomicU64 = AtomicU64::new(0);

    fn prepare() {
        // A new reader would wait; the forking thread itself passes.
        *GUARDED.lock() += 1;
        SEEN[0].fetch_add(1, Ordering::Relaxed);
    }
    fn parent() {
        *GUARDED.lock() += 1;
        SEEN[1].fetch_add(1, Ordering::Relaxed);
    }
    fn child() {
        *GUARDED.lock() += 10;
        SEEN[2].fetch_add(1, Ordering::Relaxed);
        GENERATION.store(generation(), Ordering::Relaxed);
    }
    fn seen() -> [u32; 3] {
        std::array::from_fn(|index| SEEN[index].load(Ordering::Relaxed))
    }

    alone("hooks_run_around_every_fork_with_the_gate_shut", || {
        for _ in 0..20 {
            at_fork(Hooks { prepare, parent, child });
        }
        let before = generation();
        assert_eq!(raw_fork(|| i32::from((seen(), *GUARDED.lock()) != ([1, 0, 1], 11))), 0);
        assert_eq!((seen(), *GUARDED.lock()), ([1, 1, 0], 2));
        assert_eq!(raw_fork(|| i32::from(GENERATION.load(Ordering::Relaxed) != generation())), 0);
        assert_eq!(ended(&spawn(|| i32::from(generation() == before)).unwrap()), ExitStatus::Exited(0));
        assert_eq!(seen(), [3, 3, 0]);
    });
}

#[test]
fn a_fork_waits_for_the_critical_sections_of_other_threads() {
    static GUARDED: ForkMutex<u32> = ForkMutex::new(0);
    alone("a_fork_waits_for_the_critical_sections_of_other_threads", || {
        let (started, inside) = std::sync::mpsc::channel();
        let holder = std::thread::spawn(move || {
            let mut guard = GUARDED.lock();
            *guard = 1;
            started.send(()).unwrap();
            // Were the gate open, the fork would happen in this time and its child find 1, locked.
            std::thread::sleep(Duration::from_millis(200));
            *guard = 2;
        });
        inside.recv().unwrap();
        assert_eq!(raw_fork(|| i32::try_from(*GUARDED.lock()).unwrap()), 2);
        holder.join().unwrap();
    });
}

#[test]
fn what_was_printed_before_a_fork_appears_once() {
    let output = alone("what_was_printed_before_a_fork_appears_once", || {
        print!("[rust before]");
        // SAFETY: a format without arguments.
        unsafe { libc::printf(c"[c before]".as_ptr()) };
        let child = spawn(|| {
            print!("[rust child]");
            // SAFETY: as above.
            unsafe { libc::printf(c"[c child]".as_ptr()) };
            0
        });
        ended(&child.unwrap());
        // A child with a thread that keeps stdout leaves all the same.
        let stuck = spawn(|| {
            let (held, holding) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                let _held = io::stdout().lock();
                held.send(()).unwrap();
                std::thread::sleep(WATCHDOG);
            });
            holding.recv().unwrap();
            3
        });
        assert_eq!(ended(&stuck.unwrap()), ExitStatus::Exited(3));
    });
    if let Some(output) = output {
        let printed = text(&output.stdout);
        for part in ["[rust before]", "[c before]", "[rust child]", "[c child]"] {
            assert_eq!(printed.matches(part).count(), 1, "{part} in {printed}");
        }
    }
}

/// Symptom: a process forked by `fork(2)` while another thread printed hung when it started a manager or a process. Cause: it waited for stdout, locked by a thread that it
/// did not have.
#[test]
fn a_child_that_inherits_stdout_locked_can_fork() {
    alone("a_child_that_inherits_stdout_locked_can_fork", || {
        let (held, holding) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _held = io::stdout().lock();
            held.send(()).unwrap();
            std::thread::sleep(WATCHDOG);
        });
        holding.recv().unwrap();
        let code = raw_fork(|| {
            let inner = spawn(|| match ended(&spawn(|| 3).unwrap()) {
                ExitStatus::Exited(code) => code + 1,
                _ => 1,
            });
            match ended(&inner.unwrap()) {
                ExitStatus::Exited(code) => code + 1,
                _ => 2,
            }
        });
        assert_eq!(code, 5);
        process::exit(0);
    });
}

#[test]
fn a_childs_panic_is_told_on_fd_2_and_ends_it_with_101() {
    let output = alone("a_childs_panic_is_told_on_fd_2_and_ends_it_with_101", || {
        let child = spawn(|| panic!("the words of {}", 7)).unwrap();
        assert_eq!(ended(&child), ExitStatus::Exited(101));
        let child = spawn(|| {
            let thread = std::thread::spawn(|| panic!("the thread's words"));
            i32::from(thread.join().is_err())
        });
        assert_eq!(ended(&child.unwrap()), ExitStatus::Exited(1));
    });
    if let Some(output) = output {
        let told = text(&output.stderr);
        for part in ["the words of 7", "the thread's words"] {
            assert_eq!(told.matches(part).count(), 1, "{part} in {told}");
        }
        assert!(told.contains("fork/tests.rs:"), "{told}");
    }
}

#[test]
fn a_child_can_panic_while_another_thread_of_its_parent_does() {
    static HELD_UP: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    let until = |flag: &AtomicBool| {
        while !flag.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
    };
    alone("a_child_can_panic_while_another_thread_of_its_parent_does", || {
        let [inside, released] = &HELD_UP;
        std::panic::set_hook(Box::new(move |_| {
            inside.store(true, Ordering::Relaxed);
            until(released);
        }));
        // From here on the crate's hook is in place. A child could not put it there, with std's lock held by that thread.
        assert_eq!(ended(&spawn(|| 0).unwrap()), ExitStatus::Exited(0));
        let slow = std::thread::spawn(|| panic!("slow to tell"));
        until(inside);
        assert_eq!(ended(&spawn(|| panic!("in the child")).unwrap()), ExitStatus::Exited(101));
        released.store(true, Ordering::Relaxed);
        assert!(slow.join().is_err());
    });
}

#[test]
fn a_child_begins_with_clean_signals() {
    extern "C" fn handler(_: libc::c_int) {}
    fn disposition(signal: Signal) -> usize {
        let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: asks only.
        unsafe { libc::sigaction(signal as i32, std::ptr::null(), now.as_mut_ptr()) };
        // SAFETY: filled by the call.
        unsafe { now.assume_init() }.sa_sigaction
    }
    alone("a_child_begins_with_clean_signals", || {
        let set = |signal, handler| {
            let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
            // SAFETY: the handler does nothing.
            unsafe { sigaction(signal, &action) }.unwrap();
        };
        set(Signal::SIGUSR1, SigHandler::Handler(handler));
        set(Signal::SIGUSR2, SigHandler::SigIgn);
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGHUP);
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&blocked), None).unwrap();
        let child = spawn(move || {
            let mask = SigSet::thread_get_mask().unwrap();
            assert_eq!(disposition(Signal::SIGUSR1), libc::SIG_DFL);
            assert_eq!(disposition(Signal::SIGUSR2), libc::SIG_IGN);
            assert_eq!(mask, blocked);
            process::ignore(&[Signal::SIGINT]);
            assert_eq!(disposition(Signal::SIGINT), libc::SIG_IGN);
            0
        });
        assert_eq!(ended(&child.unwrap()), ExitStatus::Exited(0));
        assert_eq!(SigSet::thread_get_mask().unwrap(), blocked);
        assert_ne!(disposition(Signal::SIGUSR1), libc::SIG_DFL);
    });
}

/// A child that lives until it is killed.
fn sleeper() -> Child {
    spawn(|| {
        std::thread::sleep(WATCHDOG);
        0
    })
    .unwrap()
}

#[test]
fn a_childs_end_is_remembered_and_told_with_its_cause() {
    let child = sleeper();
    assert_eq!(child.wait(Some(Duration::from_millis(1))).unwrap(), None);
    assert!(!child.pidfd().has_ended());
    child.signal(Signal::SIGKILL).unwrap();
    for _ in 0..2 {
        assert_eq!(ended(&child), ExitStatus::Killed(libc::SIGKILL));
    }
    assert_eq!(ended(&child).to_string(), "was killed by SIGKILL");
    child.signal(Signal::SIGTERM).unwrap();
    let realtime = spawn(|| {
        // SAFETY: sends this process a signal that ends it.
        unsafe { libc::raise(libc::SIGRTMIN() + 3) };
        0
    });
    assert_eq!(ended(&realtime.unwrap()).signal(), Some(libc::SIGRTMIN() + 3));
}

#[test]
fn a_status_that_somebody_else_took_is_no_error() {
    let child = spawn(|| 5).unwrap();
    assert_eq!(code_of(Pid::from_raw(child.pid().cast_signed())), 5);
    assert_eq!(ended(&child), ExitStatus::Unknown);
}

#[test]
fn a_child_handle_is_inert_in_another_child() {
    let child = sleeper();
    let other = spawn(|| {
        child.signal(Signal::SIGKILL).unwrap();
        i32::from(child.wait(None).unwrap().is_some())
    });
    assert_eq!(ended(&other.unwrap()), ExitStatus::Exited(0));
    assert_eq!(child.wait(Some(Duration::ZERO)).unwrap(), None);
    child.signal(Signal::SIGKILL).unwrap();
    ended(&child);
}

#[test]
fn threads_are_counted() {
    alone("threads_are_counted", || {
        let before = thread_count();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv());
        assert_eq!(thread_count(), before + 1);
        drop(go);
        let _ = thread.join();
    });
}
