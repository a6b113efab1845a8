//! Generic types: one registration for each instantiation, bounds from the block, none for cloning a proxy.

use multiproc::{BaseManager, Datum, Proxy};

pub struct Stack<T> {
    items: Vec<T>,
}

#[multiproc::referent(typeid = "Stack")]
impl<T: Datum> Stack<T> {
    pub fn new() -> Self {
        Self { items: Vec::new() }
    }

    pub fn of(items: Vec<T>) -> Stack<T> {
        Self { items }
    }

    pub fn push(&mut self, item: T) {
        self.items.push(item);
    }

    pub fn contains_all(&self, items: &[T]) -> bool {
        items.iter().all(|item| self.items.iter().any(|own| same(own, item)))
    }

    pub fn pop(&mut self) -> Option<T> {
        self.items.pop()
    }

    pub fn peek(&self) -> Option<&T> {
        self.items.last()
    }
}

fn same<T: Datum>(one: &T, other: &T) -> bool {
    serde_json::to_string(one).unwrap() == serde_json::to_string(other).unwrap()
}

pub struct Grid<const N: usize, K> {
    cells: [u8; N],
    key: K,
}

#[multiproc::referent(proxy = GridHandle)]
impl<const N: usize, K> Grid<N, K>
where
    K: Datum + Clone,
{
    pub fn new(key: K) -> Self {
        Self { cells: [7; N], key }
    }

    pub fn cells(&self) -> &[u8] {
        &self.cells
    }

    pub fn key(&self) -> &K {
        &self.key
    }
}

pub struct Pair<A, B>(A, B);

#[multiproc::referent]
impl Pair<u8, String> {
    pub fn new() -> Self {
        Self(1, "b".into())
    }

    pub fn both(&self) -> (&u8, &str) {
        (&self.0, &self.1)
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct NotClone(u8);

fn clone_needs_nothing_of_the_parameter(proxy: &StackProxy<NotClone>) -> StackProxy<NotClone> {
    proxy.clone()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = BaseManager::builder()
        .register_as::<Stack<u32>>("IntStack")
        .register_as::<Stack<NotClone>>("NotCloneStack")
        .register_as::<Grid<4, String>>("Grid4")
        .register::<Pair<u8, String>>()
        .start()?;
    let stack = StackProxy::<u32>::new(&manager)?;
    stack.push(1)?;
    stack.push(3)?;
    assert!(stack.contains_all(&[3, 1])?);
    assert!(!stack.contains_all(&[2])?);
    assert_eq!(stack.peek()?, Some(3));
    assert_eq!(stack.pop()?, Some(3));
    assert_eq!(StackProxy::of(&manager, vec![9_u32])?.pop()?, Some(9));

    let (pushed, peeked) = manager.batch(|b| (b.on(&stack).push(8), b.on(&stack).peek()))?;
    assert_eq!((pushed?, peeked?), ((), Some(8)));
    assert_eq!(stack.defer().pop().wait()?, Some(8));

    let other = StackProxy::<NotClone>::new(&manager)?;
    clone_needs_nothing_of_the_parameter(&other).push(NotClone(4))?;
    assert_eq!(other.pop()?.map(|item| item.0), Some(4));

    let grid = GridHandle::<4, String>::new(&manager, "k".into())?;
    assert_eq!(grid.cells()?, [7; 4]);
    assert_eq!(grid.defer().cells().wait()?, [7; 4]);
    assert_eq!(grid.key()?, "k");
    assert_eq!(PairProxy::new(&manager)?.both()?, (1, "b".to_owned()));
    manager.shutdown()?;
    Ok(())
}
