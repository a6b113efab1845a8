//! A referent lives exactly as long as somebody can reach it: never shorter, never longer, whoever dies.

#![allow(missing_docs)]

mod common;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::{Child, alone, eventually, fork, wait};
use multiproc::{BaseManager, BaseProxy, Builder, Error, Proxy, Registration, Responder, Shared};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

#[derive(Debug, Clone, Default)]
pub struct Counter {
    count: u64,
}

#[multiproc::referent(typeid = "Counter")]
impl Counter {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn get(&self) -> u64 {
        self.count
    }

    pub fn add(&mut self, n: u64) -> u64 {
        self.count += n;
        self.count
    }

    /// A copy, as a referent of its own.
    #[referent(proxy)]
    pub fn twin(&self) -> Counter {
        self.clone()
    }
}

/// Holds proxies inside the server.
#[derive(Debug, Default)]
pub struct Shelf {
    slots: BTreeMap<u32, BaseProxy>,
    waiting: Vec<Responder<BaseProxy>>,
}

#[multiproc::referent(typeid = "Shelf")]
impl Shelf {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn put(&mut self, slot: u32, proxy: BaseProxy) -> Option<BaseProxy> {
        self.slots.insert(slot, proxy)
    }

    pub fn take(&mut self, slot: u32) -> Option<BaseProxy> {
        self.slots.remove(&slot)
    }

    pub fn take_all(&mut self) -> Vec<(u32, BaseProxy)> {
        std::mem::take(&mut self.slots).into_iter().collect()
    }

    pub fn clear(&mut self) {
        self.slots.clear();
    }

    pub fn echo(&self, proxy: BaseProxy) -> BaseProxy {
        proxy
    }

    /// Calls what is held, without leaving the server.
    pub fn add_to(&self, slot: u32, n: u64) -> Result<u64, Error> {
        self.slots[&slot].call_method("add", (n,))
    }

    /// Answers when somebody `hand`s a proxy over.
    pub fn receive(&mut self, responder: Responder<BaseProxy>) {
        self.waiting.push(responder);
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Gives the proxy in the slot to whoever waits, and keeps nothing of it.
    pub fn hand(&mut self, slot: u32) {
        if let (Some(waiting), Some(proxy)) = (self.waiting.pop(), self.slots.remove(&slot)) {
            waiting.respond(&proxy);
        }
    }
}

/// Hands each item to the one who has waited longest; one that never arrives goes back to the front.
#[derive(Debug, Default)]
pub struct Mailbox {
    items: Arc<Mutex<VecDeque<u64>>>,
    waiting: VecDeque<Responder<u64>>,
}

impl Mailbox {
    fn answer(&self, responder: Responder<u64>, item: u64) {
        let items = Arc::clone(&self.items);
        responder.respond_or_put_back(&item, move || items.lock().unwrap().push_front(item));
    }
}

#[multiproc::referent(typeid = "Mailbox")]
impl Mailbox {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn put(&mut self, item: u64) {
        match self.waiting.pop_front() {
            Some(waiting) => self.answer(waiting, item),
            None => self.items.lock().unwrap().push_back(item),
        }
    }

    pub fn get(&mut self, responder: Responder<u64>) {
        let item = self.items.lock().unwrap().pop_front();
        match item {
            Some(item) => self.answer(responder, item),
            None => self.waiting.push_back(responder),
        }
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub fn items(&self) -> Vec<u64> {
        self.items.lock().unwrap().iter().copied().collect()
    }
}

fn builder() -> Builder {
    BaseManager::builder().register::<Counter>().register::<Shelf>().register::<Mailbox>()
}

fn objects(manager: &BaseManager) -> u64 {
    manager.number_of_objects().unwrap()
}

fn come_to(manager: &BaseManager, count: u64) {
    let mut last = 0;
    if !common::within(common::LIMIT, || {
        last = objects(manager);
        last == count
    }) {
        panic!("{last} objects instead of {count}: {:#?}", manager.debug_info().unwrap());
    }
}

/// How many clients hold references to the object of a proxy.
fn holders(manager: &BaseManager, proxy: &impl Proxy) -> usize {
    let object = proxy.token().object();
    let all = manager.debug_info().unwrap();
    all.iter().find(|info| info.object == object).map_or(0, |info| info.references.len())
}

fn counter(proxy: BaseProxy) -> CounterProxy {
    CounterProxy::from_base(proxy)
}

/// A pipe, whose ends every forked child inherits.
struct Pipe {
    read: File,
    write: File,
}

impl Pipe {
    fn new() -> Self {
        let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
        Self { read: File::from(read), write: File::from(write) }
    }

