//! What a hostile, a dying or a stuck peer can do through the shared memory. The contract itself is checked in `transport/tests`.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::cells::MAX_RECORD;
use super::layout::{BULK, CELLS, NOBODYS, RECEIVERS, Way};
use super::*;
use crate::sys::poll::{self, Interest};
use crate::transport::{Progress, TransportError};

/// Both ends of a ring in one process, with the sockets beside it.
struct Pair {
    server: Ring,
    client: Ring,
    near: UnixStream,
    far: UnixStream,
}

const LIMIT: u64 = 8 << 20;

impl Pair {
    fn new() -> Self {
        let (near, far) = UnixStream::pair().unwrap();
        let (server, fd) = Ring::create().unwrap();
        Self { server, client: Ring::adopt(fd).unwrap(), near, far }
    }

    fn send(&mut self, frame: &[u8]) -> Result<Progress, TransportError> {
        self.client.outgoing.send(&[frame], None, self.far.as_fd())
    }

    fn receive(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        self.server.incoming.next(self.near.as_fd(), LIMIT)
    }
}

#[test]
fn bytes_that_look_like_records_are_never_taken_for_them() {
    let mut pair = Pair::new();
    // Every word of the frames is one that could stand at a record's beginning at some position.
    for round in 0..4 * CELLS {
        let length = 50 + (round as usize * 37) % 300;
        let forged: Vec<u8> = (0..length as u64)
            .flat_map(|word| ((word % 60) | 1 << 32 | (round + word / 8) << 40).to_le_bytes())
            .take(length)
            .collect();
        assert_eq!(pair.send(&forged).unwrap(), Progress::Done);
        assert_eq!(pair.receive().unwrap().as_deref(), Some(&forged[..]));
        assert!(pair.receive().unwrap().is_none());
    }
}

#[test]
fn sizes_around_every_edge_arrive() {
    let mut pair = Pair::new();
    let edges =
        [0, 1, 55, 56, 57, 111, 112, 113, MAX_RECORD - 1, MAX_RECORD, MAX_RECORD + 1, BULK as usize - 1, BULK as usize];
    for (seed, size) in edges.into_iter().cycle().take(edges.len() * 20).enumerate() {
        let frame: Vec<u8> = (0..size).map(|place| (place ^ seed) as u8).collect();
        assert_eq!(pair.send(&frame).unwrap(), Progress::Done, "{size} bytes");
        assert!(pair.receive().unwrap().as_deref() == Some(&frame[..]), "{size} bytes");
    }
}

