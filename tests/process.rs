//! Processes: what comes back, how they end, and that nothing is left of them. Each test names the mechanism that it holds.

mod common;
#[path = "common/counter.rs"]
mod counter;

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use common::{LIMIT, alone, children, descriptors, eventually, fork, is_alive, state, wait, within};
use counter::{Counter, CounterProxy};
use multiproc::{BaseManager, Process, ProcessError, active_children, current_process, parent_process, pipe, process};

/// Runs until it is told to end, by the end of the other side.
fn until_told() -> (multiproc::Connection, impl FnOnce()) {
    let (near, far) = pipe().unwrap();
    (near, move || {
        let _ = far.recv::<()>();
    })
}

fn me() -> i32 {
    std::process::id().cast_signed()
}

#[test]
fn a_value_comes_back_with_its_type() {
    let text = String::from("captured");
    let child = Process::spawn(|| (text.len(), text.clone())).unwrap();
    assert_eq!(child.join().unwrap(), (8, text));
}

/// Holds the memfd beside the packet: a child with a large result would wait for its parent to listen, and its end never come.
#[test]
fn a_large_value_does_not_wait_for_the_parent_to_listen() {
    let child = Process::spawn(|| vec![7_u8; 20 << 20]).unwrap();
    assert_eq!(process::wait(&[&child], Some(LIMIT)).unwrap(), [0]);
    assert!(child.exit_status().unwrap().success());
    assert!(child.join_timeout(LIMIT).unwrap().unwrap().iter().all(|byte| *byte == 7));
    assert_eq!(child.join().unwrap().len(), 20 << 20, "a second time");
}

#[test]
fn a_panic_comes_back_with_its_message_and_place() {
    let child = Process::spawn(|| -> u32 { panic!("lost {}", 7) }).unwrap();
    let name = child.name().to_owned();
    let error = child.join().unwrap_err();
    assert!(error.to_string().contains(&name) && error.to_string().contains("lost 7"), "{error}");
    let ProcessError::Panicked { panic, .. } = error else { panic!("{error:?}") };
    assert_eq!(panic.message, "lost 7");
    assert!(panic.place.unwrap().contains("tests/process.rs"));
    assert!(panic.backtrace.contains("a_panic_comes_back"), "{}", panic.backtrace);
}

#[test]
fn an_error_comes_back_with_its_sources() {
    let child = Process::<u32>::try_spawn(|| Ok(std::fs::read_to_string("/no/such/file")?.parse()?)).unwrap();
    let error = child.join().unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("No such file"), "{source}");
}

#[test]
fn exits_and_signals_are_named() {
    let child = Process::<()>::spawn(|| common::exit(3)).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(matches!(child.join(), Err(ProcessError::Exited { code: 3, .. })));

    let child = Process::<()>::spawn(|| std::process::abort()).unwrap();
    let error = child.join().unwrap_err();
    assert!(error.to_string().contains("SIGABRT"), "{error}");

    let child = Process::spawn(common::forever).unwrap();
    assert!(child.is_alive() && child.try_wait().unwrap().is_none());
    child.terminate().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    assert!(!child.is_alive());
    let error = child.join().unwrap_err();
    assert_eq!(error.signal(), Some(15));
    assert!(error.to_string().contains("SIGTERM"), "{error}");
}

#[test]
fn a_value_that_cannot_be_sent_is_an_error_that_says_so() {
    #[derive(Debug)]
    struct Unsendable;
    impl serde::Serialize for Unsendable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("never"))
        }
    }
    impl<'de> serde::Deserialize<'de> for Unsendable {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Err(serde::de::Error::custom("never"))
        }
    }
    let error = Process::spawn(|| Unsendable).unwrap().join().unwrap_err();
    assert!(error.to_string().contains("Unsendable") && error.to_string().contains("never"), "{error}");
}

#[test]
fn a_join_with_a_limit_leaves_the_child_as_it_is() {
    let (near, until) = until_told();
    let child = Process::spawn(until).unwrap();
    assert!(child.join_timeout(Duration::from_millis(20)).unwrap().is_none());
    assert!(child.is_alive());
    near.close();
    assert!(child.join_timeout(LIMIT).unwrap().is_some());
    child.close().unwrap();
}