    fn say(&self, text: &str) {
        (&self.write).write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    fn hear(&self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            let mut ready = [PollFd::new(self.read.as_fd(), PollFlags::POLLIN)];
            let limit = PollTimeout::try_from(common::LIMIT).unwrap();
            assert_eq!(poll(&mut ready, limit).unwrap(), 1, "nothing came through the pipe within {:?}", common::LIMIT);
            (&self.read).read_exact(&mut byte).unwrap();
            match byte[0] {
                b'\n' => return String::from_utf8(line).unwrap(),
                other => line.push(other),
            }
        }
    }
}

/// Mechanism: the ledger gives back when the *last* proxy of a process is dropped, and what was given back counts before the next call
/// (the request's count of notices).
#[test]
fn clones_keep_it_and_the_last_drop_lets_go() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    for _ in 0..200 {
        let one = CounterProxy::new(&manager).unwrap();
        let (two, three) = (one.clone(), one.clone());
        assert_eq!(objects(&manager), 1);
        drop(one);
        assert_eq!(two.add(1).unwrap(), 1);
        drop(two);
        assert_eq!((objects(&manager), three.get().unwrap()), (1, 1));
        drop(three);
        assert_eq!(objects(&manager), 0);
    }
    manager.shutdown().unwrap();
}

/// Mechanism: every token in a reply is one more grant, and all of them are given back by their number.
#[test]
fn a_proxy_that_comes_back_is_the_same_one_and_counted_again() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    let shelf = ShelfProxy::new(&manager).unwrap();
    let one = CounterProxy::new(&manager).unwrap();
    let same: Vec<_> = (0..10).map(|_| counter(shelf.echo(one.base().clone()).unwrap())).collect();
    assert!(same.iter().all(|same| *same == one));
    let info = manager.debug_info().unwrap().into_iter().find(|info| info.object == one.token().object()).unwrap();
    assert_eq!(info.references.iter().map(|held| held.references).sum::<u64>(), 11);
    drop(one);
    assert_eq!(same[9].add(5).unwrap(), 5);
    assert_eq!(same[0].get().unwrap(), 5);
    drop(same);
    assert_eq!(objects(&manager), 1);
    manager.shutdown().unwrap();
}

/// Mechanism: a proxy that is read inside its own server holds the object itself, as long as the referent keeps it.
#[test]
fn a_referent_keeps_what_it_stores_and_lets_go_of_what_it_drops() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    let shelf = ShelfProxy::new(&manager).unwrap();
    let one = CounterProxy::new(&manager).unwrap();
    shelf.put(1, one.base().clone()).unwrap();
    drop(one);
    assert_eq!(objects(&manager), 2);
    assert_eq!(shelf.add_to(1, 7).unwrap(), 7);
    let back = counter(shelf.take(1).unwrap().unwrap());
    assert_eq!(back.get().unwrap(), 7);
    drop(back);
    assert_eq!(objects(&manager), 1);

    for slot in 0..10 {
        shelf.put(slot, CounterProxy::new(&manager).unwrap().base().clone()).unwrap();
    }
    assert_eq!(objects(&manager), 11);
    let all = shelf.take_all().unwrap();
    assert_eq!((all.len(), objects(&manager)), (10, 11));
    drop(all);
    assert_eq!(objects(&manager), 1);

    // A shelf on a shelf, with a counter on it: one drop lets go of all.
    let inner = ShelfProxy::new(&manager).unwrap();
    inner.put(0, CounterProxy::new(&manager).unwrap().base().clone()).unwrap();
    shelf.put(0, inner.base().clone()).unwrap();
    drop(inner);
    assert_eq!(objects(&manager), 3);
    drop(shelf);
    come_to(&manager, 0);
    manager.shutdown().unwrap();
}

/// Mechanism: a request pins its target and the tokens in it until it is answered, though its client has let go meanwhile.
#[test]
fn a_call_under_way_keeps_its_target_and_arguments() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    let mailbox = MailboxProxy::new(&manager).unwrap();
    let dynamic = mailbox.base().clone();
    let waiting = thread::spawn(move || dynamic.call_method::<u64>("get", ()));
    eventually("the getter waits", || mailbox.waiting().unwrap() == 1);
    let text = serde_json::to_string(&mailbox).unwrap();
    drop(mailbox);
    assert_eq!(objects(&manager), 1);
    let mailbox: MailboxProxy = serde_json::from_str(&text).unwrap();
    mailbox.put(9).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap(), 9);
    drop(mailbox);
    come_to(&manager, 0);
    manager.shutdown().unwrap();
}

