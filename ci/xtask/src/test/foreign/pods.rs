//! What the API server tells of pods while a run goes on: at its end they are gone.

use crate::engine::Engine;
use anyhow::Context as _;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Child, Stdio};

/// Everything but what belongs to the cluster itself. Pods are made by controllers, which do not give them our label.
const NOT_OF_THE_CLUSTER: &str =
    "metadata.namespace!=kube-system,metadata.namespace!=local-path-storage";

/// A watch on the pods of runs.
pub(super) struct Watch {
    kubectl: Child,
    folder: tempfile::TempDir,
}

impl Watch {
    /// Begins, from a node that has the rights for it.
    pub(super) fn begin(engine: &Engine, control_plane: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for a watch")?;
        let output = File::create(folder.path().join("pods.json")).context("make a file")?;
        let kubectl = engine
            .docker()
            .args(["exec", control_plane, "kubectl"])
            .args(["--kubeconfig", "/etc/kubernetes/admin.conf"])
            .args(["get", "pods", "--all-namespaces", "--watch"])
            .args(["--field-selector", NOT_OF_THE_CLUSTER, "--output", "json"])
            .stdin(Stdio::null())
            .stdout(output)
            .spawn()
            .context("start docker")?;
        Ok(Self { kubectl, folder })
    }

    /// Ends, and says for every container that was started by which image: `NAMESPACE/POD/CONTAINER` and the image as
    /// the node has found it.
    pub(super) fn end(mut self) -> anyhow::Result<BTreeMap<String, String>> {
        // It may have ended by itself: what it told is what counts.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
        let text = std::fs::read_to_string(self.folder.path().join("pods.json"))
            .context("read what kubectl has told")?;
        Ok(images(&text))
    }
}

/// The last one may be cut off.
fn images(text: &str) -> BTreeMap<String, String> {
    let pods = serde_json::Deserializer::from_str(text)
        .into_iter::<Value>()
        .map_while(Result::ok);
    pods.flat_map(|pod| {
        let of = |field: &str| pod["metadata"][field].as_str().unwrap_or("?").to_owned();
        let pod_name = format!("{}/{}", of("namespace"), of("name"));
        let containers = ["initContainerStatuses", "containerStatuses"]
            .into_iter()
            .filter_map(|kind| pod["status"][kind].as_array())
            .flatten()
            .filter(|container| !container["containerID"].as_str().unwrap_or("").is_empty());
        containers
            .map(|container| {
                let text = |field: &str| container[field].as_str().unwrap_or("?").to_owned();
                (format!("{pod_name}/{}", text("name")), text("imageID"))
            })
            .collect::<Vec<_>>()
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::images;

    #[test]
    fn started_containers_are_told_with_their_images() {
        let text = r#"{"metadata": {"namespace": "a", "name": "b"}, "status": {
            "initContainerStatuses": [{"name": "c", "imageID": "r/c@sha256:1", "containerID": "x"}],
            "containerStatuses": [{"name": "d", "imageID": "", "containerID": ""}, {"name": "e", "imageID": ""}]}}
            {"metadata": {"namespace": "a", "name": "b"}, "status": {
            "containerStatuses": [{"name": "d", "imageID": "r/d@sha256:2", "containerID": "y"}]}}
            {"metadata": {"names"#;
        let found: Vec<_> = images(text).into_iter().collect();
        let expected = [("a/b/c", "r/c@sha256:1"), ("a/b/d", "r/d@sha256:2")];
        assert_eq!(
            found,
            expected.map(|(name, image)| (name.to_owned(), image.to_owned()))
        );
    }
}
