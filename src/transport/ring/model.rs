//! The doorbell protocol, run through every order of steps that the memory model allows. A wake-up that is lost shows as a deadlock.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib transport::ring::model`, or `ci/loom`.

use loom::sync::atomic::{AtomicU32, Ordering, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::doorbell::{Word, must_ring, rise, settle};

impl Word for AtomicU32 {
    fn load(&self, order: Ordering) -> u32 {
        self.load(order)
    }

    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }

    fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.swap(value, order)
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}

/// One side: its word, and its end of the socket.
struct Side {
    asleep: AtomicU32,
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Side {
    fn new() -> Self {
        Self { asleep: AtomicU32::new(0), rung: Mutex::new(false), bell: Condvar::new() }
    }

    fn ring_if_asleep(&self) {
        if must_ring(&self.asleep) {
            *self.rung.lock().unwrap() = true;
            self.bell.notify_one();
        }
    }

    /// What an earlier sleep was rung for is taken out before the next one, as `Incoming::settle` does, not when that sleep ends.
    fn sleep_unless(&self, ready: impl Fn() -> bool) {
        *self.rung.lock().unwrap() = false;
        if settle(&self.asleep, || !ready()) {
            let mut rung = self.rung.lock().unwrap();
            while !*rung {
                rung = self.bell.wait(rung).unwrap();
            }
        }
        rise(&self.asleep);
    }
}

/// One side publishes so many frames, and looks behind the last of them whether the other one sleeps; that one takes them all.
fn all_that_was_published_is_seen(frames: u32) {
    loom::model(move || {
        let receiver = Arc::new(Side::new());
        let published = Arc::new(AtomicU32::new(0));
        let sender = {
            let (receiver, published) = (Arc::clone(&receiver), Arc::clone(&published));
            thread::spawn(move || {
                for frame in 1..=frames {
                    published.store(frame, Ordering::Release);
                }
                receiver.ring_if_asleep();
            })
        };
        let mut seen = 0;
        while seen < frames {
            match published.load(Ordering::Acquire) {
                now if now == seen => receiver.sleep_unless(|| published.load(Ordering::Relaxed) != seen),
                now => seen = now,
            }
        }
        sender.join().unwrap();
    });
}

#[test]
fn a_sleeper_is_woken_for_what_was_published() {
    all_that_was_published_is_seen(1);
}

/// What `Outgoing::enqueue` leaves to the next `send` or `flush`.
#[test]
fn one_look_does_for_all_that_was_published_before_it() {
    all_that_was_published_is_seen(2);
}

/// A ring of one place: the sender sleeps until there is room, the receiver until there is a frame.
#[test]
fn both_sides_sleep_and_neither_for_ever() {
    const FRAMES: u32 = 2;
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let sides = Arc::new((Side::new(), Side::new()));
        let counts = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
        let sender = {
            let (sides, counts) = (Arc::clone(&sides), Arc::clone(&counts));
            thread::spawn(move || {
                let ((me, receiver), (written, taken)) = (&*sides, &*counts);
                for frame in 0..FRAMES {
                    while taken.load(Ordering::Acquire) < frame {
                        me.sleep_unless(|| taken.load(Ordering::Relaxed) >= frame);
                    }
                    written.store(frame + 1, Ordering::Release);
                    receiver.ring_if_asleep();
                }
            })
        };
        let ((sender_side, me), (written, taken)) = (&*sides, &*counts);
        for frame in 0..FRAMES {
            while written.load(Ordering::Acquire) <= frame {
                me.sleep_unless(|| written.load(Ordering::Relaxed) > frame);
            }
            taken.store(frame + 1, Ordering::Release);
            sender_side.ring_if_asleep();
        }
        sender.join().unwrap();
    });
}
