//! Each clause of the contract, as a function of how to get a connection.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use nix::sys::socket::{setsockopt, sockopt};

use super::*;
use crate::sys::buffer;
use crate::sys::fork::{ExitStatus, spawn};

type Make = fn() -> (Connection, Connection);

/// A test of each clause for each backend.
macro_rules! conform {
    ($($backend:ident: $make:path;)*) => {$(
        mod $backend {
            conform!(@ $make, frames_of_all_sizes_arrive_whole_and_in_order, many_frames_come_in_order,
                both_directions_may_be_full_at_once, frames_over_the_limit_are_refused, small_limits_bound_what_is_held,
                shutting_down_wakes_both_sides, large_memory_is_reused_and_given_up, sending_to_nobody_is_an_error,
                what_was_sent_before_the_end_arrives, a_forked_child_can_do_nothing, frames_of_many_parts_are_one,
                bodies_that_do_not_fit_are_taken, taken_bodies_keep_their_places);
        }
    )*};
    (@ $make:path, $($clause:ident),*) => {$(
        #[test]
        fn $clause() {
            super::$clause($make);
        }
    )*};
}

/// And of those that have to do with bytes in a stream, or fds in it.
macro_rules! conform_as_stream {
    ($($backend:ident: $make:path;)*) => {$(
        mod $backend {
            conform!(@ $make, bytes_may_come_one_at_a_time, many_frames_come_in_one_read, a_peer_may_go_at_every_byte,
                frames_over_the_limit_are_refused_unread, lengths_that_are_none_are_refused, fds_come_with_their_frames,
                memory_is_reused_and_given_up, gathered_frames_leave_together_and_in_order);
        }
    )*};
}

conform! {
    unix: super::super::over_unix;
    unix_abstract: super::super::over_abstract;
    pair: super::super::over_pair;
    tcp: super::super::over_tcp;
    tcp6: super::super::over_tcp6;
    ring: super::super::over_ring;
    ring_back: super::super::over_ring_back;
}

conform_as_stream! {
    unix_stream: super::super::over_unix;
    unix_abstract_stream: super::super::over_abstract;
    pair_stream: super::super::over_pair;
    tcp_stream: super::super::over_tcp;
    tcp6_stream: super::super::over_tcp6;
}

/// Bytes that differ from place to place and from frame to frame.
fn pattern(size: usize, seed: usize) -> Vec<u8> {
    (0..size).map(|place| (place.wrapping_mul(31) ^ (place >> 8) ^ seed) as u8).collect()
}

/// Sends all of it, receiving at the other end meanwhile.
fn exchange(sender: &mut Sender, receiver: &mut Receiver, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut pending = Progress::Done;
    for frame in frames {
        pending = sender.send(&[frame]).unwrap();
    }
    let mut arrived = Vec::new();
    while arrived.len() < frames.len() {
        while let Some(frame) = receiver.next().unwrap() {
            arrived.push(frame);
        }
        if pending == Progress::Pending {
            pending = sender.flush().unwrap();
        }
        let wants = if pending == Progress::Pending { Interest::Write } else { Interest::HangUp };
        if arrived.len() < frames.len() && receiver.settle() {
            let fds = [(sender.fd(), wants), (receiver.fd(), Interest::Read)];
            assert!(poll::wait(&fds, Some(Duration::from_secs(60))).unwrap().iter().any(|ready| ready.any()));
        }
    }
    assert_eq!((pending, sender.backlog()), (Progress::Done, 0));
    arrived
}

fn frames_of_all_sizes_arrive_whole_and_in_order(make: Make) {
    let (mut near, mut far) = make();
    let sizes = [0, 1, 16 << 10, 65_523, 65_524, 65_525, 1 << 20, 3, 64 << 20, 0, 7];
    let frames: Vec<_> = sizes.iter().enumerate().map(|(seed, size)| pattern(*size, seed)).collect();
    assert!(exchange(&mut near.sender, &mut far.receiver, &frames) == frames);
    assert!(exchange(&mut far.sender, &mut near.receiver, &frames[..7]) == frames[..7]);
    assert!(far.receiver.next().unwrap().is_none());
}