/// Mechanism: a `Shared` has one entry, on which every creation is one more grant; the entry, not the referent, ends with the last proxy.
#[test]
fn a_shared_singleton_is_one_object_however_often_it_is_created() {
    let _alone = alone();
    let single = Shared::new(Counter::new());
    let registration = Registration::<Counter>::new("Single").callable(move || single.clone());
    let manager = BaseManager::builder().register_with(registration).start().unwrap();
    let one: CounterProxy = manager.create_as("Single", ()).unwrap();
    let two: CounterProxy = manager.create_as("Single", ()).unwrap();
    assert_eq!(one, two);
    assert_eq!(one.add(1).unwrap() + two.add(1).unwrap(), 3);
    assert_eq!(objects(&manager), 1);
    drop(one);
    assert_eq!((objects(&manager), two.get().unwrap()), (1, 2));
    drop(two);
    assert_eq!(objects(&manager), 0);
    let three: CounterProxy = manager.create_as("Single", ()).unwrap();
    assert_eq!((three.get().unwrap(), objects(&manager)), (2, 1));
    drop(three);
    assert_eq!(objects(&manager), 0);
    manager.shutdown().unwrap();
}

/// Mechanism: the result of a `#[referent(proxy)]` method lives by the grant in its reply alone.
#[test]
fn a_result_that_becomes_a_referent_lives_by_its_proxy() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    let one = CounterProxy::new(&manager).unwrap();
    one.add(3).unwrap();
    let twin = one.twin().unwrap();
    assert_ne!(one, twin);
    assert_eq!((twin.add(1).unwrap(), one.get().unwrap(), objects(&manager)), (4, 3, 2));
    drop(one);
    assert_eq!((twin.get().unwrap(), objects(&manager)), (4, 1));
    drop(twin);
    assert_eq!(objects(&manager), 0);

    let one = CounterProxy::new(&manager).unwrap();
    let dynamic: BaseProxy = one.base().call_method("twin", ()).unwrap();
    assert_eq!(objects(&manager), 2);
    drop((one, dynamic));
    assert_eq!(objects(&manager), 0);
    manager.shutdown().unwrap();
}

/// Mechanism: the ticket, which is issued while the proxy is serialized and outlives its sender's last reference.
#[test]
fn a_proxy_in_a_pipe_lives_though_its_sender_has_dropped_it() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    let (there, back) = (Pipe::new(), Pipe::new());
    // Forked before there is anything to inherit.
    let receiver = fork(|| {
        let proxy: CounterProxy = serde_json::from_str(&there.hear()).unwrap();
        back.say("decoded");
        assert_eq!(there.hear(), "call");
        assert_eq!(proxy.add(2).unwrap(), 3);
        back.say("called");
        assert_eq!(there.hear(), "drop");
        drop(proxy);
        manager.ping().unwrap();
        back.say("dropped");
        assert_eq!(there.hear(), "end");
        0
    });
    let proxy = CounterProxy::new(&manager).unwrap();
    proxy.add(1).unwrap();
    let text = serde_json::to_string(&proxy).unwrap();
    let copy = proxy.clone();
    drop(proxy);
    assert_eq!(holders(&manager, &copy), 1);
    drop(copy);
    assert_eq!(objects(&manager), 1, "the ticket keeps it");
    there.say(&text);
    assert_eq!(back.hear(), "decoded");
    there.say("call");
    assert_eq!(back.hear(), "called");
    assert_eq!(objects(&manager), 1, "the receiver keeps it");
    there.say("drop");
    assert_eq!(back.hear(), "dropped");
    assert_eq!(objects(&manager), 0, "nobody keeps it, the receiver lives");
    there.say("end");
    assert_eq!(wait(receiver), 0);
    manager.shutdown().unwrap();
}

/// Mechanism: a ticket is used up by whoever decodes it, in the sender's own process too.
#[test]
fn a_redeemed_ticket_keeps_nothing() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    for _ in 0..50 {
        let proxy = CounterProxy::new(&manager).unwrap();
        let text = serde_json::to_string(&proxy).unwrap();
        let second: CounterProxy = serde_json::from_str(&text).unwrap();
        // The text may be read again as long as somebody holds the object.
        let third: CounterProxy = serde_json::from_str(&text).unwrap();
        assert_eq!((&proxy, &second), (&second, &third));
        drop((proxy, second));
        assert_eq!(third.add(1).unwrap(), 1);
        drop(third);
        assert_eq!(objects(&manager), 0);
    }
    manager.shutdown().unwrap();
}

