//! What the machine can do at best: bare ping-pong on a socket and in shared memory, and memcpy.

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