#[test]
fn names_are_pythons() {
    assert_eq!(current_process().name(), "MainProcess");
    assert!(!current_process().is_daemon());
    assert!(parent_process().unwrap().is_none());
    let parent = me();
    let child = Process::spawn(move || {
        let first = Process::spawn(|| current_process().name().to_owned()).unwrap().join().unwrap();
        let second = Process::spawn(|| (current_process().name().to_owned(), parent_process().unwrap().unwrap().id()));
        let (second, above) = second.unwrap().join().unwrap();
        let mine = parent_process().unwrap().unwrap();
        assert_eq!((mine.name(), mine.id().cast_signed(), mine.is_alive()), ("MainProcess", parent, true));
        assert_eq!(above, std::process::id());
        (current_process().name().to_owned(), first, second)
    });
    let child = child.unwrap();
    let name = child.name().to_owned();
    assert!(name.starts_with("Process-"));
    assert_eq!(child.join().unwrap(), (name.clone(), format!("{name}:1"), format!("{name}:2")));
    let named = Process::builder().name("worker").spawn(|| current_process().name().to_owned()).unwrap();
    assert_eq!((named.name().to_owned(), named.join().unwrap()), ("worker".to_owned(), "worker".to_owned()));
}

#[test]
fn children_are_listed_until_they_have_ended() {
    let (near, until) = until_told();
    let child = Process::spawn(until).unwrap();
    let listed = || active_children().iter().any(|active| active.id() == child.id());
    assert!(listed());
    near.close();
    child.wait().unwrap();
    assert!(!listed());
}

/// Holds the reaper, and the reaping by the next spawn.
#[test]
fn nobody_needs_to_join_for_there_to_be_no_zombie() {
    let (near, until) = until_told();
    let dropped = Process::spawn(until).unwrap();
    let pid = dropped.id().cast_signed();
    drop(dropped);
    near.close();
    eventually("the reaper has reaped it", || state(pid).is_none());

    let kept = Process::spawn(|| ()).unwrap();
    let pid = kept.id().cast_signed();
    eventually("it has ended", || state(pid) == Some('Z') || state(pid).is_none());
    Process::spawn(|| ()).unwrap().join().unwrap();
    assert_eq!(state(pid), None, "the next spawn reaps it");
    kept.join().unwrap();

    let kept = Process::spawn(|| ()).unwrap();
    let pid = kept.id().cast_signed();
    eventually("it has ended", || state(pid) == Some('Z') || state(pid).is_none());
    drop(kept);
    assert_eq!(state(pid), None, "the drop reaps it");
}

/// Holds the private descriptors: what one child leaves open in another would be counted here.
#[test]
fn nothing_is_left_of_processes_that_have_ended() {
    let _alone = alone();
    let child = fork(|| {
        let count = || (descriptors(me()), children(me()).len());
        Process::spawn(|| ()).unwrap().join().unwrap();
        let before = count();
        for round in 0..40 {
            let running: Vec<_> = (0..5).map(|number| Process::spawn(move || number).unwrap()).collect();
            let idle = Process::builder().daemon(true).spawn(common::forever).unwrap();
            // The child of the later one holds nothing of the others.
            let held = Process::spawn(|| descriptors(std::process::id().cast_signed())).unwrap().join().unwrap();
            assert!(held <= before.0 + 2, "{held} descriptors in a child, {} in its parent", before.0);
            for (number, running) in running.into_iter().enumerate() {
                assert_eq!(running.join().unwrap(), number);
            }
            idle.kill().unwrap();
            match round % 2 {
                0 => assert!(idle.join().is_err()),
                _ => drop(idle),
            }
        }
        // Where another test's manager lived at the fork, this process has what the last of its children held until it forks again.
        let again = within(LIMIT / 2, || {
            Process::spawn(|| ()).unwrap().join().unwrap();
            count() == before
        });
        assert!(again, "{:?} before, {:?} after", before, count());
        0
    });
    assert_eq!(wait(child), 0);
}