#[test]
fn memory_that_could_be_truncated_or_has_another_layout_is_not_mapped() {
    let open = memfd_create("multiproc-test", MFdFlags::MFD_CLOEXEC).unwrap();
    nix::unistd::ftruncate(&open, SIZE.get() as i64).unwrap();
    assert!(Ring::adopt(open).is_err());
    let other = SealedMemory::create("multiproc-test", SIZE).unwrap();
    assert_eq!(Ring::adopt(other.into_fd()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    let (_, fd) = Ring::create().unwrap();
    assert!(nix::unistd::ftruncate(&fd, 0).is_err());
}

#[test]
fn each_word_that_the_other_side_writes_is_checked() {
    let scribbled = |result: Result<_, TransportError>| matches!(result, Err(TransportError::Scribbled { .. }));
    for word in [1, 7 << 32, 1 << 32 | 0xffff_ffff, 2 << 32 | 9, 1 << 32 | 5 | 1 << 40, u64::MAX] {
        let mut pair = Pair::new();
        pair.client.outgoing.memory.cell(Way::ToServer, 0).store(word, Ordering::Release);
        for _ in 0..2 {
            assert!(scribbled(pair.receive().map(drop)), "{word:#x}");
        }
    }
    for size in [0, LIMIT + 1, u64::MAX] {
        let mut pair = Pair::new();
        pair.client.outgoing.memory.write(Memory::small(Way::ToServer), 8, &size.to_le_bytes());
        pair.client.outgoing.memory.cell(Way::ToServer, 0).store(2 << 32 | 8, Ordering::Release);
        for _ in 0..2 {
            assert!(
                matches!(pair.receive(), Err(TransportError::TooLarge { size: told, limit: LIMIT }) if told == size)
            );
        }
    }
    for taken in [1, CELLS + 1, u64::MAX] {
        let mut pair = Pair::new();
        let memory = Arc::clone(&pair.server.incoming.memory);
        memory.positions(Way::ToServer).cells_taken.0.store(taken, Ordering::Release);
        // Asked for only when the sender knows of no more room.
        let sent = (0..=CELLS).try_for_each(|_| pair.send(b"x").map(drop));
        assert!(taken == 1 || scribbled(sent), "{taken}");
        memory.positions(Way::ToServer).bulk_taken.0.store(taken, Ordering::Release);
        let mut pair = Pair::new();
        let memory = Arc::clone(&pair.server.incoming.memory);
        let _ = pair.send(&vec![1; BULK as usize]).unwrap();
        memory.positions(Way::ToServer).bulk_taken.0.store(u64::MAX, Ordering::Release);
        assert!(scribbled(pair.send(&vec![1; BULK as usize]).map(drop)));
    }
    for written in [BULK + 1, u64::MAX] {
        let mut pair = Pair::new();
        let memory = Arc::clone(&pair.client.outgoing.memory);
        let _ = pair.send(&vec![1; 2 * BULK as usize]).unwrap();
        memory.positions(Way::ToServer).bulk_written.0.store(written, Ordering::Release);
        for _ in 0..2 {
            assert!(scribbled(pair.receive().map(drop)));
        }
    }
}

/// One process plays both sides, and a third mapping scribbles over every byte of the memory, again and again, while frames go both ways. Whatever comes of it,
/// neither side may crash, hang, or take more memory than the limit lets it.
#[test]
fn scribbling_over_every_byte_harms_nobody() {
    let deadline = Instant::now() + Duration::from_secs(2);
    let (mut rounds, mut broken, mut place) = (0, 0, 0);
    while Instant::now() < deadline || broken == 0 {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut server, fd) = Ring::create().unwrap();
        let mut client = Ring::adopt(fd.try_clone().unwrap()).unwrap();
        let vandal = SealedMemory::adopt(fd, SIZE).unwrap().map().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut value = place as u64;
                while !done.load(Ordering::Relaxed) {
                    // Words of all kinds: of records, of positions, and of neither.
                    value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let word = match value >> 61 {
                        0 => 0,
                        1 => 1,
                        2 => (1 << 32) | (value >> 40 & 0xfff),
                        3 => (2 << 32) | 8,
                        4 => u64::MAX,
                        5 => value >> 40,
                        _ => value,
                    };
                    // The header and the cells more often than the large rings.
                    let size = if value & 15 == 0 { SIZE.get() } else { 4096 + 2 * 16_384 };
                    place = (place + 8 + (value as usize & 64)) % (size - 8);
                    // SAFETY: inside the mapping; unaligned on purpose, as a hostile process may.
                    let target = unsafe { vandal.address().add(place) };
                    // SAFETY: as above. Another process would do just this, and nobody relies on these bytes.
                    unsafe { target.cast::<u64>().write_unaligned(word) };
                }
            });
            for turn in 0..400 {
                let sizes = [1, 100, 5_000, 200_000];
                let frame = vec![turn as u8; sizes[turn % 4]];
                let mut step = || -> Result<(), TransportError> {
                    let _ = client.outgoing.send(&[&frame], None, far.as_fd())?;
                    let _ = server.outgoing.send(&[&frame], None, near.as_fd())?;
                    while server.incoming.next(near.as_fd(), LIMIT)?.is_some() {}
                    while client.incoming.next(far.as_fd(), LIMIT)?.is_some() {}
                    let _ = (client.incoming.settle(false, far.as_fd()), server.incoming.settle(false, near.as_fd()));
                    let _ = client.outgoing.flush(far.as_fd())?;
                    let _ = server.outgoing.flush(near.as_fd())?;
                    Ok(())
                };
                if let Err(error) = step() {
                    assert!(
                        matches!(error, TransportError::Scribbled { .. } | TransportError::TooLarge { .. }),
                        "{error}"
                    );
                    broken += 1;
                    break;
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        rounds += 1;
    }
    assert!(broken > 0 && rounds >= broken);
}

#[test]
fn a_sleeper_is_woken_by_frames_by_room_and_by_the_end() {
    let mut pair = Pair::new();
    let readable = |socket: &UnixStream| poll::wait_one(socket, Interest::Read, Some(Duration::ZERO)).unwrap().readable;
    assert!(pair.server.incoming.settle(false, pair.near.as_fd()));
    let _ = pair.send(b"one").unwrap();
    assert!(readable(&pair.near), "a frame rings");
    let _ = pair.send(b"two").unwrap();
    assert_eq!(pair.receive().unwrap().as_deref(), Some(&b"one"[..]));
    assert!(!pair.server.incoming.settle(false, pair.near.as_fd()), "nobody sleeps while something lies there");
    assert!(!readable(&pair.near), "once, and what was rung is forgotten before the next sleep");
    while pair.send(&[0; 1000]).unwrap() == Progress::Done {}
    assert!(pair.client.incoming.settle(false, pair.far.as_fd()));
    while pair.receive().unwrap().is_some() {}
    assert!(readable(&pair.far), "room rings");
    pair.client.incoming.heed(false, pair.far.as_fd());
    assert_eq!(pair.client.outgoing.flush(pair.far.as_fd()).unwrap(), Progress::Done);
    assert!(pair.receive().unwrap().is_some());
    let Pair { client, far, .. } = &mut pair;
    far.shutdown(std::net::Shutdown::Both).unwrap();
    let _ = client;
    assert!(pair.receive().unwrap().is_none() && pair.server.incoming.settle(false, pair.near.as_fd()));
    assert!(readable(&pair.near), "the end wakes");
    assert!(pair.receive().unwrap().is_none(), "what woke is looked at before the next sleep");
    assert!(!pair.server.incoming.settle(false, pair.near.as_fd()));
    assert!(matches!(pair.receive(), Err(TransportError::Closed)));
}

#[test]
fn memory_is_given_back_while_frames_are_written_and_none_is_harmed() {
    let (near, far) = UnixStream::pair().unwrap();
    let (mut server, fd) = Ring::create().unwrap();
    let mut client = Ring::adopt(fd.try_clone().unwrap()).unwrap();
    let blocks = || nix::sys::stat::fstat(&fd).unwrap().st_blocks;
    let frames: Vec<Vec<u8>> = (0..1_000).map(|seed: usize| vec![seed as u8 | 1; [5_000, 70_000][seed % 2]]).collect();
    let count = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (sending, arrived, over, far) = (&frames, &count, &over, &far);
        scope.spawn(move || {
            for (number, frame) in sending.iter().enumerate() {
                // One at a time, so that the other side finds nothing and gives back while this one begins.
                while arrived.load(Ordering::Acquire) < number {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::yield_now();
                }
                let mut progress = client.outgoing.send(&[frame], None, far.as_fd()).unwrap();
                while progress == Progress::Pending {
                    std::thread::yield_now();
                    progress = client.outgoing.flush(far.as_fd()).unwrap();
                }
            }
        });
        // Also where an assertion fails: the sender waits for nobody then.
        let _over = Over(over);
        for frame in &frames {
            let arrived = loop {
                if let Some(arrived) = server.incoming.next(near.as_fd(), LIMIT).unwrap() {
                    break arrived;
                }
                server.incoming.discard(near.as_fd());
                std::thread::yield_now();
            };
            count.fetch_add(1, Ordering::Release);
            assert!(arrived == *frame, "bytes were lost");
        }
    });
    server.incoming.discard(near.as_fd());
    // The header, and the cells of the one direction that the other side writes.
    assert!(blocks() * 512 <= 20 << 10, "{} bytes are left", blocks() * 512);
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client whose server was stopped, or merely slow, while it gave memory back was told that the memory had been scribbled over, and lost its connection:
/// the sender counted its looks at the owner's word, and took many for a broken peer.
#[test]
fn a_frame_waits_for_a_receiver_that_is_stopped_while_it_gives_memory_back() {
    let mut pair = Pair::new();
    let frame = vec![7; 2 * MAX_RECORD];
    let words = Arc::clone(&pair.server.incoming.memory);
    let owner = &words.positions(Way::ToServer).bulk_owner.0;
    owner.store(RECEIVERS, Ordering::Release);
    assert_eq!(pair.send(&frame).unwrap(), Progress::Pending);
    let Pair { client, server, far, near, .. } = &mut pair;
    for _ in 0..1_000 {
        assert_eq!(client.outgoing.flush(far.as_fd()).unwrap(), Progress::Pending);
    }
    assert!(client.incoming.settle(false, far.as_fd()), "it may sleep meanwhile");
    assert_eq!(client.outgoing.flush(far.as_fd()).unwrap(), Progress::Pending);
    owner.store(NOBODYS, Ordering::Release);
    server.incoming.discard(near.as_fd());
    assert!(poll::wait_one(&*far, Interest::Read, Some(Duration::ZERO)).unwrap().readable, "and is woken");
    client.incoming.heed(false, far.as_fd());
    assert_eq!(client.outgoing.flush(far.as_fd()).unwrap(), Progress::Done);
    assert_eq!(pair.receive().unwrap(), Some(frame));
}

