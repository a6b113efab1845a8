//! Memory that two processes share: a memfd whose size nobody can change any more, and its mapping.
//!
//! A process that maps a file which another may truncate can be killed by it (SIGBUS). So a [`SealedMemory`] is sealed against shrinking
//! and growing by its maker, and its receiver looks at seals and size before it maps anything.
#![allow(unsafe_code)]

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, munmap};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;

use super::fork::Stamp;

/// Nobody changes the size, and nobody lifts or adds seals.
const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_SEAL);

/// Memory without a name, of a size that is fixed for good.
#[derive(Debug)]
pub struct SealedMemory {
    fd: OwnedFd,
    size: NonZeroUsize,
}

impl SealedMemory {
    /// New memory of zeros, which takes none of the machine's before it is written. The name is for people who look into `/proc`.
    ///
    /// # Errors
    /// When the system has no descriptor or no memfd for us.
    pub fn create(name: &str, size: NonZeroUsize) -> io::Result<Self> {
        let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        ftruncate(&fd, i64::try_from(size.get()).map_err(io::Error::other)?)?;
        fcntl(&fd, FcntlArg::F_ADD_SEALS(SEALS))?;
        Ok(Self { fd, size })
    }

    /// Takes over a descriptor that another process made, if it is sealed memory of exactly this size.
    ///
    /// # Errors
    /// When it is anything else: its maker could kill this process by a truncation.
    pub fn adopt(fd: OwnedFd, size: NonZeroUsize) -> io::Result<Self> {
        let seals = SealFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GET_SEALS)?);
        let real = usize::try_from(fstat(&fd)?.st_size).map_err(io::Error::other)?;
        if !seals.contains(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "shared memory that is not sealed"));
        }
        if real != size.get() {
            let what = format!("shared memory of {real} bytes instead of {size}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(Self { fd, size })
    }

    /// Maps all of it into this process, and into no child of it.
    ///
    /// # Errors
    /// When the process has no address space or no mapping left.
    pub fn map(&self) -> io::Result<Mapping> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists; the file's size is sealed.
        let address = unsafe { mmap(None, self.size, access, MapFlags::MAP_SHARED, &self.fd, 0) }?;
        let mapping = Mapping { address: address.cast(), size: self.size, stamp: Stamp::now() };
        // SAFETY: the advice is for exactly the mapping made above.
        unsafe { madvise(address, self.size.get(), MmapAdvise::MADV_DONTFORK) }?;
        Ok(mapping)
    }

    /// The descriptor, to be handed to the other process.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for SealedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Shared memory, mapped. In a forked child the addresses mean nothing, so whoever reads or writes asks [`is_here`](Self::is_here) first.
#[derive(Debug)]
pub struct Mapping {
    address: NonNull<u8>,
    size: NonZeroUsize,
    stamp: Stamp,
}

