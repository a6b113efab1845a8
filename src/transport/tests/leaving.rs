//! A server that leaves the shared memory while a client may be about to use it.

use super::*;

/// A generator of numbers that differ: enough to vary sizes and moments.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn frame(number: u64) -> Vec<u8> {
    let size = [8, 100, 4_000, 5_000, 200_000][number as usize % 5];
    let mut frame = vec![number as u8; size];
    frame[..8].copy_from_slice(&number.to_le_bytes());
    frame
}

fn send_all(connection: &mut Connection, frame: &[u8]) {
    let mut progress = connection.sender.send(&[frame]).unwrap();
    while progress == Progress::Pending {
        std::thread::yield_now();
        progress = connection.sender.flush().unwrap();
    }
}

/// Sends every frame back, and leaves when nothing has come for a moment; then tells so.
fn serve(mut server: Connection, frames: u64, mut numbers: Numbers) -> bool {
    let mut left = false;
    for _ in 0..frames {
        let frame = loop {
            if let Some(frame) = server.receiver.next().unwrap() {
                break frame;
            }
            (0..numbers.below(200)).for_each(|_| std::hint::spin_loop());
            if !server.receiver.settle() {
                continue;
            }
            if !left && numbers.below(2) == 0 {
                left = server.receiver.leave(&mut server.sender);
                continue;
            }
            let ready = poll::wait_one(server.receiver.fd(), Interest::Read, Some(Duration::from_secs(20))).unwrap();
            assert!(ready.any(), "the client's frame was lost, left: {left}");
        };
        send_all(&mut server, &frame);
    }
    left
}

/// Frames were lost, or came twice, where the server left the memory at the moment at which the client wrote into it.
#[test]
fn no_frame_is_lost_whenever_the_server_leaves() {
    const FRAMES: u64 = 12;
    let mut leavings = 0;
    let begin = Instant::now();
    for round in 0.. {
        if leavings == 100 || begin.elapsed() > Duration::from_secs(20) {
            break;
        }
        let (near, mut far) = over_ring();
        let served = std::thread::spawn(move || serve(near, FRAMES, Numbers(round)));
        let mut numbers = Numbers(!round);
        // One after the other, or a few ahead.
        let ahead = 1 + numbers.below(3);
        let (mut sent, mut read) = (0, 0);
        while read < FRAMES {
            while sent < FRAMES && sent < read + ahead {
                (0..numbers.below(400)).for_each(|_| std::hint::spin_loop());
                send_all(&mut far, &frame(round + sent));
                sent += 1;
            }
            let arrived = loop {
                if let Some(frame) = far.receiver.next().unwrap() {
                    break frame;
                }
                if far.receiver.settle() {
                    let ready =
                        poll::wait_one(far.receiver.fd(), Interest::Read, Some(Duration::from_secs(20))).unwrap();
                    assert!(ready.any(), "an answer was lost in round {round}");
                }
            };
            assert!(arrived == frame(round + read), "frame {read} of round {round}");
            read += 1;
        }
        leavings += u32::from(served.join().unwrap());
    }
    assert!(leavings > 0, "nothing was tried");
}

/// A client that waits for an answer gets it by the socket, though it fell asleep on the memory.
#[test]
fn who_waits_is_answered_by_the_socket() {
    let (mut near, mut far) = over_ring();
    assert_eq!(far.sender.send(&[b"question"]).unwrap(), Progress::Done);
    assert_eq!(next(&mut near.receiver).unwrap(), b"question");
    assert!(far.receiver.next().unwrap().is_none() && far.receiver.settle());
    assert!(near.receiver.settle() && near.receiver.leave(&mut near.sender));
    assert_eq!(near.sender.send(&[b"answer"]).unwrap(), Progress::Done);
    assert_eq!(next(&mut far.receiver).unwrap(), b"answer");
    assert!(!far.receiver.is_upgraded() && !far.sender.is_upgraded());
}

#[test]
fn nobody_leaves_who_has_something_to_read_or_to_deliver() {
    let (mut near, mut far) = over_ring();
    assert!(!near.receiver.leave(&mut near.sender), "awake");
    assert!(near.receiver.settle());
    let _ = far.sender.send(&[b"x"]).unwrap();
    assert!(!near.receiver.leave(&mut near.sender), "rung for");
    assert_eq!(near.receiver.next().unwrap().unwrap(), b"x");
    let _ = near.sender.send(&[b"y"]).unwrap();
    assert!(near.receiver.settle() && !near.receiver.leave(&mut near.sender), "not delivered");
    assert_eq!(far.receiver.next().unwrap().unwrap(), b"y");
    assert!(near.receiver.leave(&mut near.sender));
    assert!(!far.receiver.settle(), "a client does not fall asleep on memory that was left");
}

/// A server leaves; a client must not, however the word in the memory reads.
#[test]
fn a_word_of_the_clients_makes_no_server_leave() {
    let (mut near, mut far) = over_ring();
    assert!(far.receiver.settle() && far.receiver.leave(&mut far.sender));
    let _ = near.sender.send(&[b"x"]).unwrap();
    assert!(near.receiver.is_upgraded() && near.sender.is_upgraded());
}
