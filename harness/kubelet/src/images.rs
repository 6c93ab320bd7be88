//! Images as the node's store has them.

use harness_images::store::{Image, Store, StoreError};
use std::path::Path;
use std::sync::Arc;

/// An image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The store has none of that name, or cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The task that read it did not finish.
    #[error("read the image store")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// The image store, for use from asynchronous code.
#[derive(Clone, Debug)]
pub(crate) struct Images(Arc<Store>);

impl Images {
    pub(crate) fn open(folder: &Path) -> Result<Self, ImageError> {
        Ok(Self(Arc::new(Store::open(folder)?)))
    }

    /// The image of that name.
    pub(crate) async fn resolve(&self, name: &str) -> Result<Image, ImageError> {
        let store = self.0.clone();
        let name = name.to_owned();
        let found = tokio::task::spawn_blocking(move || store.resolve(&name)).await;
        Ok(found.map_err(ImageError::Interrupted)??)
    }
}