// SAFETY: the mapping is plain memory of the process; what its users do with it is theirs to synchronise.
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing in here changes after it was made.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Where it begins: at a page.
    pub fn address(&self) -> NonNull<u8> {
        self.address
    }

    /// Its size in bytes.
    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.size.get()
    }

    /// Whether it is mapped in this process, and not only in one that this one was forked from.
    pub fn is_here(&self) -> bool {
        self.stamp.is_current()
    }

    /// Gives whole pages back to the system, for all who share them: they read as zeros, and cost nothing until they are written again. Other bytes of the range
    /// are left alone.
    pub fn discard(&self, range: Range<usize>) {
        const PAGE: usize = 4096;
        let (start, end) = (range.start.next_multiple_of(PAGE), range.end.min(self.size.get()) / PAGE * PAGE);
        if start < end && self.is_here() {
            // SAFETY: start lies inside the mapping.
            let address = unsafe { self.address.add(start) };
            // SAFETY: whole pages of this mapping, which stays mapped. A refusal leaves the memory as it was.
            let _ = unsafe { madvise(address.cast(), end - start, MmapAdvise::MADV_REMOVE) };
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // In a forked child something else may lie at these addresses by now.
        if self.is_here() {
            // SAFETY: mapped by `map` with this size in this process, and nobody can reach it any more.
            let _ = unsafe { munmap(self.address.cast(), self.size.get()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fork::{ExitStatus, spawn};

    const SIZE: NonZeroUsize = NonZeroUsize::new(8 * 4096).unwrap();

    fn write(mapping: &Mapping, place: usize, byte: u8) {
        assert!(place < mapping.size());
        // SAFETY: inside the mapping, and nobody else writes in these tests.
        let target = unsafe { mapping.address().add(place) };
        // SAFETY: as above.
        unsafe { target.write_volatile(byte) };
    }

    fn read(mapping: &Mapping, place: usize) -> u8 {
        assert!(place < mapping.size());
        // SAFETY: inside the mapping, and nobody writes at this moment.
        let source = unsafe { mapping.address().add(place) };
        // SAFETY: as above.
        unsafe { source.read_volatile() }
    }

    #[test]
    fn what_one_mapping_writes_the_other_reads() {
        let memory = SealedMemory::create("multiproc-test", SIZE).unwrap();
        let near = memory.map().unwrap();
        let far = SealedMemory::adopt(memory.into_fd(), SIZE).unwrap().map().unwrap();
        write(&near, 0, 7);
        write(&far, SIZE.get() - 1, 8);
        assert_eq!((read(&far, 0), read(&near, SIZE.get() - 1), read(&near, 1)), (7, 8, 0));
    }

    #[test]
    fn nobody_can_change_the_size() {
        let memory = SealedMemory::create("multiproc-test", SIZE).unwrap();
        let _mapping = memory.map().unwrap();
        for size in [0, 4096, 16 * 4096] {
            assert_eq!(ftruncate(&memory.fd, size), Err(nix::Error::EPERM), "to {size}");
        }
        assert_eq!(fcntl(&memory.fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)), Err(nix::Error::EPERM));
    }

    #[test]
    fn what_is_not_sealed_or_has_another_size_is_refused() {
        let open = memfd_create("multiproc-test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        ftruncate(&open, 8 * 4096).unwrap();
        let error = SealedMemory::adopt(open, SIZE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let file = tempfile::tempfile().unwrap();
        file.set_len(8 * 4096).unwrap();
        assert!(SealedMemory::adopt(file.into(), SIZE).is_err());
        let small = SealedMemory::create("multiproc-test", NonZeroUsize::new(4096).unwrap()).unwrap();
        assert_eq!(SealedMemory::adopt(small.into_fd(), SIZE).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn discarded_pages_are_zeros_and_the_rest_stays() {
        let mapping = SealedMemory::create("multiproc-test", SIZE).unwrap().map().unwrap();
        for page in 0..8 {
            write(&mapping, page * 4096, 1);
        }
        mapping.discard(100..3 * 4096 + 100);
        let pages: Vec<_> = (0..8).map(|page| read(&mapping, page * 4096)).collect();
        assert_eq!(pages, [1, 0, 0, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_forked_child_has_no_part_in_it() {
        let mapping = SealedMemory::create("multiproc-test", SIZE).unwrap().map().unwrap();
        let (address, here) = (mapping.address().as_ptr() as usize, mapping.is_here());
        assert!(here);
        let child = spawn(move || {
            // The copy of the parent's mapping is dropped with nothing done.
            let mapped =
                std::fs::read_to_string("/proc/self/maps").unwrap_or_default().contains(&format!("{address:x}-"));
            let wrong = mapping.is_here();
            drop(mapping);
            i32::from(mapped) + 2 * i32::from(wrong)
        });
        assert_eq!(child.unwrap().wait(None).unwrap(), Some(ExitStatus::Exited(0)));
    }
}
