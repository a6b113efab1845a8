//! What the machine can do at best: bare ping-pong on a socket and in shared memory, memcpy, and two processes that copy through memory which they share.

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::clients::{Call, Figures, Forked, Shared, measure, measure_rested};

/// Bytes of a message, each way.
const SIZE: usize = 32;

/// One client and one server on a unix socket, with a rest before each message.
pub fn socket(time: Duration, rest: Duration) -> Result<Figures> {
    let (near, far) = UnixStream::pair()?;
    let _server = Forked::run({
        let mut far = far.try_clone()?;
        let near = near.try_clone()?;
        move || {
            drop(near);
            let mut message = [0; SIZE];
            while far.read_exact(&mut message).is_ok() {
                far.write_all(&message)?;
            }
            Ok(())
        }
    })?;
    drop(far);
    measure_rested(1, time, rest, |_| {
        let mut near = near.try_clone()?;
        let mut message = [7; SIZE];
        let call: Call = Box::new(move || {
            near.write_all(&message)?;
            near.read_exact(&mut message)?;
            Ok(1)
        });
        Ok(call)
    })
}

#[repr(C, align(128))]
struct Line(AtomicU64, [u64; 7]);

#[repr(C)]
struct Lines {
    there: Line,
    back: Line,
}

/// One client and one server, both spinning on shared memory.
pub fn memory(time: Duration) -> Result<Figures> {
    let lines = Shared::<Lines>::zeroed()?;
    let _server = Forked::run(|| {
        let lines = lines.get();
        let mut last = 0;
        loop {
            let now = lines.there.0.load(Ordering::Acquire);
            if now != last {
                last = now;
                lines.back.0.store(now, Ordering::Release);
            }
            spin_loop();
        }
    })?;
    measure(1, time, |_| {
        let lines: &'static Lines = unsafe { &*std::ptr::from_ref(lines.get()) };
        let mut last = 0;
        let call: Call = Box::new(move || {
            last += 1;
            lines.there.0.store(last, Ordering::Release);
            while lines.back.0.load(Ordering::Acquire) != last {
                spin_loop();
            }
            Ok(1)
        });
        Ok(call)
    })
}

/// GiB/s of a copy into memory that is used again.
pub fn memcpy(size: usize) -> f64 {
    let from = vec![7_u8; size];
    let mut to = vec![1_u8; size];
    let (begin, mut copied) = (Instant::now(), 0_usize);
    while begin.elapsed() < Duration::from_millis(300) {
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&mut to);
        copied += size;
    }
    copied as f64 / begin.elapsed().as_secs_f64() / (1_u64 << 30) as f64
}

/// The bytes that lie between two processes at most, and those of a piece.
const WINDOW: usize = 512 << 10;
const PIECE: usize = 64 << 10;

#[repr(C)]
struct Window {
    written: Line,
    taken: Line,
    bytes: UnsafeCell<[u8; WINDOW]>,
}

impl Window {
    /// Waits until `is_time`, and lets others have the processor now and then.
    fn wait(is_time: impl Fn() -> bool) {
        for look in 1_u32.. {
            if is_time() {
                return;
            }
            if look % 4096 == 0 { std::thread::yield_now() } else { spin_loop() }
        }
    }

    /// The memory where the byte of this number lies.
    fn at(&self, number: u64) -> *mut u8 {
        // SAFETY: inside the array.
        unsafe { self.bytes.get().cast::<u8>().add(number as usize % WINDOW) }
    }
}

/// GiB/s of bytes that one process copies into memory which it shares, piece by piece, while another copies them out into memory that it uses again: a memcpy from one processor to
/// another, with nothing of a protocol.
pub fn across(size: usize) -> Result<f64> {
    let window = Shared::<Window>::zeroed()?;
    let pieces =
        |from: u64| (0..size).step_by(PIECE).map(move |start| (from + start as u64, start, PIECE.min(size - start)));
    let taker = Forked::run(|| {
        let window = window.get();
        let mut to = vec![1_u8; size];
        for from in (0..).step_by(size) {
            for (place, start, length) in pieces(from) {
                Window::wait(|| window.written.0.load(Ordering::Acquire) >= place + length as u64);
                // SAFETY: written before it was published, and not written again before it is said to be taken; the sizes are multiples of a piece, or smaller than one.
                unsafe { std::ptr::copy_nonoverlapping(window.at(place), to[start..].as_mut_ptr(), length) };
                window.taken.0.store(place + length as u64, Ordering::Release);
            }
            std::hint::black_box(&mut to);
        }
        Ok(())
    })?;
    let window = window.get();
    let bytes = vec![7_u8; size];
    let mut from = 0;
    let mut send = || {
        for (place, start, length) in pieces(from) {
            Window::wait(|| place + length as u64 - window.taken.0.load(Ordering::Acquire) <= WINDOW as u64);
            // SAFETY: what lay there was taken.
            unsafe { std::ptr::copy_nonoverlapping(bytes[start..].as_ptr(), window.at(place), length) };
            window.written.0.store(place + length as u64, Ordering::Release);
        }
        from += size as u64;
        Window::wait(|| window.taken.0.load(Ordering::Acquire) == from);
    };
    send();
    let (begin, mut count) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_millis(300) {
        send();
        count += 1;
    }
    let time = begin.elapsed();
    drop(taker);
    Ok((size * count) as f64 / time.as_secs_f64() / (1_u64 << 30) as f64)
}
