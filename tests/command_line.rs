//! The program `multiproc`, as a person or a script uses it.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};

use multiproc::SyncManager;
use multiproc::types::ListProxy;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const KEY: &str = "6b6579";

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_multiproc"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A server that runs.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(name: &str) -> Self {
        let address = format!("unix:@multiproc-cli-{}-{name}", std::process::id());
        let mut command = program(&["serve", "--address", &address, "--authkey-hex", KEY]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), address);
        Self { child, address }
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        program(arguments).args(["--address", &self.address, "--authkey-hex", KEY]).output().unwrap()
    }

    fn told(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_serves_until_it_is_told_to_end() {
    let mut served = Served::start("serves");
    let manager = SyncManager::builder().address(served.address.as_str()).authkey("key").connect().unwrap();
    let list = ListProxy::<u32>::from_iter(&manager, [1, 2]).unwrap();
    assert!(served.told(&["ping"]).contains("answers in"));
    let objects = served.told(&["objects"]);
    assert!(objects.contains("list refcount=1 [1, 2]"), "{objects}");
    let object: serde_json::Value = serde_json::from_str(&served.told(&["objects", "--json"])).unwrap();
    assert_eq!((object["type"].as_str(), object["text"].as_str()), (Some("list"), Some("[1, 2]")));
    let stats = served.told(&["stats", "--json", "--interval", "0.1"]);
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    assert_eq!((stats["objects"].as_u64(), stats["clients"].as_u64()), (Some(1), Some(2)), "{stats}");
    assert!(stats["calls"].as_u64().unwrap() >= 3 && stats["connections"].as_u64().unwrap() >= 2, "{stats}");
    assert!(served.told(&["stats", "--interval", "0"]).contains("calls/s"));
    drop(list);
    served.told(&["shutdown"]);
    assert!(served.child.wait().unwrap().success());
    let output = served.ask(&["ping"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("multiproc: "));
}

/// Each large value cost a server a page fault for every 4 KiB, several times over: 16 MiB took four times the processor time of Python's own server.
#[cfg(target_env = "gnu")]
#[test]
fn memory_of_large_values_is_kept_while_they_come_and_given_back_then() {
    const SIZE: usize = 16 << 20;
    let served = Served::start("memory");
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", served.child.id())).unwrap();
    let faults = || -> usize { read("stat").rsplit(')').next().unwrap().split(' ').nth(8).unwrap().parse().unwrap() };
    let resident = || read("statm").split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096;
    let manager = SyncManager::builder().address(served.address.as_str()).authkey("key").connect().unwrap();
    let list = ListProxy::<serde_bytes::ByteBuf>::from_iter(&manager, [&b""[..]]).unwrap();
    let value = vec![1; SIZE];
    let before = resident();
    let set = || drop(list.set(0, &value[..]).unwrap());
    (0..5).for_each(|_| set());
    let first = faults();
    (0..20).for_each(|_| set());
    let each = (faults() - first) / 20;
    assert!(each < SIZE / 4096 / 2, "{each} page faults for each value of {SIZE} bytes");
    drop(list);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while resident() > before + SIZE {
        assert!(std::time::Instant::now() < end, "{} bytes are kept, {before} were there before", resident());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// The file of a server's own key is for its user, as long as the server lives, and the key is nowhere else.
#[test]
fn a_server_without_a_key_makes_one_and_tells_its_file() {
    let address = format!("unix:@multiproc-cli-{}-fresh", std::process::id());
    let mut keys = Vec::new();
    for signal in [Some(Signal::SIGTERM), None] {
        let mut command = program(&["serve", "--address", &address]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), address);
        let path = std::path::PathBuf::from(lines.next().unwrap().unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let key = std::fs::read_to_string(&path).unwrap();
        assert!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let manager = SyncManager::builder().address(address.as_str()).authkey(key.as_str()).connect().unwrap();
        drop(ListProxy::<u32>::from_iter(&manager, [1]).unwrap());
        drop(manager);
        let ask = |command: &str| {
            let arguments = [command, "--address", &address, "--authkey-file", path.to_str().unwrap()];
            program(&arguments).output().unwrap()
        };
        assert!(ask("ping").status.success());
        match signal {
            Some(signal) => kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap(),
            None => assert!(ask("shutdown").status.success()),
        }
        assert!(child.wait().unwrap().success());
        assert!(!path.exists());
        let rest: String = lines.map(Result::unwrap).collect();
        let mut told = String::new();
        child.stderr.unwrap().read_to_string(&mut told).unwrap();
        assert!(!rest.contains(&key) && !told.contains(&key), "{rest}{told}");
        keys.push(key);
    }
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn a_server_that_says_nothing_is_told_and_waited_for_no_longer() {
    let served = Served::start("stopped");
    kill(Pid::from_raw(served.child.id().cast_signed()), Signal::SIGSTOP).unwrap();
    for command in ["ping", "objects", "stats"] {
        let interval: &[_] = if command == "stats" { &["--interval", "0"] } else { &[] };
        let output = served.ask(&[&[command, "--timeout", "0.3"], interval].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("does not answer within 300ms"), "{output:?}");
    }
}

/// `multiproc objects | head -n 1` ended with a panic's words.
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let served = Served::start("pipes");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = program(&["ping", "--address", &served.address, "--authkey-hex", KEY]);
    let output = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_signal_ends_a_server_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut served = Served::start(signal.as_str());
        kill(Pid::from_raw(served.child.id().cast_signed()), signal).unwrap();
        assert!(served.child.wait().unwrap().success());
    }
}

#[test]
fn what_makes_no_sense_is_said_so() {
    let served = Served::start("wrong");
    let wrong = program(&["ping", "--address", &served.address, "--authkey-hex", "00"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("authkey"), "{wrong:?}");
    for arguments in [
        &["ping", "--address", "nowhere", "--authkey-hex", "00"][..],
        &["ping", "--address", "unix:@x", "--authkey-hex", "0"],
        &["ping", "--address", "unix:@x", "--authkey-env", "NO_SUCH_VARIABLE"],
        &["ping", "--address", "unix:@x", "--authkey-file", "/no/such/file"],
        &["ping", "--address", "unix:@x"],
        &["ping", "--address", "unix:@x", "--authkey-hex", "00", "--timeout", "-1"],
        &["stats", "--address", "unix:@x", "--authkey-hex", "00", "--interval", "soon"],
        &["serve"],
        &["serve", "--address", "unix:@x", "--authkey-hex", "00", "--authkey-env", "HOME"],
        &["ping", "--address", "unix:@x", "--authkey-hex", "00", "--authkey-env", "HOME"],
        &["serve", "--address", "unix:@x", "--authkey-hex", "00", "--python", "3.7"],
    ] {
        let output = program(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
    for arguments in [&["--help"][..], &["serve", "--help"], &["completions", "bash"], &["--version"]] {
        let output = program(arguments).output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{arguments:?}");
    }
}
