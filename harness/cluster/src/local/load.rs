//! Images for the nodes of a local cluster, which read one store.

use crate::{ClusterError, ImageArchive, failed};
use futures::future::try_join_all;
use harness_images::store::Store;
use std::path::Path;

/// Loads images into the store that the cluster sees below `view`.
pub(super) async fn into(view: &Path, images: &[ImageArchive]) -> Result<(), ClusterError> {
    let loads = images.iter().map(|image| {
        let (view, image) = (view.to_owned(), image.clone());
        async move {
            let act = format!("load image {}", image.archive.display());
            tokio::task::spawn_blocking(move || {
                Store::open(&view)?.load_as(&image.archive, &image.reference)
            })
            .await
            .map_err(failed(act.clone()))?
            .map(drop)
            .map_err(failed(act))
        }
    });
    try_join_all(loads).await.map(drop)
}