/// Mechanism: what a token names is looked for at the server that it names. Another one at the same address has objects of the same numbers.
#[test]
fn a_ticket_of_a_server_that_has_ended_names_nothing_of_the_next_at_its_address() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", directory.path().join("socket").display());
    let former = builder().address(&*address).start().unwrap();
    let proxy = CounterProxy::new(&former).unwrap();
    let text = serde_json::to_string(&proxy).unwrap();
    drop(proxy);
    former.shutdown().unwrap();
    let latter = builder().address(&*address).start().unwrap();
    let other = CounterProxy::new(&latter).unwrap();
    // Where decoding has no error to give, the first call has.
    let refused = serde_json::from_str::<CounterProxy>(&text).map(|decoded| decoded.add(1));
    let told = match refused {
        Ok(called) => called.expect_err("another server's object").to_string(),
        Err(error) => error.to_string(),
    };
    assert!(told.contains("another server has taken its address"), "{told}");
    assert_eq!(other.get().unwrap(), 0);
    latter.shutdown().unwrap();
}

/// Mechanism: a ticket that nobody redeems lapses after its sender's last reference; what is decoded later names nothing.
#[test]
fn a_ticket_lapses_after_its_sender_let_go() {
    let _alone = alone();
    let manager = builder().ticket_time(Duration::from_millis(200)).start().unwrap();
    let proxy = CounterProxy::new(&manager).unwrap();
    let text = serde_json::to_string(&proxy).unwrap();
    drop(proxy);
    come_to(&manager, 0);
    let late: CounterProxy = serde_json::from_str(&text).unwrap();
    assert!(matches!(late.get(), Err(Error::NoSuchObject { .. })));
    drop(late);
    assert_eq!(objects(&manager), 0);
    manager.shutdown().unwrap();
}

/// Mechanism: the client's death starts the clock of its tickets, and does not end them.
#[test]
fn a_ticket_outlives_its_killed_sender_and_lapses_then() {
    let _alone = alone();
    for (redeemed, time) in [(true, Duration::from_secs(60)), (false, Duration::from_millis(200))] {
        let manager = builder().ticket_time(time).start().unwrap();
        let pipe = Pipe::new();
        let sender = fork(|| {
            let proxy = CounterProxy::new(&manager).unwrap();
            proxy.add(1).unwrap();
            pipe.say(&serde_json::to_string(&proxy).unwrap());
            manager.ping().unwrap();
            pipe.say("sent");
            loop {
                thread::sleep(Duration::from_secs(1));
            }
        });
        let text = pipe.hear();
        assert_eq!(pipe.hear(), "sent");
        sender.kill();
        if redeemed {
            eventually("the sender's references are gone", || {
                manager.debug_info().unwrap().iter().all(|info| info.references.is_empty())
            });
            let proxy: CounterProxy = serde_json::from_str(&text).unwrap();
            assert_eq!(proxy.add(1).unwrap(), 2);
        }
        come_to(&manager, 0);
        manager.shutdown().unwrap();
    }
}

/// Mechanism: the last notices of a client are taken in before it is ended, though its process's death is seen first.
#[test]
fn the_ticket_of_a_sender_that_dies_at_once_holds() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    for _ in 0..40 {
        let pipe = Pipe::new();
        let sender = fork(|| {
            let proxy = CounterProxy::new(&manager).unwrap();
            pipe.say(&serde_json::to_string(&proxy).unwrap());
            common::exit(0)
        });
        let proxy: CounterProxy = serde_json::from_str(&pipe.hear()).unwrap();
        assert_eq!(wait(sender), 0);
        assert_eq!(proxy.add(1).unwrap(), 1);
        drop(proxy);
        come_to(&manager, 0);
    }
    manager.shutdown().unwrap();
}

