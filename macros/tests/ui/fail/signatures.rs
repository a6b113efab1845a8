//! Functions that can't be called from elsewhere as they are.

#![allow(unused)]

struct Served<T>(T);

#[multiproc::referent]
impl<T: multiproc::Datum> Served<T> {
    pub async fn later(&self) {}

    pub unsafe fn promise(&self) {}

    pub extern "C" fn foreign(&self) {}

    pub fn generic<K>(&self, key: K) {}

    pub fn sized<const N: usize>(&self) {}

    pub fn bounded(&self)
    where
        T: Clone,
    {
    }

    #[referent(skip)]
    pub async fn skipped<K>(self, key: K) {}

    async fn private<K>(self, key: K) {}
}

#[multiproc::proxy]
trait Described {
    async fn later(&self);
    fn generic<K>(&self, key: K);
}

fn main() {}
