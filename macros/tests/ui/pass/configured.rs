//! `cfg` comes along: methods that are configured away are nowhere, and the others keep their signatures.

use multiproc::BaseManager;

struct Configured;

#[multiproc::referent]
impl Configured {
    pub fn new() -> Self {
        Self
    }

    #[cfg(any())]
    pub fn never(&self, missing: Missing) -> Missing {
        missing
    }

    #[cfg(all())]
    pub fn which(&self) -> u8 {
        1
    }

    #[cfg(not(all()))]
    pub fn which(&self, other: Missing) -> u8 {
        2
    }

    #[cfg_attr(all(), cfg(any()))]
    pub fn never_either(&self, missing: Missing) {}

    #[cfg_attr(any(), cfg(any()))]
    #[cfg_attr(all(), doc = "Kept.")]
    pub fn kept(&self, text: &str) -> String {
        text.to_uppercase()
    }
}

fn main() -> multiproc::Result<()> {
    let manager = BaseManager::builder().register::<Configured>().start()?;
    let configured = ConfiguredProxy::new(&manager)?;
    assert_eq!(configured.which()?, 1);
    assert_eq!(configured.kept("a")?, "A");
    manager.shutdown()
}
