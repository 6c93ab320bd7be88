//! What clients have shown and are to show once more, and the root of a partner that the probe plays.
//!
//! Invariant: what is kept has a private key, and is given to nobody but a handshake of this process.

use super::client::Shown;
use super::root::Root;
use crate::identity::pem;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Chains and keys by the names that they are kept under, and a root.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    shown: Arc<Mutex<BTreeMap<String, Arc<Shown>>>>,
    partner: Arc<Mutex<Option<Arc<Root>>>>,
}

impl Kept {
    /// Keeps it in the place of what had this name.
    pub(super) fn keep(&self, name: String, shown: Arc<Shown>) {
        whole(&self.shown).insert(name, shown);
    }

    /// What has this name.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Shown>> {
        whole(&self.shown).get(name).cloned()
    }

    /// Makes a new root in the place of the one before, and gives its certificate, PEM.
    ///
    /// # Errors
    ///
    /// When it cannot be made, in words.
    pub(crate) fn make_partner(&self) -> Result<Vec<u8>, String> {
        let root = Root::new("a partner's root");
        let root = root.map_err(|error| format!("make a root: {error}"))?;
        let told = pem(root.der());
        *whole(&self.partner) = Some(Arc::new(root));
        Ok(told)
    }

    /// The root that was made last.
    pub(super) fn partner(&self) -> Option<Arc<Root>> {
        whole(&self.partner).clone()
    }
}

/// What is kept is whole after every change.
fn whole<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
