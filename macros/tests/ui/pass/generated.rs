//! Blocks that other macros write: types come in invisible groups then.

use multiproc::BaseManager;

macro_rules! cell {
    ($name:ident, $ty:ty, $error:ty) => {
        struct $name($ty);

        #[multiproc::referent]
        impl $name {
            pub fn new(value: $ty) -> Self {
                Self(value)
            }
            pub fn get(&self) -> &$ty {
                &self.0
            }
            pub fn swap(&mut self, value: $ty, also: &$ty) -> Result<$ty, $error> {
                assert_eq!(value == *also, *also == value);
                Ok(std::mem::replace(&mut self.0, value))
            }
        }
    };
}

cell!(Number, u64, String);
cell!(Bytes, Vec<u8>, ());

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = BaseManager::builder().register::<Number>().register::<Bytes>().start()?;
    let number = NumberProxy::new(&manager, 1)?;
    assert_eq!(number.swap(2, &3)?, 1);
    assert_eq!(number.get()?, 2);
    let bytes = BytesProxy::new(&manager, b"a".to_vec())?;
    assert_eq!(bytes.swap(b"b".to_vec(), &vec![]).unwrap(), b"a");
    assert_eq!(bytes.get()?, b"b");
    manager.shutdown()?;
    Ok(())
}
