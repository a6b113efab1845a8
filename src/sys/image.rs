//! Plain functions, named so that another process of the same program finds them.
//!
//! A function's address means nothing elsewhere, unless the other process runs the very same image; so a [`Location`] is the
//! image's build id, the offset in it, and the function's type, and all three are compared before anything is called. The
//! image is the one that this crate is linked into: the program, or the shared library that it is a part of.
//!
//! Nothing here takes a lock that a fork could leave locked: the image describes itself by its ELF header, and the dynamic
//! loader is not asked.
#![allow(unsafe_code)]

use std::any::{TypeId, type_name};
use std::hash::{Hash, Hasher};
use std::mem;
use std::ops::Range;
use std::ptr;
use std::slice;

#[cfg(target_pointer_width = "32")]
use libc::{Elf32_Ehdr as Header, Elf32_Phdr as Segment};
#[cfg(target_pointer_width = "64")]
use libc::{Elf64_Ehdr as Header, Elf64_Phdr as Segment};
use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use super::fork::ForkMutex;

/// The type of a note that holds a build id (`NT_GNU_BUILD_ID`).
const BUILD_ID_NOTE: u32 = 3;

/// A segment whose table lists where each function begins (`PT_GNU_EH_FRAME`).
const FUNCTION_TABLE: u32 = 0x6474_e550;

unsafe extern "C" {
    /// Where the linker put the header of the image that this code is in.
    static __ehdr_start: Header;
}

/// Where a function of type `F` is, for a process of the same program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    image: [u8; 16],
    offset: u64,
    kind: u64,
}

impl Location {
    /// What tells it from others of its image.
    pub fn key(&self) -> (u64, u64) {
        (self.offset, self.kind)
    }
}

/// Why a function can't be named, or found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// It is in some other image, such as a library that was loaded by itself.
    #[error("the function is not in the image that multiproc is linked into, so that another process can't find it")]
    Elsewhere,
    /// The processes do not run the same image.
    #[error("the function was sent by a process of another build of the program")]
    OtherImage,
    /// At that place is no code.
    #[error("offset {offset:#x} of the image holds no function")]
    NoCode {
        /// The place.
        offset: u64,
    },
    /// The function there is of another type.
    #[error("the function was sent as one of another type than {expected}")]
    OtherType {
        /// What it was to be.
        expected: &'static str,
    },
}

/// Function pointers: those whose bits are a code address.
///
/// # Safety
/// `Self` is a function pointer, or a transparent wrapper of one.
pub unsafe trait Function: Copy + 'static {}

// SAFETY: it is one.
unsafe impl<R: 'static> Function for fn() -> R {}
// SAFETY: it is one.
unsafe impl<A: 'static, R: 'static> Function for fn(A) -> R {}
// SAFETY: it is one.
unsafe impl<A: 'static, B: 'static, R: 'static> Function for fn(A, B) -> R {}

/// A function that works on what its caller keeps.
#[repr(transparent)]
pub struct OnState<S, A, R>(pub fn(&mut S, A) -> R);

impl<S, A, R> Clone for OnState<S, A, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, A, R> Copy for OnState<S, A, R> {}

// SAFETY: a transparent wrapper of one.
unsafe impl<S: 'static, A: 'static, R: 'static> Function for OnState<S, A, R> {}

/// A function's address within this process.
fn address<F: Function>(function: F) -> usize {
    const { assert!(size_of::<F>() == size_of::<usize>(), "a function pointer is a word") };
    // SAFETY: a `Function` is a function pointer, which is a word without padding.
    unsafe { mem::transmute_copy(&function) }
}

/// Names a function for other processes of the same program.
///
/// # Errors
/// [`NotFound::Elsewhere`].
pub fn locate<F: Function>(function: F) -> Result<Location, NotFound> {
    let image = Image::own();
    let address = address(function);
    if !image.text.contains(&address) {
        return Err(NotFound::Elsewhere);
    }
    Ok(Location { image: image.id, offset: (address - image.base) as u64, kind: kind::<F>() })
}

/// The function that another process of this program has [located](locate).
///
/// # Errors
/// When it is none of this image, or of another type.
pub fn find<F: Function>(location: &Location) -> Result<F, NotFound> {
    let image = Image::own();
    if location.image != image.id {
        return Err(NotFound::OtherImage);
    }
    if location.kind != kind::<F>() {
        return Err(NotFound::OtherType { expected: type_name::<F>() });
    }
    let offset = usize::try_from(location.offset).ok();
    let address = offset.and_then(|offset| image.base.checked_add(offset));
    let address = address.filter(|address| image.text.contains(address));
    let address = address.ok_or(NotFound::NoCode { offset: location.offset })?;
    // SAFETY: the place was taken from a function of type `F` (compared by its hash) by a process of the same image (compared
    // by its build id), and locations travel only on sockets that nobody but the program's own processes holds.
    Ok(unsafe { mem::transmute_copy(&address) })
}

/// A number for a type, the same in all processes of one image.
fn kind<F: 'static>() -> u64 {
    let mut hasher = FxHasher::default();
    TypeId::of::<F>().hash(&mut hasher);
    hasher.finish()
}

/// The image that this code is in.
#[derive(Debug, Clone)]
struct Image {
    base: usize,
    /// From the first to the last byte of code.
    text: Range<usize>,
    id: [u8; 16],
}

impl Image {
    fn own() -> Self {
        // No `Once`: a fork while another thread is in it would leave the child to wait for ever.
        static OWN: ForkMutex<Option<Image>> = ForkMutex::new(None);
        OWN.lock().get_or_insert_with(Self::read).clone()
    }

