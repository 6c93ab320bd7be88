//! What clients have shown and are to show once more.
//!
//! Invariant: what is kept has a private key, and is given to nobody but a handshake of this process.

use super::client::Shown;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Chains and keys by the names that they are kept under.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<BTreeMap<String, Arc<Shown>>>>);

impl Kept {
    /// Keeps it in the place of what had this name.
    pub(super) fn keep(&self, name: String, shown: Arc<Shown>) {
        self.names().insert(name, shown);
    }

    /// What has this name.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Shown>> {
        self.names().get(name).cloned()
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Shown>>> {
        // The map is whole after every change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
