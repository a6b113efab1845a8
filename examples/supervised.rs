//! Workers under a supervisor, one of which is killed while it holds the lock that all of them need: the lock is passed on, the worker is replaced, and the work is done.
//!
//!     cargo run --example supervised
//!
//! The workers move money between two shared counters, which is wrong for a moment in the middle. Whoever gets the lock of one that died there is told (`was_abandoned`), and puts
//! the books right.

use std::time::Duration;

use multiproc::process::{self, Waitable};
use multiproc::types::{CounterProxy, LockProxy};
use multiproc::{Connection, Process, Result, SyncManager, pipe};

/// What all the workers share. A forked child inherits it, with references of its own.
struct Bank {
    lock: LockProxy,
    left: CounterProxy,
    right: CounterProxy,
    moved: CounterProxy,
}

/// All the money.
const MONEY: i64 = 300;

impl Bank {
    fn new(manager: &SyncManager) -> Result<Self> {
        let counter = |money| CounterProxy::new(manager, money);
        Ok(Self { lock: LockProxy::new(manager)?, left: counter(MONEY)?, right: counter(0)?, moved: counter(0)? })
    }

    /// Moves one coin at a time until there is none. `tell`, if given, is told in the middle of a move, and then waited for for ever.
    fn work(&self, name: &str, tell: Option<Connection>) -> Result<i64> {
        let mut mine = 0;
        loop {
            let guard = self.lock.lock()?;
            if guard.was_abandoned() {
                let missing = MONEY - self.left.get()? - self.right.get()?;
                self.right.add(missing)?;
                println!("{name}: the lock's last owner died; {missing} coin was between the books and is back");
            }
            if self.left.get()? == 0 {
                return Ok(mine);
            }
            self.left.add(-1)?;
            if let Some(tell) = tell.as_ref().filter(|_| mine == 20) {
                tell.send(&mine)?;
                std::thread::sleep(Duration::from_secs(3600));
            }
            self.right.add(1)?;
            self.moved.add(1)?;
            mine += 1;
        }
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let manager = SyncManager::start()?;
    let bank = Bank::new(&manager)?;
    let start = |name: &str, tell: Option<Connection>| {
        let owned = name.to_owned();
        let bank = &bank;
        Process::builder().name(name).daemon(true).try_spawn(move || Ok(bank.work(&owned, tell)?))
    };
    let (near, far) = pipe()?;
    let mut workers: Vec<Process<i64>> =
        vec![start("victim", Some(far))?, start("second", None)?, start("third", None)?];

    let moved: i64 = near.recv()?;
    println!("victim has moved {moved} coins, holds the lock, and is killed");
    workers[0].kill()?;

    // The supervisor: whoever ends is looked at, and replaced if it did not end well.
    while !workers.is_empty() {
        let waiting: Vec<&dyn Waitable> = workers.iter().map(|worker| worker as &dyn Waitable).collect();
        for index in process::wait(&waiting, None)?.into_iter().rev() {
            let ended = workers.swap_remove(index);
            let name = ended.name().to_owned();
            match ended.join() {
                Ok(moved) => println!("{name} is done, having moved {moved} coins"),
                Err(error) => {
                    println!("{error}; it is replaced");
                    workers.push(start(&format!("{name}'s successor"), None)?);
                }
            }
        }
    }
    println!("left {}, right {}", bank.left.get()?, bank.right.get()?);
    assert_eq!((bank.left.get()?, bank.right.get()?), (0, MONEY));
    manager.shutdown()?;
    Ok(())
}
