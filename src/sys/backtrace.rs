//! Where this thread is, as text, also in a forked child.
//!
//! std and the `backtrace` crate both look names up under one lock for the process, and another thread of the
//! parent's may have held it at the fork; the child would wait for ever. Walking the stack needs no lock. So the walk
//! is theirs and the look-up is our own: the debug information of each loaded file, kept behind the gate.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use addr2line::{Loader, demangle_auto};

use super::fork::ForkMutex;

/// How deep a backtrace goes: a runaway recursion must not make a text of megabytes.
const DEPTH: usize = 128;

/// The debug information of files that a backtrace went through; `None` where a file has none.
static FILES: ForkMutex<Option<HashMap<PathBuf, Option<Loader>>>> = ForkMutex::new(None);

/// The calls that led here, innermost first, one a line with its place where that is known.
///
/// The first look into a file reads its debug information, which takes milliseconds; a fork waits as long. Takes no
/// lock that a fork could leave locked.
pub fn capture() -> String {
    let addresses = walk();
    let modules = modules();
    let mut files = FILES.lock();
    let files = files.get_or_insert_default();
    let mut text = String::new();
    for (number, address) in addresses.into_iter().enumerate() {
        let module = modules.iter().find(|module| module.holds(address));
        let loader = module.and_then(|module| {
            files.entry(module.path.clone()).or_insert_with(|| Loader::new(&module.path).ok()).as_ref()
        });
        let offset = module.map_or(address, |module| address.wrapping_sub(module.base));
        describe(&mut text, number, address, offset, loader);
    }
    text
}

/// The return addresses of this thread's frames, moved back into the calls.
fn walk() -> Vec<u64> {
    let mut addresses = Vec::with_capacity(DEPTH);
    let visit = |frame: &backtrace::Frame| {
        // An address of 0 ends a stack; 1 less is inside the call, and so on the call's own line.
        match (frame.ip() as u64).checked_sub(1) {
            Some(address) if addresses.len() < DEPTH => {
                addresses.push(address);
                true
            }
            _ => false,
        }
    };
    // SAFETY: on Linux the walk is the unwinder's, which is safe from many threads at once; nothing is looked up.
    unsafe { backtrace::trace_unsynchronized(visit) };
    addresses
}

/// One line for the address, and one for each call that was inlined there.
fn describe(text: &mut String, number: usize, address: u64, offset: u64, loader: Option<&Loader>) {
    let mut named = false;
    if let Some(mut frames) = loader.and_then(|loader| loader.find_frames(offset).ok()) {
        while let Ok(Some(frame)) = frames.next() {
            let Some(function) = frame.function else { continue };
            let Ok(name) = function.demangle() else { continue };
            let _ = write!(text, "{number:4}: {name}");
            if let Some((file, line)) = frame.location.and_then(|place| place.file.zip(place.line)) {
                let _ = write!(text, " at {file}:{line}");
            }
            text.push('\n');
            named = true;
        }
    }
    if !named {
        // Without debug information the symbol table still names functions.
        let symbol = loader.and_then(|loader| loader.find_symbol(offset));
        let _ = match symbol {
            Some(symbol) => writeln!(text, "{number:4}: {}", demangle_auto(symbol.into(), None)),
            None => writeln!(text, "{number:4}: {address:#x}"),
        };
    }
}

/// A file that is mapped into this process.
struct Module {
    path: PathBuf,
    /// What to take from an address to get the file's own.
    base: u64,
    /// Its parts in memory.
    parts: Vec<Range<u64>>,
}

impl Module {
    fn holds(&self, address: u64) -> bool {
        self.parts.iter().any(|part| part.contains(&address))
    }
}

/// The mapped files, from the kernel: the dynamic linker's own list stands behind a lock of its.
fn modules() -> Vec<Module> {
    let maps = fs::read("/proc/self/maps").unwrap_or_default();
    let program = fs::read_link("/proc/self/exe").unwrap_or_default();
    let mut modules: Vec<Module> = Vec::new();
    for line in maps.split(|byte| *byte == b'\n') {
        let Some((part, offset, path)) = mapping(line) else { continue };
        match modules.last_mut() {
            Some(module) if module.path == path => module.parts.push(part),
            _ if offset == 0 => modules.push(Module { path, base: part.start, parts: vec![part] }),
            // A file whose head is not mapped was not mapped to be run.
            _ => {}
        }
    }
    for module in &mut modules {
        // Opened by this name, it is found even if it was replaced on disk since it was started.
        if module.path == program {
            module.path = PathBuf::from("/proc/self/exe");
        }
        if has_fixed_addresses(&module.path) {
            module.base = 0;
        }
    }
    modules
}

/// Start and end, offset in the file, and path, of a line such as
/// `7f01a000-7f01b000 r-xp 00001000 fe:01 1234    /usr/lib/libc.so.6`.
fn mapping(line: &[u8]) -> Option<(Range<u64>, u64, PathBuf)> {
    let path = &line[line.iter().position(|byte| *byte == b'/')?..];
    let mut fields = str::from_utf8(&line[..line.len() - path.len()]).ok()?.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let offset = fields.nth(1)?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(start)?..number(end)?, number(offset)?, PathBuf::from(OsStr::from_bytes(path))))
}

/// Whether the file is an ELF program that can stand at one place in memory only.
fn has_fixed_addresses(path: &Path) -> bool {
    const ET_EXEC: u16 = 2;
    let mut head = [0; 18];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && u16::from_ne_bytes([head[16], head[17]]) == ET_EXEC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn outer() -> String {
        std::hint::black_box(capture())
    }

    #[test]
    fn the_calls_are_named_with_their_places() {
        let text = outer();
        let (mine, caller) = (text.find("outer"), text.find("the_calls_are_named"));
        assert!(mine.is_some() && mine < caller, "{text}");
        assert!(text.contains("backtrace.rs:"), "{text}");
    }

    #[test]
    fn a_deep_recursion_is_cut_off() {
        fn down(left: u32) -> String {
            if left == 0 { capture() } else { std::hint::black_box(down(left - 1)) }
        }
        let text = down(1000);
        let last = text.lines().last().unwrap();
        assert!(last.trim_start().starts_with("127:"), "{last}");
    }
}