fn bytes_may_come_one_at_a_time(make: Make) {
    let (near, mut far) = make();
    let stream = [&[0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0], &[0xff; 4], &[0, 0, 0, 0, 0, 0, 0, 2], b"de"].concat();
    let ends = [7, 11, 25];
    let mut arrived = Vec::new();
    for (place, byte) in stream.iter().enumerate() {
        write_raw(&near, &[*byte]);
        poll::wait_one(far.fd(), Interest::Read, None).unwrap();
        let frame = far.receiver.next().unwrap();
        assert_eq!(frame.is_some(), ends.contains(&(place + 1)), "after byte {place}");
        arrived.extend(frame);
    }
    assert_eq!(arrived, [&b"abc"[..], b"", b"de"]);
}

fn many_frames_come_in_order(make: Make) {
    let (mut near, mut far) = make();
    let frames: Vec<_> = (0..5_000).map(|number: usize| pattern(number % 300, number)).collect();
    assert!(exchange(&mut near.sender, &mut far.receiver, &frames) == frames);
    assert!(!far.receiver.is_ready());
}

fn many_frames_come_in_one_read(make: Make) {
    let (mut near, mut far) = make();
    for number in 0..100_u32 {
        assert_eq!(near.sender.send(&[&number.to_be_bytes()]).unwrap(), Progress::Done);
    }
    assert!(!far.receiver.is_ready());
    assert_eq!(next(&mut far.receiver).unwrap(), 0_u32.to_be_bytes());
    for number in 1..100_u32 {
        assert_eq!(next(&mut far.receiver).unwrap(), number.to_be_bytes());
    }
    assert!(!far.receiver.is_ready());
    // Sent as one piece, the second is there without asking the system again.
    write_raw(&near, &[0, 0, 0, 1, b'a', 0, 0, 0, 1, b'b']);
    assert_eq!(next(&mut far.receiver).unwrap(), b"a");
    assert!(far.receiver.is_ready());
    assert_eq!(far.receiver.next().unwrap().as_deref(), Some(&b"b"[..]));
}

fn gathered_frames_leave_together_and_in_order(make: Make) {
    let (mut near, mut far) = make();
    for number in 0..100_u32 {
        assert_eq!(near.sender.enqueue(&[&number.to_be_bytes()]).unwrap(), Progress::Pending);
    }
    assert_eq!(near.sender.backlog(), 800);
    assert_eq!(poll::wait_one(far.fd(), Interest::Read, Some(Duration::ZERO)).unwrap(), Default::default());
    assert_eq!(near.sender.flush().unwrap(), Progress::Done);
    for number in 0..100_u32 {
        assert_eq!(next(&mut far.receiver).unwrap(), number.to_be_bytes());
        // One system call brought all of them.
        assert_eq!(far.receiver.is_ready(), number < 99);
    }
    // Others go behind those that were gathered, whatever their size; and gathering has an end.
    let (small, large) = (pattern(9, 1), pattern(1 << 20, 2));
    for frame in [&small, &large, &small] {
        let _ = near.sender.enqueue(&[frame]).unwrap();
    }
    let _ = near.sender.send(&[&small]).unwrap();
    let expected = [&small, &large, &small, &small];
    let mut arrived = Vec::new();
    while arrived.len() < expected.len() {
        let _ = near.sender.flush().unwrap();
        arrived.extend(far.receiver.next().unwrap());
    }
    assert!(arrived.iter().eq(expected));
    let crumb = pattern(1 << 10, 3);
    for _ in 0..1000 {
        let _ = near.sender.enqueue(&[&crumb]).unwrap();
        while let Some(frame) = far.receiver.next().unwrap() {
            assert!(frame == crumb);
        }
    }
    assert!(near.sender.backlog() < 64 << 10, "{}", near.sender.backlog());
}

fn both_directions_may_be_full_at_once(make: Make) {
    let (mut near, mut far) = make();
    let frames = [pattern(8 << 20, 1), pattern(8 << 20, 2), pattern(5, 3)];
    for side in [&mut near.sender, &mut far.sender] {
        for frame in &frames {
            assert_eq!(side.send(&[frame]).unwrap(), Progress::Pending);
        }
        assert!(side.backlog() > 8 << 20);
    }
    let mut arrived = [Vec::new(), Vec::new()];
    while arrived.iter().any(|frames| frames.len() < 3) {
        for (side, frames) in [&mut near, &mut far].into_iter().zip(&mut arrived) {
            let _ = side.sender.flush().unwrap();
            while let Some(frame) = side.receiver.next().unwrap() {
                frames.push(frame);
            }
        }
    }
    assert!(arrived.iter().all(|arrived| *arrived == frames));
    assert_eq!((near.sender.backlog(), far.sender.backlog()), (0, 0));
}

