//! What connections tell and what they don't: a client's end, what had arrived of what was sent, a reader that does not read.

#![allow(missing_docs)]

mod common;

use std::thread;
use std::time::Duration;

use common::raw::{CONTROL, DATA, KEY, Raw, SERVER, lost, release};
use common::{Child, alone, bare_clone, eventually, exit, fork, wait};
use multiproc::{BaseManager, Builder, Error};

#[derive(Default)]
pub struct Chatter {
    said: u64,
}

/// How long what it says is.
const SPEECH: usize = 1 << 20;

#[multiproc::referent]
impl Chatter {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn speech(&mut self) -> String {
        self.said += 1;
        "x".repeat(SPEECH)
    }

    pub fn said(&self) -> u64 {
        self.said
    }
}

fn builder() -> Builder {
    BaseManager::builder().register::<Chatter>().authkey(KEY)
}

fn objects(manager: &BaseManager) -> u64 {
    manager.number_of_objects().unwrap()
}

fn come_to(manager: &BaseManager, number: u64) {
    eventually("the right number of objects lives", || objects(manager) == number);
}

/// Ends in a child that sleeps until it is killed.
fn sleep() -> ! {
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

/// Mechanism: the client's pidfd. Its control stream does not end with it, since a copy of the process holds that open, which makes no sound.
#[test]
fn a_killed_client_gives_back_though_a_copy_of_it_holds_its_sockets() {
    let _alone = alone();
    common::adopt_orphans();
    let manager = builder().start().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let client = fork(|| {
        let _chatters: Vec<_> = (0..3).map(|_| ChatterProxy::new(&manager).unwrap()).collect();
        match bare_clone() {
            0 => sleep(),
            copy => {
                std::io::Write::write_all(&mut &writer, &copy.to_le_bytes()).unwrap();
                sleep()
            }
        }
    });
    let mut copy = [0; 4];
    std::io::Read::read_exact(&mut &reader, &mut copy).unwrap();
    let copy = Child::adopt(i32::from_le_bytes(copy));
    assert_eq!(objects(&manager), 3);
    client.kill();
    come_to(&manager, 0);
    assert!(common::is_alive(copy.pid()), "the copy was to hold the sockets open");
    copy.kill();
    manager.shutdown().unwrap();
}

/// Mechanism: the control stream's end, which is all that tells where no pidfd can be had.
#[test]
fn a_killed_client_gives_back_over_tcp() {
    let _alone = alone();
    let manager = builder().address("tcp:127.0.0.1:0").start().unwrap();
    let address = manager.address().to_string();
    let (reader, writer) = std::io::pipe().unwrap();
    let client = fork(|| {
        let manager = builder().address(&*address).connect().unwrap();
        let _chatters: Vec<_> = (0..3).map(|_| ChatterProxy::new(&manager).unwrap()).collect();
        std::io::Write::write_all(&mut &writer, &[1]).unwrap();
        sleep()
    });
    std::io::Read::read_exact(&mut &reader, &mut [0]).unwrap();
    assert_eq!(objects(&manager), 3);
    client.kill();
    come_to(&manager, 0);
    manager.shutdown().unwrap();
}

/// Mechanism: the generation that a copy is told by. Without it the copy would speak on its original's connections.
#[test]
fn a_copy_by_a_bare_clone_is_told_to_use_fork_and_takes_nothing() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    let chatter = ChatterProxy::new(&manager).unwrap();
    let code = wait(fork(|| {
        chatter.said().unwrap();
        match bare_clone() {
            0 => {
                let refused = chatter.said();
                let right = matches!(&refused, Err(Error::State { .. }));
                // Neither drop says anything.
                drop(chatter.clone());
                exit(if right { 0 } else { 1 })
            }
            copy => {
                // The copy's end must not be this process's.
                let code = wait(Child::adopt(copy));
                chatter.said().expect("the original's connections are its own");
                code
            }
        }
    }));
    assert_eq!(code, 0, "a copy's call was not refused");
    assert_eq!(chatter.said().unwrap(), 0);
    drop(chatter);
    come_to(&manager, 0);
    manager.shutdown().unwrap();
}

const CLIENT: [u8; 16] = [7; 16];

/// Mechanism: deliveries that are in doubt, and the client's word on how far it had read. A grant in a reply that never arrived is revoked, not before the client has
/// said so; one that did arrive is not.
#[test]
fn a_grant_on_a_broken_connection_is_kept_until_the_client_says_how_far_it_had_read() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    let mut control = Raw::proven(&manager, CONTROL, CLIENT, 0);
    for (connection, arrived) in [(1, 0), (2, 1), (3, 0)] {
        let mut data = Raw::proven(&manager, DATA, CLIENT, connection);
        data.call(1, SERVER, "Chatter::new");
        eventually("the object is made", || objects(&manager) == 1);
        drop(data);
        // Longer than any clock that might be wrong.
        thread::sleep(Duration::from_millis(100));
        assert_eq!(objects(&manager), 1, "it may have arrived");
        let object = manager.debug_info().unwrap()[0].object.0;
        control.frame(&lost(connection, arrived));
        if arrived == 1 {
            thread::sleep(Duration::from_millis(100));
            assert_eq!(objects(&manager), 1, "it had arrived");
            control.frame(&release(object, 1));
        }
        come_to(&manager, 0);
    }
    manager.shutdown().unwrap();
}

/// Mechanism: a session whose client does not read its replies is shelved. Its requests wait unread, others are served, and all of it goes on when it reads again.
#[test]
fn a_client_that_reads_no_replies_is_not_served_further_until_it_does() {
    const CALLS: u64 = 64;
    let _alone = alone();
    let manager = builder().start().unwrap();
    let chatter = ChatterProxy::new(&manager).unwrap();
    let object = manager.debug_info().unwrap()[0].object.0;
    let _control = Raw::proven(&manager, CONTROL, CLIENT, 0);
    let mut data = Raw::proven(&manager, DATA, CLIENT, 1);
    for request in 1..=CALLS {
        data.call(request, object, "speech");
    }
    let mut said = 0;
    eventually("the server has stopped reading", || {
        thread::sleep(Duration::from_millis(300));
        // At least what is kept: 4 MiB.
        std::mem::replace(&mut said, chatter.said().unwrap()) == said && said >= 4
    });
    // Beside that, what the socket holds, and one reply beyond each.
    assert!((4..16).contains(&said), "{said} replies of 1 MiB were made for nobody");
    for _ in 0..CALLS {
        assert!(data.hear().expect("a reply").len() > SPEECH);
    }
    assert_eq!(chatter.said().unwrap(), CALLS);
    manager.shutdown().unwrap();
}
