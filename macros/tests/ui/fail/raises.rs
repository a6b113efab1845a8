//! Exceptions: names that are none, and places where none is raised.

#![allow(unused)]

use multiproc::Raises;

#[derive(Raises)]
enum Nameless {
    One,
    #[raises("KeyError")]
    Two,
}

#[derive(Raises)]
#[raises("ValueErr")]
struct Misspelt;

#[derive(Raises)]
#[raises("os.system('x')")]
struct NoName;

#[derive(Raises)]
#[raises(ValueError)]
struct Unquoted;

#[derive(Raises)]
#[raises("ValueError", texts)]
struct MisspeltText;

#[derive(Raises)]
#[raises("ValueError", text)]
struct WithoutDisplay;

// A field has no exception.

#[derive(Raises)]
enum Fields {
    #[raises("ValueError")]
    Whole(u8),
    #[raises("KeyError")]
    Marked(#[raises("KeyError")] u8),
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Plain;

struct Served;

#[multiproc::referent]
impl Served {
    #[referent(raises = "ValueError")]
    pub fn new() -> Result<Self, Plain> {
        Ok(Self)
    }

    #[referent(raises = "ValueError")]
    pub fn infallible(&self) {}

    #[referent(raises, error = text)]
    pub fn in_words(&self) -> Result<(), Plain> {
        Ok(())
    }

    #[referent(raises = "Value Error")]
    pub fn misnamed(&self) -> Result<(), Plain> {
        Ok(())
    }
}

struct Untold;

#[multiproc::referent]
impl Untold {
    #[referent(raises)]
    pub fn untold(&self) -> Result<(), Plain> {
        Ok(())
    }
}

#[multiproc::proxy]
trait Described {
    #[proxy(raises = "ValueError")]
    fn described(&self) -> Result<(), Plain>;
}

fn main() {}
