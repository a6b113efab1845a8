//! Hand-written proxies, by the derive: in all shapes of struct, with constants, with traits written by hand.

#![deny(warnings)]

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use multiproc::{BaseManager, BaseProxy, Deferred, DeferredBase, Proxy};

pub struct Counter(u64);

#[multiproc::referent(proxytype = ByHand)]
impl Counter {
    pub fn new(start: u64) -> Self {
        Self(start)
    }

    pub fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    pub fn peek(&self) -> u64 {
        self.0
    }

    #[referent(proxy)]
    pub fn child(&self) -> Counter {
        Counter(self.0)
    }

    #[referent(proxy, name = "type")]
    pub fn kind(&self) -> Counter {
        Counter(self.0)
    }
}

#[derive(multiproc::Proxy)]
#[proxy(exposed("next", "peek"), method_to_typeid(child = "Counter", type = "Counter"))]
#[proxy(no(Display))]
pub struct ByHand {
    calls: Vec<u8>,
    base: BaseProxy,
}

impl fmt::Display for ByHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by hand, {} calls", self.calls.len())
    }
}

#[derive(Proxy)]
struct Tuple(multiproc::BaseProxy, PhantomData<fn() -> u8>);

#[derive(Proxy)]
struct Typed<T, const N: usize>
where
    T: Clone,
{
    inner: multiproc::BaseProxy,
    marker: PhantomData<fn() -> T>,
}

/// A proxy with a twin of its author's own, which has its parameters.
#[derive(Proxy)]
#[proxy(deferred = TypedLater)]
struct WithTwin<T>
where
    T: From<u64>,
{
    base: multiproc::BaseProxy,
    marker: PhantomData<fn() -> T>,
}

struct TypedLater<'b, T>(DeferredBase<'b>, PhantomData<fn() -> T>);

impl<'b, T> From<DeferredBase<'b>> for TypedLater<'b, T> {
    fn from(base: DeferredBase<'b>) -> Self {
        Self(base, PhantomData)
    }
}

impl<T: From<u64> + 'static> TypedLater<'_, T> {
    fn peek(&self) -> Deferred<T> {
        self.0.call_method::<u64>("peek", ()).map(T::from)
    }
}

fn everything<P: Proxy + fmt::Debug + fmt::Display + Eq + std::hash::Hash + AsRef<BaseProxy>>(base: &BaseProxy) {
    let proxy = P::from_base(base.clone());
    assert_eq!(proxy, proxy.clone());
    assert_eq!(proxy.base(), proxy.as_ref());
    assert_eq!(format!("{proxy:?}"), format!("{base:?}"));
    assert_eq!(HashSet::from([proxy.clone(), proxy]).len(), 1);
}

fn main() -> multiproc::Result<()> {
    let manager = BaseManager::builder().register::<Counter>().start()?;
    let base: CounterElsewhere = CounterElsewhere::new(&manager, 5)?;
    assert_eq!(base.next()?, 6);
    everything::<ByHand>(base.base());
    everything::<Tuple>(base.base());
    everything::<Typed<String, 3>>(base.base());
    assert_eq!(ByHand::from_base(base.base().clone()).to_string(), "by hand, 0 calls");
    assert_eq!(ByHand::EXPOSED, Some(&["next", "peek"][..]));
    assert_eq!(ByHand::METHOD_TO_TYPEID, [("child", "Counter"), ("type", "Counter")]);
    assert_eq!(Tuple::EXPOSED, None);
    assert!(Tuple::METHOD_TO_TYPEID.is_empty());
    let by_name: Deferred<u64> = Tuple::from_base(base.base().clone()).defer().call_method("peek", ());
    assert_eq!(by_name.wait()?, 6);
    let twin = WithTwin::<u128>::from_base(base.base().clone());
    assert_eq!(twin.defer().peek().wait()?, 6_u128);
    let (one, next) = manager.batch(|b| (b.on(&twin).peek(), b.on(&base).next()))?;
    assert_eq!((one?, next?), (6, 7));
    manager.shutdown()
}

#[multiproc::proxy(typeid = "Counter", proxy = CounterElsewhere)]
trait Describes {
    fn new(start: u64) -> Self;
    fn next(&self) -> u64;
}
