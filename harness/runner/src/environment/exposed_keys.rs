//! Looking for private keys at the end of a run.

use super::Environment;
use harness_cluster::exposure::{self, Search};
use std::path::Path;

impl Environment {
    /// Looks for private keys in the logs of the mesh's pods and in the files below `artifacts`.
    pub async fn exposed_keys(&self, artifacts: &Path) -> Search {
        let mut search = self.clusters.keys_in_logs(&self.mesh.namespaces()).await;
        search.add(exposure::keys_in_files(artifacts));
        search
    }
}
