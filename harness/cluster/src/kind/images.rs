//! Images on the nodes of a kind cluster.
//!
//! `kind load` hands an archive to containerd in small pieces, over and over; the same command with `--local` takes a third
//! of the time. It is the way here, and `kind load` where a node does not take it.

use super::command::KindCommand;
use super::engine::Engine;
use crate::{ClusterError, ImageArchive, failed};
use futures::future::{BoxFuture, try_join_all};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use harness_images::archive::Archive;
use harness_images::reference::normalize;
use harness_model::causes::chain;
use std::fs::File;
use tokio::sync::watch;

/// So many images are loaded at once: each load is unpacked by every node.
const AT_ONCE: usize = 2;

/// Imports an archive from standard input, as soon as containerd answers: it starts with the node.
const IMPORT: &str = "for attempt in $(seq 600); do
  ctr version >/dev/null 2>&1 && break
  sleep 0.1
done
exec ctr --namespace k8s.io images import --local --digests -";

/// Images that may still be being made. None are meant when the sender goes and has sent none.
pub type ImagesToCome = watch::Receiver<Option<Vec<ImageArchive>>>;

/// An image, and what its archive calls it.
struct Named<'a> {
    image: &'a ImageArchive,
    /// The name that manifests use, where the archive does not.
    other_name: Option<OtherName>,
}

/// Names as containerd keeps them.
struct OtherName {
    from: String,
    to: String,
}

/// Loads images into the stores of nodes that are becoming a cluster, and says which ones are there: all, or none when it
/// went wrong, since [`load`] tells why.
pub(super) async fn load_early(
    kind: &KindCommand,
    engine: &Engine,
    mut images: ImagesToCome,
) -> Vec<ImageArchive> {
    let images = match images.wait_for(Option::is_some).await {
        Ok(images) => images.clone().unwrap_or_default(),
        Err(_) => return Vec::new(),
    };
    let load = async {
        let nodes = kind.workers().await?;
        let (engine, nodes) = (engine, nodes.as_slice());
        at_once(&images, |image| Box::pin(import_one(engine, nodes, image))).await
    };
    match load.await {
        Ok(()) => images,
        Err(error) => {
            let why = chain(&error);
            tracing::debug!(%why, "images are loaded once every node is ready");
            Vec::new()
        }
    }
}

/// Loads images into the stores of these nodes, by the names that manifests use.
pub(super) async fn load(
    kind: &KindCommand,
    engine: &Engine,
    nodes: &[String],
    images: &[ImageArchive],
) -> Result<(), ClusterError> {
    at_once(images, |image| {
        Box::pin(load_one(kind, engine, nodes, image))
    })
    .await
}

async fn at_once<'a>(
    images: &'a [ImageArchive],
    load: impl Fn(&'a ImageArchive) -> BoxFuture<'a, Result<(), ClusterError>>,
) -> Result<(), ClusterError> {
    let loads: Vec<BoxFuture<'_, Result<(), ClusterError>>> = images.iter().map(load).collect();
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
    let named = Named::read(image).await?;
    let Err(error) = named.import(engine, nodes).await else {
        return Ok(());
    };
    let why = chain(&error);
    tracing::debug!(%why, "a node does not import an image; kind loads it");
    kind.load(&image.archive, nodes).await?;
    let tags = nodes.iter().map(|node| named.tag(engine, node));
    try_join_all(tags).await.map(drop)
}

async fn import_one(
    engine: &Engine,
    nodes: &[String],
    image: &ImageArchive,
) -> Result<(), ClusterError> {
    Named::read(image).await?.import(engine, nodes).await
}

impl<'a> Named<'a> {
    async fn read(image: &'a ImageArchive) -> Result<Self, ClusterError> {
        let act = act(image);
        let path = image.archive.clone();
        let archive = tokio::task::spawn_blocking(move || Archive::open(&path))
            .await
            .map_err(failed(act.clone()))?
            .map_err(failed(act.clone()))?;
        let Some(own) = archive.references.first() else {
            return Err(
                ClusterError::because(act, "the archive gives its image no name")
                    .hint("save it by its name: docker save NAME:TAG"),
            );
        };
        let wanted = normalize(&image.reference);
        let other_name = (!archive.references.contains(&wanted)).then(|| OtherName {
            from: in_containerd(own),
            to: in_containerd(&wanted),
        });
        Ok(Self { image, other_name })
    }

    /// Into each node, which all work at the same time.
    async fn import(&self, engine: &Engine, nodes: &[String]) -> Result<(), ClusterError> {
        let imports = nodes.iter().map(|node| async move {
            let act = format!("{} into node {node}", act(self.image));
            let archive = File::open(&self.image.archive).map_err(failed(act.clone()))?;
            engine
                .give(&act, node, &["sh", "-c", IMPORT], archive)
                .await?;
            self.tag(engine, node).await
        });
        try_join_all(imports).await.map(drop)
    }

    /// Gives it the name that manifests use, where it has another one.
    async fn tag(&self, engine: &Engine, node: &str) -> Result<(), ClusterError> {
        let Some(OtherName { from, to }) = &self.other_name else {
            return Ok(());
        };
        let tag = [
            "ctr",
            "--namespace",
            "k8s.io",
            "images",
            "tag",
            "--force",
            from,
            to,
        ];
        engine.in_node(node, &tag, None).await.map(drop)
    }
}

fn act(image: &ImageArchive) -> String {
    format!("load the image {}", image.archive.display())
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