/// Mechanism: the server watches its clients' processes; nothing of a dead one's leases stays.
#[test]
fn a_killed_client_gives_back_all_its_references() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    let ready = Pipe::new();
    let kept = CounterProxy::new(&manager).unwrap();
    let clients: Vec<Child> = (0..3)
        .map(|_| {
            let client = fork(|| {
                let shelf = ShelfProxy::new(&manager).unwrap();
                let own: Vec<_> = (0..20).map(|_| CounterProxy::new(&manager).unwrap()).collect();
                shelf.put(0, own[0].base().clone()).unwrap();
                kept.add(1).unwrap();
                ready.say("ready");
                loop {
                    thread::sleep(Duration::from_secs(1));
                }
            });
            assert_eq!(ready.hear(), "ready");
            client
        })
        .collect();
    assert_eq!((objects(&manager), holders(&manager, &kept)), (64, 4));
    for (ended, client) in clients.into_iter().enumerate() {
        client.kill();
        come_to(&manager, 64 - 21 * (ended as u64 + 1));
    }
    eventually("only this process holds it", || holders(&manager, &kept) == 1);
    assert_eq!(kept.get().unwrap(), 3);
    drop(kept);
    assert_eq!(objects(&manager), 0);
    manager.shutdown().unwrap();
}

/// Mechanism: a grant counts from the reply's sending, and is part of the dead client's lease though it was never read.
#[test]
fn a_grant_in_a_reply_that_was_never_read_is_given_back() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    let shelf = ShelfProxy::new(&manager).unwrap();
    let client = fork(|| {
        let received = shelf.receive();
        panic!("it was to be stopped for good, but: {received:?}");
    });
    eventually("the client waits for its reply", || shelf.waiting().unwrap() == 1);
    client.stop();
    shelf.put(0, CounterProxy::new(&manager).unwrap().base().clone()).unwrap();
    assert_eq!(objects(&manager), 2);
    shelf.hand(0).unwrap();
    // Long enough for every wrong clock, and the client could not have read it: only the grant keeps the counter.
    thread::sleep(Duration::from_millis(300));
    assert_eq!(objects(&manager), 2);
    client.kill();
    come_to(&manager, 1);
    drop(shelf);
    assert_eq!(objects(&manager), 0);
    manager.shutdown().unwrap();
}

/// Mechanism: a call of a dead client is no longer wanted, so that what answers it is put back at once.
#[test]
fn a_getter_that_was_killed_while_it_waited_loses_no_item() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    let mailbox = MailboxProxy::new(&manager).unwrap();
    for item in 0..5 {
        let getter = fork(|| {
            let got = mailbox.get();
            panic!("nothing was put, but: {got:?}");
        });
        eventually("the getter waits", || mailbox.waiting().unwrap() == 1);
        getter.kill();
        // At once: whether the server has seen the death or not, the item must come back.
        mailbox.put(item).unwrap();
        eventually("the item is back", || mailbox.items().unwrap() == [item]);
        assert_eq!(mailbox.get().unwrap(), item);
    }
    drop(mailbox);
    come_to(&manager, 0);
    manager.shutdown().unwrap();
}

/// Mechanism: a reply that moves something stays unacknowledged until the client has read it; unread at its death, it is put back, and to its place.
#[test]
fn an_item_that_was_never_read_goes_back_to_its_place() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    let mailbox = MailboxProxy::new(&manager).unwrap();
    let getter = fork(|| {
        let got = mailbox.get();
        panic!("it was to be stopped for good, but: {got:?}");
    });
    eventually("the getter waits", || mailbox.waiting().unwrap() == 1);
    getter.stop();
    mailbox.put(1).unwrap();
    mailbox.put(2).unwrap();
    assert_eq!(mailbox.items().unwrap(), [2], "the first is on its way");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(mailbox.items().unwrap(), [2], "the getter lives");
    getter.kill();
    eventually("the item is back", || mailbox.items().unwrap() == [1, 2]);
    manager.shutdown().unwrap();
}

/// Mechanism: the acknowledgement. What the client has read is its own, and is not put back when it dies.
#[test]
fn an_item_that_was_read_is_not_put_back() {
    let _alone = alone();
    let manager = builder().start().unwrap();
    let mailbox = MailboxProxy::new(&manager).unwrap();
    for item in 0..20 {
        let got = Pipe::new();
        let getter = fork(|| {
            got.say(&mailbox.get().unwrap().to_string());
            loop {
                thread::sleep(Duration::from_secs(1));
            }
        });
        eventually("the getter waits", || mailbox.waiting().unwrap() == 1);
        mailbox.put(item).unwrap();
        assert_eq!(got.hear(), item.to_string());
        getter.kill();
        eventually("only this process is a client", || holders(&manager, &mailbox) == 1);
        assert_eq!(mailbox.items().unwrap(), Vec::<u64>::new());
    }
    manager.shutdown().unwrap();
}

/// A small generator of numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % sides
    }
}

