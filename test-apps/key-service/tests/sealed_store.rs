//! The sealed store in a folder as every back end must be.

#[path = "shared/conformance.rs"]
mod conformance;

use conformance::conformance;
use key_service::behaviour::Faithful;
use key_service::keep::folder::Folder;
use key_service::sealed_store::SealedStore;
use key_service::sealing::MasterKey;
use key_service::store::KeyStore;
use std::sync::Arc;
use tempfile::TempDir;

struct BackEnd(TempDir);

impl BackEnd {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn store(&self) -> Arc<dyn KeyStore> {
        let master = MasterKey::new(vec![1; 32]).expect("long enough");
        let folder = Folder::take(self.0.path()).expect("nobody else has it");
        let store = SealedStore::open(folder, master, Arc::new(Faithful));
        Arc::new(store.expect("opened"))
    }
}

conformance!(BackEnd::new);