fn a_peer_may_go_at_every_byte(make: Make) {
    for stream in [&[0, 0, 0, 3, 1, 2, 3][..], &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]] {
        for cut in 0..=stream.len() {
            let (near, mut far) = make();
            write_raw(&near, &stream[..cut]);
            drop(near);
            if cut == stream.len() {
                assert_eq!(next(&mut far.receiver).unwrap(), [1, 2, 3]);
            }
            for _ in 0..2 {
                let end = next(&mut far.receiver).unwrap_err();
                let expected = match end {
                    TransportError::Closed => cut == 0 || cut == stream.len(),
                    TransportError::Truncated => 0 < cut && cut < stream.len(),
                    _ => false,
                };
                assert!(expected, "after {cut} bytes: {end}");
            }
        }
    }
    // Inside a frame that gets memory of its own, too.
    let (near, mut far) = make();
    write_raw(&near, &[&[0, 16, 0, 0][..], &[0; 100_000]].concat());
    drop(near);
    assert!(matches!(next(&mut far.receiver), Err(TransportError::Truncated)));
}

fn frames_over_the_limit_are_refused(make: Make) {
    for limit in [100, 1_000_000] {
        let (mut near, mut far) = make();
        far.receiver.set_limit(limit as u64);
        let _ = near.sender.send(&[&vec![7; limit]]).unwrap();
        let _ = near.sender.send(&[&vec![7; limit + 1]]).unwrap();
        let first = loop {
            let _ = near.sender.flush().unwrap();
            if let Some(frame) = far.receiver.next().unwrap() {
                break frame;
            }
        };
        assert!(first == vec![7; limit]);
        let _ = near.sender.flush().unwrap();
        for _ in 0..2 {
            let error = next(&mut far.receiver).unwrap_err();
            let told = matches!(error, TransportError::TooLarge { size, limit: set } if (size, set) == (limit as u64 + 1, limit as u64));
            assert!(told, "{error}");
            assert!(far.receiver.is_ready());
        }
    }
}

fn frames_over_the_limit_are_refused_unread(make: Make) {
    for size in [(1_u64 << 30) + 1, u64::MAX, u64::MAX - 11, 1 << 63] {
        let (near, mut far) = make();
        write_raw(&near, &[&[0xff; 4][..], &size.to_be_bytes()].concat());
        let error = next(&mut far.receiver).unwrap_err();
        assert!(matches!(error, TransportError::TooLarge { size: told, .. } if told == size), "{error}");
    }
    // What is announced, allowed, and does not come, costs no more than what did.
    let (near, mut far) = make();
    write_raw(&near, &[&[0x3f, 0xff, 0xff, 0xff][..], &[1; 100]].concat());
    poll::wait_one(far.fd(), Interest::Read, None).unwrap();
    assert!(far.receiver.next().unwrap().is_none());
    assert!(far.receiver.memory() <= 2 << 20, "{}", far.receiver.memory());
}

fn lengths_that_are_none_are_refused(make: Make) {
    for length in [-2, -65_536, i32::MIN] {
        let (near, mut far) = make();
        write_raw(&near, &length.to_be_bytes());
        for _ in 0..2 {
            let error = next(&mut far.receiver).unwrap_err();
            assert!(matches!(error, TransportError::Garbage { length: told } if told == length), "{error}");
        }
    }
}

fn small_limits_bound_what_is_held(make: Make) {
    let (mut near, mut far) = make();
    far.receiver.set_limit(256);
    for number in 0..100 {
        let _ = near.sender.send(&[&[number; 200]]).unwrap();
    }
    for number in 0..100 {
        assert_eq!(next(&mut far.receiver).unwrap(), [number; 200]);
        let _ = near.sender.flush().unwrap();
        assert!(far.receiver.memory() <= 268, "{}", far.receiver.memory());
    }
    far.receiver.set_limit(1 << 20);
    let frames = [pattern(1 << 20, 1), pattern(300, 2)];
    assert!(exchange(&mut near.sender, &mut far.receiver, &frames) == frames);
}

fn shutting_down_wakes_both_sides(make: Make) {
    let (near, mut far) = make();
    let Connection { mut receiver, sender } = near;
    let sleeper = std::thread::spawn(move || next(&mut receiver).map(|_| ()));
    sender.shutdown();
    assert!(matches!(sleeper.join().unwrap(), Err(TransportError::Closed)));
    assert!(matches!(next(&mut far.receiver), Err(TransportError::Closed)));
}

