//! What generated code uses beside the public API. Not for use by hand, and not stable.

use std::any::TypeId;
use std::cell::RefCell;
use std::sync::Arc;

use rustc_hash::FxHashMap;
pub use serde;
pub use serde_bytes::{ByteBuf, Bytes};

use crate::codec;
pub use crate::object::methods::SignatureOf;
pub use crate::object::registration::signature;
pub use crate::types::TaskErrors;

/// The structural hashes of a proxy type's methods, in their order.
#[derive(Clone)]
pub struct Signatures(Arc<[u32]>);

thread_local! {
    /// Computed once per thread and proxy type: a table for all threads would need a lock that a forked child may find held.
    static KNOWN: RefCell<FxHashMap<TypeId, Signatures>> = RefCell::default();
}

impl Signatures {
    /// Those of the proxy type `P`.
    pub fn of<P: 'static>(signatures: &[SignatureOf]) -> Self {
        if codec::is_tracing() {
            // A proxy of nothing, made while a signature is computed: perhaps one of its own, which would never end.
            return Self(Arc::default());
        }
        let id = TypeId::of::<P>();
        if let Some(known) = KNOWN.with_borrow(|known| known.get(&id).cloned()) {
            return known;
        }
        let computed = Self(signatures.iter().map(|signature| signature()).collect());
        KNOWN.with_borrow_mut(|known| known.insert(id, computed.clone()));
        computed
    }

    /// That of the method at this place.
    pub fn get(&self, method: usize) -> u32 {
        self.0.get(method).copied().unwrap_or_default()
    }
}
