//! Looking for private keys at the end of a run.

use super::Environment;
use harness_cluster::exposure::{self, Search};
use jiff::Timestamp;
use std::path::Path;

impl Environment {
    /// Looks for private keys in the logs of the mesh's pods, those among them that are gone since the run began where the
    /// cluster keeps their logs, in the folders that the mesh has on its nodes and the Secrets that it keeps sealed keys in where
    /// those are ours, and in the files below `artifacts`.
    pub async fn exposed_keys(&self, artifacts: &Path) -> Search {
        let namespaces = self.mesh.namespaces();
        let began = Timestamp::from_millisecond(self.clock.began_ms()).unwrap_or(Timestamp::MIN);
        let mut search = self.clusters.keys_in_logs(&namespaces, began).await;
        search.add(self.clusters.keys_on_disks(&self.mesh.folders()).await);
        search.add(self.clusters.keys_in_secrets(&self.mesh.secrets()).await);
        search.add(exposure::keys_in_files(artifacts));
        search
    }
}
