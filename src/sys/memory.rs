//! Memory with a file descriptor, for what is too large for a packet; and memory in huge pages, for what is too large for small ones.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MmapAdvise, madvise};

/// An anonymous file that holds these bytes, close-on-exec. It is gone with its last descriptor.
///
/// # Errors
/// When there is no descriptor or memory left.
pub fn hold(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("multiproc", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file.into())
}

/// All bytes of such a file.
///
/// # Errors
/// When there is no memory left.
pub fn held(fd: OwnedFd) -> io::Result<Vec<u8>> {
    let mut file = File::from(fd);
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Asks the system for huge pages for what a buffer has room for beyond its present bytes: one fault for each 2 MiB instead of 512.
pub fn prefer_huge_pages(buffer: &mut Vec<u8>) {
    const PAGE: usize = 4096;
    let room = buffer.spare_capacity_mut();
    let start = room.as_mut_ptr();
    let skip = start.align_offset(PAGE);
    let length = room.len().saturating_sub(skip) / PAGE * PAGE;
    if let Some(address) = std::ptr::NonNull::new(start.wrapping_add(skip).cast())
        && length > 0
    {
        // SAFETY: whole pages of memory that is the buffer's; the advice changes nothing that a program can see. A refusal leaves everything as it was.
        let _ = unsafe { madvise(address, length, MmapAdvise::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_there_for_whoever_has_the_descriptor() {
        let bytes: Vec<u8> = (0..1 << 20).map(|number: u32| number as u8).collect();
        let fd = hold(&bytes).unwrap();
        assert_eq!(held(fd.try_clone().unwrap()).unwrap(), bytes);
        assert_eq!(held(fd).unwrap(), bytes);
    }
}