fn sending_to_nobody_is_an_error(make: Make) {
    let (mut near, far) = make();
    drop(far);
    // Over a network the first may still be believed to arrive.
    let deadline = soon();
    let error = loop {
        match near.sender.send(&[b"anybody?"]) {
            Ok(_) => assert!(Instant::now() < deadline, "nobody takes it and nobody says so"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, TransportError::Closed), "{error}");
}

fn what_was_sent_before_the_end_arrives(make: Make) {
    let (mut near, mut far) = make();
    for number in 0..20_u8 {
        assert_eq!(near.sender.send(&[&[number; 100]]).unwrap(), Progress::Done);
    }
    drop(near);
    for number in 0..20 {
        assert_eq!(next(&mut far.receiver).unwrap(), [number; 100]);
    }
    for _ in 0..2 {
        assert!(matches!(next(&mut far.receiver), Err(TransportError::Closed)));
    }
}

/// Behind a backlog, too, and with small frames around, which must not join what was taken.
fn taken_bodies_keep_their_places(make: Make) {
    let (mut near, mut far) = make();
    let (small, large) = (pattern(100, 1), pattern(5 << 20, 2));
    let mut sent = Vec::new();
    for (number, body) in (0_u8..).zip([&small, &large, &small, &large, &large, &small]) {
        let _: Progress = near.sender.send_body(&[number; 3], &mut body.clone().into()).unwrap();
        let _: Progress = near.sender.send(&[&[number]]).unwrap();
        sent.extend([[&[number; 3], &body[..]].concat(), vec![number]]);
    }
    assert!(near.sender.backlog() > 1 << 20);
    let mut arrived = Vec::new();
    while arrived.len() < sent.len() {
        let _ = near.sender.flush().unwrap();
        while let Some(frame) = far.receiver.next().unwrap() {
            arrived.push(frame);
        }
    }
    assert!(arrived == sent);
    assert_eq!(near.sender.backlog(), 0);
}

fn bodies_that_do_not_fit_are_taken(make: Make) {
    let (mut near, mut far) = make();
    for size in [10, 30_000_000, 10, 0] {
        let body = pattern(size, 1);
        let mut given = crate::sys::bytes::Bytes::from(body.clone());
        let pending = near.sender.send_body(b"head", &mut given).unwrap() == Progress::Pending;
        assert!(pending || *given == *body);
        let frame = loop {
            let _ = near.sender.flush().unwrap();
            if let Some(frame) = far.receiver.next().unwrap() {
                break frame;
            }
        };
        assert!(frame == [b"head", &body[..]].concat());
    }
}

fn frames_of_many_parts_are_one(make: Make) {
    let (mut near, mut far) = make();
    for count in [0, 1, 7, 8, 9, 3000] {
        let parts: Vec<_> = (0..count).map(|number| pattern(number % 50, number)).collect();
        let slices: Vec<_> = parts.iter().map(Vec::as_slice).collect();
        let _ = near.sender.send(&slices).unwrap();
        while near.sender.flush().unwrap() == Progress::Pending {}
        assert_eq!(next(&mut far.receiver).unwrap(), parts.concat());
    }
    // Parts of which the first few go out and the rest is kept, cut anywhere.
    let parts: Vec<_> = (0..9).map(|number| pattern(1_000_001, number)).collect();
    let slices: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    assert_eq!(near.sender.send(&slices).unwrap(), Progress::Pending);
    let frames = [pattern(10, 1), vec![], pattern(100_000, 2)];
    for frame in &frames {
        let _ = near.sender.send(&[frame]).unwrap();
    }
    let receiving = std::thread::spawn(move || {
        let arrived: Vec<_> = (0..4).map(|_| next(&mut far.receiver).unwrap()).collect();
        (far, arrived)
    });
    while near.sender.flush().unwrap() == Progress::Pending {
        poll::wait_one(near.sender.fd(), Interest::Write, None).unwrap();
    }
    let (_far, arrived) = receiving.join().unwrap();
    assert!(arrived[0] == parts.concat() && arrived[1..] == frames);
}

/// A pipe of which the one end is sent and the other tells what became of it.
fn pipe() -> (std::io::PipeReader, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, writer.into())
}