#[test]
fn a_child_of_a_child_uses_proxies_at_any_depth() {
    let manager = BaseManager::builder().register::<Counter>().start().unwrap();
    let counter = CounterProxy::new(&manager).unwrap();
    fn deeper(counter: &CounterProxy, depth: u32) -> u64 {
        counter.add(1).unwrap();
        if depth == 0 {
            counter.add(0).unwrap()
        } else {
            Process::spawn(|| deeper(counter, depth - 1)).unwrap().join().unwrap()
        }
    }
    assert_eq!(deeper(&counter, 4), 5);
    // A proxy as a result, of an object that only the child had.
    let made = Process::spawn(|| CounterProxy::new(&manager).unwrap()).unwrap().join().unwrap();
    assert_eq!(made.add(7).unwrap(), 7);
    manager.shutdown().unwrap();
}

#[test]
fn a_childs_copy_of_a_handle_is_inert() {
    let (near, until) = until_told();
    let sibling = Process::spawn(until).unwrap();
    let child = Process::spawn(|| {
        sibling.kill().unwrap();
        sibling.terminate().unwrap();
        assert!(active_children().is_empty());
        assert!(!sibling.is_alive());
        sibling.wait().unwrap_err().to_string()
    });
    let said = child.unwrap().join().unwrap();
    assert!(said.contains("only that can wait for it"), "{said}");
    assert!(sibling.is_alive());
    near.close();
    sibling.join().unwrap();
}

/// Holds the lifeline: a busy daemon has nothing but it that tells of its parent.
#[test]
fn a_busy_daemon_ends_with_its_parent_however_that_ends() {
    for way in ["exit", "SIGKILL", "SIGTERM"] {
        let (mut told, mut tell) = std::io::pipe().unwrap();
        let parent = fork(move || {
            let busy = || loop {
                std::hint::spin_loop();
            };
            let (inner, inners) = pipe().unwrap();
            let outer = Process::builder().daemon(true).spawn(move || {
                // A daemon's child is one by default.
                let inner: Process<()> = Process::spawn(busy).unwrap();
                assert!(inner.is_daemon());
                inners.send(&inner.id()).unwrap();
                common::forever();
            });
            let (outer, inner) = (outer.unwrap(), inner.recv::<u32>().unwrap());
            let busy_one: Process<()> = Process::builder().daemon(true).spawn(busy).unwrap();
            let (begun, begins) = pipe().unwrap();
            let stopped = Process::<()>::builder().daemon(true).spawn(move || {
                begins.send(&()).unwrap();
                busy()
            });
            let stopped: Process<()> = stopped.unwrap();
            begun.recv::<()>().unwrap();
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(stopped.id().cast_signed()), nix::sys::signal::SIGSTOP)
                .unwrap();
            // A sibling that is no daemon, forked later: it must not hold the others' lives.
            let (_near, until) = until_told();
            let sibling = Process::spawn(until).unwrap();
            for pid in [busy_one.id(), stopped.id(), outer.id(), inner, sibling.id()] {
                tell.write_all(&pid.to_ne_bytes()).unwrap();
            }
            tell.write_all(&[0; 4]).unwrap();
            if way == "exit" {
                0
            } else {
                loop {
                    std::thread::park()
                }
            }
        });
        // The family holds copies of the other end, so that its end tells nothing.
        let mut bytes = [0; 24];
        told.read_exact(&mut bytes).unwrap();
        let pids: Vec<_> = bytes[..20].chunks(4).map(|pid| i32::from_ne_bytes(pid.try_into().unwrap())).collect();
        match way {
            "exit" => assert_eq!(wait(parent), 0),
            "SIGKILL" => parent.kill(),
            _ => {
                parent.signal(nix::sys::signal::SIGTERM);
                wait(parent);
            }
        }
        let begun = Instant::now();
        for pid in pids {
            assert!(within(LIMIT, || !is_alive(pid)), "{pid} outlived its parent's {way}");
        }
        println!("{way}: all gone after {:?}", begun.elapsed());
    }
}
