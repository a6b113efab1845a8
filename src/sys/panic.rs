//! Panics, caught with their place and backtrace, also in a forked child.
//!
//! Two things stand in the way of catching a panic as a value. What `catch_unwind` returns has neither the place nor
//! the backtrace: only the panic hook sees those. And std's own hook takes a lock to print, which in a forked child may
//! be held for ever by a thread of the parent's. So one hook is put before the others, once per program: it keeps what
//! happens inside [`contain`], prints past all locks in a forked child, and leaves everything else to the hook that was
//! there. A program that sets a hook of its own later loses the place and the backtrace, never the containment.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::unistd::write;

use super::backtrace;
use super::fork::Stamp;

/// A panic that was caught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// What `panic!` was given.
    pub message: String,
    /// `file:line:column`; `None` when another hook was in the way.
    pub place: Option<String>,
    /// One frame a line; empty when another hook was in the way.
    pub backtrace: String,
}

impl Panic {
    /// Writes it to fd 2 itself, past std's stderr and whatever captures it. Shows the backtrace if the program was
    /// started with `RUST_BACKTRACE`.
    pub fn print(&self) {
        let mut text = format!("process {} {self}\n", std::process::id());
        if SHOWS_BACKTRACE.load(Ordering::Relaxed) {
            text.push_str(&self.backtrace);
        }
        let (stderr, mut rest) = (io::stderr(), text.as_bytes());
        while !rest.is_empty() {
            match write(&stderr, rest) {
                Ok(0) => return,
                Ok(written) => rest = &rest[written..],
                Err(nix::Error::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "panicked at {place}:\n{}", self.message),
            None => write!(f, "panicked:\n{}", self.message),
        }
    }
}

thread_local! {
    /// How many [`contain`]s this thread is in.
    static CONTAINED: Cell<u32> = const { Cell::new(0) };
    /// Whether there is a last panic.
    static ANY: Cell<bool> = const { Cell::new(false) };
    /// The last panic inside them.
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// `RUST_BACKTRACE`, as it was when the hook was installed: a forked child must not read the environment, which another
/// thread of its parent may have been changing.
static SHOWS_BACKTRACE: AtomicBool = AtomicBool::new(false);

/// Runs `f`; a panic in it is returned, and printed by nobody.
///
/// # Errors
/// The panic, with its place and backtrace.
#[inline]
pub fn contain<R>(f: impl FnOnce() -> R) -> Result<R, Panic> {
    install_hook();
    CONTAINED.set(CONTAINED.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(f));
    CONTAINED.set(CONTAINED.get() - 1);
    // Also of a panic that was caught inside: it is not the next one's.
    let recorded = if ANY.replace(false) { LAST.try_with(RefCell::take).ok().flatten() } else { None };
    result.map_err(|payload| {
        let panic =
            recorded.unwrap_or_else(|| Panic { message: message(&*payload), place: None, backtrace: String::new() });
        discard(payload);
        panic
    })
}

/// Puts the hook before the others, unless that was done or this thread is panicking. Done before each fork: a child
/// can't, since the lock of std's hook may be held there for ever.
#[inline]
pub(super) fn install_hook() {
    if !INSTALLED.load(Ordering::Relaxed) {
        install_hook_now();
    }
}

#[cold]
fn install_hook_now() {
    // No `Once`: a fork while another thread is in it would leave the child to wait for ever.
    if std::thread::panicking() || INSTALLED.swap(true, Ordering::AcqRel) {
        return;
    }
    SHOWS_BACKTRACE.store(std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0"), Ordering::Relaxed);
    let (installer, former) = (Stamp::now(), take_hook());
    set_hook(Box::new(move |info| {
        if CONTAINED.get() > 0 {
            let panic = record(info);
            ANY.set(true);
            let _ = LAST.try_with(|last| last.replace(Some(panic)));
        } else if installer.is_current() {
            former(info);
        } else {
            record(info).print();
        }
    }));
}

fn record(info: &PanicHookInfo<'_>) -> Panic {
    Panic {
        message: message(info.payload()),
        place: info.location().map(ToString::to_string),
        backtrace: backtrace::capture(),
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a value that is no text".to_owned(),
    }
}

/// Drops what was thrown. Its own destructor may panic too, and what that throws is left alone.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{panic_any, resume_unwind};

    use super::*;

    #[test]
    fn a_contained_panic_has_message_place_and_backtrace() {
        let panic = contain(|| -> u32 { panic!("lost {}", 7) }).unwrap_err();
        assert_eq!(panic.message, "lost 7");
        assert!(panic.place.unwrap().contains("panic.rs"));
        assert!(panic.backtrace.contains("a_contained_panic_has"), "{}", panic.backtrace);
        assert_eq!(contain(|| 7), Ok(7));
    }

    #[test]
    fn whatever_is_thrown_is_contained() {
        struct Twice;
        impl Drop for Twice {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert_eq!(contain(|| panic_any(String::from("text"))).unwrap_err().message, "text");
        assert!(contain(|| panic_any(Twice)).unwrap_err().message.contains("no text"));
        let passed_on = contain(|| resume_unwind(Box::new("quiet"))).unwrap_err();
        assert_eq!((passed_on.message.as_str(), passed_on.place), ("quiet", None));
    }

    #[test]
    fn a_panic_that_was_caught_inside_is_not_told_for_a_later_one() {
        let panic = contain(|| {
            let _ = contain(|| panic!("inner"));
            let _ = catch_unwind(|| panic!("caught by the user"));
            panic!("outer");
        });
        assert_eq!(panic.unwrap_err().message, "outer");
        let _ = contain(|| catch_unwind(|| panic!("caught by the user")).is_err());
        assert_eq!(contain(|| resume_unwind(Box::new("quiet"))).unwrap_err().message, "quiet");
    }
}