    fn read() -> Self {
        let header = &raw const __ehdr_start;
        // SAFETY: the linker defines it as this image's own header, which is mapped with it and never written.
        let told = unsafe { &*header };
        let (offset, count) = (told.e_phoff as usize, usize::from(told.e_phnum));
        // SAFETY: the segments' list is in the image's first page, behind its header.
        let first = unsafe { header.cast::<u8>().add(offset) }.cast::<Segment>();
        // SAFETY: the header says how many there are; they are never written.
        let segments = unsafe { slice::from_raw_parts(first, count) };
        let loaded = || segments.iter().filter(|segment| segment.p_type == libc::PT_LOAD);
        // Where the header lies tells how far the whole was moved from where it was linked for.
        let lowest = loaded().map(|segment| segment.p_vaddr as usize).min().unwrap_or(0);
        let base = header.addr().wrapping_sub(lowest);
        let span = |segment: &Segment| {
            let begin = base.wrapping_add(segment.p_vaddr as usize);
            begin..begin.wrapping_add(segment.p_memsz as usize)
        };
        let code = || loaded().filter(|segment| segment.p_flags & libc::PF_X != 0).map(span);
        let begin = code().map(|text| text.start).min().unwrap_or(0);
        let text = begin..code().map(|text| text.end).max().unwrap_or(0);
        let bytes = |segment: &Segment| {
            let span = span(segment);
            let begin = ptr::with_exposed_provenance::<u8>(span.start);
            // SAFETY: notes and the functions' table lie in loaded, readable segments, and are never written.
            unsafe { slice::from_raw_parts(begin, span.len()) }
        };
        let notes = segments.iter().filter(|segment| segment.p_type == libc::PT_NOTE).map(bytes);
        let id = notes.into_iter().find_map(build_id).unwrap_or_else(|| {
            // Linkers may leave the id out. Where every function begins is as good.
            let tables = segments.iter().filter(|segment| segment.p_type == FUNCTION_TABLE).map(bytes);
            fingerprint(&tables.flatten().copied().collect::<Vec<_>>())
        });
        Self { base, text, id }
    }
}

/// The build id among these notes: what names a program's build.
fn build_id(mut notes: &[u8]) -> Option<[u8; 16]> {
    let word = |bytes: &[u8]| Some(u32::from_ne_bytes(*bytes.first_chunk()?));
    let padded = |length: u32| (length as usize).next_multiple_of(4);
    while notes.len() >= 12 {
        let (name, length, kind) = (word(notes)?, word(&notes[4..])?, word(&notes[8..])?);
        let begin = 12 + padded(name);
        let id = notes.get(begin..begin + length as usize)?;
        if kind == BUILD_ID_NOTE && notes.get(12..16) == Some(b"GNU\0") {
            return Some(id.first_chunk().copied().unwrap_or_else(|| fingerprint(id)));
        }
        notes = notes.get(begin + padded(length)..)?;
    }
    None
}

/// Two hashes of the bytes.
fn fingerprint(bytes: &[u8]) -> [u8; 16] {
    let hash = |seed: u64| {
        let mut hasher = FxHasher::default();
        hasher.write_u64(seed);
        hasher.write(bytes);
        hasher.finish().to_ne_bytes()
    };
    let mut print = [0; 16];
    print[..8].copy_from_slice(&hash(1));
    print[8..].copy_from_slice(&hash(2));
    print
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(number: u32) -> u32 {
        number * 2
    }

    #[test]
    fn a_function_is_found_where_it_was_located() {
        let location = locate(double as fn(u32) -> u32).unwrap();
        assert_ne!(location.image, [0; 16]);
        assert_eq!(find::<fn(u32) -> u32>(&location).unwrap()(21), 42);
        let closure = locate((|text: String| text.len()) as fn(String) -> usize).unwrap();
        assert_eq!(find::<fn(String) -> usize>(&closure).unwrap()("four".into()), 4);
        let keeping = locate(OnState::<u32, u32, u32>(|sum, more| {
            *sum += more;
            *sum
        }));
        assert_eq!((find::<OnState<u32, u32, u32>>(&keeping.unwrap()).unwrap().0)(&mut 1, 2), 3);
    }

    #[test]
    fn whatever_is_not_that_function_is_refused() {
        let location = locate(double as fn(u32) -> u32).unwrap();
        assert!(matches!(find::<fn(u64) -> u32>(&location), Err(NotFound::OtherType { .. })));
        let other = Location { image: [7; 16], ..location };
        assert_eq!(find::<fn(u32) -> u32>(&other), Err(NotFound::OtherImage));
        for offset in [0, u64::MAX, 1 << 40] {
            let nowhere = Location { offset, ..location };
            assert_eq!(find::<fn(u32) -> u32>(&nowhere), Err(NotFound::NoCode { offset }));
        }
        // SAFETY: `labs` takes and returns one long; it is only named here.
        let foreign = unsafe { mem::transmute::<*const (), fn(i64) -> i64>(libc::labs as *const ()) };
        assert_eq!(locate(foreign), Err(NotFound::Elsewhere));
    }

    #[test]
    fn notes_are_read_to_their_end_and_not_beyond() {
        let note = |kind: u32, id: &[u8]| {
            let mut note = [4_u32, id.len() as u32, kind].map(u32::to_ne_bytes).concat();
            note.extend_from_slice(b"GNU\0");
            note.extend_from_slice(id);
            note.resize(note.len().next_multiple_of(4), 0);
            note
        };
        let id: Vec<u8> = (0..20).collect();
        let both = [note(1, &[9; 5]), note(BUILD_ID_NOTE, &id)].concat();
        assert_eq!(build_id(&both).as_ref().map(|found| &found[..]), Some(&id[..16]));
        for cut in 0..both.len() - 4 {
            let found = build_id(&both[..cut]);
            assert!(found.is_none(), "{cut}");
        }
    }
}
