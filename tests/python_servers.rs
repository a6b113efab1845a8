//! Managers that Python programs started, in every version that is found, used from Rust.

mod common;
#[path = "common/pythons.rs"]
mod pythons;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use multiproc::python::{PythonManager, PythonProxy};
use multiproc::{Address, Error, RemoteError, Value};
use pythons::{Python, pythons};

const KEY: &str = "a key for tests";

struct Server {
    child: Child,
    directory: tempfile::TempDir,
}

impl Server {
    fn start(python: &Python) -> Self {
        let directory = tempfile::Builder::new().prefix("multiproc-").tempdir().unwrap();
        let path = directory.path().join("socket");
        let mut child = python.script("server.py").arg(&path).arg(KEY).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "serves");
        Self { child, directory }
    }

    fn address(&self) -> Address {
        Address::Unix(self.directory.path().join("socket"))
    }

    fn connect(&self) -> PythonManager {
        PythonManager::connect(self.address(), KEY).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn remote(result: multiproc::Result<Value>) -> RemoteError {
    match result.unwrap_err() {
        Error::Remote(error) => error,
        other => panic!("{other:?}"),
    }
}

#[derive(serde::Serialize)]
struct Keywords {
    note: &'static str,
}

#[test]
fn objects_of_a_python_manager_are_worked_on_from_rust() {
    for python in pythons() {
        let mut server = Server::start(python);
        let manager = server.connect();
        let dict = manager.create("dict", ()).unwrap();
        dict.call_method::<()>("__setitem__", ("a", vec![1.5, 2.0])).unwrap();
        dict.call_method::<()>("update", (BTreeMap::from([("n", i128::MAX)]),)).unwrap();
        assert_eq!(dict.call_method::<Vec<f64>>("get", ("a",)).unwrap(), [1.5, 2.0]);
        assert_eq!(dict.call_method::<i128>("__getitem__", ("n",)).unwrap(), i128::MAX);
        assert!(dict.text().unwrap().starts_with("{'a': [1.5, 2.0], 'n': "), "{dict}");
        let copy: BTreeMap<String, Value> = dict.to_value().unwrap();
        assert_eq!(copy.len(), 2);

        // Exceptions: their class, their arguments; and what the server itself says, with its traceback.
        let error = remote(dict.call_method("__getitem__", ("missing",)));
        assert_eq!((&*error.kind, &*error.message), ("builtins.KeyError", "'missing'"));
        let error = remote(dict.call_method("no_such_method", ()));
        assert_eq!(error.kind, "multiprocessing.managers.RemoteError");
        assert!(error.causes[0].contains("Traceback (most recent call last)"), "{error:?}");
        let queue = manager.create("Queue", (1,)).unwrap();
        let error = remote(queue.call_method("get_nowait", ()));
        assert_eq!(error.kind, "_queue.Empty");

        // A class of the program's own, with keyword arguments and an exception of two arguments.
        let account = manager.create_with("Account", ("ada",), BTreeMap::from([("balance", 5)])).unwrap();
        assert_eq!(account.to_string(), "Account of ada");
        let told: BTreeMap<String, Value> =
            account.call_method_with("deposit", (10,), Keywords { note: "rent" }).unwrap();
        assert_eq!((&told["balance"], &told["note"]), (&15.into(), &"rent".into()));
        let error = remote(account.call_method("deposit", (-1,)));
        assert_eq!((&*error.kind, &*error.message), ("__main__.Refusal", "('negative', -1)"));

        // Proxies in values, as results, and of iterators.
        let list = manager.create("list", ((1, 2),)).unwrap();
        dict.call_method::<()>("__setitem__", ("list", &list)).unwrap();
        let iterator: PythonProxy = dict.call_method("__iter__", ()).unwrap();
        assert_eq!(iterator.typeid(), "Iterator");
        assert_eq!(iterator.call_method::<String>("__next__", ()).unwrap(), "a");

        // References come and go as in Python.
        let objects = manager.number_of_objects().unwrap();
        drop(list.clone());
        drop((iterator, queue));
        common::eventually("what was dropped is gone", || manager.number_of_objects().unwrap() == objects - 2);
        assert!(manager.debug_info().unwrap().contains("Account of ada"));

        assert!(matches!(PythonManager::connect(server.address(), "wrong"), Err(Error::Authentication { .. })));
        drop((dict, list, account));
        manager.shutdown().unwrap();
        server.child.wait().unwrap();
        assert!(PythonManager::connect(server.address(), KEY).is_err());
    }
}

#[test]
fn threads_and_forked_children_have_connections_of_their_own() {
    let Some(python) = pythons().last() else { return };
    let server = Server::start(python);
    let manager = server.connect();
    let (lock, list) = (manager.create("RLock", ()).unwrap(), manager.create("list", ()).unwrap());
    assert!(lock.call_method::<bool>("acquire", ()).unwrap());
    let other = lock.clone();
    // To Python's server each thread is another owner.
    let got = std::thread::spawn(move || other.call_method::<bool>("acquire", (false,)).unwrap()).join().unwrap();
    assert!(!got);
    let children: Vec<_> = (0..4)
        .map(|number| {
            let list = list.clone();
            common::fork(move || {
                (0..20).for_each(|_| list.call_method("append", (number,)).unwrap());
                0
            })
        })
        .collect();
    (0..20).for_each(|_| list.call_method("append", (9,)).unwrap());
    children.into_iter().for_each(|child| assert_eq!(common::wait(child), 0));
    let all: Vec<u8> = list.to_value().unwrap();
    assert_eq!(all.len(), 100);
    assert!([0, 1, 2, 3, 9].iter().all(|number| all.iter().filter(|one| *one == number).count() == 20));
    lock.call_method::<()>("release", ()).unwrap();
}
