//! Memory with a file descriptor: for what is too large for a packet.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;

use nix::sys::memfd::{MFdFlags, memfd_create};

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