/// A sender counted all its sleeps within one frame, and copied what was left of 256 MiB after four, though the receiver took it out all the time: the copy cost several times as much as the
/// sending. It is told whether there was any room, and counts those without.
#[test]
fn who_waits_for_room_is_told_whether_there_was_any() {
    let mut pair = Pair::new();
    let frame: Vec<u8> = (0..5 * BULK as usize).map(|place| (place / 7) as u8).collect();
    let Pair { server, client, near, far } = &mut pair;
    let mut told = Vec::new();
    let mut arrived = None;
    let mut room = |gained| {
        told.push(gained);
        // Every second time the receiver is busy with something else.
        if told.len() % 2 == 0 {
            arrived = server.incoming.next(near.as_fd(), LIMIT).unwrap();
        }
        true
    };
    let sent = client.outgoing.stream_from(frame.len(), &mut |put| put(&frame), &mut room, far.as_fd()).unwrap();
    assert_eq!(sent, Some(Progress::Done), "nothing of it is kept");
    assert!(arrived.is_none());
    assert!(pair.receive().unwrap().as_deref() == Some(&frame[..]));
    let expected: Vec<bool> = (0..told.len()).map(|time| time % 2 == 0).collect();
    assert_eq!((told.len() >= 8, told), (true, expected));
}

#[test]
fn the_end_inside_a_large_frame_is_told() {
    let mut pair = Pair::new();
    assert_eq!(pair.send(&vec![1; 3 * BULK as usize]).unwrap(), Progress::Pending);
    assert!(pair.receive().unwrap().is_none());
    pair.far.shutdown(std::net::Shutdown::Both).unwrap();
    pair.server.incoming.heed(true, pair.near.as_fd());
    for _ in 0..2 {
        assert!(matches!(pair.receive(), Err(TransportError::Truncated)));
    }
}
