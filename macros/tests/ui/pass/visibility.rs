//! Types that are not public: private ones, ones of an inner module, ones in a function.

#![deny(warnings)]

use multiproc::BaseManager;

#[derive(serde::Serialize, serde::Deserialize)]
struct Secret(u8);

struct Private;

#[multiproc::referent]
impl Private {
    pub fn new() -> Self {
        Self
    }

    pub fn tell(&self, secret: &Secret) -> Secret {
        Secret(secret.0 + 1)
    }
}

mod inner {
    #[derive(Default)]
    pub(crate) struct Counter {
        count: u64,
    }

    #[multiproc::referent]
    impl Counter {
        pub fn new() -> Self {
            Self::default()
        }

        pub fn next(&mut self) -> u64 {
            self.count += self.step();
            self.count
        }

        fn step(&self) -> u64 {
            1
        }
    }

    #[multiproc::proxy(typeid = "Counter")]
    pub(crate) trait Elsewhere {
        fn next(&self) -> u64;
    }
}

fn main() -> multiproc::Result<()> {
    struct Local;

    #[multiproc::referent(typeid = "Unused")]
    impl Local {
        pub fn new() -> Self {
            Self
        }
    }

    let manager =
        BaseManager::builder().register::<Private>().register::<inner::Counter>().register::<Local>().start()?;
    assert_eq!(PrivateProxy::new(&manager)?.tell(&Secret(4))?.0, 5);
    let counter = inner::CounterProxy::new(&manager)?;
    assert_eq!(counter.next()?, 1);
    let elsewhere: inner::ElsewhereProxy = multiproc::Proxy::from_base(multiproc::Proxy::base(&counter).clone());
    assert_eq!(elsewhere.next()?, 2);
    manager.shutdown()
}
