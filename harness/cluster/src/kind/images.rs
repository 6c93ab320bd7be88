//! Images on the nodes of a kind cluster.

use super::command::KindCommand;
use super::engine::Engine;
use crate::{ClusterError, ImageArchive, failed};
use futures::future::BoxFuture;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use harness_images::archive::Archive;
use harness_images::reference::normalize;

/// So many images are loaded at once: each load is unpacked by every node.
const AT_ONCE: usize = 2;

/// Loads images into the stores of these nodes, by the names that manifests use.
pub(super) async fn load(
    kind: &KindCommand,
    engine: &Engine,
    nodes: &[String],
    images: &[ImageArchive],
) -> Result<(), ClusterError> {
    let loads: Vec<BoxFuture<'_, Result<(), ClusterError>>> = images
        .iter()
        .map(|image| Box::pin(load_one(kind, engine, nodes, image)) as BoxFuture<'_, _>)
        .collect();
    futures::stream::iter(loads)
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await
        .map(drop)
}

async fn load_one(
    kind: &KindCommand,
    engine: &Engine,
    nodes: &[String],
    image: &ImageArchive,
) -> Result<(), ClusterError> {
    let act = format!("load the image {}", image.archive.display());
    let path = image.archive.clone();
    let archive = tokio::task::spawn_blocking(move || Archive::open(&path))
        .await
        .map_err(failed(act.clone()))?
        .map_err(failed(act.clone()))?;
    let Some(own) = archive.references.first().cloned() else {
        return Err(
            ClusterError::because(act, "the archive gives its image no name")
                .hint("save it by its name: docker save NAME:TAG"),
        );
    };
    kind.load(&image.archive, nodes).await?;
    let wanted = normalize(&image.reference);
    if archive.references.contains(&wanted) {
        return Ok(());
    }
    let (from, to) = (in_containerd(&own), in_containerd(&wanted));
    let tag = [
        "ctr",
        "--namespace",
        "k8s.io",
        "images",
        "tag",
        "--force",
        &from,
        &to,
    ];
    for node in nodes {
        engine.in_node(node, &tag, None).await?;
    }
    Ok(())
}

/// A reference as containerd keeps it.
fn in_containerd(reference: &str) -> String {
    let first = reference.split('/').next().unwrap_or_default();
    if first.contains(['.', ':']) || first == "localhost" {
        reference.to_owned()
    } else {
        format!("docker.io/{reference}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_containerd_does() {
        let named = |name: &str| in_containerd(&normalize(name));
        assert_eq!(
            named("meshproof/sidecar:dev"),
            "docker.io/meshproof/sidecar:dev"
        );
        assert_eq!(named("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(named("localhost/a:b"), "localhost/a:b");
    }
}