fn fds_come_with_their_frames(make: Make) {
    let (mut near, mut far) = make();
    if !near.peer().is_local() {
        assert!(matches!(near.sender.send_with_fd(&[b"x"], pipe().1), Err(TransportError::NoFds)));
        let _ = near.sender.send(&[b"y"]).unwrap();
        assert_eq!(next(&mut far.receiver).unwrap(), b"y");
        return;
    }
    setsockopt(&near.sender.fd(), sockopt::SndBuf, &4096).unwrap();
    // Enough to fill the socket, so that some go out at once and others wait in the backlog.
    let mut readers = Vec::new();
    for number in 0..60_u8 {
        let body = pattern(usize::from(number) * 100, usize::from(number));
        if number % 3 == 0 {
            let (reader, writer) = pipe();
            readers.push(reader);
            let _ = near.sender.send_with_fd(&[&[number], &body], writer).unwrap();
        } else {
            let _ = near.sender.send(&[&[number], &body]).unwrap();
        }
    }
    assert!(near.sender.backlog() > 0);
    for number in 0..60_u8 {
        let frame = loop {
            let _ = near.sender.flush().unwrap();
            if let Some(frame) = far.receiver.next().unwrap() {
                break frame;
            }
        };
        assert_eq!(frame[0], number);
        let fds = far.receiver.take_fds();
        assert_eq!(fds.len(), usize::from(number % 3 == 0), "with frame {number}");
        for fd in fds {
            let flags = nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
            assert_eq!(flags, nix::fcntl::FdFlag::FD_CLOEXEC.bits());
            std::fs::File::from(fd).write_all(&[number]).unwrap();
        }
    }
    for (number, mut reader) in readers.into_iter().enumerate() {
        let mut told = Vec::new();
        reader.read_to_end(&mut told).unwrap();
        assert_eq!(told, [u8::try_from(number).unwrap() * 3]);
    }
    unasked_fds_are_closed(make);
}

fn unasked_fds_are_closed(make: Make) {
    for limit in [0, 2, 100] {
        let (mut near, mut far) = make();
        far.receiver.set_fd_limit(limit);
        let readers: Vec<_> = (0..20)
            .map(|_| {
                let (reader, writer) = pipe();
                let _ = near.sender.send_with_fd(&[b"take it"], writer).unwrap();
                assert_eq!(next(&mut far.receiver).unwrap(), b"take it");
                reader
            })
            .collect();
        let fds = far.receiver.take_fds();
        assert_eq!(fds.len(), limit.min(8));
        drop(fds);
        for mut reader in readers {
            assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        }
    }
}

fn large_memory_is_reused_and_given_up(make: Make) {
    let (mut near, mut far) = make();
    assert_eq!(far.receiver.memory(), 0);
    for size in [100, 300_000] {
        let frames = [pattern(size, 1)];
        let frame = exchange(&mut near.sender, &mut far.receiver, &frames).remove(0);
        let (place, capacity) = (frame.as_ptr(), frame.capacity());
        buffer::give(frame);
        let again = exchange(&mut near.sender, &mut far.receiver, &frames).remove(0);
        assert_eq!(again, frames[0]);
        if capacity >= 1 << 10 {
            assert_eq!((again.as_ptr(), again.capacity()), (place, capacity));
        }
        buffer::give(again);
    }
    buffer::trim();
    far.receiver.park();
    assert_eq!(far.receiver.memory(), 0);
}

fn memory_is_reused_and_given_up(make: Make) {
    let (mut near, mut far) = make();
    // A small frame never gets a large one's memory.
    let small = exchange(&mut near.sender, &mut far.receiver, &[vec![1; 10]]).remove(0);
    assert!(small.capacity() <= 1 << 10);
    // What has been read already is kept by a park.
    write_raw(&near, &[0, 0, 0, 1, b'a', 0, 0, 0, 1, b'b']);
    assert_eq!(next(&mut far.receiver).unwrap(), b"a");
    far.receiver.park();
    assert_eq!(next(&mut far.receiver).unwrap(), b"b");
    far.receiver.park();
    assert_eq!(far.receiver.memory(), 0);
}

fn a_forked_child_can_do_nothing(make: Make) {
    let (mut near, mut far) = make();
    let _ = far.sender.send(&[b"for the parent"]).unwrap();
    let child = spawn(|| {
        let inherited = |error| matches!(error, TransportError::Inherited);
        assert!(near.sender.send(&[b"from the child"]).is_err_and(inherited));
        assert!(near.sender.flush().is_err_and(inherited));
        assert!(near.receiver.next().is_err_and(inherited));
        near.sender.shutdown();
        0
    });
    assert_eq!(child.unwrap().wait(None).unwrap(), Some(ExitStatus::Exited(0)));
    assert_eq!(next(&mut near.receiver).unwrap(), b"for the parent");
    let _ = near.sender.send(&[b"from the parent"]).unwrap();
    assert_eq!(next(&mut far.receiver).unwrap(), b"from the parent");
}
