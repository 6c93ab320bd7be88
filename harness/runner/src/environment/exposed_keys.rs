//! Looking for private keys at the end of a run.

use super::Environment;
use harness_cluster::exposure;
use harness_model::causes::chain;
use std::path::Path;

impl Environment {
    /// Where a private key was found: in the logs of the mesh's pods and in the files below `artifacts`.
    pub async fn exposed_keys(&self, artifacts: &Path) -> Vec<String> {
        let mut found = match self.clusters.keys_in_logs(&self.mesh.namespaces()).await {
            Ok(containers) => containers
                .into_iter()
                .map(|container| format!("the log of {container}"))
                .collect(),
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "logs cannot be looked through for keys"
                );
                Vec::new()
            }
        };
        match exposure::keys_in_files(artifacts) {
            Ok(files) => found.extend(files),
            // A run without artefacts has no folder.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "artefacts cannot be looked through for keys"
                );
            }
        }
        found
    }
}