/// Pipes that carry one whole message at a time and never wait.
struct Post(Vec<(OwnedFd, OwnedFd)>);

impl Post {
    fn new(boxes: usize) -> Self {
        let flags = OFlag::O_DIRECT | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        Self((0..boxes).map(|_| pipe2(flags).unwrap()).collect())
    }

    /// Sends a proxy; what the box has no room for is lost, with its ticket.
    fn send(&self, to: usize, proxy: &CounterProxy) {
        let text = serde_json::to_string(proxy).unwrap();
        match nix::unistd::write(&self.0[to].1, text.as_bytes()) {
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(error) => panic!("sending: {error}"),
        }
    }

    fn receive(&self, at: usize) -> Option<CounterProxy> {
        let mut text = [0; 4096];
        match nix::unistd::read(&self.0[at].0, &mut text) {
            Ok(length) => Some(serde_json::from_slice(&text[..length]).unwrap()),
            Err(Errno::EAGAIN) => None,
            Err(error) => panic!("receiving: {error}"),
        }
    }
}

/// One process's random life: creates, clones, passes and drops proxies, and finds every one that it holds alive.
fn live(manager: &BaseManager, shelf: &ShelfProxy, post: &Post, progress: &Pipe, me: usize, steps: usize) {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (me as u64 + 1).wrapping_mul(0xD1B5_4A32_D192_ED03));
    let mut held: Vec<CounterProxy> = Vec::new();
    for step in 1..=steps {
        let some = dice.roll(held.len().max(1));
        match (dice.roll(10), held.is_empty()) {
            (0, _) | (1..=4, true) => held.push(CounterProxy::new(manager).unwrap()),
            (1, false) => held.push(held[some].clone()),
            (2, false) => post.send(dice.roll(post.0.len()), &held[some]),
            (3, false) => {
                let former = shelf.put(dice.roll(16) as u32, held[some].base().clone()).unwrap();
                held.extend(former.map(counter));
            }
            (4, false) => held.push(held[some].twin().unwrap()),
            (5, _) => held.extend(post.receive(me)),
            (6, _) => held.extend(shelf.take(dice.roll(16) as u32).unwrap().map(counter)),
            (7 | 8, false) => drop(held.swap_remove(some)),
            (9, false) => drop(held[some].add(1).unwrap()),
            _ => {}
        }
        if held.len() > 30 {
            held.truncate(10);
        }
        if step % 100 == 0 {
            progress.say("");
        }
    }
    if me.is_multiple_of(2) {
        drop(held);
        return;
    }
    // The others end with what they hold.
    std::mem::forget(held);
}

/// Eight processes at once, `steps` each, of which the first `kills` are killed on their way; then nothing may be left.
fn many_processes(steps: usize, kills: usize) {
    const PROCESSES: usize = 8;
    // Shorter than the default, as what lies in a pipe at the end of its sender lapses by it; and long enough for the reader, who looks often.
    let manager = builder().ticket_time(Duration::from_secs(20)).start().unwrap();
    let shelf = ShelfProxy::new(&manager).unwrap();
    let (post, progress) = (Post::new(PROCESSES), Pipe::new());
    let run = |me| {
        fork(|| {
            live(&manager, &shelf, &post, &progress, me, steps);
            0
        })
    };
    let mut processes: VecDeque<Child> = (0..PROCESSES).map(run).collect();
    let mut said = 0;
    for _ in 0..kills {
        // Reads come back at least as long as the survivors go on.
        for _ in 0..20 {
            progress.hear();
            said += 1;
        }
        if let Some(victim) = processes.pop_front() {
            victim.kill();
        }
    }
    assert!(said < steps / 100 * (PROCESSES - kills), "the killed ones were in the middle");
    for process in processes {
        assert_eq!(wait(process), 0);
    }
    for at in 0..PROCESSES {
        while let Some(proxy) = post.receive(at) {
            drop(proxy);
        }
    }
    shelf.clear().unwrap();
    drop(shelf);
    come_to(&manager, 0);
    manager.shutdown().unwrap();
}

/// Mechanism: all of the above together.
#[test]
fn twenty_thousand_random_steps_by_eight_processes_leave_nothing() {
    let _alone = alone();
    many_processes(2_500, 0);
}

/// Mechanism: all of the above together, with the end of clients at any point of what they do.
#[test]
fn twenty_thousand_random_steps_leave_nothing_though_processes_are_killed() {
    let _alone = alone();
    many_processes(4_000, 3);
}
